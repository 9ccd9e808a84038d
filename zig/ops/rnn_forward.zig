//! A recurrent layer, forward. The contract is on top of rnn.zig.
const std = @import("std");
const planning = @import("../plan.zig");
const simd = @import("../simd.zig");
const math = @import("../math.zig");
const steps = @import("rnn_steps.zig");
const Mode = @import("rnn.zig").Mode;
const Plan = planning.Plan;
const Call = planning.Call;

pub fn Forward(comptime T: type) type {
    return struct {
        mode: Mode,
        hidden: usize,
        steps: steps.Steps,
        panels: steps.Panels(T),
        h_0: ?steps.Rows(T),
        c_0: ?steps.Rows(T),
        /// A number for each gate, zeros without biases; a GRU's for the state's part of n.
        bias: [*]const T,
        bias_n: ?[*]const T,
        y: [*]T,
        /// The input's part of the gates, activated in place. A plain RNN's are y itself.
        gates: [*]T,
        extra: [*]T,
        /// Whether the activated gates are wanted; for a GRU, `extra` as well.
        keeps: bool,
        /// The state's part of a single row's gates.
        part: ?[*]const T = null,
        /// The states of the last two steps, (B, H) with a gap behind each row, where the rows of y
        /// would share one set of the L1 cache.
        apart: ?[*]T = null,

        const Job = @This();
        const block = steps.Panels(T).block;
        const chunk = steps.Panels(T).chunk;
        const L = steps.Lanes(T);
        const V = L.V;

        pub const run = steps.run(body);

        fn body(p: *const Plan, call: *Call, memory: *steps.Memory) steps.Error!void {
            const o = p.operands;
            const mode: Mode = @fromBackingInt(p.ints[0]);
            const hidden: usize = @intCast(o[0].shape[o[0].ndim() - 1]);
            const width = mode.gates() * hidden;
            const s: steps.Steps = try .of(memory, p, call, 12);
            const y = call.at(T, 0);
            const plain = mode == .tanh or mode == .relu;
            var job: Job = .{
                .mode = mode,
                .hidden = hidden,
                .steps = s,
                .panels = undefined,
                .h_0 = try .init(memory, &s, o[10], call.ptr[10], false),
                .c_0 = try .init(memory, &s, o[11], call.ptr[11], false),
                .bias = try sumBiases(mode, width, call, memory),
                .bias_n = if (call.ptr[9] != null and mode == .gru) call.at(T, 9) + 2 * hidden else null,
                .y = y,
                .gates = if (plain) y else if (call.ptr[3] != null) call.at(T, 3) else try memory.alloc(T, s.total() * width),
                .keeps = !plain and call.ptr[3] != null,
                .extra = if (plain) y else if (call.ptr[4] != null) call.at(T, 4) else try memory.alloc(T, s.total() * hidden),
            };
            const x = (try steps.Rows(T).init(memory, &s, o[5], call.ptr[5], true)).?;
            const w_ih: steps.Matrix(T) = .of(o[6], call.ptr[6]);
            const w_hh: steps.Matrix(T) = .of(o[7], call.ptr[7]);
            const inputs: usize = @intCast(o[5].shape[o[5].ndim() - 1]);
            const left: steps.Matrix(T) = .{ .ptr = x.ptr, .rs = x.rs };
            steps.product(T, s.total(), width, inputs, left, w_ih.transposed(), job.gates, call);
            if (s.time == 1 and s.batch == 1) {
                // One row: the weights are read once, where they lie.
                const part = try memory.zeros(T, width);
                if (job.h_0) |h| steps.product(T, 1, width, hidden, .{ .ptr = h.ptr, .rs = 0 }, w_hh.transposed(), part, call);
                job.part = part;
                job.panels = .{ .w = w_hh, .k = 0, .hidden = hidden, .gates = mode.gates(), .packed_panels = null };
            } else job.panels = try .init(memory, &s, w_hh.transposed(), hidden, hidden, mode.gates());
            if (s.time > 1 and s.batch >= 8 and hidden * @sizeOf(T) % 2048 == 0) {
                job.apart = try memory.alloc(T, 2 * s.batch * (hidden + L.lanes));
            }
            for (0..s.time) |i| {
                const t = s.at(i);
                const flops = 2 * s.size(t) * width * hidden;
                steps.eachBlock(job.panels.blocks(), flops, Step{ .job = &job, .t = t }, Step.part);
            }
            job.writeLast(call.ptr[1], y);
            if (mode == .lstm) job.writeLast(call.ptr[2], job.extra);
        }

        fn sumBiases(mode: Mode, width: usize, call: *const Call, memory: *steps.Memory) steps.Error![*]const T {
            const sum = try memory.zeros(T, width);
            if (call.ptr[8] == null) return sum;
            for (sum[0..width], call.at(T, 8), call.at(T, 9)) |*s, x, y| s.* = x + y;
            // The state's bias of a GRU's third gate is behind the reset gate.
            const apart = width / 3 * 2;
            if (mode == .gru) @memcpy(sum[apart..width], call.at(T, 8)[apart..width]);
            return sum;
        }

        const Step = struct {
            job: *const Job,
            t: usize,

            fn part(s: *const Step, begin: usize, end: usize) void {
                const j = s.job;
                const rows = j.steps.size(s.t);
                var buffer: [chunk * 4 * block]T align(64) = undefined;
                for (begin..end) |at| {
                    var first: usize = 0;
                    while (first < rows) : (first += chunk) {
                        const last = @min(rows, first + chunk);
                        j.products(s.t, at, first, last, &buffer);
                        switch (j.mode) {
                            inline else => |mode| j.activate(mode, s.t, at, first, last, &buffer),
                        }
                    }
                }
            }
        };

        /// The row of `apart` for row b of time t.
        fn apartRow(j: *const Job, all: [*]T, t: usize, b: usize) [*]T {
            return all + (t % 2 * j.steps.batch + b) * (j.hidden + L.lanes);
        }

        /// to[row][gate][unit]: the state's part of the gates, for rows first .. last.
        fn products(j: *const Job, t: usize, at: usize, first: usize, last: usize, to: [*]T) void {
            const gates = j.mode.gates();
            const ld = gates * block;
            const middle = std.math.clamp(j.steps.continued(t), first, last);
            if (j.part) |part| {
                const count = @min(block, j.hidden - at * block);
                for (0..gates) |g| @memcpy(to[g * block ..][0..count], part[g * j.hidden + at * block ..][0..count]);
                return;
            }
            const n = @min(block, j.hidden - at * block);
            for (first..last) |b| {
                const row = j.gates + (j.steps.start[t] + b) * gates * j.hidden + at * block;
                steps.prefetch(T, row, n, gates, j.hidden);
            }
            if (middle > first) {
                const before = j.steps.before(t).?;
                const a = if (j.apart) |x| j.apartRow(x, before, first) else j.y + (j.steps.start[before] + first) * j.hidden;
                const rs = if (j.apart == null) j.hidden else j.hidden + L.lanes;
                for (0..gates) |g| j.panels.multiply(at, g, middle - first, a, rs, to + g * block, ld, false);
            }
            if (middle == last) return;
            const rest = to + (middle - first) * ld;
            const h = j.h_0 orelse return @memset(rest[0 .. (last - middle) * ld], 0);
            const a = h.ptr + middle * h.rs;
            for (0..gates) |g| j.panels.multiply(at, g, last - middle, a, h.rs, rest + g * block, ld, false);
        }

        fn activate(
            j: *const Job,
            comptime mode: Mode,
            t: usize,
            at: usize,
            first_row: usize,
            last_row: usize,
            states: [*]const T,
        ) void {
            const first = at * block;
            const last = @min(first + block, j.hidden);
            const hidden = j.hidden;
            for (first_row..last_row) |b| {
                const row = j.steps.start[t] + b;
                const y = j.y + row * hidden;
                const before = switch (mode) {
                    .lstm => steps.Rows(T).previous(&j.steps, hidden, j.extra, &j.c_0, t, b),
                    .gru => steps.Rows(T).previous(&j.steps, hidden, j.y, &j.h_0, t, b),
                    else => null,
                };
                const y_apart = if (j.apart) |x| j.apartRow(x, t, b) else null;
                var u = first;
                while (u < last) : (u += L.lanes) {
                    const n = last - u;
                    const state = states + (b - first_row) * mode.gates() * block + (u - first);
                    const g = j.gates + row * mode.gates() * hidden + u;
                    const bias = j.bias + u;
                    const old: V = if (before) |x| L.get(x + u, n) else @splat(0);
                    const output = switch (mode) {
                        .tanh => tanh(gate(g, bias, state, n)),
                        .relu => relu(gate(g, bias, state, n)),
                        .lstm => output: {
                            const in = sigmoid(gate(g, bias, state, n));
                            const forget = sigmoid(gate(g + hidden, bias + hidden, state + block, n));
                            const new = tanh(gate(g + 2 * hidden, bias + 2 * hidden, state + 2 * block, n));
                            const out = sigmoid(gate(g + 3 * hidden, bias + 3 * hidden, state + 3 * block, n));
                            const cell = simd.fma(V, forget, old, in * new);
                            if (j.keeps) inline for (.{ in, forget, new, out }, 0..) |x, i| L.put(g + i * hidden, n, x);
                            L.put(j.extra + row * hidden + u, n, cell);
                            break :output out * tanh(cell);
                        },
                        .gru => output: {
                            const reset = sigmoid(gate(g, bias, state, n));
                            const update = sigmoid(gate(g + hidden, bias + hidden, state + block, n));
                            var of_state = L.get(state + 2 * block, n);
                            if (j.bias_n) |x| of_state += L.get(x + u, n);
                            const input = L.get(g + 2 * hidden, n) + L.get(bias + 2 * hidden, n);
                            const new = tanh(simd.fma(V, reset, of_state, input));
                            if (j.keeps) {
                                inline for (.{ reset, update, new }, 0..) |x, i| L.put(g + i * hidden, n, x);
                                L.put(j.extra + row * hidden + u, n, of_state);
                            }
                            break :output simd.fma(V, old - new, update, new);
                        },
                    };
                    L.put(y + u, n, output);
                    if (y_apart) |x| L.put(x + u, n, output);
                }
            }
        }

        /// Before its activation: the input's part, the bias, the state's part.
        inline fn gate(x: [*]const T, bias: [*]const T, state: [*]const T, n: usize) V {
            return (L.get(x, n) + L.get(bias, n)) + L.get(state, n);
        }
        /// Error below 2.1 ulp where the result is a normal number.
        inline fn sigmoid(x: V) V {
            return @call(inlined, sigmoidOf, .{x});
        }
        fn sigmoidOf(x: V) V {
            const one: V = @splat(1);
            return one / (one + math.exp(V, -x));
        }
        inline fn tanh(x: V) V {
            return @call(inlined, tanhOf, .{x});
        }
        fn tanhOf(x: V) V {
            return math.tanh(V, x);
        }
        /// Of old CPUs few are left: they get small code.
        const inlined: std.builtin.CallModifier = if (simd.has_fma) .always_inline else .never_inline;

        /// nan stays nan.
        inline fn relu(x: V) V {
            const zero: V = @splat(0);
            return @select(T, x < zero, zero, x);
        }

        fn writeLast(j: *const Job, to: ?[*]u8, all: [*]const T) void {
            const out: [*]T = @ptrCast(@alignCast(to orelse return));
            for (0..j.steps.batch) |b| {
                const row = j.steps.start[j.steps.last(b)] + b;
                @memcpy(out[b * j.hidden ..][0..j.hidden], all[row * j.hidden ..][0..j.hidden]);
            }
        }
    };
}
