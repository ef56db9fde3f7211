"""What tools note in a module's custom sections: what it uses, what build it is, and where its debug information is."""

from __future__ import annotations

from wasmscope.wasm._cursor import Cursor

__all__ = ["read_build_id", "read_target_features", "read_url"]


def read_target_features(cursor: Cursor) -> tuple[str, ...]:
    """Read a ``target_features`` section.

    Source: https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md#target-features-section

    Args:
        cursor: Its contents.

    Returns:
        Features with their prefix: ``+simd128`` is used, ``-atomics`` must not be.
    """
    return tuple(chr(cursor.byte()) + cursor.name() for _ in range(cursor.count(2)))


def read_build_id(cursor: Cursor) -> bytes:
    """Read a ``build_id`` section.

    Source: https://github.com/WebAssembly/tool-conventions/blob/main/BuildId.md

    Args:
        cursor: Its contents.
    """
    return cursor.take(cursor.u32())


def read_url(cursor: Cursor) -> str:
    """Read an ``external_debug_info`` or ``sourceMappingURL`` section.

    Source: https://github.com/WebAssembly/tool-conventions/blob/main/Debugging.md

    Args:
        cursor: Its contents.
    """
    return cursor.name()
