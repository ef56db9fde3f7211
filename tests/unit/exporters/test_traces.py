"""Traces as people see them."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace import Event, SpanLimits, TracerProvider
from opentelemetry.trace import Link

from tests.support.golden import GoldenFiles
from tests.unit.exporters.spans import context_of, log, span
from tests.unit.exporters.story import tell_order
from wasmscope.exporters import Layout, Recording, render_traces

SGR = re.compile(r"\x1b\[[0-9;]*m")
WIDE = Layout(width=100)


# Skin tones and the later parts of Hangul syllables: no cell of their own behind what they belong to.
JOINING = (*range(0x1F3FB, 0x1F400), *range(0x1160, 0x1200), *range(0xD7B0, 0xD800))


def cells(line: str) -> int:
    """Measure a line by Unicode's own tables."""
    width = 0
    for character in line:
        if unicodedata.category(character) not in {"Mc", "Me", "Mn"} and ord(character) not in JOINING:
            width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width


class TestGolden:
    """Each of these files has been looked at."""

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_widths(self, golden: GoldenFiles, width: int) -> None:
        """An order through three guests, in narrow, usual and wide terminals."""
        told = tell_order().recording
        text = render_traces(told.spans, told.logs, Layout(width=width))

        golden.check(f"order_{width}.txt", text)

    def test_verbose(self, golden: GoldenFiles) -> None:
        """With stack traces, source locations and the moment of the start."""
        told = tell_order().recording
        text = render_traces(told.spans, told.logs, Layout(width=100, verbose=True))

        golden.check("order_verbose.txt", text)

    def test_color(self, golden: GoldenFiles) -> None:
        """In colour."""
        told = tell_order().recording
        text = render_traces(told.spans, told.logs, Layout(width=80, color=True))

        golden.check("order_color.txt", text)

    def test_ascii(self, golden: GoldenFiles) -> None:
        """In ASCII, for terminals that know no more; names of guests stay as they are."""
        told = tell_order().recording
        text = render_traces(told.spans, told.logs, Layout(width=80, unicode=False))

        assert text.replace("日本語", "").isascii()
        golden.check("order_ascii.txt", text)


class TestColor:
    def test_color_adds_only_color(self) -> None:
        """Without its colours, the coloured rendering is the plain one."""
        told = tell_order().recording
        colored = render_traces(told.spans, told.logs, Layout(width=80, color=True))

        assert "\x1b[" in colored
        assert render_traces(told.spans, told.logs, Layout(width=80)) == SGR.sub("", colored)

    def test_failed_span_is_red(self) -> None:
        """A failed span's name and reason are red (SGR 31)."""
        text = render_traces([span(1, None, 0, 9, error="no stock")], (), Layout(color=True))
        red = re.findall(r"\x1b\[[0-9;]*\b31m([^\x1b]*)", text)

        assert [part.strip() for part in red if "failed" not in part and "━" not in part] == ["✗ work", "no stock"]


