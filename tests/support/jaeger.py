"""A real Jaeger for the tests, with the configuration file that users get.

``script/setup jaeger`` builds it; ``WASMSCOPE_JAEGER`` may name another Jaeger v2.
"""

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = REPOSITORY / "docker" / "jaeger.yml"

START_SECONDS = 30
# Jaeger batches for 100 ms; the rest is for a busy machine.
ARRIVAL_SECONDS = 15

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Jaeger:
    """A running Jaeger: where it listens, and what it has received."""

    otlp_grpc: str
    """Base URL for OTLP over gRPC."""
    otlp_http: str
    """Base URL for OTLP over HTTP, to which ``/v1/traces`` and so on are added."""
    query: str
    """Base URL of the query API (and of the web page, where there is one)."""
    prometheus: str
    """URL of the metrics received, in Prometheus' text format."""
    log_path: Path
    """Its output, in which the log records received are printed."""

    def trace(self, trace_id: str, spans: int = 1) -> dict[str, Any]:
        """Wait for a trace and return it as the query API shows it.

        Args:
            trace_id: 32 hex digits.
            spans: How many spans to wait for: they may come in several exports.

        Raises:
            TimeoutError: They did not come.
        """

        def arrived() -> dict[str, Any] | None:
            for found in self._data(f"/api/traces/{trace_id}"):
                if len(found["spans"]) >= spans:
                    return found
            return None

        return wait_for(arrived, f"trace {trace_id} with {spans} spans in Jaeger")

    def traces(self, service: str, at_least: int = 1) -> list[dict[str, Any]]:
        """Wait for a service's traces and return them, newest first.

        Raises:
            TimeoutError: Fewer than ``at_least`` came.
        """
        query = urlencode({"service": service, "limit": 1500, "lookback": "1h"})

        def arrived() -> list[dict[str, Any]] | None:
            found = self._data(f"/api/traces?{query}")
            return found if len(found) >= at_least else None

        return wait_for(arrived, f"{at_least} traces of {service} in Jaeger")

    def metrics(self, containing: str) -> str:
        """Wait until the metrics contain a text and return all of them.

        Raises:
            TimeoutError: It did not come.
        """

        def arrived() -> str | None:
            text = fetch(self.prometheus)
            return text if text and containing in text else None

        return wait_for(arrived, f"{containing!r} at {self.prometheus}")

    def log(self, containing: str) -> str:
        """Wait until Jaeger's output contains a text and return all of it.

        Raises:
            TimeoutError: It did not come.
        """

        def arrived() -> str | None:
            text = self.log_path.read_text()
            return text if containing in text else None

        return wait_for(arrived, f"{containing!r} in {self.log_path}")

    def _data(self, path: str) -> list[dict[str, Any]]:
        # A trace that is not there yet is a 404.
        answer = fetch(self.query + path)
        return json.loads(answer)["data"] if answer else []


def fetch(url: str) -> str | None:
    """Get a text from a server on this machine; None if it has none (yet)."""
    try:
        with urlopen(url, timeout=5) as answer:
            content: bytes = answer.read()
    except (URLError, TimeoutError, ConnectionError):
        return None
    return content.decode()


def wait_for(condition: Callable[[], Found | None], what: str, seconds: float = ARRIVAL_SECONDS) -> Found:
    """Ask until there is an answer.

    Raises:
        TimeoutError: There was none in time; ``what`` says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while (found := condition()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)
    return found


def jaeger_program() -> Path:
    """The Jaeger program, or skip the test that needs it."""
    program = jaeger_place()
    if not program.exists():
        pytest.skip(f"no Jaeger at {program}: get it with script/setup jaeger")
    return program


def jaeger_place() -> Path:
    """Where script/setup puts Jaeger: the rule is the one in script/_common.sh."""
    if named := os.environ.get("WASMSCOPE_JAEGER"):
        return Path(named)
    home_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = os.environ.get("WASMSCOPE_CACHE") or Path(home_cache, "wasmscope")
    sources = [REPOSITORY / "tests" / "jaeger" / name for name in ("go.mod", "go.sum")]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return Path(cache, f"jaeger-{key[:12]}", "jaeger")


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """A Jaeger of this test session's own, on free ports of the loopback interface."""
    program = jaeger_program()
    log_path = tmp_path_factory.mktemp("jaeger") / "jaeger.log"
    process, running = start(program, log_path)
    try:
        yield running
    finally:
        # It keeps nothing that a gentle end would save.
        process.kill()
        process.wait()


def start(program: Path, log_path: Path) -> tuple[subprocess.Popen[bytes], Jaeger]:
    """Start Jaeger and wait until it is healthy.

    A port that was free may be taken before Jaeger opens it: then others are tried.
    """
    for attempt in range(3):
        process, health, running = launch(program, log_path)

        def up(process: subprocess.Popen[bytes] = process, health: str = health) -> bool | None:
            return True if process.poll() is not None or fetch(health) else None

        try:
            wait_for(up, f"Jaeger to start, see {log_path}", START_SECONDS)
        except TimeoutError:
            process.kill()
            process.wait()
            raise
        if process.poll() is None:
            return process, running
        if "address already in use" not in log_path.read_text() or attempt == 2:
            break
    pytest.fail(f"Jaeger did not start:\n{log_path.read_text()}")


def launch(program: Path, log_path: Path) -> tuple[subprocess.Popen[bytes], str, Jaeger]:
    """Start Jaeger on free ports: the process, its health check's URL, the rest."""
    names = ("OTLP_GRPC", "OTLP_HTTP", "QUERY", "QUERY_GRPC", "PROMETHEUS", "HEALTH")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    variables = {f"WASMSCOPE_JAEGER_{name}_PORT": str(ports[name]) for name in names}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [program, "--config", CONFIGURATION],
            env=os.environ | variables | {"WASMSCOPE_JAEGER_HOST": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    running = Jaeger(
        otlp_grpc=f"http://127.0.0.1:{ports['OTLP_GRPC']}",
        otlp_http=f"http://127.0.0.1:{ports['OTLP_HTTP']}",
        query=f"http://127.0.0.1:{ports['QUERY']}",
        prometheus=f"http://127.0.0.1:{ports['PROMETHEUS']}/metrics",
        log_path=log_path,
    )
    return process, f"http://127.0.0.1:{ports['HEALTH']}/status", running


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports
