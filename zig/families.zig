//! The kernel families: one line each. A family's number is its place in this list.
//!
//! A family, or a few that share code (objects.zon), is compiled to an object of its own for
//! each CPU level (kernel_object.zig), so that a change compiles little; nothing here is
//! analysed unless it is asked for by name.

pub const unary = @import("ops/unary.zig");
pub const binary = @import("ops/binary.zig");
pub const cast = @import("ops/cast.zig");
pub const fill = @import("ops/fill.zig");
pub const matmul = @import("ops/matmul.zig");
pub const index = @import("ops/index.zig");
pub const random = @import("ops/random.zig");
pub const reduce = @import("ops/reduce.zig");
pub const softmax = @import("ops/softmax.zig");
pub const scan = @import("ops/scan.zig");
pub const optim = @import("ops/optim.zig");
pub const norm = @import("ops/norm.zig");
pub const ternary = @import("ops/ternary.zig");
pub const gather = @import("ops/gather.zig");
pub const scatter = @import("ops/scatter.zig");
pub const sort = @import("ops/sort.zig");
pub const attention = @import("ops/attention.zig");
pub const conv = @import("ops/conv.zig");
pub const pool = @import("ops/pool.zig");
pub const loss = @import("ops/loss.zig");
pub const linalg = @import("ops/linalg.zig");
pub const fft = @import("ops/fft.zig");
pub const ceilings = @import("ops/ceilings.zig");
pub const rnn = @import("ops/rnn.zig");
pub const resample = @import("ops/resample.zig");
pub const distance = @import("ops/distance.zig");
pub const complex = @import("ops/complex.zig");
pub const ctc = @import("ops/ctc.zig");
pub const special = @import("ops/special.zig");
pub const search = @import("ops/search.zig");
