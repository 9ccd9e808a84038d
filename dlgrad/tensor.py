"""What the user holds: a Tensor is an address, a layout, the storage they lie in, and its place in the graph.

The methods that compute are attached by the modules in ops/ (`@method`, and the rows); here stand the
object itself, its attributes, and what Python expects of it.
"""

from __future__ import annotations

from operator import attrgetter

from ._lib import ffi
from ._native import native, offsets
from .layout import Layout, size_at, wrap_dim

_new = object.__new__
_address = ffi.typeof("uintptr_t")
MAYBE = 2  # see Tensor._requires_grad


class device:  # noqa: N801
    """Where a tensor lives: always the CPU here. `device("cuda")` raises."""

    __slots__ = ("type", "index")
    _known = {}  # by index: one object each, so that memos know it again

    def __new__(cls, type="cpu", index=None):
        if isinstance(type, device):
            type, index = type.type, type.index
        if not isinstance(type, str):
            raise TypeError(f"device(): expected a name such as 'cpu', got {type!r}")
        kind, _, number = type.partition(":")
        if kind != "cpu":
            raise RuntimeError(
                f"device(): dlgrad computes on the CPU only, got {type!r}; use 'cpu'"
            )
        index = int(number) if number else index
        if index not in cls._known:
            cls._known[index] = self = object.__new__(cls)
            self.type, self.index = "cpu", index
        return cls._known[index]

    def __repr__(self):
        return (
            "device(type='cpu')"
            if self.index is None
            else f"device(type='cpu', index={self.index})"
        )

    def __str__(self):
        return "cpu" if self.index is None else f"cpu:{self.index}"

    def __eq__(self, other):
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash(("cpu", self.index))

    def __reduce__(self):
        return device, (str(self),)


CPU = device("cpu")


