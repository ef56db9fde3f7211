"""Every guest tells OpenTelemetry the same, whatever language it is written in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from tests.conformance.guests import GUESTS, Guest, module
from tests.conformance.performance import MEASURED, Performance, Way, perform
from tests.conformance.picture import Json
from tests.conformance.recorder import use_counting_clock
from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver

_EXPECTED = Path(__file__).parent / "expected"
_SCENARIOS = sorted(path.stem for path in _EXPECTED.glob("*.json"))


_PERFORMANCES = [
    pytest.param(guest, scenario, id=f"{guest.name}-{scenario}")
    for guest in GUESTS
    for scenario in (_SCENARIOS if guest.scenarios is None else sorted(guest.scenarios))
]
_ALL = pytest.mark.parametrize(("guest", "scenario"), _PERFORMANCES)
_WAYS = pytest.mark.parametrize("way", get_args(Way))
_DELIVERIES = pytest.mark.parametrize("way", ["live", "sdk", "otlp"])


class Stage:
    """Where guests perform."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
        self._monkeypatch = monkeypatch
        self._receiver = receiver

    def perform(self, guest: Guest, scenario: str, way: Way = "live", *, tenant: str | None = None) -> Performance:
        if way.startswith("live"):
            # The collector has a clock of its own, and finer than what a guest can do between two looks at it.
            use_counting_clock(self._monkeypatch)
        self._receiver.requests.clear()
        receiver = self._receiver if way == "otlp" else None
        return perform(guest, scenario, way=way, tenant=tenant, receiver=receiver)


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver("http/protobuf") as running:
        yield running


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> Stage:
    return Stage(monkeypatch, receiver)


def expected_picture(guest: Guest, scenario: str) -> Json:
    text = (_EXPECTED / f"{scenario}.json").read_text(encoding="utf-8")
    for word, meaning in {
        "<version>": version("wasmscope"),
        "<panic>": guest.panic,
        f"wasm.call {scenario}": f"wasm.call {guest.export(scenario)}",
        f'"code.function.name": "{scenario}"': f'"code.function.name": "{guest.export(scenario)}"',
    }.items():
        text = text.replace(word, meaning)
    picture: Json = json.loads(text)
    leave_out(picture, guest.lacks)
    return picture


def leave_out(picture: Json, what: frozenset[str]) -> None:
    """Take out of a picture what a guest's language cannot express."""
    picture["order"] = [moment for moment in picture["order"] if moment.split(" ", 1)[1] not in what]
    picture["spans"] = [span for span in picture["spans"] if span["name"] not in what]
    picture["logs"] = [log for log in picture.get("logs", ()) if str(log["body"]) not in what]
    if not picture["logs"]:
        del picture["logs"]
    for carrier in carriers(picture):
        for key in what & carrier.get("attributes", {}).keys():
            del carrier["attributes"][key]
    if "many" in what:
        # Only that span sends something unusable.
        picture.pop("rejected", None)


def carriers(picture: Json) -> Iterator[Json]:
    yield from picture["spans"]
    yield from picture.get("logs", ())
    for metric in picture.get("metrics", ()):
        yield from metric["points"]


def lines(picture: Json) -> list[str]:
    """Write a picture so that 1, 1.0 and true differ, and pytest shows what does."""
    return json.dumps(picture, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


class TestScenarios:
    """The list, the pictures and the guests belong together."""

    def test_scenarios_are_those_listed(self) -> None:
        """Each scenario of the README has a picture, and each picture a scenario."""
        table = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
        listed = [row.split("`")[1] for row in table.splitlines() if row.startswith("| `")]
        assert sorted(listed) == _SCENARIOS

    @pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.name)
    def test_guest_has_the_scenarios(self, guest: Guest) -> None:
        """A guest exports a function without parameters and results for each scenario that it can express."""
        exports = {item.name: item.type for item in module(guest).exports}
        found: set[str] = set()
        for scenario in _SCENARIOS:
            kind: Any = exports.get(guest.export(scenario))
            if kind is not None:
                found.add(scenario)
                assert (list(kind.params), list(kind.results)) == ([], []), scenario
        assert found == (set(_SCENARIOS) if guest.scenarios is None else guest.scenarios)


class TestPicture:
    """What each scenario tells, compared with the picture written by hand."""

    @_ALL
    @_WAYS
    def test_scenario(self, stage: Stage, guest: Guest, way: Way, scenario: str) -> None:
        """The guest's logs, spans and metrics are those of the expected picture, and in its order."""
        performance = stage.perform(guest, scenario, way)
        assert lines(performance.picture()) == lines(expected_picture(guest, scenario))
        assert (performance.error is not None) == (scenario == "trap")


