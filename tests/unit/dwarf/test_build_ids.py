from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wasmscope.dwarf import debug_path, store_path
from wasmscope.dwarf._build_ids import find_by_build_id, new_file, save_by_build_id

ID = bytes.fromhex("abcdef0123456789")


class TestPlace:
    def test_layout(self) -> None:
        """The first byte names a folder, the others a file in it, as for ELF."""
        assert store_path("d", ID) == str(Path("d") / "ab" / "cdef0123456789.debug.wasm")

    @pytest.mark.parametrize("build_id", [b"", b"a", b"x" * 65, b"x" * 100_000])
    def test_too_short_or_long(self, tmp_path: Path, build_id: bytes) -> None:
        """A build id that has no folder and file, or would have an endless name, has no place."""
        assert store_path("d", build_id) is None
        assert find_by_build_id([str(tmp_path)], build_id) is None
        with pytest.raises(ValueError, match="2 to 64 bytes"):
            save_by_build_id(str(tmp_path), build_id, b"")

    def test_hostile_bytes(self, tmp_path: Path) -> None:
        """Whatever the bytes are, the place is inside the store: they come as digits."""
        path = store_path(str(tmp_path), b"../../etc/passwd\0")

        assert path is not None and Path(path).resolve().is_relative_to(tmp_path.resolve())


class TestFind:
    def test_first_store_that_has_it(self, tmp_path: Path) -> None:
        """Stores are looked at in order; one that is not there is passed."""
        stores = [str(tmp_path / n) for n in ("none", "a", "b")]
        for store in stores[1:]:
            save_by_build_id(store, ID, b"x")

        assert store_path(stores[1], ID) == find_by_build_id(stores, ID)

    def test_no_file(self, tmp_path: Path) -> None:
        """A folder, a pipe and a broken link in a file's place are passed."""
        places: list[Path] = []
        for store in "012":
            path = store_path(str(tmp_path / store), ID)
            assert path is not None
            places.append(Path(path))
            places[-1].parent.mkdir(parents=True)
        places[0].mkdir()
        os.mkfifo(places[1])
        places[2].symlink_to("nothing")

        assert find_by_build_id([str(tmp_path / n) for n in "012"], ID) is None


class TestSave:
    def test_all_or_nothing(self, tmp_path: Path) -> None:
        """A file that is half written when something fails is not there, and nothing is left of it."""
        with pytest.raises(RuntimeError), new_file(str(tmp_path), ID) as (file, _):
            file.write(b"half")
            assert find_by_build_id([str(tmp_path)], ID) is None
            raise RuntimeError

        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []

    def test_for_everybody(self, tmp_path: Path) -> None:
        """A store can be shared: what is put there can be read by others, and replaces what was there."""
        for data in (b"old", b"new"):
            path = save_by_build_id(str(tmp_path), ID, data)

        assert Path(path).read_bytes() == b"new"
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o644

    def test_cannot_be_written(self, tmp_path: Path) -> None:
        """A store that is a file is an error of the system's."""
        (tmp_path / "store").write_text("")
        with pytest.raises(OSError):
            save_by_build_id(str(tmp_path / "store"), ID, b"")


def test_debug_path() -> None:
    """Several folders are joined as in PATH; empty entries, which would be the current folder, count for nothing."""
    assert debug_path({"WASMSCOPE_DEBUG_PATH": os.pathsep.join(["", "a", "", "b", ""])}) == ("a", "b")
    assert debug_path({}) == ()
