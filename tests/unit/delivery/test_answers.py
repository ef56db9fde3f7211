"""What endpoints answer."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from wasmscope.delivery._answer import Accepted, accepted, plain, retry_delay_s
from wasmscope.delivery._http import retry_after_s

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


class TestSuccess:
    def test_partial(self) -> None:
        """The answers of the three signals are read by one reader."""
        traces = ExportTraceServiceResponse(
            partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="old")
        )
        logs = ExportLogsServiceResponse(
            partial_success=ExportLogsPartialSuccess(rejected_log_records=3, error_message="old")
        )
        metrics = ExportMetricsServiceResponse(
            partial_success=ExportMetricsPartialSuccess(rejected_data_points=3, error_message="old")
        )

        for answer in (traces, logs, metrics):
            assert accepted(answer.SerializeToString()) == Accepted(3, "old")

    def test_full(self) -> None:
        """An empty answer is a full success."""
        assert accepted(b"") == Accepted()

    def test_hostile(self) -> None:
        """A negative number of refused records is none, and garbage is a success with a remark."""
        answer = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=-5))

        assert accepted(answer.SerializeToString()) == Accepted()
        assert accepted(b"<html>").rejected == 0
        assert "not OTLP" in accepted(b"<html>").message


class TestRetryInfo:
    def test_delay(self) -> None:
        """The delay is found among other details."""
        status = Status()
        status.details.add().Pack(BadRequest())
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000)))

        assert retry_delay_s(status.SerializeToString()) == 2.5

    def test_none(self) -> None:
        """Without it, or in garbage, there is none; a negative one is 0."""
        status = Status()
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=-2)))

        assert retry_delay_s(Status().SerializeToString()) is None
        assert retry_delay_s(b"\xff\xff") is None
        assert retry_delay_s(status.SerializeToString()) == 0


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, None),
            ("0", 0),
            ("120", 120),
            ("1.5", 1.5),
            ("-3", 0),
            ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
            ("Tuesday, 14-Nov-23 22:13:50 GMT", 30),
            ("Tue, 14 Nov 2023 22:13:50 -0000", 30),
            ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
            ("soon", None),
            ("", None),
            ("nan", None),
            ("1e999", None),
            ("Tue, 99 Nov 2023 22:13:50 GMT", None),
            ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ],
    )
    def test_forms(self, value: str | None, expected: float | None) -> None:
        """Seconds and dates are understood; what is neither is as good as none."""
        assert retry_after_s(value, NOW_S) == expected


def test_plain() -> None:
    """A stranger's text is one short line without control characters."""
    assert plain("a\r\n\x1b[31mred\u202e b") == "a [31mred b"
    assert len(plain("x" * 10**6)) == 400
