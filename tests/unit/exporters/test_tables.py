"""The tables of metrics and of costs."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from tests.support.golden import GoldenFiles
from tests.unit.exporters.story import Story, account, measure
from wasmscope.exporters import Layout, render_accounting, render_metrics
from wasmscope.exporters._metrics_table import sparkline


def order_metrics() -> MetricsData | None:
    """Give the metrics of the order."""
    story = Story()
    measure(story)
    return story.recording.metrics()


class TestGolden:
    """Each of these files has been looked at."""

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_widths(self, golden: GoldenFiles, width: int) -> None:
        """Both tables, in narrow, usual and wide terminals."""
        data = order_metrics()
        layout = Layout(width=width)
        text = render_metrics(data, layout) + "\n" + render_accounting(data, layout, lost={"spans": 1_000})

        golden.check(f"tables_{width}.txt", text)


class TestMetrics:
    def test_nothing(self) -> None:
        """Nothing measured is nothing shown."""
        assert render_metrics(None) == ""

    def test_accounting_apart(self) -> None:
        """What the accounting table tells of is not told twice."""
        assert "wasm." not in render_metrics(order_metrics())

    def test_histogram(self) -> None:
        """Count, sum, least, greatest, and a bar for each bucket between the filled ones."""
        reader = InMemoryMetricReader()
        meter = MeterProvider([reader]).get_meter("guest")
        histogram = meter.create_histogram("sizes", explicit_bucket_boundaries_advisory=[10, 20, 30])
        for value in (5, 15, 16, 17, 18, 35):
            histogram.record(value)
        text = render_metrics(reader.get_metrics_data(), Layout(width=120))

        assert "count 6  sum 106  min 5  max 35  ▂█ ▂" in text

    def test_exponential_histogram(self) -> None:
        """A histogram with exponential buckets is a histogram too."""
        reader = InMemoryMetricReader(preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()})
        histogram = MeterProvider([reader]).get_meter("guest").create_histogram("sizes", "By")
        for value in (1_024, 2_048):
            histogram.record(value)

        text = render_metrics(reader.get_metrics_data(), Layout(width=120))
        assert "count 2  sum 3.00 KiB  min 1.00 KiB  max 2.00 KiB" in text

    def test_many(self) -> None:
        """Of very many series, 200 are shown; the others are counted."""
        reader = InMemoryMetricReader()
        counter = MeterProvider([reader]).get_meter("guest").create_counter("c")
        for i in range(1_500):
            counter.add(1, {"i": i})
        lines = render_metrics(reader.get_metrics_data()).splitlines()

        assert len(lines) == 203
        assert lines[-1] == "… 1,300 more series"

    @settings(deadline=None)
    @given(st.text(max_size=40), st.text(max_size=40), st.integers(), st.sampled_from([40, 60, 80, 120]))
    def test_hostile_attributes(self, key: str, value: str, amount: int, width: int) -> None:
        """Keys and values of guests' metrics cannot get at the terminal."""
        reader = InMemoryMetricReader()
        meter = MeterProvider([reader]).get_meter("guest\x1b[31m")
        meter.create_gauge("g", "\x1b[31m").set(amount, {key: value})
        text = render_metrics(reader.get_metrics_data(), Layout(width=width))

        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


class TestSparkline:
    @pytest.mark.parametrize(
        ("buckets", "expected"),
        [
            ([], ""),
            ([0, 0], ""),
            ([0, 7, 0], ""),
            ([1, 8], "▁█"),
            ([0, 1, 0, 2, 0], "▄ █"),
            ([1, 1_000_000], "▁█"),
        ],
    )
    def test_heights(self, buckets: list[int], expected: str) -> None:
        """Bars are as high as their share of the greatest; empty buckets are gaps."""
        assert expected == sparkline(buckets)

    def test_width(self) -> None:
        """Many buckets share the cells there are."""
        assert 20 >= len(sparkline([1] * 160)) >= 10


class TestAccounting:
    def test_nothing(self) -> None:
        """Without accounts there is no table."""
        assert render_accounting(None) == ""

    def test_without_tenants(self) -> None:
        """A host without tenants has no column for them, and one module no total."""
        story = Story()
        account(story, "greeter", None, calls=2, errors=0, cpu=0.001, host=0, memory=65_536)
        text = render_accounting(story.recording.metrics())

        assert "tenant" not in text
        assert "total" not in text
        assert re.search(r"greeter +2 +0 +1\.00 ms +0 ns +64\.0 KiB +64\.0 KiB", text)

    def test_total(self) -> None:
        """What can be added up is; peaks cannot."""
        story = Story()
        for tenant in ("a", "b"):
            account(story, "m", tenant, calls=2, errors=1, cpu=0.5, host=0.25, memory=2**20, fuel=10)
        total = render_accounting(story.recording.metrics()).splitlines()[-1].split()

        assert total == ["total", "4", "2", "1.00", "s", "500", "ms", "2.00", "MiB", "20"]

    def test_numbers_are_never_cut(self) -> None:
        """In the narrowest terminal columns go, but no number loses a digit."""
        story = Story()
        account(story, "m" * 30, "t" * 30, calls=123_456, errors=7, cpu=1.5, host=2.5, memory=2**30, fuel=10**9)
        text = render_accounting(story.recording.metrics(), Layout(width=40))

        assert "123,456" in text
        assert "1.50 s" in text
        assert all(len(line) <= 40 for line in text.splitlines())

    def test_dropped(self) -> None:
        """What was rejected or could not be kept is told."""
        text = render_accounting(order_metrics(), lost={"spans": 12, "log records": 0})

        assert "rejected from thumbnailer · globex: 3 out_of_bounds, 1 utf8" in text
        assert "the oldest 12 spans" in text
        assert "log records" not in text
