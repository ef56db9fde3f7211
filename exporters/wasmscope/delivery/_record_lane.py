"""Spans or log records on their way: a bounded queue and a thread that empties it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final

from wasmscope.delivery._answer import Transport
from wasmscope.delivery._courier import Lost
from wasmscope.delivery._environment import SignalSettings
from wasmscope.delivery._lane import Circumstances, Lane
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._stats import LossReason
from wasmscope.delivery._target import SignalName
from wasmscope.delivery._wrapper import Wrapper, split

__all__ = ["Batch", "RecordLane"]

_CHUNK_BYTES: Final = 256
"""What a chunk takes in memory besides its bytes, with a margin."""
_GATHER_S: Final = 0.05
"""How long the first records after a silence wait for others."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    scope: Scope
    body: bytes
    count: int

    @property
    def size(self) -> int:
        return len(self.body) + _CHUNK_BYTES


@dataclass(slots=True)
class Batch:
    """What goes into one request.

    Attributes:
        bodies: Encoded records, by scope.
        count: How many records.
        size: How much memory they were charged for.
    """

    bodies: dict[Scope, list[bytes]]
    count: int = 0
    size: int = 0


class RecordLane(Lane):
    """Takes chunks of encoded records and sends them in requests of a bounded length.

    When to send: at once what is long enough for a request, or waited for by somebody. The rest shortly after the first
    record that comes after a silence, then in pauses that double up to the delay. So a trace is seen at once, and
    steady traffic makes few requests.

    What does not fit into the queue is dropped as it comes: what waits already is not touched, so what arrives has no
    gaps but at the end.
    """

    def __init__(
        self,
        signal: SignalName,
        settings: SignalSettings,
        transport: Transport,
        circumstances: Circumstances,
        wrapper: Wrapper,
        *,
        delay_s: float,
        queue_bytes: int,
        request_bytes: int,
    ) -> None:
        super().__init__(signal, settings, transport, circumstances)
        self._wrapper = wrapper
        self._delay_s = delay_s
        self._queue_bytes = queue_bytes
        self._request_bytes = request_bytes
        self._enough_bytes = request_bytes // 2
        self._chunks: deque[_Chunk] = deque()
        self._ready_bytes = 0
        self._came_at = 0.0
        self._sent_at = float("-inf")
        self._gap_s = 0.0
        # Records that were let into the queue and those that left it: a flush waits for a place in this order.
        self._admitted = 0
        self._settled = 0
        self._flush_to = 0

    def put(self, scope: Scope, body: bytes, count: int) -> None:
        """Queue encoded records; returns at once."""
        if count <= 0 or not body:
            return
        chunk = _Chunk(scope, body, count)
        self._tell_handed_over(count)
        with self._condition:
            self._tally.records += count
            reason: LossReason
            if self._is_given_up or self._closing.has_begun:
                reason = "shutdown"
            elif self._tally.waiting_bytes + chunk.size > self._queue_bytes:
                reason = "queue_full"
            else:
                self._admit(chunk)
                return
            self._tally.drop(count, reason)
        self._tell_lost(count, reason, "came after the end" if reason == "shutdown" else "")

    def _admit(self, chunk: _Chunk) -> None:
        was_ready = self._ready_bytes
        if not self._chunks:
            self._came_at = self._clock()
            if self._came_at - self._sent_at >= self._delay_s:
                self._gap_s = 0.0
        self._chunks.append(chunk)
        self._ready_bytes += len(chunk.body)
        self._admitted += chunk.count
        self._tally.waiting_records += chunk.count
        self._tally.waiting_bytes += chunk.size
        self._ensure_thread()
        if was_ready == 0 or was_ready < self._enough_bytes <= self._ready_bytes:
            self._condition.notify_all()

    def request_flush(self) -> int:
        """Have everything sent that is here now; gives what to wait for with `wait`."""
        with self._condition:
            self._flush_to = self._admitted
            self._condition.notify_all()
            return self._flush_to

    def wait(self, place: int, timeout_s: float) -> bool:
        """Wait until everything that was here at a `request_flush` has left; False if that takes longer."""
        with self._condition:
            return self._condition.wait_for(
                lambda: self._settled >= place or self._is_given_up, max(timeout_s, 0)
            ) and not (self._is_given_up and self._settled < place)

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            fate = self._deliver(partial(self._wrapper.records, batch.bodies))
            self._settle(batch.count, batch.size, fate)
            if isinstance(fate, Lost) and fate.reason == "shutdown":
                self.give_up(fate.message)

    def _next(self) -> Batch | None:
        """Wait for something to send; None if the sender closes and nothing is left."""
        with self._condition:
            while True:
                if self._is_given_up:
                    return None
                if self._chunks:
                    wait_s = self._due_in_s()
                    if wait_s <= 0:
                        return self._take()
                    self._condition.wait(wait_s)
                elif self._closing.has_begun:
                    return None
                else:
                    self._condition.wait()

    def _due_in_s(self) -> float:
        if self._closing.has_begun or self._flush_to > self._settled or self._ready_bytes >= self._enough_bytes:
            return 0.0
        return max(self._came_at + _GATHER_S, self._sent_at + self._gap_s) - self._clock()

    def _take(self) -> Batch:
        batch = Batch({})
        length = 0
        while self._chunks:
            chunk = self._chunks[0]
            if length and length + len(chunk.body) > self._request_bytes:
                break
            self._chunks.popleft()
            if len(chunk.body) > self._request_bytes:
                chunk = self._cut(chunk)
            length += len(chunk.body)
            batch.bodies.setdefault(chunk.scope, []).append(chunk.body)
            batch.count += chunk.count
            batch.size += chunk.size
        self._ready_bytes -= length
        self._came_at = self._sent_at = self._clock()
        return batch

    def _cut(self, chunk: _Chunk) -> _Chunk:
        """Take the first piece of a chunk that is too long for a request; the others go back to the queue's head."""
        pieces = split(chunk.body, self._request_bytes)
        if sum(count for _, count in pieces) != chunk.count:
            return chunk  # not what it is said to be: the endpoint has to judge
        rest = [_Chunk(chunk.scope, body, count) for body, count in pieces[1:]]
        self._chunks.extendleft(reversed(rest))
        self._tally.waiting_bytes += _CHUNK_BYTES * len(rest)
        return _Chunk(chunk.scope, *pieces[0])

    def _passed(self, count: int) -> None:
        self._settled += count
        self._gap_s = min(max(2 * self._gap_s, _GATHER_S), self._delay_s)

    def _forget(self) -> None:
        self._chunks.clear()
        self._ready_bytes = 0
