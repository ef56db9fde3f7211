"""Golden files: what people have looked at and found right, and the one switch that writes them anew.

``script/test PATHS --update-golden`` writes them instead of comparing; then look at the diff.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["GoldenFiles"]


@dataclass(frozen=True, slots=True)
class GoldenFiles:
    """A folder of text files to compare with.

    Attributes:
        folder: Where they are.
        update: Whether to write them instead of comparing.
    """

    folder: Path
    update: bool

    def check(self, name: str, text: str) -> None:
        """Compare a text with a file, or write it there.

        Raises:
            AssertionError: They differ, or there is no such file.
        """
        path = self.folder / name
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        assert path.exists(), f"no {path}: script/test --update-golden"

        assert path.read_bytes().decode() == text


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is rendered now into the golden files; then look at the diff",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> GoldenFiles:
    """The files in the folder ``golden`` beside the test."""
    update = request.config.getoption("--update-golden", default=False)
    return GoldenFiles(request.path.parent / "golden", update=update is True)
