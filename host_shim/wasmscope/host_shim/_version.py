"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version

__all__ = ["version"]


def version() -> str:
    """Give wasmscope's version; ``0`` in a source tree that is not installed."""
    try:
        return distribution_version("wasmscope")
    except PackageNotFoundError:
        return "0"
