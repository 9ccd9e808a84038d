"""Parameters as one vector."""

from __future__ import annotations

import dlgrad
from dlgrad import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters):
    """All parameters, flattened, one after the other; differentiable."""
    return dlgrad.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec, parameters):
    """Makes the pieces of `vec` the data of the parameters (they share its memory)."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        if end > vec.numel():
            raise RuntimeError(
                f"vector_to_parameters: the vector has {vec.numel()} elements, the parameters more"
            )
        parameter.data = vec[start:end].view_as(parameter).data
        start = end
