"""What all tests share."""

import os
import signal

import pytest

pytest_plugins = ["tests.support.golden", "tests.support.jaeger", "tests.support.skips"]


def pytest_configure() -> None:
    """Have Ctrl-C reach what tests start: a shell that ran them in the background has it ignored, by all below."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the OTEL_* variables that the tests were started with."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
