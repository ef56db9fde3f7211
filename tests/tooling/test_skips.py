"""What becomes of skipped tests, in CI and elsewhere: pytest is run on small files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

SKIPPING = """
import pytest

def test_skipped():
    pytest.skip("no toolchain")

def test_run():
    pass

@pytest.mark.xfail
def test_expected_to_fail():
    assert False
"""

SKIPPING_FILE = """
import pytest

pytest.skip("not on this machine", allow_module_level=True)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of three tests, one of which is skipped, and nothing on its list."""
    tests = tmp_path / "tests"
    tests.mkdir()
    (tmp_path / "pytest.ini").touch()
    (tests / "test_one.py").write_text(SKIPPING)
    (tests / "allowed_skips.toml").touch()
    return tmp_path


def run_pytest(project: Path, **variables: str) -> tuple[int, str]:
    """Run pytest with the plugin in a project: its exit code and what it printed."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"CI", "WASMSCOPE_NO_SKIPS"} and not name.startswith("PYTEST_")
    }
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.support.skips"],
        cwd=project,
        env=clean | {"PYTHONPATH": str(REPOSITORY)} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return finished.returncode, finished.stdout + finished.stderr


class TestSkips:
    def test_allowed_on_a_laptop(self, project: Path) -> None:
        """Without CI a skip is a skip."""
        status, output = run_pytest(project)

        assert status == 0
        assert "1 passed, 1 skipped, 1 xfailed" in output

    @pytest.mark.parametrize("variable", [{"CI": "true"}, {"WASMSCOPE_NO_SKIPS": "1"}])
    def test_fail_in_ci(self, project: Path, variable: dict[str, str]) -> None:
        """In CI the skip fails, names the test and repeats the reason."""
        status, output = run_pytest(project, **variable)

        assert status == 1
        assert "1 failed, 1 passed, 1 xfailed" in output
        assert "tests/test_one.py::test_skipped was skipped" in output
        assert "no toolchain" in output

    def test_whole_file_fails_in_ci(self, project: Path) -> None:
        """A file that skips itself fails, too."""
        (project / "tests" / "test_two.py").write_text(SKIPPING_FILE)

        status, output = run_pytest(project, CI="true")

        assert status != 0
        assert "tests/test_two.py was skipped" in output
        assert "not on this machine" in output

    @pytest.mark.parametrize("name", ["tests/test_one.py", "tests/test_one.py::test_skipped"])
    def test_listed_ones_may(self, project: Path, name: str) -> None:
        """A test, or its whole file, that is on the list stays a skip in CI."""
        (project / "tests" / "allowed_skips.toml").write_text(f'[[skip]]\ntest = "{name}"\nreason = "to show it"\n')

        status, output = run_pytest(project, CI="true")

        assert status == 0
        assert "1 passed, 1 skipped, 1 xfailed" in output

    def test_list_needs_reasons(self, project: Path) -> None:
        """An entry without its reason is refused."""
        (project / "tests" / "allowed_skips.toml").write_text('[[skip]]\ntest = "tests/test_one.py"\n')

        status, output = run_pytest(project, CI="true")

        assert status == pytest.ExitCode.USAGE_ERROR
        assert "each [[skip]] needs test and reason" in output
