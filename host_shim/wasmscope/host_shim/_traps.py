"""Why a call into a guest failed, in words that fit on a span."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from wasmscope.host_shim.attributes import WASM_TRAP_CODE

__all__ = ["Failure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call ended that did not return.

    Attributes:
        kind: Exception type for ``exception.type``: ``wasm.trap``, ``wasm.exit``, or the class of what a host
            function raised.
        message: One line.
        code: The trap's code in lower case, or None.
        stack: The backtrace, or None.
        exit_code: What the guest passed to ``proc_exit``, or None.
    """

    kind: str
    message: str
    code: str | None = None
    stack: str | None = None
    exit_code: int | None = None

    @property
    def is_error(self) -> bool:
        """Whether the call failed: all but an exit with code 0."""
        return self.exit_code != 0

    def event(self) -> dict[str, str]:
        """Give the attributes of the span's exception event."""
        attributes = {"exception.type": self.kind, "exception.message": self.message}
        if self.stack:
            attributes["exception.stacktrace"] = self.stack
        if self.code:
            attributes[WASM_TRAP_CODE] = self.code
        return attributes

    @classmethod
    def of_exception(cls, error: BaseException) -> Failure:
        """Describe what a host function raised."""
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return cls(name, str(error), stack="".join(traceback.format_exception(error)))
