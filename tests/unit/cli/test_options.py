from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmscope.cli._exits import CommandError
from wasmscope.cli._options import Limits, RunOptions, parse


def options(*arguments: str, environ: dict[str, str] | None = None) -> RunOptions:
    found = parse(arguments, environ or {})
    assert isinstance(found, RunOptions)
    return found


def message(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        parse(arguments, {})
    assert caught.value.exit_code == 2
    return str(caught.value)


class TestGuestsShare:
    def test_after_the_module(self) -> None:
        """Whatever follows MODULE is the guest's, also what looks like an option of ours."""
        found = options("-q", "m.wasm", "-v", "--otlp", "--", "x")

        assert found.module == "m.wasm"
        assert found.arguments == ("-v", "--otlp", "--", "x")
        assert (found.quiet, found.verbose, found.otlp) == (True, False, False)

    def test_dashes(self) -> None:
        """Two dashes end our options, so that a module's name may begin with a dash."""
        found = options("-q", "--", "-m.wasm", "x")

        assert (found.module, found.arguments) == ("-m.wasm", ("x",))

    @given(st.lists(st.text()))
    def test_unchanged(self, words: list[str]) -> None:
        """The guest's arguments arrive as they are."""
        assert options("m", *words).arguments == tuple(words)

    def test_values_that_begin_with_a_dash(self) -> None:
        """An option's value is its value, whatever it begins with."""
        assert options("--name", "-x", "--invoke", "--y", "m").name == "-x"
        assert options("--name", "-x", "--invoke", "--y", "m").invoke == "--y"


class TestOtlp:
    @pytest.mark.parametrize(
        ("words", "otlp", "module"),
        [
            (["m.wasm"], False, "m.wasm"),
            (["--otlp", "m.wasm"], True, "m.wasm"),
            (["--otlp", "./x/m.wasm"], True, "./x/m.wasm"),
            (["--otlp", "-q", "m.wasm"], True, "m.wasm"),
            (["--otlp=", "m.wasm"], True, "m.wasm"),
            (["--otlp", "http://h:4318", "m.wasm"], "http://h:4318", "m.wasm"),
            (["--otlp", "localhost:4317", "m.wasm"], "localhost:4317", "m.wasm"),
            (["--otlp", "[::1]:4317", "m.wasm"], "[::1]:4317", "m.wasm"),
            (["--otlp=collector", "m.wasm"], "collector", "m.wasm"),
        ],
    )
    def test_endpoint_or_module(self, words: list[str], otlp: str | bool, module: str) -> None:
        """An endpoint after ``--otlp`` is told from the module by how it looks."""
        found = options(*words)

        assert (found.otlp, found.module) == (otlp, module)


class TestAsWasmtime:
    def test_directories(self) -> None:
        """A folder is seen under its own path, or under the one after two colons."""
        assert options("--dir", "a", "--dir=b::/c", "m").directories == (("a", "a"), ("b", "/c"))

    def test_variables(self) -> None:
        """A variable has the value given, or else the one it has here; values may have equals signs."""
        found = options("--env", "A=1=2", "--env", "B", "--env=C=", "m", environ={"B": "b"})

        assert found.environment == (("A", "1=2"), ("B", "b"), ("C", ""))

    def test_limits(self) -> None:
        """Limits come in one -W or in several, durations with their unit."""
        found = options("-W", "fuel=5,timeout=1500ms", "-Wmax-memory-size=65536", "m")

        assert found.limits == Limits(fuel=5, timeout_s=1.5, max_memory_bytes=65536)

    @pytest.mark.parametrize(("text", "seconds"), [("2", 2), ("2s", 2), ("0.5s", 0.5), ("3m", 180), ("250us", 0.00025)])
    def test_durations(self, text: str, seconds: float) -> None:
        """A duration without unit is in seconds."""
        assert options("-W", f"timeout={text}", "m").limits.timeout_s == pytest.approx(seconds)


class TestDelivery:
    @pytest.mark.parametrize("name", ["otlp", "sdk", "live"])
    def test_named(self, name: str) -> None:
        """A delivery is named in the word after the option, or behind an equals sign."""
        assert options("--delivery", name, "m.wasm").delivery == name
        assert options(f"--delivery={name}", "m.wasm").delivery == name

    def test_none(self) -> None:
        """If none is named, it is for others to choose."""
        assert options("m.wasm").delivery is None


class TestWrong:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "which MODULE?"),
            (["-q"], "which MODULE?"),
            (["--bogus", "m"], "--bogus"),
            (["--quie", "m"], "--quie"),
            (["--name"], "--name"),
            (["--dir", "::x", "m"], "'::x'"),
            (["--dir", "x::", "m"], "'x::'"),
            (["--env", "=x", "m"], "'=x'"),
            (["--env", "NIX", "m"], "--env NIX=VAL"),
            (["-W", "fuel=-1", "m"], "whole number"),
            (["-W", "fuel=" + "9" * 5000, "m"], "whole number"),
            (["-W", "fuel", "m"], "whole number"),
            (["-W", "timeout=0", "m"], "duration"),
            (["-W", "timeout=nan", "m"], "duration"),
            (["-W", "timeout=" + "9" * 400, "m"], "duration"),
            (["-W", "speed=9", "m"], "fuel=N"),
            (["-W", "", "m"], "fuel=N"),
            (["--delivery", "fast", "m"], "'fast'"),
            (["--delivery", "OTLP", "m"], "'OTLP'"),
            (["--delivery"], "--delivery"),
        ],
    )
    def test_one_line_and_what_to_try(self, words: list[str], said: str) -> None:
        """What cannot be understood is named, with a way out, and the exit code is 2."""
        text = message(*words)

        assert said in text
        assert "wasmscope run --help" in text
        assert "\n" not in text

    def test_help(self) -> None:
        """Help is asked for before anything else is checked, and names every option once."""
        text = parse(["-h"], {})

        assert isinstance(text, str)
        for option in ("--invoke", "--dir", "--env", "--wasm", "--otlp", "--json", "--quiet", "--verbose"):
            assert text.count(f"{option} ") + text.count(f"{option}\n") >= 1
