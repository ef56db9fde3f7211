"""The Rust SDK: what its ways to report tell OpenTelemetry, its size, and its own tests.

What all SDKs have in common is in tests/conformance; here is what only Rust has: `tracing`, `log`, panics.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from wasmscope.host_shim import Bridge

_ROOT = Path(__file__).parents[2]
_GUESTS = _ROOT / "tests" / "guests" / "rust"
_SDK = _ROOT / "guest_sdk" / "rust"
_TARGET = "wasmscope.target"


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of calls into a guest.

    Attributes:
        spans: The guest's spans by name.
        logs: Its log records.
        rejected: How much the host refused, by reason.
        error: What the last call raised, or None.
    """

    spans: Mapping[str, ReadableSpan]
    logs: tuple[ReadableLogRecord, ...]
    rejected: Mapping[str, int]
    error: Exception | None

    def parent(self, name: str) -> str:
        """Name a span's parent; "" for none and for the host's spans."""
        parent = self.spans[name].parent
        found = [span.name for span in self.spans.values() if parent is not None and _id(span) == parent.span_id]
        return found[0] if found else ""

    def bodies(self) -> list[object]:
        """Give the texts of the log records."""
        return [record.log_record.body for record in self.logs]

    def log(self, body: str) -> ReadableLogRecord:
        """Give the one log record with a text."""
        (found,) = [record for record in self.logs if record.log_record.body == body]
        return found


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


@functools.cache
def _engine() -> wasmtime.Engine:
    return wasmtime.Engine()


@functools.cache
def _module(name: str) -> wasmtime.Module:
    return wasmtime.Module(_engine(), (_GUESTS / name).read_bytes())


@pytest.fixture(scope="module", autouse=True)
def release() -> Iterator[None]:
    """Let modules and engine go before the interpreter does."""
    yield
    _module.cache_clear()
    _engine.cache_clear()


def hear(*exports: str, guest: str = "conformance.wasm", min_severity: int = 0) -> Heard:
    """Call exports of a guest, one after the other in one instance."""
    spans = InMemorySpanExporter()
    logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    tracer_provider = TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    logger_provider = LoggerProvider(shutdown_on_exit=False)
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    error: Exception | None = None
    with Bridge(tracer_provider=tracer_provider, logger_provider=logger_provider, min_severity=min_severity) as bridge:
        linker, store = wasmtime.Linker(_engine()), wasmtime.Store(_engine())
        with bridge.instantiate(linker, store, _module(guest), name="guest") as instance:
            try:
                for export in exports:
                    instance.call(export)
            except wasmtime.Trap as trap:
                error = trap
        rejected = {reason: count for (_, _, reason), count in bridge.rejected().items()}
    own = [s for s in spans.get_finished_spans() if s.instrumentation_scope and s.instrumentation_scope.name == "guest"]
    return Heard({span.name: span for span in own}, logs.get_finished_logs(), rejected, error)


def own_attributes(of: ReadableSpan | ReadableLogRecord) -> dict[str, Any]:
    """Give the attributes without those of the place in the source."""
    given = (of if isinstance(of, ReadableSpan) else of.log_record).attributes or {}
    return {key: value for key, value in given.items() if not key.startswith("code.") and key != _TARGET}


LEVELS = [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17)]


def levels(heard: Heard) -> list[tuple[object, int]]:
    """Give the text and severity of each log record."""
    return [(r.log_record.body, r.log_record.severity_number.value) for r in heard.logs if r.log_record.severity_number]


