from __future__ import annotations

import os
from pathlib import Path

import pytest

from wasmscope.dwarf._local_files import is_regular, local_path, read_file, shown
from wasmscope.errors import DebugInfoError


class TestLocalPath:
    @pytest.mark.parametrize(
        "url",
        ["a.map", "./a.map", "sub/../a.map", "a%2Emap", "a.map?v=3", "a.map#x", "b c.map", "b%20c.map", "50%.map"],
    )
    def test_beside_the_module(self, tmp_path: Path, url: str) -> None:
        """A relative URL is beside the module, escaped or not, with or without what browsers need."""
        (tmp_path / "sub").mkdir()
        for name in ("a.map", "b c.map", "50%.map"):
            (tmp_path / name).write_text("x")

        assert read_file(local_path(url, str(tmp_path)), 10) == b"x"

    @pytest.mark.parametrize("form", ["file://{}", "file://localhost{}", "file:{}", "FILE://{}", "{}"])
    def test_file_url(self, tmp_path: Path, form: str) -> None:
        """A file URL, and an absolute path, mean a file of this machine."""
        (tmp_path / "a.map").write_text("x")

        assert is_regular(local_path(form.format(tmp_path / "a.map"), None))

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("https://host/a.map", "not fetched"),
            ("HTTP://host/a.map", "not fetched"),
            ("git+ssh://host/a", "not fetched"),
            ("file://host/a.map", "another machine"),
            ("a.map", "not read from a file"),
        ],
    )
    def test_not_here(self, url: str, message: str) -> None:
        """What is elsewhere, or relative to nothing, is told and not looked for."""
        with pytest.raises(DebugInfoError, match=message):
            local_path(url, None)

    def test_a_drive_is_no_scheme(self) -> None:
        """One letter before a colon is a drive."""
        assert local_path("C:\\a.map", "/folder").endswith("C:\\a.map")


class TestReadFile:
    def test_no_endless_and_no_silent_file(self, tmp_path: Path) -> None:
        """Devices, pipes without a writer and folders are refused at once."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)

        for path in (pipe, tmp_path, Path("/dev/zero"), tmp_path / "link"):
            if path.name == "link":
                path.symlink_to(pipe)
            assert not is_regular(str(path))
            with pytest.raises(DebugInfoError, match=r"not a regular file|cannot be read"):
                read_file(str(path), 10)

    def test_links(self, tmp_path: Path) -> None:
        """A link to a file is that file; one to itself, or to nothing, is none."""
        (tmp_path / "file").write_bytes(b"x")
        for name, target in (("good", "file"), ("round", "round"), ("dangling", "nothing")):
            (tmp_path / name).symlink_to(tmp_path / target)

        assert [is_regular(str(tmp_path / n)) for n in ("good", "round", "dangling")] == [True, False, False]

    def test_too_large(self, tmp_path: Path) -> None:
        """A file may have as many bytes as said, and not one more."""
        (tmp_path / "a").write_bytes(b"12345")

        assert read_file(str(tmp_path / "a"), 5) == b"12345"
        with pytest.raises(DebugInfoError, match="more than 4 bytes"):
            read_file(str(tmp_path / "a"), 4)

    @pytest.mark.parametrize("path", ["a\0b", "/nowhere/at/all", "x" * 5000, "a\nb", ""])
    def test_names_of_all_kinds(self, path: str) -> None:
        """A name that no file has gives one printable line."""
        assert not is_regular(path)
        with pytest.raises(DebugInfoError) as caught:
            read_file(path, 10)

        assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_shown() -> None:
    """What a module says is shown without what a terminal would obey, and not without end."""
    assert shown("a/b.wasm") == "a/b.wasm"
    assert shown("\x1b[31m\n").isprintable()
    assert len(shown("x" * 10_000)) < 300
