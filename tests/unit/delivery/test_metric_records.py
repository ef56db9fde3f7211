"""The reader of the collector's metrics buffer, on bytes made by hand."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import packing
from wasmscope.delivery import (
    ExponentialRecord,
    GaugeRecord,
    HistogramRecord,
    Instrument,
    InstrumentKind,
    InstrumentRecord,
    MalformedMetricsError,
    MeasurementRecord,
    MetricRecord,
    SetRecord,
    SumRecord,
    read_metrics,
)

TIMES = struct.pack("<QQ", 7, 9)
DESCRIPTOR = packing.instrument("N", unit="s", description="\N{EURO SIGN}", boundaries=[1.5, 2.5])
RECORDS: list[tuple[bytes, MetricRecord]] = [
    (
        struct.pack("<BIBBI", 1, 3, 3, 1, len(DESCRIPTOR)) + DESCRIPTOR,
        InstrumentRecord(3, Instrument(InstrumentKind.HISTOGRAM, True, "N", "s", "\N{EURO SIGN}", (1.5, 2.5))),
    ),
    (
        struct.pack("<BIBBI", 1, 4, 1, 0, 9) + packing.instrument("n"),
        InstrumentRecord(4, Instrument(InstrumentKind.COUNTER, False, "n", "", "", None)),
    ),
    (struct.pack("<BII", 2, 5, 3) + b"abc", SetRecord(5, b"abc")),
    (struct.pack("<BII", 2, 6, 0xFFFF_FFFF), SetRecord(6, None)),
    (struct.pack("<BIIq", 3, 1, 2, -(2**63)) + TIMES, SumRecord(1, 2, 7, 9, -(2**63))),
    (struct.pack("<BIId", 4, 1, 2, 0.1) + TIMES, SumRecord(1, 2, 7, 9, 0.1)),
    (struct.pack("<BIIq", 5, 1, 2, -1) + TIMES, GaugeRecord(1, 2, 7, 9, -1)),
    (struct.pack("<BIId", 6, 1, 2, 1e300) + TIMES, GaugeRecord(1, 2, 7, 9, 1e300)),
    (
        struct.pack("<BIIQdddI3Q", 7, 1, 2, 6, 10.0, 1.0, 4.0, 3, 1, 2, 3) + TIMES,
        HistogramRecord(1, 2, 7, 9, 6, 10.0, 1.0, 4.0, (1, 2, 3)),
    ),
    (
        struct.pack("<BIIQdddiQiI2Q", 8, 1, 2, 7, 10.0, 0.0, 4.0, -2, 4, -5, 2, 1, 2) + TIMES,
        ExponentialRecord(1, 2, 7, 9, 7, 10.0, 0.0, 4.0, -2, 4, -5, (1, 2)),
    ),
    (struct.pack("<BIIq", 9, 1, 2, 2**63 - 1) + TIMES, MeasurementRecord(1, 2, 7, 9, 2**63 - 1)),
    (struct.pack("<BIId", 10, 1, 2, -0.5) + TIMES, MeasurementRecord(1, 2, 7, 9, -0.5)),
    (struct.pack("<BIIQq", 11, 1, 2, 5, -3) + TIMES, SumRecord(1, 2, 7, 9, -3 * 2**64 + 5)),
]
ALL = b"".join(data for data, _ in RECORDS)


class TestReading:
    def test_each(self) -> None:
        """Each record is read, alone and behind others; whole numbers are ints."""
        for data, record in RECORDS:
            assert repr(list(read_metrics(data))) == repr([record])
        assert list(read_metrics(ALL)) == [record for _, record in RECORDS]
        assert list(read_metrics(b"")) == []

    def test_cut_anywhere(self) -> None:
        """Bytes that end inside a record are refused, and the place is named."""
        for data, _ in RECORDS:
            for size in range(1, len(data)):
                with pytest.raises(MalformedMetricsError, match=rf"^metrics record at byte 0 of {size}: "):
                    list(read_metrics(data[:size]))

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00",
            b"\x0c" + bytes(50),
            struct.pack("<BIBBI", 1, 3, 0, 0, 9) + packing.instrument("n"),
            struct.pack("<BIBBI", 1, 3, 1, 2, 9) + packing.instrument("n"),
            struct.pack("<BIIQdddI", 7, 1, 2, 6, 0, 0, 0, 0xFFFF_FFFF) + bytes(100),
            struct.pack("<BIIQdddI1Q", 7, 1, 2, 6, 10.0, 1.0, 4.0, 1, 5) + TIMES,
            struct.pack("<BII", 2, 6, 0xFFFF_FFFE),
        ],
    )
    def test_nonsense(self, data: bytes) -> None:
        """What cannot be meant is refused, and nothing large is made of an announced size."""
        with pytest.raises(MalformedMetricsError):
            list(read_metrics(data))

    @given(st.binary(max_size=200) | st.builds(lambda at, tail: ALL[:at] + tail, st.integers(0, len(ALL)), st.binary()))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes are records, or raise the one error."""
        with contextlib.suppress(MalformedMetricsError):
            list(read_metrics(data))
