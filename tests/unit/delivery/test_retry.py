"""Trying again."""

from collections.abc import Callable

import pytest

from wasmscope.delivery import RetryPolicy
from wasmscope.delivery._answer import Accepted, Answer, Failed, Transport
from wasmscope.delivery._courier import Closing, Courier, Lost


class Clock:
    """A clock that somebody else sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class PausedClosing(Closing):
    """Lets time pass instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._set = clock
        self.pauses: list[float] = []
        self.during_pause: Callable[[], None] = lambda: None

    def pause(self, pause_s: float) -> bool:
        self.pauses.append(pause_s)
        if self.has_begun and pause_s > self.left_s:
            return False
        self._set.now_s += pause_s
        self.during_pause()
        return not self.is_over


class Endpoint(Transport):
    """Answers as it is told, each time after a second or the timeout."""

    def __init__(self, clock: Clock, *answers: Answer) -> None:
        self._clock = clock
        self._answers = list(answers)
        self.tries = 0
        self.timeouts: list[float] = []

    def send(self, packed: bytes, timeout_s: float) -> Answer:
        self.tries += 1
        self.timeouts.append(timeout_s)
        self._clock.now_s += min(timeout_s, 1)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


BUSY = Failed("busy", is_retryable=True)


class Delivery:
    """A courier on a clock of its own."""

    def __init__(self, *answers: Answer, policy: RetryPolicy | None = None) -> None:
        self.clock = Clock()
        self.closing = PausedClosing(self.clock)
        self.endpoint = Endpoint(self.clock, *answers)
        self.requests: list[tuple[int, float, bool]] = []
        self.failures: list[str] = []
        self.courier = Courier(
            self.endpoint,
            10,
            policy or RetryPolicy(jitter=0),
            self.closing,
            clock=self.clock,
            on_request=lambda *request: self.requests.append(request),
            on_failing=self.failures.append,
        )


class TestPolicy:
    def test_growth(self) -> None:
        """Pauses grow by half each time, from a second to thirty."""
        policy = RetryPolicy(jitter=0)

        assert [policy.pause_s(failures) for failures in (1, 2, 3)] == [1, 1.5, 2.25]
        assert policy.pause_s(20) == 30
        assert policy.pause_s(10**9) == 30

    def test_jitter(self) -> None:
        """Pauses differ by half of their figure at most, so that clients do not come back all at once."""
        assert RetryPolicy(random=lambda: 0.0).pause_s(1) == 0.5
        assert RetryPolicy(random=lambda: 0.999_999).pause_s(1) == pytest.approx(1.5, abs=0.001)

    def test_asked(self) -> None:
        """What the endpoint asks for is done, within a bound; "now" means the usual pause."""
        policy = RetryPolicy(jitter=0)

        assert policy.pause_s(1, 7.5) == 7.5
        assert policy.pause_s(1, 1e12) == 300
        assert policy.pause_s(2, 0) == 1.5


class TestDelivery:
    def test_at_once(self) -> None:
        """What is taken is sent once."""
        delivery = Delivery(Accepted())

        assert delivery.courier.deliver(b"abc") == Accepted()
        assert delivery.requests == [(3, 1.0, False)]

    def test_again(self) -> None:
        """What is not taken yet is sent again, after longer and longer pauses."""
        delivery = Delivery(BUSY, BUSY, BUSY, Accepted())

        assert delivery.courier.deliver(b"abc") == Accepted()
        assert delivery.closing.pauses == [1, 1.5, 2.25]
        assert [is_retry for _, _, is_retry in delivery.requests] == [False, True, True, True]
        assert delivery.failures == ["busy"] * 3

    def test_asked(self) -> None:
        """The endpoint says how long a pause is."""
        delivery = Delivery(Failed("busy", is_retryable=True, after_s=20), Accepted())
        delivery.courier.deliver(b"")

        assert delivery.closing.pauses == [20]

    def test_refused(self) -> None:
        """What is refused for good is not sent again."""
        delivery = Delivery(Failed("bad data"))

        assert delivery.courier.deliver(b"") == Lost("refused", "bad data")
        assert delivery.endpoint.tries == 1

    def test_partial_success(self) -> None:
        """A partial success is never sent again."""
        delivery = Delivery(Accepted(rejected=2, message="too old"))

        assert delivery.courier.deliver(b"") == Accepted(2, "too old")
        assert delivery.endpoint.tries == 1

    def test_expired(self) -> None:
        """After five minutes without success a request is given up."""
        delivery = Delivery(BUSY)

        assert delivery.courier.deliver(b"") == Lost("expired", "busy")
        assert 400 <= delivery.clock.now_s <= 431

    def test_own_patience(self) -> None:
        """A request may be worth less patience."""
        delivery = Delivery(BUSY)

        assert delivery.courier.deliver(b"", patience_s=10) == Lost("expired", "busy")
        assert 110 <= delivery.clock.now_s <= 120


class TestClosing:
    def test_ends_a_pause(self) -> None:
        """When a pause is cut short because the sender closes, there is another try at once."""
        closing = Closing()
        closing.begin(5)

        assert closing.pause(0.01)
        assert not closing.pause(6)

    def test_over(self) -> None:
        """When it is over there is none."""
        closing = Closing()
        closing.end()

        assert not closing.pause(0)

    def test_bounded(self) -> None:
        """While the sender closes, tries go on, but not beyond its time; a try's timeout is no longer than that."""
        delivery = Delivery(Accepted(), BUSY)
        delivery.courier.deliver(b"")
        delivery.closing.begin(8)

        assert delivery.courier.deliver(b"") == Lost("shutdown", "busy")
        assert delivery.clock.now_s <= 109
        assert delivery.endpoint.timeouts == [10, 8, 6, 3.5, 0.25]

    def test_nobody_there(self) -> None:
        """An endpoint that has never taken anything gets one more try, so that programs end soon."""
        delivery = Delivery(BUSY)
        delivery.closing.begin(1000)

        assert delivery.courier.deliver(b"") == Lost("shutdown", "busy")
        assert delivery.endpoint.tries == 2

    def test_broken_off(self) -> None:
        """Who ends the sender during a pause ends the delivery."""
        delivery = Delivery(BUSY)
        delivery.closing.during_pause = delivery.closing.end

        assert delivery.courier.deliver(b"") == Lost("shutdown", "busy")
        assert delivery.endpoint.tries == 1
