"""Providers as the environment says, and what they deliver."""

import io
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from tests.support.jaeger import Jaeger
from tests.unit.exporters.receivers import (
    closed_port,
    grpc_receiver,
    http_receiver,
    silent_server,
)
from tests.unit.exporters.story import CountingIds
from wasmscope.errors import ConfigurationError
from wasmscope.exporters import Providers, Recording, providers_from_environment


@pytest.fixture(autouse=True)
def no_environment(clean_environment: None) -> None:
    """Start without OTEL_* variables."""


def speak(providers: Providers, spans: int = 3) -> None:
    """Make some spans, as many log records, and two metrics."""
    tracer = providers.tracer_provider.get_tracer("guest")
    logger = providers.logger_provider.get_logger("guest")
    for i in range(spans):
        with tracer.start_as_current_span(f"span {i}"):
            logger.emit(body=f"log {i}")
    meter = providers.meter_provider.get_meter("guest")
    meter.create_counter("count").add(1)
    meter.create_histogram("size").record(1)


class TestDelivery:
    def test_grpc(self) -> None:
        """Over gRPC all three signals arrive, with the service's name."""
        with grpc_receiver() as received:
            with providers_from_environment(otlp=received.endpoint, service_name="mine") as providers:
                speak(providers)

            assert sorted(span.name for span in received.spans) == ["span 0", "span 1", "span 2"]
            assert len(received.logs) == 3
            assert {"count", "size"} == received.metric_names
            assert [received.resource(signal)["service.name"] for signal in received.requests] == ["mine"] * 3
            assert providers.report() == []

    def test_http(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Over HTTP as well, with the environment's headers and compression."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        with http_receiver() as received:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            with providers_from_environment(otlp=received.endpoint) as providers:
                speak(providers)

            assert (len(received.spans), len(received.logs)) == (3, 3)
            assert received.headers["x-key"] == "secret"
            assert received.headers["content-encoding"] == "gzip"
            assert providers.report() == []

    def test_environment_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``OTEL_*`` variables are enough, a signal at a time."""
        with http_receiver() as received:
            monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
            monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
            with providers_from_environment() as providers:
                speak(providers)

            assert (3, 0, set[str]()) == (len(received.spans), len(received.logs), received.metric_names)

    def test_switch_and_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OTLP by switch and by variable is one exporter, not two."""
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        with grpc_receiver() as received:
            with providers_from_environment(otlp=received.endpoint) as providers:
                speak(providers)

            assert len(received.spans) == 3

    @pytest.mark.parametrize("protocol", ["grpc", "http"])
    def test_jaeger(self, jaeger: Jaeger, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A real Jaeger takes all of it."""
        endpoint = jaeger.otlp_grpc
        if protocol == "http":
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            endpoint = jaeger.otlp_http
        with providers_from_environment(otlp=endpoint, service_name=f"exporters-{protocol}") as providers:
            tracer = providers.tracer_provider.get_tracer("guest")
            with tracer.start_as_current_span("parent") as parent, tracer.start_as_current_span("child"):
                providers.meter_provider.get_meter("guest").create_counter("delivered").add(1)

        assert providers.report() == []
        found = jaeger.trace(trace.format_trace_id(parent.get_span_context().trace_id), spans=2)
        assert {"parent", "child"} == {span["operationName"] for span in found["spans"]}


class TestUndelivered:
    """What a program says when nobody listens."""

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_nobody_listens(self, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refused connections end the program at once, and the account says what got lost."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        endpoint = closed_port()
        providers = providers_from_environment(otlp=endpoint)
        started = time.monotonic()
        speak(providers)
        spoken = time.monotonic()
        providers.shutdown()
        ended = time.monotonic()

        assert spoken - started < 2
        assert ended - spoken < 5
        (line,) = providers.report()
        assert f"3 spans, 3 log records, 2 metric points not delivered to {endpoint} ({protocol}): " in line
        assert "connection refused; is a collector listening there?" in line

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_no_answer(self, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A collector that hangs holds a program up no longer than the timeout."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        with silent_server() as endpoint:
            providers = providers_from_environment(otlp=endpoint)
            speak(providers)
            started = time.monotonic()
            providers.shutdown(timeout_s=1)

            assert time.monotonic() - started < 4
            (line,) = providers.report()
            assert "3 spans, 3 log records, 2 metric points not delivered" in line
            assert "no answer in time" in line

    def test_refused_by_collector(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What an HTTP status says is passed on in words."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        with http_receiver(lambda: 401) as received, providers_from_environment(otlp=received.endpoint) as providers:
            speak(providers)

        (line,) = providers.report()
        assert "access denied (401); check OTEL_EXPORTER_OTLP_HEADERS" in line

    def test_busy_for_a_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Failures that were made good by a retry are not reported."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        statuses = [503]
        with http_receiver(lambda: statuses.pop() if statuses else 200) as received:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
            with providers_from_environment() as providers:
                speak(providers)
                for _ in range(100):
                    if received.spans:
                        break
                    time.sleep(0.05)

            assert len(received.spans) == 3
            assert providers.report() == []

    def test_wrong_protocol(self) -> None:
        """Speaking gRPC to an HTTP server leads to the right variable."""
        with http_receiver() as received, providers_from_environment(otlp=received.endpoint) as providers:
            speak(providers)

        (line,) = providers.report()
        assert "OTEL_EXPORTER_OTLP_PROTOCOL" in line

    def test_full_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the queue could not hold is counted, and the variable to change named."""
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "5")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        with grpc_receiver() as received:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
            with providers_from_environment() as providers:
                speak(providers, spans=2_000)
            lost = 2_000 - len(received.spans)

        assert lost > 0
        (line,) = providers.report()
        assert f"{lost:,} of 2,000 spans not delivered" in line
        assert "OTEL_BSP_MAX_QUEUE_SIZE" in line

    def test_quiet(self) -> None:
        """A program without logging configuration prints nothing of all that."""
        program = (
            "import sys\n"
            "from wasmscope.exporters import providers_from_environment\n"
            "with providers_from_environment(otlp=sys.argv[1]) as providers:\n"
            "    providers.tracer_provider.get_tracer('t').start_span('s').end()\n"
            "print(*providers.report())\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program, closed_port()],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

        assert ended.stderr == ""
        assert "1 span not delivered" in ended.stdout

    def test_handler_goes(self) -> None:
        """After shutdown the logger ``opentelemetry`` is as it was."""
        before = list(logging.getLogger("opentelemetry").handlers)
        with providers_from_environment(otlp=closed_port()):
            assert before != logging.getLogger("opentelemetry").handlers

        assert before == logging.getLogger("opentelemetry").handlers

    def test_twice(self) -> None:
        """A second shutdown does nothing."""
        providers = providers_from_environment()
        providers.shutdown()
        providers.shutdown()

        assert providers.report() == []


class TestJson:
    def test_lines(self) -> None:
        """All signals are written as JSON lines; the stream stays open."""
        stream = io.StringIO()
        with providers_from_environment(json_stream=stream) as providers:
            speak(providers)
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]

        assert {"resourceSpans", "resourceLogs", "resourceMetrics"} == {key for line in lines for key in line}
        assert providers.report() == []

    def test_bursts(self) -> None:
        """10,000 spans at once are all written: a stream has a longer queue."""
        stream = io.StringIO()
        with providers_from_environment(json_stream=stream) as providers:
            speak(providers, spans=10_000)
            providers.shutdown(timeout_s=30)

        spans = [line for line in stream.getvalue().splitlines() if line.startswith('{"resourceSpans"')]
        assert sum(line.count('"spanId"') for line in spans) == 10_000

    def test_broken_pipe(self) -> None:
        """When nobody reads any more, that is told like any other loss."""
        reading, writing = os.pipe()
        os.close(reading)
        stream = os.fdopen(writing, "w")
        try:
            with providers_from_environment(json_stream=stream) as providers:
                speak(providers)
        finally:
            with pytest.raises(BrokenPipeError):
                stream.close()

        (line,) = providers.report()
        assert "3 spans, 3 log records, 2 metric points not delivered to the JSON stream" in line


class TestSettings:
    def test_nothing_set(self) -> None:
        """Without variables and arguments, providers work and export nothing."""
        with providers_from_environment() as providers:
            speak(providers)

        assert providers.report() == []

    def test_recording(self) -> None:
        """A recording gets everything."""
        recording = Recording()
        with providers_from_environment(recording=recording) as providers:
            speak(providers)

        assert (len(recording.spans), len(recording.logs)) == (3, 3)
        assert recording.metrics() is not None

    def test_disabled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``OTEL_SDK_DISABLED`` turns all of it off, exporters included."""
        monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
        recording = Recording()
        with providers_from_environment(otlp=closed_port(), recording=recording) as providers:
            speak(providers)

        assert providers.disabled
        assert (len(recording.spans), len(recording.logs)) == (0, 0)
        assert providers.report() == []

    def test_resource(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment's service name and attributes win over the program's own name."""
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        assert (
            providers_from_environment(service_name="mine").tracer_provider.resource.attributes["service.name"]
            == "mine"
        )

        monkeypatch.setenv("OTEL_SERVICE_NAME", "theirs")
        attributes = providers_from_environment(service_name="mine").tracer_provider.resource.attributes
        assert attributes["service.name"] == "theirs"
        assert attributes["deployment.environment.name"] == "test"

    def test_sampler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Samplers are those of the SDK."""
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        recording = Recording()
        with providers_from_environment(recording=recording) as providers:
            speak(providers)

        assert recording.spans == ()

    def test_unknown_sampler(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """A sampler that only other languages have is warned of and ignored, as the specification asks."""
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "jaeger_remote")
        recording = Recording()
        with providers_from_environment(recording=recording) as providers:
            speak(providers)

        assert len(recording.spans) == 3
        assert "jaeger_remote" in caplog.text

    def test_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Attribute limits are those of the SDK."""
        monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
        recording = Recording()
        with providers_from_environment(recording=recording) as providers:
            providers.tracer_provider.get_tracer("t").start_span("s", attributes={"k": "12345"}).end()

        assert recording.spans[0].attributes == {"k": "123"}

    def test_ids(self) -> None:
        """Ids can be chosen."""
        recording = Recording()
        with providers_from_environment(recording=recording, id_generator=CountingIds()) as providers:
            speak(providers, spans=1)
        context = recording.spans[0].context

        assert context is not None
        assert CountingIds().generate_trace_id() == context.trace_id

    def test_more_processors(self) -> None:
        """An application adds processors of its own."""
        seen: list[str] = []

        class Spans(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                seen.append(span.name)

        class Logs(LogRecordProcessor):
            def on_emit(self, log_record: ReadWriteLogRecord) -> None:
                seen.append(str(log_record.log_record.body))

            def shutdown(self) -> None:
                pass

            def force_flush(self, timeout_millis: int = 30_000) -> bool:
                return True

        with providers_from_environment(span_processors=[Spans()], log_record_processors=[Logs()]) as providers:
            speak(providers, spans=1)

        assert seen == ["log 0", "span 0"]

    def test_console(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        """Exporters that packages register are found by name: here the SDK's own."""
        program = (
            "from wasmscope.exporters import providers_from_environment\n"
            "with providers_from_environment() as providers:\n"
            "    providers.tracer_provider.get_tracer('t').start_span('by name').end()\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OTEL_TRACES_EXPORTER": " console ,none"},
        )

        assert '"name": "by name"' in ended.stdout


PLUGINS = """
[opentelemetry_traces_sampler]
never = plugins:never
wrong = plugins:wrong
[opentelemetry_id_generator]
ones = plugins:Ones
wrong = plugins:wrong
[opentelemetry_logs_exporter]
wrong = plugins:wrong
missing = plugins:missing
[opentelemetry_metrics_exporter]
reader = opentelemetry.sdk.metrics.export:InMemoryMetricReader
"""
PLUGIN_CODE = """
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

def never(argument):
    return ALWAYS_OFF if argument == "really" else ALWAYS_ON

def wrong(*arguments):
    return object()

class Ones(IdGenerator):
    def generate_trace_id(self):
        return 1
    def generate_span_id(self):
        return 1
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that registers parts for OpenTelemetry."""
    metadata = tmp_path / "plugins-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(PLUGINS)
    (tmp_path / "plugins.py").write_text(PLUGIN_CODE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "plugins", raising=False)


@pytest.mark.usefixtures("plugins")
class TestPlugins:
    """Parts that other packages register."""

    def test_sampler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A registered sampler is used, with its argument."""
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "never")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "really")
        recording = Recording()
        with providers_from_environment(recording=recording) as providers:
            speak(providers)

        assert len(recording.spans) == 0

    def test_id_generator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A registered id generator is used."""
        monkeypatch.setenv("OTEL_PYTHON_ID_GENERATOR", "ones")
        recording = Recording()
        with providers_from_environment(recording=recording) as providers:
            speak(providers, spans=1)
        context = recording.spans[0].context

        assert context is not None
        assert (context.trace_id, context.span_id) == (1, 1)

    def test_metric_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is registered as a metrics exporter may be a reader."""
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "reader")
        with providers_from_environment() as providers:
            speak(providers)

        assert providers.report() == []

    @pytest.mark.parametrize(
        ("variable", "name", "message"),
        [
            ("OTEL_TRACES_SAMPLER", "wrong", "makes no sampler"),
            ("OTEL_PYTHON_ID_GENERATOR", "wrong", "makes no id generator"),
            ("OTEL_LOGS_EXPORTER", "wrong", "no exporter but object"),
            ("OTEL_LOGS_EXPORTER", "missing", "plugins:missing cannot be loaded"),
        ],
    )
    def test_broken(self, variable: str, name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A part that is not what it is registered as is refused in words."""
        monkeypatch.setenv(variable, name)

        with pytest.raises(ConfigurationError, match=message):
            providers_from_environment()


class TestMistakes:
    """Bad settings: one line that says what, where and what to try."""

    @pytest.mark.parametrize(
        ("variable", "value", "message"),
        [
            ("OTEL_TRACES_EXPORTER", "jaeger", r"OTEL_TRACES_EXPORTER='jaeger'.*there are: console, otlp, .*none"),
            ("OTEL_LOGS_EXPORTER", "otlp,nope", r"OTEL_LOGS_EXPORTER='nope'"),
            ("OTEL_PROPAGATORS", "tracecontext,nope", r"OTEL_PROPAGATORS='nope'.*tracecontext"),
            ("OTEL_PYTHON_ID_GENERATOR", "nope", r"OTEL_PYTHON_ID_GENERATOR='nope'.*random"),
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "many", r"OTEL_ATTRIBUTE_COUNT_LIMIT.*many"),
            ("OTEL_METRICS_EXEMPLAR_FILTER", "nope", r"exemplar filter 'nope'"),
        ],
    )
    def test_variable(self, variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The line has the variable, the value and what would be right."""
        monkeypatch.setenv(variable, value)

        with pytest.raises(ConfigurationError, match=message) as raised:
            providers_from_environment()
        assert "\n" not in str(raised.value)

    def test_exporter_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A setting that only the exporter itself refuses is told with its endpoint."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")

        with pytest.raises(ConfigurationError, match=r"http://localhost:4317.*soon.*OTEL_EXPORTER"):
            providers_from_environment(otlp=True)

    @pytest.mark.parametrize(
        ("variable", "message"),
        [
            ("OTEL_BSP_MAX_QUEUE_SIZE", "max_queue_size"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "max_export_batch_size"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "interval value 0.0 is invalid"),
        ],
    )
    def test_processor_setting(self, variable: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """So is a setting of the batch processors and of the metric reader."""
        monkeypatch.setenv(variable, "0")

        with pytest.raises(ConfigurationError, match=message) as raised:
            providers_from_environment(otlp=True)
        assert "\n" not in str(raised.value)

    def test_endpoint(self) -> None:
        """A switch that is no URL is refused before anything runs."""
        with pytest.raises(ConfigurationError, match="--otlp"):
            providers_from_environment(otlp="http://localhost:port")


class TestGlobal:
    def test_make_global(self) -> None:
        """Code that asks for the global providers gets these."""
        program = (
            "from opentelemetry import _logs, metrics, trace\n"
            "from wasmscope.exporters import providers_from_environment\n"
            "providers = providers_from_environment()\n"
            "providers.make_global()\n"
            "assert trace.get_tracer_provider() is providers.tracer_provider\n"
            "assert metrics.get_meter_provider() is providers.meter_provider\n"
            "assert _logs.get_logger_provider() is providers.logger_provider\n"
        )
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run([sys.executable, "-c", program], env=environ, timeout=60, check=False)

        assert ended.returncode == 0


class TestLoading:
    def test_what_is_loaded(self) -> None:
        """Importing the package loads neither drawing, nor gRPC, nor structlog, nor a runtime."""
        program = "import sys, wasmscope.exporters; print(*sys.modules)"
        ended = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        loaded = {name.split(".")[0] for name in ended.stdout.split()}

        assert "wasmscope" in loaded
        assert not loaded & {"rich", "grpc", "google", "structlog", "wasmtime"}
