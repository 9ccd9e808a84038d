//! The root of one compilation for each kernel family and CPU level. Its one symbol is
//! `dlgrad_<family>_<level>`, the family's `prepare` with a C calling convention: the numbers
//! behind Zig's errors differ from one compilation to the next, so a status crosses instead.
const std = @import("std");
const options = @import("build_options"); // family, level: the build tells
const families = @import("families.zig");
const plan = @import("plan.zig");

pub const std_options: std.Options = .{ .signal_stack_size = null };
pub const panic = std.debug.simple_panic; // no stack traces: quicker to compile in the safe mode

fn prepare(p: *plan.Plan) callconv(.c) i32 {
    const family: plan.Family = @field(families, options.family).family;
    family.prepare(p) catch |e| return @backingInt(switch (e) {
        error.OutOfMemory => plan.Status.out_of_memory,
        error.Unsupported => plan.Status.unsupported,
    });
    return @backingInt(plan.Status.ok);
}

comptime {
    @export(&prepare, .{
        .name = "dlgrad_" ++ options.family ++ "_" ++ options.level,
        .visibility = .hidden,
    });
}
