"""Senders whose endpoint is down, or slow, or hangs."""

import gc
import sys
import time

import pytest

from tests.support.otlp_receiver import Answer, OtlpReceiver, otlp_receiver
from tests.support.otlp_records import batches, ids, logs, spans
from tests.support.otlp_senders import QUICK, RESOURCE, is_consistent, own_settings, sender_to
from wasmscope.delivery import OtlpProtocol, OtlpSender, RetryPolicy, Scope, SenderSettings, SignalName, SignalSettings

SCOPE = Scope("guest", "1.0")


class TestTrouble:
    """Nobody there, or nobody who answers: nothing waits, memory is bounded, what is lost is counted."""

    @pytest.mark.parametrize("kind", ["nobody", "silent"])
    def test_bounded(self, kind: str, protocol: OtlpProtocol, request: pytest.FixtureRequest) -> None:
        """A guest that makes 100 MB of spans loses no time, and what does not fit is counted at once."""
        endpoint = request.getfixturevalue(kind)
        body, count = spans(range(1, 1001), padding=100)
        calls = 100_000_000 // len(body)
        with sender_to(endpoint, protocol, queue_bytes=5_000_000) as sender:
            started = time.monotonic()
            for _ in range(calls):
                sender.spans(SCOPE, body, count)
            passed = time.monotonic() - started
            stats = sender.stats().spans
            began_end = time.monotonic()
            sender.shutdown(1)
            ended = time.monotonic()
        final = sender.stats().spans

        assert passed < 1
        assert stats.waiting_bytes <= 5_000_000
        assert stats.records == calls * 1000
        assert stats.dropped["queue_full"] >= stats.records * 0.94
        assert is_consistent(stats)
        assert ended - began_end < 3
        assert (final.sent, final.waiting_records, final.waiting_bytes) == (0, 0, 0)
        assert sum(final.dropped.values()) == final.records
        assert set(final.dropped) == {"queue_full", "shutdown"}

    def test_small_chunks(self, nobody: str) -> None:
        """Tiny chunks take more memory than their bytes, and that is counted."""
        body, count = spans([1])
        with sender_to(nobody, "http/protobuf", queue_bytes=1_000_000) as sender:
            gc.collect()
            before = len(gc.get_objects())
            for _ in range(50_000):
                sender.spans(SCOPE, body, count)
            made = len(gc.get_objects()) - before
            waiting = sender.stats().spans.waiting_records

        assert waiting <= 1_000_000 // (256 + sys.getsizeof(body) - 33) + 1
        assert made < 3 * waiting + 1000

    def test_calls_are_quick(self, silent: str, protocol: OtlpProtocol) -> None:
        """No call waits for the network, however long that hangs."""
        body, count = spans(range(1, 101))
        with sender_to(silent, protocol, request_bytes=10_000) as sender:
            durations: list[float] = []
            for _ in range(2000):
                started = time.perf_counter()
                sender.spans(SCOPE, body, count)
                durations.append(time.perf_counter() - started)
            sender.give_up()

        assert sorted(durations)[1990] < 0.005
        assert sum(durations) < 1

    def test_timeout(self, receiver: OtlpReceiver) -> None:
        """A request that is not answered in time is sent again."""
        receiver.answer_next(Answer(hangs=True, keeps=False))
        with sender_to(receiver.endpoint, receiver.protocol, own={"timeout_s": 0.3}) as sender:
            sender.spans(SCOPE, *spans([1]))
            assert sender.flush(10)

        assert ids(receiver.spans) == [1]
        first, second = receiver.attempt_times
        assert 0.3 <= second - first < 2

    def test_comes_up_later(self, protocol: OtlpProtocol) -> None:
        """What waited for an endpoint that was down arrives when it is up; none of it twice."""
        with otlp_receiver(protocol) as first:
            endpoint, port = first.endpoint, int(first.endpoint.rpartition(":")[2])
        with sender_to(endpoint, protocol) as sender:
            for numbers in batches(1000, 100):
                sender.spans(SCOPE, *spans(numbers))
            assert not sender.flush(0.3)
            with otlp_receiver(protocol, port=port) as receiver:
                assert sender.flush(15)
                assert ids(receiver.spans) == list(range(1, 1001))
        assert sender.stats().spans.dropped == {}

    def test_newest_is_dropped(self, receiver: OtlpReceiver) -> None:
        """What waits already stays; what comes then and does not fit is dropped; later there is room again."""
        receiver.always = Answer(code="UNAVAILABLE", status=503)
        with sender_to(receiver.endpoint, receiver.protocol, queue_bytes=3_000) as sender:
            for number in range(1, 101):
                sender.spans(SCOPE, *spans([number]))
            kept = sender.stats().spans.waiting_records
            receiver.always = Answer()
            sender.flush(10)
            sender.spans(SCOPE, *spans([101]))
            assert sender.flush(10)
            stats = sender.stats().spans

        assert ids(receiver.spans) == [*range(1, kept + 1), 101]
        assert stats.dropped == {"queue_full": 100 - kept}

    def test_expired(self, receiver: OtlpReceiver) -> None:
        """A request that fails for too long is given up and counted; the next one has its own chance."""
        receiver.always = Answer(code="UNAVAILABLE", status=503)
        policy = RetryPolicy(first_s=0.02, longest_s=0.05, patience_s=0.2)
        with sender_to(receiver.endpoint, receiver.protocol, policy=policy) as sender:
            sender.spans(SCOPE, *spans([1, 2]))
            assert not sender.flush(10)
            receiver.always = Answer()
            sender.spans(SCOPE, *spans([3]))
            assert sender.flush(10)
            stats = sender.stats().spans

        assert ids(receiver.spans) == [3]
        assert stats.dropped == {"expired": 2}

    def test_logs_do_not_wait_for_spans(self, silent: str) -> None:
        """A signal whose endpoint hangs does not hold up the others."""
        with otlp_receiver("http/protobuf") as receiver:
            signals: dict[SignalName, SignalSettings] = {
                "traces": own_settings(silent, "http/protobuf", "traces"),
                "logs": own_settings(receiver.endpoint, "http/protobuf", "logs"),
            }
            sender = OtlpSender(SenderSettings(signals), RESOURCE, policy=QUICK)
            sender.spans(SCOPE, *spans([1]))
            sender.logs(SCOPE, *logs([1]))
            receiver.wait_for(lambda: receiver.counts["logs"] == 1)
            sender.give_up("traces")
            sender.logs(SCOPE, *logs([2]))
            assert sender.flush(10) is False  # the spans were lost meanwhile, but it does not wait for them
            receiver.wait_for(lambda: receiver.counts["logs"] == 2)
            sender.shutdown(1)

        assert sender.stats().spans.dropped == {"shutdown": 1}
