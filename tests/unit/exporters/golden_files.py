"""Renderings that people have looked at and found right."""

from dataclasses import dataclass
from pathlib import Path


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
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no {path}: pytest tests/unit/exporters --update-golden"

        assert path.read_text(encoding="utf-8") == text
