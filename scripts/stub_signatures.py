"""How a signature is written in a stub: used by generate_stubs.py and generate_reference.py."""

from __future__ import annotations

import ast
import inspect
import keyword
import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
import stub_types  # noqa: E402

import dlgrad  # noqa: E402
from dlgrad.ops import elementwise  # noqa: E402

# Names that methods and dtypes hide inside of the stubs
HIDDEN = {
    name: "_" + name for name in "bool int float complex dtype device layout memory_format".split()
}


# ---------------------------------------------------------------------- what is written by hand


def overrides() -> tuple[dict, dict]:
    """From scripts/stubs/: {class name: its ast}, {(file, function name): [ast of each overload]}."""
    classes, functions = {}, {}
    for path in sorted((ROOT / "scripts/stubs").glob("[!_]*.pyi")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
            elif isinstance(node, ast.FunctionDef):
                functions.setdefault((path.stem, node.name), []).append(node)
    return classes, functions


class _Hider(ast.NodeTransformer):
    def visit_Name(self, node):  # noqa: N802
        return ast.copy_location(ast.Name(HIDDEN.get(node.id, node.id)), node)


def hidden(node: ast.AST | None):
    """An annotation with the names that would mean something else in a stub replaced."""
    return None if node is None else _Hider().visit(node)


def hidden_text(annotation: str) -> str:
    return ast.unparse(hidden(ast.parse(annotation, mode="eval")))


def written(node: ast.FunctionDef, first: str | None = None, drop=()) -> list[str]:
    """The lines of a function written by hand; `first`: the new name of its first parameter, without its type."""
    node = ast.parse(ast.unparse(node)).body[0]  # a copy
    a = node.args
    a.kwonlyargs, a.kw_defaults = (
        [k for k in a.kwonlyargs if k.arg not in drop],
        [d for k, d in zip(a.kwonlyargs, a.kw_defaults) if k.arg not in drop],
    )
    if first and a.posonlyargs:
        a.posonlyargs[0] = ast.arg(first)
    elif first and a.args:
        a.args[0] = ast.arg(first)
    for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]:
        if arg is not None:
            arg.annotation = hidden(arg.annotation)
    node.returns = hidden(node.returns)
    return ast.unparse(node).replace("\n    ...", " ...").splitlines()


# ---------------------------------------------------------------------- signatures


class Report:
    untyped: list[str] = []


DISTRIBUTIONS = frozenset(
    name for name, value in vars(dlgrad.distributions).items() if isinstance(value, type)
)


def default_text(value) -> str:
    if value is None or type(value) in (bool, int, str):
        return repr(value)
    if type(value) is float and math.isfinite(value):
        return repr(value)
    if (
        type(value) is tuple
        and len(value) < 5
        and all(type(v) in (int, float, bool) for v in value)
    ):
        return repr(value)
    return "..."


def annotation_of(where: str, parameter: inspect.Parameter) -> str:
    """The type of a parameter; where: "function" or "Class"."""
    name, default = parameter.name, parameter.default
    given = parameter.annotation
    if isinstance(given, str) and given not in ("Any",) and "." not in given:
        return given
    found = (
        stub_types.EXCEPTIONS.get(f"{where}.{name}")
        or stub_types.EXCEPTIONS.get(f"{where.rsplit('.', 1)[-1]}.{name}")
        or stub_types.EXCEPTIONS.get(f"{where.rsplit('.', 1)[-1].removesuffix('_')}.{name}")
    )
    plain = default is not inspect.Parameter.empty and type(default) in (bool, str)
    if found is None and plain:  # a default says more than a name
        found = type(default).__name__
    found = found or stub_types.PARAMETERS.get(name)
    if found is None and type(default) in (int, float):
        found = type(default).__name__
    if found in ("Tensor", "str", "Sequence[int]") and type(default) in (int, float):
        found = type(default).__name__
    if found == "int" and type(default) is float:
        found = "float"
    if found in ("int", "float") and type(default) is tuple:
        found = "Sequence[int]"
    if found == "Tensor" and where in DISTRIBUTIONS:
        found = "Tensor | float"
    if found == "Number" and name == "value" and where.split(".")[0] in DISTRIBUTIONS:
        found = "Tensor"
    if found is None:
        if not name.startswith("_"):
            Report.untyped.append(f"{where}.{name}")
        return "Any"
    if default is None and not found.endswith("None") and found not in ("Any", "Device"):
        found += " | None"
    return found


