"""The AssemblyScript SDK: its aborts, each of the language's runtimes, and its own tests.

What all SDKs have in common is in tests/conformance; here is what only AssemblyScript has.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry.sdk.trace import ReadableSpan

from tests.conformance.guests import Guest
from tests.conformance.performance import perform
from tests.conformance.recorder import use_counting_clock

_ROOT = Path(__file__).parents[2]
_GUESTS = _ROOT / "tests" / "guests" / "assemblyscript"
_SDK = _ROOT / "guest_sdk" / "assemblyscript"
_EXPECTED = _ROOT / "tests" / "conformance" / "expected"
_PREBUILT = Guest("assemblyscript", "assemblyscript", "conformance.wasm", panic="abort")
_SDK_ABORT = ("--use", "abort=~lib/wasmscope/index/abort")


def node(*command: str | Path, folder: Path) -> str:
    """Run a command with Node.js and the SDK's packages; where there is no Node.js, skip the test."""
    script = """
        . script/_common.sh
        use_toolchains
        if node_problem; then exit 77; fi
        cd guest_sdk/assemblyscript
        npm_ci
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


Compile = Callable[..., Guest]


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compile:
    """A function that compiles the conformance guest with other options than the prebuilt one has."""
    # That is for prebuilt guests.
    monkeypatch.delenv("WASMSCOPE_GUESTS_DIR", raising=False)

    def compile_guest(*options: str) -> Guest:
        path = tmp_path / "conformance.wasm"
        compiler = _SDK / "script" / "asc.sh"
        node("sh", compiler, "assembly/index.ts", "--outFile", path, "--debug", *options, folder=_GUESTS)
        return Guest("assemblyscript", "assemblyscript", str(path), panic="abort")

    return compile_guest


def exception(span: ReadableSpan) -> dict[str, Any]:
    """Give the first exception of a span."""
    return dict(next(event.attributes or {} for event in span.events if event.name == "exception"))


def assert_boom(reported: Mapping[str, Any]) -> None:
    """Check what was reported about the guest's one ``throw``."""
    place = re.fullmatch(r"(.+):(\d+):(\d+)", reported["exception.stacktrace"])
    assert place is not None
    path, line, column = place.groups()
    text = (_GUESTS / path).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert text[int(column) - 1 :] == 'throw new Error("boom");'
    assert reported == {
        "exception.type": "abort",
        "exception.message": "boom",
        "exception.stacktrace": f"{path}:{line}:{column}",
        "code.file.path": path,
        "code.line.number": int(line),
        "code.column.number": int(column),
    }


class TestAbort:
    """Aborts, as `throw` makes them."""

    def test_reported_by_the_sdk(self) -> None:
        """With the SDK's `abort`, message and place are reported before the guest traps, without any other import."""
        performance = perform(_PREBUILT, "trap")
        (doomed,) = performance.spans
        assert_boom(exception(doomed))
        assert isinstance(performance.error, wasmtime.Trap)
        assert performance.error.trap_code is wasmtime.TrapCode.UNREACHABLE

    def test_reported_by_the_host(self, compiled: Compile) -> None:
        """Without it, the host serves `env.abort` and reports the same."""
        (doomed,) = perform(compiled("-O3"), "trap").spans
        assert_boom(exception(doomed))

    def test_not_reported(self, compiled: Compile) -> None:
        """With aborts switched off, there is only the trap."""
        (doomed,) = perform(compiled("-O3", "--use", "abort="), "trap").spans
        assert exception(doomed)["exception.type"] == "wasm.trap"


class TestRuntimes:
    """The runtimes among which a program can choose."""

    @pytest.mark.parametrize(
        ("runtime", "optimization"), [("incremental", "-Osize"), ("minimal", "-O3"), ("stub", "-O3")]
    )
    def test_scenarios(
        self, runtime: str, optimization: str, compiled: Compile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The conformance scenarios tell the same with each."""
        use_counting_clock(monkeypatch)
        guest = compiled("--runtime", runtime, optimization, *_SDK_ABORT)
        scenarios = sorted(path.stem for path in _EXPECTED.glob("*.json"))
        assert scenarios
        for scenario in scenarios:
            text = (_EXPECTED / f"{scenario}.json").read_text(encoding="utf-8")
            expected = json.loads(text.replace("<version>", version("wasmscope")).replace("<panic>", guest.panic))
            assert perform(guest, scenario).picture() == expected, scenario


class TestOwn:
    """The package's own checks. They need Node.js: `script/setup toolchains`."""

    def test_package(self) -> None:
        """Its tests pass: the encoder against tests/vectors, its README in a new project, the sizes of modules."""
        said = node("npm", "test", folder=_SDK)
        assert re.search(r"^# pass [1-9]", said, re.MULTILINE)
        assert re.search(r"^# fail 0$", said, re.MULTILINE)
        assert "| everything" in said

    def test_lock_names_no_registry(self) -> None:
        """The lock file is good with any registry."""
        lock = json.loads((_SDK / "package-lock.json").read_text(encoding="utf-8"))
        assert len(lock["packages"]) > 3
        assert not [name for name, package in lock["packages"].items() if "resolved" in package]
