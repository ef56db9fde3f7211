from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any

import pytest

from tests.unit.wasm.encoding import custom, module, name, section, vector
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Component, Module, _file, open_binary

MEBI = 1 << 20
COMPONENT = b"\0asm\x0d\0\1\0"


def write(path: Path, size: int) -> Path:
    """A module of about that size, with a name and a body."""
    data = module(section(10, vector(b"\2\0\x0b")), custom("name", b"\0\3\2me"), custom("filler", bytes(size)))
    path.write_bytes(data)
    return path


def mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("size", [10, 2 * MEBI])
class TestBothWays:
    """Small files are read, large ones are mapped; nobody sees a difference."""

    @pytest.mark.parametrize("open_", [Module.open, open_binary])
    def test_reading(self, tmp_path: Path, size: int, open_: Callable[[Path], Any]) -> None:
        """A file is opened by either way, and read as its bytes are."""
        path = write(tmp_path / "a.wasm", size)

        with open_(path) as found:
            assert isinstance(found, Module)
            assert found.sections == Module(path.read_bytes()).sections
            assert (found.name(), found.bodies[0].size, len(found.contents(found.sections[-1]))) == ("me", 2, size)

    def test_closed(self, tmp_path: Path, size: int) -> None:
        """After closing, what was read stays, and reading more is an error that says so; closing twice is none."""
        found = Module.open(write(tmp_path / "a.wasm", size))
        section = found.sections[0]
        bodies = found.bodies

        found.close()
        found.close()

        assert found.bodies is bodies
        assert found.sections[0] == section
        for read in (found.name, found.names, lambda: found.view(section), lambda: found.data):
            with pytest.raises(ValueError, match="the file is closed"):
                read()

    def test_a_view_outlives(self, tmp_path: Path, size: int) -> None:
        """A view stays valid after its module was closed, however the file is gone."""
        path = write(tmp_path / "a.wasm", size)
        found = Module.open(path)
        view = found.view(found.sections[0])

        found.close()
        path.unlink()

        assert bytes(view) == vector(b"\2\0\x0b")

    def test_views_cannot_write(self, tmp_path: Path, size: int) -> None:
        """Nobody can change a module through a view of it, not even if it is read from bytes that can change."""
        found = Module.open(write(tmp_path / "a.wasm", size))
        changeable = Module(bytearray(module(section(1, b"\0"))))

        assert found.view(found.sections[0]).readonly
        assert changeable.view(changeable.sections[0]).readonly

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "an empty file.*interrupted"),
            (b"\x7fELF", "an ELF file.*give the .wasm file"),
            (b"\0asm\1\0\0\0\x63\0", "number 99"),
        ],
    )
    def test_refused(self, tmp_path: Path, size: int, data: bytes, words: str) -> None:
        """A file that is no module is refused, and is not kept open."""
        path = tmp_path / "a.wasm"
        path.write_bytes(data + bytes(size if size > 10 else 0))
        for open_ in (Module.open, open_binary):
            with pytest.raises(ModuleFormatError, match=words if size == 10 or data else "unknown kind"):
                open_(path)
        gc.collect()

        assert not mapped(path)


class TestMapping:
    def test_while_it_is_needed(self, tmp_path: Path) -> None:
        """A large file is mapped until it is closed and the last view is gone, and no file stays open."""
        path = write(tmp_path / "a.wasm", 2 * MEBI)
        files = len(list(Path("/proc/self/fd").iterdir()))
        found = Module.open(path)
        assert mapped(path)
        view = found.view(found.sections[0])

        found.close()

        assert mapped(path)
        view.release()
        del view
        gc.collect()
        assert not mapped(path)
        assert len(list(Path("/proc/self/fd").iterdir())) == files

    def test_names_do_not_hold_it(self, tmp_path: Path) -> None:
        """Names are decoded when they are asked for; that somebody has them does not keep a closed file mapped."""
        path = write(tmp_path / "a.wasm", 2 * MEBI)
        found = Module.open(path)
        names = found.names()

        found.close()

        assert not mapped(path)
        with pytest.raises(ValueError, match="closed"):
            _ = names.module

    def test_of_the_caller(self) -> None:
        """Closing a module that was made from data of the caller's leaves the data alone."""
        data = bytearray(module())
        found = Module(data)

        found.close()

        data.extend(b"it can be resized: nobody has a view of it")

    def test_nested_module(self, tmp_path: Path) -> None:
        """Closing a module inside a component leaves the component open."""
        path = tmp_path / "a.wasm"
        path.write_bytes(COMPONENT + section(1, module(custom("x", bytes(2 * MEBI)))))
        with open_binary(path) as found:
            assert isinstance(found, Component)
            found.modules()[0].module.close()
            assert found.find(20) is not None
            assert mapped(path)
        gc.collect()

        assert not mapped(path)


