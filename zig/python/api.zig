//! What we use of CPython: functions of its stable interface, looked up by name in the
//! interpreter that is running. The library is linked against no Python, and where a name is
//! missing (another interpreter, say) `load` fails and Python goes its ordinary way, by cffi.
const std = @import("std");
const builtin = @import("builtin");

/// The start of every object. Only where the two words lie like this does `open` go on: not in
/// the free-threaded build.
pub const Object = extern struct { references: isize, kind: *Object };

const O = *Object;

pub const Api = struct {
    PyGILState_Ensure: *const fn () callconv(.c) c_int,
    PyGILState_Release: *const fn (c_int) callconv(.c) void,
    PyEval_SaveThread: *const fn () callconv(.c) ?*anyopaque,
    PyEval_RestoreThread: *const fn (?*anyopaque) callconv(.c) void,
    Py_IncRef: *const fn (?O) callconv(.c) void,
    Py_DecRef: *const fn (?O) callconv(.c) void,
    PyType_FromSpec: *const fn (*const Spec) callconv(.c) ?O,
    PyType_GenericAlloc: *const fn (O, isize) callconv(.c) ?O,
    PyType_IsSubtype: *const fn (O, O) callconv(.c) c_int,
    PyObject_Free: *const fn (*anyopaque) callconv(.c) void,
    PyObject_GC_UnTrack: *const fn (*anyopaque) callconv(.c) void,
    PyObject_GC_Del: *const fn (*anyopaque) callconv(.c) void,
    PyObject_ClearWeakRefs: *const fn (O) callconv(.c) void,
    PyObject_GetAttrString: *const fn (O, [*:0]const u8) callconv(.c) ?O,
    PyObject_SetAttrString: *const fn (O, [*:0]const u8, O) callconv(.c) c_int,
    PyObject_Call: *const fn (O, O, ?O) callconv(.c) ?O,
    PyObject_VectorcallDict: *const fn (O, [*]const ?O, usize, ?O) callconv(.c) ?O,
    PyDict_New: *const fn () callconv(.c) ?O,
    PyDict_GetItem: *const fn (O, O) callconv(.c) ?O,
    PyDict_SetItem: *const fn (O, O, O) callconv(.c) c_int,
    PyVectorcall_Call: *const fn (O, O, ?O) callconv(.c) ?O,
    PyCFunction_NewEx: *const fn (*const MethodDef, ?O, ?O) callconv(.c) ?O,
    PyDict_SetItemString: *const fn (O, [*:0]const u8, O) callconv(.c) c_int,
    PyLong_FromSize_t: *const fn (usize) callconv(.c) ?O,
    PyLong_AsSize_t: *const fn (O) callconv(.c) usize,
    PyLong_FromSsize_t: *const fn (isize) callconv(.c) ?O,
    PyLong_AsSsize_t: *const fn (O) callconv(.c) isize,
    PyLong_AsLongLong: *const fn (O) callconv(.c) c_longlong,
    PyLong_FromLongLong: *const fn (c_longlong) callconv(.c) ?O,
    PyFloat_FromDouble: *const fn (f64) callconv(.c) ?O,
    PyDescr_NewMethod: *const fn (O, *const MethodDef) callconv(.c) ?O,
    PyFloat_AsDouble: *const fn (O) callconv(.c) f64,
    PyTuple_New: *const fn (isize) callconv(.c) ?O,
    PyTuple_Size: *const fn (O) callconv(.c) isize,
    PyTuple_GetItem: *const fn (O, isize) callconv(.c) ?O,
    /// Takes the reference over.
    PyTuple_SetItem: *const fn (O, isize, ?O) callconv(.c) c_int,
    PyList_New: *const fn (isize) callconv(.c) ?O,
    /// Takes the reference over.
    PyList_SetItem: *const fn (O, isize, ?O) callconv(.c) c_int,
    PyObject_IsTrue: *const fn (O) callconv(.c) c_int,
    PyErr_SetString: *const fn (O, [*:0]const u8) callconv(.c) void,
    PyErr_Occurred: *const fn () callconv(.c) ?O,
    PyErr_ExceptionMatches: *const fn (O) callconv(.c) c_int,
    PyErr_Clear: *const fn () callconv(.c) void,
    PyErr_NoMemory: *const fn () callconv(.c) ?O,
    /// view, its owner, address, bytes, whether it is read-only, what was asked for
    PyBuffer_FillInfo: *const fn (*anyopaque, O, *anyopaque, isize, c_int, c_int) callconv(.c) c_int,
    PyList_Size: *const fn (O) callconv(.c) isize,
    PyList_GetItem: *const fn (O, isize) callconv(.c) ?O,
    PyObject_GetAttr: *const fn (O, O) callconv(.c) ?O,
    PyObject_GenericGetAttr: *const fn (O, O) callconv(.c) ?O,
    PyObject_GenericGetDict: *const fn (O, ?*anyopaque) callconv(.c) ?O,
    PyMem_RawMalloc: *const fn (usize) callconv(.c) ?*anyopaque,
    PyMem_RawFree: *const fn (?*anyopaque) callconv(.c) void,
    // Objects that lie in the interpreter.
    PyLong_Type: O,
    PyFloat_Type: O,
    PyUnicode_Type: O,
    PyTuple_Type: O,
    PyList_Type: O,
    PySlice_Type: O,
    // Variables: addresses of the objects' addresses.
    PyExc_TypeError: *const O,
    PyExc_ValueError: *const O,
    PyExc_AttributeError: *const O,
};
pub var py: Api = undefined;

