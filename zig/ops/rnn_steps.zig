//! What rnn's forward and backward share: the rows of a sequence by time, and the products.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const gemm = @import("gemm.zig");
const gemm_kernel = @import("gemm_kernel.zig");
const gemm_pack = @import("gemm_pack.zig");
const gemm_vector = @import("gemm_vector.zig");
const DType = @import("../dtype.zig").DType;
const Mode = @import("rnn.zig").Mode;
const Call = planning.Call;
const Operand = planning.Operand;

/// Work of a step that is worth a second thread: a few microseconds.
const step_flops = 1_000_000;

pub const Error = error{OutOfMemory};

/// The memory of one run, given back together.
pub const Memory = struct {
    blocks: [24][*]u8 = undefined,
    used: usize = 0,

    pub fn alloc(m: *Memory, comptime T: type, n: usize) Error![*]T {
        const p = services.alloc(@max(1, n) * @sizeOf(T)) orelse return error.OutOfMemory;
        m.blocks[m.used] = p;
        m.used += 1;
        return @ptrCast(@alignCast(p));
    }
    pub fn zeros(m: *Memory, comptime T: type, n: usize) Error![*]T {
        const p = try m.alloc(T, n);
        @memset(p[0..n], 0);
        return p;
    }
    pub fn deinit(m: *const Memory) void {
        for (m.blocks[0..m.used]) |p| services.free(p);
    }
};

/// A plan's run that is `body` with the memory that it takes.
pub fn run(comptime body: fn (*const planning.Plan, *Call, *Memory) Error!void) planning.Run {
    return struct {
        fn run(p: *const planning.Plan, call: *Call) void {
            var memory: Memory = .{};
            defer memory.deinit();
            body(p, call, &memory) catch call.fail(.out_of_memory, .{ 0, 0, 0 });
        }
    }.run;
}

/// Which rows of a sequence belong to which time, in the order of the recurrence.
pub const Steps = struct {
    /// Rows start[t] .. start[t + 1] are time t's.
    start: [*]const usize,
    time: usize,
    batch: usize,
    reverse: bool,

    /// Of a plan whose operand `k` has the sizes of packed sequences, if it is there.
    pub fn of(m: *Memory, p: *const planning.Plan, call: *const Call, k: usize) Error!Steps {
        if (call.ptr[k] == null) return init(m, p.ints, null, 0);
        return init(m, p.ints, call.at(i64, k), @intCast(p.operands[k].strides[0]));
    }
    fn init(m: *Memory, ints: []const i64, sizes: ?[*]const i64, stride: usize) Error!Steps {
        const time: usize = @intCast(ints[2]);
        const batch: usize = @intCast(ints[3]);
        const start = try m.alloc(usize, time + 1);
        start[0] = 0;
        for (0..time) |t| {
            start[t + 1] = start[t] + if (sizes) |s| @as(usize, @intCast(s[t * stride])) else batch;
        }
        return .{ .start = start, .time = time, .batch = batch, .reverse = ints[1] != 0 };
    }
    pub fn total(s: *const Steps) usize {
        return s.start[s.time];
    }
    pub fn size(s: *const Steps, t: usize) usize {
        return s.start[t + 1] - s.start[t];
    }
    /// The time of step number `i`.
    pub fn at(s: *const Steps, i: usize) usize {
        return if (s.reverse) s.time - 1 - i else i;
    }
    /// The time of the step before, and after.
    pub fn before(s: *const Steps, t: usize) ?usize {
        if (s.reverse) return if (t + 1 < s.time) t + 1 else null;
        return if (t > 0) t - 1 else null;
    }
    pub fn after(s: *const Steps, t: usize) ?usize {
        if (s.reverse) return if (t > 0) t - 1 else null;
        return if (t + 1 < s.time) t + 1 else null;
    }
    /// Rows of t that go on from the step before; the others begin here.
    pub fn continued(s: *const Steps, t: usize) usize {
        return if (s.before(t)) |p| @min(s.size(p), s.size(t)) else 0;
    }
    /// The last step's time of sequence b.
    pub fn last(s: *const Steps, b: usize) usize {
        if (s.reverse) return 0;
        var t = s.time - 1;
        while (s.size(t) <= b) t -= 1;
        return t;
    }
};

