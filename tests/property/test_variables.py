"""Variables of modules whose debug information was changed at random."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dwarf_fixtures import dwarf_fixture
from tests.support.dwarf_writer import function, module_with, sections
from wasmscope.dwarf import DebugVariables, variables
from wasmscope.errors import DebugInfoError
from wasmscope.wasm import Address, AddressKind, Module

SECTIONS = {
    ".debug_abbrev",
    ".debug_addr",
    ".debug_info",
    ".debug_line",
    ".debug_loc",
    ".debug_loclists",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
}


def read_all(module: Module, debug: dict[str, bytes]) -> int:
    """Ask for every function; gives how many answers there were. Anything but the one error is a failure."""
    answers = 0
    reader = DebugVariables(debug, code=module)
    for body in module.bodies:
        try:
            answers += reader.of(Address(AddressKind.FUNC, 0, body.function_index)) is not None
        except DebugInfoError as error:
            assert "\n" not in str(error)
    return answers


class TestMutations:
    @pytest.mark.parametrize("name", ["c/O2-dwarf5", "cpp/O2-dwarf4", "cpp/O1-type-units", "zig/Debug"])
    def test_end_with_an_answer_or_the_one_error(self, name: str) -> None:
        """Bytes changed, set to the extremes, removed or doubled, in any section."""
        source = random.Random(f"variables {name}")
        with Module.open(dwarf_fixture(f"{name}.wasm")) as module:
            whole = {s.name: module.contents(s) for s in module.sections if s.name in SECTIONS}
            complete = read_all(module, whole)
            assert complete == len(module.bodies)
            worse = 0
            for _ in range(100):
                debug = dict(whole)
                section = source.choice(sorted(debug))
                data = bytearray(debug[section])
                for _ in range(source.randint(1, 3)):
                    at = source.randrange(len(data))
                    match source.randrange(4):
                        case 0:
                            data[at] = source.randrange(256)
                        case 1:
                            data[at : at + 4] = source.choice((b"\0", b"\x7f", b"\x80", b"\xff")) * 4
                        case 2:
                            del data[at : at + source.randint(1, 8)]
                        case _:
                            data[at:at] = data[at : at + source.randint(1, 16)]
                debug[section] = bytes(data)
                started = time.process_time()
                worse += read_all(module, debug) < complete
                assert time.process_time() - started < 60
        # Some change is noticed, or the mutations reach nothing.
        assert worse


class TestHostileBytes:
    @settings(max_examples=150, deadline=None)
    @given(data=st.binary(max_size=120), table=st.binary(max_size=60))
    def test_anything_as_a_section(self, data: bytes, table: bytes) -> None:
        """Each of two sections filled with anything, and one with anything behind a good header."""
        whole = sections(function())
        size = (len(data) + 7).to_bytes(4, "little")
        for debug in (
            {".debug_info": data, ".debug_abbrev": table},
            whole | {".debug_info": size + b"\4\0\0\0\0\0\4" + data},
            whole | {".debug_abbrev": table},
        ):
            try:
                variables(Module(module_with(debug)), Address(AddressKind.FUNC, 0, 0))
            except DebugInfoError as error:
                assert "\n" not in str(error)
