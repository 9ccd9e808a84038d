//! Stands in for math.zig until that file is there.
pub inline fn exp(comptime V: type, x: V) V {
    return @exp(x);
}
pub inline fn log(comptime V: type, x: V) V {
    return @log(x);
}
pub inline fn pow(comptime V: type, x: V, y: V) V {
    const zero: V = @splat(0);
    const one: V = @splat(1);
    const T = @typeInfo(V).vector.child;
    return @select(T, y == zero, one, @exp(@log(x) * y));
}
pub inline fn log1p(comptime V: type, x: V) V {
    return @log(x + @as(V, @splat(1)));
}
