"""Where the signals go: OTLP, the terminal, files."""

__all__: list[str] = []
