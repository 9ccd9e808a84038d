//! How the driver of the elementwise rows (elementwise.zig) goes through the elements: which
//! range each call of the kernel gets, and what is gathered, converted or transposed for it.
const std = @import("std");
const plan = @import("../plan.zig");
const view = @import("../view.zig");
const elementwise = @import("elementwise.zig");
const kernels = @import("elementwise_kernel.zig");
const walking = @import("elementwise_walk.zig");
const transpose = @import("transpose.zig");
const services = @import("../services.zig");
const stream = @import("stream.zig");
const Call = plan.Call;
const Kernel = kernels.Kernel;
const Source = kernels.Source;
const Sources = kernels.Sources;
const State = elementwise.State;
const max_inputs = kernels.max_inputs;

/// In a tile across rows, a repeated element is spread by whole vectors, so beyond the
/// elements asked for.
const slack = 64;
const Buffer = [elementwise.long_tile_bytes + slack]u8; // a multiple of 64, as its alignment
const Buffers = [max_inputs + 1]Buffer;

/// Rows and columns of a block whose rows and columns are exchanged in an input: a cache line
/// of that input's, and as many columns as a tile then holds.
pub fn extentOf(s: *const State) [2]usize {
    const line = 64 / s.out.tile.size();
    const rows = @min(line, s.view.sizes[s.along]);
    return .{ rows, s.tile_length / rows };
}

