"""What a sender does with each answer that an endpoint may give."""

import time

import pytest

from tests.support.otlp_receiver import Answer, OtlpReceiver, otlp_receiver, relay
from tests.support.otlp_records import batches, ids, spans
from tests.support.otlp_senders import is_consistent, sender_to
from wasmscope.delivery import OtlpProtocol, Scope

SCOPE = Scope("guest", "1.0")


RETRYABLE: list[tuple[OtlpProtocol, Answer]] = [
    *(("grpc", Answer(code=code)) for code in ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE")),
    *(("grpc", Answer(code=code)) for code in ("UNAVAILABLE", "DATA_LOSS")),
    *(("http/protobuf", Answer(status=status)) for status in (429, 502, 503, 504)),
]
REFUSALS: list[tuple[OtlpProtocol, Answer]] = [
    *(("grpc", Answer(code=code)) for code in ("UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS")),
    *(("grpc", Answer(code=code)) for code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "FAILED_PRECONDITION")),
    *(("grpc", Answer(code=code)) for code in ("UNIMPLEMENTED", "INTERNAL", "RESOURCE_EXHAUSTED")),
    *(("http/protobuf", Answer(status=status)) for status in (301, 307, 400, 401, 403, 404, 405, 408, 413)),
    *(("http/protobuf", Answer(status=status)) for status in (500, 501, 505)),
]


def case(value: object) -> str:
    """Name a case."""
    return str(value.status if value.code == "OK" else value.code) if isinstance(value, Answer) else str(value)