def parameter_text(where: str, p: inspect.Parameter) -> str:
    note = hidden_text(annotation_of(where, p))
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
        note = note.removesuffix(" | None")
        note = {"Sequence[_int]": "Ints", "Sequence[Tensor]": "Tensor | Sequence[Tensor]"}.get(
            note, note
        )
        return ("*" if p.kind is p.VAR_POSITIONAL else "**") + f"{p.name}: {note}"
    return f"{p.name}: {note}" + ("" if p.default is p.empty else f" = {default_text(p.default)}")


def row_types(name: str) -> dict[str, str]:
    """What the row tells of the operands: whether they may be numbers."""
    row = elementwise.ROWS.get(name)
    if row is None or row.arity != 2:
        return {}
    only, first = name in elementwise._TENSORS_ONLY, name in elementwise._TENSOR_FIRST
    return {
        "input": "Tensor" if only or first else "Tensor | Number",
        "other": "Tensor" if only else "Tensor | Number",
    }


ALIASES = {
    "multiply": "mul", "subtract": "sub", "divide": "div", "true_divide": "div", "arctan2": "atan2", "not_equal": "ne",
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}  # fmt: skip


def signature_text(name: str, where: str, function, method: bool, drop=()) -> str:
    """The parameters in brackets. method: the first one becomes self."""
    parts, star, slash = [], False, False
    rows = {
        **row_types(ALIASES.get(name, name)),
        **row_types(ALIASES.get(name.removesuffix("_"), name.removesuffix("_"))),
    }
    parameters = list(inspect.signature(function).parameters.values())
    for i, p in enumerate(parameters):
        if method and i == 0:
            parts.append("self")
            continue
        if p.name in drop or keyword.iskeyword(p.name):
            continue
        if p.kind is p.POSITIONAL_ONLY:
            slash = True
        elif slash:
            parts.append("/")
            slash = False
        if p.kind is p.VAR_KEYWORD and p.name == "names":  # NumPy's names of dim and keepdim
            parts += ["axis: Ints | None = None", f"keepdims: {HIDDEN['bool']} = False"]
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        star = star or p.kind is p.VAR_POSITIONAL
        if p.name in rows and p.default is p.empty:
            parts.append(f"{p.name}: {rows[p.name]}")
        elif p.name == "out":
            parts.append(f"out: {out_type(where, name)} = None")
        else:
            parts.append(parameter_text(where, p))
    if slash:
        parts.append("/")
    if parts and parts[-1] == "*":
        parts.pop()
    return ", ".join(parts)


def out_type(where: str, name: str) -> str:
    kind = result_of(where, name)
    count = {"return_types": 2, "tuple[Tensor, Tensor]": 2}
    several = kind.split(".")[0].split("[")[0] in ("return_types", "tuple") or kind in count
    return "Sequence[Tensor] | None" if several else "Tensor | None"


def result_of(where: str, name: str, function=None, default: str = "Tensor") -> str:
    for key in (where, where.split(".", 1)[-1], f"{where.rsplit('.', 1)[0]}.{name}", name):
        if key in stub_types.RESULTS:
            return stub_types.RESULTS[key]
    note = getattr(function, "__annotations__", {}).get("return")
    if isinstance(note, str) and "." not in note and "[" not in note:
        return note
    return default


def define(name: str, parameters: str, result: str, decorators=()) -> list[str]:
    return [
        *[f"@{d}" for d in decorators],
        f"def {name}({parameters}) -> {hidden_text(result)}: ...",
    ]
