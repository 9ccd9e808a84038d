//! Tests of sort.zig against a sort by comparison.
const std = @import("std");
const search = @import("search.zig");
const sort = @import("sort.zig");
const testing = @import("index_testing.zig");
const planning = @import("../plan.zig");
const Tensor = testing.Tensor;
const DType = @import("../dtype.zig").DType;
const nan = std.math.nan(f64);

/// PyTorch's order: nan is the greatest.
fn less(a: f64, b: f64) bool {
    return a < b or (a == a and b != b);
}
fn same(a: f64, b: f64) bool {
    return @as(u64, @bitCast(a)) == @as(u64, @bitCast(b)) or (a != a and b != b);
}

const Entry = struct { value: f64, position: usize };
const Order = struct {
    fn ascending(_: void, a: Entry, b: Entry) bool {
        return less(a.value, b.value);
    }
    fn descending(_: void, a: Entry, b: Entry) bool {
        return less(b.value, a.value);
    }
};

const Case = struct { shape: []const i64, dim: usize };
const cases = [_]Case{
    .{ .shape = &.{}, .dim = 0 },
    .{ .shape = &.{1}, .dim = 0 },
    .{ .shape = &.{ 40, 7 }, .dim = 0 },
    .{ .shape = &.{ 9, 100 }, .dim = 1 },
    .{ .shape = &.{ 128, 3 }, .dim = 0 },
    .{ .shape = &.{ 30, 17 }, .dim = 1 },
    .{ .shape = &.{ 3, 500, 4 }, .dim = 1 },
    .{ .shape = &.{3000}, .dim = 0 },
    .{ .shape = &.{ 0, 3 }, .dim = 1 },
    .{ .shape = &.{ 33, 10 }, .dim = 1 },
    .{ .shape = &.{ 16, 19 }, .dim = 0 },
    .{ .shape = &.{ 3, 32, 5 }, .dim = 1 },
};
const dtypes = std.enums.values(DType);

fn fill(t: *Tensor, random: std.Random) void {
    const low: i64 = switch (t.dtype) {
        .bool, .uint8 => 0,
        else => -60,
    };
    t.fill(random, low, if (t.dtype == .bool) 2 else 60);
    if (t.dtype.isFloat()) for (0..t.numel()) |i| switch (random.uintLessThan(u8, 30)) {
        0 => t.set(i, nan),
        1 => t.set(i, -0.0),
        2 => t.set(i, std.math.inf(f64)),
        3 => t.set(i, -nan),
        4 => t.set(i, random.float(f64) - 0.5),
        else => {},
    };
}

/// Runs a row whose outputs have `k` elements along the dimension.
fn outputs(random: std.Random, c: Case, d: DType, k: i64) ![2]Tensor {
    var shape: [4]i64 = undefined;
    @memcpy(shape[0..c.shape.len], c.shape);
    if (c.shape.len > 0) shape[c.dim] = k;
    return .{
        try .init(random, d, shape[0..c.shape.len], false),
        try .init(random, .int64, shape[0..c.shape.len], false),
    };
}

fn check(random: std.Random, c: Case, d: DType) !void {
    var self: Tensor = try .init(random, d, c.shape, random.boolean());
    defer self.deinit();
    fill(&self, random);
    const n: usize = if (c.shape.len == 0) 1 else @intCast(c.shape[c.dim]);
    const k = @min(n, 1 + random.uintLessThan(usize, n));
    const kth: i64 = @intCast(k);
    for (0..7) |which| {
        const op: u32 = switch (which) {
            0, 1 => 0,
            2, 3 => 1,
            4 => 2,
            5 => 3,
            else => 4,
        };
        const descending = which == 1 or which == 3;
        const count: i64 = if (op == 0) @intCast(n) else if (op == 1) kth else 1;
        const out = try outputs(random, c, d, count);
        defer for (out) |t| t.deinit();
        const ints: [3]i64 = switch (op) {
            0 => .{ @intCast(c.dim), @intFromBool(descending), 0 },
            1 => .{ @intCast(c.dim), kth, @intFromBool(descending) },
            2 => .{ @intCast(c.dim), kth, 0 },
            else => .{ @intCast(c.dim), @intFromBool(c.shape.len == 3), 0 },
        };
        for ([_]u32{ 1, 2, 3 }) |threads| {
            testing.setThreads(threads);
            try testing.runOk(sort.family, op, &.{ &out[0], &out[1], &self }, 2, &ints);
            try compare(c, &self, &out, op, n, k, descending, ints[1] != 0);
        }
    }
}