class TestWords:
    def test_nothing(self) -> None:
        """Nothing recorded is nothing shown."""
        assert render_traces([]) == ""

    def test_reason_and_exception_once(self) -> None:
        """An exception that is the reason of the failure is told once, with its type."""
        event = Event("exception", {"exception.type": "ValueError", "exception.message": "bad value"}, 5)
        text = render_traces([span(1, None, 0, 9, error="bad value", events=[event])])

        assert text.count("bad value") == 1
        assert "ValueError: bad value" in text

    def test_exception_apart(self) -> None:
        """An exception that is not the reason is told as an event."""
        event = Event("exception", {"exception.type": "KeyError", "exception.message": "k"}, 5)
        text = render_traces([span(1, None, 0, 9, error="no stock", events=[event])])

        assert "no stock" in text
        assert "✗ KeyError: k" in text

    def test_failure_without_reason(self) -> None:
        """A failure that gives no reason says so."""
        assert "failed, without a reason given" in render_traces([span(1, None, 0, 9, error="")])

    def test_cause_of_a_trap(self) -> None:
        """Of an error chain as wasmtime writes it, the cause is shown."""
        reason = (
            "Trap: error while executing at wasm backtrace:\n    0:     0x26 - <unknown>!<wasm function 0>\n\n"
            "Caused by:\n    wasm trap: wasm `unreachable` instruction executed"
        )
        text = render_traces([span(1, None, 0, 9, error=reason)])

        assert "wasm trap: wasm `unreachable` instruction executed" in text
        assert "0x26" not in text
        assert "0x26" in render_traces([span(1, None, 0, 9, error=reason)], (), Layout(verbose=True))

    def test_orphan(self) -> None:
        """An orphan says which parent is missing."""
        assert "parent 0000000000000001 not recorded" in render_traces([span(2, 1, 0, 9)], (), WIDE)

    def test_remote_parent(self) -> None:
        """A span with a parent elsewhere says so."""
        one = span(2, context_of(1, remote=True), 0, 9)

        assert "remote parent 0000000000000001" in render_traces([one], (), WIDE)

    def test_other_service(self) -> None:
        """A span of another service than its parent's says which."""
        spans = [
            span(1, None, 0, 9, service="shop"),
            span(2, 1, 1, 8, name="same", service="shop"),
            span(3, 2, 2, 5, name="other", service="rates"),
        ]
        text = render_traces(spans)

        assert re.search("work  shop  +━", text)
        assert re.search("same  +━", text)
        assert re.search("other  rates  +━", text)

    def test_links(self) -> None:
        """A link names its target where that is recorded, else gives its ids."""
        links = [Link(context_of(1)), Link(context_of(9, trace_id=8), {"why": "because"})]
        text = render_traces([span(1, None, 0, 9, name="first"), span(2, 1, 1, 2, links=links)], (), Layout(width=120))

        assert "link to first" in text
        assert f"link to span 0000000000000009 of trace {8:032x}  why=because" in text

    def test_guest_span_outside_a_call(self) -> None:
        """A guest's span that starts a trace of its own says which guest it is from."""
        call = span(1, None, 0, 9, attributes={"wasm.module.name": "greeter"}, scope="wasmscope")
        text = render_traces([call, span(1, None, 20, 30, trace_id=5, name="alone", scope="greeter")])

        assert "alone  greeter" in text

    def test_stdout_line(self) -> None:
        """A line that a guest printed is labelled by its stream."""
        line = log("hello", 5, 1, severity=None, attributes={"log.iostream": "stdout"})

        assert "stdout hello" in render_traces([span(1, None, 0, 9)], [line])

    def test_log_outside_of_traces(self) -> None:
        """A log record without a trace is shown at the end, with its origin."""
        text = render_traces([span(1, None, 0, 9)], [log("alone", 5, scope="greeter")])

        assert text.endswith("+0 ns\n")
        assert "outside of any trace\nINFO  greeter alone" in text

    def test_logs_between_spans(self) -> None:
        """Records and child spans are shown in the order in which they happened."""
        spans = [span(1, None, 0, 9), span(2, 1, 2, 3, name="first"), span(3, 1, 6, 7, name="second")]
        text = render_traces(spans, [log("before", 1, 1), log("between", 4, 1), log("after", 8, 1)])
        found = re.findall("before|first|between|second|after", text)

        assert found == ["before", "first", "between", "second", "after"]

    def test_verbose_stack(self) -> None:
        """Stack traces are for the verbose."""
        event = Event("exception", {"exception.type": "E", "exception.stacktrace": "at f\nat g"}, 5)
        one = span(1, None, 0, 9, events=[event])

        assert "+2 stack lines" in render_traces([one])
        assert "at g" not in render_traces([one])
        assert "at g" in render_traces([one], (), Layout(verbose=True))

    def test_exception_in_a_log(self) -> None:
        """An exception that came as a log record is told with its type and message."""
        attributes = {"exception.type": "panic", "exception.message": "boom", "k": 1}
        one = log("failed", 5, 1, severity=SeverityNumber.ERROR, attributes=attributes)

        assert "ERROR failed  panic: boom  k=1" in render_traces([span(1, None, 0, 9)], [one])

    def test_event_that_repeats_a_log(self) -> None:
        """Where no log records are given, the span events that repeat them look like them."""
        event = Event("hello", {"wasmscope.log": "WARN", "k": 1}, 5)

        assert "WARN  hello  k=1" in render_traces([span(1, None, 0, 9, events=[event])])

    def test_many_loose_records(self) -> None:
        """Records outside of traces are bounded as well."""
        text = render_traces([], [log("x", i) for i in range(1, 500)])

        assert text.endswith("… 399 more records\n")

    def test_limits(self) -> None:
        """What the SDK's own limits took away is told."""
        provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=1, max_events=1))
        recording = Recording()
        provider.add_span_processor(recording.span_processor)
        with provider.get_tracer("t").start_as_current_span("s", attributes={"a": 1, "b": 2}) as one:
            one.add_event("x")
            one.add_event("y")

        assert "over the limits: 1 attribute, 1 event" in render_traces(recording.spans)

    def test_all_severities(self) -> None:
        """Each of the 24 severities has the short name that the data model gives it."""
        logs = [log(f"n{n}", n, 1, severity=SeverityNumber(n)) for n in range(1, 25)]
        found = re.findall(r"(TRACE|DEBUG|INFO|WARN|ERROR|FATAL) +n(\d+)", render_traces([span(1, None, 0, 99)], logs))

        expected = [name for name in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL") for _ in range(4)]
        assert expected == [name for name, _ in found]

    def test_bodies_of_all_types(self) -> None:
        """A body need not be text."""
        bodies = [{"k": 1}, [1, 2], 2.5, True, b"\x00", None]
        text = render_traces([span(1, None, 0, 9)], [log(body, 5, 1) for body in bodies])

        for expected in ("INFO  {k: 1}", "INFO  [1, 2]", "INFO  2.5", "INFO  true", "INFO  0x00"):
            assert expected in text


class TestBar:
    def test_self_and_children(self) -> None:
        """Heavy where the span worked itself, light where a child was running."""
        spans = [span(1, None, 0, 1600), span(2, 1, 400, 1200, name="child")]
        root, child = render_traces(spans, (), Layout(width=80)).splitlines()[1:3]

        assert "━━━━────────━━━━" in root
        assert "    ━━━━━━━━    " in child

    def test_short_spans_are_visible(self) -> None:
        """A nanosecond in an hour has a cell of its own."""
        spans = [span(1, None, 0, 3_600_000_000_000), span(2, 1, 5, 6, name="child")]

        assert "━" in render_traces(spans, (), Layout(width=80)).splitlines()[2]

    def test_clock_going_backwards(self) -> None:
        """A span that ends before it starts took no time."""
        assert "0 ns" in render_traces([span(1, None, 9, 3)])


class TestSize:
    def test_deep(self) -> None:
        """10,000 nested spans are drawn without recursion, indented no further than fits."""
        spans = [span(i, i - 1, i, 30_000 - i, name=f"level{i}") for i in range(1, 10_001)]
        lines = render_traces(spans, (), Layout(max_spans=20_000)).splitlines()

        assert len(lines) == 10_001
        assert "⋮9999 level10000" in lines[-1]
        assert max(cells(line) for line in lines) <= 80

    def test_many(self) -> None:
        """Of 100,000 spans, 1,000 are drawn; what is not drawn is counted."""
        spans = [span(1, None, 0, 200_000), *(span(i, 1, i, i + 1) for i in range(2, 100_001))]
        lines = render_traces(spans).splitlines()

        assert len(lines) == 1_002
        assert lines[-1] == "╰─ … 99,000 more spans"

    def test_many_traces(self) -> None:
        """Of many traces, as many as there may be spans are drawn."""
        spans = [span(1, None, i, i + 1, trace_id=i) for i in range(1, 5_001)]

        assert render_traces(spans).endswith("\n… 4,000 more traces\n")

    def test_many_records(self) -> None:
        """Of the records of one span, 100 are drawn; the others are counted."""
        text = render_traces([span(1, None, 0, 9_999)], [log("x", i, 1) for i in range(1, 9_001)])

        assert 102 <= len(text.splitlines()) <= 103
        assert "… 8,900 more records" in text

    def test_big_values(self) -> None:
        """However long names, values, bodies and stacks are, the rendering is short."""
        big = "word " * 100_000
        event = Event("exception", {"exception.type": big, "exception.message": big, "exception.stacktrace": big}, 5)
        attributes = {f"{big}{i}": big for i in range(128)}
        one = span(1, None, 0, 9, name=big, error=big, attributes=attributes, events=[event])
        text = render_traces([one], [log(big, 5, 1, attributes=attributes)])

        assert len(text) < 6_000


HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\n\r\t\b\x07[]{}m0;31日本\u202e\u0301\u200b\ud800 "),
    ),
    max_size=60,
)
VALUES = st.one_of(HOSTILE, st.integers(), st.floats(), st.booleans(), st.lists(HOSTILE, max_size=3))
ATTRIBUTES = st.dictionaries(HOSTILE, VALUES, max_size=4)


