"""The bridge between WebAssembly guests and OpenTelemetry."""
