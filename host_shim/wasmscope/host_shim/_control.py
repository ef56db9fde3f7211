"""The collector's control block and what it is told before it starts.

The block lies in the collector's memory, little-endian; the collector, the glue and Python read and write it in place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wasmscope.host_shim._limits import Limits

__all__ = ["CONTROL_BYTES", "REASONS", "Block", "CollectorSettings", "Control", "Op", "configuration"]


class Op(IntEnum):
    """What the host is called for."""

    FULL = 1
    """The buffers must be drained."""
    ROOT = 2
    """Whether a span without a local parent is kept; the request is in the control block."""
    AMBIENT = 3
    """OpenTelemetry's current context is needed outside of any call."""
    FLUSH = 4
    """A guest asks for delivery soon."""
    START = 5
    """A guest tells something for the first time: the collector is to begin."""
    BIND = 100
    """A guest's first call: its memory is there now."""
    SLOW = 200
    """And the index of an ABI function: to be served by Python."""


class Control(IntEnum):
    """Offsets in the control block, in bytes."""

    IDLE = 0
    IN_HOST = 4
    # The frame: the host's side of the call that runs.
    FRAME_ID = 8
    FRAME_TRACE_ID = 16
    FRAME_SPAN_ID = 32
    FRAME_GUEST = 40
    FRAME_TRACE_FLAGS = 44
    FRAME_IS_REMOTE = 45
    FRAME_IS_VALID = 46
    FRAME_IS_RECORDING = 47
    FRAME_TRACESTATE = 48
    ENTERED_BASE = 52
    # The innermost guest span that is entered.
    CURRENT_HANDLE = 64
    CURRENT_TRACE_ID = 72
    CURRENT_SPAN_ID = 88
    CURRENT_GUEST = 96
    CURRENT_TRACE_FLAGS = 100
    CURRENT_IS_RECORDING = 101
    CURRENT_TRACESTATE = 104
    SAVED_END = 128
    ENTERED_LENGTH = 128
    STALE = 132
    OPEN_SPANS = 136
    OUT_BYTES = 140
    METRICS_DIRTY = 144
    REJECTED = 148
    OLDEST_NS = 152
    REPORTED_FRAME = 160
    REPORTED_POINTER = 168
    REPORTED_LENGTH = 172
    SCRATCH_POINTER = 176
    SCRATCH_CAPACITY = 180
    TEXT_POINTER = 184
    FOR_HOST = 192
    # The configuration.
    LIMIT_BODY = 256
    LIMIT_VALUE = 260
    LIMIT_NAME = 264
    LIMIT_MESSAGE = 268
    LIMIT_STACK = 272
    LIMIT_KEY = 276
    LIMIT_ATTRIBUTES_BYTES = 280
    LIMIT_ATTRIBUTES = 284
    LIMIT_ELEMENTS = 288
    LIMIT_DEPTH = 292
    LIMIT_EVENTS = 296
    LIMIT_LINKS = 300
    LIMIT_OPEN_SPANS = 304
    LIMIT_SPAN_DEPTH = 308
    LIMIT_CALLSITES = 312
    LIMIT_INSTRUMENTS = 316
    LIMIT_ATTRIBUTE_SETS = 320
    LIMIT_DESCRIPTOR = 324
    LIMIT_KEPT_BYTES = 328
    LIMIT_KEPT_CONTEXTS = 332
    MIN_SEVERITY = 336
    FLAGS = 340
    ROOT_POLICY = 344
    REMOTE_SAMPLED_POLICY = 348
    REMOTE_UNSAMPLED_POLICY = 352
    BUFFER_BYTES = 356
    MAX_AGE_NS = 360
    CLOCK_USES = 368
    EXPONENTIAL_MAX_SIZE = 372
    EXPONENTIAL_MAX_SCALE = 376
    # The request of `Op.ROOT`.
    ROOT_CALLSITE = 384
    ROOT_KIND = 388
    ROOT_NAME_POINTER = 392
    ROOT_NAME_LENGTH = 396
    ROOT_ATTRIBUTES_POINTER = 400
    ROOT_ATTRIBUTES_LENGTH = 404
    ROOT_TRACE_ID = 408
    ROOT_PARENT_SPAN_ID = 424
    ROOT_PARENT_FLAGS = 432
    ROOT_DECISION = 433
    ROOT_TRACE_FLAGS = 434
    ROOT_TRACESTATE = 436
    ROOT_EXTRA_LENGTH = 440
    ROOT_EXTRA_POINTER = 444
    ROOT_EXTRA_CAPACITY = 448
    ROOT_SITE_POINTER = 452
    ROOT_SITE_LENGTH = 456
    ROOT_STATE_LENGTH = 460