/// handle: on Windows that of Python's DLL.
pub fn load(handle: usize) bool {
    inline for (comptime std.meta.fieldNames(Api)) |name| {
        const address = find(handle, name) orelse return false;
        @field(py, name) = @ptrCast(@alignCast(address));
    }
    return true;
}

fn find(handle: usize, name: [:0]const u8) ?*anyopaque {
    if (builtin.os.tag == .windows) {
        if (handle == 0) return null;
        return kernel32.GetProcAddress(@ptrFromInt(handle), name.ptr);
    }
    const everything: ?*anyopaque = if (builtin.os.tag == .macos)
        @ptrFromInt(@as(usize, @bitCast(@as(isize, -2))))
    else
        null;
    return libc.dlsym(everything, name.ptr);
}

const libc = struct {
    extern "c" fn dlsym(handle: ?*anyopaque, name: [*:0]const u8) callconv(.c) ?*anyopaque;
};
const kernel32 = struct {
    extern "kernel32" fn GetProcAddress(
        module: *anyopaque,
        name: [*:0]const u8,
    ) callconv(.winapi) ?*anyopaque;
};

// ------------------------------------------------------------------ its structures

pub const MethodDef = extern struct {
    name: ?[*:0]const u8 = null,
    function: ?*const anyopaque = null,
    flags: c_int = fastcall,
    doc: ?[*:0]const u8 = null,

    const fastcall = 0x80;
};
/// What a MethodDef's function is.
pub const Fast = fn (self: ?O, args: [*]const O, n: isize) callconv(.c) ?O;

pub const MemberDef = extern struct {
    name: ?[*:0]const u8 = null,
    kind: c_int = 0,
    offset: isize = 0,
    flags: c_int = 0,
    doc: ?[*:0]const u8 = null,

    pub const object = 6; // None where it is null
    pub const ssize = 19;
    pub const read_only = 1;
};

pub const GetSetDef = extern struct {
    name: ?[*:0]const u8 = null,
    get: ?*const fn (O, ?*anyopaque) callconv(.c) ?O = null,
    set: ?*const fn (O, ?O, ?*anyopaque) callconv(.c) c_int = null,
    doc: ?[*:0]const u8 = null,
    closure: ?*anyopaque = null,
};

pub const Slot = extern struct {
    number: c_int = 0,
    value: ?*const anyopaque = null,

    pub const get_buffer = 1;
    pub const call = 50;
    pub const clear = 51;
    pub const dealloc = 52;
    pub const descr_get = 54;
    pub const new = 65;
    pub const getattro = 58;
    pub const traverse = 71;
    pub const members = 72;
    pub const getset = 73;
    pub const methods = 64;
};

pub const Spec = extern struct {
    name: [*:0]const u8,
    size: c_int,
    item_size: c_int = 0,
    flags: c_uint,
    slots: [*]const Slot,

    pub const basic = 1 << 18;
    pub const base = 1 << 10;
    pub const vectorcall = 1 << 11;
    pub const gc = 1 << 14;
    pub const method = 1 << 17;
};

/// The bit of a vectorcall's count that is none.
pub const offset_bit: usize = 1 << (@bitSizeOf(usize) - 1);

// ------------------------------------------------------------------ small things

pub var none: O = undefined;
pub var true_: O = undefined;
pub var false_: O = undefined;
/// types.MethodType
pub var method_type: O = undefined;

pub inline fn keep(o: O) O {
    py.Py_IncRef(o);
    return o;
}
pub inline fn drop(o: ?O) void {
    py.Py_DecRef(o);
}
pub fn typeError(message: [*:0]const u8) ?O {
    py.PyErr_SetString(py.PyExc_TypeError.*, message);
    return null;
}
/// f(args...)
pub inline fn callObject(f: O, args: []const O) ?O {
    return py.PyObject_VectorcallDict(f, @ptrCast(args.ptr), args.len, null);
}
pub inline fn ifSome(o: O) ?O {
    return if (o == none) null else o;
}
