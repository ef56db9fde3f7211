"""Quantities as text."""

import pytest

from wasmscope.exporters._units import (
    bytes_text,
    count_text,
    duration_text,
    measured_text,
)


class TestDuration:
    @pytest.mark.parametrize(
        ("duration_ns", "expected"),
        [
            (0, "0 ns"),
            (999, "999 ns"),
            (999.6, "1.00 µs"),
            (1_000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (1_234_567, "1.23 ms"),
            (59_400_000_000, "59.4 s"),
            (999_600_000_000, "16m 40s"),
            (3_600_000_000_000, "1h 00m"),
            (-5, "0 ns"),
            (float("nan"), "?"),
        ],
    )
    def test_three_digits(self, duration_ns: float, expected: str) -> None:
        """Three significant digits and a unit in which the number is below 1,000."""
        assert expected == duration_text(duration_ns)

    def test_never_wider_than_its_column(self) -> None:
        """From a nanosecond to a month, eight cells are enough, with a sign in front."""
        for exponent in range(16):
            for digits in (1, 4.999, 9.994, 9.996):
                text = duration_text(min(digits * 10**exponent, 30 * 86_400e9))

                assert len(text) <= 8


class TestBytes:
    @pytest.mark.parametrize(
        ("size_bytes", "expected"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (65_536, "64.0 KiB"),
            (1_179_648, "1.12 MiB"),
            (4 * 2**30, "4.00 GiB"),
            (2**63, "8.00 EiB"),
            (-2048, "-2.00 KiB"),
            (float("inf"), "?"),
        ],
    )
    def test_binary_units(self, size_bytes: float, expected: str) -> None:
        """Sizes are in units of 1,024."""
        assert expected == bytes_text(size_bytes)


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (0, "0"),
            (182_311, "182,311"),
            (2**60, "1,152,921,504,606,846,976"),
            (2.0, "2"),
            (0.1 + 0.2, "0.3"),
            (1234.5678, "1,234.57"),
            (float("nan"), "nan"),
            (1e300, "1e+300"),
        ],
    )
    def test_count(self, value: float, expected: str) -> None:
        """Whole numbers are complete, others have six digits."""
        assert expected == count_text(value)

    @pytest.mark.parametrize(
        ("value", "unit", "expected"),
        [
            (0.0125, "s", "12.5 ms"),
            (12.5, "ms", "12.5 ms"),
            (2048, "By", "2.00 KiB"),
            (3, "{request}", "3"),
            (3, "1", "3"),
            (3, "", "3"),
            (21.5, "Cel", "21.5 Cel"),
            (-2, "s", "-2 s"),
        ],
    )
    def test_measured(self, value: float, unit: str, expected: str) -> None:
        """Seconds and bytes are scaled; what only names the thing counted is left away."""
        assert expected == measured_text(value, unit)
