"""Utilities: `data` (datasets and loaders), `hooks`, `checkpoint`."""

from __future__ import annotations

import importlib

_SUBMODULES = frozenset(("data", "hooks", "checkpoint"))


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'dlgrad.utils' has no attribute {name!r}")
