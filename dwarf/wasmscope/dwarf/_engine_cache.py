"""The engine's compiled form, kept from run to run: compiling takes some 100 ms, loading 1 ms."""

from __future__ import annotations

import os
import stat
import sys
import zlib
from time import time
from typing import Final

__all__ = ["EngineCache"]

_SUFFIX: Final = ".cwasm"
_CHECKSUM_BYTES: Final = 4
_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)
# Of a named pipe: opening it would wait for a writer.
_NO_WAITING: Final = getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)
_HAS_DESCRIPTORS: Final = os.open in os.supports_dir_fd
_MOST_FILES: Final = 16
_SECONDS_A_DAY: Final = 86_400
_MOST_BYTES: Final = 64 * 1024 * 1024


class EngineCache:
    """A folder with files of native code, which whoever could write to it could have us run.

    So nothing is read, or written, unless the folder and the file are the user's own, nobody else can write to them and
    neither is a link. Everything in it can be deleted at any time. What fails is left out: then the engine is compiled.
    """

    def __init__(self, folder: str | None) -> None:
        """Name the folder.

        Args:
            folder: It is made when the first file is written. None: nothing is kept.
        """
        self._folder = folder

    @classmethod
    def default(cls) -> EngineCache:
        """Give that of the user: ``wasmscope/engine`` in ``XDG_CACHE_HOME``, or in ``~/.cache``.

        Source: https://specifications.freedesktop.org/basedir-spec/latest/
        """
        home = os.environ.get("XDG_CACHE_HOME", "")
        # The specification: relative ones are to be ignored.
        if not os.path.isabs(home):
            user = os.path.expanduser("~")
            home = os.path.join(user, ".cache") if os.path.isabs(user) else ""
        return cls(os.path.join(home, "wasmscope", "engine") if home else None)

    def key(self, code: bytes, runtime: str) -> str:
        """Name what was compiled, by whom and for what.

        Args:
            code: The engine's module.
            runtime: What compiled it.
        """
        import _blake2  # hashlib costs 5 ms, for what it does not need here

        machine = f"{runtime} {sys.platform} {_processor()}".encode()
        return _blake2.blake2b(code, digest_size=16, key=_blake2.blake2b(machine).digest()).hexdigest()

    def load(self, key: str) -> bytes | None:
        """Read a file; None if it is not there or not to be trusted."""
        try:
            folder = self._open_folder()
        except OSError:
            return None
        try:
            file = os.open(
                folder.path(key + _SUFFIX), os.O_RDONLY | _NO_LINKS | _NO_WAITING | _BINARY, dir_fd=folder.descriptor
            )
            try:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode) or not _is_ours(found) or found.st_size > _MOST_BYTES:
                    return None
                checksum = os.read(file, _CHECKSUM_BYTES)
                compiled = os.read(file, found.st_size)
                if time() - found.st_mtime > _SECONDS_A_DAY:
                    # So that what is used is not the oldest.
                    os.utime(file)
            finally:
                os.close(file)
        except OSError:
            return None
        finally:
            folder.close()
        # A disk's fault, not an enemy's: who can write here has no need to forge anything.
        return compiled if compiled and checksum == _checksum(compiled) else None

    def save(self, key: str, data: bytes) -> None:
        """Write a file, if that is possible, and delete the oldest if there are too many."""
        if self._folder is None:
            return
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            folder = self._open_folder()
        except OSError:
            return
        try:
            _write(folder, key + _SUFFIX, _checksum(data) + data)
            _tidy(folder)
        except OSError:
            pass
        finally:
            folder.close()

    def _open_folder(self) -> _Folder:
        if self._folder is None:
            raise FileNotFoundError
        return _Folder(self._folder)


class _Folder:
    """A folder that is the user's own, so that what is opened in it is in it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor: int | None = None
        if not _HAS_DESCRIPTORS:  # Windows, where a user's folders are the user's
            return
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS)
        if not _is_ours(os.fstat(self.descriptor)):
            self.close()
            raise PermissionError

    def path(self, name: str) -> str:
        """Give what to open a file by, together with the descriptor."""
        return os.path.join(self._path, name) if self.descriptor is None else name

    def names(self) -> list[str]:
        return os.listdir(self._path if self.descriptor is None else self.descriptor)

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _is_ours(found: os.stat_result) -> bool:
    if not _HAS_DESCRIPTORS:
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(folder: _Folder, name: str, data: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    made = f".{name}.{os.getpid()}.{int.from_bytes(os.urandom(8)):x}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS | _BINARY
    file = os.open(folder.path(made), flags, 0o600, dir_fd=folder.descriptor)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
        finally:
            os.close(file)
        os.replace(folder.path(made), folder.path(name), src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
    except OSError:
        os.unlink(folder.path(made), dir_fd=folder.descriptor)
        raise


def _tidy(folder: _Folder) -> None:
    """Delete the oldest files, those of interrupted runs too, until few enough are left."""
    found: list[tuple[int, int, str]] = []
    for name in folder.names():
        try:
            status = os.stat(folder.path(name), dir_fd=folder.descriptor, follow_symlinks=False)
        except OSError:
            continue  # deleted by another process
        found.append((status.st_mtime_ns, status.st_size, name))
    found.sort(reverse=True)
    size = 0
    for number, (_, bytes_, name) in enumerate(found):
        size += bytes_
        if number >= _MOST_FILES or size > _MOST_BYTES:
            try:
                os.unlink(folder.path(name), dir_fd=folder.descriptor)
            except OSError:
                continue


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")


def _processor() -> str:
    """Tell this machine's processor from others that share a home folder with it."""
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER", "")
    features = ""
    try:
        file = os.open("/proc/cpuinfo", os.O_RDONLY)
    except OSError:
        pass  # not Linux: there, wasmtime alone looks at the features
    else:
        try:
            # The first processor's lines, but for those that change from moment to moment.
            lines = os.read(file, 4096).decode("ascii", "replace").splitlines()
            features = " ".join(line for line in lines if line.startswith(("flags", "Features", "model name")))
        finally:
            os.close(file)
    return f"{os.uname().machine} {features}"
