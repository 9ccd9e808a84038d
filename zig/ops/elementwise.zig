//! The driver of all elementwise rows: operands of one (broadcast) shape, any strides, any
//! dtypes, one contiguous kernel.
//!
//! A kernel is one function over packed tiles of its compute types. What already lies in
//! memory as the kernel wants it is used where it lies; anything else (strided, repeated,
//! of another dtype) is gathered and converted into a tile of a few KiB on the stack, and a
//! result that cannot be written in place goes through a tile likewise.
//!
const std = @import("std");
const plan = @import("../plan.zig");
const view = @import("../view.zig");
const simd = @import("../simd.zig");
const services = @import("../services.zig");
const convert = @import("convert.zig");
const kernels = @import("elementwise_kernel.zig");
const stream = @import("stream.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const View = view.View;
const DType = @import("../dtype.zig").DType;
pub const Tile = convert.Tile;
pub const max_inputs = kernels.max_inputs;
pub const Kernel = kernels.Kernel;
pub const Sources = kernels.Sources;
pub const kernelOf = kernels.kernelOf;
pub const kernelMixed = kernels.kernelMixed;
pub const moveKernel = kernels.moveKernel;

const tile_bytes = 4096;
/// In a tile across rows, a repeated element is spread by whole vectors, so beyond the
/// elements asked for.
const slack = 64;
const Buffer = [tile_bytes + slack]u8; // a multiple of 64, as its alignment
/// Threads take whole multiples of this many elements, so that their vectors stay aligned.
const unit = 64;

/// What a row asks of the driver.
pub const Spec = struct {
    kernel: Kernel,
    out: Tile,
    in: [max_inputs]Tile = @splat(.f32),
    /// Inputs of the kernel, the scalar one included.
    n_in: usize,
    /// The input that is no operand but scalar[0] in every element.
    scalar_input: ?usize = null,
    /// Elements that are worth a thread.
    grain: usize = cheap,
    /// The kernel is a moveKernel: a conversion need not go through it.
    is_move: bool = false,
};
pub const cheap = 32768;
pub const costly = 8192;

/// Where the kernel finds an operand (or, the output, leaves it).
const Place = enum {
    /// In memory, where it lies.
    in_place,
    /// In a tile that is the same for every call: whole periods of it, or one number.
    once,
    /// In memory without gaps, but of another dtype.
    flat_convert,
    /// One element along each row.
    repeated,
    gather,
};

const Slot = struct {
    /// Index of its address in the call.
    address: u8 = 0,
    tile: Tile = .f32,
    move: convert.Move = undefined,
    /// No conversion is needed where the stride is right.
    same: bool = false,
    place: Place = .in_place,
};

pub const State = struct {
    view: View,
    kernel: Kernel,
    /// One call of the kernel computes any range.
    direct: bool,
    /// Tiles stay within a row of the view.
    by_row: bool,
    tile_length: usize,
    grain: usize,
    n_in: usize,
    scalar_input: usize,
    is_move: bool,
    out: Slot,
    in: [max_inputs]Slot,
};

pub fn prepare(p: *Plan, spec: Spec) plan.PrepareError!void {
    const state = try init(p.operands, spec);
    (try p.create(State)).* = state;
    p.run = run;
}

/// For families that drive more than one kernel. `operands`: the output, then the inputs.
pub fn init(operands: []const plan.Operand, spec: Spec) plan.PrepareError!State {
    const has_scalar = spec.scalar_input != null;
    std.debug.assert(operands.len == 1 + spec.n_in - @intFromBool(has_scalar));
    const v = try View.init(operands);
    var state: State = .{
        .view = v,
        .kernel = spec.kernel,
        .direct = true,
        .by_row = true,
        .tile_length = tile_bytes / spec.out.size(),
        .grain = spec.grain / unit,
        .n_in = spec.n_in,
        .scalar_input = spec.scalar_input orelse max_inputs,
        .is_move = spec.is_move,
        .out = .{ .tile = spec.out },
        .in = @splat(.{}),
    };
    const s = &state;
    if (v.n == 0) return state;
    for (0..spec.n_in) |i| {
        s.in[i].tile = spec.in[i];
        s.tile_length = @min(s.tile_length, tile_bytes / spec.in[i].size());
    }

    // What every operand is.
    const out_dtype = operands[0].dtype;
    s.out.same = spec.out.isMemoryOf(out_dtype);
    s.out.move = convert.storer(out_dtype, spec.out);
    var next: u8 = 1;
    for (s.in[0..spec.n_in], 0..) |*slot, i| {
        if (i == s.scalar_input) continue;
        const d = operands[next].dtype;
        slot.address = next;
        slot.same = slot.tile.isMemoryOf(d);
        slot.move = convert.loader(d, slot.tile);
        next += 1;
    }
    chooseTiling(s);
    chooseSources(s);
    return state;
}

/// Rows of the view, or tiles across them.
fn chooseTiling(s: *State) void {
    const v = &s.view;
    const inner = v.inner();
    if (v.ndim == 1) return;
    var flat_or_periodic = v.isFlat(0);
    var rows_in_place = s.out.same and v.innerStride(0) == v.element[0];
    for (s.in[0..s.n_in], 0..) |slot, i| {
        if (i == s.scalar_input) continue;
        const k = slot.address;
        if (!v.isFlat(k) and v.period(k) > s.tile_length) flat_or_periodic = false;
        const stride = v.innerStride(k);
        if (stride != 0 and !(slot.same and stride == v.element[k])) rows_in_place = false;
    }
    s.by_row = if (flat_or_periodic)
        inner >= s.tile_length / 2
    else
        inner >= @as(usize, if (rows_in_place) 64 else 256);
}

fn chooseSources(s: *State) void {
    const v = &s.view;
    s.out.place = if (s.by_row)
        (if (s.out.same and v.innerStride(0) == v.element[0]) .in_place else .gather)
    else if (v.isFlat(0)) (if (s.out.same) .in_place else .flat_convert) else .gather;
    var periods: usize = 1;
    for (s.in[0..s.n_in], 0..) |*slot, i| {
        if (i == s.scalar_input) {
            slot.place = .once;
            continue;
        }
        const k = slot.address;
        const period = v.period(k);
        if (s.by_row) {
            slot.place = if (slot.same and v.innerStride(k) == v.element[k])
                .in_place
            else if (period == 1) .once else if (v.innerStride(k) == 0) .repeated else .gather;
        } else if (v.isFlat(k)) {
            slot.place = if (slot.same) .in_place else .flat_convert;
        } else if (period <= s.tile_length and fits(periods, period, s.tile_length)) {
            slot.place = .once;
            periods = lcm(periods, period);
        } else slot.place = .gather;
    }
    s.tile_length -= s.tile_length % periods;
    s.direct = s.out.place == .in_place and (!s.by_row or v.ndim == 1);
    for (s.in[0..s.n_in], 0..) |slot, i| {
        s.direct = s.direct and (slot.place == .in_place or i == s.scalar_input);
    }
}

/// A tile that holds whole periods of both is long enough to be worth it.
fn fits(a: usize, b: usize, length: usize) bool {
    const both = lcm(a, b);
    return both <= length and (length - length % both) * 2 > length;
}
fn lcm(a: usize, b: usize) usize {
    return a / std.math.gcd(a, b) * b;
}

pub fn run(p: *const Plan, call: *Call) void {
    const s = p.stateAs(State);
    execute(s, s.kernel, call);
}

/// As `run`, with another kernel of the same types.
pub fn execute(s: *const State, kernel: Kernel, call: *Call) void {
    const n = s.view.n;
    if (n == 0) return;
    const job: Job = .{ .s = s, .kernel = kernel, .call = call };
    services.parallelFor((n + unit - 1) / unit, s.grain, job, Job.piece);
}

const Job = struct {
    s: *const State,
    kernel: Kernel,
    call: *Call,

    fn piece(j: *const Job, begin_unit: usize, end_unit: usize) void {
        const s = j.s;
        const begin = begin_unit * unit;
        const end = @min(end_unit * unit, s.view.n);
        if (s.direct) {
            var number: [64]u8 align(64) = undefined;
            if (s.scalar_input < max_inputs) {
                spreadScalar(s.in[s.scalar_input].tile, &number, j.call.scalar[0]);
            }
            var in: Sources = @splat(.{});
            for (s.in[0..s.n_in], in[0..s.n_in]) |slot, *source| source.* = if (slot.place == .once)
                .{ .ptr = &number, .repeated = true }
            else
                .{ .ptr = j.call.ptr[slot.address].? + begin * slot.tile.size() };
            const out = j.call.ptr[0].? + begin * s.out.tile.size();
            const large = s.view.n * s.out.tile.size() >= stream.from_bytes;
            if (stream.available and large and !isInput(s, out, &in)) {
                return j.streamed(end - begin, out, in);
            }
            return j.kernel(end - begin, out, &in, j.call);
        }
        if (s.by_row) j.rows(begin, end) else j.tiles(begin, end);
    }

    /// n elements to out, which will not stay in the cache: by way of a tile that does.
    fn streamed(j: *const Job, n: usize, out: [*]u8, inputs: Sources) void {
        const s = j.s;
        const size = s.out.tile.size();
        var in = inputs;
        var tile: Buffer align(64) = undefined;
        var done: usize = 0;
        while (done < n) {
            const m = @min(n - done, s.tile_length);
            j.kernel(m, &tile, &in, j.call);
            stream.copy(out + done * size, &tile, m * size);
            done += m;
            for (s.in[0..s.n_in], in[0..s.n_in]) |slot, *source| {
                if (!source.repeated) source.ptr += m * slot.tile.size();
            }
        }
        stream.fence();
    }

    fn isInput(s: *const State, out: [*]u8, in: *const Sources) bool {
        for (in[0..s.n_in]) |source| if (source.ptr == out) return true;
        return false;
    }

    /// Tiles within rows.
    fn rows(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        const v = &s.view;
        var buffers: [max_inputs + 1]Buffer align(64) = undefined;
        var in: Sources = @splat(.{});
        j.fillOnce(&buffers, &in, begin, @min(end - begin, s.tile_length));

        const inner = v.inner();
        const out_stride = v.innerStride(0);
        const limit = if (j.rowsWhole()) inner else s.tile_length;
        var cursor = view.Cursor.init(v, begin / inner);
        var column = begin % inner;
        var left = end - begin;
        while (true) {
            const n = @min(left, inner - column, limit);
            const result = j.call.ptr[0].? + cursor.offset[0] + column * out_stride;
            for (s.in[0..s.n_in], 0..) |slot, i| {
                const k = slot.address;
                const stride = v.innerStride(k);
                const memory = j.call.ptr[k].? + cursor.offset[k] + column * stride;
                switch (slot.place) {
                    .once => {},
                    .in_place => in[i].ptr = memory,
                    .repeated => {
                        slot.move(&buffers[i], memory, 1, 0);
                        spread(slot.tile.size(), &buffers[i], 1);
                        in[i] = .{ .ptr = &buffers[i], .repeated = true };
                    },
                    .gather, .flat_convert => {
                        // A conversion alone goes where the kernel would put it.
                        const into_result = s.is_move and s.out.place == .in_place;
                        in[i].ptr = if (into_result) result else &buffers[i];
                        slot.move(in[i].ptr, memory, n, stride);
                    },
                }
            }
            if (s.out.place == .in_place) {
                j.kernel(n, result, &in, j.call);
            } else {
                const tile = if (s.is_move and !in[0].repeated) in[0].ptr else &buffers[max_inputs];
                j.kernel(n, tile, &in, j.call);
                s.out.move(tile, result, n, out_stride);
            }
            left -= n;
            if (left == 0) return;
            column += n;
            if (column == inner) {
                column = 0;
                cursor.next(v);
            }
        }
    }

    /// No tile is needed, so a call may compute a whole row, however long.
    fn rowsWhole(j: *const Job) bool {
        const s = j.s;
        if (s.is_move and s.in[0].place == .gather) return s.out.place == .in_place;
        for (s.in[0..s.n_in]) |slot| if (slot.place == .gather) return false;
        return s.out.place == .in_place or (s.is_move and s.in[0].place == .in_place);
    }

    /// Tiles across rows, which are short.
    fn tiles(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        const v = &s.view;
        var buffers: [max_inputs + 1]Buffer align(64) = undefined;
        var in: Sources = @splat(.{});
        j.fillOnce(&buffers, &in, begin, @min(end - begin, s.tile_length));
        var at = begin;
        while (at < end) {
            const n = @min(end - at, s.tile_length);
            const result = j.call.ptr[0].? + at * s.out.tile.size(); // if in place
            for (s.in[0..s.n_in], 0..) |slot, i| {
                if (slot.place == .once) continue;
                const k = slot.address;
                const base = j.call.ptr[k].?;
                if (slot.place == .in_place) {
                    in[i].ptr = base + at * slot.tile.size();
                    continue;
                }
                const into_result = s.is_move and s.out.place == .in_place;
                const to = if (into_result) result else &buffers[i];
                in[i].ptr = to;
                if (slot.place == .flat_convert) {
                    slot.move(to, base + at * v.element[k], n, v.element[k]);
                } else if (v.innerStride(k) == 0 and !into_result) {
                    walkSpread(v, k, slot, base, to, at, n);
                } else walk(v, k, slot, base, to, at, n);
            }
            const base = j.call.ptr[0].?;
            if (s.out.place == .in_place) {
                j.kernel(n, result, &in, j.call);
            } else {
                const tile = if (s.is_move and !in[0].repeated) in[0].ptr else &buffers[max_inputs];
                j.kernel(n, tile, &in, j.call);
                if (s.out.place == .flat_convert) {
                    s.out.move(tile, base + at * v.element[0], n, v.element[0]);
                } else walk(v, 0, s.out, base, tile, at, n);
            }
            at += n;
        }
    }

    /// The inputs that are the same in every tile.
    fn fillOnce(
        j: *const Job,
        buffers: *[max_inputs + 1]Buffer,
        in: *Sources,
        at: usize,
        n: usize,
    ) void {
        const s = j.s;
        for (s.in[0..s.n_in], 0..) |slot, i| {
            if (slot.place != .once) continue;
            const tile = &buffers[i];
            in[i].ptr = tile;
            if (i == s.scalar_input) {
                spreadScalar(slot.tile, tile, j.call.scalar[0]);
                in[i].repeated = true;
            } else if (s.view.period(slot.address) == 1) {
                slot.move(tile, j.call.ptr[slot.address].?, 1, 0);
                spread(slot.tile.size(), tile, 1);
                in[i].repeated = true;
            } else walk(&s.view, slot.address, slot, j.call.ptr[slot.address].?, tile, at, n);
        }
    }
};

/// A vector full of the number, as the tile's type.
fn spreadScalar(tile: Tile, to: [*]u8, x: plan.Scalar) void {
    var bits = x.i;
    switch (tile) {
        .f32 => bits = @as(u32, @bitCast(@as(f32, @floatCast(x.f)))),
        else => {}, // f64 and i64 as they are; of raw elements, the lower bytes
    }
    to[0..8].* = @bitCast(bits);
    spread(tile.size(), to, 1);
}

/// The first element of the tile to the first n, and possibly to some more.
fn spread(size: usize, tile: [*]u8, n: usize) void {
    switch (size) {
        inline 1, 2, 4, 8 => |bytes| {
            const T = @Int(.unsigned, bytes * 8);
            const lanes = simd.lanes(T);
            const p: [*]T = @ptrCast(@alignCast(tile));
            const x = p[0];
            var i: usize = 0;
            while (i < n) : (i += lanes) p[i..][0..lanes].* = @splat(x);
        },
        else => unreachable,
    }
}

/// Elements [at, at + n) of the iteration between operand k and a packed tile.
fn walk(v: *const View, k: usize, slot: Slot, base: [*]u8, tile: [*]u8, at: usize, n: usize) void {
    const stride = v.innerStride(k);
    const size = slot.tile.size();
    var rows: Rows = .init(v, k, base, at);
    var done: usize = 0;
    var column = at % rows.inner;
    while (true) {
        const m = @min(n - done, rows.inner - column);
        slot.move(tile + done * size, rows.memory + column * stride, m, stride);
        done += m;
        if (done == n) return;
        column = 0;
        rows.next();
    }
}

/// As walk, of an input that repeats an element along each row; the tile has slack.
fn walkSpread(
    v: *const View,
    k: usize,
    slot: Slot,
    base: [*]u8,
    tile: [*]u8,
    at: usize,
    n: usize,
) void {
    const size = slot.tile.size();
    var rows: Rows = .init(v, k, base, at);
    var done: usize = 0;
    var column = at % rows.inner;
    while (true) {
        const m = @min(n - done, rows.inner - column);
        const to = tile + done * size;
        slot.move(to, rows.memory, 1, 0);
        spread(size, to, m);
        done += m;
        if (done == n) return;
        column = 0;
        rows.next();
    }
}

/// The rows of one operand, one after the other.
const Rows = struct {
    view: *const View,
    k: usize,
    inner: usize,
    memory: [*]u8,
    coordinate: [view.max_dims]usize,

    /// At the row of element `at`.
    fn init(v: *const View, k: usize, base: [*]u8, at: usize) Rows {
        var r: Rows = .{
            .view = v,
            .k = k,
            .inner = v.inner(),
            .memory = base,
            .coordinate = undefined,
        };
        var rest = at / r.inner;
        var d = v.ndim - 1;
        while (d > 0) {
            d -= 1;
            r.coordinate[d] = rest % v.sizes[d];
            rest /= v.sizes[d];
            r.memory += r.coordinate[d] * v.strides[k][d];
        }
        return r;
    }

    inline fn next(r: *Rows) void {
        const v = r.view;
        var d = v.ndim - 1;
        while (d > 0) {
            d -= 1;
            r.coordinate[d] += 1;
            r.memory += v.strides[r.k][d];
            if (r.coordinate[d] < v.sizes[d]) return;
            r.memory -= v.sizes[d] * v.strides[r.k][d];
            r.coordinate[d] = 0;
        }
    }
};

test {
    _ = @import("elementwise_test.zig");
}
