"""``wasmscope doctor`` in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import COMMAND, clean_environment, run_command
from wasmscope.cli import main

FIXTURES = Path(__file__).parents[1] / "fixtures/dwarf"
RIGHT = FIXTURES / "c/O1-build-id.wasm"
STALE = FIXTURES / "derived/npm-wasm-opt.wasm"
STRIPPED = FIXTURES / "c/O1-build-id-stripped.wasm"
DOCUMENT = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def json_of(*arguments: str | Path, exit_code: int = 0) -> dict[str, Any]:
    found = run_command("doctor", "--json", *arguments)
    assert (found.exit_code, found.stderr) == (exit_code, "")
    parsed: dict[str, Any] = json.loads(found.stdout)
    return parsed


class TestText:
    def test_trustworthy(self) -> None:
        """The verdict comes first, then a line for each finding; the exit code is 0."""
        found = run_command("doctor", RIGHT)

        first, *lines = found.stdout.splitlines()
        assert (found.exit_code, found.stderr) == (0, "")
        assert first == f"{RIGHT}: trustworthy: lines and inlined calls come from the DWARF in the module"
        assert lines
        assert all(re.match("(error|warning|note): ", line) for line in lines)

    def test_not_trustworthy(self) -> None:
        """Wrong lines are said first, with something to try; the exit code is 1."""
        found = run_command("doctor", STALE)

        first, second, *_ = found.stdout.splitlines()
        assert found.exit_code == 1
        assert first.startswith(f"{STALE}: not trustworthy: ")
        assert second.startswith("error: ") and "; try: " in second

    def test_component(self) -> None:
        """Findings of a component stand under the module that they are about, and where that is."""
        lines = run_command("doctor", FIXTURES / "component/component.wasm").stdout.splitlines()

        heads = [line for line in lines[1:] if not line.startswith("  ")]
        assert [line.partition(",")[0] for line in heads] == ["module 0", "module 1", "module 2"]
        assert heads[0] == "module 0, at byte 0x25, with 347 bytes of code:"

    def test_colour(self) -> None:
        """There is colour on a terminal, and NO_COLOR takes it away."""
        leader, follower = pty.openpty()
        for extra, expected in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            environment = clean_environment(TERM="xterm") | extra
            done = subprocess.run([*COMMAND, "doctor", RIGHT], stdout=follower, env=environment, timeout=60)
            text = os.read(leader, 100_000)
            assert done.returncode == 0
            assert (b"\x1b[" in text) == expected
        os.close(leader)
        os.close(follower)
        assert "\x1b" not in run_command("doctor", RIGHT).stdout


class TestOptions:
    def test_debug_file(self) -> None:
        """A stripped module is trustworthy with its debug file, and not with another one."""
        own = run_command("doctor", "--debug-file", FIXTURES / "c/O1-build-id-debug-only.wasm", STRIPPED)
        other = run_command("doctor", "--debug-file", FIXTURES / "c/O2-dwarf5.wasm", STRIPPED)

        assert (own.exit_code, other.exit_code) == (0, 1)
        assert "is of another build" in other.stdout

    def test_debug_path(self, tmp_path: Path) -> None:
        """A store is named by an option or the environment; what debug split puts there is found."""
        store = tmp_path / "store"
        run_command("debug", "split", RIGHT, "-o", tmp_path / "m.wasm", "--store", store)

        assert run_command("doctor", tmp_path / "m.wasm").exit_code == 1
        assert run_command("doctor", "--debug-path", store, tmp_path / "m.wasm").exit_code == 0
        assert run_command("doctor", tmp_path / "m.wasm", WASMSCOPE_DEBUG_PATH=str(store)).exit_code == 0

    def test_map(self) -> None:
        """Source files that lie elsewhere are found where --map says."""
        there = json_of("--map", f"/src/c={FIXTURES}/c", RIGHT)
        gone = json_of(RIGHT)

        assert there["modules"][0]["sources"] == {"total": 3, "missing": []}
        assert len(gone["modules"][0]["sources"]["missing"]) == 3

    def test_source_map(self, tmp_path: Path) -> None:
        """A source map that was moved can be named."""
        folder = FIXTURES / "assemblyscript"
        module = shutil.copy(folder / "release.wasm", tmp_path)

        assert run_command("doctor", module).exit_code == 1
        assert run_command("doctor", "--source-map", folder / "release.wasm.map", module).exit_code == 0


class TestJson:
    def test_schema(self) -> None:
        """The object has the keys that docs/cli.md lists, no more and no fewer."""
        table = DOCUMENT.partition("### JSON")[2].partition("\n## ")[0]
        documented = set(re.findall(r"^\| `([a-z_.]+)`", table, re.MULTILINE))

        def keys(value: Any, prefix: str) -> set[str]:
            if isinstance(value, list):
                return {key for item in value for key in keys(item, prefix)}
            if not isinstance(value, dict):
                return set()
            return {
                found for key, inner in value.items() for found in ({prefix + key} | keys(inner, f"{prefix}{key}."))
            }

        found: set[str] = set()
        for path in (RIGHT, FIXTURES / "derived/external.wasm", FIXTURES / "assemblyscript/debug.wasm"):
            found |= keys(json_of(path), "")
        assert found == documented

    def test_same_verdict(self) -> None:
        """It says the same as the text, and has the same exit code."""
        found = json_of(STALE, exit_code=1)
        text = run_command("doctor", STALE).stdout.splitlines()

        assert found["schema"] == "wasmscope.doctor/1"
        assert found["trustworthy"] is False
        assert text[0].endswith(str(found["summary"]))
        assert all(f["message"] in line for f, line in zip(found["modules"][0]["findings"], text[1:], strict=True))
        assert found["modules"][0]["dwarf"]["score"] == 0

    def test_codes(self) -> None:
        """docs/cli.md explains each finding's code that there is."""
        source = (Path(__file__).parents[2] / "dwarf/wasmscope/dwarf/_findings.py").read_text()
        codes = set(re.findall(r"(?:_error|_warning|_note|make)\(\s*\"([a-z-]+)\"", source))
        table = DOCUMENT.partition("### Findings")[2].partition("\n### ")[0]
        documented = {
            code for row in re.findall(r"^\| (`[a-z`, -]+`)", table, re.MULTILINE) for code in row.split("`")[1::2]
        }

        assert len(codes) > 15
        assert documented == codes


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "exit_code"),
        [
            ((), 2),
            (("--json",), 2),
            (("--map", "x", RIGHT), 2),
            (("--nonsense", RIGHT), 2),
            ((RIGHT, "another"), 2),
            (("none.wasm",), 127),
            ((FIXTURES,), 126),
            ((FIXTURES / "c/main.c",), 126),
            ((FIXTURES / "derived/truncated-in-code.wasm",), 126),
            ((FIXTURES / "derived/truncated-in-info.wasm",), 126),
        ],
    )
    def test_one_line(
        self, arguments: tuple[str | Path, ...], exit_code: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What cannot be done is said in one line on standard error, with its own exit code."""
        assert main(["doctor", *map(str, arguments)]) == exit_code
        written = capsys.readouterr()
        assert written.out == ""
        assert written.err.startswith("wasmscope: ")
        assert written.err.count("\n") == 1

    @pytest.mark.parametrize("path", sorted((FIXTURES / "derived").glob("*.wasm")), ids=lambda path: path.name)
    def test_damaged(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Whatever is wrong with a module, there is an answer or one line."""
        exit_code = main(["doctor", str(path)])

        written = capsys.readouterr()
        assert exit_code in (0, 1, 126)
        assert len(written.err.splitlines()) == (exit_code == 126)
        assert bool(written.out) == (exit_code != 126)

    def test_other_encodings(self, tmp_path: Path) -> None:
        """Names that standard output cannot hold do not end the command."""
        module = shutil.copy(RIGHT, tmp_path / "größe-μ.wasm")

        found = run_command("doctor", module, PYTHONIOENCODING="ascii")

        assert (found.exit_code, found.stderr) == (0, "")
        assert "gr??e-?.wasm: trustworthy" in found.stdout

    def test_help(self) -> None:
        """The help is data."""
        assert run_command("doctor", "--help").stdout.startswith("usage: wasmscope doctor")