/// Rows of `width` elements side by side, by time and place in the batch.
pub fn Rows(comptime T: type) type {
    return struct {
        ptr: [*]const T,
        /// Strides of the time (0: rows follow each other, all times through) and of a row.
        ts: usize,
        rs: usize,

        const Self = @This();

        /// Null where it was left out. `even`: all rows must have one stride, `rs`.
        pub fn init(m: *Memory, s: *const Steps, o: Operand, ptr: ?[*]u8, even: bool) Error!?Self {
            const from: [*]const T = @ptrCast(@alignCast(ptr orelse return null));
            const nd = o.ndim();
            const width: usize = @intCast(o.shape[nd - 1]);
            const step: usize = @intCast(o.strides[nd - 1]);
            const rs: usize = @intCast(o.strides[nd - 2]);
            const ts: usize = if (nd == 3) @intCast(o.strides[0]) else 0;
            const rows: usize = @intCast(o.shape[nd - 2]);
            const times: usize = if (nd == 3) @intCast(o.shape[0]) else 1;
            if (step == 1 or width == 1) {
                if (times == 1 or ts == rows * rs) return .{ .ptr = from, .ts = 0, .rs = rs };
                if (rows == 1) return .{ .ptr = from, .ts = 0, .rs = ts };
                if (!even and ts != 0) return .{ .ptr = from, .ts = ts, .rs = rs };
            }
            const copy = try m.alloc(T, times * rows * width);
            for (0..times) |t| for (0..rows) |r| {
                const to = copy + (t * rows + r) * width;
                const line = from + t * ts + r * rs;
                if (step == 1) @memcpy(to[0..width], line[0..width]) else {
                    for (to[0..width], 0..) |*x, i| x.* = line[i * step];
                }
            };
            _ = s;
            return .{ .ptr = copy, .ts = 0, .rs = width };
        }
        /// The row of the state before row b of time t: of `all` (total, width), or of the first.
        pub fn previous(
            s: *const Steps,
            width: usize,
            all: [*]const T,
            first: *const ?Self,
            t: usize,
            b: usize,
        ) ?[*]const T {
            if (b < s.continued(t)) return all + (s.start[s.before(t).?] + b) * width;
            return if (first.*) |*rows| rows.ptr + b * rows.rs else null;
        }
        pub fn row(r: *const Self, s: *const Steps, t: usize, b: usize) [*]const T {
            if (r.ts != 0) return r.ptr + t * r.ts + b * r.rs;
            return r.ptr + (s.start[t] + b) * r.rs;
        }
    };
}

/// A matrix in memory.
pub fn Matrix(comptime T: type) type {
    return struct {
        ptr: [*]const T,
        rs: usize,
        cs: usize = 1,

        pub fn of(o: Operand, ptr: ?[*]u8) @This() {
            return .{
                .ptr = @ptrCast(@alignCast(ptr.?)),
                .rs = @intCast(o.strides[0]),
                .cs = @intCast(o.strides[1]),
            };
        }
        pub fn transposed(m: @This()) @This() {
            return .{ .ptr = m.ptr, .rs = m.cs, .cs = m.rs };
        }
    };
}

/// c (m, n) = a (m, k) @ b (k, n), c contiguous.
pub fn product(
    comptime T: type,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix(T),
    b: Matrix(T),
    c: [*]T,
    call: *Call,
) void {
    const G = gemm.Gemm(T);
    const Strided = gemm_pack.Strided(T);
    const d: DType = if (T == f64) .float64 else .float32;
    if (m == 0 or n == 0) return;
    if (m == 1) {
        const x: gemm_vector.View = .{ .ptr = @ptrCast(a.ptr), .dtype = d, .sj = 0, .sk = a.cs };
        const y: gemm_vector.View = .{ .ptr = @ptrCast(b.ptr), .dtype = d, .sj = b.cs, .sk = b.rs };
        gemm_vector.Vector(T).run(n, k, x, y, c, call);
        return;
    }
    const left: Strided = .{ .ptr = @ptrCast(a.ptr), .dtype = d, .si = a.rs, .sk = a.cs };
    const right: Strided = .{ .ptr = @ptrCast(b.ptr), .dtype = d, .si = b.cs, .sk = b.rs };
    G.run(&.{
        .m = m,
        .n = n,
        .k = k,
        .a = .{ .ctx = &left, .pack = Strided.packA },
        .b = .{ .ctx = &right, .pack = Strided.packB },
        .a_view = .{ .ptr = a.ptr, .si = a.rs, .sk = a.cs },
        .b_view = .{ .ptr = b.ptr, .si = b.cs, .sk = b.rs },
        .c = .{ .ptr = c, .rs = n },
    }, call);
}

