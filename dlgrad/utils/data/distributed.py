"""PyTorch's file name for DistributedSampler."""

from .sampler import DistributedSampler

__all__ = ["DistributedSampler"]
