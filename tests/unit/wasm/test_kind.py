from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from wasmscope.wasm import FileKind, identify


class TestWebAssembly:
    def test_module(self) -> None:
        """What wasmtime's text parser makes of (module) is a module."""
        assert FileKind.MODULE is identify(wasmtime.wat2wasm("(module)")).kind

    def test_component(self) -> None:
        """What it makes of (component) is a component, and the advice says what to build instead."""
        found = identify(wasmtime.wat2wasm("(component)"))

        assert FileKind.COMPONENT is found.kind
        assert "wasm32-wasip1" in (found.advice or "")

    @pytest.mark.parametrize(
        "text",
        [
            "(module)",
            "  \n(module $x)",
            "\ufeff(module)",
            ";; about it\n;; more\n(module)",
            "(; about it ;) (module)",
            ";; about it\n\n(; and (; nested ;) ;)\n(module)",
            "(component)",
            '(func (export "f"))',
        ],
    )
    def test_text(self, text: str) -> None:
        """The text format may begin with blanks, a byte order mark and comments."""
        assert FileKind.TEXT is identify(text.encode()).kind

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"\0asm", "first bytes"),
            (b"\0asm\x01\0", "first bytes"),
            (b"\0asm\x02\0\0\0", "version 2"),
            (b"\0asm\x01\0\x07\0", "layer 7"),
        ],
    )
    def test_other_versions(self, data: bytes, words: str) -> None:
        """A header that is cut off or of another version is named so."""
        found = identify(data)

        assert FileKind.OTHER is found.kind
        assert words in found.description


class TestOthers:
    def test_real_files(self) -> None:
        """This Python itself, packed data and this very test are told apart by what they are."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("guest.wasm", b"\0asm")
        files = {
            "ELF": Path(sys.executable).resolve().read_bytes(),
            "gzip": gzip.compress(b"\0asm"),
            "zip": packed.getvalue(),
            "text file": Path(__file__).read_bytes(),
            "web page": b"<!DOCTYPE html><html><title>404</title>",
            "script": b"#!/bin/sh\n",
            "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "static library": b"!<arch>\n",
            "empty file": b"",
            "unknown kind": b"\x00\x01\x02\xff",
        }

        found = {words: identify(data) for words, data in files.items()}

        assert {FileKind.OTHER} == {f.kind for f in found.values()}
        assert {w: f.description for w, f in found.items() if w not in f.description} == {}

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """Any bytes are something."""
        assert identify(data).description

    def test_a_character_across_the_end_of_the_look(self) -> None:
        """A long text is a text even when what is looked at ends in the middle of a character."""
        assert "text file" in identify(b"x" + "ä".encode() * 40_000).description

    def test_many_comments(self) -> None:
        """Nothing but comments takes no more than a moment, and is no module."""
        assert FileKind.OTHER is identify(b";;\n" * 1_000_000).kind
