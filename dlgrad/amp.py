"""Mixed precision, for programs written for GPUs: `autocast` and `GradScaler`.

On the CPU operations run in the dtype of their inputs. `autocast` for a GPU is off with a warning, as in PyTorch's
CPU build; `autocast("cpu")` warns once and computes in full precision. `GradScaler("cpu")` scales; for "cuda" it
is off.
"""

from __future__ import annotations

import functools
import math
import warnings

import dlgrad

__all__ = ["autocast", "GradScaler", "custom_fwd", "custom_bwd", "is_autocast_available"]


def is_autocast_available(device_type):
    """False: no device computes in a lower precision than its inputs."""
    return False


class autocast:  # noqa: N801
    """A context and decorator that accepts PyTorch's arguments and leaves the precision as it is."""

    def __init__(self, device_type="cuda", dtype=None, enabled=True, cache_enabled=None):
        if not isinstance(device_type, str):
            raise ValueError(
                f"autocast: expected device_type to be a string, got {type(device_type).__name__}"
            )
        self.device = device_type
        if enabled and device_type == "cpu":
            warnings.warn(
                "autocast on the CPU: dlgrad computes in the dtype of the inputs", stacklevel=2
            )
        elif enabled:
            warnings.warn(
                f"User provided device_type of '{device_type}', but it is not available. Disabling",
                stacklevel=2,
            )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return wrapped


def custom_fwd(fwd=None, *, device_type="cpu", cast_inputs=None):
    """Marks the forward of an autograd.Function; without lower precision there is nothing to cast."""
    return fwd if fwd is not None else lambda function: function


def custom_bwd(bwd=None, *, device_type="cpu"):
    """Marks the backward of an autograd.Function."""
    return bwd if bwd is not None else lambda function: function


class GradScaler:
    """Scales a loss so that small gradients don't vanish in half precision, and skips steps whose gradients are not
    finite: `scale(loss).backward(); step(optimizer); update()`.

    The scale shrinks by `backoff_factor` after such a step and grows by `growth_factor` after `growth_interval`
    good ones."""

    def __init__(
        self,
        device="cuda",
        init_scale=2.0**16,
        growth_factor=2.0,
        backoff_factor=0.5,
        growth_interval=2000,
        enabled=True,
    ):
        if enabled and device != "cpu":
            warnings.warn(
                f"GradScaler is enabled, but {device} is not available. Disabling.", stacklevel=2
            )
            enabled = False
        if growth_factor <= 1.0 or not 0 < backoff_factor < 1.0:
            raise AssertionError(
                "GradScaler: expects growth_factor > 1 and backoff_factor in (0, 1)"
            )
        self._enabled = enabled
        self._scale = float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._found: dict = {}  # id of optimizer -> whether its unscaled gradients hold inf or nan
        self._stepped: set = set()

    def is_enabled(self):
        """Whether it scales."""
        return self._enabled

    def get_scale(self):
        """The factor now; 1.0 when it is off."""
        return self._scale if self._enabled else 1.0

    def scale(self, outputs):
        """The Tensor, or each one in a list or tuple, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, dlgrad.Tensor):
            return outputs * self._scale
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(x) for x in outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer):
        """Divides the gradients of the optimizer's parameters by the scale, so that they can be clipped."""
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._found:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        grads = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        found = False
        with dlgrad.no_grad():
            for grad in grads:
                grad.mul_(1.0 / self._scale)
                found = found or not math.isfinite(
                    grad.abs().amax().item() if grad.numel() else 0.0
                )
        self._found[id(optimizer)] = found

    def step(self, optimizer, *args, **kwargs):
        """`optimizer.step()`, unless a gradient is not finite. Returns what that returned, or None."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._found[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale=None):
        """Sets the scale for the next iteration."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._found.values()):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale *= self._growth_factor
                self._growth_tracker = 0
        self._found.clear()
        self._stepped.clear()

    def state_dict(self):
        """The scale and its settings; empty when it is off."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict):
        """Goes on from what `state_dict` gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
