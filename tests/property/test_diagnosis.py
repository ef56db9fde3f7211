"""``diagnose`` on damaged modules: there is always an answer, in words that fit on a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pyelftools_lines import debug_sections
from wasmscope.dwarf import diagnose
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Module

FIXTURES = Path(__file__).parents[1] / "fixtures/dwarf"
SOURCES = ["c/O1-mixed.wasm", "cpp/O2-dwarf5.wasm", "rust/release.wasm", "assemblyscript/release-inline.wasm"]
CHANGES = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=30)


def check(data: bytes) -> None:
    """Diagnose; what comes out is consistent and fit to be printed."""
    try:
        module = Module(data)
        found = diagnose(module, debug_path=())
    except ModuleFormatError as error:
        assert "\n" not in str(error)
        return
    (only,) = found.modules
    health = only.examination.health
    assert health is None or 0 <= health.matching <= health.live
    assert 0 <= only.examination.line_zero_bytes <= only.examination.line_bytes <= only.examination.code_bytes
    assert found.is_trustworthy == all(finding.severity.value != "error" for finding in only.findings)
    for finding in only.findings:
        assert "\n" not in finding.message
        assert len(finding.message) < 2000


@pytest.mark.parametrize("name", SOURCES)
class TestDamaged:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(changes=CHANGES)
    def test_anywhere(self, name: str, changes: list[tuple[int, int]]) -> None:
        """Whatever bytes of a module are changed, there is an answer or a refusal in one line."""
        data = bytearray((FIXTURES / name).read_bytes())
        for place, value in changes:
            data[place % len(data)] = value
        check(bytes(data))

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(changes=CHANGES, choice=st.integers(0, 100))
    def test_in_one_section(self, name: str, changes: list[tuple[int, int]], choice: int) -> None:
        """Likewise if only one custom section is damaged, so that all else is as it should be."""
        data = bytearray((FIXTURES / name).read_bytes())
        sections = sorted(debug_sections(bytes(data))[0].items())
        _, contents = sections[choice % len(sections)]
        start = data.index(contents)
        for place, value in changes:
            if contents:
                data[start + place % len(contents)] = value
        check(bytes(data))
