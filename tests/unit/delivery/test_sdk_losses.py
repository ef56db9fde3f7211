"""What goes wrong on the way to the SDK."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.context import Context
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, Tracer, TracerProvider
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider

from tests.unit.delivery.sdk import SCOPE, SPAN_ID, TRACE_ID, Sdk, log, logs_body, span, spans_body
from wasmscope.delivery import SdkDelivery


class Bad(SpanProcessor):
    """Raises for spans of one name."""

    def __init__(self, at: str) -> None:
        self.at = at

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self.at == "start" and span.name == "bad":
            raise ValueError("cannot start")

    def on_end(self, span: ReadableSpan) -> None:
        if self.at == "end" and span.name == "bad":
            raise ValueError("cannot\nend")


class BadLogs(LogRecordProcessor):
    """Raises for records of one body."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        if log_record.log_record.body == "bad":
            raise ValueError("cannot emit")

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "wasmscope.delivery"]


class TestRaising:
    """Processors that raise."""

    @pytest.mark.parametrize("at", ["start", "end"])
    def test_spans(self, at: str, caplog: pytest.LogCaptureFixture) -> None:
        """The spans before and after the one in hand go on; the loss is counted, and logged in one line, once. What
        raises at a span's start keeps the processors after it from seeing its start, and none from seeing its end."""
        sdk = Sdk(Bad(at))
        got = sdk.spans(span("a"), span("bad"), span("b"), span("bad"), span("c"))
        sdk.spans(span("bad"))

        assert [s.name for s in got if s.name != "bad"] == ["a", "b", "c"]
        assert [s.name for s in got].count("bad") == (2 if at == "start" else 0)
        assert sdk.delivery.lost() == {("traces", "failed"): 3}
        (line,) = warnings(caplog)
        assert "cannot" in line and "\n" not in line

    def test_logs(self, caplog: pytest.LogCaptureFixture) -> None:
        """Likewise log records."""
        sdk = Sdk(BadLogs())
        got = sdk.logs(log("a"), log("bad"), log("b"), log("bad"))

        assert [record.log_record.body for record in got] == ["a", "b"]
        assert sdk.delivery.lost() == {("logs", "failed"): 2}
        (line,) = warnings(caplog)
        assert "cannot emit" in line

    def test_interrupt(self) -> None:
        """What is no `Exception`, such as Ctrl-C, gets out."""

        class Interrupted(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Sdk(Interrupted()).span(span())


class TestMalformed:
    """Bytes that are not OTLP, which only a defect of ours can make."""

    @pytest.mark.parametrize("body", [b"\x12\x05abc", b"\xff" * 20, spans_body(span())[:-1]])
    def test_counted(self, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
        """They are counted as so many records and nothing raises."""
        sdk = Sdk()
        sdk.delivery.spans(SCOPE, body, 3)
        sdk.delivery.logs(SCOPE, body, 2)

        assert sdk.exporter.get_finished_spans() == ()
        assert sdk.delivery.lost() == {("traces", "malformed"): 3, ("logs", "malformed"): 2}
        assert len(warnings(caplog)) == 2

    def test_nonsense(self) -> None:
        """Well-formed OTLP with ids that are none, times that run backwards and unknown numbers is handed on."""
        given = OtlpSpan(trace_id=b"x" * 40, span_id=b"", kind=99, start_time_unix_nano=9, end_time_unix_nano=3)  # type: ignore[arg-type]
        given.status.code = 17  # type: ignore[assignment]
        given.links.add(trace_id=b"", span_id=b"")
        sdk = Sdk()
        sdk.spans(given, span("next"))
        sdk.logs(log(trace_id=b"x" * 17, severity_number=77), log("next"))

        assert sdk.delivery.lost() == {}
        assert sdk.log_exporter.get_finished_logs()[-1].log_record.body == "next"
        assert sdk.exporter.get_finished_spans()[-1].name == "next"

    def test_empty(self) -> None:
        """No bytes are no records."""
        sdk = Sdk()
        sdk.delivery.spans(SCOPE, b"", 0)
        sdk.delivery.logs(SCOPE, b"", 0)

        assert sdk.delivery.lost() == {}


class TestProviders:
    """Whose providers can be served."""

    def test_can_serve(self) -> None:
        """The SDK's own can; the API's placeholders, those that do nothing, and changed tracers cannot."""

        class OwnTracer(Tracer):
            def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
                return super().start_span(*args, **kwargs)

        class OwnProvider(TracerProvider):
            def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
                tracer = super().get_tracer(*args, **kwargs)
                tracer.__class__ = OwnTracer
                return tracer

        assert SdkDelivery.can_serve(TracerProvider(shutdown_on_exit=False))
        assert not SdkDelivery.can_serve(NoOpTracerProvider())
        assert not SdkDelivery.can_serve(ProxyTracerProvider())
        assert not SdkDelivery.can_serve(OwnProvider(shutdown_on_exit=False))

    def test_disabled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An SDK that ``OTEL_SDK_DISABLED`` turned off cannot."""
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

        assert not SdkDelivery.can_serve(TracerProvider(shutdown_on_exit=False))

    def test_no_sdk(self, caplog: pytest.LogCaptureFixture) -> None:
        """Spans for a provider without processors are counted as lost; log records are the API's affair."""
        delivery = SdkDelivery(tracer_provider=NoOpTracerProvider(), logger_provider=NoOpLoggerProvider())
        delivery.spans(SCOPE, spans_body(span(), span()), 2)
        delivery.logs(SCOPE, logs_body(log()), 1)

        assert delivery.lost() == {("traces", "no_sdk"): 2}
        assert delivery.tracer(SCOPE) is None
        assert len(warnings(caplog)) == 1

    def test_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without given providers, the global ones are used as they are then."""
        current: list[Any] = [ProxyTracerProvider()]
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: current[0])
        delivery = SdkDelivery()
        assert delivery.tracer(SCOPE) is None

        first, second = Sdk(), Sdk()
        for sdk in (first, second):
            current[0] = sdk.tracer_provider
            delivery.spans(SCOPE, spans_body(span()), 1)

        assert len(first.exporter.get_finished_spans()) == len(second.exporter.get_finished_spans()) == 1


def test_nothing_is_logged_usually(caplog: pytest.LogCaptureFixture) -> None:
    """A usual batch leaves no line in any log."""
    with caplog.at_level(logging.DEBUG):
        sdk = Sdk()
        sdk.spans(span(), span(trace_state="v=x", attributes={"a": [1, "b"]}))
        sdk.logs(log(), log(trace_id=TRACE_ID, span_id=SPAN_ID))

    assert caplog.records == []
