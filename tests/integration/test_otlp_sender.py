"""The sender with real programs, processes and connections."""

import os
import time

import pytest
from opentelemetry.sdk.resources import Resource

from tests.support.jaeger import Jaeger
from tests.support.otlp_receiver import Certificates, make_certificates, otlp_receiver
from tests.support.otlp_records import TRACE_ID, batches, ids, logs, metrics, spans
from tests.support.otlp_senders import is_consistent, sender_to
from tests.support.programs import run_program
from wasmscope.delivery import OtlpProtocol, OtlpSender, Scope

SCOPE = Scope("guest", "1.0")
PROTOCOLS: tuple[OtlpProtocol, ...] = ("grpc", "http/protobuf")


@pytest.fixture(autouse=True)
def no_environment(clean_environment: None) -> None:
    """Start without OTEL_* variables."""


class TestJaeger:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_all_signals(self, jaeger: Jaeger, protocol: OtlpProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
        """A real Jaeger takes all three signals, and shows resource and scope."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        word = protocol.partition("/")[0]
        endpoint = jaeger.otlp_grpc if protocol == "grpc" else jaeger.otlp_http
        trace_id = os.urandom(16)
        body, count = spans(range(1, 301))
        body = body.replace(TRACE_ID, trace_id)

        class Feed:
            def collect(self, now_ns: int) -> list["Feed"]:
                return [self]

            def give_back(self, chunk: "Feed", /) -> None:
                raise AssertionError

            scope_metrics = metrics(f"sent_over_{word}", [7])
            points = 1

        resource = Resource({"service.name": f"sender-{word}"})
        with OtlpSender.from_environment(resource=resource, otlp=endpoint) as sender:
            sender.spans(SCOPE, body, count)
            sender.logs(SCOPE, *logs([1]))
            sender.add_metrics(Feed())
            assert sender.flush(10)
            stats = sender.stats()

        assert (stats.spans.sent, stats.logs.sent, stats.metrics.sent) == (300, 1, 1)
        found = jaeger.trace(trace_id.hex(), spans=300)
        assert len(found["spans"]) == 300
        assert found["processes"]["p1"]["serviceName"] == f"sender-{word}"
        tags = {tag["key"]: tag["value"] for tag in found["spans"][0]["tags"]}
        assert (tags["otel.scope.name"], tags["otel.scope.version"]) == ("guest", "1.0")
        assert f"sent_over_{word}" in jaeger.metrics(f"sent_over_{word}")


class TestLoad:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_million(self, protocol: OtlpProtocol) -> None:
        """A million spans at once arrive complete, if the queue is large enough for what the endpoint lags behind."""
        chunks = [spans(numbers, padding=100) for numbers in batches(50_000, 500)]
        total = 20 * 50_000
        with (
            otlp_receiver(protocol, keeps=False) as receiver,
            sender_to(receiver.endpoint, protocol, queue_bytes=512 << 20) as sender,
        ):
            for _ in range(20):
                for chunk in chunks:
                    sender.spans(SCOPE, *chunk)
            assert sender.flush(100)
            stats = sender.stats().spans

        assert receiver.counts["traces"] == total
        assert (stats.records, stats.sent, stats.dropped) == (total, total, {})

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_too_fast(self, protocol: OtlpProtocol) -> None:
        """More than the endpoint can take: what arrives and what was dropped are all that was sent."""
        chunks = [spans(numbers, padding=100) for numbers in batches(200_000, 500)]
        with (
            otlp_receiver(protocol) as receiver,
            sender_to(receiver.endpoint, protocol, queue_bytes=2 << 20, request_bytes=1 << 20) as sender,
        ):
            for chunk in chunks:
                sender.spans(SCOPE, *chunk)
            sender.flush(60)
            stats = sender.stats().spans
        received = ids(receiver.spans)

        assert len(received) == len(set(received)) == stats.sent
        assert stats.dropped["queue_full"] == 200_000 - stats.sent > 0
        assert is_consistent(stats)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for the receiver and its clients."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestTls:
    def test_both_sides(
        self, protocol: OtlpProtocol, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With an authority, and a certificate of the client's own, a secured endpoint takes what is sent."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificates.authority))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(certificates.client))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(certificates.client_key))
        # Which the HTTP library would take, but for the variable that is meant.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.client))
        with otlp_receiver(protocol, tls=certificates) as receiver:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
            with OtlpSender.from_environment(resource=Resource.get_empty()) as sender:
                sender.spans(SCOPE, *spans([1, 2]))
                assert sender.flush(10)

            assert ids(receiver.spans) == [1, 2]

    @pytest.mark.parametrize("shown", ["no authority", "no client"])
    def test_refused(
        self, protocol: OtlpProtocol, shown: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without one of them nothing is sent, and it is counted."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        if shown == "no client":
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificates.authority))
        with otlp_receiver(protocol, tls=certificates) as receiver:
            with OtlpSender.from_environment(resource=Resource.get_empty(), otlp=receiver.endpoint) as sender:
                sender.spans(SCOPE, *spans([1, 2]))
                assert not sender.flush(0.5)
                sender.shutdown(0.5)

            assert receiver.attempts == 0
        assert sender.stats().spans.dropped == {"shutdown": 2}


FORK = """
import os, sys, threading
from tests.support.otlp_records import spans
from tests.support.otlp_senders import sender_to
from wasmscope.delivery import Scope

scope = Scope("guest")
with sender_to(sys.argv[1], sys.argv[2]) as sender:
    sender.spans(scope, *spans([1]))
    assert sender.flush(10)
    # Half a request waits when the process forks.
    sender.spans(scope, *spans([2]))
    child = os.fork()
    if child == 0:
        assert sender.stats().spans.records == 0
        sender.spans(scope, *spans([3]))
        assert sender.flush(10), sender.stats()
        sender.shutdown(3)
        sys.exit(0 if sender.stats().spans.sent == 1 else 1)
    sender.spans(scope, *spans([4]))
    assert sender.flush(10)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

AT_EXIT = """
import sys
from tests.support.otlp_records import spans
from tests.support.otlp_senders import QUICK, RESOURCE, SIGNALS, own_settings
from wasmscope.delivery import OtlpSender, Scope, SenderSettings

own = {signal: own_settings(sys.argv[1], sys.argv[2], signal) for signal in SIGNALS}
sender = OtlpSender(SenderSettings(own), RESOURCE, policy=QUICK)
for number in range(1, 11):
    sender.spans(Scope("guest"), *spans([number]))
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestProcesses:
    def test_fork(self, protocol: OtlpProtocol) -> None:
        """After a fork both processes send what is theirs, and nothing twice."""
        with otlp_receiver(protocol) as receiver:
            ended = run_program(FORK, receiver.endpoint, protocol)

            assert (ended.returncode, ended.stderr) == (0, "")
            assert ids(receiver.spans) == [1, 2, 3, 4]

    def test_at_exit(self, protocol: OtlpProtocol) -> None:
        """A program that forgets to shut its sender down loses nothing."""
        with otlp_receiver(protocol) as receiver:
            ended = run_program(AT_EXIT, receiver.endpoint, protocol)

            assert (ended.returncode, ended.stderr) == (0, "")
            assert ids(receiver.spans) == list(range(1, 11))

    def test_exit_without_endpoint(self, protocol: OtlpProtocol) -> None:
        """Nor does it hang at its end if nobody is there."""
        started = time.monotonic()
        ended = run_program(AT_EXIT, "http://127.0.0.1:9", protocol)

        assert ended.returncode == 0
        assert "10 spans not delivered to http://127.0.0.1:9" in ended.stderr
        assert time.monotonic() - started < 15
