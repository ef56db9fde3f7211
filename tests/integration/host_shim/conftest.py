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


@pytest.fixture(params=[(False, True), (True, True), (False, False)], ids=["32-native", "64-native", "32-public"])
def guest(request: pytest.FixtureRequest, telemetry: Telemetry) -> Guest:
    """A guest of each width and binding; that of 64 bits under the public API is no different from these."""
    memory64, native = request.param
    return Guest(telemetry.bridge(native=native), memory64=memory64)


@pytest.fixture
def make_guest(telemetry: Telemetry) -> Callable[..., Guest]:
    """Makes guests of a bridge of the usual binding, with options for the bridge."""

    def make(**options: object) -> Guest:
        return Guest(telemetry.bridge(**options))

    return make
