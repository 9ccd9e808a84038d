"""`torch.backends`: the switches that programs set. They are kept and change nothing: the kernels are dlgrad's own,
deterministic, in full precision.
"""

from __future__ import annotations

import sys
import types

__all__ = ["cpu", "cuda", "cudnn", "mha", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


def _backend(name, doc, available=False, **attributes):
    """A module `dlgrad.backends.<name>` with is_available() and these attributes."""
    module = types.ModuleType(f"{__name__}.{name}", doc)
    module.is_available = lambda: available
    vars(module).update(attributes)
    sys.modules[module.__name__] = module
    return module


def _switch(name, initial):
    """(reader, writer) of a flag, such as flash_sdp_enabled and enable_flash_sdp."""
    state = [initial]

    def enabled():
        return state[0]

    def enable(value):
        state[0] = bool(value)

    enabled.__doc__, enable.__doc__ = (
        f"Whether {name} was asked for.",
        f"Keeps whether {name} is asked for.",
    )
    return enabled, enable


_matmul = types.SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
    fp32_precision="none",
)
_flash, _efficient, _math = (
    _switch(f"{kind} attention", True) for kind in ("flash", "memory efficient", "plain")
)

cuda = _backend(
    "cuda",
    "No GPU.",
    matmul=_matmul,
    is_built=lambda: False,
    flash_sdp_enabled=_flash[0],
    enable_flash_sdp=_flash[1],
    mem_efficient_sdp_enabled=_efficient[0],
    enable_mem_efficient_sdp=_efficient[1],
    math_sdp_enabled=_math[0],
    enable_math_sdp=_math[1],
)
cudnn = _backend(
    "cudnn",
    "No cuDNN.",
    version=lambda: None,
    enabled=True,
    benchmark=False,
    benchmark_limit=10,
    deterministic=False,
    allow_tf32=True,
)
mps = _backend("mps", "No Metal.", is_built=lambda: False)
mkl = _backend("mkl", "No MKL.")
mkldnn = _backend("mkldnn", "No oneDNN.", enabled=False, deterministic=True, allow_tf32=False)
openmp = _backend("openmp", "No OpenMP: the threads are dlgrad's own.")
opt_einsum = _backend(
    "opt_einsum", "einsum contracts from left to right.", enabled=False, strategy=None
)
mha = _backend(
    "mha",
    "Fused attention.",
    True,
    get_fastpath_enabled=lambda: True,
    set_fastpath_enabled=lambda value: None,
)


def _capability():
    from .. import cpu_level

    return cpu_level()


cpu = _backend("cpu", "What the CPU can do.", True, get_cpu_capability=_capability)
