"""What all tests share."""

import os

import pytest

pytest_plugins = ["tests.support.golden", "tests.support.jaeger", "tests.support.skips"]


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the OTEL_* variables that the tests were started with."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
