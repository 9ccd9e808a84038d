//! The root of one compilation for some kernel families (objects.zon) and a CPU level. Its
//! symbols are `dlgrad_<family>_<level>`, the family's `prepare` with C's calling convention.
//! What crosses between compilations is C's throughout: Zig's own convention depends on the
//! build mode, and the numbers behind its errors on the compilation.
const std = @import("std");
const options = @import("build_options"); // families, level: the build tells
const families = @import("families.zig");
const plan = @import("plan.zig");

pub const std_options: std.Options = .{ .signal_stack_size = null };
pub const panic = std.debug.simple_panic; // no stack traces: quicker to compile in the safe mode

fn Entry(comptime name: []const u8) type {
    return struct {
        fn prepare(p: *plan.Plan) callconv(.c) i32 {
            const family: plan.Family = @field(families, name).family;
            family.prepare(p) catch |e| return @backingInt(switch (e) {
                error.OutOfMemory => plan.Status.out_of_memory,
                error.Unsupported => plan.Status.unsupported,
            });
            p.entry = enter;
            return @backingInt(plan.Status.ok);
        }
    };
}

fn enter(p: *const plan.Plan, call: *plan.Call) callconv(.c) void {
    p.run(p, call);
}

comptime {
    for (options.families) |name| @export(&Entry(name).prepare, .{
        .name = "dlgrad_" ++ name ++ "_" ++ options.level,
        .visibility = .hidden,
    });
    // What other objects share.
    for (options.families) |name| if (std.mem.eql(u8, name, "unary")) {
        const shared = families.unary.shared;
        for (.{ "prepare", "run" }) |what| @export(&@field(shared.Entry, what), .{
            .name = shared.symbol(what, options.level),
            .visibility = .hidden,
        });
    };
    for (options.families) |name| if (std.mem.eql(u8, name, "matmul")) for (.{ f32, f64 }) |T| {
        @export(&families.matmul.shared.Entry(T).run, .{
            .name = families.matmul.shared.name(T, options.level),
            .visibility = .hidden,
        });
    };
}
