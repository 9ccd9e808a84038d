"""Importing dlgrad: what it loads, what it starts, and where it works."""

import os
import subprocess
import sys
import textwrap

import pytest


def run(code, **environment):
    """Runs the code in a fresh interpreter and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def failure(code, **environment):
    """The last line of the error of code that must fail."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_nothing_heavy_is_loaded():
    loaded = run(
        """
        import sys
        before = set(sys.modules)
        import dlgrad
        heavy = "numpy torch cffi matplotlib safetensors tqdm multiprocessing asyncio".split()
        print(*[name for name in heavy if name in sys.modules and name not in before])
        """
    )
    assert loaded == ""


def test_computing_needs_no_numpy():
    out = run(
        """
        import sys
        sys.modules["numpy"] = None  # import numpy fails
        import dlgrad
        x = dlgrad.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        (x @ x).relu().sum().backward()
        print(x.grad.tolist(), x[0, 1].item(), x.detach()[x > 2].tolist())
        """
    )
    assert out == "[[7.0, 11.0], [9.0, 13.0]] 2.0 [3.0, 4.0]"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_no_thread_is_started():
    out = run(
        """
        import os
        import dlgrad
        print(len(os.listdir("/proc/self/task")))
        x = dlgrad.ones(8)
        (x + x).sum()
        print(len(os.listdir("/proc/self/task")))
        """
    )
    assert out.split() == ["1", "1"]


def test_import_takes_no_time():
    # Generous: a loaded machine must not fail this. Alone it takes about a tenth.
    seconds = run(
        """
        import time
        start = time.process_time()
        import dlgrad
        print(time.process_time() - start)
        """
    )
    assert float(seconds) < 1.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_first_import_in_a_forked_child():
    out = run(
        """
        import os
        child = os.fork()
        if child == 0:
            import dlgrad
            x = dlgrad.ones(512, 512)
            os._exit(0 if float((x @ x).sum()) == 512.0 ** 3 else 1)
        print(os.waitpid(child, 0)[1])
        """,
        DLGRAD_NUM_THREADS="4",
    )
    assert out == "0"


def test_first_import_in_a_thread():
    out = run(
        """
        import threading
        out = []
        def work():
            import dlgrad
            out.append(float(dlgrad.ones(300, 300).sum()))
        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        print(out)
        """
    )
    assert out == str([90000.0] * 4)


def test_environment():
    assert run("import dlgrad; print(dlgrad.get_num_threads())", DLGRAD_NUM_THREADS="3") == "3"
    for bad in ("0", "-1", "many"):
        assert "DLGRAD_NUM_THREADS" in failure("import dlgrad", DLGRAD_NUM_THREADS=bad)
    assert "no_such_level" in failure("import dlgrad", DLGRAD_CPU="no_such_level")
    assert "/no/such.so" in failure("import dlgrad", DLGRAD_LIBRARY="/no/such.so")


def test_submodules_load_on_first_use():
    out = run(
        """
        import dlgrad
        import sys
        print("dlgrad.nn" in sys.modules, "dlgrad.optim" in sys.modules)
        print(dlgrad.nn.Linear(2, 3)(dlgrad.ones(1, 2)).shape, dlgrad.optim.SGD.__name__)
        """
    )
    assert out.split("\n") == ["False False", "dlgrad.Size([1, 3]) SGD"]


def test_the_core_imports_nothing_but_itself():
    """The import's whole dependency: the standard library and cffi's C part."""
    out = run(
        """
        import sys
        import dlgrad
        known = set(sys.stdlib_module_names) | {"dlgrad", "_cffi_backend", "_distutils_hack", "__main__"}
        tops = {name.split(".")[0] for name in sys.modules}
        print(sorted(t for t in tops - known if "__editable__" not in t))
        """
    )
    assert out == "[]"
