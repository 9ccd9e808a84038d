//! Prints, as JSON, what another language must know of the library: the types of all that
//! abi.zig exports, the families and their rows, the element types, the statuses.
//! scripts/generate_abi.py turns it into include/dlgrad.h and dlgrad/_abi.py.
const std = @import("std");
const abi = @import("abi.zig");
const families = @import("families.zig");
const DType = @import("dtype.zig").DType;
const plan = @import("plan.zig");

pub const std_options: std.Options = .{ .signal_stack_size = null };

fn cType(comptime T: type) []const u8 {
    return switch (T) {
        void => "void",
        f32 => "float",
        f64 => "double",
        usize => "size_t",
        i8, i16, i32, i64 => std.fmt.comptimePrint("int{d}_t", .{@bitSizeOf(T)}),
        u8, u16, u32, u64 => std.fmt.comptimePrint("uint{d}_t", .{@bitSizeOf(T)}),
        else => switch (@typeInfo(T)) {
            .optional => |o| cType(o.child),
            .pointer => |p| pointer(p),
            else => @compileError("no C type for " ++ @typeName(T)),
        },
    };
}

fn pointer(comptime p: std.lang.Type.Pointer) []const u8 {
    const child = if (p.child == plan.Plan)
        "dlgrad_plan"
    else if (p.child == anyopaque)
        "void"
    else if (p.child == u8 and p.sentinel() != null) // [*:0]const u8
        "char"
    else
        cType(p.child);
    const is_pointer = child[child.len - 1] == '*';
    if (!p.attrs.@"const") return child ++ (if (is_pointer) "*" else " *");
    return if (is_pointer) child ++ "const *" else "const " ++ child ++ " *";
}

pub fn main(init: std.process.Init) !void {
    @setEvalBranchQuota(20_000);
    var buffer: [4096]u8 = undefined;
    var out: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    const w = &out.interface;

    try w.writeAll("{\"functions\": {");
    comptime var comma: []const u8 = "";
    inline for (@typeInfo(abi).@"struct".decl_names) |name| {
        if (comptime !std.mem.startsWith(u8, name, "dlgrad_")) continue;
        if (@TypeOf(@field(abi, name)) == type) continue;
        const f = @typeInfo(@TypeOf(@field(abi, name))).@"fn";
        try w.print("{s}\n  \"{s}\": [\"{s}\"", .{ comma, name, comptime cType(f.return_type.?) });
        inline for (f.param_types) |P| try w.print(", \"{s}\"", .{comptime cType(P.?)});
        try w.writeAll("]");
        comma = ",";
    }

    try w.writeAll("\n}, \"families\": {");
    comma = "";
    inline for (@typeInfo(families).@"struct".decl_names) |name| {
        try w.print("{s}\n  \"{s}\": [", .{ comma, name });
        for (@field(families, name).names, 0..) |row, i| {
            try w.print("{s}\"{s}\"", .{ if (i == 0) "" else ", ", row });
        }
        try w.writeAll("]");
        comma = ",";
    }
    try w.writeAll("\n}, ");
    try numbers(w, "dtypes", DType);
    try w.writeAll(", ");
    try numbers(w, "statuses", plan.Status);
    try w.writeAll("}\n");
    try w.flush();
}

fn numbers(w: *std.Io.Writer, key: []const u8, comptime E: type) !void {
    try w.print("\"{s}\": {{", .{key});
    for (std.enums.values(E), 0..) |value, i| {
        try w.print("{s}\"{t}\": {d}", .{ if (i == 0) "" else ", ", value, @backingInt(value) });
    }
    try w.writeAll("}");
}
