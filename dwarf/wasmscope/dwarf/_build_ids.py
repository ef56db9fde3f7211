"""A store of debug files, each under the build id of the module it belongs to.

The layout is the one that gdb and others use for ELF, with a suffix of our own: ``<folder>/ab/cdef….debug.wasm``.

Source: https://sourceware.org/gdb/current/onlinedocs/gdb.html/Separate-Debug-Files.html
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

from wasmscope.dwarf._local_files import is_regular

__all__ = ["DEBUG_PATH", "debug_path", "find_by_build_id", "new_file", "save_by_build_id", "store_path"]

DEBUG_PATH: Final = "WASMSCOPE_DEBUG_PATH"
"""The environment variable that names folders of debug files, joined by ``os.pathsep``."""
_MIN_ID_BYTES: Final = 2  # one names a folder, one a file
_MAX_ID_BYTES: Final = 64
_SUFFIX: Final = ".debug.wasm"


def debug_path(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Read the folders of debug files from the environment, in order; empty entries count for nothing.

    Args:
        environment: Where `DEBUG_PATH` is looked up; None for the process's environment.
    """
    value = (os.environ if environment is None else environment).get(DEBUG_PATH, "")
    return tuple(folder for folder in value.split(os.pathsep) if folder)


def store_path(folder: str, build_id: bytes) -> str | None:
    """Give the place of a debug file in a store; None if a build id is too short or too long to have one.

    Args:
        folder: The store.
        build_id: As the module has it.
    """
    if not _MIN_ID_BYTES <= len(build_id) <= _MAX_ID_BYTES:
        return None
    digits = build_id.hex()
    return os.path.join(folder, digits[:2], digits[2:] + _SUFFIX)


def find_by_build_id(folders: Sequence[str], build_id: bytes) -> str | None:
    """Find a debug file; whether it fits the module is for its reader to check.

    Args:
        folders: The stores; the first one that has it serves.
        build_id: As the module has it.
    """
    for folder in folders:
        path = store_path(folder, build_id)
        if path is not None and is_regular(path):
            return path
    return None


def save_by_build_id(folder: str, build_id: bytes, data: bytes) -> str:
    """Put a debug file into a store, where others see either nothing or all of it.

    Args:
        folder: The store; it is made if it is not there.
        build_id: As the module has it.
        data: The file.

    Returns:
        Where it is.

    Raises:
        ValueError: If the build id is too short or too long.
        OSError: If it cannot be written.
    """
    with new_file(folder, build_id) as (file, path):
        file.write(data)
    return path


@contextmanager
def new_file(folder: str, build_id: bytes) -> Generator[tuple[BinaryIO, str]]:
    """Write a debug file into a store piece by piece. It is there when the block is left without an error.

    Args:
        folder: The store; it is made if it is not there.
        build_id: As the module has it.

    Yields:
        What to write to, and where it will be.

    Raises:
        ValueError: If the build id is too short or too long.
        OSError: If it cannot be written.
    """
    path = store_path(folder, build_id)
    if path is None:
        raise ValueError(f"a build id has {_MIN_ID_BYTES} to {_MAX_ID_BYTES} bytes, and not {len(build_id)}")
    beside = os.path.dirname(path)
    os.makedirs(beside, exist_ok=True)
    from tempfile import mkstemp

    descriptor, temporary = mkstemp(dir=beside, prefix=".new-")
    os.close(descriptor)
    try:
        with open(temporary, "wb") as file:
            yield file, path
        os.chmod(temporary, 0o644)  # mkstemp's files are for their owner alone, and people share stores
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
