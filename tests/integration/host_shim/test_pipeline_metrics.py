"""The bridge's metrics of what takes guests' records onwards."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.support import packing
from tests.support.guests import Guest
from tests.support.otlp_receiver import Answer, otlp_receiver
from tests.support.otlp_senders import sender_to
from tests.support.telemetry import Telemetry
from wasmscope.exporters import _conventions

DOCUMENT = Path(__file__).parents[3] / "docs/deliveries.md"


def values(telemetry: Telemetry, name: str, *keys: str) -> dict[Any, Any]:
    """The values of a metric of ours by attributes; by signal if none is named."""
    return {
        tuple(point.attributes.get(key) for key in keys) if keys else point.attributes["signal"]: point.value
        for point in telemetry.points("wasmscope", name)
    }


def tell(guest: Guest, *, spans: int = 0, logs: int = 0, measurements: int = 0) -> None:
    """Have a guest tell something in one call."""
    counter = guest.instrument(1, 0, packing.instrument("count"))

    def body() -> None:
        for _ in range(spans):
            guest.abi("span_end", guest.start("work"))
        for _ in range(logs):
            guest.log("hello")
        for _ in range(measurements):
            guest.abi("measure_i64", counter, 1, 0)

    guest.run(body)


class TestSdk:
    def test_in_and_out(self, telemetry: Telemetry) -> None:
        """What guests told is counted by signal, module and tenant; spans and logs come out, each once."""
        bridge = telemetry.bridge(delivery="sdk")
        tell(Guest(bridge, name="a", tenant="x"), spans=3, logs=2, measurements=5)
        tell(Guest(bridge, name="b"), logs=4)

        keys = ("wasm.module.name", "wasm.tenant", "signal")
        assert values(telemetry, "wasmscope.records", *keys) == {
            ("a", "x", "traces"): 3,
            ("a", "x", "logs"): 2,
            ("a", "x", "metrics"): 5,
            ("b", None, "traces"): 0,
            ("b", None, "logs"): 4,
            ("b", None, "metrics"): 0,
        }
        delivered = values(telemetry, "wasmscope.delivered", *keys)
        assert delivered == {
            ("a", "x", "traces"): 3,
            ("a", "x", "logs"): 2,
            ("b", None, "traces"): 0,
            ("b", None, "logs"): 4,
        }
        sizes = values(telemetry, "wasmscope.delivered.bytes", *keys)
        # A span has two ids of 24 bytes together, two times of 8 and a name; a log record two times and a text.
        assert sizes["a", "x", "traces"] > 3 * (24 + 16 + 4)
        assert sizes["b", None, "logs"] > 4 * (5 + 16)
        assert sizes["a", "x", "metrics"] > 0
        assert sizes["b", None, "traces"] == 0
        (time_s,) = [
            point.value
            for point in telemetry.points("wasmscope", "wasmscope.delivery.time")
            if point.attributes["wasm.module.name"] == "a"
        ]
        assert 0 < time_s < 10

    def test_guests_that_are_gone(self, telemetry: Telemetry) -> None:
        """What guests told stays counted when they are gone, however they went, and nothing is counted twice."""
        bridge = telemetry.bridge(delivery="sdk")
        closed = Guest(bridge)
        tell(closed, spans=1)
        closed.instance.close()
        assert values(telemetry, "wasmscope.records")["traces"] == 1

        closed.run(lambda: closed.log("after the end"))
        assert values(telemetry, "wasmscope.records")["logs"] == 1
        closed.store.close()

        lost = Guest(bridge)
        tell(lost, spans=2)
        del lost
        gc.collect()
        tell(Guest(bridge), spans=4)

        assert values(telemetry, "wasmscope.records") == {"traces": 7, "logs": 1, "metrics": 0}
        assert values(telemetry, "wasmscope.delivered") == {"traces": 7, "logs": 1}

    def test_unsampled(self) -> None:
        """Spans that the sampler drops are counted when the guest's store is closed, and do not come out."""
        telemetry = Telemetry()
        telemetry.tracer_provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
        guest = Guest(telemetry.bridge(delivery="sdk"))
        tell(guest, spans=3)
        guest.store.close()

        assert values(telemetry, "wasmscope.records")["traces"] == 3
        assert values(telemetry, "wasmscope.delivered")["traces"] == 0
        (point,) = telemetry.points("wasmscope", "wasmscope.spans.unsampled")
        assert point.value == 3
        telemetry.close()

    def test_dropped(self, telemetry: Telemetry) -> None:
        """Spans that a processor of the application's fails at are counted as dropped."""

        class Broken(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                if span.name == "work":
                    raise RuntimeError("broken")

        telemetry.tracer_provider.add_span_processor(Broken())
        tell(Guest(telemetry.bridge(delivery="sdk")), spans=2)

        assert values(telemetry, "wasmscope.dropped", "signal", "reason") == {("traces", "failed"): 2}


class TestOtlp:
    def test_sent(self, telemetry: Telemetry) -> None:
        """What the sender did is shown: what the endpoint took, in how many requests, how long, how big."""
        with otlp_receiver("http/protobuf") as receiver, sender_to(receiver.endpoint, "http/protobuf") as sender:
            bridge = telemetry.bridge(delivery="otlp", otlp=sender)
            tell(Guest(bridge), spans=3, logs=2, measurements=1)
            bridge.flush()

            assert values(telemetry, "wasmscope.sent")["traces"] == len(receiver.spans) == 3
            assert values(telemetry, "wasmscope.sent")["logs"] == 2
            sizes = values(telemetry, "wasmscope.sent.bytes")
            for signal in ("traces", "logs"):
                assert sizes[signal] == sum(request.size for request in receiver.requests if request.signal == signal)
            assert values(telemetry, "wasmscope.export.requests")["traces"] == 1
            assert values(telemetry, "wasmscope.export.retries") == {"traces": 0, "logs": 0, "metrics": 0}
            assert 0 < values(telemetry, "wasmscope.export.time")["traces"] < 10
            assert values(telemetry, "wasmscope.queue.length")["traces"] == 0
            assert values(telemetry, "wasmscope.queue.size")["traces"] == 0
            assert values(telemetry, "wasmscope.dropped", "signal", "reason") == {}

    def test_refused(self, telemetry: Telemetry) -> None:
        """What the endpoint refuses is counted by reason, and a request that is tried again as one."""
        with otlp_receiver("http/protobuf") as receiver, sender_to(receiver.endpoint, "http/protobuf") as sender:
            receiver.answer_next(Answer(status=503), Answer(status=400))
            bridge = telemetry.bridge(delivery="otlp", otlp=sender)
            tell(Guest(bridge), spans=3)
            bridge.flush()

            assert values(telemetry, "wasmscope.dropped", "signal", "reason") == {("traces", "refused"): 3}
            assert values(telemetry, "wasmscope.export.retries")["traces"] == 1
            assert values(telemetry, "wasmscope.export.requests")["traces"] == 2

    def test_waiting(self, telemetry: Telemetry) -> None:
        """What waits to be sent is shown, in records and bytes."""
        with otlp_receiver("http/protobuf") as receiver, sender_to(receiver.endpoint, "http/protobuf") as sender:
            receiver.answer_next(Answer(delay_s=1))
            guest = Guest(telemetry.bridge(delivery="otlp", otlp=sender))
            tell(guest, spans=5)
            telemetry._bridges.clear()  # it would be flushed

            assert values(telemetry, "wasmscope.queue.length")["traces"] == 5
            assert values(telemetry, "wasmscope.queue.size")["traces"] > 5 * 40
            guest.bridge.close()


class TestNames:
    def test_all_are_known(self, telemetry: Telemetry) -> None:
        """The docs list every metric of the pipeline, and the terminal's tables leave exactly these out."""
        with otlp_receiver("http/protobuf") as receiver, sender_to(receiver.endpoint, "http/protobuf") as sender:
            receiver.answer_next(Answer(status=400))
            bridge = telemetry.bridge(delivery="otlp", otlp=sender)
            tell(Guest(bridge), spans=1)
            bridge.flush()
            found = {name for scope, name in telemetry.metrics() if (scope, name[:10]) == ("wasmscope", "wasmscope.")}

        assert found == _conventions.PIPELINE_METRICS
        listed = set(re.findall(r"^\| `(wasmscope\.[a-z.]+)`", DOCUMENT.read_text(), re.MULTILINE))
        assert listed == found | {_conventions.METRIC_REJECTED}


class TestClose:
    def test_shared_sender(self, telemetry: Telemetry) -> None:
        """A bridge that is closed leaves a sender that is not its own, and is not asked for metrics any more; a
        guest that comes later is."""
        with otlp_receiver("http/protobuf") as receiver, sender_to(receiver.endpoint, "http/protobuf") as sender:
            bridge = telemetry.bridge(delivery="otlp", otlp=sender)
            tell(Guest(bridge), measurements=1)
            bridge.close()
            assert receiver.counts["metrics"] == 1
            assert sender.flush(10)
            assert receiver.counts["metrics"] == 1

            tell(Guest(bridge), measurements=1)
            assert sender.flush(10)
            assert receiver.counts["metrics"] > 1

    def test_own_sender(self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bridge that made its sender stops it when it is closed, and makes another for a guest that comes later."""
        with otlp_receiver("http/protobuf") as receiver:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            bridge = telemetry.bridge(delivery="otlp")
            for expected in (1, 2):
                tell(Guest(bridge), spans=1)
                bridge.close()
                assert receiver.counts["traces"] == expected
