//! Rows of three inputs.
const plan = @import("../plan.zig");
pub const names: []const []const u8 = &.{};
pub const family: plan.Family = .{ .prepare = prepare };
fn prepare(_: *plan.Plan) plan.PrepareError!void {
    return error.Unsupported;
}
