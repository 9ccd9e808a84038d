const std = @import("std");
const pack = @import("ops/gemm_pack.zig");
pub fn now() u64 {
    var ts: std.os.linux.timespec = undefined;
    _ = std.os.linux.clock_gettime(.MONOTONIC, &ts);
    return @as(u64, @intCast(ts.sec)) * 1000000000 + @as(u64, @intCast(ts.nsec));
}
var src: [2 << 20]u8 align(4096) = undefined;
var dst: [4 << 20]u8 align(4096) = undefined;
fn one(comptime T: type, what: []const u8, comptime B: bool, n: usize, si: usize, sk: usize) void {
    const Kn = @import("ops/gemm_kernel.zig").Kernel(T);
    const w = if (B) Kn.nr else Kn.mr;
    const s: pack.Strided(T) = .{ .ptr = &src, .dtype = if (T == f32) .float32 else .float64, .si = si, .sk = sk };
    var best: u64 = 1 << 60;
    for (0..20) |_| {
        const t = now();
        var k0: usize = 0;
        var to: [*]T = @ptrCast(&dst);
        while (k0 < n) : (k0 += 256) {
            var i: usize = 0;
            while (i < n) : (i += w) {
                const kc = @min(256, n - k0);
                const c = @min(w, n - i);
                if (B) pack.Strided(T).packB(&s, to, i, c, k0, kc) else pack.Strided(T).packA(&s, to, i, c, k0, kc);
                to += w * kc;
            }
        }
        best = @min(best, now() - t);
    }
    std.debug.print("{s} {d} {s}: {d} us  {d:.2} elem/ns\n", .{ @typeName(T), n, what, best / 1000, @as(f64, @floatFromInt(n * n)) / @as(f64, @floatFromInt(best)) });
}
pub fn main() void {
    for (&src) |*x| x.* = 0;
    inline for (.{ f32, f64 }) |T| for ([_]usize{ 256, 500, 512 }) |n| {
        one(T, "A rows (N)", false, n, n, 1);
        one(T, "A T", false, n, 1, n);
        one(T, "B rows (N)", true, n, 1, n);
        one(T, "B T", true, n, n, 1);
    };
}
