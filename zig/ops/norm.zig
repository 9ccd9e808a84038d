//! Normalisations: layer_norm, rms_norm, batch_norm, group_norm, with fused backward passes.
//! (instance_norm is a batch_norm or group_norm of a view, made in Python.)
//!
//! Operands in order, outputs first; [brackets]: may be left out (address 0, ndim 0). A weight
//! or bias that is left out is 1 or 0; an output that is left out is not computed.
//!
//!     layer_norm            y, [mean, rstd] <- x, [weight], [bias]; ints: D; floats: eps
//!     layer_norm_backward   [gx], [gw], [gb] <- g, x, mean, rstd, [weight]; ints: D
//!     rms_norm              y, [rstd] <- x, [weight]; ints: D; floats: eps
//!     rms_norm_backward     [gx], [gw] <- g, x, rstd, [weight]; ints: D
//!     batch_norm            y, mean, rstd, [running_mean], [running_var]
//!                             <- x, [weight], [bias]; floats: eps; scalars[0].f: momentum
//!     batch_norm_eval       y <- x, [weight], [bias], running_mean, running_var; floats: eps
//!     batch_norm_backward   [gx], [gw], [gb] <- g, x, mean, rstd, [weight]
//!     batch_norm_eval_backward
//!                           [gx], [gw], [gb] <- g, x, running_mean, running_var, [weight];
//!                             floats: eps
//!     group_norm            y, mean, rstd <- x, [weight], [bias]; ints: G; floats: eps
//!     group_norm_backward   [gx], [gw], [gb] <- g, x, mean, rstd, [weight]; ints: G
//!
//! Shapes. x, y, g, gx: one shape, any strides. Layer and rms norm: x is (M, D) in row-major
//! order, D the number of elements of the normalized dimensions (the last ones); mean, rstd (M);
//! weight, bias, gw, gb (D) elements of any shape. Batch and group norm: x is (N, C) or
//! (N, C, ...), weight, bias, gw, gb, and batch norm's statistics (C); group norm has G groups
//! and mean, rstd (N, G).
//! batch_norm reads and writes running_mean and running_var: r = r + momentum (now - r), with
//! the unbiased variance.
//!
//! dtypes: x any float dtype. Computed in f64 if x is float64, else in f32, and the statistics
//! mean and rstd have that dtype, contiguous; everything else may have any float dtype.
//! rstd = 1 / sqrt(variance + eps); variances are of two passes over a block in the cache,
//! blocks joined in f64.
const std = @import("std");
const plan = @import("../plan.zig");
const rows = @import("norm_rows.zig");
const channels = @import("norm_channels.zig");
const Plan = plan.Plan;

pub const family: plan.Family = .{ .prepare = prepare };

const Op = enum {
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
    batch_norm,
    batch_norm_eval,
    batch_norm_backward,
    batch_norm_eval_backward,
    group_norm,
    group_norm_backward,
};

pub const names: []const []const u8 = std.meta.fieldNames(Op);

fn prepare(p: *Plan) plan.PrepareError!void {
    const op: Op = @fromBackingInt(@as(u4, @intCast(p.op)));
    // x: the first input of a forward row, the second of a backward one
    const backward = switch (op) {
        .layer_norm_backward, .rms_norm_backward => true,
        .batch_norm_backward, .batch_norm_eval_backward, .group_norm_backward => true,
        else => false,
    };
    const x = p.inputs()[@intFromBool(backward)];
    if (!x.dtype.isFloat()) return error.Unsupported;
    const double = x.dtype == .float64;
    switch (op) {
        .layer_norm, .layer_norm_backward, .rms_norm, .rms_norm_backward => {
            try rows.prepare(p, x);
            const rms = op == .rms_norm or op == .rms_norm_backward;
            p.run = switch (double) {
                inline else => |d| switch (rms) {
                    inline else => |r| switch (backward) {
                        inline else => |b| blk: {
                            const R = rows.Runner(if (d) f64 else f32, r);
                            break :blk if (b) R.backward else R.forward;
                        },
                    },
                },
            };
        },
        else => {
            const kind: channels.Kind = switch (op) {
                .batch_norm, .batch_norm_backward => .batch,
                .batch_norm_eval, .batch_norm_eval_backward => .fixed,
                else => .group,
            };
            try channels.prepare(p, x, kind);
            p.run = if (double) channels.run(f64, backward) else channels.run(f32, backward);
        },
    }
}

test {
    _ = @import("norm_test.zig");
}