class TestTracing:
    """Programs of `tracing`."""

    def test_levels(self) -> None:
        """Events of the five levels become log records of their severities, with their target and place."""
        heard = hear("tracing_log_levels")
        assert levels(heard) == LEVELS
        attributes = heard.logs[0].log_record.attributes or {}
        lines = (_GUESTS / "src" / "tracer.rs").read_text(encoding="utf-8").splitlines()
        assert attributes[_TARGET] == "conformance"
        assert attributes["code.file.path"] == "src/tracer.rs"
        assert 'trace!(target: "conformance", "trace")' in lines[int(str(attributes["code.line.number"])) - 1]
        assert heard.logs[0].log_record.event_name is None

    def test_fields_keep_their_types(self) -> None:
        """Text, bool, whole numbers, floats and bytes stay what they are."""
        (record,) = hear("tracing_log_attributes").logs
        assert own_attributes(record) == {"s": "text", "t": True, "i": -7, "f": 2.5, "b": b"\x00\xff"}

    def test_fields_without_a_type_of_the_abi(self) -> None:
        """Integers beyond i64 become decimals; errors and Debug values their text; an empty field is not there."""
        (record,) = hear("tracing_values").logs
        assert record.log_record.body == "7 of 42"
        assert own_attributes(record) == {
            "large": str(2**64 - 1),
            "larger": str(-(2**127)),
            "small": 7,
            "shown": "ß",
            "debug": "[Some(1), None]",
            "cause": "order 7 refused",
        }

    def test_event_name(self) -> None:
        """An event that the program names keeps its name."""
        (record,) = hear("tracing_log_event").logs
        assert record.log_record.event_name == "order.created"
        assert own_attributes(record) == {"id": 42}

    def test_nesting(self) -> None:
        """Entered spans nest, events belong to the innermost, and `otel.kind` is the kind."""
        heard = hear("tracing_span_nested")
        outer, inner = heard.spans["outer"], heard.spans["inner"]
        assert (outer.kind, inner.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)
        assert own_attributes(outer) == {"a": 1}
        assert heard.parent("inner") == "outer"
        assert [r.log_record.span_id for r in heard.logs] == [_id(outer), _id(inner)]

    def test_parents(self) -> None:
        """`parent:` gives the parent, `parent: None` makes a root."""
        heard = hear("tracing_span_parents")
        assert heard.parent("child") == "parent"
        assert heard.spans["root"].parent is None

    def test_unicode(self) -> None:
        """Names, keys, values and bodies keep their characters."""
        heard = hear("tracing_unicode")
        assert own_attributes(heard.spans["späń 🦀"]) == {"🔑": "日本語"}
        assert heard.bodies() == ["日本語 ∓"]

    def test_long_texts_arrive_whole(self) -> None:
        """What is longer than the guest's buffer reaches the host, which cuts it at its limits and says so."""
        heard = hear("tracing_limits")
        assert len(str(heard.bodies()[0])) == 65_536
        assert (heard.logs[0].log_record.attributes or {})["wasmscope.truncated"] == ("body=70000",)
        span = own_attributes(heard.spans["limits"])
        assert (len(span["long"]), span["wasmscope.truncated"]) == (16_384, ("long=20000",))
        assert heard.rejected == {}

    def test_late_changes(self) -> None:
        """Recording later sets attributes, name and status; following makes a link; a span lives as long as a copy."""
        heard = hear("tracing_details")
        span = heard.spans["details.renamed"]
        assert own_attributes(span) == {"later": "yes"}
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no stock")
        assert [link.context.span_id for link in span.links] == [_id(heard.spans["target"])]
        record = heard.log("still open")
        assert (record.log_record.span_id, own_attributes(record)) == (_id(span), {"same": True})

    def test_failed_function(self) -> None:
        """`#[instrument(err)]` fails its span and logs the error; arguments are attributes."""
        heard = hear("tracing_instrument")
        span = heard.spans["check"]
        assert own_attributes(span) == {"order": 7}
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "order 7 refused")
        (failure,) = [r for r in heard.logs if r.log_record.severity_text == "ERROR"]
        assert (failure.log_record.span_id, own_attributes(failure)) == (_id(span), {"error": "order 7 refused"})

    def test_entries_that_cross(self) -> None:
        """A span may be left before one entered later: the current span is right in host and guest."""
        heard = hear("tracing_instrument")
        crossed = heard.log("crossed")
        assert crossed.log_record.span_id == _id(heard.spans["second"])
        assert own_attributes(crossed) == {"in_second": True}
        assert own_attributes(heard.log("left")) == {"none": True}
        assert heard.rejected == {}

    def test_span_left_open(self) -> None:
        """A span that the guest forgot is ended with the instance, and calls after it are not its children."""
        heard = hear("tracing_open_span", "tracing_span_parents")
        assert heard.spans["left open"].status.status_code is StatusCode.ERROR
        assert heard.parent("parent") == ""


