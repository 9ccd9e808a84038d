//! Builds the kernel library (Zig 0.17.1, the `ziglang` wheel: `python -m ziglang build`).
//!
//!   zig build                 the shared library and its C header, into zig-out/
//!   zig build test            the kernels' tests, compiled for each CPU level that runs here
//!   zig build bench           times of some kernels
//!   zig build abi             rewrites include/dlgrad.h and dlgrad/_abi.py from zig/abi.zig
//!
//! Another build finds the module "dlgrad" (zig/dlgrad.zig) here, kernels included: see
//! examples/zig. The wheels are built by hatch_build.py, which runs the compiler itself: the
//! first `zig build` on a machine compiles the build system for a minute and a half.
const std = @import("std");

const Names = []const []const u8;
const Variant = struct {
    name: []const u8,
    cpu: []const u8,
    level: enum { v1, v3, v4 },
    without: Names = &.{},
};
const SharedObjects = struct {
    elementwise: Names,
    reductions: Names,
    products: Names,
    indexing: Names,
};
const AllVariants = struct { x86_64: [3]Variant, aarch64: [1]Variant };
const all_variants: AllVariants = @import("zig/variants.zon");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.option(std.lang.Optimize, "optimize", "Default: fast") orelse .fast;
    const strip = b.option(bool, "strip", "Leave out debug info (default: in the fast mode)") orelse
        (optimize == .fast);
    const linkage = b.option(std.lang.LinkMode, "linkage", "Default: dynamic") orelse .dynamic;
    const only = b.option(Names, "levels", "CPU levels to compile, default all (zig/variants.zon)");
    const filters = b.option(Names, "test-filter", "Only the tests with this in their names") orelse
        &.{};
    const settings: Settings = .{ .b = b, .target = target, .optimize = optimize, .strip = strip };

    const all: []const Variant = switch (target.result.cpu.arch) {
        .x86_64 => &all_variants.x86_64,
        .aarch64 => &all_variants.aarch64,
        else => |arch| std.process.fatal("dlgrad has no kernels for {t}", .{arch}),
    };
    var variants: std.ArrayList(Variant) = .empty;
    for (all) |v| {
        if (!wanted(only, v.name)) continue;
        variants.append(b.allocator, v) catch @panic("out of memory");
    }
    if (variants.items.len == 0) std.process.fatal("-Dlevels: no such CPU level", .{});

    // The module: what is compiled for the baseline, and the kernels' objects.
    const options = b.addOptions();
    const names = b.allocator.alloc([]const u8, variants.items.len) catch @panic("out of memory");
    for (names, variants.items) |*name, v| name.* = v.name;
    options.addOption(Names, "levels", names);
    const module = b.addModule("dlgrad", .{
        // Its own code is compiled as the program's that imports it is.
        .root_source_file = b.path("zig/dlgrad.zig"),
        .link_libc = target.result.os.tag != .windows,
    });
    const lib_module = b.createModule(settings.module("zig/abi.zig", "baseline"));
    const bench_module = b.createModule(settings.module("zig/bench.zig", "baseline"));
    const with_kernels = [_]*std.Build.Module{ module, lib_module, bench_module };
    for (with_kernels) |m| m.addOptions("build_options", options);
    for (variants.items) |v| {
        for (objects(b)) |o| {
            if (contains(v.without, o.families) and wanted(only, below(all, v).name)) continue;
            const object = kernels(settings, o, v);
            for (with_kernels) |m| m.addObject(object);
        }
    }

    const lib = b.addLibrary(.{ .name = "dlgrad", .linkage = linkage, .root_module = lib_module });
    lib.installHeader(b.path("include/dlgrad.h"), "dlgrad.h");
    b.installArtifact(lib);
    const lib_step = b.step("lib", "The shared library and its C header (the default)");
    lib_step.dependOn(b.getInstallStep());

    const test_step = b.step("test", "Run the kernels' tests at each CPU level that runs here");
    for (variants.items) |v| {
        if (!runsOn(b.graph.host.result.cpu, target.result.cpu.arch, v)) continue;
        const tests = b.addTest(.{
            .name = b.fmt("test_{s}", .{v.name}),
            .root_module = b.createModule(settings.module("zig/tests.zig", v.cpu)),
            .filters = filters,
        });
        test_step.dependOn(&b.addRunArtifact(tests).step);
    }

    const bench = b.addExecutable(.{ .name = "bench", .root_module = bench_module });
    const run_bench = b.addRunArtifact(bench);
    run_bench.addPassthruArgs();
    b.step("bench", "Time some kernels").dependOn(&run_bench.step);

    const python = b.option([]const u8, "python", "The Python for `zig build abi` (it needs cffi)") orelse
        "python";
    const abi = b.addSystemCommand(&.{ python, "scripts/generate_abi.py" });
    abi.setCwd(b.path("."));
    abi.has_side_effects = true;
    const abi_step = b.step("abi", "Rewrite include/dlgrad.h and dlgrad/_abi.py from zig/abi.zig");
    abi_step.dependOn(&abi.step);
}

