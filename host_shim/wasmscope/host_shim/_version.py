"""The versions of installed distributions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version

__all__ = ["version"]


def version(distribution: str = "wasmscope") -> str:
    """Give a distribution's version; ``0`` in a source tree that is not installed."""
    try:
        return distribution_version(distribution)
    except PackageNotFoundError:
        return "0"
