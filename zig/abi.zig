//! The C ABI of the library: the only file with exported functions, and the root of the
//! library's own object, compiled for the oldest CPU of the architecture (no kernel is in
//! it). `zig build abi` writes include/dlgrad.h and dlgrad/_abi.py from what stands here.
//!
//! A call that can fail returns null (or a status that is not 0); `dlgrad_error` then says
//! why, for the calling thread. Nothing here aborts, prints, or keeps a pointer it was given.
const std = @import("std");
const plan_zig = @import("plan.zig");
const running = @import("run.zig");
const repeat = @import("repeat.zig");
const python_calls = @import("python/open.zig");
const memory = @import("memory.zig");
const threads = @import("threads.zig");
const dispatch = @import("dispatch.zig");
const cpu = @import("cpu.zig");
const DType = @import("dtype.zig").DType;
const Body = @import("services.zig").Body;

const Plan = plan_zig.Plan;
const Call = plan_zig.Call;
const Operand = plan_zig.Operand;
const Scalar = plan_zig.Scalar;
const Status = plan_zig.Status;

pub const std_options: std.Options = .{ .signal_stack_size = null }; // else 256 KiB of TLS a thread
pub const panic = std.debug.simple_panic;

pub const dlgrad_plan = Plan;

// ------------------------------------------------------------------ the library

/// Chooses the kernels: a CPU level's name, or "" for the best one that this CPU can run.
/// 0, or -1 where there is no such level or this CPU cannot run it.
pub export fn dlgrad_init(level: [*:0]const u8) callconv(.c) i32 {
    return if (dispatch.select(std.mem.span(level))) 0 else -1;
}

/// The chosen CPU level.
pub export fn dlgrad_level() callconv(.c) [*:0]const u8 {
    return dispatch.levelName();
}

/// Which instructions beyond the CPU level kernels may use, as a mask: 1 for dot products of
/// bfloat16, 2 for those of int8. Returns those that this CPU has among them.
pub export fn dlgrad_allow_extensions(mask: u32) callconv(.c) u32 {
    cpu.allowed = mask;
    return cpu.extensions();
}

/// Status and detail (four numbers) of the calling thread's last failure.
pub export fn dlgrad_error(out: [*]i64) callconv(.c) void {
    out[0] = running.failure.status;
    out[1..4].* = running.failure.detail;
}

/// Sets how many threads a call may use (0: one for each CPU that this process may use);
/// returns the number chosen.
pub export fn dlgrad_set_threads(n: u32) callconv(.c) u32 {
    return threads.setCount(n);
}

pub export fn dlgrad_threads() callconv(.c) u32 {
    return threads.count();
}

/// Worker threads that are alive (none until a call was first large enough to be split).
pub export fn dlgrad_workers() callconv(.c) u32 {
    return threads.workers();
}

/// For the child of a fork.
pub export fn dlgrad_after_fork() callconv(.c) void {
    threads.afterFork();
    memory.afterFork();
}

// ------------------------------------------------------------------ memory

/// 64-byte aligned memory, not cleared; null when there is none.
pub export fn dlgrad_alloc(bytes: usize) callconv(.c) ?[*]u8 {
    return memory.alloc(bytes) orelse {
        running.fail(.out_of_memory);
        return null;
    };
}

pub export fn dlgrad_free(ptr: [*]u8) callconv(.c) void {
    memory.free(ptr);
}

/// Live, peak and cached bytes; allocations; allocations that went to the system.
pub export fn dlgrad_memory_stats(out: [*]i64) callconv(.c) void {
    const s = memory.stats();
    out[0..5].* = .{
        @intCast(s.live),        @intCast(s.peak),               @intCast(s.cached),
        @intCast(s.allocations), @intCast(s.system_allocations),
    };
}

pub export fn dlgrad_memory_reset_peak() callconv(.c) void {
    memory.resetPeak();
}

/// Gives the memory that is kept for reuse back to the system.
pub export fn dlgrad_memory_empty_cache() callconv(.c) void {
    memory.emptyCache();
}

/// Live bytes beyond which allocation fails (0: no limit).
pub export fn dlgrad_memory_limit(bytes: usize) callconv(.c) void {
    memory.setLimit(bytes);
}

