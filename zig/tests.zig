//! All tests of the kernel library, compiled for one CPU level at a time.
const families = @import("families.zig");

pub const std_options: @import("std").Options = .{ .signal_stack_size = null };

test {
    _ = @import("cpu.zig");
    _ = @import("dtype.zig");
    _ = @import("math.zig");
    _ = @import("memory.zig");
    _ = @import("plan.zig");
    _ = @import("random.zig");
    _ = @import("repeat.zig");
    _ = @import("simd.zig");
    _ = @import("threads.zig");
    _ = @import("view.zig");
    _ = @import("bench.zig");
    inline for (@typeInfo(families).@"struct".decl_names) |name| _ = @field(families, name);
}
