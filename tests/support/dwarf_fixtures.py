"""Where the modules with debug information are: tests/fixtures/dwarf, and the corpus of real programs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

__all__ = ["CORPUS", "corpus_module", "dwarf_fixture"]

REPOSITORY = Path(__file__).parents[2]
CORPUS = (
    "cpp-dwarf4",
    "cpp-dwarf5",
    "lua-dwarf4",
    "lua-dwarf5",
    "rust-debug",
    "rust-release",
    "sqlite-dwarf4",
    "sqlite-dwarf5",
    "zstd-dwarf4",
    "zstd-dwarf5",
)


def dwarf_fixture(name: str) -> Path:
    """Path of a fixture: ``c/O1-dwarf4.wasm``. With WASMSCOPE_GUESTS_DIR, of the one that was built there."""
    built = os.environ.get("WASMSCOPE_GUESTS_DIR")
    return Path(built or REPOSITORY, "tests", "fixtures", "dwarf", name)


def corpus_module(name: str) -> Path:
    """Path of a module of the corpus; skips the test where the corpus was not built."""
    place = corpus_place()
    if not place.is_dir():
        pytest.skip(f"there is no corpus at {place}: build it with script/setup corpus")
    return place / f"{name}.wasm"


def corpus_place() -> Path:
    """Where script/setup puts the corpus: the rule is the one in script/_common.sh."""
    home_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = os.environ.get("WASMSCOPE_CACHE") or Path(home_cache, "wasmscope")
    sources = [REPOSITORY / "tests" / "corpus" / name for name in ("Cargo.lock", "corpus.sh")]
    sources += [REPOSITORY / "tests" / "corpus" / name for name in ("cpp/containers.cpp", "rust/main.rs")]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return Path(cache, f"corpus-{key[:12]}")
