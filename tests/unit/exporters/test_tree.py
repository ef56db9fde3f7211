"""How spans and records find their places."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan

from tests.unit.exporters.spans import TRACE_ID, context_of, log, span
from wasmscope.exporters._selection import choose_shown, most_telling
from wasmscope.exporters._tree import Forest, Node, build_forest, self_intervals


def forest_of(*spans: ReadableSpan, logs: Iterable[ReadableLogRecord] = ()) -> Forest:
    """Build a forest."""
    return build_forest(spans, logs)


def names(nodes: Iterable[Node]) -> list[str]:
    """Give the spans' names."""
    return [node.span.name for node in nodes]


class TestParents:
    def test_children_in_order_of_start(self) -> None:
        """Children are ordered by their starts; spans arrive by their ends."""
        forest = forest_of(
            span(3, 1, 50, 60, name="late"),
            span(2, 1, 20, 70, name="early"),
            span(1, None, 0, 100, name="root"),
        )
        (root,) = forest.traces[0].roots

        assert names(root.children) == ["early", "late"]

    def test_equal_starts_keep_their_order(self) -> None:
        """Spans that start together stay in the order in which they came."""
        forest = forest_of(*(span(i, 1, 5, 6, name=f"s{i}") for i in range(2, 9)), span(1, None, 0, 9))
        (root,) = forest.traces[0].roots

        assert [f"s{i}" for i in range(2, 9)] == names(root.children)

    def test_traces_in_order_of_start(self) -> None:
        """Traces are ordered by their beginnings."""
        forest = forest_of(span(1, None, 50, 60, trace_id=7), span(1, None, 10, 90, trace_id=8))

        assert [trace.trace_id for trace in forest.traces] == [8, 7]

    def test_missing_parent(self) -> None:
        """A span whose parent is not recorded is a root, and marked."""
        (root,) = forest_of(span(2, 1, 0, 1)).traces[0].roots

        assert root.lost_parent

    def test_remote_parent(self) -> None:
        """A span whose parent is in another process is a root like any other."""
        (root,) = forest_of(span(2, context_of(1, remote=True), 0, 1)).traces[0].roots

        assert not root.lost_parent

    def test_own_parent(self) -> None:
        """A span that claims to be its own parent is a root."""
        assert len(forest_of(span(1, 1, 0, 1)).traces[0].roots) == 1

    def test_same_id_twice(self) -> None:
        """Two spans with one id are both there; children go to the first."""
        forest = forest_of(span(1, None, 0, 9, name="a"), span(1, None, 1, 9, name="b"), span(2, 1, 2, 3))
        first, second = forest.traces[0].roots

        assert (len(first.children), len(second.children)) == (1, 0)

    @given(st.lists(st.integers(0, 12), max_size=12))
    def test_no_span_is_lost(self, parents: list[int]) -> None:
        """Whatever the parents, circles included, every span is below some root, once."""
        spans = [span(i, parent, i, i + 1) for i, parent in enumerate(parents, start=1)]
        forest = build_forest(spans, ())
        found = [node for trace in forest.traces for root in trace.roots for node in root.walk()]

        assert len(found) == len(spans)
        assert {id(node.span) for node in found} == {id(one) for one in spans}


class TestRecords:
    def test_log_in_its_span(self) -> None:
        """A log record belongs to the span in whose context it was emitted."""
        forest = forest_of(span(1, None, 0, 9), logs=[log("in", 5, 1)])

        assert len(forest.traces[0].roots[0].records) == 1

    def test_log_of_an_unknown_span(self) -> None:
        """A log record of a span that is not recorded stays with the trace."""
        forest = forest_of(span(1, None, 0, 9), logs=[log("lost", 5, 99)])

        assert len(forest.traces[0].records) == 1

    def test_log_without_trace(self) -> None:
        """A log record without a trace is kept apart."""
        assert len(forest_of(logs=[log("alone", 5)]).loose) == 1

    def test_trace_of_logs_only(self) -> None:
        """A trace of which only log records are known is a trace too."""
        forest = forest_of(logs=[log("b", 9, 1), log("a", 5, 1)])

        assert [(t.trace_id, t.start_ns, t.end_ns) for t in forest.traces] == [(TRACE_ID, 5, 9)]

    def test_repeated_logs(self) -> None:
        """A span event that repeats a log record is left out where the records are there."""
        repeated = Event("hello", {"wasmscope.log": "INFO"}, 5)
        other = Event("other", {}, 6)
        one = span(1, None, 0, 9, events=[repeated, other])

        with_log = forest_of(one, logs=[log("hello", 5, 1)]).traces[0].roots[0]
        without = forest_of(one).traces[0].roots[0]

        assert [record.time_ns for record in with_log.records] == [5, 6]
        assert other is with_log.records[1].source
        assert [repeated, other] == [record.source for record in without.records]


class TestSelfTime:
    @given(
        st.integers(0, 40),
        st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=6),
    )
    def test_against_counting(self, length: int, children: list[tuple[int, int]]) -> None:
        """Self time is what is left when every nanosecond with a child is crossed out."""
        start = 10
        spans = [span(1, None, start, start + length)]
        spans += [span(i, 1, at, at + took) for i, (at, took) in enumerate(children, start=2)]
        crossed_out = {ns for at, took in children for ns in range(at, at + took)}
        expected = [ns for ns in range(start, start + length) if ns not in crossed_out]

        (root,) = (root for root in build_forest(spans, ()).traces[0].roots if root.span is spans[0])
        intervals = self_intervals(root)

        assert expected == [ns for begin, end in intervals for ns in range(begin, end)]


class TestSelection:
    def test_all_that_fits(self) -> None:
        """Nothing is hidden where everything fits."""
        forest = forest_of(span(1, None, 0, 9), span(2, 1, 1, 2))
        choose_shown(forest, 2)

        assert all(node.shown for node in forest.nodes.values())

    def test_failures_are_shown(self) -> None:
        """The one failed span among thousands is shown, with all that leads to it."""
        spans = [span(1, None, 0, 10_000)]
        spans += [span(i, 1, i, i + 1) for i in range(2, 3_000)]
        spans += [span(3_000, 2_999, 2_999, 3_000), span(3_001, 3_000, 2_999, 3_000, error="bad")]
        forest = build_forest(spans, ())
        choose_shown(forest, 20)

        shown = {i for (_, i), node in forest.nodes.items() if node.shown}
        assert {1, 2_999, 3_000, 3_001} <= shown
        assert len(shown) == 20

    @given(
        st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=30),
        st.integers(1, 40),
    )
    def test_shown_spans_hang_together(self, shape: list[tuple[int, bool]], limit: int) -> None:
        """As many spans as allowed are shown, and never one without its parent."""
        spans = [
            span(i, parent, i, i + 1, error="bad" if failed else None)
            for i, (parent, failed) in enumerate(shape, start=1)
        ]
        forest = build_forest(spans, ())
        choose_shown(forest, limit)

        shown = [node for node in forest.nodes.values() if node.shown]
        assert min(limit, len(spans)) == len(shown)
        assert all(node.parent is None or node.parent.shown for node in shown)

    def test_alarms_stay(self) -> None:
        """Of too many records, warnings stay, and the rest is the earliest."""
        from opentelemetry._logs import SeverityNumber

        logs = [log(f"m{i}", i, 1) for i in range(1, 100)]
        logs.append(log("warning", 100, 1, severity=SeverityNumber.WARN))
        (root,) = forest_of(span(1, None, 0, 200), logs=logs).traces[0].roots

        assert [record.time_ns for record in most_telling(root.records, 3)] == [1, 2, 100]
