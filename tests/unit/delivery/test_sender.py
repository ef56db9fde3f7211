"""Senders and real receivers: what arrives, and what is counted where it does not."""

import itertools
import logging
import threading
import time
from typing import Any

import pytest

from tests.support.otlp_receiver import Answer, OtlpReceiver, otlp_receiver, relay
from tests.support.otlp_records import batches, ids, logs, spans
from tests.support.otlp_senders import QUICK, RESOURCE, is_consistent, own_settings, sender_to
from wasmscope.delivery import LossReason, OtlpProtocol, OtlpSender, Scope, SenderSettings, SignalName, SignalSettings

SCOPE = Scope("guest", "1.0")


class TestDelivery:
    def test_spans_and_logs(self, receiver: OtlpReceiver) -> None:
        """Spans and log records arrive once, with resource and scope, and are counted."""
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans(range(1, 101)))
            sender.logs(SCOPE, *logs(range(1, 51)))
            assert sender.flush(10)
            stats = sender.stats()

        assert ids(receiver.spans) == list(range(1, 101))
        assert [record.time_unix_nano for record in receiver.logs] == list(range(1, 51))
        data = receiver.requests[0].message
        resource = getattr(data, "resource_spans", None) or data.resource_logs
        assert resource[0].resource.attributes[0].value.string_value == "tested"
        assert resource[0].schema_url == "https://schema.example/1"
        assert (stats.spans.records, stats.spans.sent, stats.spans.waiting_records) == (100, 100, 0)
        assert (stats.logs.records, stats.logs.sent, stats.logs.requests) == (50, 50, 1)
        assert stats.metrics.records == 0

    def test_first_at_once(self, receiver: OtlpReceiver) -> None:
        """The first spans are there soon, though the delay between requests is five seconds."""
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            started = time.monotonic()
            sender.spans(SCOPE, *spans([1]))
            receiver.wait_for(lambda: receiver.counts["traces"] == 1)

        # 50 ms of waiting for more, and the rest for a busy machine.
        assert 0.05 <= receiver.requests[0].at - started < 1

    def test_few_requests(self, receiver: OtlpReceiver) -> None:
        """Steady traffic makes fewer and fewer requests, up to one each delay."""
        with sender_to(receiver.endpoint, receiver.protocol, spans_delay_s=0.4) as sender:
            for number in range(1, 101):
                sender.spans(SCOPE, *spans([number]))
                time.sleep(0.01)
            assert sender.flush(10)
        times = receiver.attempt_times
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]

        assert ids(receiver.spans) == list(range(1, 101))
        assert len(times) <= 7
        assert max(gaps) >= 0.39

    def test_long(self, receiver: OtlpReceiver) -> None:
        """Much at once goes in several requests of a bounded length; one body is cut between records if need be."""
        with sender_to(receiver.endpoint, receiver.protocol, request_bytes=20_000) as sender:
            sender.spans(SCOPE, *spans(range(1, 1001), padding=100))
            for numbers in batches(1000, 50):
                sender.spans(Scope(f"m{numbers[0] % 3}"), *spans([1000 + number for number in numbers], padding=100))
            assert sender.flush(10)

        assert ids(receiver.spans) == list(range(1, 2001))
        assert all(request.size < 20_500 for request in receiver.requests)
        assert len(receiver.requests) < 2 * sum(request.size for request in receiver.requests) / 20_000

    def test_record_too_long(self, receiver: OtlpReceiver) -> None:
        """A record that is longer than a request is sent alone; if the endpoint does not take it, only it is lost."""
        with sender_to(receiver.endpoint, receiver.protocol, request_bytes=1 << 20) as sender:
            for number in (1, 3):
                sender.spans(SCOPE, *spans([number]))
                sender.spans(SCOPE, *spans([number + 1], padding=5 << 20))
            sender.flush(10)
            stats = sender.stats().spans

        if receiver.protocol == "grpc":  # which takes 4 MiB
            assert ids(receiver.spans) == [1, 3]
            assert stats.dropped == {"refused": 2}
        else:
            assert ids(receiver.spans) == [1, 2, 3, 4]
        assert is_consistent(stats)

    def test_malformed(self, receiver: OtlpReceiver) -> None:
        """Bytes that are no records are sent as they are: who receives them has to judge, and it harms nobody else."""
        with sender_to(receiver.endpoint, receiver.protocol, request_bytes=100) as sender:
            receiver.answer_next(Answer(code="INVALID_ARGUMENT", status=400))
            sender.spans(SCOPE, b"\x12\xff\xff" * 100, 7)
            assert not sender.flush(10)
            sender.spans(SCOPE, *spans([1]))
            assert sender.flush(10)

            assert sender.stats().spans.dropped == {"refused": 7}
        assert ids(receiver.spans) == [1]

    def test_defect(self, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture) -> None:
        """A caller's mistake costs what it handed over, and is counted; what comes next is sent."""
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, "no bytes", 2)  # type: ignore[arg-type]
            assert not sender.flush(10)
            sender.spans(SCOPE, *spans([1]))
            assert sender.flush(10)

            assert sender.stats().spans.dropped == {"error": 2}
        assert ids(receiver.spans) == [1]
        assert "spans cannot be sent" in caplog.text

    def test_nothing(self, receiver: OtlpReceiver) -> None:
        """Nothing is sent for nothing."""
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, b"", 0)
            sender.logs(SCOPE, b"", 0)
            assert sender.flush(5)

        assert receiver.attempts == 0

    def test_own_targets(self) -> None:
        """Each signal has its own endpoint and protocol; what nobody wants is discarded and not counted."""
        with otlp_receiver("grpc") as one, otlp_receiver("http/protobuf") as other:
            signals: dict[SignalName, SignalSettings] = {"traces": own_settings(one.endpoint, "grpc", "traces")}
            with OtlpSender(SenderSettings(signals), RESOURCE, policy=QUICK) as sender:
                sender.spans(SCOPE, *spans([1]))
                sender.logs(SCOPE, *logs([1]))
                assert sender.flush(10)
                assert sender.stats().logs.records == 0
            signals["logs"] = own_settings(other.endpoint, "http/protobuf", "logs")
            with OtlpSender(SenderSettings(signals), RESOURCE, policy=QUICK) as sender:
                sender.spans(SCOPE, *spans([2]))
                sender.logs(SCOPE, *logs([2]))
                assert sender.flush(10)

            assert (ids(one.spans), len(one.logs), len(other.spans), len(other.logs)) == ([1, 2], 0, 0, 1)

    def test_many_threads(self, receiver: OtlpReceiver) -> None:
        """Any number of threads may hand over; every record arrives once."""

        def work(first: int) -> None:
            for numbers in batches(500, 7):
                sender.spans(SCOPE, *spans([first + number for number in numbers]))

        with sender_to(receiver.endpoint, receiver.protocol, spans_delay_s=0.01) as sender:
            threads = [threading.Thread(target=work, args=(1000 * index,)) for index in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sender.flush(10)

        assert ids(receiver.spans) == sorted(1000 * index + number for index in range(8) for number in range(1, 501))


class TestHeaders:
    def test_headers(self, receiver: OtlpReceiver) -> None:
        """The user's headers are in each request, and who sends."""
        own = {"headers": (("x-key", "secret"), ("authorization", "Basic YTpi="))}
        with sender_to(receiver.endpoint, receiver.protocol, own=own) as sender:
            sender.spans(SCOPE, *spans([1]))
            sender.flush(10)
        headers = receiver.requests[0].headers

        assert (headers["x-key"], headers["authorization"]) == ("secret", "Basic YTpi=")
        assert headers["user-agent"].startswith("wasmscope-OTLP-Exporter-Python/")

    @pytest.mark.parametrize("compression", ["gzip", "deflate"])
    def test_compression(self, receiver: OtlpReceiver, compression: str) -> None:
        """Compressed requests are much shorter on the wire, and arrive as they were."""
        with relay(receiver) as wire:
            own = {"compression": compression}
            with sender_to(wire.endpoint, receiver.protocol, own=own) as sender:
                sender.spans(SCOPE, *spans(range(1, 1001), padding=100))
                assert sender.flush(10)

            assert ids(receiver.spans) == list(range(1, 1001))
            assert wire.sent_bytes < receiver.requests[0].size / 4
            assert wire.connections == 1

    def test_one_connection(self, receiver: OtlpReceiver) -> None:
        """Connections are kept; over gRPC the signals share one."""
        with relay(receiver) as wire:
            with sender_to(wire.endpoint, receiver.protocol) as sender:
                for number in range(1, 6):
                    sender.spans(SCOPE, *spans([number]))
                    sender.logs(SCOPE, *logs([number]))
                    assert sender.flush(10)

            assert wire.connections == (1 if receiver.protocol == "grpc" else 2)


class TestShutdown:
    def test_delivers(self, receiver: OtlpReceiver) -> None:
        """What is left is delivered; what comes afterwards is counted; a second call does nothing."""
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            for numbers in batches(10_000, 100):
                sender.spans(SCOPE, *spans(numbers))
            sender.logs(SCOPE, *logs([1]))
            sender.shutdown(10)
            sender.spans(SCOPE, *spans([99_999]))
            sender.shutdown(10)
            stats = sender.stats().spans

        assert ids(receiver.spans) == list(range(1, 10_001))
        assert len(receiver.logs) == 1
        assert (stats.sent, stats.dropped) == (10_000, {"shutdown": 1})
        assert not sender.flush(1) or sender.stats().spans.waiting_records == 0

    def test_cuts_a_pause(self, receiver: OtlpReceiver) -> None:
        """A long pause before the next try ends at once, and the try is made."""
        receiver.answer_next(Answer(code="UNAVAILABLE", status=503, retry_info_s=60, retry_after="60"))
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1]))
            receiver.wait_for(lambda: receiver.attempts == 1)
            time.sleep(0.1)
            started = time.monotonic()
            sender.shutdown(10)

        assert time.monotonic() - started < 2
        assert ids(receiver.spans) == [1]

    def test_bounded(self, receiver: OtlpReceiver) -> None:
        """It takes no longer than it is given, though a request under way hangs."""
        receiver.always = Answer(hangs=True, keeps=False)
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1]))
            receiver.wait_for(lambda: receiver.attempts == 1)
            sender.spans(SCOPE, *spans([2]))
            started = time.monotonic()
            sender.shutdown(0.5)
            passed = time.monotonic() - started
            stats = sender.stats().spans

        assert 0.5 <= passed < 2
        assert (stats.dropped, stats.waiting_records) == ({"shutdown": 2}, 0)

    def test_threads_end(self, receiver: OtlpReceiver) -> None:
        """No thread is left."""
        before = set(threading.enumerate())
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1]))
            sender.logs(SCOPE, *logs([1]))
            assert sender.flush(10)
            mine = [thread for thread in threading.enumerate() if thread.name.startswith("wasmscope-otlp")]

            assert {thread.name for thread in mine} == {"wasmscope-otlp-traces", "wasmscope-otlp-logs"}
        assert not [thread for thread in mine if thread.is_alive()]
        assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("wasmscope")]

    def test_unused(self, protocol: OtlpProtocol, nobody: str) -> None:
        """A sender that was never used starts no thread, connects to nobody, and ends at once."""
        with sender_to(nobody, protocol) as sender:
            assert sender.flush(5)
            names = [thread.name for thread in threading.enumerate()]

        assert not [name for name in names if name.startswith("wasmscope-otlp")]


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def handed_over(self, signal: SignalName, count: int) -> None:
        self.calls.append(("handed_over", signal, count))

    def delivered(self, signal: SignalName, count: int) -> None:
        self.calls.append(("delivered", signal, count))

    def lost(self, signal: SignalName, count: int, reason: LossReason, message: str) -> None:
        self.calls.append(("lost", signal, count, reason, message))

    def failing(self, signal: SignalName, message: str) -> None:
        self.calls.append(("failing", signal, message))


