"""A small reader of the WebAssembly binary format."""
