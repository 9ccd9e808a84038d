//! Winograd's transforms (conv_winograd.zig says of what), and images as transformed tiles.
const std = @import("std");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const pixels = @import("conv_pixels.zig");
const Tensor = @import("conv_image.zig").Tensor;

const W = pixels.W;
const V = pixels.V;
const Failure = pixels.Failure;
const alloc = pixels.alloc;
const free = pixels.free;
const apart = pixels.apart;
const ceilDiv = pixels.ceilDiv;

/// Products of a tile: positions in the transformed 6x6 window.
pub const points = 36;

// --- The three transforms, and their transposes -----------------------------------------------

const sqrt2 = 1.41421356237309504880;

inline fn mul(x: V, comptime c: f32) V {
    return x * @as(V, @splat(c));
}
inline fn fma(x: V, comptime c: f32, y: V) V {
    return simd.fma(V, x, @splat(c), y);
}

/// B' d.
pub inline fn windowLine(d: [6]V) [6]V {
    const even1 = fma(d[2], -2, d[4]);
    const odd1 = fma(d[3], sqrt2 / 2.0, mul(d[1], -sqrt2));
    const even2 = fma(d[2], -0.5, d[4]);
    const odd2 = fma(d[3], sqrt2, mul(d[1], -sqrt2 / 2.0));
    return .{
        fma(d[2], -2.5, d[0] + d[4]),
        even1 + odd1,
        even1 - odd1,
        even2 + odd2,
        even2 - odd2,
        fma(d[3], -2.5, d[1] + d[5]),
    };
}

/// A' m.
pub inline fn outputLine(m: [6]V) [4]V {
    const sum1 = m[1] + m[2];
    const sum2 = m[3] + m[4];
    const diff1 = m[1] - m[2];
    const diff2 = m[3] - m[4];
    return .{
        m[0] + (sum1 + sum2),
        fma(diff2, sqrt2, mul(diff1, sqrt2 / 2.0)),
        fma(sum2, 2, mul(sum1, 0.5)),
        fma(diff2, 2 * sqrt2, fma(diff1, sqrt2 / 4.0, m[5])),
    };
}

/// A y.
pub inline fn outputLineTransposed(y: [4]V) [6]V {
    const even1 = fma(y[2], 0.5, y[0]);
    const odd1 = fma(y[3], sqrt2 / 4.0, mul(y[1], sqrt2 / 2.0));
    const even2 = fma(y[2], 2, y[0]);
    const odd2 = fma(y[3], 2 * sqrt2, mul(y[1], sqrt2));
    return .{ y[0], even1 + odd1, even1 - odd1, even2 + odd2, even2 - odd2, y[3] };
}

/// G w.
pub inline fn weightLine(w: [3]V) [6]V {
    const even1 = fma(w[0], -2.0 / 3.0, mul(w[2], -1.0 / 3.0));
    const odd1 = mul(w[1], sqrt2 / 3.0);
    const even2 = fma(w[0], 1.0 / 6.0, mul(w[2], 1.0 / 3.0));
    const odd2 = mul(w[1], sqrt2 / 6.0);
    return .{ w[0], even1 - odd1, even1 + odd1, even2 + odd2, even2 - odd2, w[2] };
}

/// G' u.
pub inline fn weightLineTransposed(u: [6]V) [3]V {
    const sum1 = u[1] + u[2];
    const sum2 = u[3] + u[4];
    return .{
        fma(sum2, 1.0 / 6.0, fma(sum1, -2.0 / 3.0, u[0])),
        fma(u[3] - u[4], sqrt2 / 6.0, mul(u[2] - u[1], sqrt2 / 3.0)),
        fma(sum2, 1.0 / 3.0, fma(sum1, -1.0 / 3.0, u[5])),
    };
}

/// `line` along both dimensions of x[row][column].
pub inline fn both(
    comptime n: usize,
    comptime m: usize,
    comptime line: fn ([n]V) callconv(.@"inline") [m]V,
    x: *const [n][n]V,
) [m][m]V {
    var half: [m][n]V = undefined;
    inline for (0..n) |c| {
        var column: [n]V = undefined;
        inline for (0..n) |r| column[r] = x[r][c];
        const l = line(column);
        inline for (0..m) |r| half[r][c] = l[r];
    }
    var out: [m][m]V = undefined;
    inline for (0..m) |r| out[r] = line(half[r]);
    return out;
}

// --- Images to tiles -----------------------------------------------------------------------------