class TestTenant:
    """The tenant that the host names."""

    @_ALL
    @_DELIVERIES
    def test_everything_carries_the_tenant(self, stage: Stage, guest: Guest, way: Way, scenario: str) -> None:
        """Each span, log record and measurement has the tenant, and is otherwise the same as without one."""
        picture = stage.perform(guest, scenario, way, tenant="acme & sons").picture()
        for carrier in carriers(picture):
            assert carrier["attributes"].pop("wasm.tenant") == "acme & sons"
            if not carrier["attributes"]:
                del carrier["attributes"]
        expected = expected_picture(guest, scenario)
        if "rejected" in expected:
            # The last of a span's 128 attributes makes room.
            del expected["spans"][-1]["attributes"]["a127"]
            expected["rejected"]["attribute_count"] += 1
        assert lines(picture) == lines(expected)


class TestCall:
    """The span of the call around a scenario, where it is not the same twice."""

    @_ALL
    @_WAYS
    def test_cost(self, stage: Stage, guest: Guest, way: Way, scenario: str) -> None:
        """What the call cost stands on its span: CPU time, time in host functions, and memory in whole pages."""
        attributes = stage.perform(guest, scenario, way).call.attributes or {}
        cpu, host, memory = (attributes[key] for key in MEASURED)
        assert isinstance(cpu, int) and isinstance(host, int) and isinstance(memory, int)
        assert cpu >= 0
        # A collector is no host function.
        assert host > 0 if way.startswith("live") else host >= 0
        assert memory > 0 and memory % 65_536 == 0

    @pytest.mark.parametrize("guest", [g for g in GUESTS if g.scenarios is None], ids=lambda guest: guest.name)
    @_WAYS
    def test_trap(self, stage: Stage, guest: Guest, way: Way) -> None:
        """A trap's reason, code and backtrace stand on the call's span and on the span that it left open."""
        performance = stage.perform(guest, "trap", way)
        assert (performance.call.attributes or {})["wasm.trap.code"] == "unreachable"
        for span in (performance.call, *performance.spans):
            attributes = span.events[-1].attributes or {}
            assert attributes["exception.type"] == "wasm.trap"
            assert attributes["exception.message"] == "wasm `unreachable` instruction executed"
            assert attributes["wasm.trap.code"] == "unreachable"
            assert "0x" in str(attributes["exception.stacktrace"])


class TestPlaces:
    """File and line, where the language's SDK knows them."""

    @pytest.mark.parametrize(
        ("guest", "scenario"), [case for case in _PERFORMANCES if cast("Guest", case.values[0]).knows_places]
    )
    @_DELIVERIES
    def test_call_site(self, stage: Stage, guest: Guest, way: Way, scenario: str) -> None:
        """Each log record and span names the line of the guest's source that it comes from."""
        performance = stage.perform(guest, scenario, way)
        said = [(str(record.log_record.body), record.log_record.attributes or {}) for record in performance.logs]
        said += [(span.name, span.attributes or {}) for span in performance.spans if span.name not in _NO_PLACE]
        for text, attributes in said:
            assert spelled(text) in statement(guest, attributes), text

    @_DELIVERIES
    def test_rust_panic(self, stage: Stage, way: Way) -> None:
        """A panic's exception event names the line that panicked."""
        (guest,) = [guest for guest in GUESTS if guest.name == "rust"]
        (doomed,) = stage.perform(guest, "trap", way).spans
        assert 'panic!("boom")' in statement(guest, doomed.events[0].attributes or {})

    @_DELIVERIES
    def test_assemblyscript_abort(self, stage: Stage, way: Way) -> None:
        """An abort's stack names the line and column that threw."""
        (guest,) = [guest for guest in GUESTS if guest.name == "assemblyscript"]
        (doomed,) = stage.perform(guest, "trap", way).spans
        file, line, column = str((doomed.events[0].attributes or {})["exception.stacktrace"]).split(":")
        source = (guest.sources / file).read_text(encoding="utf-8").splitlines()
        assert source[int(line) - 1][int(column) - 1 :] == 'throw new Error("boom");'


# A span that Rust starts without a call site, because its attributes are made at run time.
_NO_PLACE = frozenset({"many"})


def spelled(text: str) -> str:
    """Give what a statement that says a text contains."""
    if len(text) == 65_536:
        return '"x".repeat(70_000)'
    return f'"{text.removesuffix(".renamed")}"'


def statement(guest: Guest, attributes: Mapping[str, Any]) -> str:
    """Give the statement of the guest's source that begins at a place."""
    source = (guest.sources / attributes["code.file.path"]).read_text(encoding="utf-8").splitlines()
    found = ""
    for line in source[attributes["code.line.number"] - 1 :]:
        found += line + "\n"
        if line.rstrip().endswith(";"):
            break
    return found
