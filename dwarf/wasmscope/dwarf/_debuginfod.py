"""Debug files from servers that speak debuginfod's protocol. Nobody is asked unless the application says so.

Source: https://sourceware.org/elfutils/Debuginfod.html and debuginfod(8): ``GET <url>/buildid/<hex>/debuginfo``
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Final

from wasmscope.dwarf._build_ids import new_file, store_path
from wasmscope.dwarf._local_files import shown
from wasmscope.errors import ConfigurationError, DebugInfoError, ModuleFormatError

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

__all__ = ["DEBUGINFOD_URLS", "check_urls", "debuginfod_urls", "fetch"]

DEBUGINFOD_URLS: Final = "DEBUGINFOD_URLS"
"""The environment variable that names servers, with spaces between them, as for all clients of debuginfod."""
_ANSWER_TIMEOUT_S: Final = 10.0
"""How long a server may keep silent."""
_DEADLINE_S: Final = 120.0
"""How long all servers together may take."""
_MAX_BYTES: Final = 1 << 30
_PIECE_BYTES: Final = 1 << 20


def debuginfod_urls(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Read the servers from the environment.

    Args:
        environment: Where `DEBUGINFOD_URLS` is looked up; None for the process's environment.
    """
    return tuple((os.environ if environment is None else environment).get(DEBUGINFOD_URLS, "").split())


def fetch(
    urls: Sequence[str],
    build_id: bytes,
    folder: str,
    *,
    answer_timeout_s: float = _ANSWER_TIMEOUT_S,
    deadline_s: float = _DEADLINE_S,
    max_bytes: int = _MAX_BYTES,
) -> tuple[str | None, tuple[str, ...]]:
    """Ask servers for a debug file, and put it into a store.

    Args:
        urls: The servers, in the order in which they are asked.
        build_id: What is asked for. A file with another one, or none, is not taken.
        folder: The store.
        answer_timeout_s: How long a server may keep silent, in seconds.
        deadline_s: How long all of it may take, in seconds.
        max_bytes: How large a file may be.

    Returns:
        Where the file is now, or None; and a line for each server that did not give it.

    Raises:
        ConfigurationError: If a URL is not one of http or https.
    """
    bases = check_urls(urls)
    if store_path(folder, build_id) is None:
        return None, (f"no server is asked for a build id of {len(build_id)} bytes",)
    order = _Order(build_id, folder, _opener(), answer_timeout_s, monotonic() + deadline_s, max_bytes)
    # In a thread, because nothing else bounds how long a name server, or a server that sends one letter after the other
    # of its headers, is waited for.
    worker = Thread(target=order.ask, args=(bases,), name="wasmscope-debuginfod", daemon=True)
    worker.start()
    worker.join(deadline_s + 1)
    if worker.is_alive():
        order.notes.append(f"no debug file came within {deadline_s:g} s")
    return order.path, tuple(order.notes)


def check_urls(urls: Sequence[str]) -> list[str]:
    """Check servers' URLs, and give them without a slash at the end.

    Raises:
        ConfigurationError: If one is not of http or https.
    """
    return [_checked(url) for url in urls]


class _Order:
    """One debug file that is wanted."""

    def __init__(
        self,
        build_id: bytes,
        folder: str,
        opener: OpenerDirector,
        answer_timeout_s: float,
        deadline: float,
        max_bytes: int,
    ) -> None:
        self.path: str | None = None
        self.notes: list[str] = []
        self._build_id = build_id
        self._folder = folder
        self._opener = opener
        self._answer_timeout_s = answer_timeout_s
        self._deadline = deadline
        self._max_bytes = max_bytes

    def ask(self, bases: Sequence[str]) -> None:
        """Ask one server after the other, until one has the file."""
        for base in bases:
            try:
                with new_file(self._folder, self._build_id) as (file, path):
                    self._download(f"{base}/buildid/{self._build_id.hex()}/debuginfo", file)
                    file.flush()
                    _check_build_id(file.name, self._build_id)
                self.path = path
                return
            except DebugInfoError as error:
                self.notes.append(f"{base}: {error}")
            except _StoreError as error:
                self.notes.append(f"debug files cannot be kept in {shown(self._folder)}: {error}")
                return
            except OSError as error:
                # All of the network's errors have become the one above: this is the store's.
                self.notes.append(f"debug files cannot be kept in {shown(self._folder)}: {error.strerror or error}")
                return

    def _download(self, url: str, file: BinaryIO) -> None:
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError

        left = self._deadline - monotonic()
        if left <= 0:
            raise DebugInfoError("not asked, for the time is over")
        try:
            with self._opener.open(url, timeout=min(self._answer_timeout_s, left)) as answer:
                size = answer.headers.get("Content-Length", "")
                announced = int(size) if size.isdecimal() and len(size) < 20 else 0
                got = 0
                # read1 gives what has come, so that a server that sends a byte now and then is not waited for.
                while announced <= self._max_bytes and (piece := answer.read1(_PIECE_BYTES)):
                    got += len(piece)
                    if got > self._max_bytes or monotonic() > self._deadline:
                        break
                    _write(file, piece)
        except HTTPError as error:
            with error:
                raise DebugInfoError(
                    "it has no such file" if error.code == 404 else f"it answered {error.code}"
                ) from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise DebugInfoError(f"no answer that can be used: {shown(str(reason) or type(error).__name__)}") from None
        if max(announced, got) > self._max_bytes:
            raise DebugInfoError(f"the file has more than {self._max_bytes:,} bytes")
        if monotonic() > self._deadline:
            raise DebugInfoError("the file did not come in time")
        if got < announced:
            raise DebugInfoError(f"the answer was cut off after {got:,} of {announced:,} bytes")


def _checked(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if "@" in url:
        # Not shown: it may be a password.
        raise ConfigurationError("a debuginfod server's URL has an @: users and passwords in URLs are not supported")
    if not good or not url.isprintable() or " " in url or not url.isascii():
        raise ConfigurationError(
            f"{shown(url)} is not a debuginfod server: it takes a URL that begins with https:// or http://"
        )
    return url.rstrip("/")


def _opener() -> OpenerDirector:
    """Make an HTTP client that does not leave HTTP: urllib's own one also opens files and FTP."""
    from urllib import request

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "wasmscope")]
    return opener


class _StoreError(Exception):
    """The store's error while a server is read, whose errors are of the same kinds."""


def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise _StoreError(error.strerror or str(error)) from None


def _check_build_id(path: str, build_id: bytes) -> None:
    from wasmscope.wasm import Module

    try:
        with Module.open(path) as module:
            found = module.build_id()
    except ModuleFormatError as error:
        raise DebugInfoError(f"what came is no debug file: {error}") from None
    if found != build_id:
        what = "no build id" if found is None else f"the build id {found.hex()[:128]}"
        raise DebugInfoError(f"what came has {what}, and not the one that was asked for")
