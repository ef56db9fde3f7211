"""Large modules with full debug information, fetched or built once and kept in the cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _peers import PeerError, cache

__all__ = ["LARGE", "Large"]

_SECONDS = 1_800
_RUBY = "@ruby/3.4-wasm-wasi@2.10.1"
# The wheel has no test data, and an empty one of these: the code counts, not whether its tests would pass.
_CRYPTO_TEST = """\
const std = @import("std");
pub fn assertEqualHash(
    comptime Hasher: anytype,
    comptime expected: *const [Hasher.digest_length * 2:0]u8,
    input: []const u8,
) !void {
    var digest: [Hasher.digest_length]u8 = undefined;
    Hasher.hash(input, &digest, .{});
    try assertEqual(expected, &digest);
}
pub fn assertEqual(comptime expected: [:0]const u8, input: []const u8) !void {
    var bytes: [expected.len / 2]u8 = undefined;
    _ = try std.fmt.hexToBytes(&bytes, expected);
    try std.testing.expectEqualSlices(u8, &bytes, input);
}
"""


@dataclass(frozen=True, slots=True)
class Large:
    """A module.

    Attributes:
        name: What it is called.
        what: What is in it, in a few words.
        make: Makes it in a folder, as ``module.wasm``.
        key: Changes when it has to be made anew.
    """

    name: str
    what: str
    make: Callable[[Path], None]
    key: str

    def path(self) -> Path:
        """Give the module, made if it is not there yet.

        Raises:
            PeerError: It cannot be had here.
        """
        place = cache() / f"bench-{self.name}-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"
        if not place.exists():
            print(f"Getting the module {self.name} into {place}: a minute or two", file=sys.stderr)
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=place.name, dir=place.parent) as around:
                # It gets its name when it is complete: an interrupted run leaves nothing half done.
                made = Path(around, "made")
                made.mkdir()
                self.make(made)
                made.rename(place)
        return place / "module.wasm"


def _ruby(into: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _run(["npm", "pack", "--silent", _RUBY], Path(folder))
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as opened:
            member = opened.extractfile("package/dist/ruby.debug+stdlib.wasm")
            if member is None:
                raise PeerError(f"{_RUBY} has no ruby.debug+stdlib.wasm")
            with member, (into / "module.wasm").open("wb") as out:
                shutil.copyfileobj(member, out)


def _zig(into: Path) -> None:
    program = shutil.which("zig-for-guests")
    if program is None:
        raise PeerError("there is no Zig; get it with: script/setup toolchains")
    library = Path(program).resolve().parent / "lib"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "lib")
        copy.mkdir()
        for name in ("std", "compiler_rt"):
            shutil.copytree(library / name, copy / name)
        for file in library.glob("*.zig"):
            shutil.copy2(file, copy)
        shutil.copytree(library / "compiler", copy / "compiler")
        (copy / "std" / "crypto" / "test.zig").write_text(_CRYPTO_TEST, encoding="utf-8")
        for source in (copy / "std").rglob("*.zig"):
            for name in re.findall(r'@embedFile\("([^"]+)"\)', source.read_text(encoding="utf-8")):
                file = source.parent / name
                if not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(b"")
        target = ["-target", "wasm32-wasi", f"-femit-bin={into / 'module.wasm'}"]
        _run([program, "test", "--test-no-exec", *target, "--zig-lib-dir", "lib", "lib/std/std.zig"], Path(folder))


LARGE = (
    Large("ruby", "Ruby 3.4: C, hundreds of units", _ruby, _RUBY),
    Large("zig-std", "the tests of Zig's library: two units", _zig, "ziglang 0.17.1, 1"),
)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise PeerError(f"there is no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise PeerError(f"{Path(command[0]).name} took more than {_SECONDS} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise PeerError(f"{Path(command[0]).name} failed: {lines[0]}")
