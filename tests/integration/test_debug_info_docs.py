"""What docs/debug-info.md shows is what the commands print."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.support.cli import COMMAND, clean_environment

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests/fixtures/dwarf"
EXAMPLE = re.compile(r"^    \$ wasmscope (.+)\n((?:    .+\n)+)", re.MULTILINE)


def test_examples(tmp_path: Path) -> None:
    """Every example of the document, run in its order, prints what stands there."""
    shutil.copy(FIXTURES / "c/O1-build-id.wasm", tmp_path / "app.wasm")
    shutil.copy(FIXTURES / "derived/npm-wasm-opt.wasm", tmp_path / "optimized.wasm")
    (tmp_path / "dist").mkdir()
    examples = EXAMPLE.findall((ROOT / "docs/debug-info.md").read_text())

    printed = [
        subprocess.run(
            [*COMMAND, *shlex.split(command)],
            cwd=tmp_path,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        ).stdout
        for command, _ in examples
    ]

    assert len(examples) == 4
    assert printed == [re.sub("^    ", "", output, flags=re.MULTILINE) for _, output in examples]