// ------------------------------------------------------------------ memory lent to other libraries

/// Of the Python that runs us, for the two functions below: Py_IsInitialized, PyGILState_Ensure,
/// PyGILState_Release, Py_DecRef, PyCapsule_GetName, PyCapsule_GetPointer. Plain pointers, so
/// that the library is no CPython extension.
const Python = extern struct {
    isInitialized: *const fn () callconv(.c) c_int,
    ensure: *const fn () callconv(.c) c_int,
    release: *const fn (c_int) callconv(.c) void,
    decref: *const fn (*anyopaque) callconv(.c) void,
    capsuleName: *const fn (*anyopaque) callconv(.c) ?[*:0]const u8,
    capsulePointer: *const fn (*anyopaque, ?[*:0]const u8) callconv(.c) ?[*]u8,
};
var python: Python = undefined;

/// Addresses of the six functions.
pub export fn dlgrad_lend_init(functions: [*]const i64) callconv(.c) void {
    python = @as(*const Python, @ptrCast(functions)).*;
}

/// The deleter of a DLPack structure that Python lent: drops the object whose address stands
/// in the eight bytes before it. Not a Python callback, because a consumer may call it while
/// an exception is on its way.
pub export fn dlgrad_lend_release(structure: [*]u8) callconv(.c) void {
    if (python.isInitialized() == 0) return; // nothing is left to drop it from
    const state = python.ensure();
    const owner = @as(*const *anyopaque, @ptrCast(@alignCast(structure - 8))).*;
    python.decref(owner);
    python.release(state);
}

/// The destructor of its capsule: releases the structure unless a consumer took it over
/// (which renames the capsule to `used_...`).
pub export fn dlgrad_lend_capsule_freed(capsule: [*]u8) callconv(.c) void {
    const name = python.capsuleName(capsule) orelse return;
    if (!std.mem.startsWith(u8, std.mem.span(name), "dltensor")) return;
    if (python.capsulePointer(capsule, name)) |structure| dlgrad_lend_release(structure);
}

/// Gives the interpreter types and functions that run plans without cffi in between
/// (python/open.zig). 0, or -1 where this interpreter is none that they fit.
pub export fn dlgrad_python_open(numbers: [*]const i64, n: u32) callconv(.c) i32 {
    const words: [*]const usize = @ptrCast(numbers);
    return if (python_calls.open(words[0..n])) 0 else -1;
}

// ------------------------------------------------------------------ plans

/// Makes a plan. `description`: operands, outputs, ints, floats (four counts); then for each
/// operand its dtype, number of dimensions, sizes, strides (in elements); then the ints; then
/// the floats (their bits). null: no kernel for it, or no memory.
pub export fn dlgrad_plan_make(family: u32, op: u32, description: [*]const i64, length: usize) callconv(.c) ?*Plan {
    return make(family, op, description[0..length]) catch |e| {
        running.fail(switch (e) {
            error.OutOfMemory => .out_of_memory,
            error.Unsupported => .unsupported,
        });
        return null;
    };
}

/// One block: the plan, its operands, and its copy of the description.
fn make(family: u32, op: u32, description: []const i64) plan_zig.PrepareError!*Plan {
    const n_operands: usize = @intCast(description[0]);
    std.debug.assert(n_operands <= plan_zig.max_operands);
    const at_operands = std.mem.alignForward(usize, @sizeOf(Plan), 64);
    const at_numbers = std.mem.alignForward(usize, at_operands + n_operands * @sizeOf(Operand), 64);
    const block = memory.alloc(at_numbers + description.len * 8) orelse return error.OutOfMemory;
    errdefer memory.free(block);

    const p: *Plan = @ptrCast(block);
    const operands = @as([*]Operand, @ptrCast(@alignCast(block + at_operands)))[0..n_operands];
    const numbers = @as([*]i64, @ptrCast(@alignCast(block + at_numbers)))[0..description.len];
    @memcpy(numbers, description);

    var at: usize = 4;
    for (operands) |*o| {
        const ndim: usize = @intCast(numbers[at + 1]);
        o.* = .{
            .dtype = @fromBackingInt(@intCast(numbers[at])),
            .shape = numbers[at + 2 ..][0..ndim],
            .strides = numbers[at + 2 + ndim ..][0..ndim],
        };
        at += 2 + 2 * ndim;
    }
    const n_ints: usize = @intCast(numbers[2]);
    const n_floats: usize = @intCast(numbers[3]);
    p.* = .{
        .run = undefined,
        .op = op,
        .family = family,
        .operands = operands,
        .n_out = @intCast(numbers[1]),
        .ints = numbers[at..][0..n_ints],
        .floats = @as([*]const f64, @ptrCast(numbers.ptr + at + n_ints))[0..n_floats],
        .out_bytes = if (n_operands > 0) operands[0].numel() * operands[0].dtype.size() else 0,
    };
    std.debug.assert(at + n_ints + n_floats == description.len);
    try dispatch.family(family).prepare(p);
    return p;
}

