"""Metrics, from feeds to a real receiver."""

import threading
import time
from dataclasses import dataclass

import pytest

from tests.support.otlp_receiver import Answer, OtlpReceiver, otlp_receiver
from tests.support.otlp_records import metrics
from tests.support.otlp_senders import is_consistent, sender_to
from wasmscope.delivery import RetryPolicy


@dataclass(frozen=True)
class Part:
    """Some metrics."""

    scope_metrics: bytes
    points: int


class Feed:
    """Gives as many parts as it is told, with the number of the collection as value; counts what comes back."""

    def __init__(self, parts: int = 1, points: int = 1, name: str = "m") -> None:
        self.parts = parts
        self.points = points
        self.name = name
        self.collected_at_ns: list[int] = []
        self.threads: set[str] = set()
        self.given_back: list[Part] = []

    def collect(self, now_ns: int) -> list[Part]:
        self.collected_at_ns.append(now_ns)
        self.threads.add(threading.current_thread().name)
        values = [len(self.collected_at_ns)] * self.points
        return [Part(metrics(f"{self.name}{index}", values), self.points) for index in range(self.parts)]

    def give_back(self, chunk: Part, /) -> None:
        self.given_back.append(chunk)


class BrokenFeed(Feed):
    """Fails."""

    def collect(self, now_ns: int) -> list[Part]:
        raise LookupError("no metrics")


def values(receiver: OtlpReceiver) -> list[int]:
    """All values that came, in order."""
    return [point.as_int for metric in receiver.metrics for point in metric.gauge.data_points]


class TestInterval:
    def test_regular(self, receiver: OtlpReceiver) -> None:
        """Feeds are asked once an interval, by the sender's thread, with the time."""
        feed = Feed(points=2)
        with sender_to(receiver.endpoint, receiver.protocol, metrics_interval_s=0.1) as sender:
            before_ns = time.time_ns()
            sender.add_metrics(feed)
            receiver.wait_for(lambda: len(receiver.requests) == 3)
        gaps = [later - earlier for earlier, later in zip(feed.collected_at_ns, feed.collected_at_ns[1:], strict=False)]

        assert feed.collected_at_ns[0] - before_ns >= 100_000_000
        assert sum(gaps[:2]) >= 150_000_000
        assert feed.threads == {"wasmscope-otlp-metrics"}
        assert values(receiver)[:6] == [1, 1, 2, 2, 3, 3]

    def test_flushes_put_nothing_off(self, receiver: OtlpReceiver) -> None:
        """After many flushes, feeds are still asked once an interval."""
        feed = Feed()
        with sender_to(receiver.endpoint, receiver.protocol, metrics_interval_s=0.5) as sender:
            sender.add_metrics(feed)
            for _ in range(20):
                assert sender.flush(5)
            receiver.wait_for(lambda: len(receiver.requests) == 22, 4)

    def test_slow_endpoint(self, receiver: OtlpReceiver) -> None:
        """Rounds that take longer than the interval are not made up for."""
        receiver.always = Answer(delay_s=0.2)
        feed = Feed()
        with sender_to(receiver.endpoint, receiver.protocol, metrics_interval_s=0.05) as sender:
            sender.add_metrics(feed)
            time.sleep(1)
            rounds = len(feed.collected_at_ns)

        assert 2 <= rounds <= 6

    def test_many_feeds(self, receiver: OtlpReceiver) -> None:
        """Any number of feeds is asked; one that fails does not disturb the others, nor does one that has nothing."""
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            for feed in (Feed(name="a"), BrokenFeed(), Feed(parts=0), Feed(name="b")):
                sender.add_metrics(feed)
            assert sender.flush(10)

        assert {metric.name for metric in receiver.metrics} == {"a0", "b0"}

    def test_removed(self, receiver: OtlpReceiver) -> None:
        """A feed that is removed is not asked any more; one that is added twice is asked once."""
        feed, other = Feed(name="a"), Feed(name="b")
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.add_metrics(feed)
            sender.add_metrics(other)
            sender.add_metrics(other)
            sender.flush(10)
            sender.remove_metrics(feed)
            sender.remove_metrics(feed)
            sender.flush(10)

        assert (len(feed.collected_at_ns), len(other.collected_at_ns)) == (1, 3)  # the third time at the end


