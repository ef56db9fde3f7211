"""The sender of the environment's endpoint, from the providers that share it."""

import io
import time

import pytest
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from tests.support.otlp_receiver import Answer, otlp_receiver
from tests.support.otlp_records import ids, logs, metrics, spans
from tests.support.programs import run_program
from tests.unit.exporters.receivers import closed_port, silent_server
from wasmscope.delivery import OtlpSender, Scope
from wasmscope.exporters import Providers, Recording, providers_from_environment

SCOPE = Scope("guest", "1.0")
ENDPOINT = "http://localhost:4317"


@pytest.fixture(autouse=True)
def no_environment(clean_environment: None) -> None:
    """Start without OTEL_* variables."""


class Feed:
    """Gives three points."""

    scope_metrics = metrics("m", [1, 2, 3])
    points = 3

    def collect(self, now_ns: int) -> list["Feed"]:
        return [self]

    def give_back(self, chunk: "Feed", /) -> None:
        pass


def sender_of(providers: Providers) -> OtlpSender:
    """The sender, which has to be there."""
    sender = providers.otlp_sender()
    assert sender is not None
    return sender


class TestWhether:
    def test_otlp_alone(self) -> None:
        """With OTLP for all signals and nothing else there is one sender, with the providers' resource."""
        with otlp_receiver("grpc") as receiver:
            with providers_from_environment(otlp=receiver.endpoint, service_name="mine") as providers:
                sender = sender_of(providers)
                sender.spans(SCOPE, *spans([1, 2]))
                sender.logs(SCOPE, *logs([1]))

                assert providers.otlp_sender() is sender
                assert providers.otlp_obstacle is None
            (request,) = (request for request in receiver.requests if request.signal == "traces")
            resource = request.message.resource_spans[0].resource

        assert ids(receiver.spans) == [1, 2]
        assert len(receiver.logs) == 1
        assert {pair.key: pair.value.string_value for pair in resource.attributes}["service.name"] == "mine"
        assert providers.report() == []

    def test_one_signal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Signals that nobody wants are no obstacle: they are discarded, as by the SDK."""
        with otlp_receiver("http/protobuf") as receiver:
            monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp_proto_http")
            monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
            with providers_from_environment() as providers:
                sender_of(providers).spans(SCOPE, *spans([1]))
                sender_of(providers).logs(SCOPE, *logs([1]))
                sender_of(providers).add_metrics(Feed())

            assert (len(receiver.spans), len(receiver.logs), len(receiver.metrics)) == (1, 0, 0)
        assert providers.report() == []

    @pytest.mark.parametrize(
        ("arguments", "variables", "obstacle"),
        [
            ({}, {}, "the environment names no OTLP exporter"),
            ({}, {"OTEL_TRACES_EXPORTER": "console"}, "the environment sends traces to console"),
            (
                {"otlp": ENDPOINT},
                {"OTEL_LOGS_EXPORTER": "console"},
                "the environment sends logs to http://localhost:4317 and console",
            ),
            (
                {},
                {"OTEL_TRACES_EXPORTER": "otlp_proto_grpc,otlp_proto_http"},
                "the environment sends traces to http://localhost:4317 and http://localhost:4318",
            ),
            ({"otlp": ENDPOINT, "recording": Recording()}, {}, "a recording is to get it, too"),
            ({"otlp": ENDPOINT, "json_stream": io.StringIO()}, {}, "a JSON stream is to get it, too"),
            (
                {"otlp": ENDPOINT, "span_processors": [SimpleSpanProcessor(InMemorySpanExporter())]},
                {},
                "processors is to get it, too",
            ),
            (
                {
                    "otlp": ENDPOINT,
                    "log_record_processors": [SimpleLogRecordProcessor(ConsoleLogRecordExporter())],
                },
                {},
                "processors is to get it, too",
            ),
            (
                {"otlp": ENDPOINT, "id_generator": RandomIdGenerator()},
                {},
                "ids are to come from an id generator",
            ),
            (
                {"otlp": ENDPOINT},
                {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "100"},
                "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT is set",
            ),
            ({"otlp": ENDPOINT}, {"OTEL_SPAN_EVENT_COUNT_LIMIT": "1"}, "OTEL_SPAN_EVENT_COUNT_LIMIT is set"),
            ({"otlp": ENDPOINT}, {"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED is set"),
        ],
    )
    def test_obstacles(
        self,
        arguments: dict[str, object],
        variables: dict[str, str],
        obstacle: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Where somebody else listens, or only the SDK can do what is asked for, there is none, and words for it."""
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        providers = providers_from_environment(**arguments)  # type: ignore[arg-type]
        try:
            assert providers.otlp_obstacle == obstacle
            assert providers.otlp_sender() is None
        finally:
            providers.shutdown(0)

    def test_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Credentials that a package makes are for the SDK's exporters alone."""
        with otlp_receiver("http/protobuf") as receiver:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            with providers_from_environment(otlp=receiver.endpoint) as providers:
                assert providers.otlp_obstacle is None
            # Only after the exporters are made: they would look for the package.
            from wasmscope.exporters._providers import _otlp_obstacle
            from wasmscope.exporters._wiring import Wiring

            wiring = Wiring()
            wiring.add_from_environment("traces", receiver.endpoint)
            monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "mine")
            expected = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER is set"
            assert _otlp_obstacle(wiring, {}, has_own_ids=False) == expected

    def test_after_shutdown(self) -> None:
        """A sender is not made after the end."""
        providers = providers_from_environment(otlp=closed_port())
        providers.shutdown(0)

        assert providers.otlp_sender() is None


