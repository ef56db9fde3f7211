from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
import wasmtime

from wasmscope.cli._exits import CommandError, exit_code_of
from wasmscope.cli._module_file import ModuleFile, explain_missing
from wasmscope.errors import ExportError, ModuleFormatError, WasmscopeError
from wasmscope.wasm import FunctionType


def write(folder: Path, name: str, text: str, *, binary: bool = True) -> str:
    path = folder / name
    path.write_bytes(bytes(wasmtime.wat2wasm(text)) if binary else text.encode())
    return str(path)


class TestRead:
    def test_binary_and_text(self, tmp_path: Path) -> None:
        """The same module in both formats is the same."""
        text = '(module $me (func (export "f")) (memory (export "m") 1) (func (export "g")))'
        read = [
            ModuleFile.read(write(tmp_path, name, text, binary=binary))
            for name, binary in (("a.wasm", True), ("a.wat", False))
        ]

        assert read[0].data == read[1].data
        assert [(r.name, r.functions) for r in read] == [("me", {"f": 0, "g": 1})] * 2

    @pytest.mark.parametrize(
        ("module", "name"),
        [("(module $own)", "own"), ("(module $own.wasm)", "own"), ("(module)", "file"), ('(module $"a\\1bb")', "file")],
    )
    def test_name(self, tmp_path: Path, module: str, name: str) -> None:
        """The name is the module's own without suffix, or the file's if it has none that can be shown."""
        assert ModuleFile.read(write(tmp_path, "file.wasm", module)).name == name

    def test_text_with_a_mistake(self, tmp_path: Path) -> None:
        """A mistake in the text is told with line and column, as editors understand them."""
        path = write(tmp_path, "x.wat", "(module\n  (func i32.bad))", binary=False)

        with pytest.raises(ModuleFormatError, match=r"x\.wat:2:9: unknown operator"):
            ModuleFile.read(path)

    def test_not_utf8(self, tmp_path: Path) -> None:
        """Text that is not UTF-8 is refused at its place."""
        path = tmp_path / "x.wat"
        path.write_bytes(b"(module) ;; \xff")

        with pytest.raises(ModuleFormatError, match="not UTF-8"):
            ModuleFile.read(str(path))


class TestUnreadable:
    @pytest.mark.parametrize(
        ("name", "data", "words"),
        [
            ("x.gz", gzip.compress(b"\0asm"), ["gzip", "unpack"]),
            ("x.wasm", b"", ["empty"]),
            ("x.wasm", b"\0asm\x01\0\0\0\x0a\xff\x0f", ["cut off", "2,047"]),
            ("x.wasm", b"\0asm\x01\0\0\0\x07\x01\x05", ["export section"]),
            ("x.wasm", bytes(wasmtime.wat2wasm("(component)")), ["component", "wasm32-wasip1"]),
        ],
    )
    def test_no_module(self, tmp_path: Path, name: str, data: bytes, words: list[str]) -> None:
        """A file that is no module is refused with what it is, on one line."""
        path = tmp_path / name
        path.write_bytes(data)

        with pytest.raises(ModuleFormatError) as caught:
            ModuleFile.read(str(path))
        said = str(caught.value)
        assert [w for w in [str(path), *words] if w not in said] == []
        assert "\n" not in said
        assert exit_code_of(caught.value) == 126

    def test_no_file(self, tmp_path: Path) -> None:
        """No file is exit code 127; a folder, a file below a file and an unusable path say so."""
        file = tmp_path / "file"
        file.touch()
        cases = {
            str(tmp_path / "nix"): (127, "no such file"),
            str(file / "nix"): (127, "no such file"),
            str(tmp_path): (126, "a folder"),
            "a\0b": (126, "cannot be read"),
            "x" * 10_000: (126, "cannot be read"),
        }
        for path, (code, words) in cases.items():
            with pytest.raises(CommandError, match=words) as caught:
                ModuleFile.read(path)
            assert caught.value.exit_code == code

    def test_loop(self, tmp_path: Path) -> None:
        """A link to itself cannot be read, and says so."""
        link = tmp_path / "link.wasm"
        link.symlink_to(link)

        with pytest.raises(CommandError, match="cannot be read"):
            ModuleFile.read(str(link))


class TestEntry:
    @pytest.mark.parametrize(
        ("text", "entry"),
        [
            ('(module (func (export "_start")))', "_start"),
            ('(module (func (export "")))', ""),
            ('(module (func (export "")) (func (export "_start")))', "_start"),
            ("(module (func $f) (start $f))", None),
        ],
    )
    def test_found(self, tmp_path: Path, text: str, entry: str | None) -> None:
        """A program begins at _start, at the export without a name, or by being instantiated."""
        assert ModuleFile.read(write(tmp_path, "x.wasm", text)).entry() == entry

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('(module (func (export "run")) (func (export "b\\1b")))', "--invoke run, b\\\\x1b"),
            ('(module (memory (export "_start") 1))', "no function at all"),
        ],
    )
    def test_nothing_to_run(self, tmp_path: Path, text: str, words: str) -> None:
        """Where there is nothing to run, what could be is named, and nothing in it reaches the terminal as it is."""
        with pytest.raises(ExportError) as caught:
            ModuleFile.read(write(tmp_path, "x.wasm", text)).entry()

        assert words.replace("\\\\", "\\") in str(caught.value)

    def test_wrong_export(self, tmp_path: Path) -> None:
        """A wrong name is answered with the right ones, not with all of five hundred."""
        functions = "".join(f'(func (export "f{n}"))' for n in range(500))
        file = ModuleFile.read(write(tmp_path, "x.wasm", f"(module {functions})"))
        assert file.function_type("f499") == FunctionType((), ())

        with pytest.raises(ExportError, match=r"'nix'.*f0, f1") as caught:
            file.function_type("nix")
        assert len(str(caught.value)) < 500


class TestMissingImports:
    @pytest.mark.parametrize(
        ("module", "hint"),
        [
            ("wasi:cli/run@0.2.0", "wasm32-wasip1"),
            ("wasi_unstable", "newer toolchain"),
            ("__wbindgen_placeholder__", "wasm-bindgen"),
            ("gojs", "GOOS=wasip1"),
            ("env", "host program"),
        ],
    )
    def test_hint(self, module: str, hint: str) -> None:
        """What is missing tells how the module was built, and what to do instead."""
        error: WasmscopeError = explain_missing(Path("x.wasm"), [(module, "f"), (module, "g\n")])

        assert f"{module}.f, {module}.g" in str(error)
        assert hint in str(error)
        assert "\n" not in str(error)


class TestSpecialFiles:
    def test_without_end(self) -> None:
        """A file without end is refused by its beginning."""
        with pytest.raises(ModuleFormatError, match="unknown kind"):
            ModuleFile.read("/dev/zero")

    def test_pipe(self) -> None:
        """A module may come through a pipe, as a shell's <(…) gives it."""
        reader, writer = os.pipe()
        data = bytes(wasmtime.wat2wasm('(module (func (export "f")))')) + b"\0\x81\x20\x01x" + bytes(4095)
        with open(writer, "wb") as stream:  # noqa: PTH123
            stream.write(data)

        try:
            assert ModuleFile.read(f"/dev/fd/{reader}").data == data
        finally:
            os.close(reader)
