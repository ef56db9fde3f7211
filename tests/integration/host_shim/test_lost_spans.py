"""What guests do to a span that the host did not keep."""

from __future__ import annotations

import pytest
from opentelemetry.trace import StatusCode

from tests.support.guests import Guest
from tests.support.telemetry import Telemetry

LOST = -2


class TestLost:
    def test_changes_no_other_span(self, guest: Guest, telemetry: Telemetry) -> None:
        """Attributes, status, events, links and the name of a lost span go nowhere, and are not counted."""

        def body() -> None:
            outer = guest.entered("outer")
            guest.abi("span_attributes", LOST, *guest.attrs({"stray": 1}))
            guest.abi("span_status", LOST, 2, *guest.text("stray"))
            guest.abi("span_rename", LOST, *guest.text("stray"))
            guest.abi("span_link", LOST, outer, 0, 0)
            guest.abi("span_link", outer, LOST, 0, 0)
            guest.event(LOST, "stray")
            for name in ("span_enter", "span_exit", "span_end"):
                guest.abi(name, LOST)
            guest.abi("span_end", outer)

        guest.run(body)

        span = telemetry.span("outer")
        assert dict(span.attributes or {}) == {}
        assert span.status.status_code is StatusCode.UNSET
        assert not span.events
        assert not span.links
        assert guest.rejected() == {}

    @pytest.mark.parametrize("entered", [True, False])
    def test_as_parent_it_is_the_current_span(self, guest: Guest, telemetry: Telemetry, entered: bool) -> None:
        """A child of a lost span belongs to the span that is current."""

        def body() -> None:
            outer = guest.entered("outer") if entered else guest.start("outer")
            guest.abi("span_end", guest.start("child", context=LOST))
            guest.abi("span_end", outer)

        guest.run(body)

        parent = telemetry.span("child").parent
        assert parent is not None
        expected = telemetry.span("outer" if entered else "wasm.call run").context
        assert expected is not None
        assert parent.span_id == expected.span_id

    def test_exceptions_are_kept(self, guest: Guest, telemetry: Telemetry) -> None:
        """An exception on a lost span goes to the current one: what failed must be seen."""

        def body() -> None:
            outer = guest.entered("outer")
            guest.exception(LOST, "ValueError", "bad value")
            guest.abi("span_end", outer)

        guest.run(body)

        assert [event.name for event in telemetry.span("outer").events] == ["exception"]