/// The names in zig/families.zig, as text: importing it would compile this file anew whenever a
/// kernel changes.
fn families(b: *std.Build) Names {
    var names: std.ArrayList([]const u8) = .empty;
    var lines = std.mem.tokenizeScalar(u8, @embedFile("zig/families.zig"), '\n');
    while (lines.next()) |line| {
        const rest = std.mem.cutPrefix(u8, line, "pub const ") orelse continue;
        const name, const value = std.mem.cut(u8, rest, " = ") orelse continue;
        if (!std.mem.startsWith(u8, value, "@import")) continue;
        names.append(b.allocator, name) catch @panic("out of memory");
    }
    return names.items;
}

const Object = struct { name: []const u8, families: Names };

/// What is compiled together: the groups of zig/objects.zon, and each other family by itself.
fn objects(b: *std.Build) []const Object {
    const shared: SharedObjects = @import("zig/objects.zon");
    var list: std.ArrayList(Object) = .empty;
    var rest: std.ArrayList([]const u8) = .empty;
    rest.appendSlice(b.allocator, families(b)) catch @panic("out of memory");
    inline for (comptime std.meta.fieldNames(SharedObjects)) |name| {
        var members: std.ArrayList([]const u8) = .empty;
        for (@field(shared, name)) |family| {
            const at = indexOf(rest.items, family) orelse continue;
            members.append(b.allocator, rest.orderedRemove(at)) catch @panic("out of memory");
        }
        if (members.items.len > 0) {
            const together: Object = .{ .name = name, .families = members.items };
            list.append(b.allocator, together) catch @panic("out of memory");
        }
    }
    for (rest.items) |*family| {
        const alone: Object = .{ .name = family.*, .families = family[0..1] };
        list.append(b.allocator, alone) catch @panic("out of memory");
    }
    return list.items;
}

fn contains(names: Names, all: Names) bool {
    for (all) |name| if (indexOf(names, name) == null) return false;
    return true;
}

/// The next variant in the list.
fn below(all: []const Variant, v: Variant) Variant {
    for (all, 0..) |x, i| if (std.mem.eql(u8, x.name, v.name)) return all[i + 1];
    unreachable;
}

/// One object at one CPU level (zig/kernel_object.zig).
fn kernels(settings: Settings, object: Object, variant: Variant) *std.Build.Step.Compile {
    const b = settings.b;
    const options = b.addOptions();
    options.addOption(Names, "families", object.families);
    options.addOption([]const u8, "level", variant.name);
    const module = b.createModule(settings.module("zig/kernel_object.zig", variant.cpu));
    module.addOptions("build_options", options);
    return b.addObject(.{
        .name = b.fmt("{s}_{s}", .{ object.name, variant.name }),
        .root_module = module,
        // Debug on x86_64 would use Zig's own backend: other code than what ships.
        .use_llvm = true,
    });
}

const Settings = struct {
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.lang.Optimize,
    strip: bool,

    fn module(s: Settings, root: []const u8, cpu: []const u8) std.Build.Module.CreateOptions {
        return .{
            .root_source_file = s.b.path(root),
            .target = s.withCpu(cpu),
            .optimize = s.optimize,
            .strip = s.strip,
            .pic = true,
            // Without libc, std.Thread on Linux sets up thread-local storage that only an
            // executable of its own has. Windows threads need no libc, and it takes a
            // minute to build there.
            .link_libc = s.target.result.os.tag != .windows,
            .omit_frame_pointer = s.optimize == .fast,
        };
    }

    /// The target with another CPU ("baseline", or a model with +features and -features).
    fn withCpu(s: Settings, cpu: []const u8) std.Build.ResolvedTarget {
        var query = s.target.query;
        const parsed = std.Build.parseTargetQuery(.{
            .arch_os_abi = s.b.fmt("{t}-{t}", .{ s.target.result.cpu.arch, s.target.result.os.tag }),
            .cpu_features = cpu,
        }) catch std.process.exit(1);
        query.cpu_arch = parsed.cpu_arch;
        query.cpu_model = parsed.cpu_model;
        query.cpu_features_add = parsed.cpu_features_add;
        query.cpu_features_sub = parsed.cpu_features_sub;
        return s.b.resolveTargetQuery(query);
    }
};

fn wanted(only: ?Names, name: []const u8) bool {
    return indexOf(only orelse return true, name) != null;
}

fn indexOf(names: Names, name: []const u8) ?usize {
    for (names, 0..) |n, i| if (std.mem.eql(u8, n, name)) return i;
    return null;
}

/// Whether this machine runs code of a level. Another architecture: perhaps, in an emulator.
fn runsOn(host: std.Target.Cpu, arch: std.Target.Cpu.Arch, variant: Variant) bool {
    if (arch != host.arch) return true;
    return switch (variant.level) {
        .v1 => true,
        .v3 => host.hasAll(.x86, &.{ .avx2, .bmi, .bmi2, .f16c, .fma, .lzcnt, .movbe }),
        .v4 => host.hasAll(.x86, &.{ .avx512f, .avx512bw, .avx512cd, .avx512dq, .avx512vl, .fma }),
    };
}
