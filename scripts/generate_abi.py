"""Writes include/dlgrad.h and dlgrad/_abi.py from the Zig source.

    python scripts/generate_abi.py       (or `zig build abi`)

Types, families, rows and numbers come from the compiler (zig/gen_abi.zig); names of
parameters and documentation, which the compiler does not tell, from the text of zig/abi.zig.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cffi

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from hatch_build import zig_command  # noqa: E402


def describe() -> dict:
    """What zig/gen_abi.zig prints."""
    with tempfile.TemporaryDirectory() as folder:
        options = Path(folder, "options.zig")
        options.write_text("pub const levels = [_][]const u8{};\n")  # no kernel is needed for it
        command = [
            *zig_command(), "run", "-lc", "--dep", "build_options",
            f"-Mroot={ROOT / 'zig/gen_abi.zig'}", f"-Mbuild_options={options}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"generate_abi.py: zig/gen_abi.zig does not run\n{done.stderr}")
    return json.loads(done.stdout)


def documented() -> dict[str, tuple[list[str], list[str]]]:
    """Of each exported function: its doc comment's lines, its parameters' names."""
    found = {}
    text = (ROOT / "zig/abi.zig").read_text()
    for match in re.finditer(
        r"((?:^///[^\n]*\n)*)^pub export fn (\w+)\((.*?)\) callconv", text, re.M | re.S
    ):
        comment = [line[3:].strip() for line in match[1].splitlines()]
        found[match[2]] = (comment, re.findall(r"(\w+):", match[3]))
    return found


def declarations(described: dict, comments: bool) -> str:
    """The C declarations, in the order of abi.zig."""
    lines = []
    about = documented()
    for name, (returns, *types) in described["functions"].items():
        comment, parameters = about[name]
        if comments and comment:
            lines += ["", "/* " + "\n   ".join(comment) + " */"]
        # A C++ or C keyword would be one in the header too: abi.zig's names are neither.
        arguments = [
            t + ("" if t.endswith("*") else " ") + p for t, p in zip(types, parameters, strict=True)
        ]
        space = "" if returns.endswith("*") else " "
        lines.append(f"{returns}{space}{name}({', '.join(arguments) or 'void'});")
    return "\n".join(lines) + "\n"


def enum(name: str, prefix: str, numbers: dict[str, int]) -> str:
    rows = "".join(f"    {prefix}{key.upper()} = {value},\n" for key, value in numbers.items())
    return f"enum {name} {{\n{rows}}};\n"


def header(described: dict) -> str:
    families = {name: i for i, name in enumerate(described["families"])}
    rows = [
        enum(
            f"dlgrad_{family}", f"DLGRAD_{family.upper()}_", {row: i for i, row in enumerate(names)}
        )
        for family, names in described["families"].items()
        if names
    ]
    parts = [
        "/* The C ABI of dlgrad's kernel library. Made from zig/abi.zig by `zig build abi`: do not edit.\n"
        "   The operands and parameters of each row are described on top of zig/ops/<family>.zig. */\n"
        "#ifndef DLGRAD_H\n#define DLGRAD_H\n\n#include <stddef.h>\n#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        "/* A prepared kernel call: everything but its addresses. */\ntypedef struct dlgrad_plan dlgrad_plan;\n",
        enum("dlgrad_dtype", "DLGRAD_", described["dtypes"]),
        enum("dlgrad_status", "DLGRAD_STATUS_", described["statuses"]),
        "/* Kernel families, and the rows (operations) of each. */\n"
        + enum("dlgrad_family", "DLGRAD_FAMILY_", families),
        *rows,
        declarations(described, comments=True).lstrip("\n"),
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
    ]
    return "\n".join(parts)


def python_module(described: dict) -> str:
    """What cffi needs to call the library without parsing declarations, and the numbers."""
    ffi = cffi.FFI()
    ffi.cdef("typedef struct dlgrad_plan dlgrad_plan;\n" + declarations(described, comments=False))
    ffi.set_source("dlgrad._abi", None)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "_abi.py")
        with contextlib.redirect_stdout(None):  # it says what it writes
            ffi.emit_python_code(str(out))
        emitted = out.read_text()
    lines = [
        '"""The C ABI of the kernel library. Made from zig/abi.zig by `zig build abi`: do not edit."""',
        "# fmt: off",
        emitted.strip(),
        "",
        f"DTYPES = {described['dtypes']!r}",
        f"STATUSES = {described['statuses']!r}",
        f"FAMILIES = { {name: i for i, name in enumerate(described['families'])}!r}",
        "ROWS = {",
    ]
    for family, names in described["families"].items():
        lines.append(f"    {family!r}: {{")
        lines += [f"        {row!r}: {i}," for i, row in enumerate(names)]
        lines.append("    },")
    return "\n".join([*lines, "}"]) + "\n"


def generate() -> dict[Path, str]:
    """The generated files and what belongs into them."""
    described = describe()
    return {
        ROOT / "include/dlgrad.h": header(described),
        ROOT / "dlgrad/_abi.py": python_module(described),
    }


def main() -> None:
    for path, text in generate().items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
