"""Which names there are at the top level."""

import inspect

import pytest
import torch

import dlgrad

OURS = {  # and why PyTorch has none of that name
    "cpu_level", "empty_cache", "memory_stats", "reset_peak_memory_stats",  # of the kernels and the allocator
    "get_printoptions", "printoptions",  # NumPy has them (PyTorch in torch._tensor_str)
    "annotations", "datasets", "dtypes", "interop", "layout", "plan", "printing", "serialization", "storage",  # modules
}  # fmt: skip


def test_every_public_name_is_pytorchs():
    public = {name for name in dir(dlgrad) if not name.startswith("_")}
    lazy = set(dlgrad._LAZY) | set(dlgrad._METHODS) | set(dlgrad._SUBMODULES)
    names = {name for name in public | lazy if not name.startswith("_")}
    modules = {n for n in names if inspect.ismodule(getattr(dlgrad, n))}
    assert {n for n in names - modules if not hasattr(torch, n)} <= OURS
    for name in names:
        assert callable(getattr(torch, name, None)) is callable(getattr(dlgrad, name)) or name in OURS, name


@pytest.mark.parametrize("name", ["unsqueeze", "gather", "flip", "select", "narrow", "scatter", "bincount"])
def test_what_is_no_tensor_is_named(name):
    arguments = {"gather": (0, 1), "select": (0, 0), "narrow": (0, 0, 1), "scatter": (0, 1, 2)}.get(name, (0,))
    with pytest.raises(TypeError, match=name):
        getattr(torch, name)([1.0], *arguments)
    with pytest.raises(TypeError, match=rf"{name}\(\): .*must be Tensor, not list"):
        getattr(dlgrad, name)([1.0], *arguments)
