"""The programs in script/ explain themselves, and refuse what they do not know."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.jaeger import jaeger_place

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (REPOSITORY / "script").iterdir() if not path.name.startswith("_"))


def run(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing to read and no terminal."""
    return subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


class TestScripts:
    def test_the_known_ones(self) -> None:
        """Each has the name that the convention, or CONTRIBUTING.md, gives it."""
        assert SCRIPTS == ["bench", "demo", "fixtures", "lint", "lock", "setup", "test"]

    @pytest.mark.parametrize("name", SCRIPTS)
    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_help(self, name: str, option: str, tmp_path: Path) -> None:
        """From any folder, through a link, help says how it is used, and nothing else."""
        (tmp_path / "link").symlink_to(REPOSITORY / "script" / name)

        finished = run(tmp_path / "link", option, cwd=tmp_path)

        assert finished.returncode == 0
        assert f"Usage: script/{name}" in finished.stdout
        assert finished.stderr == ""
        assert "set -eu" not in finished.stdout

    @pytest.mark.parametrize("name", SCRIPTS)
    def test_are_plain_shell(self, name: str) -> None:
        """No shell but the standard one is asked for, and an error ends the script."""
        text = (REPOSITORY / "script" / name).read_text()

        assert text.startswith("#!/bin/sh\n")
        assert "\nset -eu\n" in text

    @pytest.mark.parametrize("name", ["bench", "fixtures", "lint", "setup"])
    def test_unknown_argument(self, name: str) -> None:
        """What it does not know is named in one line, before anything is done."""
        finished = run(REPOSITORY / "script" / name, "--nonsense")

        assert finished.returncode == 1
        assert finished.stdout == ""
        assert finished.stderr.startswith("error: ")
        assert "'--nonsense'" in finished.stderr
        assert finished.stderr.count("\n") == 1

    def test_too_old_a_python(self, tmp_path: Path) -> None:
        """A Python that is too old is named, with what to do."""
        old = tmp_path / "python2"
        old.write_text(f"#!/bin/sh\ncase $2 in *sys.exit*) exit 1 ;; *print*) echo {old} ;; esac\n")
        old.chmod(0o755)

        finished = subprocess.run(
            [REPOSITORY / "script" / "setup"],
            env=os.environ | {"PYTHON": str(old)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert finished.returncode == 1
        assert finished.stderr == (
            f"error: {old} is older than 3.11; name a newer one: PYTHON=/path/to/python3 {REPOSITORY}/script/setup\n"
        )

    def test_jaeger_is_where_the_tests_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """script/setup puts Jaeger where the fixture takes it from."""
        monkeypatch.delenv("WASMSCOPE_JAEGER", raising=False)
        program = '. "$(dirname "$0")/_common.sh" && printf %s "$jaeger_prefix"'

        finished = run("sh", "-c", program, REPOSITORY / "script" / "setup")

        assert finished.stdout == str(jaeger_place().parent)
