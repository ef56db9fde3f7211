"""What stands around encoded records in an OTLP request.

Field numbers are those of ``opentelemetry/proto`` v1 (https://github.com/open-telemetry/opentelemetry-proto). They are
the same for the three signals: an export request has the data of resources in field 1; that has the resource in field
1, the data of scopes in field 2 and the resource's schema URL in field 3; the data of a scope has the scope in field 1
and the records in field 2. So one wrapper serves all of them, and the records are never looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from wasmscope.delivery._scope import Scope

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

__all__ = ["Wrapper", "encoded_resource", "split"]

_RECORD_TAG: Final = 0x12
"""Field 2, length-delimited: a record in the data of a scope, and the data of a scope in that of a resource."""


class Wrapper:
    """Makes export requests of records that are encoded already."""

    def __init__(self, resource: bytes, schema_url: str = "") -> None:
        """Prepare the constant parts.

        Args:
            resource: An encoded ``opentelemetry.proto.resource.v1.Resource``.
            schema_url: The resource's schema URL.
        """
        self._head = _field(1, resource)
        self._tail = _field(3, schema_url.encode()) if schema_url else b""
        self._scopes: dict[Scope, bytes] = {}

    def records(self, bodies: Mapping[Scope, Sequence[bytes]]) -> bytes:
        """Make the request for spans or log records.

        Args:
            bodies: What belongs to each scope: encoded ``spans`` fields of ``ScopeSpans``, or ``log_records`` fields
                of ``ScopeLogs``, one after the other.
        """
        parts: list[bytes] = []
        for scope, pieces in bodies.items():
            head = self._scope(scope)
            parts += [_tag(2, len(head) + sum(map(len, pieces))), head, *pieces]
        return self._request(parts)

    def metrics(self, scopes: Iterable[bytes]) -> bytes:
        """Make the request of encoded ``ScopeMetrics``."""
        return self._request([part for scope in scopes for part in (_tag(2, len(scope)), scope)])

    def _request(self, parts: list[bytes]) -> bytes:
        size = len(self._head) + sum(map(len, parts)) + len(self._tail)
        return b"".join((_tag(1, size), self._head, *parts, self._tail))

    def _scope(self, scope: Scope) -> bytes:
        head = self._scopes.get(scope)
        if head is None:
            version = b"" if scope.version is None else _field(2, scope.version.encode(errors="replace"))
            name = _field(1, scope.name.encode(errors="replace")) if scope.name else b""
            head = _field(1, name + version)
            if len(self._scopes) < _MAX_SCOPES:
                self._scopes[scope] = head
        return head


_MAX_SCOPES: Final = 1000
"""How many scopes are remembered: they are modules, but modules may come from anywhere."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, size: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(size)


def _field(number: int, content: bytes) -> bytes:
    return _tag(number, len(content)) + content


def encoded_resource(resource: Resource) -> tuple[bytes, str]:
    """Encode a resource just as OpenTelemetry's own exporters do; also give its schema URL."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    # The encoder for resources alone is not public.
    context = SpanContext(trace_id=1, span_id=1, is_remote=False)
    span = ReadableSpan(name="", context=context, resource=resource)
    (data,) = encode_spans([span]).resource_spans
    return data.resource.SerializeToString(), data.schema_url


def split(body: bytes, limit: int) -> list[tuple[bytes, int]]:
    """Cut a long body at the borders of its records.

    Args:
        body: Encoded fields with number 2, one after the other.
        limit: How many bytes a piece is to have at most; a longer record is a piece of its own.

    Returns:
        Pieces with the number of their records. If the body is not what it has to be, it is one piece and the number
        is 0: who receives it shall say what is wrong.
    """
    pieces: list[tuple[bytes, int]] = []
    start = position = count = 0
    while position < len(body):
        end = _record_end(body, position)
        if end is None:
            return [(body, 0)]
        if count and end - start > limit:
            pieces.append((body[start:position], count))
            start, count = position, 0
        count += 1
        position = end
    if count:
        pieces.append((body[start:], count))
    return pieces


def _record_end(body: bytes, position: int) -> int | None:
    """Give the place behind the record that begins at a place, or None if there is no whole record."""
    if body[position] != _RECORD_TAG:
        return None
    size = shift = 0
    for index in range(position + 1, min(position + 6, len(body))):
        size |= (body[index] & 0x7F) << shift
        shift += 7
        if body[index] < 0x80:
            end = index + 1 + size
            return end if end <= len(body) else None
    return None