class TestHostile:
    """A guest chooses every text here; it must not get at the terminal."""

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(HOSTILE, st.integers(0, 8), st.one_of(st.none(), HOSTILE), ATTRIBUTES),
            min_size=1,
            max_size=8,
        ),
        st.lists(st.tuples(VALUES, st.integers(0, 9), ATTRIBUTES), max_size=4),
        st.sampled_from([40, 60, 72, 80, 100, 160]),
        st.booleans(),
    )
    def test_any_text(
        self,
        shapes: list[tuple[str, int, str | None, dict[str, Any]]],
        records: list[tuple[object, int, dict[str, Any]]],
        width: int,
        verbose: bool,
    ) -> None:
        """No control character gets through, and no line is wider than the terminal."""
        spans = [
            span(
                i,
                parent,
                i * 10,
                i * 25,
                name=name,
                error=error,
                attributes=attributes,
                events=[Event(name, attributes, i * 11), Event("exception", attributes, i * 12)],
                scope=name,
            )
            for i, (name, parent, error, attributes) in enumerate(shapes, start=1)
        ]
        logs = [log(body, 5, i or None, attributes=attributes) for body, i, attributes in records]
        text = render_traces(spans, logs, Layout(width=width, verbose=verbose))

        for line in text.split("\n"):
            assert not any(unicodedata.category(c) in {"Cc", "Cs"} for c in line)
            assert cells(line) <= width

    def test_markup(self) -> None:
        """What looks like markup of the drawing library is text."""
        name = "[bold red]x[/] [link=file:///]y[/link] :boom:"
        text = render_traces([span(1, None, 0, 9, name=name)], (), Layout(width=120, color=True))

        assert name in SGR.sub("", text)