class TestPanic:
    """Panics."""

    @pytest.mark.parametrize("export", ["trap", "tracing_trap"])
    def test_message_and_place(self, export: str) -> None:
        """A panic reports its message and place on the current span before the guest traps."""
        heard = hear(export)
        assert heard.error is not None
        exception = dict(heard.spans["doomed"].events[0].attributes or {})
        line = int(str(exception.pop("code.line.number")))
        file = str(exception.pop("code.file.path"))
        assert 'panic!("boom")' in (_GUESTS / file).read_text(encoding="utf-8").splitlines()[line - 1]
        assert exception == {"exception.type": "panic", "exception.message": "boom", "code.column.number": 5}


class TestLog:
    """Programs of the `log` crate."""

    def test_levels(self) -> None:
        """Records of the five levels keep target and place."""
        heard = hear("logger_log_levels", guest="logger.wasm")
        assert levels(heard) == LEVELS
        attributes = heard.logs[0].log_record.attributes or {}
        lines = (_GUESTS / "src" / "logger.rs").read_text(encoding="utf-8").splitlines()
        assert attributes[_TARGET] == "conformance"
        assert 'trace!(target: "conformance", "trace")' in lines[int(str(attributes["code.line.number"])) - 1]

    def test_call_sites_are_found_again(self) -> None:
        """The second pass through the same places tells the same."""
        once = hear("logger_log_levels", guest="logger.wasm")
        twice = hear("logger_log_levels", "logger_log_levels", guest="logger.wasm")
        assert levels(twice) == 2 * LEVELS
        places = [record.log_record.attributes for record in once.logs]
        assert [record.log_record.attributes for record in twice.logs] == 2 * places

    def test_fields_keep_their_types(self) -> None:
        """Fields become attributes of their types."""
        (record,) = hear("logger_log_attributes", guest="logger.wasm").logs
        assert own_attributes(record) == {"s": "text", "t": True, "i": -7, "f": 2.5}

    def test_formatted(self) -> None:
        """The message is formatted; other values are their text."""
        (record,) = hear("logger_values", guest="logger.wasm").logs
        assert record.log_record.body == "7 of 42"
        assert own_attributes(record) == {"large": str(2**64 - 1), "shown": "ß", "debug": "[Some(1), None]"}

    def test_unicode(self) -> None:
        """The message keeps its characters."""
        assert hear("logger_unicode", guest="logger.wasm").bodies() == ["日本語 ∓"]


class TestDirect:
    """The direct API, as far as only Rust has it."""

    def test_values(self) -> None:
        """Whatever the macros take arrives as the ABI's nearest type."""
        heard = hear("rust_values")
        (record,) = heard.logs
        assert record.log_record.body == "7 of 42"
        assert own_attributes(record) == {
            "order": 42,
            "large": str(2**64 - 1),
            "larger": str(-(2**127)),
            "http.route": "/42",
            "user.name": "Zoë",
            "letter": "ß",
            "debug": "[Some(1), None]",
            "display": "ß",
            "none": None,
            "nested": ((1, 2), (3, 4)),
        }
        assert heard.rejected == {}

    def test_call_site(self) -> None:
        """A log record knows its place in the source."""
        attributes = hear("log_event").logs[0].log_record.attributes or {}
        lines = (_GUESTS / "src" / "direct.rs").read_text(encoding="utf-8").splitlines()
        assert attributes["code.file.path"] == "src/direct.rs"
        assert "order.created" in lines[int(str(attributes["code.line.number"])) - 1]


