"""Guests' logs in structlog, and trace ids on the host's own."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import LogCapture

from tests.unit.exporters.spans import context_of
from wasmscope.exporters import add_trace_context, structlog_sink


def capturing() -> tuple[LogCapture, Any]:
    """Give a real structlog pipeline and where it ends."""
    capture = LogCapture()
    return capture, structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.BoundLogger)


def provider_to(logger: Any, **options: Any) -> LoggerProvider:
    """Give a logger provider whose records go to structlog."""
    provider = LoggerProvider()
    provider.add_log_record_processor(structlog_sink(logger, **options))
    return provider


@pytest.fixture
def usual_structlog() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()


class TestSink:
    def test_event(self) -> None:
        """Body, severity, module, tenant, target, ids and attributes are there."""
        capture, logger = capturing()
        span = trace.NonRecordingSpan(context_of(0xABC, 0xDEF))
        provider_to(logger).get_logger("greeter", "0.1.0").emit(
            body="hello",
            severity_number=SeverityNumber.WARN2,
            context=trace.set_span_in_context(span),
            attributes={
                "wasm.tenant": "acme",
                "wasmscope.target": "greeter::greet",
                "code.line.number": 7,
                "count": 3,
            },
            event_name="greeting",
        )

        expected = {
            "event": "hello",
            "log_level": "warning",
            "module": "greeter",
            "module_version": "0.1.0",
            "tenant": "acme",
            "target": "greeter::greet",
            "code.line.number": 7,
            "count": 3,
            "event_name": "greeting",
            "trace_id": f"{0xDEF:032x}",
            "span_id": f"{0xABC:016x}",
            "trace_flags": "01",
        }
        assert [expected] == capture.entries

    def test_levels(self) -> None:
        """The severity ranges have structlog's levels; no severity is information."""
        capture, logger = capturing()
        guest = provider_to(logger).get_logger("greeter")
        for number in (1, 5, 9, 13, 17, 21, 24):
            guest.emit(body="x", severity_number=SeverityNumber(number))
        guest.emit(body="x")

        levels = [entry["log_level"] for entry in capture.entries]
        assert levels == ["debug", "debug", "info", "warning", "error", "critical", "critical", "info"]

    def test_names_with_a_meaning(self) -> None:
        """A guest's attribute cannot pass for what structlog or the host says."""
        capture, logger = capturing()
        names = ("event", "level", "exc_info", "self", "module", "trace_id", "_record", "timestamp")
        provider_to(logger).get_logger("greeter").emit(body="x", attributes=dict.fromkeys(names, "forged"))

        (entry,) = capture.entries
        assert entry["module"] == "greeter"
        assert entry["event"] == "x"
        assert all(entry[f"guest.{name}"] == "forged" for name in names)

    def test_escapes(self) -> None:
        """Control characters of a guest do not reach the terminal at the pipeline's end."""
        capture, logger = capturing()
        provider_to(logger).get_logger("greeter").emit(body="\x1b[31m", attributes={"k": "a\nb"})

        assert (capture.entries[0]["event"], capture.entries[0]["k"]) == (r"\x1b[31m", r"a\nb")

    def test_named_modules_only(self) -> None:
        """Where modules are named, the host's own records stay out."""
        capture, logger = capturing()
        provider = provider_to(logger, modules=["greeter"])
        provider.get_logger("host").emit(body="mine")
        provider.get_logger("greeter").emit(body="hello")

        assert [entry["event"] for entry in capture.entries] == ["hello"]

    def test_failing_pipeline(self, caplog: pytest.LogCaptureFixture) -> None:
        """A pipeline that raises disturbs nobody, and is told of once."""

        def broken(logger: object, name: str, event: Any) -> Any:
            raise RuntimeError("broken")

        logger = structlog.wrap_logger(None, processors=[broken], wrapper_class=structlog.BoundLogger)
        guest = provider_to(logger).get_logger("greeter")
        with caplog.at_level(logging.WARNING, "wasmscope.exporters"):
            guest.emit(body="x")
            guest.emit(body="y")

        assert len(caplog.records) == 1

    def test_circle(self) -> None:
        """A pipeline that ends in the same provider does not go round for ever."""
        provider = LoggerProvider()
        seen: list[str] = []

        def back(logger: object, name: str, event: Any) -> Any:
            seen.append(event["event"])
            provider.get_logger("greeter").emit(body="again")
            raise structlog.DropEvent

        logger = structlog.wrap_logger(None, processors=[back], wrapper_class=structlog.BoundLogger)
        provider.add_log_record_processor(structlog_sink(logger))
        provider.get_logger("greeter").emit(body="once")

        assert seen == ["once"]

    def test_default_logger(self, usual_structlog: None) -> None:
        """Without a logger, structlog's configuration at the time of the event counts."""
        provider = provider_to(None)
        capture = LogCapture()
        structlog.configure(processors=[capture])
        provider.get_logger("greeter").emit(body="hello")

        assert [entry["event"] for entry in capture.entries] == ["hello"]

    @given(
        st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text())),
        st.dictionaries(st.text(min_size=1), st.one_of(st.text(), st.integers(), st.booleans())),
    )
    def test_any_record_arrives(self, body: Any, attributes: dict[str, Any]) -> None:
        """Whatever a guest puts into a record, one event arrives."""
        capture, logger = capturing()
        provider_to(logger).get_logger("greeter").emit(body=body, attributes=attributes)

        assert len(capture.entries) == 1


class TestTraceContext:
    def test_inside_a_span(self) -> None:
        """The current span's ids are added under OpenTelemetry's names."""
        tracer = TracerProvider().get_tracer("test")
        with tracer.start_as_current_span("work") as span:
            event = add_trace_context(None, "info", {"event": "hi"})
            context = span.get_span_context()

        assert {
            "event": "hi",
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
            "trace_flags": f"{context.trace_flags:02x}",
        } == event

    def test_outside(self) -> None:
        """Without a span nothing is added."""
        assert add_trace_context(None, "info", {"event": "hi"}) == {"event": "hi"}

    def test_present_keys(self) -> None:
        """What the event says already stays."""
        with trace.use_span(trace.NonRecordingSpan(context_of(1))):
            assert add_trace_context(None, "info", {"trace_id": "mine"})["trace_id"] == "mine"
