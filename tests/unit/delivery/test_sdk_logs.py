"""Log records of guests in the SDK."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import get_current_span

from tests.unit.delivery.sdk import SPAN_ID, TRACE_ID, Sdk, log, value


class Tag(LogRecordProcessor):
    """Copies baggage to records, and keeps their contexts."""

    def __init__(self) -> None:
        self.contexts: list[Context | None] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        record = log_record.log_record
        self.contexts.append(record.context)
        for key, item in baggage.get_all(record.context).items():
            record.attributes[key] = str(item)  # type: ignore[index]

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class TestFields:
    """Each field of a record arrives."""

    def test_fields(self) -> None:
        """Times, severity, body, attributes, event name, scope and resource."""
        sdk = Sdk()
        given = log(
            attributes={"a": 1, "list": ["x"]},
            observed_time_unix_nano=1_500,
            severity_number=13,
            severity_text="WARN",
            event_name="order.created",
        )
        got = sdk.log(given)
        record = got.log_record

        assert (record.timestamp, record.observed_timestamp) == (1_000, 1_500)
        assert (record.severity_number, record.severity_text) == (SeverityNumber.WARN, "WARN")
        assert record.body == "hello"
        assert record.attributes == {"a": 1, "list": ("x",)}
        assert record.event_name == "order.created"
        assert got.instrumentation_scope == InstrumentationScope("module", "1.2")
        assert got.resource == sdk.resource

    def test_nothing(self) -> None:
        """What is not there is None, and the body may be empty."""
        record = Sdk().log(log("")).log_record

        assert (record.severity_number, record.severity_text, record.event_name) == (None, None, None)
        assert record.body == ""
        assert record.attributes == {}

    def test_body_of_any_type(self) -> None:
        """OTLP's bodies may be of any type."""
        given = log()
        given.body.CopyFrom(value({"a": [1, None]}))

        assert Sdk().log(given).log_record.body == {"a": (1, None)}


class TestContext:
    """The span that a record was made in."""

    def test_span(self) -> None:
        """A record has the ids and flags of its span, and a context in which that is the current one."""
        seen = Tag()
        record = Sdk(seen).log(log(trace_id=TRACE_ID, span_id=SPAN_ID, flags=3)).log_record

        assert (record.trace_id, record.span_id) == (int.from_bytes(TRACE_ID), int.from_bytes(SPAN_ID))
        assert record.trace_flags == 3
        assert get_current_span(seen.contexts[0]).get_span_context().span_id == int.from_bytes(SPAN_ID)

    def test_no_span(self) -> None:
        """A record without span has none, whatever span is current where it is delivered."""
        sdk = Sdk()
        with sdk.tracer_provider.get_tracer("host").start_as_current_span("other"):
            record = sdk.log(log()).log_record

        assert (record.trace_id, record.span_id, record.trace_flags) == (0, 0, 0)

    @pytest.mark.parametrize("ids", [{}, {"trace_id": TRACE_ID, "span_id": SPAN_ID, "flags": 1}])
    def test_baggage(self, ids: dict[str, Any]) -> None:
        """Processors find the baggage that is current."""
        token = attach(baggage.set_baggage("tenant", "acme", Context()))
        try:
            record = Sdk(Tag()).log(log(**ids)).log_record
        finally:
            detach(token)

        assert record.attributes == {"tenant": "acme"}
