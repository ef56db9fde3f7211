"""The wasmscope command."""

__all__: list[str] = []