class TestReport:
    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_nobody_listens(self, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a sender could not deliver is in the line of its endpoint, with what the SDK could not."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        endpoint = closed_port()
        providers = providers_from_environment(otlp=endpoint)
        providers.tracer_provider.get_tracer("host").start_span("call").end()
        providers.meter_provider.get_meter("host").create_counter("calls").add(1)
        sender = sender_of(providers)
        sender.spans(SCOPE, *spans([1, 2]))
        sender.logs(SCOPE, *logs([1]))
        sender.add_metrics(Feed())
        started = time.monotonic()
        providers.shutdown()

        assert time.monotonic() - started < 5
        (line,) = providers.report()
        assert f"3 spans, 1 log record, 4 metric points not delivered to {endpoint} ({protocol}): " in line
        assert "connection refused" in line
        assert "; is a collector listening there?" in line

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_no_answer(self, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An endpoint that hangs holds nobody up longer than the timeout."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        with silent_server() as endpoint:
            providers = providers_from_environment(otlp=endpoint)
            sender_of(providers).spans(SCOPE, *spans([1, 2]))
            started = time.monotonic()
            providers.shutdown(timeout_s=1)

            assert time.monotonic() - started < 4
            (line,) = providers.report()
            assert "2 spans not delivered" in line
            assert "no answer" in line

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (Answer(status=401), "2 spans not delivered to {} (http/protobuf): access denied (401)"),
            (Answer(rejected=1, message="too old"), "1 of 2 spans not delivered to {} (http/protobuf): too old"),
            (Answer(status=413), "a request was too large (413); set OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
        ],
    )
    def test_reasons(self, answer: Answer, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The line says why in words that help, and the reason outlasts later successes."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        with otlp_receiver("http/protobuf") as receiver:
            receiver.answer_next(answer)
            with providers_from_environment(otlp=receiver.endpoint) as providers:
                sender = sender_of(providers)
                sender.spans(SCOPE, *spans([1, 2]))
                sender.flush(10)
                sender.logs(SCOPE, *logs([1]))
                assert sender.flush(10)

        (line,) = providers.report()
        assert words.format(receiver.endpoint) in line

    def test_full_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What did not fit into the queue leads to the variable."""
        monkeypatch.setenv("WASMSCOPE_OTLP_QUEUE_BYTES", "1000")
        with otlp_receiver("grpc") as receiver, providers_from_environment(otlp=receiver.endpoint) as providers:
            sender_of(providers).spans(SCOPE, *spans(range(1, 1001)))
            sender_of(providers).spans(SCOPE, *spans([1]))

        (line,) = providers.report()
        assert "1,000 of 1,001 spans not delivered" in line
        assert "set WASMSCOPE_OTLP_QUEUE_BYTES higher" in line

    def test_metrics(self) -> None:
        """Of metrics, each exporter's last export counts."""
        with otlp_receiver("grpc") as receiver, providers_from_environment(otlp=receiver.endpoint) as providers:
            sender = sender_of(providers)
            sender.add_metrics(Feed())
            receiver.answer_next(Answer(code="INVALID_ARGUMENT"))
            sender.flush(10)
            assert "3 metric points not delivered" in providers.report()[0]

        assert providers.report() == []

    def test_two_endpoints(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An endpoint that is down takes nothing from another one, and only what went there is missing."""
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_LOGS_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", closed_port())
        with otlp_receiver("grpc") as receiver:
            receiver.always = Answer(delay_s=0.3)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", receiver.endpoint)
            with providers_from_environment() as providers:
                sender_of(providers).spans(SCOPE, *spans([1]))
                sender_of(providers).logs(SCOPE, *logs([1]))

            assert len(receiver.logs) == 1
        (line,) = providers.report()
        assert "1 span not delivered" in line

    def test_fork(self) -> None:
        """A child process has an account of its own."""
        with otlp_receiver("http/protobuf") as receiver:
            receiver.answer_next(Answer(status=400))
            ended = run_program(FORK, receiver.endpoint)

            assert ended.returncode == 0, ended.stderr
            assert ids(receiver.spans) == [2]
        assert "1 span not delivered" in ended.stdout


FORK = """
import os, sys
from tests.support.otlp_records import spans
from wasmscope.delivery import Scope
from wasmscope.exporters import providers_from_environment

os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
with providers_from_environment(otlp=sys.argv[1]) as providers:
    sender = providers.otlp_sender()
    sender.spans(Scope("guest"), *spans([1]))
    sender.flush(10)
    child = os.fork()
    if child == 0:
        sender.spans(Scope("guest"), *spans([2]))
        sender.flush(10)
        os._exit(len(providers.report()))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(*providers.report())
sys.exit(code)
"""
