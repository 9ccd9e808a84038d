//! L D L^T of symmetric, not necessarily definite matrices, with the pivots of Bunch and Kaufman
//! (LAPACK's sytf2 and sytrs, lower): D has blocks of 1 and 2.
//! Column k of the lower triangle is row k of a (n, n) here, from k on; the rest is not touched.
const std = @import("std");
const vector = @import("linalg_vector.zig");
const axpy = vector.axpy;

/// Bounds the growth of the elements: (1 + sqrt 17) / 8.
const alpha = 0.6403882032022076;

/// a becomes L (unit diagonal, not stored) and D. pivots as LAPACK's: p from 1, where row k was
/// exchanged with p; -p twice for a block of 2, whose second row was. Returns the number (from 1)
/// of the first block of 1 that is zero, or 0.
pub fn ldl(n: usize, a: [*]f64, pivots: [*]f64) usize {
    var info: usize = 0;
    var k: usize = 0;
    while (k < n) {
        const choice = choose(n, a, k);
        const last = k + choice.size - 1;
        if (choice.row != last) exchange(n, a, k, last, choice.row);
        const p: f64 = @floatFromInt(choice.row + 1);
        if (choice.size == 1) {
            pivots[k] = p;
            if (a[k * n + k] == 0 or choice.zero) {
                if (info == 0) info = k + 1;
            } else eliminate(n, a, k);
        } else {
            pivots[k] = -p;
            pivots[k + 1] = -p;
            eliminatePair(n, a, k);
        }
        k += choice.size;
    }
    return info;
}

const Choice = struct { row: usize, size: usize, zero: bool = false };

/// Which row comes next, and whether in a block of 1 or of 2.
fn choose(n: usize, a: [*]const f64, k: usize) Choice {
    const here = @abs(a[k * n + k]);
    var row = k;
    var column: f64 = 0; // the largest below the diagonal
    for (k + 1..n) |i| if (@abs(a[k * n + i]) > column) {
        column = @abs(a[k * n + i]);
        row = i;
    };
    if (@max(here, column) == 0 or here != here) return .{ .row = k, .size = 1, .zero = true };
    if (here >= alpha * column) return .{ .row = k, .size = 1 };
    var beside: f64 = 0; // the largest of that row, off the diagonal
    for (k..row) |j| beside = @max(beside, @abs(a[j * n + row]));
    for (row + 1..n) |i| beside = @max(beside, @abs(a[row * n + i]));
    if (here >= alpha * column * (column / beside)) return .{ .row = k, .size = 1 };
    return .{ .row = row, .size = if (@abs(a[row * n + row]) >= alpha * beside) 1 else 2 };
}

/// Exchanges rows and columns i < p of what is left, from column k on.
fn exchange(n: usize, a: [*]f64, k: usize, i: usize, p: usize) void {
    vector.swap(n - p - 1, a + i * n + p + 1, a + p * n + p + 1);
    for (i + 1..p) |j| std.mem.swap(f64, &a[i * n + j], &a[j * n + p]);
    std.mem.swap(f64, &a[i * n + i], &a[p * n + p]);
    for (k..i) |j| std.mem.swap(f64, &a[j * n + i], &a[j * n + p]);
}

fn eliminate(n: usize, a: [*]f64, k: usize) void {
    const row = a + k * n;
    const d = row[k];
    for (k + 1..n) |j| {
        axpy(n - j, -row[j] / d, row + j, a + j * n + j);
        // Not used for the columns to come.
        row[j] /= d;
    }
}

fn eliminatePair(n: usize, a: [*]f64, k: usize) void {
    const first = a + k * n;
    const second = first + n;
    const off = first[k + 1];
    const d1 = second[k + 1] / off;
    const d2 = first[k] / off;
    const t = 1 / (d1 * d2 - 1) / off;
    for (k + 2..n) |j| {
        const x = t * (d1 * first[j] - second[j]);
        const y = t * (d2 * second[j] - first[j]);
        axpy(n - j, -x, first + j, a + j * n + j);
        axpy(n - j, -y, second + j, a + j * n + j);
        first[j] = x;
        second[j] = y;
    }
}

/// Solves A x = b for each of the `count` rows of x (count, n), from A's `ldl`.
pub fn solve(n: usize, count: usize, a: [*]const f64, pivots: [*]const f64, x: [*]f64) void {
    for (0..count) |r| {
        const line = x + r * n;
        var k: usize = 0;
        while (k < n) k += forward(n, a, pivots, line, k);
        while (k > 0) k -= backward(n, a, pivots, line, k - 1);
    }
}

fn exchanged(pivot: f64) usize {
    return @as(usize, @trunc(@abs(pivot))) - 1;
}

/// L and D of the block that begins at k; returns its size.
fn forward(n: usize, a: [*]const f64, pivots: [*]const f64, x: [*]f64, k: usize) usize {
    const row = a + k * n;
    const pair = pivots[k] < 0 and k + 1 < n;
    const last = if (pair) k + 1 else k;
    std.mem.swap(f64, &x[last], &x[exchanged(pivots[k])]);
    const below = last + 1;
    axpy(n - below, -x[k], row + below, x + below);
    if (!pair) {
        x[k] /= row[k];
        return 1;
    }
    axpy(n - below, -x[last], row + n + below, x + below);
    const off = row[k + 1];
    const d1 = row[k] / off;
    const d2 = row[n + k + 1] / off;
    const determinant = d1 * d2 - 1;
    const first = x[k] / off;
    const second = x[last] / off;
    x[k] = (d2 * first - second) / determinant;
    x[last] = (d1 * second - first) / determinant;
    return 2;
}

/// L^T of the block that ends at k; returns its size.
fn backward(n: usize, a: [*]const f64, pivots: [*]const f64, x: [*]f64, k: usize) usize {
    const below = k + 1;
    const size: usize = if (pivots[k] < 0 and k > 0) 2 else 1;
    for (0..size) |i| {
        const row = a + (k - i) * n;
        x[k - i] -= vector.dot(n - below, row + below, x + below);
    }
    std.mem.swap(f64, &x[k], &x[exchanged(pivots[k])]);
    return size;
}
