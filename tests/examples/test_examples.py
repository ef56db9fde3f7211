from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.normal import normal
from tests.support.cli import clean_environment, run_command

EXAMPLES = Path(__file__).parents[2] / "examples"
UPDATE = "WASMSCOPE_UPDATE_EXPECTED"
"""Set to 1, writes what the programs print now, where it differs by more than ids and durations."""

PROGRAMS = {
    "demo.py": "demo/expected.txt",
    "01_hello_rust/host.py": "01_hello_rust/expected.txt",
    "02_hello_assemblyscript/host.py": "02_hello_assemblyscript/expected.txt",
    "03_plugin_host/host.py": "03_plugin_host/expected.txt",
    "04_plain_wasi/host.py": "04_plain_wasi/expected.txt",
    "05_existing_code/after.py": "05_existing_code/expected.txt",
}


def run_program(path: str, *arguments: str, **variables: str) -> str:
    """Run a program as its README says, and give what the terminal shows."""
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / path), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=EXAMPLES.parent,
        env=clean_environment(PYTHONUNBUFFERED="1", **variables),
        timeout=120,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_output(program: str) -> None:
    """Each example prints what its expected.txt shows, ids and durations apart."""
    expected = EXAMPLES / PROGRAMS[program]
    shown = run_program(program)
    if os.environ.get(UPDATE) and (not expected.exists() or normal(expected.read_text()) != normal(shown)):
        expected.write_text(shown)

    assert normal(shown).splitlines() == normal(expected.read_text()).splitlines()


def test_every_example_is_run() -> None:
    """No example is left out above, and each has a README."""
    folders = {path.name for path in EXAMPLES.iterdir() if path.name[:2].isdigit()}

    assert folders == {name.partition("/")[0] for name in PROGRAMS} - {"demo.py"}
    assert [name for name in folders if not (EXAMPLES / name / "README.md").exists()] == []


class TestExistingCode:
    FOLDER = EXAMPLES / "05_existing_code"

    def changed(self) -> list[str]:
        before, after = ((self.FOLDER / f"{name}.py").read_text().splitlines() for name in ("before", "after"))
        return [
            line
            for line in difflib.unified_diff(before, after, lineterm="", n=0)
            if line[0] in "+-" and not line.startswith(("+++", "---")) and line[1:].strip()
        ]

    def test_three_lines_at_most(self) -> None:
        """An existing program changes by three lines at most, counting an old line and its replacement as one."""
        changed = self.changed()

        assert len([line for line in changed if line[0] == "+"]) <= 3
        assert len([line for line in changed if line[0] == "-"]) <= 3

    def test_as_the_readme_says(self) -> None:
        """The README shows just these lines."""
        assert "\n".join(["```diff", *self.changed(), "```"]) in (self.FOLDER / "README.md").read_text()

    def test_what_it_prints_stays(self) -> None:
        """What the program prints itself is the same before and after."""
        before, after = (
            [line for line in run_program(f"05_existing_code/{name}.py").splitlines() if not line.startswith("span ")]
            for name in ("before", "after")
        )

        assert before == after == ["27: 111 steps", "-1: no walk (TrapCode.UNREACHABLE)"]


class TestPropagation:
    def test_header(self) -> None:
        """The traceparent that the service prints is that of the trace which the shop shows, with a span within it."""
        lines = run_program("03_plugin_host/host.py").splitlines()
        received = [line.rpartition(" ")[2].split("-")[1] for line in lines if line.startswith("rates:")]
        shown = [line.split()[1] for line in lines if line.startswith("trace ")]

        assert len(received) == 2
        assert received == shown


class TestCommand:
    """The command lines of the READMEs."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--invoke", "hello", "01_hello_rust/guest.wasm", "4"), "Hello, Grace!"),
            (("--invoke", "hello", "02_hello_assemblyscript/guest.wasm", "4"), "not everybody was greeted"),
            (("--tenant", "acme", "--invoke", "quote", "03_plugin_host/acme/acme.wasm", "1", "2500"), "flat rate"),
            (("04_plain_wasi/guest.wasm", "9"), "4 lines, 20 words"),
            (("--invoke", "steps", "05_existing_code/guest.wat", "27"), "wasm.call steps"),
        ],
    )
    def test_run(self, arguments: tuple[str, ...], words: str) -> None:
        """Each guest that needs nothing of its host program runs by itself, too."""
        placed = [str(EXAMPLES / a) if "/" in a else a for a in arguments]
        found = run_command("run", *placed, stdin=(EXAMPLES / "04_plain_wasi/input.txt").read_text())

        assert found.exit_code == 0
        assert words in found.stderr
