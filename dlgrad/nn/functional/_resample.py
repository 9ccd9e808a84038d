"""Resampling: interpolate, grid_sample, affine_grid."""

from __future__ import annotations

import functools
import math
import struct
import warnings

import dlgrad
from dlgrad import Tensor
from dlgrad import plan as door
from dlgrad.autograd.graph import record
from dlgrad.autograd.mode import mode as mode_now
from dlgrad.layout import Layout, contiguous
from dlgrad.ops.elementwise import anchored
from dlgrad.ops.resample import Axis, resample, whole_axis
from dlgrad.plan import not_again

__all__ = [
    "upsample",
    "interpolate",
    "upsample_nearest",
    "upsample_bilinear",
    "grid_sample",
    "affine_grid",
]

# mode -> the input's dim() it takes (None: any), and whether align_corners means something
_MODES = {
    "nearest": (None, False),
    "nearest-exact": (None, False),
    "area": (None, False),
    "linear": (3, True),
    "bilinear": (4, True),
    "bicubic": (4, True),
    "trilinear": (5, True),
}


def _as_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def _exactly(value):
    return value


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """Deprecated: interpolate."""
    not_again()
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """Deprecated: interpolate with mode="nearest"."""
    not_again()
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """Deprecated: interpolate with mode="bilinear" and align_corners=True."""
    not_again()
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _target_size(input, size, scale_factor, recompute):
    """(output sizes, scale of each dimension or None)."""
    n = input.dim() - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        sizes = list(size) if isinstance(size, (list, tuple)) else [size] * n
        if len(sizes) != n:
            raise ValueError(
                f"Input and output must have the same number of spatial dimensions, but got input "
                f"with spatial dimensions of {list(input.shape[2:])} and output size of {size}. "
                "Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in "
                "(o1, o2, ...,oK) format."
            )
        for value in sizes:
            if isinstance(value, float) or not hasattr(value, "__index__"):
                raise TypeError(
                    f"expected size to be one of int or Tuple[int], but got size {size!r}"
                )
        return [int(value) for value in sizes], [None] * n
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if isinstance(scale_factor, (list, tuple)):
        factors = [float(factor) for factor in scale_factor]
        if len(factors) != n:
            raise ValueError(
                f"Input and scale_factor must have the same number of spatial dimensions, but got "
                f"input with spatial dimensions of {list(input.shape[2:])} and scale_factor of "
                f"shape {scale_factor}."
            )
    else:
        factors = [float(scale_factor)] * n
    sizes = [math.floor(float(s) * f) for s, f in zip(input.shape[2:], factors)]
    return sizes, [None] * n if recompute else factors


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Resamples (N, C, d...) to `size`, or to its size times `scale_factor`.

    `align_corners`: whether the corner pixels' centres stay at the corners. `antialias` (bilinear
    and bicubic): widens the kernel when shrinking.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"[interpolate] expected a Tensor, got {type(input).__name__}")
    if mode not in _MODES:
        raise NotImplementedError(
            f"Input Error: unknown interpolation mode {mode!r}; it is one of {', '.join(_MODES)}"
        )
    rank, corners = _MODES[mode]
    if not corners and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | "
            "bicubic | trilinear"
        )
    if input.dim() not in (3, 4, 5):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.dim()}D) for the "
            f"modes: {' | '.join(_MODES)} (got {mode})"
        )
    sizes, factors = _target_size(input, size, scale_factor, recompute_scale_factor)
    if rank is not None and input.dim() != rank:
        raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {rank}D input")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor "
            "as input"
        )
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"[interpolate] Expected non-zero sizes (the batch alone may be empty), got input of "
            f"shape {list(input.shape)}"
        )
    if min(sizes) <= 0 and (mode != "area" or min(sizes) < 0):
        raise RuntimeError(
            f"[interpolate] Input and output sizes should be greater than 0, but got input "
            f"{list(input.shape[2:])} and output {sizes}"
        )
    if mode == "area":
        from . import _pooling

        return getattr(_pooling, f"adaptive_avg_pool{input.dim() - 2}d")(input, sizes)
    if not input.is_floating_point() and corners:
        raise RuntimeError(f"[interpolate] mode {mode!r} not implemented for {input.dtype}")
    if antialias:
        return _antialiased(input, sizes, factors, mode == "bicubic", bool(align_corners))
    if not input.is_floating_point():
        result = input
        for i, (out, factor) in enumerate(zip(sizes, factors)):
            where = _nearest_positions(input.shape[i + 2], out, factor, mode == "nearest-exact")
            result = result.index_select(i + 2, dlgrad.tensor(where, dtype=dlgrad.int64))
        return result
    double = input.dtype is dlgrad.float64
    axes = [
        _axis(size, out, factor, mode, bool(align_corners), double)
        for size, out, factor in zip(input.shape[2:], sizes, factors)
    ]
    if len(axes) == 1:
        return resample(input.unsqueeze(2), whole_axis(1), axes[0]).squeeze(2)
    result = resample(input, axes[-2], axes[-1])
    if len(axes) == 3:
        flat = result.flatten(-2)
        result = resample(flat, axes[0], whole_axis(flat.shape[-1])).unflatten(-1, result.shape[-2:])
    return result


