"""What the environment says about metrics, against the SDK's exporter."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from wasmscope.delivery import prefers_delta, prefers_exponential

TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
HISTOGRAM = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"


class TestTemporality:
    @pytest.mark.parametrize("value", [None, "cumulative", "delta", "DELTA", " LowMemory ", "sideways"])
    def test_as_the_sdk(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        """Each value means for a guest's instruments what it means to the SDK's exporter."""
        environ = {} if value is None else {TEMPORALITY: value}
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
        exporter: Any = OTLPMetricExporter()

        temporality = exporter._preferred_temporality
        exporter.shutdown()
        expected = AggregationTemporality.DELTA if prefers_delta(environ) else AggregationTemporality.CUMULATIVE
        assert temporality[Counter] == temporality[Histogram] == expected
        assert temporality[UpDownCounter] == AggregationTemporality.CUMULATIVE

    def test_empty(self) -> None:
        """Empty is unset, as the specification says of all variables."""
        assert not prefers_delta({TEMPORALITY: ""})

    def test_nonsense(self, caplog: pytest.LogCaptureFixture) -> None:
        """A value that means nothing is named, with those that do."""
        assert not prefers_delta({TEMPORALITY: "sideways"})

        assert caplog.messages == [
            f"{TEMPORALITY}='sideways' is none of cumulative, delta, lowmemory; using cumulative"
        ]


class TestHistograms:
    @pytest.mark.parametrize("value", [None, "explicit_bucket_histogram", "base2_exponential_bucket_histogram", "tall"])
    def test_as_the_sdk(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        """Each value means what it means to the SDK's exporter."""
        environ = {} if value is None else {HISTOGRAM: value}
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
        exporter: Any = OTLPMetricExporter()

        aggregation = exporter._preferred_aggregation[Histogram]
        exporter.shutdown()
        assert isinstance(aggregation, ExponentialBucketHistogramAggregation) == prefers_exponential(environ)
