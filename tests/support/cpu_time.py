"""How long code takes, compared with itself on more work: never with a clock's absolute figures."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import process_time
from typing import Any

__all__ = ["cpu_seconds"]


def cpu_seconds(function: Callable[[], Any]) -> float:
    """Give the CPU time that a call takes, in seconds.

    Without garbage collections: how long one takes depends on all that the test process has made before.
    """
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        started = process_time()
        function()
        return process_time() - started
    finally:
        if was_on:
            gc.enable()
