"""The ABI's log records, through real wasm."""

from __future__ import annotations

from tests.support.guests import Guest
from tests.support.telemetry import Telemetry


class TestLog:
    def test_hello(self, guest: Guest, telemetry: Telemetry) -> None:
        """A record has the severity, body and attributes that the guest gave."""
        guest.run(lambda: guest.log("hello", {"n": 1}))

        record = telemetry.log("hello")
        assert dict(record.attributes) == {"n": 1}
        assert guest.rejected() == {}
