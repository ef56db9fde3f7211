"""Python programs of the tests, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def run_program(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that may import what tests may.

    Python warns of each fork in a program with threads; the programs here do that on purpose.
    """
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
    )
