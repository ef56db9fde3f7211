"""Every guest tells OpenTelemetry the same, whatever language it is written in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.guests import GUESTS, Guest, module
from tests.conformance.performance import MEASURED, perform
from tests.conformance.picture import Json
from tests.conformance.recorder import use_counting_clock

_EXPECTED = Path(__file__).parent / "expected"
_SCENARIOS = sorted(path.stem for path in _EXPECTED.glob("*.json"))


@pytest.fixture(params=GUESTS, ids=lambda guest: guest.name)
def guest(request: pytest.FixtureRequest) -> Guest:
    found: Guest = request.param
    return found


@pytest.fixture(params=[True, False], ids=["native", "public"])
def native(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    use_counting_clock(monkeypatch)


def expected_picture(scenario: str, guest: Guest) -> Json:
    text = (_EXPECTED / f"{scenario}.json").read_text(encoding="utf-8")
    picture: Json = json.loads(text.replace("<version>", version("wasmscope")).replace("<panic>", guest.panic))
    return picture


def lines(picture: Json) -> list[str]:
    """Write a picture so that 1, 1.0 and true differ, and pytest shows what does."""
    return json.dumps(picture, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


class TestPicture:
    """What each scenario tells, compared with the picture written by hand."""

    def test_scenarios_are_those_listed(self) -> None:
        """Each scenario of the README has a picture, and each picture a scenario."""
        table = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
        listed = [row.split("`")[1] for row in table.splitlines() if row.startswith("| `")]
        assert sorted(listed) == _SCENARIOS

    def test_guest_has_all_scenarios(self, guest: Guest) -> None:
        """A guest exports a function without parameters and results for each scenario."""
        exports = {item.name: item.type for item in module(guest).exports}
        assert set(_SCENARIOS) <= set(exports)
        for name in _SCENARIOS:
            kind: Any = exports[name]
            assert (list(kind.params), list(kind.results)) == ([], []), name

    @pytest.mark.parametrize("scenario", _SCENARIOS)
    def test_scenario(self, guest: Guest, native: bool, scenario: str) -> None:
        """The guest's logs, spans and metrics are those of the expected picture, and in its order."""
        performance = perform(guest, scenario, native=native)
        assert lines(performance.picture()) == lines(expected_picture(scenario, guest))
        assert (performance.error is not None) == (scenario == "trap")


class TestTenant:
    """The tenant that the host names."""

    @pytest.mark.parametrize("scenario", _SCENARIOS)
    def test_everything_carries_the_tenant(self, guest: Guest, scenario: str) -> None:
        """Each span, log record and measurement has the tenant, and is otherwise the same as without one."""
        picture = perform(guest, scenario, native=True, tenant="acme & sons").picture()
        for carrier in carriers(picture):
            assert carrier["attributes"].pop("wasm.tenant") == "acme & sons"
            if not carrier["attributes"]:
                del carrier["attributes"]
        assert lines(picture) == lines(expected_picture(scenario, guest))


def carriers(picture: Json) -> Iterator[Json]:
    yield from picture["spans"]
    yield from picture.get("logs", ())
    for metric in picture.get("metrics", ()):
        yield from metric["points"]


class TestCall:
    """The span of the call around a scenario, where it is not the same twice."""

    @pytest.mark.parametrize("scenario", _SCENARIOS)
    def test_cost(self, guest: Guest, native: bool, scenario: str) -> None:
        """What the call cost stands on its span: CPU time, time in host functions, and memory in whole pages."""
        attributes = perform(guest, scenario, native=native).call.attributes or {}
        cpu, host, memory = (attributes[key] for key in MEASURED)
        assert isinstance(cpu, int) and isinstance(host, int) and isinstance(memory, int)
        assert cpu >= 0
        assert host > 0
        assert memory > 0 and memory % 65_536 == 0

    def test_trap(self, guest: Guest, native: bool) -> None:
        """A trap's exception event has the reason and a backtrace, on the call's span and on the span left open."""
        performance = perform(guest, "trap", native=native)
        for span in (performance.call, *performance.spans):
            attributes = span.events[-1].attributes or {}
            assert attributes["exception.type"] == "wasm.trap"
            assert str(attributes["exception.message"])
            assert "wasm" in str(attributes["exception.stacktrace"])
