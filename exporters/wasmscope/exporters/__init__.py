"""Where the signals go: OTLP, the terminal, files."""
