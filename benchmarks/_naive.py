"""The same functions as somebody writes them first: `Linker.define_func`, `Memory.read`, and a decoder in plain Python.

It does the same work on the usual way and looks at nothing else: no limits, no counting, no accounting.
"""

from __future__ import annotations

import struct
from time import time_ns
from typing import Any

import wasmtime
from opentelemetry._logs import LoggerProvider, SeverityNumber
from opentelemetry.context import attach, detach
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, TracerProvider, set_span_in_context

__all__ = ["Naive"]

_KINDS = [
    SpanKind.INTERNAL,
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
]


class Naive:
    """Host functions for one guest, in a linker."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        tracer_provider: TracerProvider,
        meter_provider: MeterProvider,
        logger_provider: LoggerProvider,
    ) -> None:
        self._tracer = tracer_provider.get_tracer("naive")
        self._meter = meter_provider.get_meter("naive")
        self._logger = logger_provider.get_logger("naive")
        self._sites: list[list[str]] = [[]]
        self._sets: list[dict[str, Any]] = [{}]
        self._instruments: list[Any] = [None]
        self._spans: dict[int, Span] = {}
        self._tokens: dict[int, Any] = {}
        self.linker = wasmtime.Linker(engine)
        i32, i64, f64 = wasmtime.ValType.i32, wasmtime.ValType.i64, wasmtime.ValType.f64
        define = self.linker.define_func
        module = "wasmscope_v1"
        define(module, "callsite", wasmtime.FuncType([i32()] * 2, [i32()]), self.callsite, access_caller=True)
        define(module, "enabled", wasmtime.FuncType([i32()], [i32()]), self.enabled)
        log = wasmtime.FuncType([i32(), i32(), i64(), i32(), i32(), i32(), i32()], [])
        define(module, "log", log, self.log, access_caller=True)
        start = wasmtime.FuncType([i32(), i32(), i32(), i64(), i32(), i32(), i32()], [i64()])
        define(module, "span_start", start, self.span_start, access_caller=True)
        for name in ("span_enter", "span_exit", "span_end"):
            define(module, name, wasmtime.FuncType([i64()], []), getattr(self, name))
        define(module, "instrument", wasmtime.FuncType([i32()] * 4, [i32()]), self.instrument, access_caller=True)
        define(module, "attribute_set", wasmtime.FuncType([i32()] * 2, [i32()]), self.attribute_set, access_caller=True)
        define(module, "measure_i64", wasmtime.FuncType([i32(), i64(), i32()], []), self.measure)
        define(module, "measure_f64", wasmtime.FuncType([i32(), f64(), i32()], []), self.measure)

    def _read(self, caller: wasmtime.Caller, pointer: int, size: int) -> bytes:
        memory = caller["memory"]
        assert isinstance(memory, wasmtime.Memory)
        return bytes(memory.read(caller, pointer, pointer + size))

    def callsite(self, caller: wasmtime.Caller, pointer: int, size: int) -> int:
        data = self._read(caller, pointer, size)
        count = struct.unpack_from("<H", data, 2)[0]
        position = 8
        names: list[str] = []
        for _ in range(3 + count):
            length = struct.unpack_from("<H", data, position)[0]
            names.append(data[position + 2 : position + 2 + length].decode())
            position += 2 + length
        self._sites.append(names[3:])
        return len(self._sites) - 1

    def enabled(self, callsite: int) -> int:
        return 3

    def log(
        self,
        caller: wasmtime.Caller,
        callsite: int,
        severity: int,
        context: int,
        body: int,
        body_size: int,
        attributes: int,
        attributes_size: int,
    ) -> None:
        text = self._read(caller, body, body_size).decode()
        decoded = decode(self._read(caller, attributes, attributes_size), self._sites[callsite])
        number = SeverityNumber(severity)
        self._logger.emit(
            timestamp=time_ns(), severity_number=number, severity_text=number.name, body=text, attributes=decoded
        )

    def span_start(
        self,
        caller: wasmtime.Caller,
        callsite: int,
        name: int,
        name_size: int,
        context: int,
        kind: int,
        attributes: int,
        attributes_size: int,
    ) -> int:
        text = self._read(caller, name, name_size).decode()
        decoded = decode(self._read(caller, attributes, attributes_size), self._sites[callsite])
        handle = len(self._spans) + 1
        self._spans[handle] = self._tracer.start_span(text, kind=_KINDS[kind], attributes=decoded)
        return handle

    def span_enter(self, span: int) -> None:
        self._tokens[span] = attach(set_span_in_context(self._spans[span]))

    def span_exit(self, span: int) -> None:
        detach(self._tokens.pop(span))

    def span_end(self, span: int) -> None:
        self._spans.pop(span).end()

    def instrument(self, caller: wasmtime.Caller, kind: int, number: int, pointer: int, size: int) -> int:
        data = self._read(caller, pointer, size)
        length = struct.unpack_from("<H", data)[0]
        self._instruments.append(self._meter.create_counter(data[2 : 2 + length].decode()))
        return len(self._instruments) - 1

    def attribute_set(self, caller: wasmtime.Caller, pointer: int, size: int) -> int:
        self._sets.append(decode(self._read(caller, pointer, size), []))
        return len(self._sets) - 1

    def measure(self, instrument: int, value: float, attribute_set: int) -> None:
        self._instruments[instrument].add(value, self._sets[attribute_set])


def decode(data: bytes, fields: list[str]) -> dict[str, Any]:
    """Decode an attribute list of scalars."""
    attributes: dict[str, Any] = {}
    position = 0
    while position < len(data):
        size = struct.unpack_from("<H", data, position)[0]
        position += 2
        if size & 0x8000:
            key = fields[size & 0x7FFF]
        else:
            key = data[position : position + size].decode()
            position += size
        tag = data[position]
        position += 1
        if tag == 1:
            size = struct.unpack_from("<I", data, position)[0]
            position += 4
            attributes[key] = data[position : position + size].decode()
            position += size
        elif tag == 2:
            attributes[key] = data[position] != 0
            position += 1
        elif tag == 3:
            attributes[key] = struct.unpack_from("<q", data, position)[0]
            position += 8
        elif tag == 4:
            attributes[key] = struct.unpack_from("<d", data, position)[0]
            position += 8
        else:
            raise ValueError(f"tag {tag}")
    return attributes
