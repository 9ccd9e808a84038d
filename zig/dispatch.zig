//! Which of the compiled kernels this machine uses: one table of families for each CPU level.
const std = @import("std");
const cpu = @import("cpu.zig");
const families = @import("families.zig");
const plan = @import("plan.zig");
const levels = @import("build_options").levels; // those that were compiled

pub const names = @typeInfo(families).@"struct".decl_names;

const Prepare = *const fn (p: *plan.Plan) callconv(.c) i32;
const Level = struct { variant: cpu.Variant, table: *const [names.len]Prepare };

const compiled: []const Level = blk: {
    var list: []const Level = &.{};
    for (cpu.variants, 0..) |v, i| {
        if (contains(levels[0..], v.name)) list = list ++ .{Level{ .variant = v, .table = &Table(i).prepare }};
    }
    break :blk list;
};

fn contains(list: []const []const u8, name: []const u8) bool {
    for (list) |x| if (std.mem.eql(u8, x, name)) return true;
    return false;
}

fn Table(comptime i: usize) type {
    return struct {
        const prepare: [names.len]Prepare = blk: {
            @setEvalBranchQuota(10_000);
            const v = cpu.variants[i];
            var list: [names.len]Prepare = undefined;
            for (&list, names) |*entry, name| {
                const other = contains(v.without, name) and contains(levels[0..], cpu.variants[i + 1].name);
                const from = cpu.variants[if (other) i + 1 else i];
                entry.* = @extern(Prepare, .{
                    .name = "dlgrad_" ++ name ++ "_" ++ from.name,
                    .visibility = .hidden,
                });
            }
            break :blk list;
        };
    };
}

var chosen: ?*const Level = null;

/// Chooses a level by its name, or for "" the best that this CPU can run. False, and nothing
/// changes, where there is no such level or the CPU cannot run it.
pub fn select(name: []const u8) bool {
    for (compiled) |*level| {
        if (name.len != 0 and !std.mem.eql(u8, name, level.variant.name)) continue;
        if (!cpu.usable(level.variant.level)) continue;
        chosen = level;
        return true;
    }
    return false;
}

/// The chosen level, or "" before there is one.
pub fn levelName() [*:0]const u8 {
    return if (chosen) |level| level.variant.name.ptr else "";
}

/// The family of this number, at the chosen level.
pub fn family(i: usize) *const plan.Family {
    return &wrapped[i];
}

const wrapped: [names.len]plan.Family = blk: {
    var list: [names.len]plan.Family = undefined;
    for (&list, 0..) |*entry, i| entry.* = .{ .prepare = Wrapper(i).prepare };
    break :blk list;
};

/// Turns the status that crossed from the kernels' object into this compilation's errors.
fn Wrapper(comptime i: usize) type {
    return struct {
        fn prepare(p: *plan.Plan) plan.PrepareError!void {
            if (chosen == null and !select("")) return error.Unsupported;
            const status: plan.Status = @fromBackingInt(chosen.?.table[i](p));
            return switch (status) {
                .ok => {},
                .out_of_memory => error.OutOfMemory,
                else => error.Unsupported,
            };
        }
    };
}
