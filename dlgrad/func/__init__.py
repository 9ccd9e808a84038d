"""Functions of functions and modules: PyTorch's `torch.func`.

Derivatives are in derivatives.py, vmap in vectorize.py; how a batch is hidden from operations, and
what that costs, in dlgrad/batched.py.
"""

from .derivatives import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)
from .functional_call import functional_call
from .models import debug_unwrap, functionalize, replace_all_batch_norm_modules_, stack_module_state
from .rearrange import rearrange
from .vectorize import vmap

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
