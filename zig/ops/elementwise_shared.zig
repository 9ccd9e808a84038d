//! The driver of elementwise rows (elementwise.zig) for kernels of other objects: compiled once, in
//! the object of unary (kernel_object.zig exports `Entry`), and reached from others by its hidden
//! symbols.
const builtin = @import("builtin");
const plan = @import("../plan.zig");
const elementwise = @import("elementwise.zig");
const kernels = @import("elementwise_kernel.zig");
const Plan = plan.Plan;

pub const Request = extern struct {
    /// Of vectors of float64, whatever the operands' dtypes.
    core: *const kernels.Core,
    lane_bits: u8,
    n_in: u8,
    /// Which input is the number of each call: 0 none, 1 the second, 2 the first, as for binary.
    number: u8,
    /// Elements that are worth a thread.
    grain: u32,
};

pub fn symbol(comptime what: []const u8, comptime level: []const u8) [:0]const u8 {
    return "dlgrad_elementwise_" ++ what ++ "_" ++ level;
}

/// What a family's `prepare` does for a kernel of its own.
pub fn prepare(p: *Plan, request: *const Request) plan.PrepareError!void {
    const status: plan.Status = @fromBackingInt(ask(p, request));
    p.run = run;
    return switch (status) {
        .ok => {},
        .out_of_memory => error.OutOfMemory,
        else => error.Unsupported,
    };
}

inline fn ask(p: *Plan, request: *const Request) i32 {
    if (builtin.is_test) return Entry.prepare(p, request);
    return @extern(*const @TypeOf(Entry.prepare), .{
        .name = symbol("prepare", @import("build_options").level),
        .visibility = .hidden,
    })(p, request);
}

fn run(p: *const Plan, call: *plan.Call) void {
    if (builtin.is_test) return Entry.run(p, call);
    return @extern(*const @TypeOf(Entry.run), .{
        .name = symbol("run", @import("build_options").level),
        .visibility = .hidden,
    })(p, call);
}

pub const Entry = struct {
    pub fn prepare(p: *Plan, r: *const Request) callconv(.c) i32 {
        const status: plan.Status = if (setUp(p, r)) |_| .ok else |e| switch (e) {
            error.OutOfMemory => .out_of_memory,
            error.Unsupported => .unsupported,
        };
        return @backingInt(status);
    }
    fn setUp(p: *Plan, r: *const Request) plan.PrepareError!void {
        if (p.n_out != 1 or p.operands.len + @intFromBool(r.number != 0) != 1 + r.n_in) return error.Unsupported;
        return elementwise.prepare(p, .{
            .kernel = .{ .core = r.core, .lane_bits = @intCast(r.lane_bits), .n_in = r.n_in, .out_size = 8, .in_size = @splat(8) },
            .out = .f64,
            .in = @splat(.f64),
            .n_in = r.n_in,
            .scalar_input = switch (r.number) {
                0 => null,
                1 => 1,
                else => 0,
            },
            .grain = r.grain,
        });
    }
    pub fn run(p: *const Plan, call: *plan.Call) callconv(.c) void {
        elementwise.run(p, call);
    }
};