@functools.lru_cache(maxsize=256)
def _axis(size, out, factor, mode, align_corners, double):
    """Interpolation along one dimension: weighted picks of its positions."""
    if mode.startswith("nearest"):
        return Axis(size, _nearest_positions(size, out, factor, mode == "nearest-exact"))
    exact = _exactly if double else _as_float32
    if out == size and (factor is None or factor == 1):
        return whole_axis(size)
    if align_corners:
        scale = exact((size - 1) / (out - 1)) if out > 1 else 0.0
        sources = [exact(i * scale) for i in range(out)]
    else:
        scale = exact(1 / factor if factor else size / out)
        sources = [exact(exact(scale * (i + 0.5)) - 0.5) for i in range(out)]
    if mode == "bicubic":
        base = [math.floor(source) for source in sources]
        last = size - 1
        positions = [[min(max(b - 1 + k, 0), last) for k in range(4)] for b in base]
        return Axis(size, positions, [list(_cubic_weights(s - b)) for s, b in zip(sources, base)])
    sources = [max(source, 0.0) for source in sources]
    low = [min(int(source), size - 1) for source in sources]
    high = [min(position + 1, size - 1) for position in low]
    shares = [min(s - p, 1.0) for s, p in zip(sources, low)]
    return Axis(size, [list(pair) for pair in zip(low, high)], [[1 - share, share] for share in shares])


def _nearest_positions(size, out, factor, exact):
    if out == size and not exact:
        return list(range(size))
    if out == 2 * size and not exact:
        return [i >> 1 for i in range(out)]
    scale = _as_float32(1 / factor if factor else size / out)
    shift = 0.5 if exact else 0.0
    return [min(int(_as_float32((i + shift) * scale)), size - 1) for i in range(out)]


def _cubic_weights(t, a=-0.75):
    """The weights of the four neighbours at distance 1 + t, t, 1 - t, 2 - t (Keys 1981)."""

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return far(t + 1), near(t), near(1 - t), far(2 - t)


_MOST_PICKS = 4  # of a position that the kernel takes


def _antialiased(input, sizes, factors, cubic, align_corners):
    """Interpolation by kernels as wide as the shrinking asks for (Pillow's way)."""
    ways = [_antialias(*of, cubic, align_corners) for of in zip(input.shape[2:], sizes, factors)]
    if all([axis is not None for _, axis in ways]):
        return resample(input, ways[0][1], ways[1][1])
    for dim, (rows, _) in enumerate(ways, 2):
        weights = _antialias_matrix(rows, input.shape[dim], input.dtype)
        door.constants(weights)
        input = input.movedim(dim, -1).matmul(weights).movedim(-1, dim)
    return input


@functools.lru_cache(maxsize=64)
def _antialias(size, out, factor, cubic, align_corners):
    """(first position, weights) of each of the `out` results along a dimension; and as an Axis where they are few."""
    if align_corners:
        scale = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        scale = 1 / factor if factor else size / out
    reach = 2.0 if cubic else 1.0
    support = reach * scale if scale >= 1 else reach
    inverse = 1 / scale if scale >= 1 else 1.0

    def kernel(x):
        x = abs(x)
        if not cubic:
            return max(0.0, 1.0 - x)
        a = -0.5
        if x < 1:
            return ((a + 2) * x - (a + 3)) * x * x + 1
        return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0

    rows = []
    for i in range(out):
        centre = scale * (i + 0.5)
        first = max(int(centre - support + 0.5), 0)
        end = min(int(centre + support + 0.5), size)
        weights = [kernel((j - centre + 0.5) * inverse) for j in range(first, end)]
        total = sum(weights)
        rows.append((first, tuple([w / total for w in weights] if total else weights)))
    if max([len(weights) for _, weights in rows]) > _MOST_PICKS:
        return tuple(rows), None
    positions = [[min(first + k, size - 1) for k in range(_MOST_PICKS)] for first, _ in rows]
    return tuple(rows), Axis(size, positions, [[*weights, *[0.0] * (_MOST_PICKS - len(weights))] for _, weights in rows])


@functools.lru_cache(maxsize=64)
def _antialias_matrix(rows, size, dtype):
    """The weights of all results, as (size, number of results)."""
    matrix = [[*[0.0] * first, *weights, *[0.0] * (size - first - len(weights))] for first, weights in rows]
    return dlgrad.tensor(matrix, dtype=dtype).t().contiguous()


