"""Where OTLP goes."""

import pytest

from wasmscope.delivery._target import OtlpTarget, otlp_target
from wasmscope.errors import ConfigurationError

GENERAL = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


@pytest.fixture(autouse=True)
def no_environment(clean_environment: None) -> None:
    """Start without OTEL_* variables."""


class TestSwitch:
    @pytest.mark.parametrize(
        ("switch", "endpoint", "name", "protocol"),
        [
            ("http://localhost:4317", "http://localhost:4317", "http://localhost:4317", "grpc"),
            ("localhost:4317", "http://localhost:4317", "http://localhost:4317", "grpc"),
            ("localhost", "http://localhost", "http://localhost", "grpc"),
            ("http://localhost:4318", "http://localhost:4318/v1/traces", "http://localhost:4318", "http/protobuf"),
            ("localhost:4318/", "http://localhost:4318/v1/traces", "http://localhost:4318", "http/protobuf"),
            ("https://o.example/otlp", "https://o.example/otlp/v1/traces", "https://o.example/otlp", "http/protobuf"),
            ("http://h:80/v1/logs", "http://h:80/v1/traces", "http://h:80", "http/protobuf"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces", "http://[::1]:4318", "http/protobuf"),
        ],
    )
    def test_protocol_from_endpoint(self, switch: str, endpoint: str, name: str, protocol: str) -> None:
        """Port 4318 or a path is HTTP, all else gRPC; the signal's path is added for HTTP."""
        target = otlp_target("traces", switch)

        assert (endpoint, name, protocol) == (target.url, target.name, target.protocol)

    def test_protocol_from_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment's protocol wins over what the endpoint looks like."""
        monkeypatch.setenv(PROTOCOL, "http/protobuf")
        assert otlp_target("logs", "localhost:4317").url == "http://localhost:4317/v1/logs"

        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc")
        assert otlp_target("logs", "localhost:4318").url == "http://localhost:4318"

    def test_without_endpoint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The bare switch takes the environment's endpoint, and guesses the protocol from it."""
        assert OtlpTarget("grpc", "http://localhost:4317", "http://localhost:4317") == otlp_target("traces", True)

        monkeypatch.setenv(GENERAL, "http://collector:4318")
        expected = OtlpTarget("http/protobuf", "http://collector:4318/v1/traces", "http://collector:4318")
        assert expected == otlp_target("traces", True)


class TestEnvironment:
    def test_default(self) -> None:
        """Nothing set is gRPC to this machine, as in OpenTelemetry's Python SDK."""
        assert OtlpTarget("grpc", "http://localhost:4317", "http://localhost:4317") == otlp_target("metrics")

    def test_http_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """HTTP has a default of its own."""
        monkeypatch.setenv(PROTOCOL, "http/protobuf")

        assert otlp_target("metrics").name == "http://localhost:4318"

    def test_port_is_no_protocol(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the switch, variables mean what they mean to every SDK: no guessing."""
        monkeypatch.setenv(GENERAL, "http://localhost:4318")

        assert otlp_target("traces").protocol == "grpc"

    def test_endpoint_of_a_signal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signal's own endpoint wins over the general one."""
        monkeypatch.setenv(GENERAL, "http://general:4317")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://special:4317")

        assert otlp_target("logs").name == "http://special:4317"
        assert otlp_target("traces").name == "http://general:4317"

    def test_urls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The signal's path is added to the general endpoint, and never to a signal's own.

        The endpoints and URLs are example 3 of https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
        """
        monkeypatch.setenv(PROTOCOL, "http/protobuf")
        monkeypatch.setenv(GENERAL, "http://collector:4318/mycollector/")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://collector.example.com/v1/metrics/")

        assert otlp_target("traces").url == "http://collector:4318/mycollector/v1/traces"
        assert otlp_target("logs").url == "http://collector:4318/mycollector/v1/logs"
        assert otlp_target("metrics").url == "https://collector.example.com/v1/metrics/"

    def test_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password in an endpoint is used, and not part of its name."""
        monkeypatch.setenv(PROTOCOL, "http/protobuf")
        monkeypatch.setenv(GENERAL, "https://me:secret@collector:4318")
        target = otlp_target("traces")

        assert target.url == "https://me:secret@collector:4318/v1/traces"
        assert target.name == "https://collector:4318"

    def test_grpc_without_scheme(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """gRPC endpoints may be host:port."""
        monkeypatch.setenv(GENERAL, "collector:4317")

        assert otlp_target("traces").name == "collector:4317"


class TestMistakes:
    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://",
            "http://localhost:99999",
            "http://localhost:http",
            "ftp://localhost",
            "http://a b",
            "http://[::1",
            "",
        ],
    )
    def test_endpoint(self, endpoint: str) -> None:
        """An endpoint that is no URL is refused, with an example of one."""
        with pytest.raises(ConfigurationError, match="looks like http://localhost:4317"):
            otlp_target("traces", endpoint)

    def test_http_without_scheme(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OTLP over HTTP needs a whole URL in the environment."""
        monkeypatch.setenv(GENERAL, "collector:4318")
        monkeypatch.setenv(PROTOCOL, "http/protobuf")

        with pytest.raises(ConfigurationError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT='collector:4318'"):
            otlp_target("traces")

    def test_protocol(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A protocol that is not supported is refused, with those that are."""
        monkeypatch.setenv(PROTOCOL, "http/json")

        with pytest.raises(ConfigurationError, match=r"http/json.*use grpc or http/protobuf"):
            otlp_target("traces")
