"""A small reader of the WebAssembly binary format."""

__all__: list[str] = []
