"""The state of a Module: state_dict and load_state_dict."""

from __future__ import annotations

import itertools
from collections import OrderedDict, namedtuple
from collections.abc import Mapping

import dlgrad
from dlgrad import Tensor

from .parameter import Parameter, is_lazy

# Where a module keeps what get_extra_state returns.
EXTRA_STATE = "_extra_state"


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict returns: keys not found, and keys nobody asked for."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


def _quoted(keys):
    return ", ".join(f'"{key}"' for key in keys)


class ModuleState:
    """The state_dict methods of Module."""

    def get_extra_state(self):
        """What a subclass wants in its state dict beside parameters and buffers (must pickle)."""
        raise RuntimeError(
            f"{type(self).__name__} has set_extra_state or a state dict with extra state, but no "
            "get_extra_state: define it"
        )

    def set_extra_state(self, state):
        """Takes back what get_extra_state returned."""
        raise RuntimeError(
            f"the state dict has extra state for {type(self).__name__}, which has no "
            "set_extra_state: define it"
        )

    def _has_extra(self, method):
        return getattr(type(self), method) is not getattr(ModuleState, method)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """Adds this module's own entries (not those of its children) to `destination`."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if self._has_extra("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """An ordered dictionary from names to the parameters and persistent buffers.

        The tensors share memory with the module's and are detached, unless `keep_vars`. Its
        attribute `_metadata` carries the version of each module.
        """
        # The positional form (destination, prefix, keep_vars) is old and still in use.
        if args:
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and not keep_vars else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, local_metadata)
            if getattr(hook, "_from_public_api", False):
                if result is not None:
                    raise RuntimeError("a state_dict post-hook must return None")
            elif result is not None:
                destination = result
        return destination

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Takes this module's own entries from `state_dict`; problems go to the three lists."""
        for hook in list(self._load_state_dict_pre_hooks.values()):
            hook(
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        assign = local_metadata.get("assign_to_params_buffers", False)
        persistent = (
            (name, buffer)
            for name, buffer in self._buffers.items()
            if name not in self._non_persistent_buffers_set
        )
        own = {
            name: value
            for name, value in itertools.chain(self._parameters.items(), persistent)
            if value is not None
        }
        for name, value in own.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            given = state_dict[key]
            if not isinstance(given, Tensor):
                error_msgs.append(
                    f'While copying the parameter named "{key}", expected a dlgrad.Tensor from the '
                    f"checkpoint but received {type(given).__name__}"
                )
                continue
            lazy = is_lazy(value)
            # Versions before 0.3.1 of PyTorch stored 0-d values with one element.
            if not lazy and value.dim() == 0 and given.dim() == 1 and given.shape[0] == 1:
                given = given[0]
            if not lazy and tuple(given.shape) != tuple(value.shape):
                error_msgs.append(
                    f"size mismatch for {key}: copying a param with shape {given.shape} from "
                    f"checkpoint, the shape in current model is {value.shape}."
                )
                continue
            try:
                with dlgrad.no_grad():
                    if assign:
                        self._assign_loaded(name, value, given)
                    elif lazy and not is_lazy(given):
                        value.materialize(given.shape)
                        value.copy_(given)
                    elif not lazy:
                        value.copy_(given)
            except Exception as error:
                error_msgs.append(
                    f'While copying the parameter named "{key}", whose dimensions in the model are '
                    f"{tuple(value.shape)} and whose dimensions in the checkpoint are "
                    f"{tuple(given.shape)}, an exception occurred: {error.args}."
                )
        extra_key = prefix + EXTRA_STATE
        if self._has_extra("set_extra_state"):
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    parts = key[len(prefix) :].split(".", 1)
                    if len(parts) > 1:
                        if parts[0] not in self._modules:
                            unexpected_keys.append(key)
                    elif parts[0] not in own:
                        unexpected_keys.append(key)

    def _assign_loaded(self, name, value, given):
        """Makes the loaded tensor itself the parameter or buffer."""
        if isinstance(value, Parameter):
            if not isinstance(given, Parameter):
                given = Parameter(given, requires_grad=value.requires_grad)
            else:
                given.requires_grad_(value.requires_grad)
        setattr(self, name, given)

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copies parameters and buffers from `state_dict` into this module and its descendants.

        With `strict` the keys must be exactly those of `self.state_dict()`. With `assign` the
        tensors of the state dict become the module's own, and keep their dtype. Returns the
        missing and the unexpected keys; raises RuntimeError that lists all that did not fit.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing_keys, unexpected_keys, error_msgs = [], [], []
        metadata = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)
        if metadata is not None:
            state_dict._metadata = metadata

        def load(module, local_state, prefix):
            local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local_metadata["assign_to_params_buffers"] = True
            module._load_from_state_dict(
                local_state, prefix, local_metadata, True, missing_keys, unexpected_keys, error_msgs
            )
            for name, child in module._modules.items():
                if child is not None:
                    child_prefix = prefix + name + "."
                    child_state = {
                        key: value
                        for key, value in local_state.items()
                        if key.startswith(child_prefix)
                    }
                    load(child, child_state, child_prefix)
            incompatible = IncompatibleKeys(missing_keys, unexpected_keys)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, incompatible) is not None:
                    raise RuntimeError(
                        "a load_state_dict post-hook must return None: change the lists of "
                        "incompatible_keys in place"
                    )

        load(self, state_dict, "")
        if strict:
            if unexpected_keys:
                error_msgs.insert(
                    0, f"Unexpected key(s) in state_dict: {_quoted(unexpected_keys)}. "
                )
            if missing_keys:
                error_msgs.insert(0, f"Missing key(s) in state_dict: {_quoted(missing_keys)}. ")
        if error_msgs:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(error_msgs)
            )
        return IncompatibleKeys(missing_keys, unexpected_keys)
