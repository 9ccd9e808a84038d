"""Hooks of a Module: registration, hooks for all modules, and the taps that backward hooks hang on."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import dlgrad
from dlgrad import Tensor

from ..utils.hooks import RemovableHandle

# Hooks that run for every module. `active` holds an entry for each of them, so that a module's
# call has one dictionary to look at and not five.
active = OrderedDict()
forward_pre_hooks = OrderedDict()
forward_hooks = OrderedDict()
forward_hooks_with_kwargs = OrderedDict()
forward_hooks_always_called = OrderedDict()
backward_pre_hooks = OrderedDict()
backward_hooks = OrderedDict()
buffer_registration_hooks = OrderedDict()
module_registration_hooks = OrderedDict()
parameter_registration_hooks = OrderedDict()


def _register(hooks, hook, *flags, prepend=False):
    """Puts `hook` in `hooks` and marks its id in each of `flags`; returns the handle."""
    handle = RemovableHandle(hooks, extra_dict=list(flags))
    hooks[handle.id] = hook
    for flag in flags:
        flag[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_module_buffer_registration_hook(hook):
    """`hook(module, name, buffer) -> None or new buffer` runs when any module registers a buffer."""
    return _register(buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook):
    """`hook(module, name, submodule) -> None or new submodule` runs when a submodule is registered."""
    return _register(module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook):
    """`hook(module, name, parameter) -> None or new parameter` runs when one is registered."""
    return _register(parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook):
    """`hook(module, args) -> None or new args` runs before the forward of every module."""
    return _register(forward_pre_hooks, hook, active)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """`hook(module, args[, kwargs], output) -> None or new output` runs after every forward."""
    flags = [active]
    if with_kwargs:
        flags.append(forward_hooks_with_kwargs)
    if always_call:
        flags.append(forward_hooks_always_called)
    return _register(forward_hooks, hook, *flags)


def register_module_full_backward_pre_hook(hook):
    """`hook(module, grad_output) -> None or new grad_output`, for every module."""
    return _register(backward_pre_hooks, hook, active)


def register_module_full_backward_hook(hook):
    """`hook(module, grad_input, grad_output) -> None or new grad_input`, for every module."""
    return _register(backward_hooks, hook, active)


register_module_backward_hook = register_module_full_backward_hook


class ModuleHooks:
    """The registration methods of Module."""

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """Registers `hook(module, args) -> None or modified args`, run before `forward`.

        With `with_kwargs`, `hook(module, args, kwargs) -> None or (args, kwargs)`. A single value
        that is no tuple stands for a tuple of one. `prepend` puts it before the other hooks.
        """
        flags = [self._forward_pre_hooks_with_kwargs] if with_kwargs else []
        return _register(self._forward_pre_hooks, hook, *flags, prepend=prepend)

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """Registers `hook(module, args, output) -> None or modified output`, run after `forward`.

        With `with_kwargs`, `hook(module, args, kwargs, output)`. `always_call` runs it even when
        `forward` raised.
        """
        flags = [self._forward_hooks_with_kwargs] if with_kwargs else []
        if always_call:
            flags.append(self._forward_hooks_always_called)
        return _register(self._forward_hooks, hook, *flags, prepend=prepend)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """Registers `hook(module, grad_output) -> None or new grad_output`."""
        return _register(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        """Registers `hook(module, grad_input, grad_output) -> None or new grad_input`.

        It runs when the gradients of the module's inputs have been computed. Inputs and outputs
        of hooks are tuples, None where an argument is no tensor or has no gradient.
        """
        self._is_full_backward_hook = True
        return _register(self._backward_hooks, hook, prepend=prepend)

    # PyTorch's older form saw only the module's last operation; here it is the full one.
    register_backward_hook = register_full_backward_hook

    def register_state_dict_pre_hook(self, hook):
        """Registers `hook(module, prefix, keep_vars)`, run before `state_dict` collects."""
        return _register(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook):
        """Registers `hook(module, state_dict, prefix, local_metadata)`; it changes it in place."""
        hook._from_public_api = True
        return _register(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook):
        """As register_state_dict_post_hook, but what the hook returns replaces the state dict."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "this hook was registered by register_state_dict_post_hook before: it cannot "
                "also be a hook whose result replaces the state dict"
            )
        return _register(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook):
        """Registers `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)`, run before this module takes its entries."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return _register(
            self._load_state_dict_pre_hooks,
            _LoadPreHook(hook, self if with_module else None),
        )

    def register_load_state_dict_post_hook(self, hook):
        """Registers `hook(module, incompatible_keys)`, run after loading; it may change the lists."""
        return _register(self._load_state_dict_post_hooks, hook)

    # What a call does when there are hooks.
    def _call_with_hooks(self, args, kwargs):
        called = set()
        try:
            return self._run_hooked(args, kwargs, called)
        except Exception:
            # Hooks registered with always_call see the failed call as well (with no result); an
            # error of theirs must not hide the first one.
            for owner, hooks, flags, with_kwargs in (
                (None, forward_hooks, forward_hooks_always_called, forward_hooks_with_kwargs),
                (
                    self,
                    self._forward_hooks,
                    self._forward_hooks_always_called,
                    self._forward_hooks_with_kwargs,
                ),
            ):
                for key, hook in list(hooks.items()):
                    if key in flags and (owner is None, key) not in called:
                        try:
                            if key in with_kwargs:
                                hook(self, args, kwargs, None)
                            else:
                                hook(self, args, None)
                        except Exception as error:
                            warnings.warn(f"forward hook with always_call raised as well: {error}")
            raise

    def _run_hooked(self, args, kwargs, called):
        for key, hook in [*forward_pre_hooks.items(), *self._forward_pre_hooks.items()]:
            if key in self._forward_pre_hooks_with_kwargs:
                result = hook(self, args, kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(
                            "forward pre-hook registered with with_kwargs must return None or a "
                            f"tuple (new_args, new_kwargs), got {result!r}"
                        )
                    args, kwargs = result
            else:
                result = hook(self, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)

        pre = [*self._backward_pre_hooks.values(), *backward_pre_hooks.values()]
        post = [*backward_hooks.values(), *self._backward_hooks.values()]
        taps = _BackwardTaps(self, pre, post) if pre or post else None
        if taps is not None:
            args = taps.on_inputs(args)

        output = self.forward(*args, **kwargs)

        every = [(True, k, h, k in forward_hooks_with_kwargs) for k, h in forward_hooks.items()]
        every += [
            (False, k, h, k in self._forward_hooks_with_kwargs)
            for k, h in self._forward_hooks.items()
        ]
        for is_global, key, hook, with_kwargs in every:
            called.add((is_global, key))
            result = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
            if result is not None:
                output = result
        if taps is not None:
            output = taps.on_outputs(output)
        return output


class _LoadPreHook:
    """A load_state_dict pre-hook, with the module it wants to be given (if any)."""

    def __init__(self, hook, module):
        self.hook = hook
        self.module = module

    def __call__(self, *args):
        return self.hook(*args) if self.module is None else self.hook(self.module, *args)


def _tap_function():
    """The autograd Function behind the taps: identity, whose backward passes through a callable."""
    global _Tap
    if _Tap is None:

        class Tap(dlgrad.autograd.Function):
            @staticmethod
            def forward(ctx, on_gradients, *tensors):
                ctx.on_gradients = on_gradients
                ctx.set_materialize_grads(False)
                return tuple(tensor.view_as(tensor) for tensor in tensors)

            @staticmethod
            def backward(ctx, *gradients):
                return (None, *ctx.on_gradients(gradients))

        _Tap = Tap
    return _Tap


_Tap = None


class _BackwardTaps:
    """Two identity nodes around a module's forward, at which its backward hooks run.

    The output tap sees the gradients with respect to the outputs (and runs the pre-hooks), the
    input tap those with respect to the inputs (and runs the hooks). A module none of whose inputs
    wants a gradient has no input tap: its hooks then run at the output tap.
    """

    def __init__(self, module, pre_hooks, hooks):
        self.module = module
        self.pre_hooks = pre_hooks
        self.hooks = hooks
        self.grad_outputs = None
        self.n_inputs = 0
        self.tapped_inputs = False

    def _insert(self, values, on_gradients):
        """Replaces the tensors among `values` by tapped ones; (values, whether a tap is there)."""
        where = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
        tensors = [values[i] for i in where]
        if not (dlgrad.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
            return values, False

        def run(gradients):
            full = [None] * len(values)
            for i, gradient in zip(where, gradients):
                full[i] = gradient
            full = on_gradients(tuple(full))
            return tuple(full[i] for i in where)

        tapped = _tap_function().apply(run, *tensors)
        values = list(values)
        for i, tensor in zip(where, tapped):
            values[i] = tensor
        return tuple(values), True

    def on_inputs(self, args):
        self.n_inputs = len(args)
        args, self.tapped_inputs = self._insert(args, self._input_gradients)
        return args

    def on_outputs(self, output):
        single = isinstance(output, Tensor)
        if single:
            values = (output,)
        elif isinstance(output, dict):
            values = tuple(output.values())
        elif isinstance(output, (tuple, list)):
            values = tuple(output)
        else:
            return output
        tapped, there = self._insert(values, self._output_gradients)
        if not there:
            return output
        if single:
            return tapped[0]
        if isinstance(output, dict):
            return type(output)(zip(output.keys(), tapped))
        if hasattr(output, "_fields"):
            return type(output)(*tapped)
        return type(output)(tapped)

    def _output_gradients(self, grad_outputs):
        for hook in self.pre_hooks:
            result = hook(self.module, grad_outputs)
            if result is not None:
                grad_outputs = self._checked(result, len(grad_outputs), "backward pre-hook")
        self.grad_outputs = grad_outputs
        if not self.tapped_inputs:
            grad_inputs = (None,) * self.n_inputs
            for hook in self.hooks:
                result = hook(self.module, grad_inputs, grad_outputs)
                if result is not None and not (
                    isinstance(result, (tuple, list)) and all(value is None for value in result)
                ):
                    raise RuntimeError(
                        f"backward hook of {type(self.module).__name__} must return None here: "
                        "no input of the module requires a gradient"
                    )
            self.grad_outputs = None
        return grad_outputs

    def _input_gradients(self, grad_inputs):
        if self.grad_outputs is None and self.hooks:
            raise RuntimeError(
                f"backward hook of {type(self.module).__name__}: the gradient reached the module's "
                "inputs before its outputs; an input that is returned unchanged does this"
            )
        for hook in self.hooks:
            result = hook(self.module, grad_inputs, self.grad_outputs)
            if result is not None:
                grad_inputs = self._checked(result, len(grad_inputs), "backward hook")
        self.grad_outputs = None
        return grad_inputs

    @staticmethod
    def _checked(result, expected, what):
        if not isinstance(result, (tuple, list)):
            result = (result,)
        if len(result) != expected:
            raise RuntimeError(
                f"{what} returned {len(result)} gradients where {expected} were expected"
            )
        return tuple(result)