/// The recurrent weights as the right side of a step's products: (k, H) for each of `gates`
/// parts, in panels of `block` units.
pub fn Panels(comptime T: type) type {
    return struct {
        const Micro = gemm_kernel.Kernel(T);
        /// Units that one item of a step computes.
        pub const block = Micro.nr;
        /// Rows of a step that are computed together, in a buffer that stays in the L1 cache.
        pub const chunk = 28;

        w: Matrix(T),
        k: usize,
        hidden: usize,
        gates: usize,
        /// Packed for all steps; for a single one, a panel at a time on the stack.
        packed_panels: ?[*]T,

        const Self = @This();

        /// w: (k, gates * H) as the products see it.
        pub fn init(m: *Memory, s: *const Steps, w: Matrix(T), k: usize, hidden: usize, gates: usize) Error!Self {
            var p: Self = .{ .w = w, .k = k, .hidden = hidden, .gates = gates, .packed_panels = null };
            if (s.time <= 1) return p;
            p.packed_panels = try m.alloc(T, p.blocks() * gates * k * block);
            services.parallelFor(p.blocks() * gates, @max(1, 20_000 / @max(1, k * block)), p, packPart);
            return p;
        }
        pub fn blocks(p: *const Self) usize {
            return (p.hidden + block - 1) / block;
        }
        fn packPart(p: *const Self, begin: usize, end: usize) void {
            for (begin..end) |item| {
                p.pack(item / p.gates, item % p.gates, 0, p.k, p.packed_panels.? + item * p.k * block);
            }
        }
        fn pack(p: *const Self, at: usize, gate: usize, k0: usize, kc: usize, to: [*]T) void {
            const first = at * block;
            const from = p.w.ptr + (gate * p.hidden + first) * p.w.cs + k0 * p.w.rs;
            const n = @min(block, p.hidden - first);
            gemm_pack.packPanel(T, block, to, from, p.w.cs, p.w.rs, n, kc);
        }

        /// c[0..rows, the block's units] = or += a (rows, k) @ this gate's panel.
        pub fn multiply(
            p: *const Self,
            at: usize,
            gate: usize,
            rows: usize,
            a: [*]const T,
            a_rs: usize,
            c: [*]T,
            c_rs: usize,
            adds: bool,
        ) void {
            const n = @min(block, p.hidden - at * block);
            const target: Micro.Target = .{ .ptr = c, .rs = c_rs };
            var local: [gemm_kernel.kc_max * block]T align(64) = undefined;
            var k0: usize = 0;
            while (k0 < p.k) : (k0 += gemm_kernel.kc_max) {
                const kc = @min(gemm_kernel.kc_max, p.k - k0);
                const panel: [*]const T = if (p.packed_panels) |all|
                    all + ((at * p.gates + gate) * p.k + k0) * block
                else panel: {
                    p.pack(at, gate, k0, kc, &local);
                    break :panel &local;
                };
                const operands: Micro.Operands = .{ .k = kc, .a = a + k0, .a_rs = a_rs, .a_cs = 1, .b = panel, .b_rs = block };
                Micro.panels(operands, target, .{ .rows = rows, .cols = n }, adds or k0 > 0);
            }
        }
    };
}

/// Runs `part(ctx, first, last)` over blocks of units: a contiguous range for each thread, which
/// so finds its weights in its own cache at the next step.
pub fn eachBlock(
    blocks: usize,
    flops: usize,
    ctx: anytype,
    comptime part: fn (*const @TypeOf(ctx), usize, usize) void,
) void {
    const most = @min(blocks, flops / step_flops);
    const threads = @min(most, services.threadCount());
    if (threads <= 1) return part(&ctx, 0, blocks);
    const Shared = struct {
        ctx: @TypeOf(ctx),
        blocks: usize,
        parts: usize,
        fn run(s: *const @This(), begin: usize, end: usize) void {
            part(&s.ctx, begin * s.blocks / s.parts, end * s.blocks / s.parts);
        }
    };
    const shared: Shared = .{ .ctx = ctx, .blocks = blocks, .parts = threads };
    services.parallelFor(threads, 1, shared, Shared.run);
}

/// Fetches `count` pieces of `n` elements, `stride` apart: what is needed after the next product.
pub inline fn prefetch(comptime T: type, p: [*]const T, n: usize, count: usize, stride: usize) void {
    for (0..count) |i| {
        var at: usize = 0;
        while (at < n) : (at += simd.lanes(T)) @prefetch(p + i * stride + at, .{});
    }
}

/// Vectors of up to 64 bytes, the last of a row in part.
pub fn Lanes(comptime T: type) type {
    return struct {
        pub const lanes = simd.lanes(T);
        pub const V = simd.Vec(T);
        pub inline fn get(p: [*]const T, n: usize) V {
            return if (n >= lanes) simd.load(T, p) else getPart(p, n);
        }
        pub inline fn put(p: [*]T, n: usize, x: V) void {
            if (n >= lanes) simd.store(T, p, x) else putPart(p, n, x);
        }
        // Once in the library, not at every load and store.
        noinline fn getPart(p: [*]const T, n: usize) V {
            return simd.loadPart(T, p, n, 0);
        }
        noinline fn putPart(p: [*]T, n: usize, x: V) void {
            simd.storePart(T, p, n, x);
        }
    };
}
