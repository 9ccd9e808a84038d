//! std::sort as libstdc++ has it (introsort: Musser 1997), step by step. PyTorch's mode sorts by
//! it with a plain <, and where nan is among the elements, which is neither less nor more than
//! any, what comes out depends on every one of these steps.

/// `before.less(a, b)` compares words.
pub fn sort(words: []u64, before: anytype) void {
    if (words.len == 0) return;
    const s: Sorting(@TypeOf(before)) = .{ .a = words, .before = before };
    s.cut(0, words.len, 2 * @as(usize, @import("std").math.log2_int(usize, words.len)));
    for (1..words.len) |i| {
        if (i < few and s.less(i, 0)) s.insert(i, 0) else s.insert(i, s.placeOf(i));
    }
}

/// Parts of at most so many are left to insertion.
const few = 16;

fn Sorting(comptime Before: type) type {
    return struct {
        a: []u64,
        before: Before,

        const Self = @This();

        fn less(s: Self, i: usize, j: usize) bool {
            return s.before.less(s.a[i], s.a[j]);
        }
        fn swap(s: Self, i: usize, j: usize) void {
            const x = s.a[i];
            s.a[i] = s.a[j];
            s.a[j] = x;
        }
        /// Where element i goes, by way of its neighbours before it.
        fn placeOf(s: Self, i: usize) usize {
            var j = i;
            while (j > 0 and s.less(i, j - 1)) j -= 1;
            return j;
        }
        fn insert(s: Self, from: usize, to: usize) void {
            const x = s.a[from];
            var j = from;
            while (j > to) : (j -= 1) s.a[j] = s.a[j - 1];
            s.a[to] = x;
        }
        fn median(s: Self, x: usize, y: usize, z: usize) usize {
            if (s.less(x, y)) return if (s.less(y, z)) y else if (s.less(x, z)) z else x;
            return if (s.less(x, z)) x else if (s.less(y, z)) z else y;
        }
        fn cut(s: Self, first: usize, end: usize, most: usize) void {
            var last = end;
            var depth = most;
            while (last - first > few and depth > 0) {
                depth -= 1;
                s.swap(first, s.median(first + 1, first + (last - first) / 2, last - 1));
                const at = s.partition(first + 1, last, first);
                s.cut(at, last, depth);
                last = at;
            }
        }
        fn partition(s: Self, begin: usize, end: usize, pivot: usize) usize {
            var first = begin;
            var last = end;
            while (true) : (first += 1) {
                while (first < end and s.less(first, pivot)) first += 1;
                last -= 1;
                while (last > begin and s.less(pivot, last)) last -= 1;
                if (first >= last) return first;
                s.swap(first, last);
            }
        }
    };
}
