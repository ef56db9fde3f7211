"""Fixtures for tests of the bridge."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.guests import Guest
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """An OpenTelemetry SDK in memory."""
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


@pytest.fixture(params=[True, False], ids=["native", "public"])
def native(request: pytest.FixtureRequest) -> bool:
    """Whether host functions are made by the C API or by wasmtime's public API."""
    return bool(request.param)


@pytest.fixture
def bridge(telemetry: Telemetry, native: bool) -> Bridge:
    """A bridge of each binding."""
    return telemetry.bridge(native=native)


@pytest.fixture(params=[False, True], ids=["32", "64"])
def guest(request: pytest.FixtureRequest, bridge: Bridge) -> Guest:
    """A guest of each width, under each binding."""
    return Guest(bridge, memory64=bool(request.param))


@pytest.fixture
def make_guest(telemetry: Telemetry) -> Callable[..., Guest]:
    """Makes guests of a bridge of the usual binding, with options for the bridge."""

    def make(**options: object) -> Guest:
        return Guest(telemetry.bridge(**options))

    return make
