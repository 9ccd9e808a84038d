//! `join`: several tensors one behind the other in one, as cat and stack need it.
//!
//! Operand 0: out, contiguous but for a gap behind each row. The others: contiguous inputs of its
//! dtype. ints: the number of rows; bytes from row to row of out. Each row of out is row after row
//! of the inputs, whose rows have numel / rows elements.
const std = @import("std");
const builtin = @import("builtin");
const plan = @import("../plan.zig");
const services = @import("../services.zig");
const stream = @import("stream.zig");
const transpose = @import("transpose.zig");
const Plan = plan.Plan;
const Call = plan.Call;

const State = struct {
    rows: usize,
    pitch: usize,
    /// Bytes of all inputs' rows, and where each input's begins in it.
    width: usize,
    begin: [plan.max_operands]usize,
    streamed: bool,
};
/// Bytes that a thread takes at a time.
const piece = 128 << 10;

pub fn prepare(p: *Plan) plan.PrepareError!void {
    const s = try p.create(State);
    s.rows = @intCast(p.ints[0]);
    s.pitch = @intCast(p.ints[1]);
    s.width = 0;
    for (p.inputs(), 0..) |x, i| {
        s.begin[i] = s.width;
        s.width += x.numel() / @max(s.rows, 1) * x.dtype.size();
    }
    s.streamed = s.rows * s.width >= stream.from_bytes;
    p.run = if (s.width == s.pitch) wovenBy(p) orelse &run else &run;
}

/// Where each row has one element of each input (stack on the last dimension).
fn wovenBy(p: *const Plan) ?plan.Run {
    const rows: usize = @intCast(p.ints[0]);
    for (p.inputs()) |x| if (x.numel() != rows) return null;
    return if (transpose.listWeaver(p.operands[0].dtype.size(), p.inputs().len) == null) null else &runWoven;
}

fn runWoven(p: *const Plan, call: *Call) void {
    const Job = struct {
        p: *const Plan,
        call: *Call,

        fn part(j: *const @This(), begin: usize, end: usize) void {
            const size = j.p.operands[0].dtype.size();
            const k = j.p.inputs().len;
            var lists: [4][*]const u8 = undefined;
            for (lists[0..k], j.call.ptr[1..][0..k]) |*l, x| l.* = x.? + begin * size;
            transpose.listWeaver(size, k).?(j.call.ptr[0].? + begin * k * size, &lists, end - begin);
        }
    };
    const job: Job = .{ .p = p, .call = call };
    const s = p.stateAs(State);
    if (s.rows > 0) services.parallelFor(s.rows, 1 + piece / s.width, job, Job.part);
}

/// The copy of `bytes` bytes that lie together.
pub fn prepareWhole(p: *Plan, bytes: usize) plan.PrepareError!void {
    const s = try p.create(State);
    s.* = .{ .rows = 1, .pitch = bytes, .width = bytes, .begin = @splat(0), .streamed = bytes >= stream.from_bytes };
    p.run = runWhole;
}

fn runWhole(p: *const Plan, call: *Call) void {
    const to = call.ptr[0].?;
    const from = call.ptr[1].?;
    const n = p.stateAs(State).width;
    if (to == from) return; // copied onto itself
    if (@intFromPtr(to) < @intFromPtr(from) + n and @intFromPtr(from) < @intFromPtr(to) + n) {
        return @memmove(to[0..n], from[0..n]);
    }
    run(p, call);
}

fn run(p: *const Plan, call: *Call) void {
    const s = p.stateAs(State);
    const n = s.rows * s.width;
    if (n == 0) return;
    const Job = struct {
        p: *const Plan,
        call: *Call,

        /// The bytes [begin, end) of out, gaps not counted.
        fn part(j: *const @This(), begin: usize, end: usize) void {
            const state = j.p.stateAs(State);
            const inputs = j.p.inputs();
            const out = j.call.ptr[0].?;
            var row = begin / state.width;
            var at = begin % state.width;
            var left = end - begin;
            var i: usize = inputs.len - 1;
            while (state.begin[i] > at) i -= 1;
            while (left > 0) {
                const stop = if (i + 1 < inputs.len) state.begin[i + 1] else state.width;
                const size = stop - state.begin[i];
                const m = @min(left, stop - at);
                if (m > 0) {
                    const from = j.call.ptr[1 + i].? + row * size + (at - state.begin[i]);
                    copy(out + row * state.pitch + at, from, m, state.streamed);
                }
                left -= m;
                at += m;
                i += 1;
                if (i == inputs.len) {
                    i = 0;
                    at = 0;
                    row += 1;
                }
            }
            if (state.streamed) stream.fence();
        }
    };
    const job: Job = .{ .p = p, .call = call };
    services.parallelFor(n, piece, job, Job.part);
}

inline fn copy(to: [*]u8, from: [*]const u8, n: usize, streamed: bool) void {
    if (streamed and n >= 4096) return stream.copy(to, from, n);
    copyBytes(to, from, n);
}

