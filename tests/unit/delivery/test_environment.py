"""The sender's settings."""

import logging
import socket
import threading
from pathlib import Path

import pytest

from wasmscope.delivery import OtlpTarget, Tls, sender_settings
from wasmscope.delivery._environment import signal_settings
from wasmscope.errors import ConfigurationError

GRPC = OtlpTarget("grpc", "http://localhost:4317", "http://localhost:4317")
PREFIX = "OTEL_EXPORTER_OTLP_"


def notify(waiting: threading.Condition) -> None:
    """Wake who waits."""
    with waiting:
        waiting.notify_all()


@pytest.fixture(autouse=True)
def no_environment(clean_environment: None) -> None:
    """Start without OTEL_* variables."""


class TestDefaults:
    def test_all(self) -> None:
        """Unset variables have the values that the specification, and OpenTelemetry's Python SDK, give them."""
        settings = sender_settings()

        assert set(settings.signals) == {"traces", "logs", "metrics"}
        assert (settings.spans_delay_s, settings.logs_delay_s, settings.metrics_interval_s) == (5.0, 1.0, 60.0)
        assert (settings.queue_bytes, settings.request_bytes) == (67_108_864, 2_097_152)
        for own in settings.signals.values():
            assert (own.target.url, own.target.protocol) == ("http://localhost:4317", "grpc")
            assert (own.headers, own.compression, own.timeout_s, own.tls) == ((), "none", 10.0, None)

    def test_empty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An empty variable is as good as none, as the specification has it."""
        for name in ("HEADERS", "COMPRESSION", "TIMEOUT", "CERTIFICATE", "INSECURE"):
            monkeypatch.setenv(PREFIX + name, "")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "")
        monkeypatch.setenv("WASMSCOPE_OTLP_QUEUE_BYTES", "")

        assert sender_settings() == sender_settings()
        assert sender_settings().queue_bytes == 67_108_864

    def test_signals_known(self) -> None:
        """Only those signals are sent whose target is given."""
        assert set(sender_settings(targets={"traces": GRPC}).signals) == {"traces"}


class TestOwnAndGeneral:
    @pytest.mark.parametrize(
        ("name", "general", "own", "attribute", "expected"),
        [
            ("HEADERS", "a=1", "b=2", "headers", ((("b", "2"),), (("a", "1"),))),
            ("COMPRESSION", "gzip", "none", "compression", ("none", "gzip")),
            ("TIMEOUT", "7", "3.5", "timeout_s", (3.5, 7.0)),
        ],
    )
    def test_precedence(
        self,
        name: str,
        general: str,
        own: str,
        attribute: str,
        expected: tuple[object, object],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A signal's own variable wins over the general one, and does not touch the other signals."""
        monkeypatch.setenv(PREFIX + name, general)
        monkeypatch.setenv(f"{PREFIX}LOGS_{name}", own)
        signals = sender_settings().signals

        assert expected == (getattr(signals["logs"], attribute), getattr(signals["traces"], attribute))

    def test_intervals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Intervals are milliseconds."""
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "300")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "400")
        settings = sender_settings()

        assert (settings.spans_delay_s, settings.logs_delay_s, settings.metrics_interval_s) == (0.2, 0.3, 0.4)

    def test_as_good_as_never(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Times that are beyond what a thread or a socket can wait for are the longest that they can."""
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1e20")
        monkeypatch.setenv(PREFIX + "TIMEOUT", "1e20")
        settings = sender_settings()

        with socket.socket() as one:
            one.settimeout(settings.signals["traces"].timeout_s)
        waiting = threading.Condition()
        with waiting:
            threading.Timer(0.05, lambda: notify(waiting)).start()
            assert waiting.wait(settings.metrics_interval_s)

    def test_bounds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Queue and requests have bounds of the user's choice."""
        monkeypatch.setenv("WASMSCOPE_OTLP_QUEUE_BYTES", "1000")
        monkeypatch.setenv("WASMSCOPE_OTLP_REQUEST_BYTES", "100")

        assert (sender_settings().queue_bytes, sender_settings().request_bytes) == (1000, 100)


