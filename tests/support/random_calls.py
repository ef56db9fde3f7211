"""Random ABI calls for `tests.support.call_scripts`, and something in memory to point at.

What is told apart by its number in the host (handles) is drawn from registers; what is read from memory never lies
where the host writes ids to. So a script means the same in every run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tests.support import packing
from tests.support.call_scripts import GROW, HOST, MAX_PAGES, OUT, OUT_BYTES, PAGES, TRAP, Call, Register
from tests.support.guests import PAGE

__all__ = ["ACTIONS", "REMOTE_SPANS", "REMOTE_TRACES", "Image", "RandomCalls"]

ACTIONS: Final = ("call", "call_other", "attribute", "event", "status", "link", "look", "raise")
"""What the host function does, by its first argument; the second is a number to do it with."""

_TRACE_IDS: Final = ("4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c")
_SPAN_IDS: Final = ("00f067aa0ba902b7", "b7ad6b7169203331")
REMOTE_TRACES: Final = {int(trace, 16) for trace in _TRACE_IDS}
REMOTE_SPANS: Final = {int(span, 16) for span in _SPAN_IDS}
_TRACEPARENTS: Final = [
    *(f"00-{trace}-{span}-{flags}" for trace in _TRACE_IDS for span in _SPAN_IDS for flags in ("00", "01", "03")),
    f"cc-{_TRACE_IDS[0]}-{_SPAN_IDS[0]}-01-more",
    f"00-{'0' * 32}-{_SPAN_IDS[0]}-01",
    f"00-{_TRACE_IDS[0].upper()}-{_SPAN_IDS[0]}-01",
    f"ff-{_TRACE_IDS[0]}-{_SPAN_IDS[0]}-01",
    "nonsense",
]
_TRACESTATES: Final = ["v=x", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1,a=2", "=", "a=" + "x" * 300, ",,a=1", " "]
_TEXTS: Final = [
    b"plain",
    "späť 🦀 日本語".encode(),
    b"cut \xe2\x82",
    b"\xff\xfe\x80",
    b"\xed\xa0\x80 surrogate",
    b"\xc0\xafoverlong \xf5\x80\x80\x80",
    "é".encode() * 40,
    "🦀".encode() * 30,
    b"x" * 100,
    b"nul\x00 \r\n",
]
_FIELDS: Final = ["traceparent", "tracestate", "baggage", "TraceParent", "tenant", "none", ""]
_KEYS: Final = [
    "a",
    "b",
    "key",
    "ключ",
    "k" * 16,
    "k" * 17,
    "x.y",
    "wasm.tenant",
    "wasmscope.target",
    "wasm",
    "exception.type",
]
_WORDS: Final = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 24, 25, 255, 2**31 - 1, 2**31, 2**32 - 1]
_HANDLES: Final = [0, 0, 0, -1, -2, -2, -3, 2**40, 2**62, 2**63 - 1, -(2**63)]
_I64: Final = [0, 1, 2, 3, -1, -5, 100, 2**31, 2**40, -(2**40)]
_F64: Final = [0.0, -0.0, 0.5, 1.5, -1.0, 0.125, 1e3, 12345.625, float("nan"), float("inf"), -float("inf")]
# Beyond the end of memory however much it grows; some wrap around if they are added carelessly.
_FAR: Final = [MAX_PAGES * PAGE, MAX_PAGES * PAGE - 1, 2**20, 2**31, 2**32 - 1, 2**32 - 8]
_FAR_64: Final = [2**32, 2**32 + 64, 2**63, 2**64 - 1, 2**64 - 16]
# A range that begins in the image does not reach what is written to, or reaches the end of memory.
_LONG: Final = [1_000, 4_096, 20_000, MAX_PAGES * PAGE, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 64, 2**64 - 1, 2**63]

_SPANS: Final = range(10)
_REMOTES: Final = range(10, 14)
_SITES: Final = range(14, 20)
_INSTRUMENTS: Final = range(20, 25)
_GAUGE: Final = 25
_SETS: Final = range(26, 32)

_WEIGHTS: Final = {
    "abi_version": 1, "attribute_set": 3, "baggage_get": 2, "callsite": 4, "enabled": 3, "exception": 3, "flush": 0.02,
    "inject": 2, "instrument": 3, "log": 12, "measure_f64": 8, "measure_i64": 8, "remote_context": 3,
    "span_attributes": 8, "span_context": 4, "span_end": 12, "span_enter": 7, "span_event": 6, "span_exit": 6,
    "span_link": 5, "span_rename": 3, "span_start": 14, "span_status": 5, HOST: 0.6, TRAP: 0.05, GROW: 0.02,
}  # fmt: skip

Range = tuple[int, int]


@dataclass
class Image:
    """What lies in a guest's memory: well-formed and malformed things, one after the other.

    Attributes:
        data: The bytes, from address 64 on.
        attributes: Where attribute lists are: address and length.
        sets: Where lists are for attribute sets.
        texts: Where texts are.
        sites: Where call site descriptors are.
        instruments: Where instrument descriptors are.
        parents: Where ``traceparent`` headers are.
        states: Where ``tracestate`` headers are.
        fields: Where names of headers and of baggage are.
    """

    data: bytearray = field(default_factory=lambda: bytearray(64))
    attributes: list[Range] = field(default_factory=list[Range])
    sets: list[Range] = field(default_factory=list[Range])
    texts: list[Range] = field(default_factory=list[Range])
    sites: list[Range] = field(default_factory=list[Range])
    instruments: list[Range] = field(default_factory=list[Range])
    parents: list[Range] = field(default_factory=list[Range])
    states: list[Range] = field(default_factory=list[Range])
    fields: list[Range] = field(default_factory=list[Range])

    @classmethod
    def draw(cls, random: Random) -> Image:
        """Draw an image."""
        image = cls()
        for raw in _TEXTS:
            image._put(image.texts, raw)
        for _ in range(4):
            image._put(image.texts, random.randbytes(random.randrange(1, 90)))
        for header in _TRACEPARENTS:
            image._put(image.parents, header.encode())
        for header in _TRACESTATES:
            image._put(image.states, header.encode())
        for name in _FIELDS:
            image._put(image.fields, name.encode())
        for _ in range(30):
            raw = _attributes(random)
            image._put(image.attributes, raw)
            if raw and random.random() < 0.4:
                image._put(image.attributes, _spoilt(raw, random))
        for _ in range(12):
            image._put(image.sets, _set(random))
        for _ in range(12):
            raw = _site(random)
            image._put(image.sites, raw)
            if random.random() < 0.2:
                image._put(image.sites, _spoilt(raw, random))
        for raw in _instruments(random):
            image._put(image.instruments, raw)
        image._put(image.texts, random.randbytes(200))
        assert len(image.data) < 20_000
        return image

    def _put(self, into: list[Range], raw: bytes) -> None:
        into.append((len(self.data), len(raw)))
        self.data += raw


def _spoilt(raw: bytes, random: Random) -> bytes:
    """Change one byte."""
    at = random.randrange(len(raw))
    return raw[:at] + bytes([random.randrange(256)]) + raw[at + 1 :]


def _value(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(7 if depth > 3 or random.random() < 0.75 else 9)
    match kind:
        case 0:
            return random.choice(["", "text", "späť", "x" * 33, "é" * 17, "🦀" * 9])
        case 1:
            return random.random() < 0.5
        case 2:
            return random.choice([0, 1, -1, 2**63 - 1, -(2**63), random.randrange(1000)])
        case 3:
            return random.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), 5e-324])
        case 4:
            return random.randbytes(random.choice([0, 1, 5, 40]))
        case 5:
            return None
        case 6:
            return random.choice([["a", "b"], [1, 2], [True], [0.5], [1, "a"], []])
        case 7:
            return [_value(random, depth + 1) for _ in range(random.randrange(5))]
        case _:
            return {random.choice(_KEYS[:7]): _value(random, depth + 1) for _ in range(random.randrange(4))}


def _attributes(random: Random) -> bytes:
    pairs: list[tuple[str | packing.Field, Any]] = []
    for _ in range(random.choice([0, 1, 1, 2, 3, 4, 9])):
        is_field = random.random() < 0.2
        key = packing.Field(random.choice([0, 0, 1, 2, 7])) if is_field else random.choice(_KEYS)
        pairs.append((key, _value(random)))
    return packing.attributes(pairs)


def _set(random: Random) -> bytes:
    values = [
        "",
        "text",
        "späť",
        "x" * 33,
        True,
        False,
        2,
        -1,
        2**63 - 1,
        0.5,
        1.5,
        ["a", "b"],
        [True],
        [],
        None,
        b"",
        [1, "a"],
    ]
    pairs = [(random.choice(_KEYS), random.choice(values)) for _ in range(random.randrange(5))]
    return packing.attributes(pairs)


def _site(random: Random) -> bytes:
    fields = random.sample(["f", "g", "поле", "a"], random.randrange(4))
    if random.random() < 0.1:
        fields.append(random.choice(["", "wasm.x"]))
    return packing.callsite(
        random.choice([1, 1, 2, 2, 3]),
        severity=random.choice([0, 5, 9, 17, 24, 25]) if random.random() < 0.9 else 200,
        name=random.choice(["", "site", "событие", "n" * 33]),
        target=random.choice(["", "module::path"]),
        file=random.choice(["", "main.rs"]),
        line=random.choice([0, 7, 2**32 - 1]),
        fields=fields,
        constants={random.choice(_KEYS): _value(random) for _ in range(random.randrange(3))},
    )


def _instruments(random: Random) -> list[bytes]:
    made = [
        packing.instrument(name, unit=unit, description=text, boundaries=boundaries)
        for name, unit, text, boundaries in (
            ("requests", "{request}", "Requests served", []),
            ("latency", "ms", "", [0.5, 1.0, 10.0]),
            ("queue", "", "späť", []),
            ("temperature.of/it-all_1", "Cel", "", []),
            ("all", "", "", [-1.0, 0.0]),
            ("0bad", "", "", []),
            ("bad unit", "é", "", []),
            ("unsorted", "", "", [2.0, 1.0]),
            ("infinite", "", "", [float("inf")]),
        )
    ]
    # Of instruments that differ in boundaries only, the SDK takes the one that came first: so they are only cut.
    cut = [raw[: random.randrange(len(raw))] for raw in made[:3]]
    return [*made, *cut]


class RandomCalls:
    """Draws calls."""

    def __init__(self, random: Random, image: Image, *, memory64: bool, forgets: bool = True) -> None:
        """Prepare.

        Args:
            random: Where chance comes from.
            image: What lies in memory.
            memory64: Whether addresses may have 64 bits.
            forgets: Whether remote contexts are ended, too.
        """
        self._forgets = forgets
        self._random = random
        self._image = image
        self._far = _FAR + (_FAR_64 if memory64 else [])
        self._names = list(_WEIGHTS)
        self._cumulated = [sum(list(_WEIGHTS.values())[: index + 1]) for index in range(len(_WEIGHTS))]
        self._all: list[Range] = [
            *image.attributes, *image.texts, *image.sites, *image.instruments, *image.parents, *image.states
        ]  # fmt: skip

    def calls(self, count: int) -> list[Call]:
        """Draw calls."""
        drawn: list[Call] = []
        for name in self._random.choices(self._names, cum_weights=self._cumulated, k=count):
            call: Call = getattr(self, f"_{name}")()
            if name == "span_start" and call.into is not None and self._random.random() < 0.8:
                # Else the spans whose handles are lost would soon be as many as may be open.
                drawn.append(Call("span_end", (Register(call.into),)))
            drawn.append(call)
        return drawn[:count]

    # Arguments.

    def _range(self, usual: list[Range]) -> Range:
        random = self._random
        chance = random.random()
        address, size = random.choice(usual)
        if chance < 0.78:
            return address, size
        if chance < 0.86:
            # Cut anywhere, or with something behind.
            return address, random.randrange(size + 9)
        if chance < 0.90:
            return random.choice(self._all)
        if chance < 0.93:
            return 0, 0
        if chance < 0.95:
            return random.randrange(len(self._image.data)), random.choice([1, 31, 32, 33, 64, 65, 128, 129, 256, 257])
        if chance < 0.97:
            return address, random.choice(_LONG)
        if chance < 0.985:
            # Up to the end of memory as it is at first, and beyond.
            size = random.choice([1, 16, 40])
            return PAGES * PAGE - size, size + random.choice([0, 0, 1])
        return random.choice(self._far), random.choice([0, 1, 8, 64, 2**31, 2**32 - 1, 2**64 - 1])

    def _out(self, size: int) -> int:
        if self._random.random() < 0.9:
            return OUT + self._random.randrange(OUT_BYTES - size)
        return self._random.choice(self._far)

    def _word(self) -> int:
        return self._random.choice(_WORDS)

    def _of(self, registers: range, rest: list[int]) -> int | Register:
        if self._random.random() < 0.85:
            return Register(self._random.choice(registers))
        return self._random.choice(rest)

    def _handle(self) -> int | Register:
        if self._random.random() < 0.06:
            return Register(self._random.choice(_REMOTES))
        return self._of(_SPANS, _HANDLES)

    def _context(self) -> int | Register:
        chance = self._random.random()
        if chance < 0.4:
            return 0
        if chance < 0.5:
            return -1
        return self._handle()

    def _callsite_id(self) -> int | Register:
        return self._of(_SITES, _WORDS)

    # Functions.

    def _abi_version(self) -> Call:
        return Call("abi_version")

    def _attribute_set(self) -> Call:
        # Nothing else from memory: what OpenTelemetry takes for the same attributes (0.0 and -0.0, 1 and true), and not
        # for the same although it is (NaN), is not the same on all deliveries.
        address, size = self._random.choice(self._image.sets)
        chance = self._random.random()
        if chance < 0.1:
            size = self._random.randrange(size + 1)
        elif chance < 0.15:
            address, size = self._random.choice(self._far), self._random.choice([0, 1, 8, 2**31])
        return Call("attribute_set", (address, size), self._random.choice(_SETS))

    def _baggage_get(self) -> Call:
        capacity = self._random.choice([0, 3, 64, 500])
        return Call("baggage_get", (*self._range(self._image.fields), self._out(500), capacity))

    def _callsite(self) -> Call:
        return Call("callsite", self._range(self._image.sites), self._random.choice(_SITES))

    def _enabled(self) -> Call:
        return Call("enabled", (self._callsite_id(),))

    def _exception(self) -> Call:
        texts = [number for _ in range(3) for number in self._range(self._image.texts)]
        return Call("exception", (self._handle(), *texts, *self._range(self._image.attributes)))

    def _flush(self) -> Call:
        return Call("flush")

    def _inject(self) -> Call:
        capacity = self._random.choice([0, 54, 55, 500])
        return Call("inject", (self._context(), *self._range(self._image.fields), self._out(500), capacity))

    def _instrument(self) -> Call:
        kind = self._random.choice([1, 2, 3, 1, 2, 3, 4, 0, 5])
        # Of two gauges that are one to OpenTelemetry, only the live path knows which was set last: those of whole
        # numbers would be the same as the others.
        number = 1 if kind == 4 else self._random.choice([0, 1, 0, 1, 0, 1, 2])
        into = _GAUGE if kind == 4 else self._random.choice(_INSTRUMENTS)
        return Call("instrument", (kind, number, *self._range(self._image.instruments)), into)

    def _log(self) -> Call:
        return Call(
            "log",
            (
                self._callsite_id(),
                self._word(),
                self._context(),
                *self._range(self._image.texts),
                *self._range(self._image.attributes),
            ),
        )

    def _measure_f64(self) -> Call:
        return self._measure("measure_f64", self._random.choice(_F64))

    def _measure_i64(self) -> Call:
        return self._measure("measure_i64", self._random.choice(_I64))

    def _measure(self, name: str, value: float) -> Call:
        if self._random.random() < 0.1:
            # Sets of different bytes may be the same attributes: for gauges as above.
            return Call(name, (Register(_GAUGE), value, self._random.choice([0, 2**31])))
        return Call(name, (self._of(_INSTRUMENTS, [0, 2**31, 2**32 - 1]), value, self._of(_SETS, _WORDS)))

    def _remote_context(self) -> Call:
        return Call(
            "remote_context",
            (*self._range(self._image.parents), *self._range(self._image.states)),
            self._random.choice(_REMOTES),
        )

    def _span_attributes(self) -> Call:
        return Call("span_attributes", (self._handle(), *self._range(self._image.attributes)))

    def _span_context(self) -> Call:
        return Call("span_context", (self._context(), self._out(32)))

    def _span_end(self) -> Call:
        return Call("span_end", (self._handle() if self._forgets else self._of(_SPANS, _HANDLES),))

    def _span_enter(self) -> Call:
        return Call("span_enter", (self._handle(),))

    def _span_event(self) -> Call:
        return Call(
            "span_event", (self._handle(), *self._range(self._image.texts), *self._range(self._image.attributes))
        )

    def _span_exit(self) -> Call:
        return Call("span_exit", (self._handle(),))

    def _span_link(self) -> Call:
        return Call("span_link", (self._handle(), self._context(), *self._range(self._image.attributes)))

    def _span_rename(self) -> Call:
        return Call("span_rename", (self._handle(), *self._range(self._image.texts)))

    def _span_start(self) -> Call:
        return Call(
            "span_start",
            (
                self._callsite_id(),
                *self._range(self._image.texts),
                self._context(),
                self._word(),
                *self._range(self._image.attributes),
            ),
            self._random.choice(_SPANS),
        )

    def _span_status(self) -> Call:
        return Call("span_status", (self._handle(), self._word(), *self._range(self._image.texts)))

    def _host(self) -> Call:
        # `raise` ends the call, as a trap does: seldom.
        action = self._random.choices(range(len(ACTIONS)), [4, 4, 3, 3, 2, 2, 6, 0.5])[0]
        return Call(HOST, (action, self._random.randrange(1000)))

    def _trap(self) -> Call:
        return Call(TRAP)

    def _grow(self) -> Call:
        return Call(GROW, (self._random.choice([1, 1, 100]),))
