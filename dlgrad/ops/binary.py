"""Operations of two tensors, element by element, with broadcasting and promotion. A row: the name in
zig/ops/binary.zig, the derivatives by its first and second input, its meaning."""

from __future__ import annotations

from .elementwise import binary

add = binary("add", lambda g: g, lambda g: g, "a + b.")
sub = binary("sub", lambda g: g, lambda g: -g, "a - b.", kind="number", aliases=("subtract",))
mul = binary("mul", lambda g, b: g * b, lambda g, a: g * a, "a b.", aliases=("multiply",))
div = binary("div", lambda g, b: g / b, lambda g, b, y: -g * (y / b), "a / b.", kind="float", aliases=("divide", "true_divide"))