class TestHeaders:
    def test_decoding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Names are in lower case, values percent-decoded; spaces around them do not count."""
        monkeypatch.setenv(PREFIX + "HEADERS", "Authorization=Basic%20YTpi%3D , x-tenant = a%2Cb")

        assert dict(signal_settings("traces", GRPC).headers) == {"authorization": "Basic YTpi=", "x-tenant": "a,b"}

    @pytest.mark.parametrize("value", ["a=x%0d%0aevil:1", "a=%00", "a%20b=1", "a=%E2%82%AC"])
    def test_refused(self, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What would break a request, or smuggle a header into it, is refused; the value is not repeated."""
        monkeypatch.setenv(PREFIX + "TRACES_HEADERS", value)

        with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_TRACES_HEADERS: the header") as raised:
            signal_settings("traces", GRPC)
        assert "evil" not in str(raised.value)

    def test_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Headers are in no representation, which may end in a log."""
        monkeypatch.setenv(PREFIX + "HEADERS", "api-key=secret")

        assert "secret" not in repr(sender_settings())


class TestSecurity:
    @pytest.mark.parametrize(
        ("url", "insecure", "is_secure"),
        [
            ("http://c:4317", None, False),
            ("https://c:4317", None, True),
            # The scheme takes precedence over the variable.
            ("https://c:4317", "true", True),
            ("http://c:4317", "false", False),
            ("c:4317", None, True),
            ("c:4317", "true", False),
            ("c:4317", "TRUE", False),
            ("c:4317", "no", True),
        ],
    )
    def test_insecure(self, url: str, insecure: str | None, is_secure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """The scheme says whether the connection is secured; without one, ``…_INSECURE`` does."""
        if insecure is not None:
            monkeypatch.setenv(PREFIX + "INSECURE", insecure)
        own = signal_settings("traces", OtlpTarget("grpc", url, url))

        assert (own.tls is not None) == is_secure

    def test_files(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Certificates are files, a signal's own first."""
        files = {name: str(tmp_path / name) for name in ("ca", "key", "pem", "other")}
        for file in files.values():
            Path(file).touch()
        monkeypatch.setenv(PREFIX + "CERTIFICATE", files["ca"])
        monkeypatch.setenv(PREFIX + "CLIENT_KEY", files["key"])
        monkeypatch.setenv(PREFIX + "CLIENT_CERTIFICATE", files["pem"])
        monkeypatch.setenv(PREFIX + "METRICS_CERTIFICATE", files["other"])
        target = OtlpTarget("http/protobuf", "https://c/v1/x", "https://c")

        assert signal_settings("traces", target).tls == Tls(files["ca"], files["key"], files["pem"])
        assert signal_settings("metrics", target).tls == Tls(files["other"], files["key"], files["pem"])

    def test_no_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A file that is not there is found before anything is sent."""
        monkeypatch.setenv(PREFIX + "CERTIFICATE", str(tmp_path / "none.pem"))

        with pytest.raises(ConfigurationError, match=r"OTEL_EXPORTER_OTLP_CERTIFICATE='.*none.pem' cannot be read"):
            signal_settings("traces", OtlpTarget("grpc", "https://c:4317", "https://c:4317"))

    def test_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A folder, which gRPC cannot take, is found before anything is sent."""
        monkeypatch.setenv(PREFIX + "CERTIFICATE", str(tmp_path))

        with pytest.raises(ConfigurationError, match=r"OTEL_EXPORTER_OTLP_CERTIFICATE='.*' cannot be read"):
            signal_settings("traces", OtlpTarget("grpc", "https://c:4317", "https://c:4317"))


class TestMistakes:
    @pytest.mark.parametrize(
        ("variable", "value", "message"),
        [
            (PREFIX + "COMPRESSION", "brotli", "brotli.*use gzip, deflate or none"),
            ("WASMSCOPE_OTLP_QUEUE_BYTES", "64MiB", "64MiB.*number of bytes, for example 67108864"),
            ("WASMSCOPE_OTLP_QUEUE_BYTES", "0", "number of bytes"),
            ("WASMSCOPE_OTLP_QUEUE_BYTES", "-1", "number of bytes"),
            ("WASMSCOPE_OTLP_QUEUE_BYTES", "9" * 5000, "number of bytes"),
            ("WASMSCOPE_OTLP_REQUEST_BYTES", "٣", "number of bytes"),
        ],
    )
    def test_refused(self, variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What cannot be used is refused in one line that says what would be right."""
        monkeypatch.setenv(variable, value)

        with pytest.raises(ConfigurationError, match=message) as raised:
            sender_settings()
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("value", ["soon", "0", "-5", "nan", "inf", "1e999"])
    def test_numbers(self, value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """A number of OpenTelemetry's that is none is warned of and ignored, as the specification asks."""
        monkeypatch.setenv(PREFIX + "TIMEOUT", value)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", value)
        with caplog.at_level(logging.WARNING, "wasmscope.delivery"):
            settings = sender_settings(targets={"traces": GRPC})

        assert (settings.signals["traces"].timeout_s, settings.spans_delay_s) == (10.0, 5.0)
        assert f"OTEL_EXPORTER_OTLP_TIMEOUT='{value}' is no number above 0; 10 is used" in caplog.text
