"""How tensors print: the same text as PyTorch's, with its options."""

from __future__ import annotations

import contextlib
import math
import struct
import sys

from . import dtypes as dt
from ._lib import ffi
from ._native import pointer
from .layout import Layout
from .tensor import Tensor

_DEFAULTS = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
_options = dict(_DEFAULTS)


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None,
                     sci_mode=None):  # fmt: skip
    """Sets how tensors print; what is None stays, except `sci_mode`.

    precision: digits behind the point (4).  threshold: a tensor of more elements is summarised (1000).
    edgeitems: how many a summary shows at each end of a dimension (3).  linewidth: characters of a
    line (80).  profile: 'default', 'short' or 'full', taken before the others.  sci_mode: scientific
    notation always (True), never (False), or where the values call for it (None).
    Raises ValueError for another profile."""
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(
                f"set_printoptions(): profile must be one of {list(_PROFILES)}, got {profile!r}"
            )
        _options.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems,
             "linewidth": linewidth}  # fmt: skip
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def get_printoptions() -> dict:
    """The options in force, as keywords for `set_printoptions`."""
    return dict(_options)


@contextlib.contextmanager
def printoptions(**options):
    """Context manager: these options inside, the former ones afterwards."""
    before = get_printoptions()
    try:
        set_printoptions(**options)
        yield
    finally:
        set_printoptions(**before)


# ---------------------------------------------------------------------- the elements


def _reader(t):
    """`read(offset, n, stride)` -> n elements of the tensor's memory as Python numbers.

    It reads the memory itself: printing runs no operation, so it works inside of any mode or hook."""
    lay = t._layout
    raw = memoryview(ffi.buffer(pointer(t._ptr), lay.span * lay.dtype.itemsize))
    name = lay.dtype.name
    if lay.dtype.is_complex:
        parts = raw.cast(lay.dtype.to_real().format)

        def read_pairs(offset, n, stride):
            places = [2 * (offset + i * stride) for i in range(n)]
            return [complex(parts[i], parts[i + 1]) for i in places]

        return read_pairs
    if name in ("float16", "bfloat16"):
        memory = raw.cast("H")

        def widen(bits):
            if name == "float16":
                return struct.unpack("e", struct.pack("H", bits))[0]
            return struct.unpack("f", struct.pack("I", bits << 16))[0]

    else:
        memory, widen = raw.cast(lay.dtype.format), None

    def read(offset, n, stride):
        if n == 0:
            return []
        if stride == 0:
            values = [memory[offset]] * n
        else:
            values = memory[offset : offset + (n - 1) * stride + 1 : stride].tolist()
        return values if widen is None else [widen(v) for v in values]

    return read


def _shown(n, summarize, edge):
    """Which of `n` places of a dimension are shown: the first ones, and the last ones ((): no gap)."""
    if summarize and n > 2 * edge:
        return range(edge), range(n - edge, n)
    return range(n), ()


def _collect(read, lay, summarize, edge, dim=0, offset=0):
    """All elements that are shown, as a flat list."""
    if dim == lay.ndim:
        return read(offset, 1, 0)
    n, stride = lay.shape[dim], lay.strides[dim]
    head, tail = _shown(n, summarize, edge)
    if dim == lay.ndim - 1:
        values = read(offset, len(head), stride)
        return values + read(offset + tail[0] * stride, len(tail), stride) if tail else values
    values = []
    for i in (*head, *tail):
        values += _collect(read, lay, summarize, edge, dim + 1, offset + i * stride)
    return values


class _Formatter:
    """Turns numbers into text of one width, chosen by looking at all that are shown."""

    def __init__(self, values, floating):
        self.floating = floating
        self.whole = True  # every finite value is an integer
        self.scientific = False
        self.width = 1
        self.precision = precision = _options["precision"]
        if not floating:
            self.width = max([1, *(len(f"{v}") for v in values)])
            return
        values = [v for v in values if v != 0 and math.isfinite(v)]
        if not values:
            return
        largest, smallest = max(map(abs, values)), min(map(abs, values))
        self.whole = all(v.is_integer() for v in values)
        self.scientific = _options["sci_mode"]
        if self.scientific is None:
            self.scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
        if self.scientific:
            self.width = max(len(f"{v:.{precision}e}") for v in values)
        elif self.whole:
            self.width = max(len(f"{v:.0f}") for v in values) + 1  # the point behind
        else:
            self.width = max(len(f"{v:.{precision}f}") for v in values)

    def __call__(self, value):
        if not self.floating:
            text = f"{value}"
        elif self.scientific:
            text = f"{value:.{self.precision}e}"
        elif self.whole:
            text = f"{value:.0f}" + ("." if math.isfinite(value) else "")
        else:
            text = f"{value:.{self.precision}f}"
        return text.rjust(self.width)


