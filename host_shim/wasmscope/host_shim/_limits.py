"""What a guest may send at most."""

from __future__ import annotations

from dataclasses import dataclass, fields

from wasmscope.errors import ConfigurationError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one guest instance may send and keep.

    Sizes are bytes of the encoded form. What happens beyond each: "Limits" in ``docs/abi.md``.

    Raises:
        ConfigurationError: If a limit is negative.
    """

    body_bytes: int = 65_536
    value_bytes: int = 16_384
    name_bytes: int = 1_024
    message_bytes: int = 16_384
    stack_bytes: int = 65_536
    key_bytes: int = 256
    attributes_bytes: int = 1_048_576
    attributes: int = 128
    elements: int = 1_024
    depth: int = 8
    events: int = 128
    links: int = 128
    open_spans: int = 10_000
    span_depth: int = 1_024
    callsites: int = 4_096
    instruments: int = 1_000
    attribute_sets: int = 2_000
    descriptor_bytes: int = 65_536
    kept_bytes: int = 16_777_216
    """What an instance registered and what its open spans hold, together; the call's span apart."""
    kept_contexts: int = 1_024
    line_bytes: int = 65_536
    """Longest line of a guest's standard output that is kept in one log record."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a bound."""
        for field in fields(self):
            value: object = getattr(self, field.name)
            if not isinstance(value, int) or value < 0:
                raise ConfigurationError(f"Limits({field.name}={value!r}): a limit is a whole number, 0 or more")
