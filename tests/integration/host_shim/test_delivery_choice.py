"""Who chooses a delivery."""

from __future__ import annotations

import pytest
from opentelemetry.trace import NoOpTracerProvider

from tests.support.guests import Guest
from tests.support.telemetry import Telemetry
from wasmscope.errors import ConfigurationError
from wasmscope.host_shim import Bridge
from wasmscope.host_shim._collected import CollectedSpans


def is_collected(guest: Guest) -> bool:
    return isinstance(guest.instance._runner.guest.spans, CollectedSpans)


class TestChoice:
    def test_default(self, telemetry: Telemetry) -> None:
        """With the SDK's providers a guest gets a collector; where nobody listens, it is served live."""
        with Bridge(tracer_provider=NoOpTracerProvider()) as bridge:
            assert is_collected(Guest(telemetry.bridge()))
            assert not is_collected(Guest(bridge))

    def test_environment(self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment chooses where the application does not, and where the choice can be."""
        monkeypatch.setenv("WASMSCOPE_DELIVERY", "live")
        assert not is_collected(Guest(telemetry.bridge()))
        assert is_collected(Guest(telemetry.bridge(delivery="sdk")))
        monkeypatch.setenv("WASMSCOPE_DELIVERY", "sdk")
        assert is_collected(Guest(telemetry.bridge()))
        assert not is_collected(Guest(telemetry.bridge(native=False)))
        assert not is_collected(Guest(telemetry.bridge(logs_as_span_events=True)))

    @pytest.mark.parametrize("delivery", ["fast", "OTLP", "otlp,sdk"])
    def test_unknown(self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, delivery: str) -> None:
        """What is no delivery is refused, and the error says where it stands."""
        with pytest.raises(ConfigurationError, match=r"^delivery="):
            telemetry.bridge(delivery=delivery)
        monkeypatch.setenv("WASMSCOPE_DELIVERY", delivery)
        with pytest.raises(ConfigurationError, match=r"^WASMSCOPE_DELIVERY="):
            telemetry.bridge()

    @pytest.mark.parametrize("delivery", ["sdk", "otlp"])
    @pytest.mark.parametrize("options", [{"native": False}, {"logs_as_span_events": True}], ids=["public", "events"])
    def test_impossible(self, telemetry: Telemetry, delivery: str, options: dict[str, bool]) -> None:
        """A delivery that needs the collector is refused with what rules that out."""
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            telemetry.bridge(delivery=delivery, **options)

    def test_without_sdk(self) -> None:
        """The ``sdk`` delivery is refused, when an instance is made, for a provider that is not the SDK's."""
        with (
            Bridge(tracer_provider=NoOpTracerProvider(), delivery="sdk") as bridge,
            pytest.raises(ConfigurationError, match="SDK"),
        ):
            Guest(bridge)
