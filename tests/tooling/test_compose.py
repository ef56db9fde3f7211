"""docker-compose.otel.yml and the configuration files that it mounts fit together."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.jaeger import CONFIGURATION, jaeger_program

REPOSITORY = Path(__file__).parents[2]
LISTEN = re.compile(r"\$\{env:WASMSCOPE_JAEGER_HOST:-0\.0\.0\.0}:\$\{env:\w+:-(\d+)}")


def load(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services of the compose file by name."""
    content: dict[str, dict[str, Any]] = load(REPOSITORY / "docker-compose.otel.yml")["services"]
    return content


@pytest.fixture(scope="module")
def jaeger_ports() -> dict[str, int]:
    """The ports on which Jaeger listens when no variable is set, by component."""
    configuration = load(CONFIGURATION)
    query = configuration["extensions"]["jaeger_query"]
    otlp = configuration["receivers"]["otlp"]["protocols"]
    listening = {
        "query": query["http"],
        "query_grpc": query["grpc"],
        "health": configuration["extensions"]["healthcheckv2"]["http"],
        "otlp_grpc": otlp["grpc"],
        "otlp_http": otlp["http"],
        "prometheus": configuration["exporters"]["prometheus"],
    }
    ports: dict[str, int] = {}
    for name, component in listening.items():
        found = LISTEN.fullmatch(component["endpoint"])
        assert found, component["endpoint"]
        ports[name] = int(found[1])
    return ports


class TestCompose:
    def test_published_on_this_machine_only(self, services: dict[str, dict[str, Any]]) -> None:
        """Every port is published on 127.0.0.1, under the number it has inside."""
        for service in services.values():
            for published in service["ports"]:
                address, outside, inside = published.split(":")

                assert address == "127.0.0.1"
                assert outside == inside

    def test_mounts_exist(self, services: dict[str, dict[str, Any]]) -> None:
        """Every file that is mounted is there, and is mounted where it is read."""
        mounted = {name: service["volumes"][0].split(":") for name, service in services.items()}

        for host, _, mode in mounted.values():
            assert (REPOSITORY / host).is_file()
            assert mode == "ro"
        assert (REPOSITORY / mounted["jaeger"][0]).samefile(CONFIGURATION)
        assert services["jaeger"]["command"] == ["--config", mounted["jaeger"][1]]

    def test_jaeger_ports(self, services: dict[str, dict[str, Any]], jaeger_ports: dict[str, int]) -> None:
        """What Jaeger listens on is published, but for its health check."""
        published = {int(port.split(":")[-1]) for port in services["jaeger"]["ports"]}
        wanted = ("query", "otlp_grpc", "otlp_http", "prometheus")
        probed: str = services["jaeger"]["healthcheck"]["test"][-1]

        assert published == {jaeger_ports[name] for name in wanted}
        assert urlsplit(probed).port == jaeger_ports["health"]

    def test_standard_ports(self, jaeger_ports: dict[str, int]) -> None:
        """OTLP's and Jaeger's ports are those that everybody expects."""
        assert jaeger_ports["otlp_grpc"] == 4317
        assert jaeger_ports["otlp_http"] == 4318
        assert jaeger_ports["query"] == 16686

    def test_prometheus_scrapes_jaeger(self, services: dict[str, dict[str, Any]], jaeger_ports: dict[str, int]) -> None:
        """Prometheus, in its profile, reads where Jaeger offers the metrics."""
        [job] = load(REPOSITORY / "docker" / "prometheus.yml")["scrape_configs"]
        targets = [target for entry in job["static_configs"] for target in entry["targets"]]

        assert services["prometheus"]["profiles"] == ["metrics"]
        assert "profiles" not in services["jaeger"]
        assert targets == [f"jaeger:{jaeger_ports['prometheus']}"]

    def test_images_are_pinned(self, services: dict[str, dict[str, Any]]) -> None:
        """Every image has a tag, which a variable may replace."""
        for service in services.values():
            assert re.fullmatch(r"[\w./-]+:\$\{\w+_TAG:-v?\d+\.\d+\.\d+}", service["image"])

    def test_jaeger_accepts_its_configuration(self) -> None:
        """The real Jaeger finds nothing wrong with the file as a container reads it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WASMSCOPE_JAEGER")}
        finished = subprocess.run(
            [jaeger_program(), "validate", "--config", CONFIGURATION],
            env=clean,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert finished.returncode == 0, finished.stderr
