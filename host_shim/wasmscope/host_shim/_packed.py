"""Decoder of the ABI's packed attributes ("Packed data" in ``docs/abi.md``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from struct import error as StructError
from typing import Final

from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._rejections import Rejections
from wasmscope.host_shim.attributes import RESERVED_PREFIXES, TRUNCATED

__all__ = ["Attributes", "Packed", "Value", "cut_text", "fit"]

Value = str | bool | int | float | bytes | None | Sequence["Value"] | Mapping[str, "Value"]
"""What an attribute can be: OpenTelemetry's AnyValue."""
Attributes = dict[str, Value]

# A key's head and, of a field reference, the value's tag.
_HEAD = Struct("<HB").unpack_from
_U16 = Struct("<H").unpack_from
_U32 = Struct("<I").unpack_from
_I64 = Struct("<q").unpack_from
_F64 = Struct("<d").unpack_from

_STRING: Final = 1
_BOOL: Final = 2
_I64_TAG: Final = 3
_F64_TAG: Final = 4
_BYTES: Final = 5
_ARRAY: Final = 6
_MAP: Final = 7
_KNOWN_KEYS: Final = 512


class _StopError(Exception):
    """The rest of a list cannot be read; carries the reason."""


def cut_text(raw: bytes, limit: int) -> bytes:
    """Cut UTF-8 to at most a number of bytes, between characters.

    Args:
        raw: The text, longer than the limit.
        limit: The most bytes to keep.
    """
    end = limit
    # A character has at most three continuation bytes (RFC 3629, section 3).
    while end > max(0, limit - 3) and raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[:end]


def fit(fixed: Attributes, given: Attributes, limits: Limits, rejections: Rejections) -> Attributes:
    """Put attributes together and, where that makes too many, drop the guest's last ones.

    Left to the SDK, it would drop the oldest, which may be the host's, and log each.

    Args:
        fixed: The ones that stay.
        given: The guest's; of the same key they go before.
        limits: How many there may be.
        rejections: Counts the dropped.
    """
    merged = {**fixed, **given}
    excess = len(merged) - limits.attributes
    if excess > 0:
        doomed = [key for key in given if key not in fixed and key != TRUNCATED][-excess:]
        for key in doomed:
            del merged[key]
        rejections.add("attribute_count", f"{limits.attributes} in all", len(doomed))
    return merged


class Packed:
    """Decodes attribute lists of one guest within its limits.

    Guarantees: never raises for any bytes; depth, count, element count and sizes are bounded, and everything dropped is
    counted in the guest's rejections.

    Most lists are a few scalars under keys that were seen before. Those are decoded by `_quickly`; whatever is the
    least
    unusual makes it give up, and the list is decoded from its start by the careful reader, which alone counts and cuts.
    """

    __slots__ = ("_keys", "_limits", "_rejections")

    def __init__(self, limits: Limits, rejections: Rejections) -> None:
        self._limits = limits
        self._rejections = rejections
        # Keys that were read before and are good: no need to check them again.
        self._keys: dict[bytes, str] = {}

    def decode(self, data: bytes, fields: Sequence[str] = ()) -> Attributes:
        """Decode an attribute list.

        Args:
            data: The list's bytes.
            fields: The field names of the call site, for references; none of them reserved or empty.

        Returns:
            The attributes up to the first malformed one; a key that occurs again holds its last value. What was cut is
            noted under ``wasmscope.truncated``.
        """
        try:
            attributes = self._quickly(data, fields)
        except (IndexError, KeyError, StructError, UnicodeDecodeError):
            return self._carefully(data, fields)
        return self._carefully(data, fields) if attributes is None else attributes

    def _quickly(self, data: bytes, fields: Sequence[str]) -> Attributes | None:
        """Decode scalars under known keys; None, or an exception, if there is anything else."""
        keys = self._keys
        value_bytes = self._limits.value_bytes
        attributes: Attributes = {}
        position = 0
        end = len(data)
        count = 0
        while position < end:
            head: int
            tag: int
            head, tag = _HEAD(data, position)
            if head & 0x8000:
                key = fields[head & 0x7FFF]
                position += 3
            else:
                start = position + 2
                position = start + head
                key = keys[data[start:position]]
                tag = data[position]
                position += 1
            if tag == _STRING:
                start = position + 4
                position = start + _U32(data, position)[0]
                if position > end or position - start > value_bytes:
                    return None
                attributes[key] = data[start:position].decode()
            elif tag == _I64_TAG:
                attributes[key] = _I64(data, position)[0]
                position += 8
            elif tag == _BOOL:
                attributes[key] = data[position] != 0
                position += 1
            elif tag == _F64_TAG:
                attributes[key] = _F64(data, position)[0]
                position += 8
            else:
                return None
            count += 1
        return attributes if count <= self._limits.attributes else None

    def _carefully(self, data: bytes, fields: Sequence[str]) -> Attributes:
        """Decode anything."""
        limits = self._limits
        attributes: Attributes = {}
        reader = _Reader(data, limits, self._rejections)
        # What was cut, by key: of an attribute that is not kept, nothing is noted.
        cut: dict[str, list[str]] = {}
        end = len(data)
        count = 0
        try:
            while reader.position < end:
                if count == limits.attributes:
                    raise _StopError("attribute_count")
                count += 1
                key = self._key(reader, data, fields)
                reader.cut = []
                value = reader.value(key or "", 0)
                if key is not None:
                    attributes[key] = value
                    cut[key] = reader.cut
        except (_StopError, StructError, IndexError) as stop:
            reason = stop.args[0] if isinstance(stop, _StopError) else "attribute"
            self._rejections.add(reason, f"at byte {reader.position} of {end}")
        notes = tuple(note for of_key in cut.values() for note in of_key)
        if notes:
            attributes[TRUNCATED] = notes
        return attributes

    def _key(self, reader: _Reader, data: bytes, fields: Sequence[str]) -> str | None:
        """Read a key; None and counted if the attribute must be dropped."""
        position = reader.position
        size: int = _U16(data, position)[0]
        position += 2
        if size & 0x8000:
            reader.position = position
            size &= 0x7FFF
            if size < len(fields):
                return fields[size]
            self._rejections.add("attribute_field", f"field {size}")
            return None
        key = reader.key(position, size)
        if key is None:
            return None
        if key.startswith(RESERVED_PREFIXES):
            self._rejections.add("attribute_reserved", key)
            return None
        raw = data[position : position + size]
        # A key with ill-formed UTF-8 is counted each time.
        if key.encode() == raw:
            if len(self._keys) >= _KNOWN_KEYS:
                self._keys.clear()
            self._keys[raw] = key
        return key