fn compare(
    c: Case,
    self: *const Tensor,
    out: *const [2]Tensor,
    op: u32,
    n: usize,
    k: usize,
    descending: bool,
    ignore_nan: bool,
) !void {
    const entries = try std.testing.allocator.alloc(Entry, n);
    defer std.testing.allocator.free(entries);
    for (0..self.numel()) |i| {
        var at = self.coords(i);
        if (c.shape.len > 0 and at[c.dim] != 0) continue;
        for (entries, 0..) |*e, j| {
            if (c.shape.len > 0) at[c.dim] = j;
            e.* = .{ .value = self.getOffset(self.atCoords(&at)), .position = j };
        }
        if (descending) {
            std.mem.sort(Entry, entries, {}, Order.descending);
        } else std.mem.sort(Entry, entries, {}, Order.ascending);
        var numbers: usize = 0;
        for (entries) |e| numbers += @intFromBool(e.value == e.value);
        // What comes out then is another order's: tests/parity compares it with PyTorch's.
        if (op == 4 and numbers < n) continue;
        const first = switch (op) {
            0, 1 => 0,
            2 => k - 1,
            3 => if (numbers == n or (ignore_nan and numbers > 0)) (numbers - 1) / 2 else numbers,
            else => mode(entries),
        };
        for (entries[first..][0..(if (op == 0) n else if (op == 1) k else 1)], 0..) |e, j| {
            if (c.shape.len > 0) at[c.dim] = j;
            try std.testing.expect(same(e.value, out[0].getOffset(out[0].atCoords(&at))));
            const position = out[1].data(i64)[out[1].atCoords(&at)];
            try std.testing.expectEqual(@as(i64, @intCast(e.position)), position);
        }
    }
}

fn mode(entries: []const Entry) usize {
    var best: usize = 0;
    var best_count: usize = 0;
    var count: usize = 0;
    for (entries, 0..) |e, i| {
        count = if (i > 0 and e.value == entries[i - 1].value) count + 1 else 1;
        const last = i + 1 == entries.len or e.value != entries[i + 1].value;
        if (last and count > best_count) {
            best = i;
            best_count = count;
        }
    }
    return best;
}

test "sort, topk, kthvalue, median, mode" {
    var prng: std.Random.DefaultPrng = .init(9);
    const random = prng.random();
    for (cases) |c| for (dtypes) |d| try check(random, c, d);
}

test "long lines are sorted by all threads; topk thins out; argsort alone" {
    var prng: std.Random.DefaultPrng = .init(10);
    const random = prng.random();
    const n = 200_003;
    for ([_]DType{ .float32, .int64 }) |d| {
        var self: Tensor = try .init(random, d, &.{n}, true);
        defer self.deinit();
        for (0..n) |i| self.set(i, @round((random.float(f64) - 0.5) * 40_000));
        const out = try outputs(random, .{ .shape = &.{n}, .dim = 0 }, d, n);
        defer for (out) |t| t.deinit();
        for ([_]u32{ 1, 3 }) |threads| {
            testing.setThreads(threads);
            try testing.runOk(sort.family, 0, &.{ &out[0], &out[1], &self }, 2, &.{ 0, 1 });
            for (1..n) |i| {
                try std.testing.expect(out[0].get(i) <= out[0].get(i - 1));
                const before: usize = @intFromFloat(out[1].get(i - 1));
                const here: usize = @intFromFloat(out[1].get(i));
                try std.testing.expectEqual(out[0].get(i), self.get(here));
                try std.testing.expect(out[0].get(i) != out[0].get(i - 1) or before < here);
            }
        }
        const top = try outputs(random, .{ .shape = &.{n}, .dim = 0 }, d, 300);
        defer for (top) |t| t.deinit();
        try testing.runOk(sort.family, 1, &.{ &top[0], &top[1], &self }, 2, &.{ 0, 300, 1 });
        for (0..300) |i| for (out, top) |a, b| try std.testing.expectEqual(a.get(i), b.get(i));

        var operands = [3]planning.Operand{ undefined, out[1].operand(), self.operand() };
        operands[0] = .{ .dtype = d, .shape = &.{}, .strides = &.{} };
        var p = planning.testPlan(&operands, 2, 0, &.{ 0, 0 }, &.{});
        defer planning.destroyState(&p);
        try sort.family.prepare(&p);
        var call: planning.Call = .{};
        call.ptr[1] = out[1].memory.ptr;
        call.ptr[2] = self.memory.ptr;
        p.run(&p, &call);
        for (1..n) |i| {
            const a: usize = @intFromFloat(out[1].get(i - 1));
            const b: usize = @intFromFloat(out[1].get(i));
            try std.testing.expect(self.get(a) <= self.get(b));
        }
    }
}

