//! A layer of a recurrent network over a whole sequence, in one direction: RNN, LSTM or GRU.
//!
//! layer: outputs y (total, H), h_n, c_n (B, H) (LSTM), gates (total, G H) (LSTM, GRU), extra
//!     (total, H); inputs x, w_ih (G H, I), w_hh (G H, H), b_ih, b_hh (G H), h_0, c_0 (B, H),
//!     batch_sizes (int64, a size for each time, descending).
//! layer_backward: outputs grad_x (total, I), grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh, grad_h_0,
//!     grad_c_0; inputs grad_y, grad_h_n, grad_c_n, x, w_ih, w_hh, h_0, c_0, y, gates, extra,
//!     batch_sizes.
//!     ints: mode, reverse, time, batch.  No floats, no scalars.
//!
//! float32 and float64, all operands alike. Rows of a sequence are those of a packed one, or
//! (time, B, width); (B, H) may have a dimension of 1 in front. Outputs are contiguous, inputs
//! have any strides. What may be left out: all outputs but y (h_n, c_n where nobody asks;
//! gates and extra where there is no backward; gradients not wanted), biases, h_0 and c_0
//! (zeros), the incoming gradients (zeros), batch_sizes (B at each time).
//!
//! mode 0: h = tanh(x w_ih' + b_ih + h w_hh' + b_hh), 1: the same with relu. 2: LSTM, gates i, f,
//! g, o (activated in `gates`), extra: the cells c. 3: GRU, gates r, z, n, extra: the hidden
//! state's part of n before the reset gate.
//!
//! The input's part of all times is one product, and so is each gradient of a weight; a
//! time step is, for each block of units, the product with its part of w_hh (packed once) and
//! the activations of its rows while they are in the cache.
//!
//! Bits: the products are those of gemm.zig (one row: gemm_vector.zig), the state's added to
//! the input's; a bias gradient is one ascending sum. Threads share the blocks of units.
const std = @import("std");
const planning = @import("../plan.zig");
const forward = @import("rnn_forward.zig");
const backward = @import("rnn_backward.zig");
const Plan = planning.Plan;

pub const Mode = enum(i64) {
    tanh,
    relu,
    lstm,
    gru,

    pub fn gates(m: Mode) usize {
        return switch (m) {
            .tanh, .relu => 1,
            .lstm => 4,
            .gru => 3,
        };
    }
};

const Row = enum(u32) { layer, layer_backward };
pub const names: []const []const u8 = std.meta.fieldNames(Row);
pub const family: planning.Family = .{ .prepare = prepare };

fn prepare(p: *Plan) planning.PrepareError!void {
    const back = p.op == @backingInt(Row.layer_backward);
    const run = if (back) pick(backward.Backward, p.operands[10]) else pick(forward.Forward, p.operands[5]);
    p.run = run orelse return error.Unsupported;
}

fn pick(comptime Job: fn (type) type, operand: planning.Operand) ?planning.Run {
    return switch (operand.dtype) {
        .float32 => Job(f32).run,
        .float64 => Job(f64).run,
        else => null,
    };
}

test {
    _ = @import("rnn_test.zig");
}