class TestWords:
    def test_listener(self) -> None:
        """A listener hears what becomes of each record, in order."""
        heard = Heard()
        with otlp_receiver("http/protobuf") as receiver:
            receiver.answer_next(
                Answer(status=503, message="later"),
                Answer(rejected=1, message="old"),
                Answer(status=400, message="bad"),
            )
            with sender_to(receiver.endpoint, "http/protobuf", listener=heard) as sender:
                sender.spans(SCOPE, *spans([1, 2]))
                sender.flush(10)
                sender.logs(SCOPE, *logs([3]))
                sender.flush(10)

        assert heard.calls == [
            ("handed_over", "traces", 2),
            ("failing", "traces", "code: 503, reason: Service Unavailable, later"),
            ("delivered", "traces", 1),
            ("lost", "traces", 1, "rejected", "old"),
            ("handed_over", "logs", 1),
            ("lost", "logs", 1, "refused", "code: 400, reason: Bad Request, bad"),
        ]

    def test_one_line_a_cause(self, protocol: OtlpProtocol, nobody: str, caplog: pytest.LogCaptureFixture) -> None:
        """Each cause is one line in the log, with what, where and why, however often it strikes."""
        body, count = spans(range(1, 1001))
        with caplog.at_level(logging.INFO), sender_to(nobody, protocol, queue_bytes=100_000) as sender:
            for _ in range(1000):
                sender.spans(SCOPE, body, count)
            sender.flush(0.5)
            sender.shutdown(0.2)
        lines = [record.getMessage() for record in caplog.records if record.name == "wasmscope.delivery"]

        assert len(lines) == 3
        (failing,) = [line for line in lines if "trying again" in line]
        assert f"spans do not get to {nobody} ({protocol})" in failing
        assert "refused" in failing
        assert sum("queue_full" in line for line in lines) == 1
        assert sum("shutdown" in line for line in lines) == 1

    def test_hostile_words(self, caplog: pytest.LogCaptureFixture) -> None:
        """What an endpoint says is in the log without control characters."""
        with otlp_receiver("http/protobuf") as receiver:
            receiver.always = Answer(rejected=1, message="a\x1b[2J\nwasmscope: forged")
            with sender_to(receiver.endpoint, "http/protobuf") as sender:
                sender.spans(SCOPE, *spans([1]))
                sender.flush(10)
        (record,) = [record for record in caplog.records if "forged" in record.getMessage()]

        assert record.getMessage().isprintable()

    def test_latency(self, receiver: OtlpReceiver) -> None:
        """How long requests took is in the stats: count, sum, maximum and buckets."""
        receiver.answer_next(Answer(), Answer(delay_s=0.3))
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            for number in (1, 2):
                sender.spans(SCOPE, *spans([number]))
                assert sender.flush(10)
            stats = sender.stats().spans

        assert stats.latency.count == sum(stats.latency.buckets) == stats.requests == 2
        assert 0.3 <= stats.latency.max_s <= stats.latency.sum_s < 5
        assert sum(stats.latency.buckets[7:]) == 1  # above 0.25 s
        assert stats.request_bytes == sum(request.size for request in receiver.requests)
