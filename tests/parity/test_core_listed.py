"""Every operation that core_ops.txt names is in one of the tables of the test_core files."""

from pathlib import Path

from . import (
    test_core_creation,
    test_core_elementwise,
    test_core_indexing,
    test_core_losses,
    test_core_nn,
    test_core_products,
    test_core_reductions,
    test_core_shapes,
)

TABLES = [
    module.TABLE
    for module in (
        test_core_creation,
        test_core_elementwise,
        test_core_indexing,
        test_core_losses,
        test_core_nn,
        test_core_products,
        test_core_reductions,
        test_core_shapes,
    )
]


def listed():
    lines = Path(__file__).with_name("core_ops.txt").read_text().splitlines()
    names = (line.split("#")[0].strip() for line in lines)
    return {n for n in names if n and not n.startswith("-")}


def test_every_core_operation_has_a_row():
    covered = {name.split(":")[0] for table in TABLES for name in table}
    assert not listed() - covered


def test_no_name_has_two_rows():
    names = [name for table in TABLES for name in table]
    assert len(names) == len(set(names))
