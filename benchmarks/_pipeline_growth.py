"""What an instance costs that has a collector, and how cost grows with open spans and instances."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import wasmtime
from _growth import rss_kb
from _naive import Naive
from _ours import LostRecordsError, Ours
from _report import Bound, Figure, Report
from _subjects import Providers
from _timing import time_together

from wasmscope.host_shim import GuestInstance, Limits
from wasmscope.host_shim._collector import Collectors, StoreCollector
from wasmscope.host_shim._control import CollectorSettings
from wasmscope.host_shim._plan import plan_imports
from wasmscope.host_shim._wasmtime_ffi import Native

__all__ = ["growth_by_instances", "growth_by_open_spans", "instances"]

# The same work may cost a quarter more where much else is there.
_FLAT = Bound(ratio=0.8)
# Where each call finds the processor's caches cold, its first spans wait for memory.
_IN_TURN = Bound(ratio=0.6)
_OPEN = (1, 100, 10_000)
_INSTANCES = (1, 100, 1_000)
_VISIT = 100


class _Bare:
    """The same guest without a bridge; its host functions are Python's, and shared by all instances."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        providers = Providers(sdk=False)
        self._linker = Naive(ours.engine, providers.tracer, providers.meter, providers.logger).linker

    def instantiate(self) -> tuple[wasmtime.Store, wasmtime.Instance]:
        """Make an instance in a store of its own."""
        store = self._ours.new_store()
        return store, self._linker.instantiate(store, self._ours.module)

    def instances(self, count: int) -> None:
        """Make instances, one after the other."""
        for _ in range(count):
            store, instance = self.instantiate()
            instance.exports(store)
            store.close()

    def called_instances(self, count: int) -> None:
        """The same, with a call of each."""
        for _ in range(count):
            store, instance = self.instantiate()
            prepare = instance.exports(store)["prepare"]
            assert isinstance(prepare, wasmtime.Func)
            prepare(store)
            store.close()


def _nothing(_collector: StoreCollector, _op: int, _number: int) -> int:
    return 0


