"""Automatic differentiation: backward, grad, modes, hooks, Function, checks (PyTorch's `torch.autograd`)."""

from .graph import Node, backward, grad, saved_tensors_hooks  # noqa: F401
from .mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled  # noqa: F401
