"""Anomaly detection: errors of the backward pass name the forward line they come from."""

from __future__ import annotations

import warnings

from . import graph

__all__ = ["detect_anomaly", "set_detect_anomaly", "is_anomaly_enabled", "is_anomaly_check_nan_enabled"]


def _set(value):
    graph.anomaly = value
    graph._refresh_special()


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return graph.anomaly is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection also looks for nan."""
    return bool(graph.anomaly)


class detect_anomaly:  # noqa: N801
    """Inside, each operation remembers the line that ran it. An error in its backward is then
    preceded by that traceback, and a gradient that is nan raises RuntimeError (check_nan=True).

    Slow: for debugging only. A context manager."""

    def __init__(self, check_nan=True):
        self.check_nan = bool(check_nan)
        self.before = graph.anomaly
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only "
            "be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self):
        self.before = graph.anomaly
        _set(self.check_nan)

    def __exit__(self, *exc):
        _set(self.before)


class set_detect_anomaly:  # noqa: N801
    """Switches anomaly detection on or off at once; as a context manager it is restored at the end."""

    def __init__(self, mode: bool, check_nan: bool = True):
        self.before = graph.anomaly
        _set(bool(check_nan) if mode else None)

    def __enter__(self):
        pass

    def __exit__(self, *exc):
        _set(self.before)