/// A plan that runs `inner` (which must outlive it) for each member of a batch of `ndim`
/// dimensions. `numbers`: bytes of operand 0 for the whole batch; the batch's sizes; for each
/// operand its steps in bytes, one for each dimension of the batch. null: no memory.
pub export fn dlgrad_plan_repeat(inner: *const Plan, numbers: [*]const i64, ndim: usize) callconv(.c) ?*Plan {
    std.debug.assert(ndim <= repeat.max_batch_dims);
    return repeat.make(inner, ndim, numbers) orelse {
        running.fail(.out_of_memory);
        return null;
    };
}

pub export fn dlgrad_plan_free(plan: *Plan) callconv(.c) void {
    plan_zig.destroyState(plan);
    memory.free(@ptrCast(plan));
}

// ------------------------------------------------------------------ running plans

/// Allocate operand 0 and compute it.
pub export fn dlgrad_run0(plan: *const Plan) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    return running.new(plan, &call);
}

pub export fn dlgrad_run1(plan: *const Plan, a: ?[*]u8) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.ptr[1] = a;
    return running.new(plan, &call);
}

pub export fn dlgrad_run2(plan: *const Plan, a: ?[*]u8, b: ?[*]u8) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.ptr[1] = a;
    call.ptr[2] = b;
    return running.new(plan, &call);
}

pub export fn dlgrad_run3(plan: *const Plan, a: ?[*]u8, b: ?[*]u8, c: ?[*]u8) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.ptr[1] = a;
    call.ptr[2] = b;
    call.ptr[3] = c;
    return running.new(plan, &call);
}

/// With a scalar that may change from run to run: a floating one, an integer one.
pub export fn dlgrad_run1f(plan: *const Plan, a: ?[*]u8, s: f64) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.ptr[1] = a;
    call.scalar[0] = .{ .f = s };
    return running.new(plan, &call);
}

pub export fn dlgrad_run1i(plan: *const Plan, a: ?[*]u8, s: i64) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.ptr[1] = a;
    call.scalar[0] = .{ .i = s };
    return running.new(plan, &call);
}

/// Two operands and a scalar.
pub export fn dlgrad_run2f(plan: *const Plan, a: ?[*]u8, b: ?[*]u8, s: f64) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.ptr[1..3].* = .{ a, b };
    call.scalar[0] = .{ .f = s };
    return running.new(plan, &call);
}

pub export fn dlgrad_run2i(plan: *const Plan, a: ?[*]u8, b: ?[*]u8, s: i64) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.ptr[1..3].* = .{ a, b };
    call.scalar[0] = .{ .i = s };
    return running.new(plan, &call);
}

/// Without inputs, from two floating scalars, or two integers.
pub export fn dlgrad_run0f(plan: *const Plan, s: f64, t: f64) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.scalar[0..2].* = .{ .{ .f = s }, .{ .f = t } };
    return running.new(plan, &call);
}

pub export fn dlgrad_run0i(plan: *const Plan, s: i64, t: i64) callconv(.c) ?[*]u8 {
    var call: Call = .{};
    call.scalar[0..2].* = .{ .{ .i = s }, .{ .i = t } };
    return running.new(plan, &call);
}

/// Compute into memory that is there: up to four operands, all given. 0 or a status.
pub export fn dlgrad_into(plan: *const Plan, out: ?[*]u8, a: ?[*]u8, b: ?[*]u8, c: ?[*]u8) callconv(.c) i32 {
    var call: Call = .{};
    call.ptr[0..4].* = .{ out, a, b, c };
    return running.execute(plan, &call);
}

