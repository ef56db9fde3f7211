"""Delivery on request, by a thread of its own."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from wasmscope.host_shim._flusher import Flusher

FLUSH_THREAD = "wasmscope-flush"


class Provider:
    """A provider whose flush can be held up."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.goes_on = threading.Semaphore(0)
        self.count = 0

    def force_flush(self) -> bool:
        self.count += 1
        self.started.release()
        assert self.goes_on.acquire(timeout=10)
        return True


def flush_threads() -> int:
    return sum(thread.name == FLUSH_THREAD for thread in threading.enumerate())


class TestFlusher:
    def test_at_once(self) -> None:
        """A request returns at once, however long the flush takes."""
        provider = Provider()
        flusher = Flusher(lambda: (provider,))

        start = time.monotonic()
        flusher.request()
        assert time.monotonic() - start < 1
        assert provider.started.acquire(timeout=10)
        assert not flusher.wait(0.01)
        provider.goes_on.release()
        assert flusher.wait(10)

    def test_many_requests(self) -> None:
        """Any number of requests during a flush lead to one more, in one thread, which ends afterwards."""
        provider = Provider()
        flusher = Flusher(lambda: (provider,))

        flusher.request()
        assert provider.started.acquire(timeout=10)
        for _ in range(1_000):
            flusher.request()
        assert flush_threads() == 1
        provider.goes_on.release(2)

        assert flusher.wait(10)
        assert provider.count == 2
        assert flush_threads() == 0

    def test_again(self) -> None:
        """After a flush there can be another."""
        provider = Provider()
        provider.goes_on.release(10)
        flusher = Flusher(lambda: (provider,))

        for _ in range(3):
            flusher.request()
            assert flusher.wait(10)

        assert provider.count == 3

    def test_nothing_to_wait_for(self) -> None:
        """Without a request there is nothing to wait for."""
        assert Flusher(lambda: ()).wait(0)

    def test_failing_provider(self, caplog: pytest.LogCaptureFixture) -> None:
        """A provider that cannot be flushed, or fails to, keeps no other from being flushed, and is logged."""
        provider = Provider()
        provider.goes_on.release(10)

        class Fails:
            def force_flush(self) -> bool:
                raise ValueError("no network")

        flusher = Flusher(lambda: (object(), Fails(), provider))
        flusher.request()
        assert flusher.wait(10)

        assert provider.count == 1
        assert [(record.name, record.levelno) for record in caplog.records] == [
            ("wasmscope.host_shim", logging.ERROR)
        ]  # fmt: skip

    def test_no_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started (the system's limit, the interpreter's end), a request fails, later ones are
        as good as before, and nobody waits for the thread that is not there."""
        provider = Provider()
        provider.goes_on.release(10)
        flusher = Flusher(lambda: (provider,))

        def refuse(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                flusher.request()
        assert flusher.wait(0.1)
        flusher.request()
        assert flusher.wait(10)

        assert provider.count == 1
