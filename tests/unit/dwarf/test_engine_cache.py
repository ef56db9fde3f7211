"""The folder that the compiled engine is kept in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.dwarf_assembler import (
    COMPILE_UNIT,
    HIGH_PC,
    LOW_PC,
    NAME,
    SUBPROGRAM,
    Address,
    Data,
    Entry,
    Sections,
    Text,
)
from wasmscope.dwarf._engine import Engine
from wasmscope.dwarf._engine_cache import EngineCache


def answer(cache: EngineCache) -> str | None:
    """What an engine with this cache says."""
    made = Sections()
    body = Entry(SUBPROGRAM, {NAME: Text("found"), LOW_PC: Address(3), HIGH_PC: Data(17)})
    made.add_unit(Entry(COMPILE_UNIT, {}, [body]))
    with Engine(made.encode(), body_starts=[3], body_ends=[20], cache=cache) as engine:
        return engine.lookup([5])[0][0].function


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "cache" / "engine"


class TestFiles:
    """What is written and read."""

    def test_written_once(self, folder: Path) -> None:
        """The first engine is compiled and kept, by files that only the user can read; the next one is loaded."""
        assert answer(EngineCache(str(folder))) == "found"
        (file,) = folder.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        before = file.stat()
        assert answer(EngineCache(str(folder))) == "found"
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_round_trip(self, folder: Path) -> None:
        """What was saved under a key is loaded, byte for byte, and nothing else is."""
        cache = EngineCache(str(folder))
        cache.save("k", b"native code")
        assert cache.load("k") == b"native code"
        assert cache.load("other") is None

    @pytest.mark.parametrize("change", [b"", b"\0", b"\0\0\0\0", b"\0\0\0\0native code"])
    def test_damaged(self, folder: Path, change: bytes) -> None:
        """A file that is cut off or changed is not loaded."""
        cache = EngineCache(str(folder))
        cache.save("k", b"native code")
        next(folder.iterdir()).write_bytes(change)
        assert cache.load("k") is None

    def test_not_compiled_code(self, folder: Path) -> None:
        """A file that wasmtime refuses, as of another release, is compiled and written anew."""
        assert answer(EngineCache(str(folder))) == "found"
        (file,) = folder.iterdir()
        EngineCache(str(folder)).save(file.name.removesuffix(".cwasm"), b"made by another release")
        small = file.stat().st_size
        assert answer(EngineCache(str(folder))) == "found"
        assert file.stat().st_size > small

    def test_keys(self, folder: Path) -> None:
        """Another engine or another wasmtime has another key; the same ones have the same."""
        cache = EngineCache(str(folder))
        assert cache.key(b"engine", "lean 1") == cache.key(b"engine", "lean 1")
        assert len({cache.key(b"engine", "lean 1"), cache.key(b"engine", "lean 2"), cache.key(b"other", "lean 1")}) == 3

    def test_bounded(self, folder: Path) -> None:
        """Of many files the newest are kept, and what interrupted runs left goes, too."""
        cache = EngineCache(str(folder))
        cache.save("first", b"x")
        (folder / ".left.cwasm.1.2").write_bytes(b"half")
        for age, name in ((200, "first.cwasm"), (300, ".left.cwasm.1.2")):
            os.utime(folder / name, (age, age))
        for number in range(40):
            cache.save(f"k{number}", b"x")
            os.utime(folder / f"k{number}.cwasm", (1000 + number, 1000 + number))
        names = {file.name for file in folder.iterdir()}
        assert len(names) == 16
        assert {"k39.cwasm", "k25.cwasm"} <= names
        assert not names & {"first.cwasm", ".left.cwasm.1.2"}

    def test_used_files_stay(self, folder: Path) -> None:
        """A file that is used does not become the oldest."""
        cache = EngineCache(str(folder))
        cache.save("k", b"native code")
        os.utime(folder / "k.cwasm", (1000, 1000))
        assert cache.load("k") == b"native code"
        assert (folder / "k.cwasm").stat().st_mtime > 1000

    def test_deleted(self, folder: Path) -> None:
        """The folder can be deleted at any time."""
        assert answer(EngineCache(str(folder))) == "found"
        next(folder.iterdir()).unlink()
        folder.rmdir()
        assert answer(EngineCache(str(folder))) == "found"


class TestTrust:
    """Whose files are loaded: native code is run as it is."""

    @pytest.mark.parametrize("mode", [0o770, 0o707])
    def test_folder_that_others_write(self, folder: Path, mode: int) -> None:
        """A folder that others can write to is neither read nor written."""
        cache = EngineCache(str(folder))
        cache.save("k", b"native code")
        folder.chmod(mode)
        assert cache.load("k") is None
        cache.save("k2", b"native code")
        assert len(list(folder.iterdir())) == 1

    @pytest.mark.parametrize("mode", [0o660, 0o606])
    def test_file_that_others_write(self, folder: Path, mode: int) -> None:
        """A file that others can write to is not read."""
        cache = EngineCache(str(folder))
        cache.save("k", b"native code")
        next(folder.iterdir()).chmod(mode)
        assert cache.load("k") is None

    def test_link_to_a_folder(self, folder: Path, tmp_path: Path) -> None:
        """A link in place of the folder is not followed."""
        EngineCache(str(tmp_path / "real")).save("k", b"native code")
        folder.parent.mkdir()
        folder.symlink_to(tmp_path / "real")
        cache = EngineCache(str(folder))
        assert cache.load("k") is None
        cache.save("k2", b"native code")
        assert len(list((tmp_path / "real").iterdir())) == 1

    def test_link_to_a_file(self, folder: Path, tmp_path: Path) -> None:
        """A link in place of a file is not followed; saving replaces the link, and not what it leads to."""
        cache = EngineCache(str(folder))
        cache.save("k", b"native code")
        (file,) = folder.iterdir()
        target = tmp_path / "target"
        file.rename(target)
        before = target.read_bytes()
        file.symlink_to(target)
        assert cache.load("k") is None
        cache.save("k", b"new code")
        assert target.read_bytes() == before
        assert cache.load("k") == b"new code"

    def test_not_a_file(self, folder: Path) -> None:
        """What is no file is not read; a named pipe does not stop the program."""
        folder.mkdir(parents=True, mode=0o700)
        os.mkfifo(folder / "k.cwasm", 0o600)
        assert EngineCache(str(folder)).load("k") is None

    def test_folder_of_others(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder that belongs to somebody else is not used."""
        cache = EngineCache(str(folder))
        cache.save("k", b"native code")
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        assert cache.load("k") is None


class TestPlace:
    """Where the folder is."""

    def test_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is in XDG_CACHE_HOME, if that is absolute, else in .cache in the home folder."""
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        for value, place in ((str(tmp_path / "xdg"), tmp_path / "xdg"), ("relative", tmp_path / "home" / ".cache")):
            monkeypatch.setenv("XDG_CACHE_HOME", value)
            EngineCache.default().save("k", b"x")
            assert [file.name for file in (place / "wasmscope" / "engine").iterdir()] == ["k.cwasm"]

    def test_no_place(self) -> None:
        """Without a place the engine works."""
        assert answer(EngineCache(None)) == "found"

    def test_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        """Where nothing can be made, the engine works."""
        (tmp_path / "file").write_text("in the way")
        assert answer(EngineCache(str(tmp_path / "file" / "engine"))) == "found"