/// The same for three operands and a scalar: a floating one, an integer one.
pub export fn dlgrad_intof(plan: *const Plan, out: ?[*]u8, a: ?[*]u8, b: ?[*]u8, s: f64) callconv(.c) i32 {
    var call: Call = .{};
    call.ptr[0..3].* = .{ out, a, b };
    call.scalar[0] = .{ .f = s };
    return running.execute(plan, &call);
}

pub export fn dlgrad_intoi(plan: *const Plan, out: ?[*]u8, a: ?[*]u8, b: ?[*]u8, s: i64) callconv(.c) i32 {
    var call: Call = .{};
    call.ptr[0..3].* = .{ out, a, b };
    call.scalar[0] = .{ .i = s };
    return running.execute(plan, &call);
}

/// Several results: memory for each operand k whose bit is set in `wanted`, its address in
/// results[k], where the addresses of outputs that are there already are given. Inputs follow
/// the plan's outputs; a floating scalar may change from run to run. 0 or a status.
pub export fn dlgrad_several(plan: *const Plan, results: [*]?[*]u8, wanted: u32, s: f64, a: ?[*]u8, b: ?[*]u8, c: ?[*]u8, d: ?[*]u8, e: ?[*]u8, f: ?[*]u8) callconv(.c) i32 {
    var call: Call = .{};
    const n = plan.n_out;
    for (0..n) |k| {
        if (wanted >> @intCast(k) & 1 != 0) {
            const o = plan.operands[k];
            results[k] = memory.alloc(o.numel() * o.dtype.size()) orelse {
                freeFirst(results, wanted, k);
                running.fail(.out_of_memory);
                return @backingInt(Status.out_of_memory);
            };
        }
        call.ptr[k] = if (plan.operands[k].ndim() > 0 or wanted >> @intCast(k) & 1 != 0) results[k] else null;
    }
    call.ptr[n..][0..6].* = .{ a, b, c, d, e, f };
    call.scalar[0] = .{ .f = s };
    const status = running.execute(plan, &call);
    if (status != 0) freeFirst(results, wanted, n);
    return status;
}

fn freeFirst(results: [*]const ?[*]u8, wanted: u32, n: usize) void {
    for (0..n) |k| if (wanted >> @intCast(k) & 1 != 0) memory.free(results[k].?);
}

/// The general form: an address for each of the plan's operands, and the scalars.
pub export fn dlgrad_call(plan: *const Plan, operands: [*]const ?[*]u8, scalars: [*]const i64, n_scalars: usize) callconv(.c) i32 {
    var call: Call = .{};
    for (call.ptr[0..plan.operands.len], operands) |*p, o| p.* = o;
    for (call.scalar[0..n_scalars], scalars) |*s, bits| s.* = .{ .i = bits };
    return running.execute(plan, &call);
}

// ------------------------------------------------------------------ what kernels ask for (services.zig)

comptime {
    const hidden = struct {
        fn alloc(bytes: usize) callconv(.c) ?[*]align(64) u8 {
            return memory.alloc(bytes);
        }
        fn free(ptr: [*]u8) callconv(.c) void {
            memory.free(ptr);
        }
        fn parallel(n: usize, grain: usize, ctx: *const anyopaque, body: Body) callconv(.c) void {
            threads.parallel(n, grain, ctx, body);
        }
        fn threadCount() callconv(.c) u32 {
            return threads.count();
        }
        fn extensions() callconv(.c) u32 {
            return cpu.extensions();
        }
    };
    @export(&hidden.alloc, .{ .name = "dlgrad_internal_alloc", .visibility = .hidden });
    @export(&hidden.free, .{ .name = "dlgrad_internal_free", .visibility = .hidden });
    @export(&hidden.parallel, .{ .name = "dlgrad_internal_parallel", .visibility = .hidden });
    @export(&hidden.extensions, .{ .name = "dlgrad_internal_extensions", .visibility = .hidden });
    @export(&hidden.threadCount, .{ .name = "dlgrad_internal_threads", .visibility = .hidden });
}