class memory_format:  # noqa: N801
    """The order of dimensions in memory; accepted where PyTorch takes one."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"dlgrad.{self.name}"


class Tensor:
    """A multi-dimensional array with a gradient.

    Made by `dlgrad.tensor(data)`, `dlgrad.zeros(...)` and by operations; `Tensor(2, 3)` and
    `Tensor([1, 2])` work as PyTorch's old constructor does (float32, default dtype).
    """

    # _ptr: address of the first element (_native.py).  _layout: dtype, shape, strides.  _storage: shared memory.
    # _requires_grad: True, False, or MAYBE for a view (a write to its base may have changed that: ask
    # requires_grad, or graph.edge_of).  _grad_fn: a graph Node, or the
    # Output of one with several.  _view: the tensor whose memory this one is a differentiable view of
    # (never itself a view), or None; _view_version: the storage's version when _grad_fn was last right.
    # _view_mode: "no_grad", "multi", "function": how a view was made, when that forbids writing through it.
    __slots__ = ("_ptr", "_layout", "_storage", "_requires_grad", "_grad_fn", "_view", "_view_version", "_view_mode",
                 "__dict__", "__weakref__")  # fmt: skip

    # What few tensors have lives in __dict__, over these defaults.
    _grad = None
    _hooks = None  # leaf: {id: hook}, run on the gradient before it is accumulated
    _post_hooks = None  # leaf: {id: hook}, run after it was accumulated
    _retain = False
    name = None

    def __new__(cls, *args, **kwargs):
        from .ops.from_data import legacy_constructor

        return legacy_constructor(cls, args, kwargs)

    # ------------------------------------------------------------------ attributes

    shape = property(attrgetter("_layout.shape"), doc="The sizes, a `Size`.")

    dtype = property(attrgetter("_layout.dtype"), doc="The element type.")

    ndim = property(attrgetter("_layout.ndim"), doc="The number of dimensions.")

    @property
    def device(self) -> device:
        """Always `device(type='cpu')`."""
        return CPU

    @property
    def layout(self):
        """Always `strided`."""
        from . import strided

        return strided

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._layout.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._layout.nbytes

    is_cuda = is_sparse = is_quantized = is_meta = is_mps = is_xpu = is_mkldnn = is_nested = False
    is_cpu = True

    def size(self, dim=None):
        """The shape, or the size of dimension `dim`."""
        shape = self._layout.shape
        if dim is None:
            return shape
        if type(dim) is int:
            try:
                return size_at(shape, dim)
            except IndexError:
                pass
        return shape[wrap_dim(dim, len(shape), "size", scalar_ok=False)]

    def stride(self, dim=None):
        """The strides (in elements), or that of dimension `dim`."""
        if dim is None:
            return self._layout.strides
        return self._layout.strides[wrap_dim(dim, self._layout.ndim, "stride", scalar_ok=False)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._layout.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._layout.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._layout.dtype.itemsize

    def storage_offset(self) -> int:
        """Elements from the start of the storage to this tensor's first one."""
        return self._offset() // self._layout.dtype.itemsize

    def _offset(self) -> int:
        """The same in bytes."""
        return self._ptr - self._storage.ptr

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._ptr if native is not None else int(ffi.cast(_address, self._ptr))

    def untyped_storage(self):
        """The memory that this tensor and its views share."""
        return self._storage

    def is_contiguous(self, memory_format=None) -> bool:
        """Whether the elements lie row-major without gaps."""
        return self._layout.contiguous

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating point type."""
        return self._layout.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self._layout.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative values."""
        return self._layout.dtype.is_signed

    def is_inference(self) -> bool:
        """Always False: tensors made in inference_mode are ordinary ones here."""
        return False

    def get_device(self) -> int:
        """-1: the CPU."""
        return -1

    # ------------------------------------------------------------------ autograd

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor, or flow through it."""
        if self._requires_grad is MAYBE:
            return self._refreshed() is not None
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value):
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad=True):
        """Starts (or stops) recording operations on this leaf. Returns self.

        Raises RuntimeError for dtypes that are not floating point, and for results of operations."""
        if requires_grad and not (self._layout.dtype.is_floating_point or self._layout.dtype.is_complex):
            raise RuntimeError(
                f"requires_grad_(): only Tensors of floating point and complex dtype can require gradients, "
                f"this one is {self._layout.dtype.name}; convert it first, as with .float()"
            )
        if self._grad_fn is not None and not requires_grad:
            raise RuntimeError(
                "requires_grad_(): you can only change requires_grad flags of leaf variables; to use a computed "
                "tensor where no gradient should flow, take x.detach()"
            )
        if self.grad_fn is None:
            self._requires_grad = bool(requires_grad)
            self._view = None  # a leaf of its own
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was not computed from ones that require a gradient."""
        return (self._grad_fn if self._view is None else self._refreshed()) is None

    @property
    def grad_fn(self):
        """The graph node that computed this tensor (None for a leaf)."""
        fn = self._grad_fn if self._view is None else self._refreshed()
        return None if fn is None else fn.node

    @property
    def output_nr(self) -> int:
        """Which of its node's results this is."""
        fn = self._grad_fn
        return 0 if fn is None else fn.number

    def _refreshed(self):
        """The graph edge of a view: made anew from its base where the base was written to since."""
        if self._view_version != self._storage.version:
            from .ops.view_graph import refresh_view

            refresh_view(self)
        return self._grad_fn

    @property
    def grad(self):
        """The gradient that backward() has accumulated, or None."""
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            if tuple(value._layout.shape) != tuple(self._layout.shape):
                raise RuntimeError(
                    f"grad: assigned grad has data of a different size: {list(value.shape)} for a tensor of {list(self.shape)}"
                )
            if value._layout.dtype is not self._layout.dtype:
                raise RuntimeError(
                    f"grad: assigned grad has data of a different type: {value.dtype} for a tensor of {self.dtype}"
                )
        self._grad = value

    @grad.deleter
    def grad(self):
        self._grad = None

    def retain_grad(self):
        """Keeps the gradient of this non-leaf tensor in `.grad` at backward()."""
        if not self.requires_grad:
            raise RuntimeError(
                "retain_grad(): can't retain_grad on Tensor that has requires_grad=False"
            )
        if self.grad_fn is not None and not self._retain:
            from .autograd.graph import retain_grad

            self._retain = True
            retain_grad(self)

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called."""
        return self._retain

    @property
    def _version(self) -> int:
        return self._storage.version

    @property
    def _base(self):
        return self._view

    def _is_view(self) -> bool:
        return self._view is not None

    def register_hook(self, hook):
        """Calls `hook(grad)` whenever a gradient with respect to this tensor was computed; what it returns
        (if not None) takes the gradient's place. Returns a handle with `remove()`."""
        from .autograd.graph import register_tensor_hook

        return register_tensor_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """Calls `hook(tensor)` after a gradient was accumulated into this leaf's `.grad`."""
        from .autograd.graph import Handle

        if self.grad_fn is not None or not self.requires_grad:
            raise RuntimeError(
                "post accumulate grad hooks can only be registered on leaf tensors that require gradients"
            )
        if self._post_hooks is None:
            self._post_hooks = {}
        return Handle(self._post_hooks, hook)

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Accumulates into `.grad` of the leaves the gradient of this tensor (times `gradient`, which a
        tensor of one element may leave out). See `dlgrad.autograd.backward`."""
        from .autograd.engine import backward

        backward(
            (self,),
            None if gradient is None else (gradient,),
            retain_graph,
            create_graph,
            inputs=inputs,
        )

    def detach(self):
        """This tensor's data without its history: shares memory, requires no gradient."""
        return make_tensor(self._ptr, self._layout, self._storage)

    def detach_(self):
        """Cuts this tensor from its history, in place."""
        if self._view is not None:
            raise RuntimeError("detach_(): can't detach views in-place; use detach() instead")
        self._grad_fn = None
        self._requires_grad = False
        return self

    @property
    def data(self):
        """Alias of `detach()`; assigning makes this tensor hold the other's data, with no trace in the graph."""
        return self.detach()

    @data.setter
    def data(self, other):
        if not isinstance(other, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(other).__name__}")
        self._ptr, self._layout, self._storage = other._ptr, other._layout, other._storage

    # ------------------------------------------------------------------ Python's protocols

    __hash__ = object.__hash__

    def __len__(self):
        if self._layout.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._layout.shape[0]

    def __iter__(self):
        if self._layout.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __bool__(self):
        n = self._layout.numel
        if n == 1 and type(self._layout) is Layout:
            return bool(self.item())
        if n != 1:
            if n == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError(
                f"Boolean value of Tensor with more than one value is ambiguous (shape {list(self.shape)}); use any() or all()"
            )
        if type(self._layout) is not Layout:
            raise RuntimeError(
                "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support "
                "that: the members of the batch may differ; use where()"
            )
        return bool(self.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __complex__(self):
        return complex(self.item())

    def __index__(self):
        if self._layout.numel != 1 or self._layout.dtype.is_floating_point:
            raise TypeError(
                f"only integer tensors of a single element can be converted to an index, "
                f"this one is {self._layout.dtype.name} of shape {list(self.shape)}"
            )
        return int(self.item())

    def __contains__(self, element):
        if isinstance(element, (Tensor, int, float, bool)):
            return bool((element == self).any())
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}"
        )

    def __repr__(self, *, tensor_contents=None):
        from .printing import tensor_repr

        return tensor_repr(self, tensor_contents)

    def __format__(self, spec):
        if self._layout.ndim == 0 and spec:
            return format(self.item(), spec)
        return object.__format__(self, spec) if spec else repr(self)

    def __reduce_ex__(self, protocol):
        from .ops.from_data import reduce_tensor

        return reduce_tensor(self)

    def __deepcopy__(self, memo):
        from .ops.from_data import deepcopy_tensor

        return deepcopy_tensor(self, memo)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_namespace__(self, /, *, api_version=None):
        """The functions of the Python array API standard: `dlgrad.array_api`. Raises ValueError for a version it has not."""
        from . import array_api

        if api_version is not None and api_version not in array_api.VERSIONS:
            raise ValueError(
                f"__array_namespace__(): the array API's version {api_version!r} is not one of {array_api.VERSIONS}"
            )
        return array_api

    def to_device(self, device, /, *, stream=None):
        """This tensor (array API): there is one device, the CPU. Raises RuntimeError for another one."""
        if stream is not None:
            raise ValueError(f"to_device(): the CPU has no streams, got {stream!r}")
        return self.to(device)

    __array_priority__ = 1000  # NumPy arrays on the left give way to our operators


def make_tensor(ptr, layout: Layout, storage) -> Tensor:
    """A tensor over memory, outside of any graph."""
    t = _new(Tensor)
    t._ptr = ptr
    t._layout = layout
    t._storage = storage
    t._requires_grad = False
    t._grad_fn = None
    t._view = t._view_mode = None
    return t


_SLOTS = ("_ptr", "_layout", "_storage", "_requires_grad", "_grad_fn", "_view", "_view_version", "_view_mode")
if native is not None:
    native["bind_tensor"](Tensor, *offsets(Tensor, _SLOTS))
    make_tensor = native["make_tensor"]  # noqa: F811


def method(fn=None, *, names=()):
    """Makes a function whose first parameter is the tensor a method of Tensor too (under these names, or its own)."""
    if fn is None:
        return lambda f: method(f, names=names)
    for n in names or (fn.__name__,):
        setattr(Tensor, n, fn)
    return fn
