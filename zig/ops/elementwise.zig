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
const services = @import("../services.zig");
const convert = @import("convert.zig");
const kernels = @import("elementwise_kernel.zig");
const drive = @import("elementwise_drive.zig");
const Plan = plan.Plan;
const Call = plan.Call;
const View = view.View;
const DType = @import("../dtype.zig").DType;
pub const Tile = convert.Tile;
pub const max_inputs = kernels.max_inputs;
pub const Kernel = kernels.Kernel;
pub const Sources = kernels.Sources;
pub const KernelOptions = kernels.KernelOptions;
pub const kernelOf = kernels.kernelOf;
pub const kernelMixed = kernels.kernelMixed;
pub const moveKernel = kernels.moveKernel;

pub const tile_bytes = 4096;
/// The same where nothing is converted: what it takes to begin a tile counts.
pub const long_tile_bytes = 8192;
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
    /// How the first input is loaded, if not by its dtype and tile.
    load: ?convert.Move = null,
    /// The kernel computes in float32, whatever its tiles hold.
    half: bool = false,
};
pub const cheap = 32768;
pub const costly = 8192;

/// Where the kernel finds an operand (or, the output, leaves it).
pub const Place = enum {
    /// In memory, where it lies.
    in_place,
    /// In a tile that is the same for every call: whole periods of it, or one number.
    once,
    /// In memory without gaps, but of another dtype.
    flat_convert,
    /// One element along each row.
    repeated,
    gather,
    /// In memory, rows and columns exchanged.
    transposed,
};

pub const Slot = struct {
    /// Index of its address in the call.
    address: u8 = 0,
    tile: Tile = .f32,
    move: convert.Move = undefined,
    /// No conversion is needed where the stride is right.
    same: bool = false,
    place: Place = .in_place,
    /// Its rows are the same throughout the last two dimensions, and tiles are whole rows.
    rows_alike: bool = false,
};

pub const Way = enum {
    /// One call of the kernel computes any range.
    direct,
    /// Tiles stay within rows of the view, or are whole rows.
    rows,
    /// Tiles across rows, which are short.
    tiles,
    /// Blocks of the last dimension and another one, along which an input lies.
    blocks,
    /// Short rows, of which inputs have the same ones again and again: those are laid out once.
    periods,
};

pub const State = struct {
    view: View,
    kernel: Kernel,
    way: Way,
    tile_length: usize,
    grain: usize,
    n_in: usize,
    scalar_input: usize,
    is_move: bool,
    /// The other dimension of the blocks.
    along: usize = 0,
    /// Elements of a period.
    period: usize = 0,
    /// Scalars that the plan has, in the place of those of each call.
    fixed: [3]plan.Scalar = undefined,
    n_fixed: usize = 0,
    out: Slot,
    in: [max_inputs]Slot,
};

pub fn prepare(p: *Plan, spec: Spec) plan.PrepareError!void {
    var state = try init(p.operands, spec);
    fixScalars(p, if (spec.half) .f32 else spec.in[spec.n_in - 1], &state);
    (try p.create(State)).* = state;
    p.run = run;
}

/// A plan may have the kernel's scalars: in its floats or, for integer kernels, in its ints
/// after the first.
fn fixScalars(p: *const Plan, tile: Tile, s: *State) void {
    if (tile == .f32 or tile == .f64) {
        s.n_fixed = p.floats.len;
        for (s.fixed[0..s.n_fixed], p.floats) |*x, f| x.* = .{ .f = f };
    } else if (p.ints.len > 1) {
        s.n_fixed = p.ints.len - 1;
        for (s.fixed[0..s.n_fixed], p.ints[1..]) |*x, i| x.* = .{ .i = i };
    }
}

/// For families that drive more than one kernel. `operands`: the output, then the inputs.
pub fn init(operands: []const plan.Operand, spec: Spec) plan.PrepareError!State {
    const has_scalar = spec.scalar_input != null;
    std.debug.assert(operands.len == 1 + spec.n_in - @intFromBool(has_scalar));
    const v = try View.init(operands);
    var state: State = .{
        .view = v,
        .kernel = spec.kernel,
        .way = .direct,
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
        if (i == 0) if (spec.load) |m| {
            slot.move = m;
            slot.same = false;
        };
        next += 1;
    }
    chooseWay(s);
    chooseSources(s);
    return state;
}

/// Rows that nothing stands in the way of are worth a loop of the kernel's from so many bytes.
const short_row = 512;
/// The same where a tile needs no more than what is laid out once.
const shortest_whole_row = 1536;
/// Others, of which several make a tile.
const short_gathered_row = 64;

fn chooseWay(s: *State) void {
    const v = &s.view;
    s.way = .rows;
    if (v.ndim == 1) return;
    var unconverted = s.out.same;
    for (s.in[0..s.n_in]) |slot| unconverted = unconverted and slot.same;
    if (unconverted and s.scalar_input == max_inputs) s.tile_length *= long_tile_bytes / tile_bytes;
    const inner = v.inner();
    var flat_or_periodic = v.isFlat(0);
    var rows_in_place = s.out.same and v.innerStride(0) == v.element[0];
    for (s.in[0..s.n_in], 0..) |slot, i| {
        if (i == s.scalar_input) continue;
        const k = slot.address;
        if (!v.isFlat(k) and v.period(k) > s.tile_length) flat_or_periodic = false;
        if (!(slot.same and (v.innerStride(k) == 0 or v.innerStride(k) == v.element[k]))) {
            rows_in_place = false;
        }
    }
    const least: usize = if (flat_or_periodic)
        (if (rows_in_place) @min(s.tile_length / 2, shortest_whole_row / v.element[0]) else s.tile_length / 2)
    else if (rows_in_place) @max(short_gathered_row, short_row / v.element[0]) else short_gathered_row;
    if (inner < least and !takesColumn(s)) s.way = .tiles;
    if (!rows_in_place and inner >= 8) chooseBlocks(s);
}

