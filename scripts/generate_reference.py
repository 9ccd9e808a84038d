"""Writes the reference pages docs/reference/*.md: each operation's signature, formula, derivative, dtypes and an example.

    python scripts/generate_reference.py

Signatures are those of the type stubs, formulas the docstrings', derivatives the source of the rules that backward()
calls. Dtypes, shapes and the examples' results are found by running the examples (scripts/reference_examples.py).
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import io
import re
import sys
import textwrap
import types
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
import reference_examples  # noqa: E402
from generate_stubs import Stubs  # noqa: E402

import dlgrad  # noqa: E402
from dlgrad.ops.elementwise import ROWS  # noqa: E402

FOLDER = ROOT / "docs/reference"
SETUP = (
    reference_examples.SETUP
    + '''
def slope(f, *inputs):
    """The gradient of the sum of f's result, by each of the inputs."""
    inputs = [t.clone().requires_grad_() for t in inputs]
    return autograd.grad(f(*inputs).sum(), inputs)
'''
)
# page -> its title and the files (of dlgrad/) whose functions it has
PAGES = {
    "unary": ("Elementwise, one tensor", "ops.unary ops.parts"),
    "binary": ("Elementwise, two tensors and more", "ops.binary ops.ternary ops.special"),
    "creation": ("Making tensors", "ops.create ops.from_data dlgrad interop"),
    "random": ("Random numbers", "ops.random ops.random_discrete ops.random_gamma ops.random_dropout"),
    "views": ("Views, shapes, joining and splitting",
              "ops.view ops.slicing ops.splitting ops.joining ops.arrange tensor"),
    "reductions": ("Reductions, scans and statistics",
                   "ops.reduce ops.vector_norm ops.scan ops.statistics ops.histogram ops.softmax nn.utils.weight_norm"),
    "sorting": ("Sorting and searching", "ops.sort"),
    "indexing": ("Indexing, gathering and scattering", "ops.gather ops.scatter ops.mask"),
    "matrices": ("Products and distances", "ops.matmul ops.added_products ops.einsum ops.distance ops.norm legacy"),
    "linalg": ("Linear algebra", "linalg.names linalg._solve linalg._orthogonal linalg._products"),
    "complex": ("Complex numbers and dtypes", "ops.complex_numbers dtypes ops.elementwise"),
    "activations": ("nn.functional: activations and dropout", "nn.functional._activation nn.functional._dropout"),
    "layers": ("nn.functional: convolution, pooling, normalization, attention",
               "nn.functional._conv nn.functional._pooling nn.functional._normalization nn.functional._linear "
               "nn.functional._pad nn.functional._resample nn.functional._attention"),
    "losses": ("nn.functional: losses", "nn.functional._loss nn.functional._margin nn.functional._ctc"),
    "special": ("Special functions", ""),
    "fft": ("Fourier transforms", "signal.spectral"),
    "windows": ("Windows", "signal.windows"),
    "more": ("Rare operations", "ops.rare"),
}  # fmt: skip
OF_MODULE = {"linalg": "linalg", "special": "special", "fft": "fft", "signal.windows": "windows"}
PREFIX = {
    ".": "",
    "nn.functional": "F.",
    "linalg": "linalg.",
    "special": "special.",
    "fft": "fft.",
    "signal.windows": "signal.windows.",
}
# Settings and the like: no operations
LEFT_OUT = frozenset(
    "are_deterministic_algorithms_enabled compile cpu_level empty_cache from_dlpack from_numpy frombuffer get_default_device "
    "get_default_dtype get_float32_matmul_precision get_num_interop_threads get_num_threads get_printoptions get_rng_state "
    "initial_seed is_autocast_cpu_enabled is_autocast_enabled is_grad_enabled is_inference_mode_enabled load manual_seed "
    "memory_stats printoptions reset_peak_memory_stats save seed set_default_device set_default_dtype set_default_tensor_type "
    "set_float32_matmul_precision set_flush_denormal set_num_interop_threads set_num_threads set_printoptions set_rng_state "
    "use_deterministic_algorithms vmap".split()
)
# Files of functions that stand under another name: nn.functional's with other parameters, views as new tensors
REPEATED = ("nn.functional.positional", "ops.copies")
KINDS = {
    "floating": ("float32", "float64", "float16", "bfloat16"),
    "integers": ("int64", "int32", "int16", "int8", "uint8"),
    "bool": ("bool",),
    "complex": ("complex64", "complex128"),
}
INTEGER_INPUTS = frozenset("nk")


# ---------------------------------------------------------------------- running examples


def namespace() -> dict:
    """What the examples see."""
    import dlgrad.nn.functional as F  # noqa: N812

    names = {
        n: getattr(dlgrad, n)
        for n in [*dir(dlgrad), *dlgrad._LAZY, "detach"]
        if not n.startswith("_")
    }
    names.update(
        F=F, linalg=dlgrad.linalg, special=dlgrad.special, fft=dlgrad.fft, signal=dlgrad.signal
    )
    names.update(autograd=dlgrad.autograd, nan=dlgrad.nan, inf=dlgrad.inf, pi=dlgrad.pi)
    exec(SETUP, names)
    return names


def run(example: str, names: dict):
    """The value of the last statement."""
    *before, last = [part.strip() for part in example.split(";")]
    for statement in before:
        exec(statement, names)
    return eval(last, names)


def shown(example: str, names: dict) -> list[str]:
    """The lines of an example as Python's prompt shows them."""
    *before, last = [part.strip() for part in example.split(";")]
    lines = [f">>> _ = {statement}" for statement in before]
    text = repr(run(example, names))
    return [*lines, f">>> {last}", *text.splitlines()]


def first_tensor(value):
    """The first tensor of a result, or None."""
    if isinstance(value, dlgrad.Tensor):
        return value
    if isinstance(value, (tuple, list)):
        return next((t for t in map(first_tensor, value) if t is not None), None)
    return None


def inputs_of(example: str, names: dict, single: bool = False) -> list[str]:
    """The names of SETUP's tensors that an example uses; single: those of the common dtype only."""
    used = [n.id for n in ast.walk(ast.parse(example)) if isinstance(n, ast.Name)]
    found = [n for n in dict.fromkeys(used) if isinstance(names.get(n), dlgrad.Tensor)]
    if not single:
        return found
    floats = [n for n in found if names[n].is_floating_point()]
    return floats or [n for n in found if n in INTEGER_INPUTS] or [n for n in found if n == "z"]


def dtypes_of(example: str, names: dict) -> str:
    """Which dtypes the operation takes, and what results have where that is another one."""
    variables = inputs_of(example, names, single=True)
    if not variables:
        return ""
    out = []
    for kind, members in KINDS.items():
        taken = {}
        for member in members:
            given = getattr(dlgrad, member)
            try:
                changed = {
                    v: names[v].real.to(given) if names[v].is_complex() else names[v].to(given)
                    for v in variables
                }
                result = first_tensor(run(example, {**names, **changed}))
            except Exception:  # any refusal
                continue
            taken[member] = (
                None
                if result is None or result.dtype is given
                else str(result.dtype).removeprefix("dlgrad.")
            )
        if taken:
            text = kind if len(taken) == len(members) else ", ".join(taken)
            others = [f"{m} stays" for m, result in taken.items() if result is None]
            results = sorted(set(taken.values()) - {None}) + others
            out.append(
                text + (f" (gives {', '.join(results)})" if len(others) < len(taken) else "")
            )
    return ", ".join(out)


def shapes_of(example: str, names: dict) -> str:
    """The shapes of an example: inputs and results."""
    inputs = [f"{n} {tuple(names[n].shape)}" for n in inputs_of(example, names)]
    value = run(example, dict(names))
    values = value if isinstance(value, (tuple, list)) else (value,)
    if not inputs or not all(isinstance(t, dlgrad.Tensor) for t in values):
        return ""
    return f"{', '.join(inputs)} → {', '.join(str(tuple(t.shape)) for t in values)}"


# ---------------------------------------------------------------------- derivatives


@functools.cache
def lambdas(file: str) -> dict[int, list[tuple[ast.Lambda, str]]]:
    """The lambdas of a file by the line that they begin on, with their bodies' text."""
    text = Path(file).read_text()
    found: dict[int, list] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Lambda):
            found.setdefault(node.lineno, []).append(
                (node, ast.get_source_segment(text, node.body))
            )
    return found


def rule_text(rule) -> str:
    """The source of a derivative: a lambda's expression, or a function's body."""
    if rule is None or not isinstance(rule, types.FunctionType):
        return ""
    code = rule.__code__
    if rule.__name__ != "<lambda>":
        try:
            return textwrap.dedent(inspect.getsource(rule)).strip()
        except OSError:
            return ""
    arguments = code.co_varnames[: code.co_argcount]
    candidates = [
        (likeness(node, code), " ".join(text.split()))
        for node, text in lambdas(code.co_filename).get(code.co_firstlineno, [])
        if tuple(a.arg for a in node.args.args) == arguments
    ]
    return max(candidates)[1] if candidates else ""


def likeness(node: ast.Lambda, code: types.CodeType) -> int:
    """How much alike the code of a lambda in a file and that of a function are (several may begin on one line)."""
    made = compile(ast.Expression(node), "lambda", "eval").co_consts[0]
    return sum(
        getattr(made, part) == getattr(code, part) for part in ("co_names", "co_consts", "co_code")
    )


def explained(rules: list[tuple]) -> str:
    """What the functions compute that are no operations and that derivatives [(rule, its text)] call: their docstrings, in brackets."""
    out = {}
    for rule, text in rules:
        for name in re.findall(r"(?<![\w.])(\w+)\(", text):
            helper = getattr(rule, "__globals__", {}).get(name)
            if (
                isinstance(helper, types.FunctionType)
                and helper.__doc__
                and not hasattr(dlgrad, name)
            ):
                first = " ".join(helper.__doc__.split("\n\n")[0].split())
                out[name] = f"`{name}`: {first.removesuffix('.')}"
    return f" ({'; '.join(out.values())})" if out else ""


NONE = "none, as in PyTorch,"


def derivative_of_row(row) -> str:
    """The derivatives that a row gives, in Markdown."""
    rules = [(rule, rule_text(rule)) for rule in row.derivatives]
    variables = [" by `input`", " by `other`"] if row.arity == 2 else [""]
    texts = [
        f"{f'`{text}`' if 'is not implemented' not in text else NONE}{variable}"
        for (_, text), variable in zip(rules, variables)
        if text
    ]
    return "; ".join(texts) + explained(rules)


def derivative_of_example(example: str, names: dict) -> tuple[str, str]:
    """(one line, source): the rule of the example's graph node, or the names of its nodes where it has several."""
    leaves = {n: names[n].detach().clone().requires_grad_() for n in inputs_of(example, names, single=True)
              if names[n].is_floating_point() or names[n].is_complex()}  # fmt: skip
    if not leaves:
        return "", ""
    try:
        result = first_tensor(run(example, {**names, **leaves}))
    except Exception:  # an operation that takes no such tensor, such as one with out=
        return "", ""
    if result is None or result.grad_fn is None:
        return "", ""
    nodes, stack = [], [result.grad_fn]
    while stack:
        node = stack.pop()
        if node not in nodes and hasattr(node, "rule"):
            nodes.append(node)
            stack += [edge for edge, _ in node.next_functions if edge is not None]
    kinds = list(dict.fromkeys(n.name() for n in nodes))
    if len(nodes) > 1:
        return "that of " + ", ".join(f"`{k.removesuffix('Backward0')}`" for k in kinds), ""
    rules = nodes[0].rule if isinstance(nodes[0].rule, tuple) else (nodes[0].rule,)
    texts = [t for t in map(rule_text, rules) if t]
    if texts and all("\n" not in t for t in texts):
        pairs = [(rule, rule_text(rule)) for rule in rules]
        return "; ".join(f"`{t}`" for t in dict.fromkeys(texts)) + explained(pairs), ""
    source = "\n".join(texts)
    return "", source if 0 < source.count("\n") < 16 else ""


# ---------------------------------------------------------------------- entries and pages


class Reference:
    """All pages."""

    def __init__(self):
        self.stubs = Stubs()
        self.names = namespace()
        self.missing: list[str] = []

    def operations(self) -> dict[str, list[tuple[str, str, list[str]]]]:
        """page -> [(module, name, other names)]."""
        pages: dict[str, list] = {page: [] for page in PAGES}
        where = {file: page for page, (_, files) in PAGES.items() for file in files.split()}
        seen: dict[int, tuple] = {}
        for m in PREFIX:
            for name, value in self.stubs.exports[m].items():
                if (
                    not isinstance(value, types.FunctionType)
                    or name.endswith("_")
                    or name.startswith("_")
                ):
                    continue
                file = value.__module__.removeprefix("dlgrad.")
                if m == "." and (name in LEFT_OUT or file in REPEATED):
                    continue
                if id(value) in seen:
                    seen[id(value)][2].append(PREFIX[m] + name)
                    continue
                row = ROWS.get(value.__name__)
                if (
                    m == "."
                    and row is not None
                    and file == "ops.elementwise"
                    and row.family in ("unary", "binary")
                ):
                    page = row.family
                else:
                    page = OF_MODULE.get(m) or where.get(file, "more")
                main = (
                    value.__name__ if self.stubs.exports[m].get(value.__name__) is value else name
                )
                entry = (m, main, [PREFIX[m] + name] if name != main else [])
                seen[id(value)] = entry
                pages[page].append(entry)
        return pages

    def example(self, m: str, name: str, value) -> str:
        """The example of the table, or one from the number of tensors that the operation takes."""
        found = reference_examples.EXAMPLES[m].get(name)
        if found:
            return found
        row = ROWS.get(name)
        required = [p.name for p in inspect.signature(value).parameters.values()
                    if p.default is p.empty and p.kind is not p.VAR_KEYWORD]  # fmt: skip
        whole = row is not None and row.kind == "int"
        if m == "linalg":
            arguments = "S"
        elif m == "signal.windows":
            arguments = "5"
        elif len(required) == 2:
            arguments = "n, k" if whole else "a, b"
        else:
            arguments = "n" if whole else "a" if m == "fft" else "x"
        return f"{PREFIX[m]}{name}({arguments})"

    def entry(self, m: str, name: str, others: list[str]) -> str:
        """The text of one operation."""
        value = self.stubs.exports[m][name]
        where = PREFIX[m] + name
        signature = [line.removeprefix("def ").removesuffix(": ...") for line in self.stubs.function(m, name, value)
                     if line.startswith("def")]  # fmt: skip
        example = self.example(m, name, value)
        row = ROWS.get(name) if m in (".", "special") else None
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lines = shown(example, dict(self.names))
                dtypes, shapes = dtypes_of(example, self.names), shapes_of(example, self.names)
                derivative, source = (derivative_of_row(row), "") if row else ("", "")
                if not derivative:
                    derivative, source = derivative_of_example(example, self.names)
                elif NONE not in derivative:
                    lines += shown(
                        f"slope({where}, {example.removeprefix(where)[1:-1]})", dict(self.names)
                    )
        except Exception as error:
            self.missing.append(f"{where}: {example}: {type(error).__name__}: {error}")
            return ""
        facts = []
        others = [o for o in dict.fromkeys(others) if o != where]
        if others:
            facts.append("also " + ", ".join(f"`{o}`" for o in others))
        method = getattr(dlgrad.Tensor, name, None) if m == "." else None
        if isinstance(method, types.FunctionType):
            facts.append(
                f"method `.{name}`"
                + (f", in place `.{name}_`" if hasattr(dlgrad.Tensor, name + "_") else "")
            )
        facts += [
            f"{label}: {text}"
            for label, text in (("derivative", derivative), ("dtypes", dtypes), ("shapes", shapes))
            if text
        ]
        text = [
            f"## {where}",
            "```python",
            *[tidy(s) for s in signature],
            "```",
            prose(value.__doc__ or ""),
            "",
        ]
        text += [f"- {fact}" for fact in facts]
        if source:
            text += ["", "The derivative:", "```python", source, "```"]
        return "\n".join([*text, "", "```pycon", *lines, "```", ""])

    def page(self, page: str, entries: list) -> str:
        title, _ = PAGES[page]
        texts = [t for t in (self.entry(*e) for e in sorted(entries, key=lambda e: e[1])) if t]
        setup = "\n".join(
            (">>> " if not line.startswith((" ", ")")) else "... ") + line
            for line in SETUP.strip().splitlines()
            if line
        )
        return (
            f"# {title}\n\n<details><summary>The examples' tensors</summary>\n\n```pycon\n{setup}\n\n```\n</details>\n\n"
            + "\n".join(texts)
        )

    def all(self) -> dict[Path, str]:
        """{path: text} of all pages and the index."""
        pages = {page: entries for page, entries in self.operations().items() if entries}
        files = {FOLDER / f"{page}.md": self.page(page, entries) for page, entries in pages.items()}
        lines = [INDEX]
        for page, entries in pages.items():
            names = [PREFIX[m] + name for m, name, _ in sorted(entries, key=lambda e: e[1])]
            links = ", ".join(f"[{n}]({page}.md#{n.replace('.', '').lower()})" for n in names)
            lines.append(f"## [{PAGES[page][0]}]({page}.md)\n{links}\n")
        files[FOLDER / "index.md"] = "\n".join(lines)
        return files


INDEX = """# Reference

One entry for each operation: signature, formula, derivative, the dtypes it takes, the shapes of an example, and the
example with its result. The pages are generated (`python scripts/generate_reference.py`) from the code and by running the
examples; a test runs them again. In derivatives `g` is the gradient of the result, `x` (or `a` and `b`) the input, `y` the
result; where an operation is made of others, they are named. In signatures `Number` is a bool, int, float or complex, `Ints`
an int or a sequence of ints, `Device` a device or its name. Names need `from dlgrad import *`, and
`import dlgrad.nn.functional as F`. `slope(f, x)` is the gradient of `f(x).sum()` by x.
Not repeated here: views as new tensors (`transpose_copy` and the like), and the top level's copies of nn.functional's.
"""


def tidy(signature: str) -> str:
    """A signature without the underscores of the stubs' names."""
    return re.sub(
        r"\b_(bool|int|float|complex|dtype|device|layout|memory_format)\b", r"\1", signature
    )


def prose(doc: str) -> str:
    """A docstring as Markdown: asterisks outside of code are products, not emphasis."""
    lines = inspect.cleandoc(doc).splitlines()
    return "\n".join(re.sub(r"(?<!`)\*(?!`)", r"\\*", line) for line in lines)


def generate() -> tuple[dict[Path, str], list[str]]:
    """({path: text}, what could not be documented)."""
    reference = Reference()
    return reference.all(), reference.missing


def main():
    files, missing = generate()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path not in files:
            path.unlink()
    for path, text in files.items():
        path.write_text(text)
    print(f"{len(files)} pages, {sum(map(len, files.values())) / 1024:.0f} KiB")
    print("\n".join(missing))


if __name__ == "__main__":
    main()
