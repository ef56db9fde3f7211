"""Exporters and other parts that packages register under names (entry points)."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points

from wasmscope.errors import ConfigurationError

__all__ = ["check_names", "is_registered", "listed", "load", "one_line"]


def listed(variable: str) -> list[str]:
    """Give the names in a comma-separated environment variable, without ``none``."""
    names = (name.strip() for name in os.environ.get(variable, "").split(","))
    return [name for name in names if name and name.lower() != "none"]


def load(variable: str, group: str, name: str) -> Callable[..., object]:
    """Load what is registered under a name.

    Args:
        variable: The environment variable that has the name, for the message.
        group: The entry point group.
        name: The name.

    Raises:
        ConfigurationError: If there is no such name, or it cannot be loaded.
    """
    check_names(variable, group, [name])
    (entry, *_) = entry_points(group=group, name=name)
    try:
        loaded: Callable[..., object] = entry.load()
    except Exception as error:
        raise ConfigurationError(
            f"{variable}={name}: {entry.value} cannot be loaded ({one_line(error)}); "
            "is the package that it is from complete?"
        ) from error
    return loaded


def one_line(error: Exception) -> str:
    """Give what an error says without its line breaks."""
    return " ".join(str(error).split())


def is_registered(group: str, name: str) -> bool:
    """Whether some package registers a name."""
    return bool(entry_points(group=group, name=name))


def check_names(variable: str, group: str, names: list[str]) -> None:
    """Refuse names under which nothing is registered.

    Raises:
        ConfigurationError: If there is one; the message has those that exist.
    """
    for name in names:
        if not is_registered(group, name):
            known = sorted({entry.name for entry in entry_points(group=group)})
            raise ConfigurationError(
                f"{variable}={name!r}: nothing of that name is installed; there are: {', '.join([*known, 'none'])}"
            )
