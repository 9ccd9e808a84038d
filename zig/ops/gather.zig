//! Choosing elements: by an index for each of them, or by a mask.
//!
//! gather: outputs out (the shape of index); inputs self, index (int64).  ints: dim
//!     out[i][j][k] = self[i][index[i][j][k]][k] for dim = 1. Dimensions of index other than
//!     dim may be shorter than those of self. Negative indices are refused, as in PyTorch.
//! count_nonzero: outputs count (int64, one element, any shape); inputs self.
//! nonzero: outputs positions (int64, (n, self.ndim)), n as count_nonzero gave it; inputs
//!     self. Any strides: a column for each dimension (1, n) serves as_tuple.
//! masked_select: outputs out (n,); inputs self, mask (bool, the shape of self; Python
//!     broadcasts the two), n as count_nonzero of mask gave it.
//! repeat_interleave: outputs positions (int64, (n,)); inputs repeats (int64, 1-d) which sum
//!     to n. Position i is written repeats[i] times: index_select with it is
//!     torch.repeat_interleave. A negative repeat: invalid_value {repeat, its position, 0}.
//!
//! All dtypes, any strides. No scalars, no floats. nan counts as nonzero, -0 as zero.
//! An index out of range: index_out_of_range {index, size, dim}. When n is not what is
//! found, the call fails with invalid_value {found, n, 0} and writes nothing beyond n.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const index_space = @import("index_space.zig");
const index_lines = @import("index_lines.zig");
const index_mask = @import("index_mask.zig");
const Plan = planning.Plan;
const Call = planning.Call;

const Row = enum(u32) { gather, count_nonzero, nonzero, masked_select, repeat_interleave };
pub const names: []const []const u8 =
    &.{ "gather", "count_nonzero", "nonzero", "masked_select", "repeat_interleave" };
pub const family: planning.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) planning.PrepareError!void {
    const row: Row = @fromBackingInt(p.op);
    switch (row) {
        .gather => {
            const self = p.operands[1];
            if (self.dtype != p.operands[0].dtype) return error.Unsupported;
            const dim: usize = @intCast(p.ints[0]);
            const lines: index_lines.Lines =
                try .init(self, self.strides, p.operands[0], p.operands[2], dim);
            (try p.create(index_lines.Lines)).* = lines;
            p.run = switch (self.dtype.size()) {
                1 => &Gather(u8).run,
                2 => &Gather(u16).run,
                4 => &Gather(u32).run,
                else => &Gather(u64).run,
            };
        },
        .count_nonzero => {
            (try p.create(index_mask.Mask)).* = try .init(p.operands[1]);
            p.run = &countNonzero;
        },
        .nonzero => {
            (try p.create(index_mask.Mask)).* = try .init(p.operands[1]);
            p.run = &nonzero;
        },
        .masked_select => {
            const self = p.operands[1];
            if (p.operands[2].dtype != .bool or self.dtype != p.operands[0].dtype or
                p.operands[2].ndim() != self.ndim()) return error.Unsupported;
            var state: Select = .{ .mask = try .init(p.operands[2]) };
            for (self.shape, self.strides) |n, s| try state.self.add(n, .{s});
            state.self.coalesce();
            (try p.create(Select)).* = state;
            p.run = switch (self.dtype.size()) {
                1 => &MaskedSelect(u8).run,
                2 => &MaskedSelect(u16).run,
                4 => &MaskedSelect(u32).run,
                else => &MaskedSelect(u64).run,
            };
        },
        .repeat_interleave => p.run = &repeatInterleave,
    }
}

fn Gather(comptime T: type) type {
    return struct {
        indexed: [*]const T,
        other: [*]T,
        step: usize,
        size: i64,

        pub fn run(plan: *const Plan, call: *Call) void {
            const lines = plan.stateAs(index_lines.Lines);
            const element: @This() = .{
                .indexed = call.at(T, 1),
                .other = call.at(T, 0),
                .step = lines.step[0],
                .size = lines.size,
            };
            index_lines.forEach(lines, call, call.at(i64, 2), element, false);
        }

        pub fn span(
            e: @This(),
            n: usize,
            index: [*]const i64,
            index_step: usize,
            from: [*]const T,
            from_step: usize,
            to: [*]T,
            to_step: usize,
        ) ?i64 {
            if (index_step == 0 and from_step == 1 and to_step == 1) { // an expanded index
                const x = index[0];
                if (x < 0 or x >= e.size) return x;
                @memcpy(to[0..n], from[@as(usize, @intCast(x)) * e.step ..][0..n]);
                return null;
            }
            var i: usize = 0;
            if (index_step == 1 and to_step == 1) {
                i = index_lines.inRange(index[0..n], e.size);
                if (from_step == 0) { // along the dimension
                    for (index[0..i], to[0..i]) |x, *y| y.* = from[@as(usize, @intCast(x)) * e.step];
                } else for (index[0..i], to[0..i], 0..) |x, *y, j| {
                    y.* = from[j * from_step + @as(usize, @intCast(x)) * e.step];
                }
            }
            while (i < n) : (i += 1) {
                const x = index[i * index_step];
                if (x < 0 or x >= e.size) return x;
                to[i * to_step] = from[i * from_step + @as(usize, @intCast(x)) * e.step];
            }
            return null;
        }
    };
}

