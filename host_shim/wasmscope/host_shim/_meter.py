"""The metrics functions of the guest ABI, and what a guest registers, for one guest instance."""

from __future__ import annotations

from typing import Final, cast

from wasmscope.host_shim._descriptors import DescriptorError, read_instrument
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._packed import Attributes, Packed
from wasmscope.host_shim._reader import GuestReader
from wasmscope.host_shim._rejections import Rejections
from wasmscope.host_shim._signals import ModuleIdentity, ModuleSignals, Recorder
from wasmscope.host_shim._spans import Spans

__all__ = ["GuestMeter"]

_OVERFLOW: Final = "otel.metric.overflow"
_ATTRIBUTE_SET_TYPES: Final = (str, bool, int, float)


class GuestMeter(GuestReader):
    """One instance's instruments, attribute sets and measurements, and the room that registrations take.

    Integer arguments are as those of `wasmscope.host_shim._guest.Guest`.
    """

    __slots__ = (
        "_base",
        "_limits",
        "_overflow_set",
        "_packed",
        "_recorder_ids",
        "_recorders",
        "_registered_bytes",
        "_set_ids",
        "_sets",
        "_signals",
        "identity",
        "spans",
    )

    def __init__(
        self,
        identity: ModuleIdentity,
        signals: ModuleSignals,
        rejections: Rejections,
        *,
        limits: Limits,
        spans: Spans,
    ) -> None:
        """Start with nothing registered.

        Args:
            identity: Whose guest it is.
            signals: Where its signals go.
            rejections: Counts what cannot be used.
            limits: What it may send and keep.
            spans: Its spans, which share the room with what it registers.
        """
        super().__init__(rejections)
        self.identity = identity
        self.spans = spans
        self._signals = signals
        self._limits = limits
        self._packed = Packed(limits, rejections)
        self._base = identity.attributes()
        self._recorders: list[Recorder | None] = [None]
        self._recorder_ids: dict[tuple[int, int, bytes], int] = {}
        self._sets: list[Attributes] = [self._base]
        self._set_ids: dict[bytes, int] = {b"": 0}
        # Made at the first overflow.
        self._overflow_set = 0
        self._registered_bytes = 0

    def _rename_metrics(self) -> None:
        """Have what is registered already go to what `_signals` is now."""
        for known in self._sets:
            known.update(self._base)
        for (kind, number, data), index in self._recorder_ids.items():
            described = read_instrument(kind, number, data, self._limits, self.rejections)
            self._recorders[index] = self._signals.recorder(described, self._limits.instruments)

    def _may_register(self, size: int) -> bool:
        """Whether there is room for so many bytes more, which are then taken; counts the refusal."""
        if self._has_room(self._registered_bytes + self.spans.kept_bytes + size):
            self._registered_bytes += size
            return True
        return False

    def _has_room(self, size: int) -> bool:
        if size > self._limits.kept_bytes:
            self.rejections.add("kept_bytes", f"{self._limits.kept_bytes} are kept")
            return False
        return True

    def _descriptor(self, pointer: int, size: int) -> bytes | None:
        if size > self._limits.descriptor_bytes:
            self.rejections.add("descriptor", f"{size} bytes")
            return None
        return self.read(self._still or self._view(), pointer, size)

    def instrument(self, kind: int, number: int, pointer: int, size: int) -> int:
        """Register an instrument."""
        data = self._descriptor(pointer, size)
        if data is None:
            return 0
        key = (kind, number, data)
        known = self._recorder_ids.get(key)
        if known is not None:
            return known
        try:
            described = read_instrument(kind, number, data, self._limits, self.rejections)
        except DescriptorError as error:
            self.rejections.add("descriptor", f"instrument: {error}")
            return 0
        if len(self._recorders) > self._limits.instruments:
            self.rejections.add("instrument_count", f"{self._limits.instruments} are registered")
            return 0
        # Before it is made: what is made stays with the module.
        if not self._may_register(size):
            return 0
        recorder = self._signals.recorder(described, self._limits.instruments)
        if recorder is None:
            self._registered_bytes -= size
            self.rejections.add("instrument_count", f"{self._limits.instruments} are registered")
            return 0
        self._recorder_ids[key] = number = len(self._recorders)
        self._recorders.append(recorder)
        return number

    def attribute_set(self, pointer: int, size: int) -> int:
        """Register a set of attributes for measurements."""
        if size > self._limits.attributes_bytes:
            self.rejections.add("attributes_size", f"{size} bytes")
            return 0
        data = self.read(self._still or self._view(), pointer, size)
        if data is None:
            return 0
        known = self._set_ids.get(data)
        if known is not None:
            return known
        if len(self._set_ids) > self._limits.attribute_sets or not self._may_register(size):
            if self._overflow_set == 0:
                self._overflow_set = len(self._sets)
                self._sets.append({_OVERFLOW: True, **self._base})
            return self._overflow_set
        given: Attributes = {}
        for name, value in self._packed.decode(data).items():
            if _is_plain(value):
                given[name] = value
            else:
                self.rejections.add("attribute_type", name)
        self._set_ids[data] = number = len(self._sets)
        self._sets.append({**given, **self._base})
        return number

    # Alike, and apart: on this path a Python call for the common part is worth avoiding.

    def measure_i64(self, instrument: int, value: int, attribute_set: int) -> None:
        """Record a whole number."""
        try:
            recorder = self._recorders[instrument]
        except IndexError:
            self.rejections.add("instrument", str(instrument))
            return
        if recorder is None:
            return
        if value < 0 and recorder.is_monotonic:
            self.rejections.add("measurement", "negative")
            return
        try:
            attributes = self._sets[attribute_set]
        except IndexError:
            self.rejections.add("attribute_set", str(attribute_set))
            attributes = self._sets[0]
        recorder.record(float(value) if recorder.is_float else value, attributes)

    def measure_f64(self, instrument: int, value: float, attribute_set: int) -> None:
        """Record a number."""
        try:
            recorder = self._recorders[instrument]
        except IndexError:
            self.rejections.add("instrument", str(instrument))
            return
        if recorder is None:
            return
        # The difference is 0 for finite numbers only.
        if value - value != 0.0 or not recorder.is_float or (value < 0.0 and recorder.is_monotonic):
            self.rejections.add("measurement", repr(value))
            return
        try:
            attributes = self._sets[attribute_set]
        except IndexError:
            self.rejections.add("attribute_set", str(attribute_set))
            attributes = self._sets[0]
        recorder.record(value, attributes)


def _is_plain(value: object) -> bool:
    """Whether a value may be in an attribute set: a string, a bool, a number, or an array of one of these."""
    if not isinstance(value, tuple):
        return isinstance(value, _ATTRIBUTE_SET_TYPES)
    kinds: set[type[object]] = {type(item) for item in cast("tuple[object, ...]", value)}
    return len(kinds) <= 1 and kinds <= set(_ATTRIBUTE_SET_TYPES)
