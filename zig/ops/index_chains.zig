//! index_put with accumulate, and embedding_backward, of half-precision runs: a place is widened
//! once, gets all that goes there, and is rounded once, without a float32 copy of the tensor.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const index = @import("index.zig");
const index_space = @import("index_space.zig");
const Plan = planning.Plan;
const Call = planning.Call;

/// index_cell's `run` of the dtype: n elements added.
const Add = *const fn (n: usize, to: [*]f32, to_step: usize, from: [*]const u16, from_step: usize) void;

/// For each place that is written to, the positions that go there, in their order.
pub const Chains = struct {
    const Job = @This();

    plan: *const Plan,
    call: *Call,
    add: Add,
    self_at: []usize,
    other_at: []usize,
    /// The next position that goes to the same place; none: `last`.
    next: []u32,
    /// The first position of each place.
    first: []u32,

    const last = std.math.maxInt(u32);

    pub fn run(plan: *const Plan, call: *Call, add: Add) void {
        const s = plan.stateAs(index.State);
        const n = s.at.count;
        const slots = std.math.ceilPowerOfTwo(usize, 2 * n) catch unreachable;
        const words = 3 * n + slots;
        const memory = services.allocSlice(usize, words) orelse
            return call.fail(.out_of_memory, .{ @intCast(8 * words), 0, 0 });
        defer services.free(@ptrCast(memory.ptr));
        const halves: [*]u32 = @ptrCast(memory.ptr + 2 * n);
        var job: Job = .{
            .plan = plan,
            .call = call,
            .add = add,
            .self_at = memory[0..n],
            .other_at = memory[n..][0..n],
            .next = halves[0..n],
            .first = halves[n..][0..n],
        };
        services.parallelFor(n, 1 << 14, job, locatePart);
        if (call.status.load(.acquire) != 0) return;
        job.link(halves[2 * n ..][0 .. 2 * slots]);
        const units = job.first.len * s.units();
        const work = @max(1, n / @max(1, job.first.len)) * @min(s.run.size, s.block);
        services.parallelFor(units, @max(1, (1 << 14) / work), job, part);
    }

    fn locatePart(job: *const Job, begin: usize, end: usize) void {
        _ = index.locate(job.plan, job.call, begin, job.self_at[begin..end], job.other_at[begin..end]);
    }

    /// Fills `next` and `first`. `table`: for a hash of the place its first and its last position.
    fn link(job: *Job, table: []u32) void {
        const shift: u6 = @intCast(64 - @ctz(table.len / 2));
        @memset(table, last);
        @memset(job.next, last);
        var places: usize = 0;
        for (job.self_at, 0..) |x, i| {
            if (x == index.skip) continue;
            var slot: usize = @intCast((@as(u64, x) *% 0x9e3779b97f4a7c15) >> shift);
            while (table[2 * slot] != last and job.self_at[table[2 * slot]] != x) slot = (slot + 1) & (table.len / 2 - 1);
            const ends = table[2 * slot ..][0..2];
            if (ends[0] == last) {
                ends[0] = @intCast(i);
                job.first[places] = @intCast(i);
                places += 1;
            } else job.next[ends[1]] = @intCast(i);
            ends[1] = @intCast(i);
        }
        job.first.len = places;
    }

    fn part(job: *const Job, begin: usize, end: usize) void {
        const s = job.plan.stateAs(index.State);
        const places = job.first.len;
        const brain = job.plan.operands[s.self_operand].dtype == .bfloat16;
        var sums: [index.put_block]f32 align(64) = undefined;
        for (begin..end) |w| {
            const walker = s.rest.walk(w / places / s.blocks());
            const from_step = s.run.strides[1];
            const start = w / places % s.blocks() * s.block;
            const n: usize = @min(s.block, s.run.size - start);
            var i: usize = job.first[w % places];
            const to = job.call.at(u16, s.self_operand) + walker.offset[0] + start + job.self_at[i];
            const from = job.call.at(u16, s.other_operand) + walker.offset[1] + start * from_step;
            index_space.widenAll(brain, sums[0..n], to);
            while (i != last) : (i = job.next[i]) job.add(n, &sums, 1, from + job.other_at[i], from_step);
            index_space.narrowAll(brain, to, sums[0..n]);
        }
    }
};