class TestNoRegularFile:
    def test_pipe(self, tmp_path: Path) -> None:
        """A module comes through a pipe as well."""
        path = tmp_path / "pipe"
        os.mkfifo(path)
        data = module(custom("x", bytes(3 * MEBI)))
        writer = threading.Thread(target=path.write_bytes, args=(data,))
        writer.start()
        try:
            assert Module.open(path).sections == Module(data).sections
        finally:
            writer.join()

    def test_endless(self) -> None:
        """What has no end and is no module is not read to the end."""
        with pytest.raises(ModuleFormatError, match="unknown kind"):
            Module.open("/dev/zero")

    def test_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What begins as a module and does not end is read up to a limit, here a small one."""
        monkeypatch.setattr(_file, "_MOST_READ", 2 * MEBI)
        path = tmp_path / "pipe"
        os.mkfifo(path)

        def write() -> None:
            # The reader goes away before the end.
            with suppress(BrokenPipeError):
                path.write_bytes(module(custom("x", bytes(4 * MEBI))))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with pytest.raises(ModuleFormatError, match="is this the right file"):
                Module.open(path)
        finally:
            writer.join()

    def test_nothing(self, tmp_path: Path) -> None:
        """A file that is not there, or a folder, is an error of the operating system."""
        with pytest.raises(FileNotFoundError):
            Module.open(tmp_path / "missing.wasm")
        with pytest.raises(IsADirectoryError):
            open_binary(tmp_path)


class TestLightness:
    def test_imports(self, tmp_path: Path) -> None:
        """To open a small module and name a function takes nothing that is slow to load."""
        path = write(tmp_path / "a.wasm", 10)
        program = (
            "import sys; before = set(sys.modules)\n"
            "from wasmscope.wasm import Address, AddressKind, Module\n"
            "with Module.open(sys.argv[1]) as module:\n"
            "    module.function_of(Address(AddressKind.CODE, 2)), module.names().functions.get(0), module.build_id()\n"
            "print(*sorted(set(sys.modules) - before))\n"
        )
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split())

        assert "wasmscope.wasm._bodies" in loaded
        heavy = {"argparse", "ast", "dataclasses", "inspect", "json", "mmap", "pathlib", "struct", "urllib", "wasmtime"}
        assert loaded & heavy <= set()


class TestParts:
    def test_window(self) -> None:
        """A module that is part of a file is read within its bounds, and its places are those of the file."""
        inner = module(custom("x", name("y")))
        found = Module(b"before" + inner + b"after", start=6, end=6 + len(inner))

        assert [(s.name, s.offset) for s in found.sections] == [("x", 6 + 12)]
        assert found.contents(found.sections[0]) == name("y")
        with pytest.raises(ModuleFormatError, match="cut off"):
            Module(b"before" + inner + b"after", start=6, end=6 + len(inner) - 1)


def test_pages_of_others(tmp_path: Path) -> None:
    """What somebody changed in a private mapping of a file stays, whoever gives back memory."""
    path = tmp_path / "app.wasm"
    path.write_bytes(b"\0asm\1\0\0\0" + b"\0\x08\4note" + b"abc")
    with path.open("rb") as file:
        data = mmap(file.fileno(), 0, access=ACCESS_COPY)
    data[-1:] = b"z"
    with Module(data) as module:
        module.release_pages()
    assert data[-3:] == b"abz"