def affine_grid(theta, size, align_corners=None):
    """The sampling grid (N, H, W, 2) of the affine maps theta (N, 2, 3), or (N, D, H, W, 3) for
    (N, 3, 4). `size` is the output's, (N, C, H, W) or (N, C, D, H, W)."""
    if not isinstance(theta, Tensor) or not theta.is_floating_point():
        raise ValueError(
            f"Expected theta to have floating point type, but got {getattr(theta, 'dtype', type(theta))}"
        )
    if align_corners is None:
        not_again()
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since "
            "1.3.0. Please specify align_corners=True if the old behavior is desired.",
            stacklevel=2,
        )
        align_corners = False
    size = tuple(int(value) for value in size)
    n = len(size) - 2
    if n not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}"
        )
    if theta.dim() != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got "
            f"{list(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    sizes = size[2:]
    columns = []
    # x goes with the last dimension, y with the one before.
    for i in reversed(range(n)):
        length = sizes[i]
        line = (
            dlgrad.linspace(-1, 1, length, dtype=theta.dtype)
            if length > 1
            else dlgrad.zeros(1, dtype=theta.dtype)
        )
        if not align_corners:
            line = line * ((length - 1) / length)
        shape = [1] * n
        shape[i] = length
        columns.append(line.reshape(shape).expand(sizes))
    columns.append(dlgrad.ones(sizes, dtype=theta.dtype))
    base = dlgrad.stack(columns, -1).reshape(1, -1, n + 1)
    return base.matmul(theta.transpose(1, 2)).reshape(size[0], *sizes, n)


_SAMPLE_MODES = ("bilinear", "nearest", "bicubic")
_SAMPLE_PADDING = ("zeros", "border", "reflection")


def _unnormalize(coordinate, size, align_corners):
    """A coordinate in [-1, 1] as a position in pixels."""
    if align_corners:
        return (coordinate + 1) / 2 * (size - 1)
    return ((coordinate + 1) * size - 1) / 2


def _reflect(position, low2, high2):
    """`position` mirrored into [low2 / 2, high2 / 2] as often as it takes."""
    if low2 == high2:
        return dlgrad.zeros_like(position)
    low, span = low2 / 2, (high2 - low2) / 2
    distance = (position - low).abs()
    with dlgrad.no_grad():
        flips = (distance / span).floor()
        odd = flips % 2 == 1
    extra = distance - flips * span
    return dlgrad.where(odd, span - extra + low, extra + low)


def _into_image(position, size, padding_mode, align_corners):
    """`position` after the padding mode has moved it."""
    if padding_mode == "border":
        return position.clamp(0, size - 1)
    if padding_mode == "reflection":
        if align_corners:
            position = _reflect(position, 0, 2 * (size - 1))
        else:
            position = _reflect(position, -1, 2 * size - 1)
        return position.clamp(0, size - 1)
    return position