test "runs of equal rows" {
    var prng: std.Random.DefaultPrng = .init(11);
    const random = prng.random();
    for (dtypes) |d| {
        var self: Tensor = try .init(random, d, &.{ 6, 2 }, false);
        defer self.deinit();
        for ([_]f64{ 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0 }, 0..) |x, i| self.set(i, x);
        var count: Tensor = try .init(random, .int64, &.{}, true);
        defer count.deinit();
        try testing.runOk(sort.family, 5, &.{ &count, &self }, 1, &.{});
        try std.testing.expectEqual(@as(i64, 4), count.data(i64)[0]);
        var starts: Tensor = try .init(random, .int64, &.{4}, false);
        defer starts.deinit();
        var inverse: Tensor = try .init(random, .int64, &.{6}, false);
        defer inverse.deinit();
        var counts: Tensor = try .init(random, .int64, &.{4}, false);
        defer counts.deinit();
        var order: Tensor = try .init(random, .int64, &.{6}, false);
        defer order.deinit();
        for (0..6) |i| order.set(i, @floatFromInt(5 - i));
        const tensors = [_]*const Tensor{ &starts, &inverse, &counts, &self, &order };
        try testing.runOk(sort.family, 6, &tensors, 3, &.{});
        for ([_]f64{ 0, 2, 3, 5 }, [_]f64{ 2, 1, 2, 1 }, 0..) |a, b, i| {
            try std.testing.expectEqual(a, starts.get(i));
            try std.testing.expectEqual(b, counts.get(i));
        }
        for ([_]f64{ 3, 2, 2, 1, 0, 0 }, 0..) |x, i| try std.testing.expectEqual(x, inverse.get(i));
    }
}

test "searchsorted" {
    var prng: std.Random.DefaultPrng = .init(12);
    const random = prng.random();
    for ([_]DType{ .int32, .int64, .float32, .float64 }) |d| for ([_]bool{ false, true }) |batched| for ([_]usize{ 9, 20, 100, 1000, 1100 }) |n| {
        const lines: usize = 3;
        const shape: []const i64 = if (batched) &.{ 3, @intCast(n) } else &.{@intCast(n)};
        var boundaries: Tensor = try .init(random, d, shape, false);
        defer boundaries.deinit();
        for (0..boundaries.numel()) |i| {
            boundaries.set(i, @floatFromInt(i % n * 50 / n * 2));
        }
        var values: Tensor = try .init(random, d, &.{ 3, 70 }, false);
        defer values.deinit();
        values.fill(random, 0, 102);
        if (d.isFloat()) {
            values.set(3, nan);
            values.set(4, -0.0);
        }
        var out: Tensor = try .init(random, .int64, &.{ 3, 70 }, false);
        defer out.deinit();
        for ([_]i64{ 0, 1 }) |right| {
            try testing.runOk(search.family, 0, &.{ &out, &boundaries, &values }, 1, &.{right});
            for (0..lines * 70) |i| {
                const line = if (batched) i / 70 * n else 0;
                var expected: f64 = 0;
                for (line..line + n) |j| expected += @floatFromInt(@intFromBool(passes(boundaries.get(j), values.get(i), right)));
                try std.testing.expectEqual(expected, out.get(i));
            }
        }
        // Where boundaries do not ascend the steps of the search decide.
        boundaries.set(n / 2, if (d.isFloat()) nan else 0);
        boundaries.set(n - 2, if (d.isFloat()) nan else 7);
        for ([_]i64{ 0, 1 }) |right| {
            try testing.runOk(search.family, 0, &.{ &out, &boundaries, &values }, 1, &.{right});
            for (0..lines * 70) |i| {
                const line = if (batched) i / 70 * n else 0;
                var first: usize = 0;
                var end = n;
                while (first < end) {
                    const middle = (first + end) / 2;
                    if (passes(boundaries.get(line + middle), values.get(i), right)) first = middle + 1 else end = middle;
                }
                try std.testing.expectEqual(@as(f64, @floatFromInt(first)), out.get(i));
            }
        }
    };
}

fn passes(boundary: f64, value: f64, right: i64) bool {
    return if (right == 1) !(boundary > value) else !(boundary >= value);
}
