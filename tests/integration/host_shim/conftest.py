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


@pytest.fixture(params=["live", "sdk", "public"])
def native(request: pytest.FixtureRequest, telemetry: Telemetry) -> bool:
    """Whether host functions are made by the C API or by wasmtime's public API, and in the first case, the delivery."""
    telemetry.delivery = None if request.param == "public" else request.param
    return bool(request.param != "public")


@pytest.fixture
def bridge(telemetry: Telemetry, native: bool) -> Bridge:
    """A bridge of each binding."""
    return telemetry.bridge(native=native)


@pytest.fixture(params=["32-live", "64-live", "32-sdk", "64-sdk", "32-public"])
def guest(request: pytest.FixtureRequest, telemetry: Telemetry) -> Guest:
    """A guest of each width, delivery and binding; that of 64 bits under the public API is no different from these."""
    width, kind = request.param.split("-")
    telemetry.delivery = None if kind == "public" else kind
    return Guest(telemetry.bridge(native=kind != "public"), memory64=width == "64")


@pytest.fixture
def make_guest(telemetry: Telemetry) -> Callable[..., Guest]:
    """Makes guests of a bridge of the usual binding, with options for the bridge."""

    def make(**options: object) -> Guest:
        return Guest(telemetry.bridge(**options))

    return make