/// The kernel has a core for an input with one element for each row; where few elements come
/// again and again, they are better laid out once.
fn takesColumn(s: *const State) bool {
    const v = &s.view;
    if (s.kernel.columns == null or v.inner() >> s.kernel.lane_bits == 0 or s.scalar_input != max_inputs) return false;
    const column: usize = if (v.innerStride(1) == 0) 1 else 2;
    const period = v.period(column) * s.out.tile.size();
    return s.out.same and s.in[0].same and s.in[1].same and period > 2 * long_tile_bytes and
        v.innerStride(column) == 0 and v.isFlat(0) and v.isFlat(3 - column);
}

/// Where an input's elements follow one another along another dimension than the output's.
fn chooseBlocks(s: *State) void {
    const v = &s.view;
    if (s.is_move or !s.out.same or v.innerStride(0) != v.element[0]) return;
    var along: usize = v.ndim;
    for (s.in[0..s.n_in], 0..) |slot, i| {
        if (i == s.scalar_input) continue;
        const k = slot.address;
        if (!slot.same) return;
        if (v.innerStride(k) == 0 or v.innerStride(k) == v.element[k]) continue;
        const d = for (0..v.ndim - 1) |d| {
            if (v.strides[k][d] == v.element[k] and v.sizes[d] >= 8) break d;
        } else return;
        if (along != v.ndim and along != d) return;
        along = d;
    }
    if (along == v.ndim) return;
    s.way = .blocks;
    s.along = along;
}

fn chooseSources(s: *State) void {
    const v = &s.view;
    const by_row = s.way == .rows or s.way == .blocks;
    s.out.place = if (by_row)
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
        if (by_row) {
            slot.place = if (slot.same and v.innerStride(k) == v.element[k])
                .in_place
            else if (period == 1) .once else if (v.innerStride(k) == 0)
                .repeated
            else if (s.way == .blocks) .transposed else .gather;
        } else if (v.isFlat(k)) {
            slot.place = if (slot.same) .in_place else .flat_convert;
        } else if (period <= s.tile_length and fits(periods, period, s.tile_length)) {
            slot.place = .once;
            periods = lcm(periods, period);
        } else slot.place = .gather;
    }
    chooseAlike(s, &periods);
    s.tile_length -= s.tile_length % periods;
    if (s.way == .tiles) choosePeriods(s);
    var direct = s.out.place == .in_place and (s.way == .tiles or (s.way == .rows and v.ndim == 1));
    for (s.in[0..s.n_in], 0..) |slot, i| {
        direct = direct and (slot.place == .in_place or i == s.scalar_input);
    }
    if (direct) s.way = .direct;
}

fn chooseAlike(s: *State, periods: *usize) void {
    const v = &s.view;
    if (s.way != .tiles or v.inner() * 4 > s.tile_length or !fits(periods.*, v.inner(), s.tile_length)) return;
    for (s.in[0..s.n_in], 0..) |*slot, i| {
        if (i == s.scalar_input or slot.place != .gather) continue;
        if (v.strides[slot.address][v.ndim - 2] != 0 or v.sizes[v.ndim - 2] < 8) continue;
        slot.rows_alike = true;
        periods.* = lcm(periods.*, v.inner());
    }
}

const longest_period = 1 << 17; // bytes: a part of an L2
fn choosePeriods(s: *State) void {
    const v = &s.view;
    if (s.out.place != .in_place or s.is_move) return;
    var period: usize = 0;
    for (s.in[0..s.n_in], 0..) |slot, i| {
        if (i == s.scalar_input or slot.place == .in_place) continue;
        const p = v.period(slot.address);
        if (!slot.same or slot.place != .gather or (period != 0 and p != period)) return;
        if (p * slot.tile.size() > longest_period or p * 8 > v.n) return;
        period = p;
    }
    if (period == 0) return;
    s.way = .periods;
    s.period = period;
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
    if (s.view.n == 0) return;
    @memcpy(call.scalar[0..s.n_fixed], s.fixed[0..s.n_fixed]);
    var job: drive.Job = .{ .s = s, .kernel = kernel, .call = call };
    if (s.way == .periods and !job.layOut()) return;
    defer if (s.way == .periods) job.putBack();
    if (s.way == .blocks) {
        const least = 1 + s.grain * unit / s.tile_length;
        services.parallelFor(drive.blockCount(s), least, job, drive.Job.blocks);
    } else services.parallelFor((s.view.n + unit - 1) / unit, s.grain, job, Units.piece);
}

const Units = struct {
    fn piece(j: *const drive.Job, begin: usize, end: usize) void {
        j.elements(begin * unit, @min(end * unit, j.s.view.n));
    }
};

test {
    _ = @import("elementwise_test.zig");
    _ = drive;
}
