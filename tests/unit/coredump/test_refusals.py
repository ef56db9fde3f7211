"""What is no core dump, or none that can be read to the last byte."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.coredumps import DIALECTS, Frame, dump, name, section, uleb
from tests.support.cpu_time import cpu_seconds
from wasmscope.coredump import CoreDump, is_core_dump, read
from wasmscope.errors import CoreDumpError

ONE: list[Frame] = [(0, 1, 2, [("i32", 3)], [])]
MODULE = b"\0asm\1\0\0\0"
COMPONENT = b"\0asm\x0d\0\1\0"


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "this is an empty file, not a core dump; give the file that the runtime wrote"),
            (b"\x7fELF\2\1\1", "this is an ELF file"),
            (COMPONENT, "this is a WebAssembly component, not a core dump"),
            (MODULE, "this is a WebAssembly module without the section 'core', not a core dump"),
            (MODULE + section(1, b"\0"), "without the section 'core'"),
            (b"(module)", "this is WebAssembly text"),
            (bytes(65_536), "data of an unknown kind"),
        ],
    )
    def test_are_named(self, data: bytes, message: str) -> None:
        """The error says what it is instead, in one line, and what to give."""
        assert not is_core_dump(data)
        with pytest.raises(CoreDumpError) as caught:
            read(data)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_without_the_program_a_stack_is_enough(self) -> None:
        """A dump without `core` has no program's name; one without stacks has no threads."""
        assert read(MODULE + DIALECTS["standard"].stack("main", ONE)).executable == ""
        assert read(dump()).threads == ()