pub const Job = struct {
    s: *const State,
    kernel: Kernel,
    call: *Call,
    /// Inputs of which a period is laid out.
    laid_out: [max_inputs]?[]align(64) u8 = @splat(null),

    /// Elements [begin, end) of the iteration.
    pub fn elements(j: *const Job, begin: usize, end: usize) void {
        switch (j.s.way) {
            .direct => j.direct(begin, end),
            .rows => j.rows(begin, end),
            .tiles => j.tiles(begin, end),
            .periods => j.periods(begin, end),
            .blocks => unreachable,
        }
        if (j.streams()) stream.fence();
    }

    fn direct(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        var scalar: [8]u8 align(8) = undefined;
        var in: Sources = @splat(.{});
        for (s.in[0..s.n_in], in[0..s.n_in]) |slot, *source| {
            source.* = if (slot.place == .once)
                j.number(slot, &scalar)
            else
                .{ .ptr = j.call.ptr[slot.address].? + begin * slot.tile.size() };
        }
        const out = j.call.ptr[0].? + begin * s.out.tile.size();
        j.compute(end - begin, 1, out, 0, &in);
    }

    /// Outputs that will not stay in the cache.
    fn streams(j: *const Job) bool {
        const s = j.s;
        return stream.available and s.out.place == .in_place and
            s.view.n * s.out.tile.size() >= stream.from_bytes;
    }

    /// The kernel over rows of an output in place.
    fn compute(j: *const Job, n: usize, rows_: usize, out: [*]u8, step: usize, in: *Sources) void {
        if (!j.streams() or isInput(j.s, out, in)) {
            return j.kernel.run(n, rows_, out, step, in, j.call);
        }
        j.streamed(n, rows_, out, step, in);
    }

    /// The same, by way of a tile.
    fn streamed(j: *const Job, n: usize, rows_: usize, out: [*]u8, step: usize, in: *Sources) void {
        const s = j.s;
        const size = s.out.tile.size();
        if (j.kernel.core == null and !in[0].repeated) {
            for (0..rows_) |row| stream.copy(out + row * step, in[0].ptr + row * in[0].row_step, n * size);
            return;
        }
        if (j.kernel.streams and !in[0].repeated) {
            for (0..rows_) |row| {
                j.kernel.runStreamed(n, out + row * step, in[0].ptr + row * in[0].row_step, j.call);
            }
            return;
        }
        const limit = elementwise.tile_bytes / size;
        var tile: Buffer align(64) = undefined;
        var row: usize = 0;
        if (step == n * size and n <= limit / 2) {
            const several = limit / n;
            while (row < rows_) {
                const m = @min(several, rows_ - row);
                j.kernel.run(n, m, &tile, step, in, j.call);
                stream.copy(out + row * step, &tile, m * step);
                for (in[0..s.n_in]) |*source| source.ptr += m * source.row_step;
                row += m;
            }
            return;
        }
        while (row < rows_) : (row += 1) {
            var part = in.*;
            var done: usize = 0;
            while (done < n) {
                const m = @min(limit, n - done);
                j.kernel.run(m, 1, &tile, 0, &part, j.call);
                stream.copy(out + row * step + done * size, &tile, m * size);
                for (s.in[0..s.n_in], part[0..s.n_in]) |slot, *source| {
                    if (!source.repeated) source.ptr += m * slot.tile.size();
                }
                done += m;
            }
            for (in[0..s.n_in]) |*source| source.ptr += source.row_step;
        }
    }

    fn isInput(s: *const State, out: [*]u8, in: *const Sources) bool {
        for (in[0..s.n_in]) |source| if (source.ptr == out) return true;
        return false;
    }

    /// Whole rows, as many as follow one another at equal distances, or parts of rows.
    fn rows(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        const v = &s.view;
        var buffers: Buffers align(64) = undefined;
        var in: Sources = @splat(.{});
        j.fillOnce(&buffers, &in, begin, @min(end - begin, s.tile_length));

        const inner = v.inner();
        const limited = !j.rowsWhole();
        const outer = if (v.ndim > 1) v.ndim - 2 else 0;
        var cursor = view.Cursor.init(v, begin / inner);
        var column = begin % inner;
        var left = end - begin;
        while (true) {
            var n = @min(left, inner - column);
            var count: usize = 1;
            if (n == inner and v.ndim > 1) {
                count = @min(left / inner, v.sizes[outer] - cursor.coordinate[outer]);
            }
            if (limited) {
                if (n >= s.tile_length) count = 1 else count = @min(count, s.tile_length / n);
                n = @min(n, s.tile_length);
            }
            j.block(&buffers, &in, n, count, &cursor, column, outer);
            left -= n * count;
            if (left == 0) return;
            column += n;
            if (column == inner) {
                column = 0;
                cursor.advance(v, count);
            }
        }
    }

    /// n columns from `column` on of `count` rows from the cursor's on.
    fn block(
        j: *const Job,
        buffers: *Buffers,
        in: *Sources,
        n: usize,
        count: usize,
        cursor: *const view.Cursor,
        column: usize,
        outer: usize,
    ) void {
        const s = j.s;
        const v = &s.view;
        const out_stride = v.innerStride(0);
        const out_step = v.strides[0][outer];
        const result = j.call.ptr[0].? + cursor.offset[0] + column * out_stride;
        for (s.in[0..s.n_in], 0..) |slot, i| {
            if (slot.place == .once) continue;
            const k = slot.address;
            const stride = v.innerStride(k);
            const step = v.strides[k][outer];
            const memory = j.call.ptr[k].? + cursor.offset[k] + column * stride;
            const size = slot.tile.size();
            if (slot.place == .in_place) {
                in[i] = .{ .ptr = memory, .row_step = step };
            } else if (slot.place == .repeated) {
                in[i] = .{ .ptr = memory, .row_step = step, .repeated = true };
                if (slot.same) continue;
                in[i].ptr = &buffers[i];
                in[i].row_step = size;
                slot.move.run(&buffers[i], memory, count, step);
            } else {
                // A conversion alone goes where the kernel would put it.
                in[i] = if (s.is_move and s.out.place == .in_place)
                    .{ .ptr = result, .row_step = out_step }
                else
                    .{ .ptr = &buffers[i], .row_step = n * size };
                for (0..count) |row| {
                    const to = in[i].ptr + row * in[i].row_step;
                    slot.move.run(to, memory + row * step, n, stride);
                }
            }
        }
        if (s.out.place == .in_place) return j.compute(n, count, result, out_step, in);
        const size = s.out.tile.size();
        var from: Source = .{ .ptr = &buffers[max_inputs], .row_step = n * size };
        if (s.is_move and !in[0].repeated) {
            from = in[0];
        } else j.kernel.run(n, count, from.ptr, from.row_step, in, j.call);
        for (0..count) |row| {
            s.out.move.run(from.ptr + row * from.row_step, result + row * out_step, n, out_stride);
        }
    }

    /// No tile is needed, so a call may compute whole rows, however long and many.
    fn rowsWhole(j: *const Job) bool {
        const s = j.s;
        if (s.is_move and s.in[0].place == .gather) return s.out.place == .in_place;
        for (s.in[0..s.n_in]) |slot| {
            if (slot.place == .gather or (slot.place == .repeated and !slot.same)) return false;
        }
        return s.out.place == .in_place or (s.is_move and s.in[0].place == .in_place);
    }

    /// Tiles across rows, which are short.
    fn tiles(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        const v = &s.view;
        var buffers: Buffers align(64) = undefined;
        var in: Sources = @splat(.{});
        j.fillOnce(&buffers, &in, begin, @min(end - begin, s.tile_length));
        var held: [max_inputs]usize = @splat(std.math.maxInt(usize)); // which plane a tile is of
        var at = begin;
        // Tiles of alike rows end where a plane does, so that one is laid out for each plane.
        const plane = if (v.ndim > 1) v.inner() * v.sizes[v.ndim - 2] else v.n;
        const cut = plane >= 2 * s.tile_length and for (s.in[0..s.n_in]) |slot| {
            if (slot.rows_alike) break true;
        } else false;
        const lays_out = for (s.in[0..s.n_in]) |slot| {
            if (slot.place != .once and slot.place != .in_place) break true;
        } else false;
        while (at < end) {
            const n = @min(end - at, s.tile_length, if (cut) plane - at % plane else v.n);
            const result = j.call.ptr[0].? + at * s.out.tile.size(); // if in place
            for (s.in[0..s.n_in], 0..) |slot, i| {
                if (slot.place == .once) continue;
                const k = slot.address;
                const base = j.call.ptr[k].?;
                if (slot.place == .in_place) {
                    in[i].ptr = base + at * slot.tile.size();
                    // On its way while other inputs are laid out.
                    var line: usize = if (lays_out) 0 else n * slot.tile.size();
                    while (line < n * slot.tile.size()) : (line += 64) @prefetch(in[i].ptr + line, .{});
                    continue;
                }
                const into_result = s.is_move and s.out.place == .in_place;
                if (slot.rows_alike and !into_result) {
                    if (cut and held[i] == at / plane) continue;
                    held[i] = at / plane;
                }
                const to = if (into_result) result else &buffers[i];
                in[i].ptr = to;
                if (slot.place == .flat_convert) {
                    slot.move.run(to, base + at * v.element[k], n, v.element[k]);
                } else walking.walk(v, k, slot, base, to, at, n, !into_result);
            }
            const base = j.call.ptr[0].?;
            if (s.out.place == .in_place) {
                j.compute(n, 1, result, 0, &in);
            } else {
                const tile = if (s.is_move and !in[0].repeated) in[0].ptr else &buffers[max_inputs];
                j.kernel.run(n, 1, tile, 0, &in, j.call);
                if (s.out.place == .flat_convert) {
                    s.out.move.run(tile, base + at * v.element[0], n, v.element[0]);
                } else walking.walk(v, 0, s.out, base, tile, at, n, false);
            }
            at += n;
        }
    }

    /// Lays out the inputs that are there period by period; false if there is no memory.
    pub fn layOut(j: *Job) bool {
        const s = j.s;
        for (s.in[0..s.n_in], &j.laid_out) |slot, *memory| {
            if (slot.place != .gather) continue;
            const k = slot.address;
            memory.* = services.allocSlice(u8, s.period * slot.tile.size() + slack) orelse {
                j.putBack();
                j.call.fail(.out_of_memory, .{ 0, 0, 0 });
                return false;
            };
            walking.walk(&s.view, k, slot, j.call.ptr[k].?, memory.*.?.ptr, 0, s.period, true);
        }
        return true;
    }
    pub fn putBack(j: *const Job) void {
        for (j.laid_out) |memory| if (memory) |m| services.free(m.ptr);
    }

    /// From period to period.
    fn periods(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        var scalar: [8]u8 align(8) = undefined;
        var in: Sources = @splat(.{});
        var at = begin;
        while (at < end) {
            const column = at % s.period;
            const n = @min(s.period - column, end - at);
            for (s.in[0..s.n_in], in[0..s.n_in], 0..) |slot, *source, i| {
                source.* = if (i == s.scalar_input)
                    j.number(slot, &scalar)
                else if (j.laid_out[i]) |memory|
                    .{ .ptr = memory.ptr + column * slot.tile.size() }
                else
                    .{ .ptr = j.call.ptr[slot.address].? + at * slot.tile.size() };
            }
            j.compute(n, 1, j.call.ptr[0].? + at * s.out.tile.size(), 0, &in);
            at += n;
        }
    }

    /// Blocks [begin, end), in the order of the dimensions.
    pub fn blocks(j: *const Job, begin: usize, end: usize) void {
        const s = j.s;
        const v = &s.view;
        const last = v.ndim - 1;
        const whole = extentOf(s);
        var buffers: Buffers align(64) = undefined;
        var in: Sources = @splat(.{});
        j.fillOnce(&buffers, &in, 0, 1);
        for (begin..end) |index| {
            var offset: [view.max_operands]usize = @splat(0);
            var extent: [2]usize = undefined; // rows, columns
            var rest = index;
            var d = v.ndim;
            while (d > 0) {
                d -= 1;
                const cut = d == last or d == s.along;
                const step = if (cut) whole[@intFromBool(d == last)] else 1;
                const pieces = (v.sizes[d] + step - 1) / step;
                const from = (rest % pieces) * step;
                rest /= pieces;
                for (0..v.count) |k| offset[k] += from * v.strides[k][d];
                if (cut) extent[@intFromBool(d == last)] = @min(step, v.sizes[d] - from);
            }
            for (s.in[0..s.n_in], 0..) |slot, i| {
                if (slot.place == .once) continue;
                const k = slot.address;
                const memory = j.call.ptr[k].? + offset[k];
                in[i] = .{
                    .ptr = memory,
                    .row_step = v.strides[k][s.along],
                    .repeated = slot.place == .repeated,
                };
                if (slot.place != .transposed) continue;
                const size = slot.tile.size();
                in[i] = .{ .ptr = &buffers[i], .row_step = extent[1] * size };
                const move = transpose.mover(size);
                move(in[i].ptr, memory, extent[0], extent[1], in[i].row_step, v.innerStride(k));
            }
            const out = j.call.ptr[0].? + offset[0];
            j.kernel.run(extent[1], extent[0], out, v.strides[0][s.along], &in, j.call);
        }
    }

    /// The inputs that are the same in every tile.
    fn fillOnce(j: *const Job, buffers: *Buffers, in: *Sources, at: usize, n: usize) void {
        const s = j.s;
        for (s.in[0..s.n_in], 0..) |slot, i| {
            if (slot.place != .once) continue;
            const tile = &buffers[i];
            in[i] = .{ .ptr = tile };
            if (i == s.scalar_input) {
                in[i] = j.number(slot, tile[0..8]);
            } else if (s.view.period(slot.address) == 1) {
                slot.move.run(tile, j.call.ptr[slot.address].?, 1, 0);
                in[i].repeated = true;
            } else {
                walking.walk(&s.view, slot.address, slot, j.call.ptr[slot.address].?, tile, at, n, true);
            }
        }
    }

    /// scalar[0], as the tile's type.
    fn number(j: *const Job, slot: elementwise.Slot, to: *[8]u8) Source {
        const x = j.call.scalar[0];
        var bits = x.i;
        switch (slot.tile) {
            .f32 => bits = @as(u32, @bitCast(@as(f32, @floatCast(x.f)))),
            else => {}, // f64 and i64 as they are; of raw elements, the lower bytes
        }
        to.* = @bitCast(bits);
        return .{ .ptr = to, .repeated = true };
    }
};

/// How many blocks cover the view.
pub fn blockCount(s: *const State) usize {
    const v = &s.view;
    const whole = extentOf(s);
    var n: usize = 1;
    for (v.sizes[0..v.ndim], 0..) |size, d| {
        const cut = d == v.ndim - 1 or d == s.along;
        const step = if (cut) whole[@intFromBool(d == v.ndim - 1)] else 1;
        n *= (size + step - 1) / step;
    }
    return n;
}
