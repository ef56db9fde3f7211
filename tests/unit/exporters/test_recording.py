"""Telemetry kept in memory."""

import io
import threading

import pytest
from opentelemetry import trace
from opentelemetry.context import set_value
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.unit.exporters.story import measure, tell_order
from wasmscope.exporters import Layout, Recording, print_recording, render_recording


def tracer_to(recording: Recording) -> trace.Tracer:
    """Give a tracer whose spans are recorded."""
    provider = TracerProvider()
    provider.add_span_processor(recording.span_processor)
    return provider.get_tracer("test")


class TestBounds:
    def test_oldest_spans_go_first(self) -> None:
        """The newest spans are kept: those end last that others hang below."""
        recording = Recording(max_spans=2)
        tracer = tracer_to(recording)
        with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
            for i in range(5):
                tracer.start_span(f"leaf {i}").end()

        assert [span.name for span in recording.spans] == ["child", "root"]
        assert recording.dropped["spans"] == 5

    def test_bytes(self) -> None:
        """Big spans count by their size: attributes, events and links included."""
        recording = Recording(max_bytes=1_000_000)
        tracer = tracer_to(recording)
        for i in range(100):
            span = tracer.start_span("big", attributes={"a": "x" * 50_000})
            span.add_event("e", {"list": ["y" * 50_000]})
            span.end()
            kept = len(recording.spans)

            assert kept == min(i + 1, 9)

    def test_bigger_than_all(self) -> None:
        """A span that does not fit at all is dropped alone."""
        recording = Recording(max_bytes=10_000)
        tracer_to(recording).start_span("x", attributes={"a": "x" * 50_000}).end()

        assert recording.spans == ()
        assert recording.dropped["spans"] == 1

    def test_logs(self) -> None:
        """Log records are bounded likewise, bodies with nested values included."""
        recording = Recording(max_logs=3, max_bytes=1_000_000)
        provider = LoggerProvider()
        provider.add_log_record_processor(recording.log_record_processor)
        for i in range(5):
            provider.get_logger("test").emit(body=i)

        assert [log.log_record.body for log in recording.logs] == [2, 3, 4]

        provider.get_logger("test").emit(body={"k": ["x" * 998_500]})
        assert len(recording.logs) == 1
        assert recording.dropped == {"spans": 0, "log records": 5}


class TestWhatIsKept:
    def test_unsampled(self) -> None:
        """A span that is not sampled is not kept."""
        recording = Recording()
        provider = TracerProvider(ALWAYS_OFF)
        provider.add_span_processor(recording.span_processor)
        provider.get_tracer("test").start_span("x").end()

        assert recording.spans == ()

    def test_context_is_not_held(self) -> None:
        """The context of a record, which can hold anything, is let go."""
        recording = Recording()
        provider = LoggerProvider()
        provider.add_log_record_processor(recording.log_record_processor)
        provider.get_logger("test").emit(body="x", context=set_value("big", bytearray(10)))

        assert recording.logs[0].log_record.context == {}

    def test_metrics_after_shutdown(self) -> None:
        """The totals can be read after the meter provider was shut down."""
        recording = Recording()
        provider = MeterProvider([recording.metric_reader])
        provider.get_meter("test").create_counter("c").add(1)
        provider.shutdown()

        assert recording.metrics() is not None

    def test_no_metrics(self) -> None:
        """Nothing measured is None."""
        recording = Recording()
        MeterProvider([recording.metric_reader])

        assert recording.metrics() is None

    def test_threads(self) -> None:
        """Spans of many threads are all there, or counted."""
        recording = Recording(max_spans=1_000)
        tracer = tracer_to(recording)

        def work() -> None:
            for _ in range(500):
                tracer.start_span("x").end()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(recording.spans) == 1_000
        assert recording.dropped["spans"] == 3_000


class TestRendering:
    def test_all_parts(self) -> None:
        """Traces, metrics and accounts follow each other, with blank lines between."""
        story = tell_order()
        measure(story)
        titles = [part.split("\n")[0].split()[0] for part in render_recording(story.recording).split("\n\n")]

        assert titles == ["trace", "metrics", "guests"]

    def test_print(self) -> None:
        """Printing writes the rendering that suits the stream."""
        story = tell_order()
        stream = io.StringIO()
        print_recording(story.recording, stream, layout=Layout(width=60))

        assert render_recording(story.recording, Layout(width=60)) == stream.getvalue()

    def test_default_stream(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a stream it is standard error, which keeps pipes clean."""
        print_recording(tell_order().recording)
        captured = capsys.readouterr()

        assert captured.out == ""
        assert captured.err.startswith("trace ")

    def test_empty(self) -> None:
        """An empty recording is an empty text."""
        assert render_recording(Recording()) == ""