class _ComplexFormatter:
    """Real and imaginary parts, each in a format of its own."""

    def __init__(self, values):
        self.real = _Formatter([v.real for v in values], True)
        self.imag = _Formatter([v.imag for v in values], True)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value):
        imag = self.imag(value.imag).lstrip() + "j"
        return self.real(value.real) + ("" if imag[0] in "+-" else "+") + imag


def _vector(read, n, stride, offset, indent, summarize, form):
    """One row, broken into lines."""
    edge = _options["edgeitems"]
    per_line = max(1, math.floor((_options["linewidth"] - indent) / (form.width + 2)))
    if summarize and not edge:
        texts = ["..."]
    else:
        head, tail = _shown(n, summarize, edge)
        texts = [form(v) for v in read(offset, len(head), stride)]
        if tail:
            texts.append(" ...")
            texts += [form(v) for v in read(offset + tail[0] * stride, len(tail), stride)]
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(read, lay, dim, offset, indent, summarize, form):
    left = lay.ndim - dim
    if left == 0:
        return form(read(offset, 1, 0)[0])
    n, stride = lay.shape[dim], lay.strides[dim]
    if left == 1:
        return _vector(read, n, stride, offset, indent, summarize, form)

    def slices(places):
        return [
            _nested(read, lay, dim + 1, offset + i * stride, indent + 1, summarize, form)
            for i in places
        ]

    edge = _options["edgeitems"]
    head, tail = _shown(n, summarize, edge)
    texts = slices(head)
    if summarize and n > 2 * edge:
        texts += ["...", *slices(tail)]
    return "[" + ("," + "\n" * (left - 1) + " " * (indent + 1)).join(texts) + "]"


def _contents(t, indent):
    lay = t._layout
    if lay.numel == 0:
        return "[]"
    edge = _options["edgeitems"]
    summarize = lay.numel > _options["threshold"]
    read = _reader(t)
    if summarize and not edge and lay.ndim > 1:
        values = []
    else:
        # PyTorch takes the width of a vector of which nothing is shown from all of it; nobody sees it.
        values = _collect(read, lay, summarize, edge)
    form = _ComplexFormatter(values) if lay.dtype.is_complex else _Formatter(values, lay.dtype.is_floating_point)
    return _nested(read, lay, 0, 0, indent, summarize, form)


# ---------------------------------------------------------------------- the whole


def _prefix(t):
    """'tensor(' for tensors and parameters, the class's name for other subclasses."""
    cls = type(t)
    if cls is Tensor:
        return "tensor("
    parameters = sys.modules.get("dlgrad.nn.parameter")
    if parameters is not None and cls is parameters.Parameter:
        return "tensor("
    return f"{cls.__name__}("


def tensor_repr(t, tensor_contents=None) -> str:
    """The text of a tensor, as PyTorch prints it: `tensor([1., 2.], requires_grad=True)`.

    tensor_contents: text to stand in place of the elements."""
    if type(t._layout) is not Layout:
        from .batched import whole_of

        members = ", ".join(f"{size} of level {number}" for number, size, _ in t._layout.hidden)
        return f"BatchedTensor({members}, value=\n    {tensor_repr(whole_of(t))}\n)"
    prefix = _prefix(t)
    indent = len(prefix)
    dtype, shape = t._layout.dtype, tuple(t._layout.shape)
    suffixes = []
    default = dt.get_default_dtype().to_complex() if dtype.is_complex else dt.get_default_dtype()
    if t._layout.numel == 0:
        if len(shape) != 1:
            suffixes.append(f"size={shape}")
        named = dtype is default  # no elements to tell integers by
    else:
        if not _options["edgeitems"]:
            suffixes.append(f"size={shape}")
        named = dtype in (default, dt.int64, dt.bool)
    if not named:
        suffixes.append(f"dtype={dtype}")
    try:
        fn = t.grad_fn
        grad_fn = None if fn is None else fn.name().rsplit("::", 1)[-1]
    except RuntimeError:  # a view from no_grad whose base was written to since
        grad_fn = "Invalid"
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    text = prefix + (_contents(t, indent) if tensor_contents is None else tensor_contents)
    width = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        length = len(suffix.replace("=dlgrad.", "=torch."))  # lines break where PyTorch's do
        if width + length + 2 > _options["linewidth"]:
            text += ",\n" + " " * indent + suffix
            width = indent + length
        else:
            text += ", " + suffix
            width += length + 2
    return text + ")"