class TestErrors:
    """Each class of answer, as https://opentelemetry.io/docs/specs/otlp/ has it."""

    @pytest.mark.parametrize(("protocol", "answer"), RETRYABLE, ids=case)
    def test_retryable(self, protocol: OtlpProtocol, answer: Answer) -> None:
        """The same request is sent again until it is taken; nothing arrives twice."""
        with otlp_receiver(protocol) as receiver, sender_to(receiver.endpoint, protocol) as sender:
            receiver.answer_next(answer, answer)
            sender.spans(SCOPE, *spans([1, 2]))
            assert sender.flush(10)
            stats = sender.stats().spans

        assert ids(receiver.spans) == [1, 2]
        assert (stats.sent, stats.requests, stats.retries, stats.dropped) == (2, 3, 2, {})

    @pytest.mark.parametrize(("protocol", "answer"), REFUSALS, ids=case)
    def test_refused(self, protocol: OtlpProtocol, answer: Answer) -> None:
        """The request is dropped and counted, and never sent again; the next one is."""
        with otlp_receiver(protocol) as receiver, sender_to(receiver.endpoint, protocol) as sender:
            receiver.answer_next(answer)
            sender.spans(SCOPE, *spans([1, 2]))
            assert not sender.flush(10)
            sender.spans(SCOPE, *spans([3]))
            assert sender.flush(10)
            stats = sender.stats().spans

        assert ids(receiver.spans) == [3]
        assert (stats.sent, stats.retries, stats.dropped) == (1, 0, {"refused": 2})
        assert receiver.attempts == 2

    def test_throttled(self, receiver: OtlpReceiver) -> None:
        """The endpoint says how long to wait; RESOURCE_EXHAUSTED with such a word is no refusal."""
        receiver.answer_next(Answer(code="RESOURCE_EXHAUSTED", status=429, retry_info_s=0.5, retry_after="0.5"))
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1]))
            assert sender.flush(10)

        assert ids(receiver.spans) == [1]
        first, second = receiver.attempt_times
        assert 0.5 <= second - first < 2

    def test_partial_success(self, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture) -> None:
        """What the endpoint rejects is counted and told once, and the request never sent again."""
        receiver.always = Answer(rejected=2, message="too old")
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            for start in (1, 6):
                sender.spans(SCOPE, *spans(range(start, start + 5)))
                assert not sender.flush(10)
            stats = sender.stats().spans

        assert receiver.attempts == 2
        assert (stats.records, stats.sent, stats.dropped) == (10, 6, {"rejected": 4})
        assert caplog.text.count("too old") == 1

    def test_warning(self, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture) -> None:
        """A success with a word of warning is a success, and the word is told."""
        receiver.always = Answer(message="deprecated")
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1]))
            assert sender.flush(10)

        assert "deprecated" in caplog.text

    def test_absurd_rejection(self, receiver: OtlpReceiver) -> None:
        """No more can be rejected than was sent."""
        receiver.always = Answer(rejected=(1 << 63) - 1)
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1, 2]))
            sender.flush(10)
            stats = sender.stats().spans

        assert (stats.sent, stats.dropped) == (0, {"rejected": 2})

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(body=b"\xff" * 1000),
            Answer(body=b"<html>", content_type="text/html"),
            Answer(body=b"{}", content_type="application/json"),
            Answer(body=b"\x0a\x04\x08\x01\x12\x09"),
        ],
        ids=["garbage", "html", "json", "cut"],
    )
    def test_odd_answers(self, receiver: OtlpReceiver, answer: Answer) -> None:
        """A success whose content makes no sense is a success: what was taken is not sent again."""
        receiver.always = answer
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1]))
            assert sender.flush(10)

        assert (receiver.attempts, ids(receiver.spans)) == (1, [1])

    def test_huge_answers(self, receiver: OtlpReceiver) -> None:
        """An answer of 50 MB is not read, and nothing is sent twice because of it."""
        receiver.always = Answer(body=b"\0" * 50_000_000)
        with sender_to(receiver.endpoint, receiver.protocol) as sender:
            sender.spans(SCOPE, *spans([1]))
            sender.flush(10)
            stats = sender.stats().spans

        assert (receiver.attempts, ids(receiver.spans)) == (1, [1])
        assert is_consistent(stats)

    def test_compressed_bomb(self) -> None:
        """A compressed answer is never unpacked."""
        bomb = Answer(body=b"\x1f\x8b" + b"x" * 100, headers=(("content-encoding", "gzip"),))
        with otlp_receiver("http/protobuf") as receiver:
            receiver.always = bomb
            with sender_to(receiver.endpoint, "http/protobuf") as sender:
                sender.spans(SCOPE, *spans([1]))
                assert sender.flush(10)

            assert (receiver.attempts, ids(receiver.spans)) == (1, [1])

    def test_trickling_answer(self) -> None:
        """An answer that never ends is given up with the timeout; it was an answer, so nothing is sent twice."""
        with otlp_receiver("http/protobuf") as receiver:
            receiver.answer_next(Answer(trickles=True))
            with sender_to(receiver.endpoint, "http/protobuf", own={"timeout_s": 0.3}) as sender:
                sender.spans(SCOPE, *spans([1]))
                assert sender.flush(5)
                sender.spans(SCOPE, *spans([2]))
                assert sender.flush(5)

            assert (receiver.attempts, ids(receiver.spans)) == (2, [1, 2])

    def test_reset(self) -> None:
        """A connection that is reset instead of an answer leads to another try."""
        with otlp_receiver("http/protobuf") as receiver:
            receiver.answer_next(Answer(resets=True), Answer(resets=True))
            with sender_to(receiver.endpoint, "http/protobuf") as sender:
                sender.spans(SCOPE, *spans([1]))
                assert sender.flush(10)

            assert (receiver.attempts, ids(receiver.spans)) == (3, [1])

    def test_cut_wire(self, receiver: OtlpReceiver) -> None:
        """Connections that are cut between and during requests lose nothing, and what was answered comes once."""
        receiver.always = Answer(delay_s=0.002)
        with relay(receiver) as wire:
            with sender_to(wire.endpoint, receiver.protocol, request_bytes=2_000) as sender:
                for numbers in batches(2000, 10):
                    sender.spans(SCOPE, *spans(numbers))
                for _ in range(10):
                    time.sleep(0.02)
                    wire.cut()
                assert sender.flush(20)
                stats = sender.stats().spans
            assert wire.connections > 3
        received = ids(receiver.spans)

        assert set(received) == set(range(1, 2001))
        assert (stats.sent, stats.dropped) == (2000, {})
        # Twice is only what was under way when the wire was cut and whose answer got lost.
        assert len(received) - 2000 <= stats.retries * 2000 / 60

    def test_other_protocol(self, receiver: OtlpReceiver) -> None:
        """Speaking the wrong protocol is counted like any other failure."""
        wrong: OtlpProtocol = "http/protobuf" if receiver.protocol == "grpc" else "grpc"
        with sender_to(receiver.endpoint, wrong) as sender:
            sender.spans(SCOPE, *spans([1]))
            sender.flush(1)
        stats = sender.stats().spans

        assert (stats.records, stats.sent, stats.waiting_records) == (1, 0, 0)
        assert receiver.attempts == 0
