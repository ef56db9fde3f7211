"""Every package says what it exports, and exports what it says."""

import __future__

import importlib
import pkgutil
import typing
from types import ModuleType

import pytest

import wasmscope

PACKAGES = [
    f"wasmscope.{found.name}"
    for found in pkgutil.iter_modules(wasmscope.__path__)
    if found.ispkg and not found.name.startswith("_")
]


@pytest.mark.parametrize("name", PACKAGES)
class TestExports:
    def test_sorted(self, name: str) -> None:
        """``__all__`` is in the order in which Python sorts, without repetition."""
        exported = importlib.import_module(name).__all__

        assert exported == sorted(set(exported))

    def test_complete(self, name: str) -> None:
        """``__all__`` names just the public names of the package, submodules apart."""
        package = importlib.import_module(name)
        # Some are loaded when they are asked for, by the means that are left out below.
        assert all(hasattr(package, key) for key in package.__all__)
        means = {typing.TYPE_CHECKING, typing.Final, importlib.import_module, __future__.annotations}
        public = {
            key
            for key, value in vars(package).items()
            if not key.startswith("_") and not isinstance(value, ModuleType) and not any(value is m for m in means)
        }

        assert set(package.__all__) == public


def test_all_roots_are_seen() -> None:
    """The list above is not empty by mistake: it has a package of each root."""
    assert {"wasmscope.host_shim", "wasmscope.exporters", "wasmscope.wasm"} <= set(PACKAGES)