class TestDelivery:
    def test_at_the_end(self, receiver: OtlpReceiver) -> None:
        """At the end feeds are asked once more, though the interval is a minute."""
        feed = Feed()
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.add_metrics(feed)

        assert values(receiver) == [1]
        assert sender.stats().metrics.sent == 1
        assert receiver.requests[0].message.resource_metrics[0].schema_url == "https://schema.example/1"

    def test_long(self, receiver: OtlpReceiver) -> None:
        """Parts share requests as far as these have room."""
        feed = Feed(parts=20, points=50)
        with sender_to(receiver.endpoint, receiver.protocol, request_bytes=5_000) as sender:
            sender.add_metrics(feed)
            assert sender.flush(10)
            stats = sender.stats().metrics

        assert (stats.records, stats.sent) == (1000, 1000)
        assert 3 <= stats.requests < 20
        assert all(request.size < 5_200 for request in receiver.requests)

    def test_retry(self, receiver: OtlpReceiver) -> None:
        """What is not taken yet is sent again, as it was, and not given back."""
        feed = Feed()
        receiver.answer_next(Answer(code="UNAVAILABLE", status=503))
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.add_metrics(feed)
            assert sender.flush(10)

        assert values(receiver)[0] == 1
        assert feed.given_back == []

    def test_given_back(self, receiver: OtlpReceiver) -> None:
        """What was given up is given back, so that no delta is lost; what arrived is not."""
        feed = Feed(parts=2, points=100)
        busy = Answer(code="UNAVAILABLE", status=503)
        policy = RetryPolicy(first_s=0.02, longest_s=0.05, patience_s=0)
        receiver.answer_next(Answer(), busy)
        with sender_to(receiver.endpoint, receiver.protocol, request_bytes=100, policy=policy) as sender:
            sender.add_metrics(feed)
            assert not sender.flush(10)
            stats = sender.stats().metrics

            assert [part.scope_metrics for part in feed.given_back] == [metrics("m1", [1] * 100)]
        assert (stats.records, stats.sent, stats.dropped) == (200, 100, {"expired": 100})

    def test_refused(self, receiver: OtlpReceiver) -> None:
        """What the endpoint refuses for good is dropped and counted: it must not be sent again."""
        feed = Feed()
        receiver.answer_next(Answer(code="INVALID_ARGUMENT", status=400))
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.add_metrics(feed)
            assert not sender.flush(10)
            stats = sender.stats().metrics

        assert (stats.dropped, feed.given_back) == ({"refused": 1}, [])

    def test_impatient(self, receiver: OtlpReceiver) -> None:
        """Old values are not worth more than an interval of patience."""
        receiver.always = Answer(code="UNAVAILABLE", status=503)
        feed = Feed()
        with sender_to(receiver.endpoint, receiver.protocol, metrics_interval_s=0.2) as sender:
            sender.add_metrics(feed)
            receiver.wait_for(lambda: receiver.attempts > 20)
            receiver.always = Answer()
            receiver.wait_for(lambda: len(receiver.requests) > 0)

        assert len(feed.collected_at_ns) >= 2
        assert values(receiver)[0] >= 2
        assert is_consistent(sender.stats().metrics)

    @pytest.mark.parametrize("hangs", [False, True])
    def test_shutdown(self, hangs: bool) -> None:
        """Nobody there: the end is bounded and what is lost is counted."""
        feed = Feed(parts=3)
        with otlp_receiver("http/protobuf") as receiver:
            receiver.always = Answer(hangs=hangs, keeps=False, status=503)
            with sender_to(receiver.endpoint, "http/protobuf", request_bytes=10) as sender:
                sender.add_metrics(feed)
                started = time.monotonic()
                sender.shutdown(0.5)
                passed = time.monotonic() - started
        stats = sender.stats().metrics

        assert passed < 2
        assert (stats.sent, sum(stats.dropped.values()), stats.waiting_records) == (0, 3, 0)
