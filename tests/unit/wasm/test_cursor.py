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

    def test_too_big(self) -> None:
        """A number of more than 33 bits is refused."""
        with pytest.raises(ModuleFormatError, match="33 bits"):
            cursor(b"\xff\xff\xff\xff\x1f").s33()


class TestBounds:
    @given(st.binary(max_size=64), st.integers(0, 64), st.integers(0, 64), st.data())
    def test_never_outside(self, data: bytes, start: int, end: int, draw: st.DataObject) -> None:
        """Any read of any bytes goes forwards inside the part, or raises with a place in it."""
        reader = cursor(data, start, end)
        reads = ["byte", "u32", "u64", "s33", "name"]
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