/// Transformed tiles: point q of tile t, all channels, at `at(q, t)`. Chunks of tiles are apart,
/// so that what is multiplied together lies together.
pub const Tiles = struct {
    memory: []align(64) f32,
    chunk: usize,
    row: usize,
    /// From a point to the next.
    point: usize,

    pub fn init(tiles: usize, chunk: usize, channels: usize) Failure!Tiles {
        const row = apart(channels);
        const point = apart(chunk * row);
        return .{
            .memory = try alloc(ceilDiv(tiles, chunk) * points * point),
            .chunk = chunk,
            .row = row,
            .point = point,
        };
    }
    pub fn at(t: *const Tiles, q: usize, tile: usize) [*]f32 {
        return t.memory.ptr + (tile / t.chunk * points + q) * t.point + tile % t.chunk * t.row;
    }
};

/// The output's grid of 4x4 tiles, images one after the other.
pub const Grid = struct {
    rows: usize,
    columns: usize,
    /// Elements of the output.
    height: usize,
    length: usize,

    pub fn init(size: [3]usize) Grid {
        return .{
            .rows = ceilDiv(size[1], 4),
            .columns = ceilDiv(size[2], 4),
            .height = size[1],
            .length = size[2],
        };
    }
    pub fn tiles(grid: Grid) usize {
        return grid.rows * grid.columns;
    }
};

/// Images first .. first + count, `reach` x `reach` elements a tile, to `tiles`.
pub const Transform = struct {
    image: Tensor,
    first: usize,
    channels: usize,
    grid: Grid,
    /// Zeros above and left of the image (negative: elements left out).
    top: i64,
    left: i64,
    tiles: *const Tiles,
    failed: *std.atomic.Value(bool),

    /// Rows of tiles staged at a time: about 128 KB.
    fn band(t: *const Transform) usize {
        return std.math.clamp(2048 / (16 * (t.grid.columns + 1)), 1, t.grid.rows);
    }

    pub fn run(t: Transform, comptime reach: usize, count: usize) Failure!void {
        const pieces = count * ceilDiv(t.grid.rows, t.band()) * (t.channels / W);
        const cost = t.band() * t.grid.columns * points * W;
        const body = struct {
            fn f(job: *const Transform, begin: usize, end: usize) void {
                job.items(reach, begin, end) catch job.failed.store(true, .monotonic);
            }
        }.f;
        services.parallelFor(pieces, gemm.grain(gemm.piece_packed, cost), t, body);
        if (t.failed.load(.monotonic)) return error.OutOfMemory;
    }

    fn items(t: *const Transform, comptime reach: usize, begin: usize, end: usize) Failure!void {
        const bands = ceilDiv(t.grid.rows, t.band());
        const blocks = t.channels / W;
        const length = 4 * (t.grid.columns - 1) + reach;
        const staged = try alloc((4 * (t.band() - 1) + reach) * length * W);
        defer free(staged);
        for (begin..end) |item| {
            const block = item % blocks * W;
            const first_row = item / blocks % bands * t.band();
            const image = item / blocks / bands;
            const rows = @min(t.band(), t.grid.rows - first_row);
            const own: [*]const f32 = @ptrCast(@alignCast(t.image.ptr));
            pixels.stage(
                t.image,
                own + (t.first + image) * t.image.image + block * t.image.channel,
                .{
                    .top = @as(i64, @intCast(4 * first_row)) - t.top,
                    .left = -t.left,
                    .rows = 4 * (rows - 1) + reach,
                    .length = length,
                    .pixel = W,
                },
                staged.ptr,
            );
            for (0..rows) |r| for (0..t.grid.columns) |c| {
                const tile = (image * t.grid.rows + first_row + r) * t.grid.columns + c;
                const src = staged.ptr + (4 * r * length + 4 * c) * W;
                transformTile(reach, src, length * W, t.tiles.at(0, tile) + block, t.tiles.point);
            };
        }
    }

    fn transformTile(comptime reach: usize, src: [*]const f32, row: usize, dst: [*]f32, point: usize) void {
        var x: [reach][reach]V = undefined;
        inline for (0..reach) |r| inline for (0..reach) |c| {
            x[r][c] = src[r * row + c * W ..][0..W].*;
        };
        const line = if (reach == 6) windowLine else outputLineTransposed;
        const out = both(reach, 6, line, &x);
        inline for (0..6) |r| inline for (0..6) |c| {
            dst[(r * 6 + c) * point ..][0..W].* = out[r][c];
        };
    }
};
