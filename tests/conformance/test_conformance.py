"""Every guest tells OpenTelemetry the same, whatever language it is written in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conformance.guests import GUESTS, Guest, module
from tests.conformance.performance import MEASURED, perform
from tests.conformance.picture import Json
from tests.conformance.recorder import use_counting_clock

_EXPECTED = Path(__file__).parent / "expected"
_SCENARIOS = sorted(path.stem for path in _EXPECTED.glob("*.json"))


_PERFORMANCES = [
    pytest.param(guest, scenario, id=f"{guest.name}-{scenario}")
    for guest in GUESTS
    for scenario in (_SCENARIOS if guest.scenarios is None else sorted(guest.scenarios))
]
_ALL = pytest.mark.parametrize(("guest", "scenario"), _PERFORMANCES)
_BINDINGS = pytest.mark.parametrize("native", [True, False], ids=["native", "public"])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    use_counting_clock(monkeypatch)


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
    @_BINDINGS
    def test_scenario(self, guest: Guest, native: bool, scenario: str) -> None:
        """The guest's logs, spans and metrics are those of the expected picture, and in its order."""
        performance = perform(guest, scenario, native=native)
        assert lines(performance.picture()) == lines(expected_picture(guest, scenario))
        assert (performance.error is not None) == (scenario == "trap")


class TestTenant:
    """The tenant that the host names."""

    @_ALL
    def test_everything_carries_the_tenant(self, guest: Guest, scenario: str) -> None:
        """Each span, log record and measurement has the tenant, and is otherwise the same as without one."""
        picture = perform(guest, scenario, native=True, tenant="acme & sons").picture()
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
    @_BINDINGS
    def test_cost(self, guest: Guest, native: bool, scenario: str) -> None:
        """What the call cost stands on its span: CPU time, time in host functions, and memory in whole pages."""
        attributes = perform(guest, scenario, native=native).call.attributes or {}
        cpu, host, memory = (attributes[key] for key in MEASURED)
        assert isinstance(cpu, int) and isinstance(host, int) and isinstance(memory, int)
        assert cpu >= 0
        assert host > 0
        assert memory > 0 and memory % 65_536 == 0

    @pytest.mark.parametrize("guest", [g for g in GUESTS if g.scenarios is None], ids=lambda guest: guest.name)
    @_BINDINGS
    def test_trap(self, guest: Guest, native: bool) -> None:
        """A trap's reason, code and backtrace stand on the call's span and on the span that it left open."""
        performance = perform(guest, "trap", native=native)
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
    def test_call_site(self, guest: Guest, scenario: str) -> None:
        """Each log record and span names the line of the guest's source that it comes from."""
        performance = perform(guest, scenario, native=True)
        said = [(str(record.log_record.body), record.log_record.attributes or {}) for record in performance.logs]
        said += [(span.name, span.attributes or {}) for span in performance.spans if span.name not in _NO_PLACE]
        for text, attributes in said:
            assert spelled(text) in statement(guest, attributes), text

    def test_rust_panic(self) -> None:
        """A panic's exception event names the line that panicked."""
        (guest,) = [guest for guest in GUESTS if guest.name == "rust"]
        (doomed,) = perform(guest, "trap", native=True).spans
        assert 'panic!("boom")' in statement(guest, doomed.events[0].attributes or {})

    def test_assemblyscript_abort(self) -> None:
        """An abort's stack names the line and column that threw."""
        (guest,) = [guest for guest in GUESTS if guest.name == "assemblyscript"]
        (doomed,) = perform(guest, "trap", native=True).spans
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
