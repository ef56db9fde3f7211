"""Units and entries against pyelftools, which reads them in its own way: every entry of small modules of each kind."""

from __future__ import annotations

from typing import Any

import pytest
from elftools.dwarf.enums import ENUM_DW_AT, ENUM_DW_FORM, ENUM_DW_TAG

from tests.support.dwarf_fixtures import dwarf_fixture
from tests.support.pyelftools_lines import debug_sections, pyelftools_dwarf
from wasmscope.dwarf._dwarf_codes import At, Form, Tag
from wasmscope.dwarf._units import Dwarf, Entry

FIXTURES = (
    "c/O0-dwarf4",
    "c/O1-memory64",
    "c/O1-mixed",
    "c/O1-split4",
    "c/O1-split5",
    "c/O2-dwarf5",
    "c/O2-lto",
    "cpp/O1-type-units",
    "cpp/O2-dwarf4",
    "rust/release",
    "rust/release-dwarf5",
    "variables/cpp-dwarf5",
    "zig/ReleaseSafe",
)
BLOCKS = ("DW_FORM_exprloc", "DW_FORM_block", "DW_FORM_block1", "DW_FORM_block2", "DW_FORM_block4")


def expected(die: Any) -> tuple[int, int, dict[int, int | bytes | str]]:
    """An entry as pyelftools has it: texts resolved, everything else as it is written."""
    values: dict[int, int | bytes | str] = {}
    for name, attribute in die.attributes.items():
        value = attribute.raw_value
        if attribute.form in BLOCKS:
            value = bytes(value)
        elif attribute.form == "DW_FORM_flag_present":
            value = 1
        elif isinstance(attribute.value, bytes):
            value = attribute.value.decode()
        elif attribute.form == "DW_FORM_data16":
            value = int.from_bytes(bytes(value), "little")
        values[name if isinstance(name, int) else ENUM_DW_AT[name]] = value
    return die.offset, die.tag if isinstance(die.tag, int) else ENUM_DW_TAG[die.tag], values


def ours(entry: Entry) -> tuple[int, int, dict[int, int | bytes | str]]:
    values: dict[int, int | bytes | str] = {}
    for name, value in entry.attributes.items():
        found = entry.unit.text(value)
        values[name] = value.raw if found is None else found
    return entry.offset, entry.tag, values


class TestAgainstPyelftools:
    @pytest.mark.parametrize("name", FIXTURES)
    def test_every_entry(self, name: str) -> None:
        """Where it begins, what it describes, all that it says, and what it is below of."""
        sections, _ = debug_sections(dwarf_fixture(f"{name}.wasm").read_bytes())
        dwarf = Dwarf(sections)
        theirs = pyelftools_dwarf(sections)
        units = [unit for unit in theirs.iter_CUs()]
        assert [unit.offset for unit in dwarf.units if unit.section == ".debug_info"] == [u.cu_offset for u in units]
        for mine, their in zip(dwarf.units, units, strict=False):
            entries = [die for die in their.iter_DIEs() if not die.is_null()]
            assert [ours(mine.entry(at)) for at in range(len(mine.index.offsets))] == [expected(d) for d in entries]
            for at, die in enumerate(entries):
                above = mine.parent(mine.entry(at))
                parent = die.get_parent()
                assert (above and above.offset) == (parent and parent.offset)

    def test_codes_are_those_of_the_standard(self) -> None:
        """Names and numbers of tags, attributes and forms."""
        for codes, table, prefix in (
            (Tag, ENUM_DW_TAG, "DW_TAG_"),
            (At, ENUM_DW_AT, "DW_AT_"),
            (Form, ENUM_DW_FORM, "DW_FORM_"),
        ):
            known = {str(name).lower(): number for name, number in table.items()}
            for code in codes:
                # It has no number for one form, and knows this one by MIPS's own spelling.
                name = f"{prefix}{code.name}".lower()
                if name in known:
                    assert known[name] == code.value, code
                else:
                    assert code in (At.MIPS_LINKAGE_NAME, At.GNU_DWO_NAME, At.GNU_ADDR_BASE, *GNU_FORMS), code

    def test_streams_are_not_needed(self) -> None:
        """Sections can be bytes or views of a larger file."""
        sections, _ = debug_sections(dwarf_fixture("c/O2-dwarf5.wasm").read_bytes())
        whole = memoryview(b"".join(sections.values()))
        views: dict[str, bytes | memoryview] = {}
        at = 0
        for section, contents in sections.items():
            views[section] = whole[at : at + len(contents)]
            at += len(contents)
        assert [unit.name for unit in Dwarf(views).units] == [unit.name for unit in Dwarf(sections).units]


GNU_FORMS = (Form.GNU_ADDR_INDEX, Form.GNU_STR_INDEX, Form.GNU_REF_ALT, Form.GNU_STRP_ALT, Form.REF_SUP4, Form.REF_SUP8)
