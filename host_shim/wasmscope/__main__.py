"""``python -m wasmscope`` is the ``wasmscope`` command."""

from __future__ import annotations

import sys

from wasmscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
