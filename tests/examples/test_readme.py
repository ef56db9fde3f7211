"""What the main README says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.examples.normal import normal
from tests.examples.test_examples import EXAMPLES
from tests.support.cli import run_command
from tests.support.telemetry import Telemetry

ROOT = EXAMPLES.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HANDLE = '(module (func (export "handle") (param i32)) (func (export "_start")))'


def block(language: str) -> str:
    """The first block of a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


class TestReadme:
    def test_demo(self) -> None:
        """The picture is what the demo prints, ids and durations apart."""
        expected = (EXAMPLES / "demo" / "expected.txt").read_text(encoding="utf-8")
        start = expected.index("trace ", expected.index("What happened"))
        shown = expected[start : expected.index("\nNext, run")]

        assert normal(block("text")).strip().splitlines() == normal(shown).strip().splitlines()

    def test_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The lines for a program work on an engine, a linker, a store and a module."""
        telemetry = Telemetry()
        engine = wasmtime.Engine()
        names: dict[str, Any] = {
            "linker": wasmtime.Linker(engine),
            "store": wasmtime.Store(engine),
            "module": wasmtime.Module(engine, HANDLE),
        }
        code = block("python").replace("Bridge()", "make_bridge()")
        names["make_bridge"] = telemetry.bridge
        exec(code, names)

        span = telemetry.span("wasm.call handle")
        assert dict(span.attributes or {})["wasm.tenant"] == "acme"

    @pytest.mark.parametrize("number", range(4))
    def test_commands(self, tmp_path: Path, number: int) -> None:
        """The commands run a module."""
        module = tmp_path / "plugin.wasm"
        module.write_bytes(wasmtime.wat2wasm(HANDLE))
        lines = [line.partition("  #")[0].strip() for line in block("sh").splitlines()]
        command = [line for line in lines if "wasmscope run" in line][number]
        variables, _, arguments = command.partition("wasmscope ")
        words = [str(module) if word == "plugin.wasm" else word for word in arguments.split()]
        environment = dict(pair.split("=", 1) for pair in variables.split())

        finished = run_command(*words, **environment)

        assert finished.exit_code == 0, finished.stderr
        assert "wasm.call" in finished.stdout + finished.stderr
