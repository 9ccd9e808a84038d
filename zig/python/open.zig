//! The way from Python to the kernels without cffi in between: types and functions that this
//! library gives to the interpreter that has loaded it (dlgrad/_native.py asks for them).
const api = @import("api.zig");
const call = @import("call.zig");
const graph = @import("graph.zig");
const item = @import("item.zig");
const memo = @import("memo.zig");
const objects = @import("objects.zig");
const optimize = @import("optimize.zig");
const row = @import("row.zig");
const walk = @import("walk.zig");

var opened = false;

/// numbers: the handle of Python's library (Windows), the addresses of a dict to fill, None,
/// True, False, float, types.MethodType. Once for a process: the types of a second interpreter,
/// or of a second copy of the Python classes, would take the place of the first one's.
pub fn open(numbers: []const usize) bool {
    if (opened or !api.load(numbers[0])) return false;
    opened = true;
    const state = api.py.PyGILState_Ensure();
    defer api.py.PyGILState_Release(state);
    const namespace: *api.Object = @ptrFromInt(numbers[1]);
    api.none = @ptrFromInt(numbers[2]);
    api.true_ = @ptrFromInt(numbers[3]);
    api.false_ = @ptrFromInt(numbers[4]);
    call.float_type = @ptrFromInt(numbers[5]);
    api.method_type = @ptrFromInt(numbers[6]);
    const done = objects.register(namespace) and objects.putAll(namespace, &call.functions) and
        objects.putAll(namespace, &graph.functions) and
        objects.putAll(namespace, &item.functions) and objects.putAll(namespace, &walk.functions) and objects.putAll(namespace, &optimize.functions) and row.register(namespace) and memo.register(namespace);
    if (!done) api.py.PyErr_Clear();
    return done;
}