CONTROL_BYTES: Final = 460


class Block(IntEnum):
    """Offsets in a guest's block, in bytes."""

    SPANS_POINTER = 0
    SPANS_LENGTH = 4
    SPANS_COUNT = 8
    LOGS_POINTER = 12
    LOGS_LENGTH = 16
    LOGS_COUNT = 20
    METRICS_POINTER = 24
    METRICS_LENGTH = 28
    SPANS_STARTED = 32
    SPANS_UNSAMPLED = 40
    SPANS_ENDED = 48
    LOGS = 56
    MEASUREMENTS = 64
    BYTES = 72
    REJECTIONS = 128


REASONS: Final = (
    "",
    "no_memory",
    "out_of_bounds",
    "utf8",
    "attribute",
    "attribute_type",
    "attribute_field",
    "attribute_reserved",
    "attribute_key",
    "attributes_size",
    "attribute_count",
    "attribute_elements",
    "attribute_depth",
    "severity",
    "kind",
    "status",
    "ended",
    "not_entered",
    "descriptor",
    "callsite",
    "instrument",
    "attribute_set",
    "handle",
    "traceparent",
    "tracestate",
    "measurement",
    "event_count",
    "link_count",
    "open_spans",
    "span_depth",
    "callsite_count",
    "instrument_count",
    "kept_bytes",
    "internal",
    "interrupted",
    "buffer_full",
)
"""The reasons of rejections by their number in the collector; 0 is none, so that the first one never comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings:
    """How the collectors of a bridge behave.

    Attributes:
        min_severity: Logs below this severity number are dropped; 0 for none.
        raw_histograms: Whether measurements of histograms come out one by one.
        unsampled: Whether spans come out that record and are not sampled.
        exponential: Whether histograms without boundaries are exponential.
        root_policy: Spans without parent: 0 keep, 1 drop, 2 ask the host.
        remote_sampled_policy: Likewise spans whose parent is remote and sampled.
        remote_unsampled_policy: Likewise spans whose parent is remote and not sampled.
        buffer_bytes: Capacity of a guest's span and of its log buffer.
        max_age_ns: A record that finds one waiting longer than this has the host drain first; 0 never.
        clock_uses: How often one reading of the clock may be used again.
        exponential_max_size: Most buckets of an exponential histogram, on each side of zero.
        exponential_max_scale: Its scale at first.
        clock: Gives the time in nanoseconds since 1970 instead of the system's clock, for tests; None for that.
        seed: Gives 32 bytes for a store's generator of ids, for tests; None for random ones.
    """

    min_severity: int = 0
    raw_histograms: bool = False
    unsampled: bool = False
    exponential: bool = False
    root_policy: int = 0
    remote_sampled_policy: int = 0
    remote_unsampled_policy: int = 1
    buffer_bytes: int = 65_536
    max_age_ns: int = 0
    clock_uses: int = 0
    exponential_max_size: int = 160
    exponential_max_scale: int = 20
    clock: Callable[[], int] | None = None
    seed: Callable[[], bytes] | None = None


_MOST: Final = 0xFFFFFFFF
# From LIMIT_BODY to EXPONENTIAL_MAX_SCALE.
_CONFIGURATION: Final = struct.Struct("<20I6IQIIi")


def configuration(limits: Limits, settings: CollectorSettings) -> bytes:
    """Give the configuration as it lies at `Control.LIMIT_BODY`.

    Args:
        limits: What a guest may send at most. More than 32 bits hold is as much as they hold: nothing that a limit
            bounds can be more in a memory of 32 bits.
        settings: How the collector behaves.
    """
    bounds = (
        limits.body_bytes,
        limits.value_bytes,
        limits.name_bytes,
        limits.message_bytes,
        limits.stack_bytes,
        limits.key_bytes,
        limits.attributes_bytes,
        limits.attributes,
        limits.elements,
        limits.depth,
        limits.events,
        limits.links,
        limits.open_spans,
        limits.span_depth,
        limits.callsites,
        limits.instruments,
        limits.attribute_sets,
        limits.descriptor_bytes,
        limits.kept_bytes,
        limits.kept_contexts,
    )
    flags = settings.raw_histograms | settings.unsampled << 1 | settings.exponential << 2
    return _CONFIGURATION.pack(
        *(min(bound, _MOST) for bound in bounds),
        settings.min_severity,
        flags,
        settings.root_policy,
        settings.remote_sampled_policy,
        settings.remote_unsampled_policy,
        settings.buffer_bytes,
        settings.max_age_ns,
        settings.clock_uses,
        settings.exponential_max_size,
        settings.exponential_max_scale,
    )
