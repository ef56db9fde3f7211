from __future__ import annotations

import os
from pathlib import Path

import pytest

from wasmscope.dwarf import PathMap, SourceLine, Sources
from wasmscope.errors import ConfigurationError


class TestPathMap:
    @pytest.mark.parametrize(
        ("rule", "path", "found"),
        [
            ("/build/src=.", "/build/src/a.c", "./a.c"),
            ("/build/src/=.", "/build/src/a.c", "./a.c"),
            ("/build=/home/me/", "/build/src/a.c", "/home/me/src/a.c"),
            ("/build=", "/build/src/a.c", "src/a.c"),
            ("/build=/", "/build/a.c", "/a.c"),
            ("/build/a.c=b.c", "/build/a.c", "b.c"),
            ("/build=x", "/builds/a.c", None),
            ("/build=x", "/other", None),
            ("C:\\src=.", "C:\\src\\a.c", ".\\a.c"),
            ("/a=b=c", "/a/x", "b=c/x"),
        ],
    )
    def test_apply(self, rule: str, path: str, found: str | None) -> None:
        """A folder's path is replaced, whole or not at all."""
        assert found == PathMap.parse(rule).apply(path)

    @pytest.mark.parametrize("text", ["", "/build", "=x", "/=x"])
    def test_no_rule(self, text: str) -> None:
        """What maps nothing is refused, with an example."""
        with pytest.raises(ConfigurationError, match="FROM=TO"):
            PathMap.parse(text)

    def test_longest_wins(self) -> None:
        """The order of rules does not matter: the one that says most counts."""
        rules = [PathMap("/build", "one"), PathMap("/build/lib/", "two"), PathMap("/b", "three")]

        for order in (rules, rules[::-1]):
            sources = Sources(order)
            assert [sources.path(p) for p in ("/build/lib/a.c", "/build/a.c", "/x")] == ["two/a.c", "one/a.c", "/x"]


class TestLines:
    def test_around(self, tmp_path: Path) -> None:
        """The lines before and after come with it, as far as there are any."""
        (tmp_path / "a.c").write_text("".join(f"line {n}\n" for n in range(1, 6)))
        sources = Sources([PathMap("/src", str(tmp_path))])

        assert [s.number for s in sources.lines("/src/a.c", 1)] == [1, 2, 3]
        assert [s.text for s in sources.lines("/src/a.c", 5, around=1)] == ["line 4", "line 5"]
        assert sources.lines("/src/a.c", 6) == ()
        assert sources.lines("/src/a.c", 0) == ()

    def test_marker(self, tmp_path: Path) -> None:
        """A column is found again behind tabs, which are spaces; one beyond the line is not shown."""
        (tmp_path / "a.c").write_text("\tx\ty;\n")
        (line,) = Sources().lines(str(tmp_path / "a.c"), 1, column=4)

        assert line.text == "    x   y;"
        assert line.marker is not None and line.text[line.marker] == "y"
        assert Sources().lines(str(tmp_path / "a.c"), 1, column=7)[0].marker is None

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            ("ä".encode(), "ä"),
            ("ä".encode("latin-1"), "\ufffd"),
            ("ä".encode("utf-8-sig"), "ä"),
            ("ä".encode("utf-16"), "ä"),
            (b"\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
            (b"one\r\ntwo", "one"),
            (b"one\rtwo", "one"),
            (b"a\x0cb\x85", "a\ufffdb\ufffd"),
            ("a\u2028b".encode(), "a\ufffdb"),
        ],
    )
    def test_encodings(self, tmp_path: Path, data: bytes, text: str) -> None:
        """Text of any encoding comes out as something that a terminal can show and does not obey."""
        (tmp_path / "a.c").write_bytes(data)

        assert (SourceLine(1, text, None),) == Sources().lines(str(tmp_path / "a.c"), 1, around=0)

    def test_long_line(self, tmp_path: Path) -> None:
        """A line of ten million characters is cut, and a column in what is left out is not marked."""
        (tmp_path / "a.js").write_bytes(b"x" * 10_000_000)
        (line,) = Sources().lines(str(tmp_path / "a.js"), 1, column=9_000_000)

        assert len(line.text) == 501 and line.marker is None

    def test_what_is_no_source(self, tmp_path: Path) -> None:
        """A binary, a folder, a pipe, a device, a file that is too large and one that is not there have no lines."""
        (tmp_path / "binary").write_bytes(b"\0asm\1\0\0\0")
        os.mkfifo(tmp_path / "pipe")
        with (tmp_path / "large").open("wb") as file:
            file.truncate(17 * 1024 * 1024)
        sources = Sources()

        for path in ("binary", ".", "pipe", "large", "none", "../../../../dev/zero", "a\0b"):
            assert sources.lines(f"{tmp_path}/{path}", 1) == ()

    def test_carried_by_a_source_map(self) -> None:
        """Text that a source map has needs no file."""
        assert tuple(s.text for s in Sources().lines("~lib/rt.ts", 2, around=0, content="a\nb\n")) == ("b",)