class TestBytesThatAreLeft:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (dump(section("corestack", b"\0\4main\0\0")), "1 bytes are left after the last frame"),
            (dump(section("corestack", b"\1\4main\0")), "a thread begins with 0x1, and only 0 is known"),
            (dump(section("corestack", b"\0\4main\1\1\0\0\0\0\0")), "a frame begins with 0x1, and only 0 is known"),
            (dump(section("corestack", b"\0\4main\1\0\0\0\0\1\x7b\0")), "no value of the type 0x7b"),
            (dump(section("corestack", b"\0\xff")), "it ends in the middle"),
            (dump(section("corestack", b"\0\1\xff\0")), "a name is not UTF-8"),
            (dump(section("corestack", b"\0\4main\5\0\0\0\0\0")), "5 entries are announced"),
            (dump(section("corestack", b"")), "it ends in the middle of an entry"),
            (MODULE + section("core", b"\0\1ax"), "core section: 1 bytes are left after the program's name"),
            (MODULE + section("core", b"\7\1a"), "the program begins with 0x7"),
            (dump(section("coremodules", b"\2\0\1a")), "2 modules are announced"),
            (dump(section("coremodules", b"\1\0\1a\0")), "1 bytes are left after the last module"),
            (dump(section("coremodules", b"\1\0\xff")), "coremodules section"),
            (dump(section("coreinstances", b"\1\0\0\0\0\0")), "1 bytes are left after the last instance"),
            (dump(section(5, b"\1\0\1\0")), "1 bytes are left after the last memory"),
            (dump(section(6, b"\1\x7f\0\x41\0\x0b\0")), "1 bytes are left after the last global"),
            (dump(section(6, b"\1\x7f\0\x23\0\x0b")), "the instruction 0x23 is no constant"),
            (dump(section(6, b"\1\x7f\0\x41\0\x41\0\x0b")), "an expression goes on after its constant"),
            (dump(section(6, b"\1\x7f\0\x42\0\x0b")), "a global of type i32 holds i64"),
            (dump(section(11, b"\1\0\x41\0\x0b\1")), "1 bytes are announced and 0 are left"),
            (dump(section(11, b"\1\1\0")), "of the kind 0x1, which has no place"),
            (dump(section(11, b"\1\0\x0b\0")), "a part of a memory has no address"),
            (dump(section(11, b"\1\0\x43\0\0\0\0\x0b\0")), "a part of a memory has no address"),
            (dump(section("core", b"\0\1b")), "there are two core sections"),
            (dump(section(5, b"\0"), section(5, b"\0")), "there are two memory sections"),
        ],
    )
    def test_are_refused_with_their_place(self, data: bytes, message: str) -> None:
        """One line that says what and where."""
        with pytest.raises(CoreDumpError) as caught:
            read(data)
        assert message in str(caught.value)
        assert "(at byte 0x" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestHugeNumbers:
    @pytest.mark.parametrize(
        "data",
        [
            dump(section("corestack", b"\0\4main" + uleb(0xFFFF_FFFF))),
            dump(section("corestack", b"\0\4main\1\0\0\0\0" + uleb(0xFFFF_FFFF) + b"\0")),
            dump(section("corestack", b"\0" + uleb(0xFFFF_FFFF) + b"a")),
            dump(section("coremodules", uleb(0xFFFF_FFFF))),
            dump(section("coreinstances", b"\1\0\0" + uleb(0xFFFF_FFFF))),
            dump(section(5, uleb(0xFFFF_FFFF))),
            dump(section(6, uleb(0xFFFF_FFFF))),
            dump(section(11, uleb(0xFFFF_FFFF))),
            dump(section(11, b"\1\0\x41\0\x0b" + uleb(0xFFFF_FFFF))),
        ],
    )
    def test_counts_without_room_are_refused_at_once(self, data: bytes) -> None:
        """Four billion entries in a few bytes: nothing is made room for."""
        started = time.process_time()
        with pytest.raises(CoreDumpError):
            read(data)
        assert time.process_time() - started < 10

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: dump(section("corestack", b"\0\0" + uleb(200_001) + bytes(6) * 200_001)), "200,000 frames"),
            (
                lambda: dump(
                    section("corestack", b"\0\0\3" + (bytes(4) + uleb(700_000) + b"\1" * 700_000 + b"\0") * 3)
                ),
                "2,000,000 locals and operands",
            ),
            (lambda: dump(section("coremodules", uleb(100_001) + b"\0\0" * 100_001)), "100,001 modules"),
            (lambda: dump(section("coreinstances", uleb(100_001) + bytes(400_004))), "100,001 instances"),
            (
                lambda: dump(section("coreinstances", b"\1\0\0" + uleb(1_000_001) + bytes(1_000_002))),
                "1,000,001 memories of instances",
            ),
            (lambda: dump(section(5, uleb(100_001) + b"\0\0" * 100_001)), "100,001 memories"),
            (lambda: dump(section(6, uleb(1_000_001) + b"\x7f\0\x0b" * 1_000_001)), "1,000,001 globals"),
            (lambda: dump(section(11, uleb(1_048_577) + b"\0\x41\0\x0b\0" * 1_048_577)), "1,048,577 parts of memories"),
        ],
    )
    def test_what_would_take_too_much_memory_is_refused(self, make: Callable[[], bytes], message: str) -> None:
        """Entries of a few bytes become objects of a hundred: so there are most of them, far above what is real."""
        with pytest.raises(CoreDumpError) as caught:
            read(make())
        assert message in str(caught.value)

    def test_time_grows_with_the_size(self) -> None:
        """A stack twenty times as deep takes about twenty times as long; quadratic: 400 times."""

        def seconds(depth: int) -> tuple[float, CoreDump]:
            frames: list[Frame] = [(0, 1, 2, [("i32", 200), None], [("i64", -1)])]
            one = DIALECTS["standard"].stack("main", frames * depth)
            data = dump(one)
            found: list[CoreDump] = []
            took = cpu_seconds(lambda: found.append(read(data)))
            return took, found[0]

        small = min(seconds(1_000)[0] for _ in range(3))
        large, found = seconds(20_000)
        assert len(found.threads[0].frames) == 20_000
        assert large < 160 * small


class TestMemory:
    def test_of_a_64_bit_memory_keeps_large_addresses(self) -> None:
        """An address above 4 GiB is read as it is."""
        address = b"\x42" + b"\x80\x80\x80\x80\xc0\x00"  # i64.const 1 << 34
        data = dump(section(5, b"\1\4" + uleb(1 << 20)), section(11, b"\1\0" + address + b"\x0b\3abc"))
        found = read(data)
        assert found.memories[0].size_bytes == 1 << 36
        assert (found.segments[0].address, found.segments[0].size) == (1 << 34, 3)

    def test_names_are_utf8(self) -> None:
        """A program's name may have any character."""
        assert read(MODULE + section("core", b"\0" + name("größe.wasm"))).executable == "größe.wasm"
