"""Metric data as plain rows, whatever kind of instrument they come from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
)

__all__ = ["Distribution", "Series", "read_series"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram holds.

    Attributes:
        count: How many measurements.
        total: Their sum.
        least: The smallest, None if unknown.
        greatest: The greatest, None if unknown.
        buckets: How many in each bucket, smallest values first.
    """

    count: int
    total: float
    least: float | None
    greatest: float | None
    buckets: Sequence[int]


@dataclass(frozen=True, slots=True)
class Series:
    """One instrument with one set of attributes.

    Attributes:
        scope: Name of the instrumentation scope: for a guest's metric, its module.
        name: The instrument's name.
        unit: Its unit (UCUM), empty if none.
        attributes: The attributes.
        value: The latest value, the sum so far, or the distribution.
    """

    scope: str
    name: str
    unit: str
    attributes: Mapping[str, object]
    value: float | Distribution


def read_series(data: MetricsData | None) -> Iterator[Series]:
    """Give all series, in the order of the data."""
    if data is None:
        return
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    yield Series(
                        scope.scope.name,
                        metric.name,
                        metric.unit or "",
                        point.attributes or {},
                        _value(point),
                    )


def _value(
    point: NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint,
) -> float | Distribution:
    if isinstance(point, NumberDataPoint):
        return point.value
    if isinstance(point, HistogramDataPoint):
        buckets = tuple(point.bucket_counts)
    else:
        buckets = (
            *reversed(point.negative.bucket_counts),
            point.zero_count,
            *point.positive.bucket_counts,
        )
    return Distribution(
        point.count,
        point.sum,
        _finite(point.min) if point.count else None,
        _finite(point.max) if point.count else None,
        buckets,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
