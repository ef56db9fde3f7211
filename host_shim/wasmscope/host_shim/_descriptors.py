"""Call site and instrument descriptors: what a guest registers once ("Packed data" in ``docs/abi.md``)."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final

from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._packed import Attributes, Packed, fit
from wasmscope.host_shim._rejections import Rejections
from wasmscope.host_shim.attributes import RESERVED_PREFIXES, TARGET

__all__ = ["CallSite", "DescriptorError", "Instrument", "InstrumentKind", "read_callsite", "read_instrument"]

_SITE_HEAD = Struct("<BBHI")
_U16 = Struct("<H")
_KINDS: Final = {1: "log", 2: "span"}
# OpenTelemetry specification, metrics API, "Instrument name syntax" and "Instrument unit".
_INSTRUMENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}")
_UNIT_MAX: Final = 63


class DescriptorError(Exception):
    """A descriptor cannot be used; the message says what is wrong with it."""


class InstrumentKind(IntEnum):
    """The ABI's instrument kinds."""

    COUNTER = 1
    UP_DOWN_COUNTER = 2
    HISTOGRAM = 3
    GAUGE = 4


@dataclass(frozen=True, slots=True)
class CallSite:
    """What never changes about one place in a guest's program.

    Attributes:
        kind: ``log`` or ``span``.
        severity: OpenTelemetry severity number, 0 for none.
        name: Span or event name; may be empty.
        fields: Field names that records refer to by index.
        attributes: On every record of this call site: its constants, ``code.*``, the target and what the host adds.
        seen: Attribute lists that came before, and what became of them: records of one place often say the same.
    """

    kind: str
    severity: int
    name: str
    fields: tuple[str, ...]
    attributes: Attributes
    seen: dict[bytes, Attributes] = field(default_factory=dict[bytes, Attributes], compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric instrument as its guest describes it.

    Attributes:
        kind: Counter, up-down counter, histogram or gauge.
        is_float: Whether it takes f64 (else i64).
        name: Its name, within OpenTelemetry's syntax.
        unit: UCUM unit; may be empty.
        description: For people; may be empty.
        boundaries: Advice for explicit histogram buckets, or None.
    """

    kind: InstrumentKind
    is_float: bool
    name: str
    unit: str
    description: str
    boundaries: tuple[float, ...] | None


class _Fields:
    """Reads length-prefixed texts one after the other."""

    def __init__(self, data: bytes, position: int, limits: Limits, rejections: Rejections) -> None:
        self.data = data
        self.position = position
        self._limits = limits
        self._rejections = rejections

    def field(self, what: str) -> str:
        """Read a name that becomes an attribute's key."""
        return self._text(what, self._limits.key_bytes)

    def text(self, what: str) -> str:
        """Read any other text."""
        return self._text(what, self._limits.name_bytes)

    def _text(self, what: str, limit: int) -> str:
        try:
            (size,) = _U16.unpack_from(self.data, self.position)
        except StructError:
            raise DescriptorError(f"ends before {what}") from None
        start = self.position + 2
        raw = self.data[start : start + size]
        if len(raw) != size:
            raise DescriptorError(f"ends inside {what}")
        if size > limit:
            raise DescriptorError(f"{what} has {size} bytes, {limit} are allowed")
        self.position = start + size
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self._rejections.add("utf8")
            return raw.decode("utf-8", "replace")


def read_callsite(
    data: bytes, packed: Packed, limits: Limits, rejections: Rejections, *, host_attributes: Attributes
) -> CallSite:
    """Read a call site descriptor.

    Args:
        data: The descriptor.
        packed: Decodes the constant attributes.
        limits: Bounds the texts.
        rejections: Counts ill-formed ones, which are kept.
        host_attributes: What the host adds to every record.

    Raises:
        DescriptorError: If it is malformed.
    """
    try:
        kind, severity, field_count, line = _SITE_HEAD.unpack_from(data)
    except StructError:
        raise DescriptorError(f"has {len(data)} bytes, a call site has 14 at least") from None
    if kind not in _KINDS:
        raise DescriptorError(f"kind {kind} is neither 1 (log) nor 2 (span)")
    if severity > 24:
        raise DescriptorError(f"severity {severity} is not one of 0-24")
    reader = _Fields(data, _SITE_HEAD.size, limits, rejections)
    name = reader.text("the name")
    target = reader.text("the target")
    file = reader.text("the file")
    names = tuple(reader.field(f"field {index}") for index in range(field_count))
    for key in names:
        if not key or key.startswith(RESERVED_PREFIXES):
            raise DescriptorError(f"field name {key!r} is empty, or the host's")
    known: Attributes = {**host_attributes}
    if target:
        known[TARGET] = target
    if file:
        known["code.file.path"] = file
        if line:
            known["code.line.number"] = line
    attributes = fit(known, packed.decode(data[reader.position :]), limits, rejections)
    return CallSite(_KINDS[kind], severity, name, names, {**attributes, **known})


def read_instrument(kind: int, number: int, data: bytes, limits: Limits, rejections: Rejections) -> Instrument:
    """Read an instrument descriptor.

    Args:
        kind: The ABI's instrument kind.
        number: 0 for i64, 1 for f64.
        data: The descriptor.
        limits: Bounds the texts.
        rejections: Counts ill-formed ones, which are kept.

    Raises:
        DescriptorError: If it is malformed.
    """
    if kind not in {k.value for k in InstrumentKind}:
        raise DescriptorError(f"instrument kind {kind} is not one of 1-4")
    if number not in {0, 1}:
        raise DescriptorError(f"number type {number} is neither 0 (i64) nor 1 (f64)")
    reader = _Fields(data, 0, limits, rejections)
    name = reader.text("the name")
    unit = reader.text("the unit")
    description = reader.text("the description")
    if not _INSTRUMENT_NAME.fullmatch(name):
        raise DescriptorError(
            f"instrument name {name[:80]!r}: a letter, then at most 254 of letters, digits and _ . - /"
        )
    if len(unit.encode()) > _UNIT_MAX or not unit.isascii():
        raise DescriptorError(f"unit {unit[:80]!r}: at most {_UNIT_MAX} ASCII characters")
    try:
        (count,) = _U16.unpack_from(data, reader.position)
        boundaries = Struct(f"<{count}d").unpack_from(data, reader.position + 2)
    except StructError:
        raise DescriptorError("ends inside the boundaries") from None
    if not all(map(math.isfinite, boundaries)) or any(a >= b for a, b in itertools.pairwise(boundaries)):
        raise DescriptorError("histogram boundaries are not finite and strictly increasing")
    return Instrument(InstrumentKind(kind), number == 1, name, unit, description, tuple(boundaries) or None)
