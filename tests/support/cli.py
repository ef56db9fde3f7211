"""Running the command as people do: in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["COMMAND", "Finished", "clean_environment", "run_command"]

COMMAND = (sys.executable, "-m", "wasmscope")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a process left behind."""

    exit_code: int
    stdout: str
    stderr: str


def clean_environment(**variables: str) -> dict[str, str]:
    """This environment without what would change the command's behaviour, and with some variables."""
    inherited = {k: v for k, v in os.environ.items() if not re.match("OTEL_|TRACE|BAGGAGE|NO_COLOR|FORCE_COLOR", k)}
    return {**inherited, "COLUMNS": "100", **variables}


def run_command(*arguments: str | Path, stdin: str = "", **variables: str) -> Finished:
    """Run ``wasmscope`` with arguments and environment variables, until it ends."""
    finished = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        env=clean_environment(**variables),
        timeout=60,
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)
