"""Turns skipped tests into failures where everything has to be there.

On a contributor's laptop a test whose toolchain is missing is skipped and says how to
get it. In CI (``CI=true``, or ``WASMSCOPE_NO_SKIPS`` set) the same skip is a failure,
because a skipped test proves nothing; ``tests/allowed_skips.toml`` has the exceptions.
"""

import os
import tomllib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


class SkipsFail:
    """The plugin: fails whatever is skipped and not on the list."""

    def __init__(self, allowed: Mapping[str, str]) -> None:
        self._allowed = allowed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge a test that ran, or did not."""
        return self._judged((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Judge a file that skipped itself as a whole."""
        return self._judged((yield))

    def _judged(self, report: Report) -> Report:
        expected_failure = hasattr(report, "wasxfail")
        if report.skipped and not expected_failure and not self._may(report.nodeid):
            # A skip's longrepr is (file, line, reason).
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            report.outcome = "failed"
            report.longrepr = (
                f"{report.nodeid} was skipped, which is a failure here (see tests/allowed_skips.toml): {reason}"
            )
        return report

    def _may(self, node_id: str) -> bool:
        return node_id in self._allowed or node_id.split("::")[0] in self._allowed


def read_allowed(path: Path) -> dict[str, str]:
    """Read the list of tests that may be skipped: node id to reason.

    Raises:
        pytest.UsageError: An entry lacks its test or its reason.
    """
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text()).get("skip", [])
    for entry in entries:
        if not entry.get("test") or not entry.get("reason"):
            raise pytest.UsageError(f"{path}: each [[skip]] needs test and reason")
    return {entry["test"]: entry["reason"] for entry in entries}


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin where skips count as failures."""
    if os.environ.get("CI") == "true" or os.environ.get("WASMSCOPE_NO_SKIPS"):
        allowed = read_allowed(config.rootpath / "tests" / "allowed_skips.toml")
        config.pluginmanager.register(SkipsFail(allowed), "wasmscope-skips-fail")
