//! What a kernel may use beyond its CPU level (services.zig says how it reaches the library).
const builtin = @import("builtin");
const cpu = @import("cpu.zig");

const external = struct {
    extern fn dlgrad_internal_extensions() callconv(.c) u32;
};

/// Instructions of this CPU that its level does not imply, a mask of cpu.Extension, without
/// those that the user forbids. What they change in a result is said where they are used.
pub fn extensions() u32 {
    return if (builtin.is_test) cpu.extensions() else external.dlgrad_internal_extensions();
}
