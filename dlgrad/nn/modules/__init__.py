"""PyTorch's file names for the layers: `dlgrad.nn.modules.batchnorm.BatchNorm2d` and so on.

The layers are in the files beside this folder; each of PyTorch's names is an alias of one of them.
"""

from __future__ import annotations

import importlib
import sys

# PyTorch's file -> ours
_ALIASES = {
    "module": "module",
    "container": "containers",
    "linear": "linear",
    "conv": "conv",
    "pooling": "pooling",
    "normalization": "normalization",
    "batchnorm": "normalization",
    "instancenorm": "normalization",
    "activation": "activation",
    "dropout": "dropout",
    "sparse": "sparse",
    "loss": "loss",
    "rnn": "rnn",
    "transformer": "transformer",
    "flatten": "vision",
    "padding": "vision",
    "upsampling": "vision",
    "pixelshuffle": "vision",
    "channelshuffle": "vision",
    "fold": "vision",
    "distance": "vision",
    "adaptive": "adaptive",
    "linear_cross_entropy_options": "factory",
    "lazy": "lazy",
    "utils": "_sizes",
}
_parent = __name__.rpartition(".")[0]

for _name, _file in _ALIASES.items():
    _module = importlib.import_module("." + _file, _parent)
    sys.modules[f"{__name__}.{_name}"] = _module
    globals()[_name] = _module


def __getattr__(name):
    try:
        return getattr(sys.modules[_parent], name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
