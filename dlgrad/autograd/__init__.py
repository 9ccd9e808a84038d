"""Automatic differentiation: backward, grad, modes, hooks, Function, checks (PyTorch's `torch.autograd`)."""

from . import graph, learned  # noqa: F401
from .anomaly import detect_anomaly, set_detect_anomaly  # noqa: F401
from .engine import backward, grad  # noqa: F401
from .function import Function  # noqa: F401
from .gradcheck import GradcheckError, gradcheck, gradgradcheck  # noqa: F401
from .graph import Node, saved_tensors_hooks  # noqa: F401
from .mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled  # noqa: F401

__all__ = [
    "Function",
    "GradcheckError",
    "Variable",  # noqa: F822  loaded at first use
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "saved_tensors_hooks",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name):
    if name in ("forward_ad", "functional"):
        import importlib

        return importlib.import_module("." + name, __name__)
    if name == "Variable":
        from .variable import Variable

        return Variable
    raise AttributeError(f"module 'dlgrad.autograd' has no attribute {name!r}")