class _Reader:
    """A position in a list, and what was seen up to it."""

    __slots__ = ("_data", "_elements", "_limits", "_rejections", "cut", "position")

    def __init__(self, data: bytes, limits: Limits, rejections: Rejections) -> None:
        self._data = data
        self._limits = limits
        self._rejections = rejections
        self._elements: int = 0
        self.position: int = 0
        self.cut: list[str] = []

    def take(self, size: int) -> bytes:
        """Read so many bytes, or stop."""
        start = self.position
        chunk = self._data[start : start + size]
        if len(chunk) != size:
            raise _StopError("attribute")
        self.position = start + size
        return chunk

    def text(self, raw: bytes) -> str:
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            self._rejections.add("utf8")
            return str(raw, "utf-8", "replace")

    def key(self, position: int, size: int) -> str | None:
        """Read a key of known size, or count why not."""
        self.position = position
        raw = self.take(size)
        if not 0 < size <= self._limits.key_bytes:
            self._rejections.add("attribute_key", f"{size} bytes")
            return None
        return self.text(raw)

    def value(self, name: str, depth: int) -> Value:
        """Read a value; ``name`` is for notes on what was cut."""
        data = self._data
        position = self.position
        tag = data[position]
        self.position = position = position + 1
        if tag == _STRING:
            raw = self.take_sized(position)
            if len(raw) > self._limits.value_bytes:
                self.cut.append(f"{name}={len(raw)}")
                raw = cut_text(raw, self._limits.value_bytes)
            return self.text(raw)
        if tag == _I64_TAG:
            self.position = position + 8
            integer: int = _I64(data, position)[0]
            return integer
        if tag == _BOOL:
            self.position = position + 1
            return data[position] != 0
        if tag == _F64_TAG:
            self.position = position + 8
            number: float = _F64(data, position)[0]
            return number
        if tag in (_ARRAY, _MAP):
            return self.collection(tag, name, position, depth)
        if tag == _BYTES:
            raw = self.take_sized(position)
            if len(raw) > self._limits.value_bytes:
                self.cut.append(f"{name}={len(raw)}")
                raw = raw[: self._limits.value_bytes]
            return raw
        if tag == 0:
            return None
        raise _StopError("attribute")

    def take_sized(self, position: int) -> bytes:
        """Read a u32 and so many bytes."""
        size: int = _U32(self._data, position)[0]
        self.position = position + 4
        return self.take(size)

    def collection(self, tag: int, name: str, position: int, depth: int) -> Value:
        """Read an array or a map. Recursion is bounded by the depth limit."""
        if depth >= self._limits.depth:
            raise _StopError("attribute_depth")
        count: int = _U32(self._data, position)[0]
        self.position = position + 4
        # Every element takes a byte at least: an announced count can be refused before any work.
        if count > len(self._data) - self.position:
            raise _StopError("attribute")
        self._elements += count
        if self._elements > self._limits.elements:
            raise _StopError("attribute_elements")
        if tag == _ARRAY:
            return tuple(self.value(name, depth + 1) for _ in range(count))
        result: Attributes = {}
        for _ in range(count):
            position = self.position
            size: int = _U16(self._data, position)[0]
            key = self.key(position + 2, size)
            value = self.value(name, depth + 1)
            if key is not None:
                result[key] = value
        return result