/// A call of memcpy would cost more than a short row.
pub inline fn copyBytes(to: [*]u8, from: [*]const u8, n: usize) void {
    switch (n) {
        inline 4, 8 => |size| to[0..size].* = from[0..size].*,
        else => copyMore(to, from, n),
    }
}

inline fn copyMore(to: [*]u8, from: [*]const u8, n: usize) void {
    if (n < 16) return @memcpy(to[0..n], from[0..n]);
    if (n > 1024) return copyLarge(to, from, n);
    const V = @Vector(16, u8);
    var i: usize = 0;
    while (i + 64 <= n) : (i += 64) to[i..][0..64].* = @as(Line, from[i..][0..64].*);
    while (i + 16 <= n) : (i += 16) to[i..][0..16].* = @as(V, from[i..][0..16].*);
    if (i < n) to[n - 16 ..][0..16].* = @as(V, from[n - 16 ..][0..16].*);
}

const Line = @Vector(64, u8);

/// n >= 64. Zig's own memcpy goes by 16 bytes at a time, whatever the CPU.
fn copyLarge(to: [*]u8, from: [*]const u8, n: usize) void {
    if (quick_strings and n >= 4096 and (@intFromPtr(to) | @intFromPtr(from)) % 64 == 0) return copyString(to, from, n);
    to[0..64].* = @as(Line, from[0..64].*);
    var i: usize = 64 - @intFromPtr(to) % 64;
    const ahead: usize = if (n >= 1 << 16) 1024 else 0; // where shorter copies write next, nobody knows
    while (i + 256 <= n) : (i += 256) inline for (0..4) |k| {
        @prefetch(from + i + 64 * k + 1024, .{});
        @prefetch(to + i + 64 * k + ahead, .{});
        to[i + 64 * k ..][0..64].* = @as(Line, from[i + 64 * k ..][0..64].*);
    };
    while (i + 64 <= n) : (i += 64) to[i..][0..64].* = @as(Line, from[i..][0..64].*);
    if (i < n) to[n - 64 ..][0..64].* = @as(Line, from[n - 64 ..][0..64].*);
}

/// Whether the CPU's own copy instruction is the quickest way between whole cache lines.
const quick_strings = builtin.cpu.arch == .x86_64 and builtin.cpu.has(.x86, .avx2);

fn copyString(to: [*]u8, from: [*]const u8, n: usize) void {
    var to_end: usize = undefined;
    var from_end: usize = undefined;
    var left: usize = undefined;
    asm volatile ("rep movsb"
        : [to_end] "={rdi}" (to_end),
          [from_end] "={rsi}" (from_end),
          [left] "={rcx}" (left),
        : [to] "{rdi}" (to),
          [from] "{rsi}" (from),
          [n] "{rcx}" (n),
        : .{ .memory = true });
}

test "rows of inputs of any width, with a gap, one empty" {
    const a = [_]f32{ 1, 2, 3, 4, 5, 6 }; // (2, 3)
    const c = [_]f32{ 7, 8 }; // (2, 1)
    var out: [10]f32 = @splat(0);
    const width_a: []const i64 = &.{ 2, 3 };
    const width_b: []const i64 = &.{ 2, 0 };
    const width_c: []const i64 = &.{ 2, 1 };
    const strides: []const i64 = &.{ 1, 1 };
    var p: Plan = .{
        .run = undefined,
        .op = 1,
        .family = 0,
        .operands = &.{
            .{ .dtype = .float32, .shape = &.{ 2, 4 }, .strides = strides },
            .{ .dtype = .float32, .shape = width_a, .strides = strides },
            .{ .dtype = .float32, .shape = width_b, .strides = strides },
            .{ .dtype = .float32, .shape = width_c, .strides = strides },
        },
        .n_out = 1,
        .ints = &.{ 2, 20 },
        .floats = &.{},
        .out_bytes = 0,
    };
    try prepare(&p);
    defer plan.destroyState(&p);
    var call: Call = .{};
    call.ptr[0..4].* = .{ @ptrCast(&out), @ptrCast(@constCast(&a)), @ptrCast(&out), @ptrCast(@constCast(&c)) };
    p.run(&p, &call);
    try std.testing.expectEqualSlices(f32, &.{ 1, 2, 3, 7, 0, 4, 5, 6, 8, 0 }, &out);
}

test "copies of any length and alignment stay within it" {
    var from: [5100]u8 align(64) = undefined;
    for (&from, 0..) |*x, i| x.* = @truncate(i *% 31);
    var to: [5100]u8 align(64) = undefined;
    for ([_]usize{ 0, 1, 3, 17, 64 }) |shift| for ([_]usize{ 0, 1, 4, 15, 16, 63, 64, 100, 1024, 1025, 1500, 2900, 4096, 5000 }) |n| {
        @memset(&to, 0xee);
        copyBytes(to[shift..].ptr, from[shift..].ptr, n);
        try std.testing.expectEqualSlices(u8, from[shift..][0..n], to[shift..][0..n]);
        try std.testing.expect(to[shift + n] == 0xee and (shift == 0 or to[shift - 1] == 0xee));
    };
}
