from __future__ import annotations

import pytest

from tests.unit.wasm.encoding import HEADER, custom, leb, module, name, vector
from wasmscope.wasm import Module, Producer, Producers


def of(title: str, contents: bytes) -> Module:
    return Module(module(custom(title, contents)))


class TestNone:
    def test_of_all(self) -> None:
        """A module whose tools noted nothing has none of the notes."""
        found = Module(HEADER)

        assert (found.producers(), found.target_features(), found.build_id()) == (None, None, None)
        assert (found.external_debug_info(), found.source_mapping_url()) == (None, None)


class TestProducers:
    LANGUAGE = name("language") + vector(name("Rust") + name(""), name("C11") + name(""))
    TOOLS = name("processed-by") + vector(name("clang") + name("19.1.7"))
    SDK = name("sdk") + vector(name("Emscripten") + name("3.1"))

    def test_fields(self) -> None:
        """Each field of the convention is read, and one that it does not have is passed over."""
        found = of(
            "producers", vector(self.LANGUAGE, name("zodiac") + vector(name("a") + name("b")), self.TOOLS, self.SDK)
        )

        assert found.producers() == Producers(
            (Producer("Rust", ""), Producer("C11", "")),
            (Producer("clang", "19.1.7"),),
            (Producer("Emscripten", "3.1"),),
            None,
        )

    def test_cut_off(self) -> None:
        """What can be read of a section that is cut off is given, and the rest is a problem."""
        found = of("producers", vector(self.LANGUAGE, self.TOOLS)[:-3]).producers()

        assert found is not None
        assert (found.languages, found.processed_by) == ((Producer("Rust", ""), Producer("C11", "")), ())
        assert found.problem is not None
        assert "producers section" in found.problem


class TestTargetFeatures:
    def test_prefixes(self) -> None:
        """Features are given with their prefixes."""
        found = of("target_features", vector(b"+" + name("simd128"), b"-" + name("atomics")))

        assert found.target_features() == ("+simd128", "-atomics")
        assert of("target_features", leb(2**32 - 1)).target_features() is None


class TestBuildId:
    def test_bytes(self) -> None:
        """A build id is the bytes after their count; they need not be UTF-8."""
        assert of("build_id", b"\4\xff\0\x80\1").build_id() == b"\xff\0\x80\1"

    @pytest.mark.parametrize("contents", [b"", b"\0", b"\5abcd", b"\xff\xff\xff\xff\xff\xff"])
    def test_none(self, contents: bytes) -> None:
        """A build id that is empty or cut off is none."""
        assert of("build_id", contents).build_id() is None

    def test_second(self) -> None:
        """If the first cannot be read, the second counts."""
        assert Module(module(custom("build_id", b"\5ab"), custom("build_id", b"\2cd"))).build_id() == b"cd"


class TestUrls:
    def test_both(self) -> None:
        """URLs of debug information and source map are read from the sections of these names."""
        found = Module(
            module(custom("external_debug_info", name("x.debug.wasm")), custom("sourceMappingURL", name("./é.map")))
        )

        assert (found.external_debug_info(), found.source_mapping_url()) == ("x.debug.wasm", "./é.map")

    @pytest.mark.parametrize("contents", [b"", b"\0", b"\5abcd", b"\2\xff\xfe"])
    def test_unreadable(self, contents: bytes) -> None:
        """A URL that is empty, cut off or no UTF-8 is none."""
        assert of("external_debug_info", contents).external_debug_info() is None
        assert of("sourceMappingURL", contents).source_mapping_url() is None
