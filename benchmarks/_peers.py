"""Other telemetry pipelines, each a program of its own in ``peers/``, built once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import wasmtime

__all__ = ["KINDS", "Kind", "Peer", "PeerError", "answer", "cache"]

_FOLDER = Path(__file__).with_name("peers")
_BUILD_SECONDS = 1_800


class PeerError(Exception):
    """A peer cannot be had, or does not do what it says."""


def _go(source: Path, into: Path) -> None:
    environment = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOMODCACHE": str(into / "modules"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    _run(["go", "build", "-mod=readonly", "-trimpath", "-o", into / "peer", "."], source, environment)
    # The downloads are not kept: the program is what counts.
    shutil.rmtree(into / "modules", ignore_errors=True)
    for text in source.glob("*.wat"):
        (into / text.with_suffix(".wasm").name).write_bytes(wasmtime.wat2wasm(text.read_text(encoding="utf-8")))


def _rust(source: Path, into: Path) -> None:
    target = into / "target"
    _run(["cargo", "build", "--release", "--locked"], source, {"CARGO_TARGET_DIR": str(target)})
    shutil.copy2(target / "release" / source.name, into / "peer")
    shutil.rmtree(target)


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the peers.

    Attributes:
        name: What it is called.
        folder: Its sources, below ``peers/``.
        tool: What builds it.
        build: Builds the program ``peer`` from a folder of sources into another folder.
        version: Where its version stands: a file, and a pattern that finds it there.
        files: What its program is given, from the folder where it was built.
    """

    name: str
    folder: str
    tool: str
    build: Callable[[Path, Path], None]
    version: tuple[str, str]
    files: Sequence[str] = ()

    def full_name(self) -> str:
        """Give the name with the version that is pinned."""
        file, pattern = self.version
        found = re.search(pattern, (_FOLDER / self.folder / file).read_text(encoding="utf-8"), re.MULTILINE)
        assert found is not None
        return f"{self.name} {found[1]}"


KINDS: Mapping[str, Kind] = {
    kind.folder: kind
    for kind in (
        Kind("OTel Go SDK", "go_otel", "go", _go, ("go.mod", r"^\s*go\.opentelemetry\.io/otel/sdk v(\S+)")),
        Kind("OTel Rust SDK", "rust_otel", "cargo", _rust, ("Cargo.lock", r'"opentelemetry_sdk"\nversion = "([^"]+)"')),
        Kind("observe-sdk Go", "go_observe", "go", _go, ("go.mod", r"observe-sdk/go v\S+-(\w{7})\w*"), ("guest.wasm",)),
    )
}


class Peer:
    """A running peer. Use it as a context manager.

    Raises:
        PeerError: It cannot be built or started here.
    """

    def __init__(self, kind: Kind) -> None:
        self.name = kind.full_name()
        built = _built(kind)
        self._process = subprocess.Popen(
            [built / "peer", *(built / file for file in kind.files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, operation: str, count: int, *, comes_out: bool) -> int:
        """Have it do something a number of times.

        Args:
            operation: Its name for it.
            count: How many times.
            comes_out: Whether a record has to come out for each.

        Returns:
            The CPU time that it took, in ns.

        Raises:
            PeerError: It failed, or lost records.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(f"{operation} {count}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(f"{self.name} ended with exit code {process.wait()} when asked for {operation}")
        return answer(self.name, line, count if comes_out else None)

    def __enter__(self) -> Self:
        """Give the peer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def answer(name: str, line: str, records: int | None) -> int:
    """Read a peer's line of JSON and give the ns that it took.

    Args:
        name: The peer's name, for the error.
        line: What it printed.
        records: How many have to have come out, or None if none do.

    Raises:
        PeerError: Another number came out: the time is then that of less work.
    """
    said = json.loads(line)
    if records is not None and said["records"] != records:
        raise PeerError(f"{name} lost records: {said['records']} of {records} came out ({said['operation']})")
    return int(said["cpu_ns"])


def cache() -> Path:
    """Where what is built is kept: the rule is the one in script/_common.sh."""
    home_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("WASMSCOPE_CACHE") or Path(home_cache, "wasmscope"))


def _built(kind: Kind) -> Path:
    """The folder with the program, which is built if it is not there yet."""
    source = _FOLDER / kind.folder
    # What cargo makes by hand in the checkout is no source.
    files = sorted(
        path for path in source.rglob("*") if path.is_file() and "target" not in path.relative_to(source).parts
    )
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    place = cache() / f"peer-{kind.folder}-{key[:12]}"
    if not place.exists():
        if shutil.which(kind.tool) is None:
            raise PeerError(f"there is no {kind.tool} on this machine")
        print(f"Building {kind.name} for comparison into {place}: about a minute", file=sys.stderr)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=place.name, dir=place.parent) as around:
            # It gets its name when it is complete: an interrupted run leaves nothing half done.
            made = Path(around, "made")
            made.mkdir()
            kind.build(source, made)
            made.rename(place)
    return place


def _run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
    program = str(command[0])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{program} took more than {_BUILD_SECONDS} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise PeerError(f"{program} could not build it: {lines[-1] if lines else f'exit code {done.returncode}'}")