class _Linked:
    """The same guest in a store with a collector that it is linked to, and nothing else of a bridge."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        native = Native.load()
        assert native is not None
        self._collectors = Collectors(
            native, Limits(), CollectorSettings(), host=_nothing, closing=lambda _collector: None
        )
        self._plan = plan_imports(ours.module, "bench")
        self._guest = ours.instance._runner.guest

    def instances(self, count: int, *, begin: bool = False) -> None:
        """Make instances, one after the other; on demand as if each told something."""
        for _ in range(count):
            store = self._ours.new_store()
            collector = self._collectors.of(store)
            link = None if collector is None else collector.add(self._plan, self._guest, b"")
            if collector is None or link is None:
                raise LostRecordsError("a guest could not be linked to a collector")
            instance = link.instantiate(self._ours.module, link.functions())
            link.bind(link.memory_of(instance))
            instance.exports(store)
            if begin:
                collector.begin()
                link.bind_early()
            store.close()


def _instances(ours: Ours, count: int) -> None:
    """Make instances, one after the other."""
    for _ in range(count):
        store = ours.new_store()
        instance = ours.instantiate(store)
        instance.exports(store)
        instance.close()
        store.close()


def _called_instances(ours: Ours, count: int) -> None:
    """The same, with a call of each, in which it registers what it uses."""
    for _ in range(count):
        store = ours.new_store()
        instance = ours.instantiate(store)
        instance.exports(store)
        instance.call("prepare")
        instance.close()
        store.close()


def instances(report: Report) -> None:
    """Time to make an instance, and the memory that it takes."""
    report.title("An instance in a store of its own, above the same guest without a bridge")
    with ExitStack() as stack:
        ours, live = Ours(), Ours(delivery="live")
        stack.callback(ours.close)
        stack.callback(live.close)
        bare = _Bare(ours)
        _link(report, ours, bare)
        kept: list[object] = []
        our_kb = _kb_each(lambda: ours.said_some(ours.instantiate()), kept)
        bare_kb = _kb_each(bare.instantiate, kept)
        kept.clear()
        timed = time_together(
            {
                "bare": bare.instances,
                "bare called": bare.called_instances,
                "ours": functools.partial(_instances, ours),
                "ours called": functools.partial(_called_instances, ours),
                "live": functools.partial(_instances, live),
                "live called": functools.partial(_called_instances, live),
            },
            repeats=15,
            most=500,
        )
        least = {name: found.least_us for name, found in timed.items()}
        for title, name in (
            ("instance: the whole bridge (call spans, accounts, too)", ""),
            ("instance: the same with a first call that says something", " called"),
        ):
            base = least[f"bare{name}"]
            report.add(Figure(f"{title}, above the bare guest", least[f"ours{name}"] - base, "us"))
            report.add(Figure(f"  {title}, without a collector (delivery live)", least[f"live{name}"] - base, "us"))
            report.add(Figure(f"  {title}, the bare guest", base, "us"))
        report.add(
            Figure("instance: memory touched, above the bare guest", our_kb - bare_kb, "KB", bound=Bound(most=1024))
        )
        report.add(Figure("  instance: memory touched, the bare guest", bare_kb, "KB"))


def _link(report: Report, ours: Ours, bare: _Bare) -> None:
    """Time to have a collector, without all else that a bridge does for an instance."""
    linked = _Linked(ours).instances
    begun = functools.partial(linked, begin=True)
    timed = time_together({"bare": bare.instances, "linked": linked, "begun": begun}, repeats=30, most=500)
    least = {name: found.least_us for name, found in timed.items()}
    title = "instance: a collector in its store, linked to the guest, and its end, above the bare guest"
    report.add(Figure(title, least["linked"] - least["bare"], "us", bound=Bound(most=60)))
    title = "  instance: what more it takes when the guest first tells something"
    report.add(Figure(title, least["begun"] - least["linked"], "us"))


def _kb_each(make: Callable[[], object], kept: list[object], count: int = 200) -> float:
    """Make things, and say what memory each takes. They are kept, or the next would live in what they leave."""
    kept.append(make())
    before = rss_kb()
    kept.extend(make() for _ in range(count))
    return (rss_kb() - before) / count


def growth_by_open_spans(report: Report) -> None:
    """A span while many others are open."""
    report.title("Spans while others are open")
    with ExitStack() as stack:
        functions: dict[str, Callable[[int], object]] = {}
        empty: dict[str, Callable[[int], object]] = {}
        for count in _OPEN:
            ours = Ours()
            stack.callback(ours.close)
            # The span that is measured is open, too.
            if count > 1:
                ours.instance.call("open", count - 1)
            functions[f"{count}"] = ours.encoded("span", comes_out=True)
            empty[f"{count}"] = ours.encoded("loop")
        timed = time_together(functions, empty=empty, repeats=25)
        first = timed[f"{_OPEN[0]}"].least_ns
        for count in _OPEN:
            each = timed[f"{count}"].least_ns
            if count == _OPEN[0]:
                report.add(Figure("span, nothing else open", each, "ns"))
            else:
                report.add(Figure(f"span, {count:,} open", each, "ns", "nothing else open", first, _FLAT))


def growth_by_instances(report: Report) -> None:
    """Spans in one of many instances, and in all of them in turn."""
    report.title(
        f"Spans in many instances, each in a store of its own ({_VISIT} spans a call, whose own cost is taken away)"
    )
    with ExitStack() as stack:
        functions: dict[str, Callable[[int], object]] = {}
        empty: dict[str, Callable[[int], object]] = {}
        for count in _INSTANCES:
            ours = Ours()
            stack.callback(ours.close)
            made = [ours.instance, *(ours.said_some(ours.instantiate()) for _ in range(count - 1))]
            for title, visited in ((f"one of {count}", made[:1]), (f"{count} in turn", made)):
                functions[title] = _visits(visited, "span")
                empty[title] = _visits(visited, "loop")
        timed = time_together(functions, empty=empty, repeats=25)
        first = timed[f"one of {_INSTANCES[0]}"].least_ns
        report.add(Figure("span in the only instance", first, "ns"))
        for count in _INSTANCES[1:]:
            one, turn = timed[f"one of {count}"].least_ns, timed[f"{count} in turn"].least_ns
            report.add(Figure(f"span in one of {count:,} instances", one, "ns", "the only one", first, _FLAT))
            report.add(Figure(f"span in {count:,} instances in turn", turn, "ns", "the only one", first, _IN_TURN))


def _visits(visited: Sequence[GuestInstance], export: str) -> Callable[[int], object]:
    """Call an export of each instance in turn; a next run goes on where this one ended."""
    instances = itertools.cycle(visited)

    def run(times: int) -> None:
        for instance in itertools.islice(instances, times // _VISIT):
            instance.call(export, _VISIT)

    return run
