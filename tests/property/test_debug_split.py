"""Splitting, stripping and adding an id, on modules of all kinds of sections and on mutated ones."""

from __future__ import annotations

from collections.abc import Iterator

import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm.encoding import HEADER, leb, name
from wasmscope.dwarf import add_build_id, content_id, split_module, strip_module
from wasmscope.errors import DebugInfoError, ModuleFormatError
from wasmscope.wasm import Module

RUNNABLE = bytes(wasmtime.wat2wasm('(module (func (export "f") (result i32) (i32.const 42)))'))
NAMES = [
    ".debug_info",
    ".debug_line",
    "reloc..debug_info",
    "reloc.CODE",
    "linking",
    "name",
    "producers",
    "build_id",
    "external_debug_info",
    "sourceMappingURL",
    "target_features",
    ".debug",
    "ä",
]


def section(number: int, contents: bytes, padded_to: int = 1) -> bytes:
    return bytes([number]) + leb(len(contents), padded_to) + contents


def known_sections() -> Iterator[bytes]:
    """The sections of the module that runs, frames and all."""
    found = Module(RUNNABLE)
    start = len(HEADER)
    for one in found.sections:
        yield RUNNABLE[start : one.offset + one.size]
        start = one.offset + one.size


CUSTOM = st.builds(
    lambda title, contents, padded_to: section(0, name(title) + contents, padded_to),
    st.sampled_from(NAMES),
    st.binary(max_size=200),
    st.integers(1, 5),
)
CUSTOMS = st.lists(CUSTOM, max_size=4).map(b"".join)


@st.composite
def modules(draw: st.DrawFn) -> bytes:
    """The module that runs, with custom sections before, between and after its own."""
    return HEADER + draw(CUSTOMS) + b"".join(one + draw(CUSTOMS) for one in known_sections())


def code_of(data: bytes) -> bytes | None:
    found = Module(data)
    return None if found.code is None else found.contents(found.code)


def result_of(data: bytes) -> object:
    store = wasmtime.Store()
    function = wasmtime.Instance(store, wasmtime.Module(store.engine, data), []).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    return function(store)


def all_results(module: Module) -> Iterator[bytes]:
    yield strip_module(module)
    yield strip_module(module, everything=True)
    yield add_build_id(module, content_id(module))
    try:
        parts = split_module(module, url="x.debug.wasm", strip_names=True)
    except DebugInfoError:
        return
    yield parts.small
    yield parts.debug


@given(modules())
def test_code_and_behaviour_stay(data: bytes) -> None:
    """Whatever custom sections a module has, all that is made of it has its code, byte for byte, and runs."""
    for made in all_results(Module(data)):
        assert code_of(made) == code_of(data)
        assert result_of(made) == 42


@given(modules(), st.binary(min_size=1, max_size=64))
def test_id_comes_back(data: bytes, build_id: bytes) -> None:
    """An id that is added is the one that is read, and adding it once more changes nothing."""
    once = add_build_id(Module(data), build_id)

    assert Module(once).build_id() == build_id
    assert add_build_id(Module(once), build_id) == once


@given(modules())
def test_parts_belong_together(data: bytes) -> None:
    """Both parts of a split have the id that is told, and the small one has nothing left to split."""
    try:
        parts = split_module(Module(data))
    except DebugInfoError:
        assert b".debug_" not in data
        return

    assert Module(parts.small).build_id() == Module(parts.debug).build_id() == parts.build_id
    assert b".debug_" not in b"".join(section.name.encode() for section in Module(parts.small).sections)


@given(
    modules(),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=8),
    st.none() | st.integers(0, 999),
)
def test_mutated(data: bytes, changes: list[tuple[int, int]], cut: int | None) -> None:
    """Of bytes that are a module by chance only, what is made has the same code; the rest is refused in words."""
    mutated = bytearray(data)
    for place, value in changes:
        mutated[place % len(mutated)] = value
    try:
        module = Module(bytes(mutated[:cut]))
    except ModuleFormatError:
        return
    for made in all_results(module):
        assert code_of(made) == code_of(bytes(mutated[:cut]))
