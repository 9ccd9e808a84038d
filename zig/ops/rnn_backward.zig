//! The gradients of a recurrent layer, back through time. The contract is on top of rnn.zig.
//!
//! A step takes what the outputs' gradients and the next step left in `grad_h` and `grad_c` (a
//! row for each sequence, which hold the initial states' gradients at the end) to the gradients
//! of the gates before their activation; from those of all times come the weights' gradients.
const std = @import("std");
const planning = @import("../plan.zig");
const services = @import("../services.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const steps = @import("rnn_steps.zig");
const Mode = @import("rnn.zig").Mode;
const Plan = planning.Plan;
const Call = planning.Call;

pub fn Backward(comptime T: type) type {
    return struct {
        mode: Mode,
        hidden: usize,
        steps: steps.Steps,
        panels: steps.Panels(T),
        grad_y: ?Rows,
        h_0: ?Rows,
        c_0: ?Rows,
        y: [*]const T,
        gates: [*]const T,
        extra: [*]const T,
        grad_h: [*]T,
        grad_c: [*]T,
        /// Gradients of the gates: as the input's product sees them, and as the state's does
        /// (which differ in a GRU's third gate, behind the reset gate).
        grad_x_gates: [*]T,
        grad_h_gates: [*]T,
        wants_h_0: bool,
        /// Their rows' stride: not a multiple of a page, or the rows of a tile would share one set of
        /// the L1 cache.
        ld: usize,

        const Job = @This();
        const Rows = steps.Rows(T);
        const Matrix = steps.Matrix(T);
        const block = steps.Panels(T).block;
        const chunk = steps.Panels(T).chunk;
        const L = steps.Lanes(T);
        const V = L.V;

        pub const run = steps.run(body);

        fn body(p: *const Plan, call: *Call, memory: *steps.Memory) steps.Error!void {
            const o = p.operands;
            const mode: Mode = @fromBackingInt(p.ints[0]);
            const s: steps.Steps = try .of(memory, p, call, 18);
            const hidden: usize = @intCast(o[15].shape[o[15].ndim() - 1]);
            const width = mode.gates() * hidden;
            const total = s.total();
            const states = s.batch * hidden;
            const w_ih: Matrix = .of(o[11], call.ptr[11]);
            const w_hh: Matrix = .of(o[12], call.ptr[12]);
            const ld = width + L.lanes;
            const grad_x_gates = try memory.alloc(T, total * ld);
            var job: Job = .{
                .mode = mode,
                .hidden = hidden,
                .steps = s,
                .panels = undefined,
                .grad_y = try .init(memory, &s, o[7], call.ptr[7], false),
                .h_0 = try .init(memory, &s, o[13], call.ptr[13], false),
                .c_0 = try .init(memory, &s, o[14], call.ptr[14], false),
                .y = call.at(T, 15),
                .gates = if (call.ptr[16] != null) call.at(T, 16) else undefined,
                .extra = if (call.ptr[17] != null) call.at(T, 17) else undefined,
                .grad_h = if (call.ptr[5] != null) call.at(T, 5) else try memory.alloc(T, states),
                .grad_c = if (call.ptr[6] != null) call.at(T, 6) else try memory.alloc(T, states),
                .grad_x_gates = grad_x_gates,
                .grad_h_gates = if (mode == .gru) try memory.alloc(T, total * ld) else grad_x_gates,
                .ld = ld,
                .wants_h_0 = call.ptr[5] != null,
            };
            setState(job.grad_h, try .init(memory, &s, o[8], call.ptr[8], false), s.batch, hidden);
            setState(job.grad_c, try .init(memory, &s, o[9], call.ptr[9], false), s.batch, hidden);
            const vector = s.time == 1 and s.batch == 1;
            if (s.time > 1 or (job.wants_h_0 and !vector)) job.panels = try .init(memory, &s, w_hh, width, hidden, 1);
            for (0..s.time) |i| {
                const t = s.at(s.time - 1 - i);
                const flops = 2 * s.size(t) * width * hidden;
                const units = (hidden + block - 1) / block;
                steps.eachBlock(units, flops, Step{ .job = &job, .t = t }, Step.part);
                if (job.wants_h_0 and !vector and s.continued(t) < s.size(t)) {
                    steps.eachBlock(units, flops, Step{ .job = &job, .t = t }, Step.toInitial);
                }
            }
            if (job.wants_h_0 and vector) {
                const part = try memory.alloc(T, hidden);
                steps.product(T, 1, hidden, width, .{ .ptr = job.grad_h_gates, .rs = 0 }, w_hh, part, call);
                for (job.grad_h[0..hidden], part[0..hidden]) |*g, x| g.* += x;
            }
            const x_gates: Matrix = .{ .ptr = job.grad_x_gates, .rs = ld };
            const h_gates: Matrix = .{ .ptr = job.grad_h_gates, .rs = ld };
            const inputs: usize = @intCast(o[10].shape[o[10].ndim() - 1]);
            if (call.ptr[0] != null) {
                steps.product(T, total, inputs, width, x_gates, w_ih, call.at(T, 0), call);
            }
            if (call.ptr[1] != null) {
                const x = (try Rows.init(memory, &s, o[10], call.ptr[10], true)).?;
                const right: Matrix = .{ .ptr = x.ptr, .rs = x.rs };
                steps.product(T, width, inputs, total, x_gates.transposed(), right, call.at(T, 1), call);
            }
            if (call.ptr[2] != null) {
                const right: Matrix = .{ .ptr = try job.previousStates(memory), .rs = hidden };
                steps.product(T, width, hidden, total, h_gates.transposed(), right, call.at(T, 2), call);
            }
            if (call.ptr[3] != null) sumRows(job.grad_x_gates, total, width, ld, call.at(T, 3));
            if (call.ptr[4] != null) {
                const to = call.at(T, 4);
                if (mode != .gru and call.ptr[3] != null) {
                    @memcpy(to[0..width], call.at(T, 3)[0..width]);
                } else sumRows(job.grad_h_gates, total, width, ld, to);
            }
        }

        /// The gradient of a final state, or zeros.
        fn setState(to: [*]T, from: ?Rows, batch: usize, hidden: usize) void {
            const rows = from orelse return @memset(to[0 .. batch * hidden], 0);
            for (0..batch) |b| @memcpy(to[b * hidden ..][0..hidden], rows.ptr[b * rows.rs ..][0..hidden]);
        }

        /// The state before each row, (total, H).
        fn previousStates(j: *const Job, memory: *steps.Memory) steps.Error![*]const T {
            const s = &j.steps;
            const all = try memory.alloc(T, s.total() * j.hidden);
            for (0..s.time) |t| for (0..s.size(t)) |b| {
                const to = all[(s.start[t] + b) * j.hidden ..][0..j.hidden];
                const row = Rows.previous(s, j.hidden, j.y, &j.h_0, t, b);
                if (row) |from| @memcpy(to, from[0..j.hidden]) else @memset(to, 0);
            };
            return all;
        }

        const Step = struct {
            job: *const Job,
            t: usize,

            fn part(s: *const Step, begin: usize, end: usize) void {
                const j = s.job;
                const rows = j.steps.size(s.t);
                var buffer: [chunk * block]T align(64) = undefined;
                for (begin..end) |at| {
                    var first: usize = 0;
                    while (first < rows) : (first += chunk) {
                        const last = @min(rows, first + chunk);
                        j.products(s.t, at, first, last, &buffer);
                        switch (j.mode) {
                            inline else => |mode| j.differentiate(mode, s.t, at, first, last, &buffer),
                        }
                    }
                }
            }
            /// For the sequences that begin at this step.
            fn toInitial(s: *const Step, begin: usize, end: usize) void {
                const j = s.job;
                const first = j.steps.continued(s.t);
                const a = j.grad_h_gates + (j.steps.start[s.t] + first) * j.ld;
                for (begin..end) |at| {
                    const to = j.grad_h + first * j.hidden + at * block;
                    j.panels.multiply(at, 0, j.steps.size(s.t) - first, a, j.ld, to, j.hidden, true);
                }
            }
        };

        /// to[row][unit]: what the next step's gates give to the state, for rows first .. last.
        fn products(j: *const Job, t: usize, at: usize, first: usize, last: usize, to: [*]T) void {
            var middle = first;
            if (j.steps.after(t)) |next| {
                middle = std.math.clamp(j.steps.size(next), first, last);
                const a = j.grad_h_gates + (j.steps.start[next] + first) * j.ld;
                j.panels.multiply(at, 0, middle - first, a, j.ld, to, block, false);
            }
            @memset(to[(middle - first) * block .. (last - first) * block], 0);
        }

        fn differentiate(
            j: *const Job,
            comptime mode: Mode,
            t: usize,
            at: usize,
            first_row: usize,
            last_row: usize,
            products_of_next: [*]const T,
        ) void {
            const hidden = j.hidden;
            const last = @min((at + 1) * block, hidden);
            const one: V = @splat(1);
            const zero: V = @splat(0);
            for (first_row..last_row) |b| {
                const row = j.steps.start[t] + b;
                const grad_y = if (j.grad_y) |*rows| rows.row(&j.steps, t, b) else null;
                const grad_h = j.grad_h + b * hidden;
                const before = switch (mode) {
                    .lstm => Rows.previous(&j.steps, hidden, j.extra, &j.c_0, t, b),
                    .gru => Rows.previous(&j.steps, hidden, j.y, &j.h_0, t, b),
                    else => null,
                };
                var u = at * block;
                while (u < last) : (u += L.lanes) {
                    const n = last - u;
                    const to = j.grad_x_gates + row * j.ld + u;
                    const old: V = if (before) |x| L.get(x + u, n) else zero;
                    const product = products_of_next + (b - first_row) * block + (u - at * block);
                    var g = L.get(grad_h + u, n) + L.get(product, n);
                    if (grad_y) |x| g += L.get(x + u, n);
                    switch (mode) {
                        .tanh => {
                            const y = L.get(j.y + row * hidden + u, n);
                            L.put(to, n, g * (one - y * y));
                        },
                        .relu => {
                            const y = L.get(j.y + row * hidden + u, n);
                            L.put(to, n, @select(T, y <= zero, zero, g));
                        },
                        .lstm => {
                            const from = j.gates + row * 4 * hidden + u;
                            const in = L.get(from, n);
                            const forget = L.get(from + hidden, n);
                            const new = L.get(from + 2 * hidden, n);
                            const out = L.get(from + 3 * hidden, n);
                            const cell = math.tanh(V, L.get(j.extra + row * hidden + u, n));
                            const grad_c = j.grad_c + b * hidden + u;
                            const gc = L.get(grad_c, n) + g * out * (one - cell * cell);
                            L.put(to, n, gc * new * in * (one - in));
                            L.put(to + hidden, n, gc * old * forget * (one - forget));
                            L.put(to + 2 * hidden, n, gc * in * (one - new * new));
                            L.put(to + 3 * hidden, n, g * cell * out * (one - out));
                            L.put(grad_c, n, gc * forget);
                        },
                        .gru => {
                            const from = j.gates + row * 3 * hidden + u;
                            const reset = L.get(from, n);
                            const update = L.get(from + hidden, n);
                            const new = L.get(from + 2 * hidden, n);
                            const state = L.get(j.extra + row * hidden + u, n);
                            const to_h = j.grad_h_gates + row * j.ld + u;
                            const gn = g * (one - update) * (one - new * new);
                            const gr = gn * state * reset * (one - reset);
                            const gz = g * (old - new) * update * (one - update);
                            L.put(to, n, gr);
                            L.put(to_h, n, gr);
                            L.put(to + hidden, n, gz);
                            L.put(to_h + hidden, n, gz);
                            L.put(to + 2 * hidden, n, gn);
                            L.put(to_h + 2 * hidden, n, gn * reset);
                        },
                    }
                    // What goes to the state before without a product.
                    const rest = if (mode == .gru) g * L.get(j.gates + row * 3 * hidden + hidden + u, n) else zero;
                    L.put(grad_h + u, n, rest);
                }
            }
        }

        /// to[c] = the sum of column c.
        fn sumRows(from: [*]const T, rows: usize, width: usize, ld: usize, to: [*]T) void {
            const columns = 4 * L.lanes;
            const Sum = struct {
                from: [*]const T,
                rows: usize,
                width: usize,
                ld: usize,
                to: [*]T,
                fn part(s: *const @This(), begin: usize, end: usize) void {
                    for (begin..end) |item| {
                        const first = item * columns;
                        const n = @min(columns, s.width - first);
                        var sums: [4]V = @splat(@splat(0));
                        for (0..s.rows) |r| {
                            const row = s.from + r * s.ld + first;
                            if (n == columns) {
                                inline for (0..4) |i| sums[i] += simd.load(T, row + i * L.lanes);
                            } else for (0..(n + L.lanes - 1) / L.lanes) |i| {
                                sums[i] += L.get(row + i * L.lanes, n - i * L.lanes);
                            }
                        }
                        for (0..(n + L.lanes - 1) / L.lanes) |i| {
                            L.put(s.to + first + i * L.lanes, n - i * L.lanes, sums[i]);
                        }
                    }
                }
            };
            const sum: Sum = .{ .from = from, .rows = rows, .width = width, .ld = ld, .to = to };
            const items = (width + columns - 1) / columns;
            services.parallelFor(items, @max(1, 100_000 / @max(1, rows * columns)), sum, Sum.part);
        }
    };
}
