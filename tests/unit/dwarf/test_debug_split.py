from __future__ import annotations

import hashlib

import pytest

from tests.unit.wasm.encoding import custom, leb, module, section, vector
from wasmscope.dwarf import add_build_id, content_id, split_module, strip_module
from wasmscope.errors import DebugInfoError
from wasmscope.wasm import Module

TYPE = section(1, vector(b"\x60\0\0"))
FUNCTION = section(3, vector(b"\0"))
# The size of this section is padded, as linkers write it: whoever encodes it anew changes it.
CODE = b"\x0a" + leb(4, padded_to=5) + vector(b"\x02\0\x0b")
BUILD_ID = custom("build_id", b"\x04\xde\xad\xbe\xef")
LINE, INFO = custom(".debug_line", b"lines"), custom(".debug_info", b"info")
NAME = custom("name", b"\0\x02\x01m")
PRODUCERS = custom("producers", b"\0")
FEATURES = custom("target_features", b"\0")
UNKNOWN = custom("somebody's", b"own")
MAP = custom("sourceMappingURL", b"\x05m.map")
RELOCATIONS = custom("reloc..debug_info", b"\0")
LINKING = custom("linking", b"\x02")

FULL = module(INFO, TYPE, UNKNOWN, FUNCTION, CODE, LINE, NAME, PRODUCERS, FEATURES, MAP)


class TestContentId:
    def test_is_sha1_of_the_module(self) -> None:
        """The id of a module without one is the SHA-1 of its bytes."""
        assert content_id(Module(FULL)) == hashlib.sha1(FULL).digest()

    def test_leaves_the_id_itself_out(self) -> None:
        """It is the same with and without an id in the module, wherever that is."""
        with_id = module(INFO, BUILD_ID, TYPE, UNKNOWN, FUNCTION, CODE, LINE, NAME, PRODUCERS, FEATURES, MAP)

        assert content_id(Module(with_id)) == content_id(Module(FULL))
        assert content_id(Module(add_build_id(Module(FULL), b"any"))) == content_id(Module(FULL))


class TestAddBuildId:
    def test_appended(self) -> None:
        """The section comes last, a vector of bytes as BuildId.md has it; all else is as it was."""
        assert add_build_id(Module(FULL), b"\xde\xad\xbe\xef") == FULL + BUILD_ID

    def test_replaces(self) -> None:
        """There is one afterwards, whatever there was; a broken one does not stay, either."""
        before = module(BUILD_ID, TYPE, custom("build_id", b"\x7f"), CODE)

        assert add_build_id(Module(before), b"\1\2") == module(TYPE, CODE, custom("build_id", b"\2\1\2"))

    def test_long(self) -> None:
        """Its size is LEB128: an id of 200 bytes has two bytes of size."""
        long = add_build_id(Module(module()), b"x" * 200)

        assert long == module(custom("build_id", b"\xc8\1" + b"x" * 200))


class TestStrip:
    def test_debug(self) -> None:
        """DWARF and relocations of it go; order and unknown sections stay."""
        before = module(INFO, TYPE, UNKNOWN, FUNCTION, CODE, RELOCATIONS, LINE, LINKING, NAME, PRODUCERS, BUILD_ID)

        assert strip_module(Module(before)) == module(TYPE, UNKNOWN, FUNCTION, CODE, LINKING, NAME, PRODUCERS, BUILD_ID)

    def test_everything(self) -> None:
        """All that neither the runtime nor anybody's own tool reads goes; the build id stays."""
        before = module(INFO, TYPE, UNKNOWN, CODE, RELOCATIONS, LINKING, NAME, PRODUCERS, FEATURES, BUILD_ID)

        assert strip_module(Module(before), everything=True) == module(TYPE, UNKNOWN, CODE, FEATURES, BUILD_ID)


class TestSplit:
    def test_two_parts(self) -> None:
        """The small one has all but DWARF, the other one is the whole module; both have the id."""
        identity = custom("build_id", b"\x14" + hashlib.sha1(FULL).digest())

        parts = split_module(Module(FULL), url="m.debug.wasm")

        assert parts.build_id == hashlib.sha1(FULL).digest()
        assert parts.small == (
            module(TYPE, UNKNOWN, FUNCTION, CODE, NAME, PRODUCERS, FEATURES, MAP)
            + identity
            + custom("external_debug_info", b"\x0cm.debug.wasm")
        )
        assert parts.debug == FULL + identity

    def test_keeps_the_id(self) -> None:
        """A module that has an id keeps it; another one is taken if it is given."""
        before = Module(FULL + BUILD_ID)

        assert split_module(before).build_id == b"\xde\xad\xbe\xef"
        assert split_module(before, build_id=b"own").debug == FULL + custom("build_id", b"\3own")

    def test_without_names(self) -> None:
        """Names can be taken out of the small one; the other one has them still."""
        parts = split_module(Module(module(CODE, LINE, NAME, BUILD_ID)), strip_names=True)

        assert parts.small == module(CODE, BUILD_ID)
        assert parts.debug == module(CODE, LINE, NAME, BUILD_ID)

    def test_without_code(self) -> None:
        """Without code there is DWARF, names, producers and the id: nothing that needs what is missing."""
        parts = split_module(Module(FULL + BUILD_ID), with_code=False)

        assert parts.debug == module(INFO, LINE, NAME, PRODUCERS, BUILD_ID)

    def test_link(self) -> None:
        """A link to a debug file gives way to the new one, and the debug file has none to itself."""
        old = custom("external_debug_info", b"\3old")

        parts = split_module(Module(module(CODE, LINE, old, BUILD_ID)), url="new")

        assert parts.small == module(CODE, BUILD_ID, custom("external_debug_info", b"\3new"))
        assert parts.debug == module(CODE, LINE, BUILD_ID)

    def test_nothing_to_split(self) -> None:
        """Without DWARF there are no two parts."""
        with pytest.raises(DebugInfoError, match="no DWARF"):
            split_module(Module(module(TYPE, CODE, NAME)))
