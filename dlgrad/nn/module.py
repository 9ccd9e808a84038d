"""Module: the base class of every layer and model."""

from __future__ import annotations

from collections import OrderedDict

import dlgrad
from dlgrad import Tensor

from . import _module_hooks as hooks
from ._module_hooks import (  # noqa: F401  (PyTorch has them in this file)
    ModuleHooks,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from ._module_state import ModuleState
from .parameter import Buffer, Parameter

__all__ = ["Module"]


def _type_name(value):
    kind = type(value)
    module = "" if kind.__module__ in ("builtins", "__builtin__") else kind.__module__ + "."
    return module + kind.__qualname__


def _add_indent(text, width):
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * width + line for line in rest)])


def _forward_unimplemented(self, *input):
    """Computes the module's output. Subclasses define it; call the module itself, not this."""
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


# The dictionaries of a module, in the order in which __init__ makes them.
_ORDERED = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Module(ModuleState, ModuleHooks):
    """Base class of all neural network modules.

    A subclass calls `super().__init__()`, assigns Parameters, buffers and other Modules as
    attributes (which registers them), and defines `forward`::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(784, 64)
                self.output = nn.Linear(64, 10)

            def forward(self, x):
                return self.output(F.relu(self.hidden(x)))

    `training` says whether it is in training mode (see `train` and `eval`).
    """

    dump_patches = False
    _version = 1
    call_super_init = False

    def __init__(self, *args, **kwargs):
        if not self.call_super_init:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                    f"'{next(iter(kwargs))}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but "
                    f"{len(args) + 1} were given"
                )
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_non_persistent_buffers_set"] = set()
        own["_is_full_backward_hook"] = None
        for name in _ORDERED:
            own[name] = OrderedDict()
        own["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward = _forward_unimplemented

    def __call__(self, *args, **kwargs):
        if (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or hooks.active
        ):
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    # Registration.
    def _check_name(self, kind, name, registry):
        if registry not in self.__dict__:
            raise AttributeError(
                f"cannot assign {kind} before Module.__init__() call: call super().__init__() first"
            )
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_type_name(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[registry]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_buffer(self, name, tensor, persistent=True):
        """Adds a tensor that is state but no parameter, such as a running mean.

        It moves with `to`, and is in `state_dict` unless `persistent` is false.
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' "
                "(dlgrad Tensor or None required)"
            )
        for hook in hooks.buffer_registration_hooks.values():
            result = hook(self, name, tensor)
            if result is not None:
                tensor = result
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Adds a Parameter, or None for one that this module could have and does not."""
        self._check_name("parameter", name, "_parameters")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{_type_name(param)}' object to parameter '{name}' "
                    "(dlgrad.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Parameters are leaves: "
                    f"to express '{name}' as a function of another tensor, compute it in forward()."
                )
            for hook in hooks.parameter_registration_hooks.values():
                result = hook(self, name, param)
                if result is not None:
                    param = result
        self._parameters[name] = param

    def add_module(self, name, module):
        """Adds a child module, reachable as the attribute `name`."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{_type_name(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        for hook in hooks.module_registration_hooks.values():
            result = hook(self, name, module)
            if result is not None:
                module = result
        self._modules[name] = module

    def register_module(self, name, module):
        """The same as add_module."""
        self.add_module(name, module)

    # Attributes.
    def __getattr__(self, name):
        # Every use of a parameter or submodule passes here: no loop, no exception.
        own = self.__dict__
        if "_parameters" in own:
            values = own["_parameters"]
            if name in values:
                return values[name]
            if "_modules" in own:
                values = own["_modules"]
                if name in values:
                    return values[name]
                values = own["_buffers"]
                if name in values:
                    return values[name]
        # A property that raised AttributeError ends here as well: let its own message through.
        prop = getattr(type(self), name, None)
        if isinstance(prop, property) and prop.fget is not None:
            return prop.fget(self)
        if "_modules" not in own and not name.startswith("__"):
            raise AttributeError(
                f"'{type(self).__name__}' object has no attribute '{name}': "
                "its __init__ did not call super().__init__()"
            )
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name, value):
        own = self.__dict__
        if not isinstance(value, (Tensor, Module)):
            # The common case, a plain attribute, must be quick.
            for registry, kind in (
                ("_parameters", "parameter"),
                ("_modules", "child module"),
                ("_buffers", "buffer"),
            ):
                values = own.get(registry)
                if values is not None and name in values:
                    if value is not None:
                        wanted = {
                            "parameter": "dlgrad.nn.Parameter",
                            "buffer": "dlgrad.Tensor",
                            "child module": "dlgrad.nn.Module",
                        }[kind]
                        raise TypeError(
                            f"cannot assign '{_type_name(value)}' as {kind} '{name}' "
                            f"({wanted} or None expected)"
                        )
                    if kind == "parameter":
                        self.register_parameter(name, None)
                    else:
                        values[name] = None
                    return
            object.__setattr__(self, name, value)
            return

        if isinstance(value, Parameter):
            if "_parameters" not in own:
                raise AttributeError(
                    "cannot assign parameters before Module.__init__() call: "
                    "call super().__init__() first"
                )
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in own:
                raise AttributeError(
                    "cannot assign module before Module.__init__() call: "
                    "call super().__init__() first"
                )
            if name in own["_parameters"]:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as parameter '{name}' "
                    "(dlgrad.nn.Parameter or None expected)"
                )
            self._forget(name, keep="_modules")
            for hook in hooks.module_registration_hooks.values():
                result = hook(self, name, value)
                if result is not None:
                    value = result
            own["_modules"][name] = value
        else:
            if own.get("_parameters") is not None and name in own["_parameters"]:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as parameter '{name}' "
                    "(dlgrad.nn.Parameter or None expected)"
                )
            if own.get("_modules") is not None and name in own["_modules"]:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as child module '{name}' "
                    "(dlgrad.nn.Module or None expected)"
                )
            buffers = own.get("_buffers")
            if isinstance(value, Buffer) or (buffers is not None and name in buffers):
                if buffers is None:
                    raise AttributeError(
                        "cannot assign buffer before Module.__init__() call: "
                        "call super().__init__() first"
                    )
                if name not in buffers:
                    self._forget(name, keep="_buffers")
                    self.register_buffer(name, value, getattr(value, "persistent", True))
                    return
                for hook in hooks.buffer_registration_hooks.values():
                    result = hook(self, name, value)
                    if result is not None:
                        value = result
                buffers[name] = value
            else:
                object.__setattr__(self, name, value)

    def _forget(self, name, keep):
        """Drops `name` wherever it is registered but in `keep`: one name means one thing."""
        own = self.__dict__
        own.pop(name, None)
        for registry in ("_parameters", "_buffers", "_modules"):
            if registry != keep:
                own[registry].pop(name, None)
        if keep != "_buffers":
            own["_non_persistent_buffers_set"].discard(name)

    def __delattr__(self, name):
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            super().__delattr__(name)

    def __dir__(self):
        names = {
            *dir(type(self)),
            *self.__dict__,
            *self._parameters,
            *self._modules,
            *self._buffers,
        }
        return sorted(name for name in names if not name[0].isdigit())

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in _ORDERED:
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    # Looking inside.
    def get_submodule(self, target):
        """The descendant at the dotted path `target`; "" is the module itself."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target, module, strict=False):
        """Puts `module` at the dotted path `target`; with `strict` one must be there already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}.")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target):
        """The Parameter at the dotted path `target`."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        parameter = getattr(module, name)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return parameter

    def get_buffer(self, target):
        """The buffer at the dotted path `target`."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return module._buffers[name]

    def _named_members(self, members_of, prefix="", recurse=True, remove_duplicate=True):
        seen = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for module_prefix, module in modules:
            for name, value in members_of(module):
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (module_prefix + "." if module_prefix else "") + name, value

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """(dotted name, Parameter) of this module and, with `recurse`, its descendants."""
        yield from self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse=True):
        """The parameters, each once; what an optimizer is given."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """(dotted name, buffer) of this module and, with `recurse`, its descendants."""
        yield from self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse=True):
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self):
        """(name, module) of the direct children, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self):
        """The direct children, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """(dotted name, module) of this module and all descendants, depth first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, (prefix + "." if prefix else "") + name, remove_duplicate
                )

    def modules(self):
        """This module and all its descendants, each once."""
        for _, module in self.named_modules():
            yield module

    # Changing all of it.
    def train(self, mode=True):
        """Puts the module and its descendants in training mode (dropout and batch norm mind)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """The same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Sets requires_grad of every parameter; False freezes the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Forgets the parameters' gradients (or fills them with zeros)."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = dlgrad.zeros_like(parameter.grad)

    def apply(self, fn):
        """Calls `fn(module)` for every descendant, then for this module; used to initialize."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn, recurse=True):
        """Replaces every parameter, gradient and buffer `t` by `fn(t)`."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            gradient = parameter.grad
            with dlgrad.no_grad():
                # Parameters keep their identity, so that optimizers that hold them stay right.
                # The gradient goes first: one of another dtype is not accepted beside it.
                if gradient is not None:
                    parameter.grad = None
                parameter.data = fn(parameter)
                if gradient is not None:
                    gradient.data = fn(gradient)
                    parameter.grad = gradient
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """Converts parameters and buffers: `to(dtype)`, `to("cpu")`, `to(tensor)`, in place.

        Only floating-point values change their dtype. Returns the module.
        """
        dtype = _dtype_of_to(args, dict(kwargs))
        if dtype is None:
            return self
        if not dtype.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}"
            )
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def type(self, dst_type):
        """Converts all parameters and buffers to `dst_type`."""
        return self._apply(lambda t: t.type(dst_type))

    def _to_float(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self):
        """Converts floating-point parameters and buffers to float32."""
        return self._to_float(dlgrad.float32)

    def double(self):
        """Converts floating-point parameters and buffers to float64."""
        return self._to_float(dlgrad.float64)

    def half(self):
        """Converts floating-point parameters and buffers to float16."""
        return self._to_float(dlgrad.float16)

    def bfloat16(self):
        """Converts floating-point parameters and buffers to bfloat16."""
        return self._to_float(dlgrad.bfloat16)

    def cpu(self):
        """Returns the module: everything is on the CPU."""
        return self

    def cuda(self, device=None):
        """Raises AssertionError, as PyTorch's CPU build does: dlgrad computes on the CPU only."""
        raise AssertionError("Module.cuda: dlgrad has no CUDA device; leave the module on the CPU")

    def compile(self, *args, **kwargs):
        """Takes the arguments of `dlgrad.compile`, and changes nothing: all is compiled already."""

    def to_empty(self, *, device=None, recurse=True):
        """Gives every parameter and buffer new memory with unset values."""
        del device
        return self._apply(lambda t: dlgrad.empty_like(t), recurse=recurse)

    # Text.
    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """What stands between the parentheses of the module's repr; subclasses define it."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [
            f"({name}): " + _add_indent(repr(module), 2) for name, module in self._modules.items()
        ]
        lines = extra_lines + child_lines
        if len(extra_lines) == 1 and not child_lines:
            inner = extra_lines[0]
        elif lines:
            inner = "\n  " + "\n  ".join(lines) + "\n"
        else:
            inner = ""
        return f"{self._get_name()}({inner})"


def _dtype_of_to(args, kwargs):
    """The dtype asked of Module.to, or None; raises for a device that is not the CPU."""
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    kwargs.pop("copy", None)
    dtype = kwargs.pop("dtype", None)
    device = kwargs.pop("device", None)
    tensor = kwargs.pop("tensor", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    for value in args:
        if isinstance(value, Tensor):
            tensor = value
        elif isinstance(value, dlgrad.dtype):
            dtype = value
        elif isinstance(value, (str, dlgrad.device)):
            device = value
        elif value is not None and not isinstance(value, bool):
            raise TypeError(f"to() takes a dtype, a device or a tensor, got {type(value).__name__}")
    if tensor is not None:
        dtype = tensor.dtype
    if device is not None and str(device).split(":")[0] != "cpu":
        raise RuntimeError(f"Module.to: no device '{device}'; dlgrad computes on the CPU only")
    return dtype
