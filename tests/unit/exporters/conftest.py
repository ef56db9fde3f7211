"""The golden files of this folder and the one switch that rewrites them."""

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
