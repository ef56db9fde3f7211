"""The golden files of this folder and the one switch that rewrites them."""

import os
from pathlib import Path

import pytest

from tests.unit.exporters.golden_files import GoldenFiles


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is rendered now into the golden files; then look at the diff",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> GoldenFiles:
    """The files that hold what renderings look like."""
    update = request.config.getoption("--update-golden", default=False)
    return GoldenFiles(Path(__file__).parent / "golden", update=update is True)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the OTEL_* variables that the tests were started with."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
