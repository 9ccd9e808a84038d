//! Losses with their reduction fused, and their backward passes.
//!
//! Outputs <- inputs; [brackets]: may be left out (address 0, ndim 0).
//!
//!     cross_entropy            loss, [saved, total] <- logits, target, [weight];
//!                                ints: reduction, ignore_index; floats: label_smoothing
//!     cross_entropy_backward   gx <- g, logits, target, saved, total, [weight];
//!                                ints and floats as above
//!     nll_loss                 loss, [total] <- x, target, [weight]; ints: reduction, ignore_index
//!     nll_loss_backward        gx <- g, target, total, [weight]; ints as above
//!
//! logits, x, gx: (N, C) or (N, C, S), any strides (join further dimensions to S); target: (N)
//! or (N, S), int64 (or any other integer dtype); weight: (C), absent: 1. reduction: 0 none,
//! 1 mean, 2 sum. loss and g: 0-d, for `none` the shape of target.
//! A target equal to ignore_index counts for nothing; any other outside of [0, C) fails with
//! index_out_of_range (index, C, 0). mean divides by `total`, the weights of the targets summed
//! (nan when that is 0 / 0). Label smoothing as PyTorch's, weights included.
//! saved: (2, N, S) contiguous, the maximum and the logarithm of the sum of exp(x - maximum).
//!
//!     mse_loss l1_loss bce_loss bce_with_logits_loss        loss <- x, target; ints: reduction
//!     smooth_l1_loss huber_loss                      ... floats: beta or delta (above zero)
//!     <each of them>_backward                        gx <- g, x, target; ints, floats as above
//!
//! x, target, gx: one shape, any strides. reduction: 1 mean, 2 sum (loss and g 0-d), or 0 none
//! (loss and g of that shape). gx is the gradient of x. bce_loss fails with invalid_value where
//! an element of x is no probability.
//!
//! dtypes: float for all but the class target. Computed in f64 if x is float64, else in f32;
//! saved and total have that dtype. Sums go in fixed blocks, joined in f64 in their order.
const std = @import("std");
const plan = @import("../plan.zig");
const classes = @import("loss_classes.zig");
const likelihood = @import("loss_likelihood.zig");
const pointwise = @import("loss_pointwise.zig");
const Plan = plan.Plan;

pub const family: plan.Family = .{ .prepare = prepare };

const class_rows = [_][]const u8{
    "cross_entropy",
    "cross_entropy_backward",
    "nll_loss",
    "nll_loss_backward",
};

pub const names: []const []const u8 = blk: {
    var list: []const []const u8 = &class_rows;
    for (std.meta.fieldNames(pointwise.Formula)) |name| {
        list = list ++ &[_][]const u8{ name ++ "_loss", name ++ "_loss_backward" };
    }
    break :blk list;
};

fn prepare(p: *Plan) plan.PrepareError!void {
    switch (p.op) {
        0 => try classes.prepareCrossEntropy(p, false),
        1 => try classes.prepareCrossEntropy(p, true),
        2 => try likelihood.prepare(p, false),
        3 => try likelihood.prepare(p, true),
        else => {
            const number = p.op - class_rows.len;
            const formula: pointwise.Formula = @fromBackingInt(@as(u3, @intCast(number / 2)));
            try pointwise.prepare(p, formula, number % 2 == 1);
        },
    }
}

test {
    _ = @import("loss_test.zig");
}
