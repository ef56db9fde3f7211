from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm.encoding import leb
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor


def cursor(data: bytes, start: int = 0, end: int | None = None) -> Cursor:
    return Cursor(data, start, len(data) if end is None else end, "test")


class TestUnsigned:
    @given(st.integers(0, 2**32 - 1), st.integers(1, 5))
    def test_round_trip_u32(self, value: int, width: int) -> None:
        """Every 32-bit number is read back, also when it is padded to a fixed width as linkers do."""
        data = leb(value, width)
        reader = cursor(data)

        assert value == reader.u32()
        assert reader.is_at_end

    @given(st.integers(0, 2**64 - 1))
    def test_round_trip_u64(self, value: int) -> None:
        """Every 64-bit number is read back."""
        assert value == cursor(leb(value)).u64()

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\xff\xff\xff\xff\x10", id="bit 32 is set"),
            pytest.param(b"\x80\x80\x80\x80\x80\x00", id="six bytes"),
        ],
    )
    def test_too_big(self, data: bytes) -> None:
        """A number of more than 32 bits is refused where it begins, as the specification demands."""
        with pytest.raises(ModuleFormatError, match="does not fit into 32 bits") as caught:
            cursor(b"\0" + data, start=1).u32()

        assert caught.value.offset == 1

    def test_cut_off(self) -> None:
        """A number whose last byte is missing is refused where the bytes end."""
        with pytest.raises(ModuleFormatError) as caught:
            cursor(b"\x80\x80").u32()

        assert caught.value.offset == 2


class TestSigned:
    # From the specification's definition: 0x70 is funcref's code, -0x10 as a signed number.
    @pytest.mark.parametrize(
        ("data", "value"),
        [
            (b"\x00", 0),
            (b"\x3f", 63),
            (b"\x40", -64),
            (b"\x70", -16),
            (b"\xff\x00", 127),
            (b"\x80\x80\x80\x80\x70", -(2**32)),
            (b"\xff\xff\xff\xff\x0f", 2**32 - 1),
        ],
    )
    def test_values(self, data: bytes, value: int) -> None:
        """Signed numbers have their sign in bit 6 of the last byte."""
        assert value == cursor(data).s33()

    @pytest.mark.parametrize(("value", "bits"), [(2**31, 32), (-(2**31) - 1, 32), (2**63, 64), (-(2**63) - 1, 64)])
    def test_just_too_big(self, value: int, bits: int) -> None:
        """The first numbers beyond the range are refused, and the last ones within it are read."""
        inside = value - 1 if value > 0 else value + 1
        read = {32: Cursor.s32, 64: Cursor.s64}[bits]
        # Bytes of seven bits each, in two's complement: enough of them for either number.
        beyond, within = (
            bytes(0x80 | number >> shift & 0x7F for shift in range(0, bits, 7))[:-1]
            + bytes([number >> (bits // 7 * 7) & 0x7F])
            for number in (value, inside)
        )

        assert read(cursor(within)) == inside
        with pytest.raises(ModuleFormatError, match=f"{bits} bits"):
            read(cursor(beyond))

    def test_too_big(self) -> None:
        """A number of more than 33 bits is refused."""
        with pytest.raises(ModuleFormatError, match="33 bits"):
            cursor(b"\xff\xff\xff\xff\x1f").s33()


class TestCounts:
    def test_room(self) -> None:
        """More entries than there is room for are refused before anything is done for them."""
        assert cursor(b"\2ab").count() == 2
        assert cursor(b"\1ab").count(2) == 1
        with pytest.raises(ModuleFormatError, match="2 entries are announced and 3 bytes are left") as caught:
            cursor(b"?\2abc", start=1).count(2)
        assert caught.value.offset == 1

    def test_most(self) -> None:
        """A million entries can be announced if there is room for them, and no more, however large the file."""
        data = leb(1_000_000) + bytes(1_000_001)
        assert cursor(data).count() == 1_000_000
        with pytest.raises(ModuleFormatError, match="1,000,001 entries are announced; no runtime"):
            cursor(leb(1_000_001) + data).count()

    def test_skip(self) -> None:
        """Going over more bytes than are left is refused."""
        reader = cursor(b"abc")
        reader.skip(3)
        assert reader.is_at_end
        with pytest.raises(ModuleFormatError, match="1 bytes are announced and 0 are left"):
            reader.skip(1)


class TestBounds:
    @given(st.binary(max_size=64), st.integers(0, 64), st.integers(0, 64), st.data())
    def test_never_outside(self, data: bytes, start: int, end: int, draw: st.DataObject) -> None:
        """Any read of any bytes goes forwards inside the part, or raises with a place in it."""
        reader = cursor(data, start, end)
        reads = ["byte", "u32", "u64", "s32", "s33", "s64", "name", "count"]
        for read in draw.draw(st.lists(st.sampled_from(reads), max_size=8)):
            before = reader.position
            try:
                getattr(reader, read)()
            except ModuleFormatError as error:
                assert error.offset is not None
                assert start <= error.offset <= max(start, min(end, len(data)))
                return
            assert before < reader.position <= min(end, len(data))

    def test_names(self) -> None:
        """A name is UTF-8; anything else is refused where it is wrong."""
        assert cursor(b"\x07gr\xc3\xb6\xc3\x9fe").name() == "größe"
        with pytest.raises(ModuleFormatError, match="UTF-8") as caught:
            cursor(b"\x03ab\xff").name()
        assert caught.value.offset == 3
