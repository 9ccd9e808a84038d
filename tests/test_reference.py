"""The reference pages: every operation is there, and running the examples again gives what the pages show."""

import math
import re
import sys
from pathlib import Path

import pytest

import dlgrad
from dlgrad.ops.elementwise import ROWS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import generate_reference  # noqa: E402


@pytest.fixture(scope="module")
def made():
    return generate_reference.generate()


def test_every_operation_is_documented(made):
    files, missing = made
    assert missing == []
    text = "\n".join(files.values())
    for page, entries in generate_reference.Reference().operations().items():
        for module, name, _ in entries:
            entry = re.search(
                rf"^## {re.escape(generate_reference.PREFIX[module] + name)}\n(.*?)(?=^## |\Z)",
                text,
                re.M | re.S,
            )
            assert entry, name
            signature, formula = re.match(
                r"```python\n(.*?)\n```\n(.*?)\n\n", entry[1], re.S
            ).groups()
            assert signature.startswith(name + "(") and len(formula) > 1, name
            assert re.search(rf"^>>> .*\b{re.escape(name)}\(.*\n(?!```)", entry[1], re.M), (
                f"{name}: no example"
            )


def test_rows_show_their_derivatives(made):
    files, _ = made
    for page in ("unary", "binary"):
        text = files[generate_reference.FOLDER / f"{page}.md"]
        for name, row in ROWS.items():
            if f"\n## {name}\n" in text and any(row.derivatives):
                entry = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
                assert "\n- derivative: `" in entry and ">>> slope(" in entry, name


def test_derivatives_are_the_rules_source():
    text = {
        name: generate_reference.derivative_of_row(ROWS[name])
        for name in ("expm1", "mul", "maximum", "hypot")
    }
    assert text["expm1"] == "`g * (y + 1)`"
    assert text["mul"] == "`g * b` by `input`; `g * a` by `other`"
    assert text["maximum"].startswith(
        '`_to_larger(g, a, b)` by `input`; `_to_larger(g, b, a)` by `other` (`_to_larger`: g where'
    )
    assert text["hypot"] == "`g * (a / y)` by `input`; `g * (b / y)` by `other`"


def test_dtypes_are_found_by_running():
    names = generate_reference.namespace()
    assert (
        generate_reference.dtypes_of("sqrt(a)", names)
        == "floating, integers (gives float32), bool (gives float32), complex"
    )
    assert generate_reference.dtypes_of("bitwise_and(n, k)", names) == "integers, bool"
    assert (
        generate_reference.dtypes_of("a > b", names)
        == "floating (gives bool), integers (gives bool), bool"
    )
    assert generate_reference.shapes_of("matmul(M, a)", names) == "M (2, 3), a (3,) → (2,)"


def alike(text, expected):
    """Whether the texts are equal; at the CPU level without FMA, which rounds otherwise, up to the numbers' last digits."""
    if dlgrad.cpu_level() != "x86_64":
        return text == expected
    number = r"-?\d+\.\d*(?:e[+-]\d+)?"
    values, others = ([float(v) for v in re.findall(number, t)] for t in (text, expected))
    return len(values) == len(others) and all(
        math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6) for a, b in zip(values, others)
    )


def test_committed_pages_show_what_the_examples_give(made):
    files, _ = made
    for path, text in files.items():
        assert path.exists() and alike(text, path.read_text()), (
            f"{path.relative_to(ROOT)} is stale: run `python scripts/generate_reference.py`"
        )
    assert set(generate_reference.FOLDER.glob("*.md")) == set(files)