class Questioned:
    """A host that only counts what a guest asks and sends, and gives one answer to `enabled`."""

    def __init__(self, guest: str, answer: int) -> None:
        self.answer = answer
        self.calls = dict.fromkeys(("callsite", "enabled", "log", "span_start"), 0)
        self._store = wasmtime.Store(_engine())
        linker = wasmtime.Linker(_engine())
        for item in _module(guest).imports:
            assert isinstance(item.type, wasmtime.FuncType) and item.name is not None
            linker.define_func(item.module, item.name, item.type, self._function(item.name, item.type))
        self._exports = linker.instantiate(self._store, _module(guest)).exports(self._store)

    def _function(self, name: str, kind: wasmtime.FuncType) -> Callable[..., int | None]:
        def function(*_: object) -> int | None:
            if name in self.calls:
                self.calls[name] += 1
            return self.answer if name == "enabled" else 1 if kind.results else None

        return function

    def call(self, export: str) -> None:
        """Call an export."""
        function = self._exports[export]
        assert isinstance(function, wasmtime.Func)
        function(self._store)


class TestEnabled:
    """Guests ask before they send."""

    WAYS = pytest.mark.parametrize(
        ("export", "guest", "records"),
        [
            ("log_levels", "conformance.wasm", 6),
            ("tracing_log_levels", "conformance.wasm", 5),
            ("logger_log_levels", "logger.wasm", 5),
        ],
    )

    @WAYS
    def test_no_for_good(self, export: str, guest: str, records: int) -> None:
        """Nothing is sent, and each place asks once."""
        host = Questioned(guest, 0b10)
        host.call(export)
        host.call(export)
        assert host.calls == {"callsite": records, "enabled": records, "log": 0, "span_start": 0}

    @WAYS
    def test_yes_for_good(self, export: str, guest: str, records: int) -> None:
        """Everything is sent, and each place asks once."""
        host = Questioned(guest, 0b11)
        host.call(export)
        host.call(export)
        assert host.calls == {"callsite": records, "enabled": records, "log": 2 * records, "span_start": 0}

    @WAYS
    def test_answers_that_change(self, export: str, guest: str, records: int) -> None:
        """An answer that does not hold for good is asked for again."""
        host = Questioned(guest, 0b01)
        host.call(export)
        host.answer = 0b00
        host.call(export)
        assert (host.calls["callsite"], host.calls["log"]) == (records, records)

    def test_spans(self) -> None:
        """A span that the host does not want is not started, and what is done to it does nothing."""
        host = Questioned("conformance.wasm", 0b10)
        for export in ("span_nested", "span_details", "tracing_span_nested", "tracing_details"):
            host.call(export)
        assert (host.calls["span_start"], host.calls["log"]) == (0, 0)

    def test_the_host_is_believed(self) -> None:
        """With a host's least severity, guests' records from there on arrive."""
        told = levels(hear("tracing_log_levels", min_severity=13))
        assert told == LEVELS[3:]


def rust(*command: str, folder: Path) -> str:
    """Run a command with a Rust that builds guests; where there is none, skip the test."""
    script = """
        . script/_common.sh
        use_toolchains
        if rust_problem; then exit 77; fi
        # That of script/fixtures.
        export CARGO_TARGET_DIR="$cache/target-$(rustc -vV | cksum | cut -d' ' -f1)"
        cd "$folder"
        "$@"
    """
    ran = subprocess.run(
        ["sh", "-c", script, _ROOT / "script" / "test", *command],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "folder": str(folder)},
    )
    if ran.returncode == 77:
        pytest.skip(ran.stdout.strip())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class TestCrate:
    """The crate itself. Needs Rust: `script/setup toolchains`."""

    @pytest.mark.parametrize("features", ["--no-default-features", "--all-features"])
    def test_own_tests(self, features: str) -> None:
        """Its unit tests (the encoder against tests/vectors) and the programs in its documentation pass natively."""
        assert "test result: ok" in rust("cargo", "test", "--quiet", "--locked", features, folder=_SDK)

    def test_size(self) -> None:
        """What it adds to a guest is within the limits."""
        assert "tracing" in rust("sh", "size/check.sh", folder=_SDK)
