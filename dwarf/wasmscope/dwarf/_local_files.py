"""Files that a module or a build id leads to, on this machine.

The names come from modules, so they may be hostile: nothing is opened that is not a regular file, and nothing is read
without a bound.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from wasmscope.errors import DebugInfoError

__all__ = ["is_regular", "local_path", "read_file", "shown"]

_MAX_SHOWN: Final = 200


def local_path(url: str, folder: str | None) -> str:
    """Find the local file that a URL in a module means.

    Args:
        url: A URL or a path, absolute or relative to the module.
        folder: Where the module is; None if it is in no file.

    Returns:
        The path. There may be no such file.

    Raises:
        DebugInfoError: If the URL does not mean a local file.
    """
    scheme, colon, rest = url.partition(":")
    # A single letter is a drive of Windows.
    if colon and len(scheme) > 1 and scheme.replace("+", "a").replace("-", "a").replace(".", "a").isalnum():
        if scheme.lower() != "file":
            raise DebugInfoError(
                f"{shown(url)} is not fetched: only local files are read; download it and name the file"
            )
        host, _, path = rest.removeprefix("//").partition("/") if rest.startswith("//") else ("", "", rest.lstrip("/"))
        if host not in ("", "localhost"):
            raise DebugInfoError(f"{shown(url)} is on another machine")
        return "/" + _unquoted(path)
    if folder is None and not os.path.isabs(url):
        raise DebugInfoError(f"{shown(url)} is relative to the module, and the module was not read from a file")
    path = os.path.join(folder or "", url)
    if not is_regular(path):
        # A URL, perhaps: with escapes, or with a query that keeps browsers from using an old copy.
        unquoted = os.path.join(folder or "", _unquoted(url.partition("#")[0].partition("?")[0]))
        if is_regular(unquoted):
            return unquoted
    return path


def is_regular(path: str) -> bool:
    """Tell whether there is a regular file, or a link to one."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False


def read_file(path: str, max_bytes: int) -> bytes:
    """Read a whole file.

    Args:
        path: Where it is.
        max_bytes: How large it may be.

    Raises:
        DebugInfoError: If it is not there, is not a regular file, cannot be read, or is too large.
    """
    try:
        # O_NONBLOCK: a pipe that nobody writes to would be waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DebugInfoError(f"{shown(path)} is not a regular file")
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise DebugInfoError(f"{shown(path)} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise DebugInfoError(f"{shown(path)} cannot be read: it has a NUL in its name") from None
    if len(data) > max_bytes:
        raise DebugInfoError(f"{shown(path)} has more than {max_bytes:,} bytes")
    return data


def shown(text: str) -> str:
    """Make a path or URL fit for a message: on one line, not endless, and without control characters."""
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    return cut if cut.isprintable() else repr(cut)


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote_to_bytes

    # A name is bytes, which need not be UTF-8.
    return os.fsdecode(unquote_to_bytes(text))
