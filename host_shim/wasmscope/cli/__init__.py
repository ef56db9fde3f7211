"""The wasmscope command."""
