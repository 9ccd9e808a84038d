"""Modules under transforms: several as one, batch norms without running statistics; functionalize."""

from __future__ import annotations

import functools

from ..batched import every_member
from ..layout import Layout

__all__ = ["debug_unwrap", "functionalize", "replace_all_batch_norm_modules_", "stack_module_state"]


def stack_module_state(models):
    """(parameters, buffers) of modules of one class, stacked: {name: tensor of shape (number of models, ...)}.

    For an ensemble: `vmap(lambda p, b, x: functional_call(base, (p, b), x), (0, 0, None))`. The stacked
    parameters are new leaves. Raises RuntimeError for no models, different classes, or where some are in
    training and some in evaluation mode."""
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({bool(m.training) for m in models}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {name: _stacked(name, [p[name] for p in parameters]) for name in parameters[0]},
        {name: _stacked(name, [b[name] for b in buffers]) for name in buffers[0]},
    )


def _stacked(name, tensors):
    from ..ops.joining import stack

    wants = [t.requires_grad for t in tensors]
    if any(wants) and not all(wants):
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    return stack([t.detach() for t in tensors]).requires_grad_(all(wants))


def functionalize(func, *, remove="mutations"):
    """`func` as it is: transforms here follow in-place writes and views themselves. remove: accepted."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are: "
            "remove='mutations', remove='mutations_and_views'"
        )

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        return func(*args, **kwargs)

    return wrapper


def replace_all_batch_norm_modules_(root):
    """Makes all batch norms in `root` work without running statistics, in place: under vmap these cannot be updated.
    Returns root."""
    from ..nn.normalization import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def debug_unwrap(tensor, *, recurse=True):
    """All members of a tensor inside of vmap, the batch's dimensions in front, to look at in a debugger."""
    return tensor if type(tensor._layout) is Layout else every_member(tensor)
