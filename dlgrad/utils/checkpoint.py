"""Checkpointing (PyTorch's `torch.utils.checkpoint`): see `dlgrad.autograd.checkpoint`."""

from ..autograd.checkpoint import (  # noqa: F401
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    noop_context_fn,
)

__all__ = ["checkpoint", "checkpoint_sequential", "CheckpointError", "noop_context_fn"]
