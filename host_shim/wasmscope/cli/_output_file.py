"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wasmscope.cli._exits import OWN_FAILURE, CommandError

__all__ = ["is_same_file", "write_file"]


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths name one file, by links or by different spellings; no file is the same as one that is not."""
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False


def write_file(path: str, data: bytes, *, mode: int, check: Callable[[str], None] | None = None) -> None:
    """Write a file under another name beside its place, look at it, and put it in its place.

    Until then what was there stays, whatever goes wrong. A link is followed; what is no regular file, as
    ``/dev/stdout``, is simply written to.

    Args:
        path: Where.
        data: What.
        mode: Permissions of a new file; one that is there keeps its own.
        check: Called with the name of the file when it is written and not yet in its place; raises if it is not right.

    Raises:
        CommandError: If it cannot be written.
    """
    try:
        target = Path(path).resolve()
        try:
            there = target.stat()
        except FileNotFoundError:
            there = None
        if there is not None and not stat.S_ISREG(there.st_mode):
            if stat.S_ISDIR(there.st_mode):
                raise CommandError(f"{path}: this is a folder; name a file in it", exit_code=OWN_FAILURE)
            target.write_bytes(data)
            return
        _replace(target, data, stat.S_IMODE(there.st_mode) if there is not None else mode, check)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandError(f"{path}: cannot be written: {reason}", exit_code=OWN_FAILURE) from None


def _replace(target: Path, data: bytes, mode: int, check: Callable[[str], None] | None) -> None:
    # Not tempfile: its files are for their owner alone, and a module is often not. 50 characters: at most 200 bytes.
    temporary = target.with_name(f".{target.name[:50]}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        if check is not None:
            check(str(temporary))
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
