"""The bridge between WebAssembly guests and OpenTelemetry."""

__all__: list[str] = []
