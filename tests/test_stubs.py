"""The type stubs: up to date, consistent, accepted by mypy for a right program and not for a wrong one."""

import ast
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import dlgrad
from dlgrad.ops.elementwise import ROWS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import generate_stubs  # noqa: E402


@pytest.fixture(scope="module")
def stubs():
    return generate_stubs.generate()


def test_committed_stubs_are_fresh(stubs):
    for path, text in stubs.items():
        assert path.exists() and path.read_text() == text, (
            f"{path.relative_to(ROOT)} is stale: run `python scripts/generate_stubs.py`"
        )
    assert {p for p in (ROOT / "dlgrad").rglob("*.pyi")} == {p for p in stubs if p.suffix == ".pyi"}


def test_stubs_are_python(stubs):
    for path, text in stubs.items():
        compile(text, str(path), "exec", ast.PyCF_ONLY_AST)


def test_every_row_is_declared_with_its_operands(stubs):
    """From a row follow the function, the method and the in-place form in the stubs."""
    functions, methods = (stubs[ROOT / f"dlgrad/{name}.pyi"] for name in ("__init__", "tensor"))
    for name, row in ROWS.items():
        if not hasattr(dlgrad, name) or row.family not in ("unary", "binary"):
            continue
        declared = re.search(rf"^def {name}\((.*)\) -> Tensor: \.\.\.$", functions, re.M)
        assert declared and declared[1].startswith("input: Tensor"), name
        assert ("other: Tensor" in declared[1]) == (row.arity == 2) or row.arity not in (1, 2), name
        if hasattr(dlgrad.Tensor, name):
            assert re.search(rf"^    def {name}\(self.*\) -> Tensor: \.\.\.$", methods, re.M), name
        if hasattr(dlgrad.Tensor, name + "_"):
            assert re.search(rf"^    def {name}_\(self.*\) -> Tensor: \.\.\.$", methods, re.M), name


def test_all_public_operations_are_declared(stubs):
    text = stubs[ROOT / "dlgrad/__init__.pyi"]
    from dlgrad import ops

    for name in [*ops.__all__, *dlgrad._LAZY]:
        if callable(getattr(dlgrad, name)) and not name.startswith("_"):
            assert re.search(
                rf"^(def|class) {name}\b|import {name} as {name}$|^{name} = ", text, re.M
            ), name


def fits(value, note):
    """Whether a value is of the type that a stub declares."""
    note = (
        note.removesuffix(" | None")
        .replace("TypeGuard[Tensor]", "bool")
        .replace("_", "", note.startswith("_"))
    )
    if note == "Any" or note == "Tensor" and isinstance(value, dlgrad.Tensor):
        return True
    if note.startswith("return_types."):
        return type(value) is getattr(dlgrad.return_types, note.split(".")[1])
    if note.startswith("tuple[") and isinstance(value, tuple):
        kinds = note[6:-1].split(", ")
        kinds = kinds[:1] * len(value) if kinds[-1] == "..." else kinds
        return len(kinds) == len(value) and all(map(fits, value, kinds))
    return type(value).__name__ == note


def test_results_have_the_declared_types():
    """Of each operation's example in the reference."""
    import generate_reference

    reference = generate_reference.Reference()
    for module, name, _ in (e for entries in reference.operations().values() for e in entries):
        function = reference.stubs.exports[module][name]
        where = generate_reference.PREFIX[module] + name
        *before, last = reference.example(module, name, function).split("; ")
        calls = [
            n
            for n in ast.walk(ast.parse(last))
            if isinstance(n, ast.Call) and ast.unparse(n.func) == where
        ]
        names = dict(reference.names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = generate_reference.run("; ".join([*before, ast.unparse(calls[0])]), names)
        declared = re.findall(
            r"-> (.*): \.\.\.$", "\n".join(reference.stubs.function(module, name, function)), re.M
        )
        assert any(fits(value, note) for note in declared), (
            f"{where}: {type(value)} is none of {declared}"
        )


ROW = r"""
import sys
sys.path.insert(0, "scripts")
import dlgrad
from dlgrad.ops import elementwise

# The Python row of an operation whose Zig row is there (under another name, so that nothing need be built).
dlgrad.decline = elementwise.unary("decline", lambda g, y: g * (y + 1), "e^x - 1.", kernel="expm1")

x = dlgrad.tensor([-1.5, 0.0, 2.0], requires_grad=True)
y = dlgrad.decline(x)
y.sum().backward()
assert y.equal(x.expm1()) and x.decline().equal(y) and (x.grad - x.exp()).abs().max() < 1e-6
out = dlgrad.empty(3)
assert dlgrad.decline(x.detach(), out=out) is out and out.equal(y)
z = x.detach().clone()
assert z.decline_() is z and z.equal(y)
assert dlgrad.decline(dlgrad.tensor([1])).dtype is dlgrad.float32 and dlgrad.decline(x.half()).dtype is dlgrad.float16
assert dlgrad.autograd.gradgradcheck(dlgrad.decline, (x.detach().double().requires_grad_(),))

import generate_stubs, generate_reference
stubs = {p.name: t for p, t in generate_stubs.generate().items() if p.parent.name == "dlgrad"}
assert "\ndef decline(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...\n" in stubs["__init__.pyi"]
assert "    def decline(self) -> Tensor: ...\n    def decline_(self) -> Tensor: ...\n" in stubs["tensor.pyi"]
pages, missing = generate_reference.generate()
text = pages[generate_reference.FOLDER / "unary.md"]
entry = text.split("\n## decline\n")[1].split("\n## ")[0]
assert not missing and "e^x - 1." in entry and "- derivative: `g * (y + 1)`" in entry
assert ">>> decline(x)\ntensor([-0.7769,  0.0000,  6.3891])" in entry and ">>> slope(decline, x)" in entry
assert "method `.decline`, in place `.decline_`" in entry
"""


def test_everything_follows_from_a_row(tmp_path):
    """The function, the method, the in-place form, out=, dtypes, derivatives, the stubs, the reference page."""
    script = tmp_path / "row.py"  # a file: the page quotes the derivative's source
    script.write_text(ROW)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def mypy(cache, *paths):
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(cache),
        *map(str, paths),
    ]
    env = {"MYPYPATH": str(ROOT), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT).stdout


def test_type_checker_accepts_stubs_and_a_program_and_finds_mistakes(tmp_path, stubs):
    assert ".pyi" not in mypy(tmp_path, *[path for path in stubs if path.suffix == ".pyi"])
    assert mypy(tmp_path, "tests/typing/program.py").startswith("Success")
    mistakes = ROOT / "tests/typing/mistakes.py"
    found = {int(n) for n in re.findall(r"mistakes\.py:(\d+): error", mypy(tmp_path, mistakes))}
    lines = mistakes.read_text().splitlines()
    assert found == {i for i, line in enumerate(lines, 1) if line.endswith("# error")}


def test_the_accepted_program_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/typing/program.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoint.safetensors").is_file()


def test_return_types_are_classes_that_pickle():
    import pickle

    x = dlgrad.tensor([[1.0, 3.0], [2.0, 0.0]])
    for result in (
        x.max(1),
        x.sort(),
        x.topk(1),
        x.median(0),
        dlgrad.linalg.svd(x),
        dlgrad.aminmax(x),
        x.cummax(0),
    ):
        kind = type(result)
        assert getattr(dlgrad.return_types, kind.__name__) is kind
        again = pickle.loads(pickle.dumps(result))
        assert type(again) is kind and all((a == b).all() for a, b in zip(again, result))
