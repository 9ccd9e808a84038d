//! How many threads this process should use: the CPUs it may run on, or fewer where a control
//! group grants it less time than that (a container with two CPUs' worth on a machine of 64).
const std = @import("std");
const builtin = @import("builtin");

/// At least 1.
pub fn threadCount() u32 {
    // On Linux this is the affinity mask's count.
    const affinity = std.Thread.getCpuCount() catch 1;
    var count: usize = @max(affinity, 1);
    if (builtin.os.tag == .linux) {
        var buffer: [4096]u8 = undefined;
        if (readFile("/proc/self/cgroup", &buffer)) |groups| {
            if (groupLimit(groups, "/sys/fs/cgroup")) |limit| count = @min(count, limit);
        }
    }
    return @intCast(@min(count, std.math.maxInt(u32)));
}

/// The smallest limit of the process's groups and of those around them, rounded up to whole
/// CPUs. `groups`: the text of /proc/self/cgroup. Null: none.
fn groupLimit(groups: []const u8, root: []const u8) ?usize {
    var smallest: ?usize = null;
    var lines = std.mem.tokenizeScalar(u8, groups, '\n');
    while (lines.next()) |line| { // number:controllers:path, "0::path" for version 2
        var fields = std.mem.splitScalar(u8, line, ':');
        _ = fields.next();
        const controllers = fields.next() orelse continue;
        const path = fields.rest();
        if (controllers.len == 0) {
            for ([_][]const u8{ "", "/unified" }) |mount| {
                smallest = least(smallest, limitAbove(root, mount, path, .v2));
            }
        } else {
            var names = std.mem.splitScalar(u8, controllers, ',');
            while (names.next()) |name| {
                if (!std.mem.eql(u8, name, "cpu")) continue;
                for ([_][]const u8{ "/cpu", "/cpu,cpuacct" }) |mount| {
                    smallest = least(smallest, limitAbove(root, mount, path, .v1));
                }
            }
        }
    }
    return smallest;
}

fn least(a: ?usize, b: ?usize) ?usize {
    return if (a) |x| @min(x, b orelse x) else b;
}

/// The smallest limit of the group at `path` and of all that it lies in. Inside a container
/// the path may be the host's, and only the mount itself be there.
fn limitAbove(
    root: []const u8,
    mount: []const u8,
    path: []const u8,
    version: enum { v1, v2 },
) ?usize {
    var smallest: ?usize = null;
    var group = std.mem.trimEnd(u8, path, "/");
    while (true) {
        var buffers: [2][64]u8 = undefined;
        const names: [2][]const u8 = switch (version) {
            .v2 => .{ "/cpu.max", "" }, // "quota period" or "max period", microseconds
            .v1 => .{ "/cpu.cfs_quota_us", "/cpu.cfs_period_us" },
        };
        const first = readIn(&.{ root, mount, group, names[0] }, &buffers[0]) orelse "";
        const second = switch (version) {
            .v2 => "",
            .v1 => readIn(&.{ root, mount, group, names[1] }, &buffers[1]) orelse "",
        };
        var words = std.mem.tokenizeAny(u8, first, " \n");
        const time = words.next() orelse "";
        const period = words.next() orelse std.mem.trimEnd(u8, second, "\n");
        smallest = least(smallest, quota(time, period));
        if (group.len == 0) return smallest;
        group = group[0 .. std.mem.lastIndexOfScalar(u8, group, '/') orelse 0];
    }
}

/// CPUs' worth of time, rounded up; null for no limit ("max", -1).
fn quota(time: []const u8, period: []const u8) ?usize {
    const t = std.fmt.parseInt(u64, time, 10) catch return null;
    const p = std.fmt.parseInt(u64, period, 10) catch return null;
    if (t == 0 or p == 0) return null;
    return @intCast(std.math.divCeil(u64, t, p) catch unreachable);
}

fn readIn(parts: []const []const u8, buffer: []u8) ?[]const u8 {
    var path: [1024]u8 = undefined;
    var length: usize = 0;
    for (parts) |part| {
        if (length + part.len >= path.len) return null;
        @memcpy(path[length..][0..part.len], part);
        length += part.len;
    }
    path[length] = 0;
    return readFile(path[0..length :0], buffer);
}

fn readFile(path: [:0]const u8, buffer: []u8) ?[]const u8 {
    const linux = std.os.linux;
    const opened = linux.open(path, .{ .ACCMODE = .RDONLY, .CLOEXEC = true }, 0);
    if (linux.errno(opened) != .SUCCESS) return null;
    const file: linux.fd_t = @intCast(opened);
    defer _ = linux.close(file);
    const got = linux.read(file, buffer.ptr, buffer.len);
    if (linux.errno(got) != .SUCCESS) return null;
    return buffer[0..got];
}

test "quotas are rounded up to whole CPUs" {
    const expect = std.testing.expectEqual;
    try expect(2, quota("200000", "100000"));
    try expect(2, quota("150000", "100000"));
    try expect(1, quota("1000", "100000"));
    try expect(null, quota("max", "100000"));
    try expect(null, quota("-1", "100000"));
    try expect(null, quota("", ""));
    try std.testing.expect(threadCount() >= 1);
}

test "the smallest limit of the groups around the process counts" {
    if (builtin.os.tag != .linux) return;
    const io = std.testing.io;
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [256]u8 = undefined;
    const root = try std.fmt.bufPrint(&buffer, ".zig-cache/tmp/{s}", .{tmp.sub_path});
    try tmp.dir.createDirPath(io, "outer/inner");
    try tmp.dir.writeFile(io, .{ .sub_path = "outer/cpu.max", .data = "300000 100000\n" });
    try tmp.dir.writeFile(io, .{ .sub_path = "outer/inner/cpu.max", .data = "max 100000\n" });
    try tmp.dir.createDirPath(io, "cpu");
    try tmp.dir.writeFile(io, .{ .sub_path = "cpu/cpu.cfs_quota_us", .data = "450000\n" });
    try tmp.dir.writeFile(io, .{ .sub_path = "cpu/cpu.cfs_period_us", .data = "100000\n" });
    const expect = std.testing.expectEqual;
    try expect(3, groupLimit("0::/outer/inner\n", root));
    try expect(5, groupLimit("4:cpuset:/\n1:cpu,cpuacct:/docker/of/the/host\n", root));
    try expect(3, groupLimit("1:cpu:/\n0::/outer\n", root));
    try expect(null, groupLimit("0::/\n", root));
}
