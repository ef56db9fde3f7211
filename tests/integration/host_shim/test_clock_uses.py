"""How many time stamps a look at the clock serves."""

from __future__ import annotations

import pytest

from tests.support.guests import Guest
from tests.support.telemetry import Telemetry, TickingClock
from wasmscope.errors import ConfigurationError


class TestClockUses:
    @pytest.mark.parametrize(
        ("uses", "expected_ns"),
        [(1, [0, 10, 20, 30, 40]), (2, [0, 0, 10, 10, 20]), (100, [0, 0, 0, 0, 0])],
    )
    def test_records_of_a_call(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, uses: int, expected_ns: list[int]
    ) -> None:
        """So many records of a call, one after the other, have the time of one look at the clock."""
        TickingClock(start_ns=1_000, step_ns=10).install(monkeypatch)
        guest = Guest(telemetry.bridge(delivery="sdk", clock_uses=uses))

        guest.run(*[lambda: guest.log("x")] * len(expected_ns))

        times = [record.timestamp for record in telemetry.logs()]
        assert [time - times[0] for time in times] == expected_ns

    def test_next_call(self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """A call does not use what another one read: there may be any time between the two."""
        TickingClock(start_ns=1_000, step_ns=10).install(monkeypatch)
        guest = Guest(telemetry.bridge(delivery="sdk", clock_uses=100))

        guest.run(lambda: guest.log("x"))
        guest.run(lambda: guest.log("y"))

        first, second = (record.timestamp for record in telemetry.logs())
        assert first < second

    def test_none(self, telemetry: Telemetry) -> None:
        """A look at the clock that serves nothing is refused."""
        with pytest.raises(ConfigurationError, match="clock_uses=0"):
            telemetry.bridge(clock_uses=0)
