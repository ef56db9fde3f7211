"""What the tests of deliveries share."""

import socket
from collections.abc import Generator

import pytest

from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver
from wasmscope.delivery import OtlpProtocol

PROTOCOLS: tuple[OtlpProtocol, ...] = ("grpc", "http/protobuf")


@pytest.fixture(params=PROTOCOLS)
def receiver(request: pytest.FixtureRequest) -> Generator[OtlpReceiver]:
    """A receiver of each protocol."""
    with otlp_receiver(request.param) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> OtlpProtocol:
    """Each protocol."""
    name: OtlpProtocol = request.param
    return name


@pytest.fixture
def nobody() -> Generator[str]:
    """An endpoint at which nobody listens, though the port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def silent() -> Generator[str]:
    """An endpoint that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