def _at(flat, positions, sizes):
    """Pixels of `flat` (N, C, prod(sizes)) at integral positions (N, points); 0 outside."""
    inside = None
    where = None
    for position, size in zip(positions, sizes):
        fits = (position >= 0) & (position <= size - 1)
        inside = fits if inside is None else inside & fits
        index = dlgrad.where(fits, position, 0.0).long()
        where = index if where is None else where * size + index
    batch, channels = flat.shape[:2]
    where = where.unsqueeze(1).expand(batch, channels, where.shape[-1])
    values = flat.gather(2, where)
    return dlgrad.where(inside.unsqueeze(1), values, 0.0)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Samples (N, C, H, W) at grid (N, H', W', 2) of (x, y) in [-1, 1]; also in three dimensions.

    mode: bilinear, nearest, bicubic (2-D only); padding_mode: zeros, border, reflection.
    """
    if mode not in _SAMPLE_MODES:
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in _SAMPLE_PADDING:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if align_corners is None:
        not_again()
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since "
            "1.3.0. Please specify align_corners=True if the old behavior is desired.",
            stacklevel=2,
        )
        align_corners = False
    n = input.dim() - 2
    if n not in (2, 3) or grid.dim() != input.dim():
        raise RuntimeError(
            f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0] or grid.shape[-1] != n:
        raise RuntimeError(
            f"grid_sampler(): expected grid of batch {input.shape[0]} with {n} coordinates, got grid "
            f"of shape {list(grid.shape)} for input of shape {list(input.shape)}"
        )
    if input.dtype is not grid.dtype:
        raise RuntimeError(
            f"grid_sampler(): expected input and grid to have same dtype, but input has "
            f"{input.dtype} and grid has {grid.dtype}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(
            f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    if mode == "bicubic" and n == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if input.dtype in (dlgrad.float32, dlgrad.float64) and input.numel() and grid.numel():
        if type(input._layout) is type(grid._layout) is Layout:
            return _sampled(input, grid, mode, padding_mode, bool(align_corners))
    return _sample_composed(input, grid, mode, padding_mode, align_corners)


_FEW_CHANNELS = 8  # whose gradients are found together with the grid's


def _sampled(input, grid, mode, padding_mode, align_corners):
    """grid_sample by the kernels."""
    batch, channels, *sizes = input.shape
    options = mode, padding_mode, align_corners
    ints = (_SAMPLE_MODES.index(mode), _SAMPLE_PADDING.index(padding_mode), align_corners, *sizes)
    lay = contiguous(input.dtype, (batch, channels, *grid.shape[1:-1]))
    given = input.detach().contiguous(), grid.detach().contiguous()
    result = door.call("resample", "grid_sample", lay, given, ints=ints, name="grid_sample")

    def rule(g, image, grid):
        if mode_now.enabled:
            return _composed_rule(g, image, grid, options)
        wanted = image.requires_grad, grid.requires_grad
        image, points = image.detach().contiguous(), grid.detach().contiguous()
        g = g.contiguous()
        to_image = to_grid = None
        if all(wanted) and channels <= _FEW_CHANNELS and mode != "nearest":
            return door.call("resample", "grid_sample_backward_both", (image._layout, points._layout), (g, image, points), ints=ints)
        if wanted[0]:
            to_image = door.call("resample", "grid_sample_backward", image._layout, (g, points), ints=ints)
        if wanted[1] and mode == "nearest":
            to_grid = dlgrad.zeros_like(points)
        elif wanted[1]:
            given = g, image, points
            to_grid = door.call("resample", "grid_sample_backward_grid", points._layout, given, ints=ints)
        return to_image, to_grid

    return record(result, f"GridSampler{len(sizes)}DBackward0", rule, (input, grid), (input, grid))


def _composed_rule(g, image, grid, options):
    """The gradients as operations that record themselves."""
    wanted = [t for t in (image, grid) if t.requires_grad]
    again = _sample_composed(image.view_as(image), grid.view_as(grid), *options)
    found = iter(dlgrad.autograd.grad(again, wanted, g, create_graph=True, allow_unused=True))
    return tuple([next(found) if t.requires_grad else None for t in (image, grid)])


def _sample_composed(input, grid, mode, padding_mode, align_corners):
    n = input.dim() - 2
    batch, channels, *sizes = input.shape
    out = grid.shape[1:-1]
    flat = input.reshape(batch, channels, math.prod(sizes))
    points = grid.reshape(batch, math.prod(out), n)
    # The grid has x first; positions go in the order of the dimensions.
    raw = [
        _unnormalize(points[:, :, n - 1 - i], size, align_corners) for i, size in enumerate(sizes)
    ]
    if mode == "bicubic":
        result = _sample_cubic(flat, raw, sizes, padding_mode, align_corners)
    else:
        moved = [_into_image(p, s, padding_mode, align_corners) for p, s in zip(raw, sizes)]
        if mode == "nearest":
            result = _at(flat, [position.detach().round() for position in moved], sizes)
            if grid.requires_grad:
                # The gradient of the grid is 0, and not missing.
                result = result + (anchored(points) * 0).sum(-1).unsqueeze(1)
        else:
            result = _sample_linear(flat, moved, sizes)
    return result.reshape(batch, channels, *out)


def _sample_linear(flat, positions, sizes):
    lows = [position.detach().floor() for position in positions]
    result = None
    for corner in range(1 << len(sizes)):
        weight = None
        where = []
        for i, (position, low) in enumerate(zip(positions, lows)):
            upper = corner >> i & 1
            share = position - low if upper else low + 1 - position
            weight = share if weight is None else weight * share
            where.append(low + 1 if upper else low)
        term = _at(flat, where, sizes) * weight.unsqueeze(1)
        result = term if result is None else result + term
    return result


def _sample_cubic(flat, positions, sizes, padding_mode, align_corners):
    bases = [position.detach().floor() for position in positions]
    weights = [_cubic_weights(position - base) for position, base in zip(positions, bases)]
    result = None
    for j in range(4):
        row = None
        y = _into_image(bases[0] - 1 + j, sizes[0], padding_mode, align_corners)
        for k in range(4):
            x = _into_image(bases[1] - 1 + k, sizes[1], padding_mode, align_corners)
            term = _at(flat, (y, x), sizes) * weights[1][k].unsqueeze(1)
            row = term if row is None else row + term
        row = row * weights[0][j].unsqueeze(1)
        result = row if result is None else result + row
    return result
