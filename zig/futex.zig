//! Wait until a 32-bit word is no longer what it was. std keeps its own behind the `Io`
//! interface, whose table would pull all of std's files and sockets into the library.
const std = @import("std");
const builtin = @import("builtin");
const Word = std.atomic.Value(u32);

pub fn wait(word: *const Word, expected: u32) void {
    switch (builtin.os.tag) {
        .linux => {
            const op: std.os.linux.FUTEX_OP = .{ .cmd = .WAIT, .private = true };
            _ = std.os.linux.futex_4arg(&word.raw, op, expected, null);
        },
        .macos => {
            const op: std.c.UL = .{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true };
            _ = std.c.__ulock_wait(op, &word.raw, expected, 0);
        },
        .windows => _ = std.os.windows.ntdll.RtlWaitOnAddress(&word.raw, &expected, 4, null),
        else => @compileError("no futex for this system"),
    }
}

pub fn wakeAll(word: *const Word) void {
    switch (builtin.os.tag) {
        .linux => {
            const op: std.os.linux.FUTEX_OP = .{ .cmd = .WAKE, .private = true };
            _ = std.os.linux.futex_3arg(&word.raw, op, std.math.maxInt(i32));
        },
        .macos => {
            const op: std.c.UL = .{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true, .WAKE_ALL = true };
            _ = std.c.__ulock_wake(op, &word.raw, 0);
        },
        .windows => std.os.windows.ntdll.RtlWakeAddressAll(&word.raw),
        else => @compileError("no futex for this system"),
    }
}
