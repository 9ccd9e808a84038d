//! What the CPU that we run on can do, for the choice of a CPU level.
const std = @import("std");
const builtin = @import("builtin");

/// The psABI levels of x86-64; elsewhere there is one.
pub const Level = enum(u32) { v1 = 1, v2 = 2, v3 = 3, v4 = 4 };

/// What the kernels were compiled for (variants.zon), best first.
pub const Variant = struct {
    /// The name that users see (`DLGRAD_CPU=x86_64_v3`).
    name: [:0]const u8,
    /// For the compiler's -mcpu.
    cpu: []const u8,
    level: Level,
    /// Families that take the next variant's code.
    without: []const []const u8 = &.{},
};

const All = struct { x86_64: [3]Variant, aarch64: [1]Variant };
const all: All = @import("variants.zon");
pub const variants: []const Variant = &@field(all, @tagName(builtin.cpu.arch));

/// Whether this machine can run code compiled for `level`.
pub fn usable(level: Level) bool {
    const have: Level = if (builtin.cpu.arch == .x86_64) x86Level() else .v1;
    return @backingInt(have) >= @backingInt(level);
}

const Leaf = struct { eax: u32, ebx: u32, ecx: u32, edx: u32 };

fn cpuid(leaf: u32, sub: u32) Leaf {
    var eax: u32 = undefined;
    var ebx: u32 = undefined;
    var ecx: u32 = undefined;
    var edx: u32 = undefined;
    asm volatile ("cpuid"
        : [_] "={eax}" (eax),
          [_] "={ebx}" (ebx),
          [_] "={ecx}" (ecx),
          [_] "={edx}" (edx),
        : [_] "{eax}" (leaf),
          [_] "{ecx}" (sub),
    );
    return .{ .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx };
}

/// Which register states the operating system saves (XCR0).
fn xgetbv() u32 {
    return asm volatile ("xgetbv"
        : [_] "={eax}" (-> u32),
        : [_] "{ecx}" (@as(u32, 0)),
        : .{ .edx = true });
}

fn has(register: u32, bits: []const u5) bool {
    for (bits) |bit| if ((register >> bit) & 1 == 0) return false;
    return true;
}

/// The level as the CPU reports it and the operating system allows it.
fn x86Level() Level {
    const last = cpuid(0, 0).eax;
    const l1 = cpuid(1, 0);
    const extended = cpuid(0x80000001, 0);
    // v2: sse3 ssse3 cx16 sse4.1 sse4.2 popcnt, lahf
    if (!has(l1.ecx, &.{ 0, 9, 13, 19, 20, 23 }) or !has(extended.ecx, &.{0})) return .v1;
    // v3: fma movbe osxsave avx f16c, lzcnt, avx2 bmi1 bmi2, and ymm is saved
    if (last < 7 or !has(l1.ecx, &.{ 12, 22, 27, 28, 29 }) or !has(extended.ecx, &.{5})) return .v2;
    const saved = xgetbv();
    const l7 = cpuid(7, 0);
    if (saved & 0x6 != 0x6 or !has(l7.ebx, &.{ 3, 5, 8 })) return .v2;
    // v4: avx512 f dq cd bw vl, and opmask and zmm are saved
    if (saved & 0xe6 != 0xe6 or !has(l7.ebx, &.{ 16, 17, 28, 30, 31 })) return .v3;
    return .v4;
}

/// Instructions beyond a level, as bits of a mask.
pub const Extension = struct {
    /// avx512_bf16: dot products of pairs of bfloat16.
    pub const bfloat16_dot: u32 = 1;
    /// avx512_vnni: dot products of four bytes.
    pub const int8_dot: u32 = 2;
};

/// What `extensions` may tell: tests and users leave some out.
pub var allowed: u32 = std.math.maxInt(u32);
var found: ?u32 = null;

/// The extensions that this CPU has and that are allowed.
pub fn extensions() u32 {
    const has_them = found orelse blk: {
        var mask: u32 = 0;
        if (builtin.cpu.arch == .x86_64 and x86Level() == .v4) {
            const l7 = cpuid(7, 0);
            if (has(l7.ecx, &.{11})) mask |= Extension.int8_dot;
            if (l7.eax >= 1 and has(cpuid(7, 1).eax, &.{5})) mask |= Extension.bfloat16_dot;
        }
        found = mask;
        break :blk mask;
    };
    return has_them & allowed;
}

test "the floor of the architecture is usable, and levels are ordered" {
    try std.testing.expect(usable(variants[variants.len - 1].level));
    var able = false;
    for (variants) |v| { // once usable, all lower ones are
        try std.testing.expect(!able or usable(v.level));
        able = usable(v.level);
    }
}
