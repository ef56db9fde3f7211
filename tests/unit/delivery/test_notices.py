"""Warnings, once for each cause."""

from __future__ import annotations

import logging
import threading

import pytest

from wasmscope.delivery._notices import Notices


class Interrupted(str):
    """A cause in whose lookup something else warns, as a signal's handler or a finalizer can."""

    notices: Notices

    def __hash__(self) -> int:
        self.notices.warn(("other",), "meanwhile")
        return super().__hash__()


class TestReentrancy:
    def test_warning_in_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        """Who is interrupted while it warns, by something that warns, does not wait for itself."""
        cause = Interrupted("cause")
        cause.notices = Notices()
        with caplog.at_level(logging.WARNING, "wasmscope.delivery"):
            thread = threading.Thread(target=cause.notices.warn, args=((cause,), "first"), daemon=True)
            thread.start()
            thread.join(5)

        assert not thread.is_alive()
        assert [record.getMessage() for record in caplog.records] == ["meanwhile", "first"]
