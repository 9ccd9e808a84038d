//! What the machine can do at best: the yardsticks that a benchmark puts beside its rows.
//!
//! | row   | operands (outputs first)             | work                                          |
//! |-------|--------------------------------------|-----------------------------------------------|
//! | fma   | out (items), x (2); f32 or f64       | ints[0] multiply-adds an item, registers only |
//! | copy  | out (n), a (n); f32                  | out = a, by streaming stores                  |
//! | triad | out (n), a (n), b (n); f32           | out = a + 3 b, by streaming stores            |
//! | read  | out (n / 2^16 rounded up), a (n); f32| the sum of each block of a                    |
//!
//! All are contiguous, and use the threads that a call may use. The caller takes the time.
const std = @import("std");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const stream = @import("stream.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const Plan = plan.Plan;
const Call = plan.Call;

const Row = enum { fma, copy, triad, read };
pub const names: []const []const u8 = std.meta.fieldNames(Row);
pub const family: plan.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) plan.PrepareError!void {
    const row: Row = @fromBackingInt(@intCast(p.op));
    const d = p.operands[0].dtype;
    if (row == .fma) {
        p.run = switch (d) {
            .float32 => Peak(f32).run,
            .float64 => Peak(f64).run,
            else => return error.Unsupported,
        };
        return;
    }
    for (p.operands) |o| if (o.dtype != .float32) return error.Unsupported;
    p.run = switch (row) {
        .copy => Bandwidth(.copy).run,
        .triad => Bandwidth(.triad).run,
        .read => Bandwidth(.read).run,
        .fma => unreachable,
    };
}

fn Peak(comptime T: type) type {
    return struct {
        const vl = gemm_kernel.Kernel(T).vl;
        const V = @Vector(vl, T);
        /// Enough to hide the latency of an FMA, few enough for 16 registers.
        const chains = 12;
        const Job = struct { out: [*]T, x: [*]const T, rounds: usize };

        fn run(p: *const Plan, call: *Call) void {
            const n: usize = @intCast(p.operands[0].shape[0]);
            const fmas: usize = @intCast(p.ints[0]);
            const job: Job = .{
                .out = call.at(T, 0),
                .x = call.at(T, 1),
                .rounds = fmas / (chains * vl),
            };
            services.parallelFor(n, 1, job, items);
        }

        fn items(job: *const Job, begin: usize, end: usize) void {
            for (begin..end) |item| {
                const a: V = @splat(job.x[0]);
                const b: V = @splat(job.x[1]);
                var acc: [chains]V = @splat(b);
                for (0..job.rounds) |_| {
                    inline for (&acc) |*c| c.* = gemm_kernel.mulAdd(V, c.*, a, b);
                }
                var sum = acc[0];
                inline for (acc[1..]) |c| sum += c;
                job.out[item] = @reduce(.Add, sum);
            }
        }
    };
}

const block = 1 << 16;

fn Bandwidth(comptime row: Row) type {
    return struct {
        const W = 16;
        const V = @Vector(W, f32);
        const Job = struct { n: usize, out: [*]f32, a: [*]const f32, b: [*]const f32 };

        fn run(p: *const Plan, call: *Call) void {
            const n: usize = @intCast(p.operands[1].shape[0]);
            const job: Job = .{
                .n = n,
                .out = call.at(f32, 0),
                .a = call.at(f32, 1),
                .b = if (row == .triad) call.at(f32, 2) else undefined,
            };
            services.parallelFor((n + block - 1) / block, 16, job, blocks);
        }

        fn blocks(job: *const Job, begin: usize, end: usize) void {
            for (begin..end) |item| {
                const first = item * block;
                const count: usize = @min(block, job.n - first);
                switch (row) {
                    .copy => stream.copy(
                        @ptrCast(job.out + first),
                        @ptrCast(job.a + first),
                        count * 4,
                    ),
                    .triad => triad(job.out + first, job.a + first, job.b + first, count),
                    .read => job.out[item] = sum(job.a + first, count),
                    .fma => unreachable,
                }
            }
            if (row != .read) stream.fence();
        }

        /// In tiles that pass through the L1 cache.
        fn triad(out: [*]f32, a: [*]const f32, b: [*]const f32, n: usize) void {
            var tile: [1024]f32 align(64) = undefined;
            var done: usize = 0;
            while (done < n) : (done += tile.len) {
                const count: usize = @min(tile.len, n - done);
                var i: usize = 0;
                while (i + W <= count) : (i += W) {
                    const x: V = a[done + i ..][0..W].*;
                    const y: V = b[done + i ..][0..W].*;
                    tile[i..][0..W].* = gemm_kernel.mulAdd(V, y, @splat(3), x);
                }
                while (i < count) : (i += 1) tile[i] = a[done + i] + 3 * b[done + i];
                stream.copy(@ptrCast(out + done), @ptrCast(&tile), count * 4);
            }
        }

        fn sum(a: [*]const f32, n: usize) f32 {
            var acc: [8]V = @splat(@splat(0));
            var i: usize = 0;
            while (i + 8 * W <= n) : (i += 8 * W) {
                inline for (&acc, 0..) |*s, k| s.* += a[i + k * W ..][0..W].*;
            }
            var total: f32 = 0;
            inline for (acc) |s| total += @reduce(.Add, s);
            while (i < n) : (i += 1) total += a[i];
            return total;
        }
    };
}

test "the yardsticks compute what they say" {
    const Operand = plan.Operand;
    const n = block + 77;
    const a = try std.testing.allocator.alloc(f32, 3 * n);
    defer std.testing.allocator.free(a);
    for (a, 0..) |*x, i| x.* = @floatFromInt(i % 5);
    const vector: Operand = .{ .dtype = .float32, .shape = &.{n}, .strides = &.{1} };
    const two: Operand = .{ .dtype = .float32, .shape = &.{2}, .strides = &.{1} };
    inline for (.{ Row.copy, Row.triad, Row.read, Row.fma }) |row| {
        const operands: []const Operand = switch (row) {
            .copy => &.{ vector, vector },
            .triad => &.{ vector, vector, vector },
            .read => &.{ two, vector },
            .fma => &.{ two, two },
        };
        var p = plan.testPlan(operands, 1, @backingInt(row), &.{100_000}, &.{});
        try prepare(&p);
        var call: Call = .{};
        for (0..3) |i| call.ptr[i] = @ptrCast(a.ptr + i * n);
        const x = a[n..][0..n];
        const y = a[2 * n ..][0..n];
        p.run(&p, &call);
        switch (row) {
            .copy => try std.testing.expectEqualSlices(f32, x, a[0..n]),
            .triad => for (a[0..n], x, y) |o, xi, yi| {
                try std.testing.expectEqual(xi + 3 * yi, o);
            },
            .read => {
                var total: f32 = 0;
                for (x) |xi| total += xi;
                try std.testing.expectEqual(total, a[0] + a[1]);
            },
            .fma => try std.testing.expect(a[0] == a[1] and a[0] > 0),
        }
    }
}
