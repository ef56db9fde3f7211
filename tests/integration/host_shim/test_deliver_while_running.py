"""Guests that are asked for what they told while they run, and interrupted if the application says so."""

from __future__ import annotations

import gc

import pytest
import wasmtime
from opentelemetry.trace import StatusCode

from tests.support.guests import Guest
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge

LOOP = """(func (export "loop") (param $n i32)
    (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"""
LEFT_OPEN = "the span was still open when its instance was closed"


class Application:
    """Says whether a guest may go on. The store owns it, so it must not own the store."""

    def __init__(self) -> None:
        self.answer = True
        self.times = 0
        self.error: Exception | None = None

    def may_go_on(self) -> bool:
        self.times += 1
        if self.error is not None:
            raise self.error
        return self.answer


class Asked:
    """A guest of an engine with epochs, and the application that is asked."""

    def __init__(self, bridge: Bridge) -> None:
        config = wasmtime.Config()
        config.epoch_interruption = True
        self.engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(self.engine)
        self.store.set_epoch_deadline(1)
        self.application = Application()
        self.guest = Guest(bridge, store=self.store, extra=LOOP)
        bridge.deliver_while_running(self.store, may_go_on=self.application.may_go_on)

    def loop(self) -> None:
        self.guest.instance.call("loop", 1_000)

    def time_is_over(self) -> None:
        """Have the next look at the epoch find that the guest may not go on."""
        self.application.answer = False
        self.engine.increment_epoch()


@pytest.fixture(params=["live", "sdk"])
def bridge(request: pytest.FixtureRequest, telemetry: Telemetry) -> Bridge:
    """A bridge of each way of serving guests."""
    return telemetry.bridge(delivery=request.param)


class TestInterrupt:
    def test_later_calls(self, bridge: Bridge) -> None:
        """A store whose guest was interrupted is asked for again in its next calls: the limit holds for them, too."""
        asked = Asked(bridge)
        asked.time_is_over()

        for _ in range(3):
            with pytest.raises(wasmtime.WasmtimeError, match="interrupt"):
                asked.loop()
            asked.engine.increment_epoch()

        asked.application.answer = True
        asked.loop()
        assert asked.application.times == 4

    def test_application_that_raises(self, bridge: Bridge) -> None:
        """The same where the application raises instead of answering."""
        asked = Asked(bridge)
        asked.application.error = LookupError("no answer")
        asked.engine.increment_epoch()

        for _ in range(3):
            with pytest.raises(LookupError, match="no answer"):
                asked.loop()
            asked.engine.increment_epoch()

    def test_open_spans(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A call that is interrupted ends the spans that were started in it, with that as the reason."""
        asked = Asked(bridge)
        guest = asked.guest

        def body() -> None:
            guest.entered("doomed")
            asked.time_is_over()
            # Any function of the guest's looks at the epoch.
            guest.abi("abi_version")

        with pytest.raises(wasmtime.WasmtimeError, match="interrupt"):
            guest.run(body)

        assert telemetry.span("doomed").status.status_code is StatusCode.ERROR
        assert telemetry.span("doomed").status.description == "interrupt"
        assert guest.rejected() == {}


class TestTimeIsOver:
    """What the host does with a collector is not the guest's running: nobody is asked, and nothing interrupts it."""

    def test_end_of_a_call(self, telemetry: Telemetry) -> None:
        """A call whose time is over when it returns tells everything."""
        asked = Asked(telemetry.bridge(delivery="sdk"))
        guest = asked.guest
        guest.run(lambda: guest.log("first"))

        def body() -> None:
            guest.entered("left")
            guest.log("second")
            asked.time_is_over()

        guest.run(body)

        assert [log.body for log in telemetry.logs()] == ["first", "second"]
        assert guest.rejected() == {}
        assert asked.application.times == 0

    def test_end_of_a_store(self, telemetry: Telemetry) -> None:
        """A store that is closed when the time is over still tells what its guests left open, and is forgotten."""
        bridge = telemetry.bridge(delivery="sdk")
        asked = Asked(bridge)
        asked.guest.run(lambda: asked.guest.entered("left"))
        asked.time_is_over()

        asked.store.close()

        assert telemetry.span("left").status.description == LEFT_OPEN
        assert bridge.rejected() == {}
        assert bridge.usage()[0].instances == 0

    def test_garbage(self, telemetry: Telemetry) -> None:
        """The garbage collector may take a store in the middle of anything: the application is not asked then."""
        application = self._lost(telemetry.bridge(delivery="sdk"))

        gc.collect()

        assert telemetry.span("left").status.description == LEFT_OPEN
        assert application.times == 0

    @staticmethod
    def _lost(bridge: Bridge) -> Application:
        """Leave a store to the garbage collector when its application is to be asked; gives that."""
        asked = Asked(bridge)
        asked.guest.run(lambda: asked.guest.entered("left"))
        asked.engine.increment_epoch()
        circle: list[object] = [asked]
        circle.append(circle)
        return asked.application

    def test_another_bridge(self, telemetry: Telemetry) -> None:
        """The same for guests of another bridge in the store, which does not know who is asked."""
        asked = Asked(telemetry.bridge(delivery="sdk"))
        other = Guest(telemetry.bridge(delivery="sdk"), store=asked.store)
        other.run(lambda: other.entered("left"))
        asked.time_is_over()

        asked.store.close()

        assert telemetry.span("left").status.description == LEFT_OPEN


class TestRecords:
    def test_taken_out(self, telemetry: Telemetry) -> None:
        """What a guest told is taken out whenever the epoch advances, in the middle of its call."""
        asked = Asked(telemetry.bridge(delivery="sdk"))
        guest = asked.guest
        seen: list[int] = []

        def body() -> None:
            guest.log("early")
            asked.engine.increment_epoch()
            # Any function of the guest's looks at the epoch.
            guest.abi("abi_version")
            seen.append(len(telemetry.log_exporter.get_finished_logs()))

        guest.run(body)

        assert seen == [1]
        assert asked.application.times == 1