fn countNonzero(plan: *const Plan, call: *Call) void {
    const mask = plan.stateAs(index_mask.Mask);
    call.at(i64, 0)[0] = @intCast(mask.count(call.ptr[1]));
}

fn nonzero(plan: *const Plan, call: *Call) void {
    const mask = plan.stateAs(index_mask.Mask);
    const out = plan.operands[0];
    const found = mask.locate(call, call.ptr[1], @intCast(out.shape[0])) orelse return;
    defer found.deinit();
    const Job = struct {
        plan: *const Plan,
        found: index_mask.Found,
        out: [*]i64,

        fn part(job: *const @This(), begin: usize, end: usize) void {
            const o = job.plan.operands[0];
            const shape = job.plan.operands[1].shape;
            const row_step: usize = @intCast(o.strides[0]);
            const column_step: usize = @intCast(o.strides[1]);
            var buffer: [index_mask.block]u16 = undefined;
            for (begin..end) |b| {
                const first = b * index_mask.block;
                const row = job.found.before[b];
                for (job.found.positions(b, &buffer), row..) |position, r| {
                    var rest = first + position;
                    var d = shape.len;
                    while (d > 0) {
                        d -= 1;
                        const n: usize = @intCast(shape[d]);
                        const at = if (d == 0) rest else rest % n;
                        job.out[r * row_step + d * column_step] = @intCast(at);
                        if (d > 0) rest /= n;
                    }
                }
            }
        }
    };
    if (out.shape[0] == 0 or out.shape[1] == 0) return;
    const job: Job = .{ .plan = plan, .found = found, .out = call.at(i64, 0) };
    services.parallelFor(found.blocks(), 4, job, Job.part);
}

const Select = struct {
    mask: index_mask.Mask,
    self: index_space.Space(1) = .{},
};

fn MaskedSelect(comptime T: type) type {
    return struct {
        found: index_mask.Found,
        self: *const index_space.Space(1),
        from: [*]T,
        to: [*]T,
        to_step: usize,

        const Job = @This();

        pub fn run(plan: *const Plan, call: *Call) void {
            const s = plan.stateAs(Select);
            const out = plan.operands[0];
            const found = s.mask.locate(call, call.ptr[2], @intCast(out.shape[0])) orelse return;
            defer found.deinit();
            if (out.shape[0] == 0) return;
            const job: Job = .{
                .found = found,
                .self = &s.self,
                .from = call.at(T, 1),
                .to = call.at(T, 0),
                .to_step = @intCast(out.strides[0]),
            };
            services.parallelFor(found.blocks(), 4, job, part);
        }

        fn part(job: *const Job, begin: usize, end: usize) void {
            var buffer: [index_mask.block]u16 = undefined;
            for (begin..end) |b| {
                const positions = job.found.positions(b, &buffer);
                const line = job.to + job.found.before[b] * job.to_step;
                index_mask.pick(T, job.self, job.from, b, positions, line, job.to_step, false);
            }
        }
    };
}

fn repeatInterleave(plan: *const Plan, call: *Call) void {
    const out = plan.operands[0];
    const repeats = plan.operands[1];
    const total: usize = @intCast(out.shape[0]);
    const n: usize = @intCast(repeats.shape[0]);
    const step: usize = @intCast(repeats.strides[0]);
    const out_step: usize = @intCast(out.strides[0]);
    if (n == 0) return;
    const given = call.at(i64, 1);
    var written: usize = 0;
    for (0..n) |i| {
        const times = given[i * step];
        if (times < 0) return call.fail(.invalid_value, .{ times, @intCast(i), 0 });
        const end = @as(usize, @intCast(times)) +| written;
        if (end > total) return call.fail(.invalid_value, .{ @intCast(i), out.shape[0], 0 });
        // Few repeats are written as eight, which the next ones overwrite: nothing to guess.
        if (out_step == 1 and end + 8 <= total) {
            call.at(i64, 0)[written..][0..8].* = @as(@Vector(8, i64), @splat(@intCast(i)));
            if (times <= 8) {
                written = end;
                continue;
            }
        }
        while (written < end) : (written += 1) call.at(i64, 0)[written * out_step] = @intCast(i);
    }
    if (written != total) call.fail(.invalid_value, .{ @intCast(written), out.shape[0], 0 });
}

test {
    _ = @import("gather_test.zig");
}
