"""The one error tree.

::

    WasmscopeError
    ├── ModuleFormatError    bytes that are not a WebAssembly module we can read
    ├── DebugInfoError       debug information (DWARF, a source map) that cannot be read or does not fit the module
    ├── CoreDumpError        bytes that are not a core dump we can read
    ├── AbiError             a module imports a wasmscope function or version that this host does not have
    ├── LinkError            a module imports something that nobody defines
    ├── ExportError          a module has no such export, or it cannot be called that way
    └── ConfigurationError   a setting (argument or environment variable) that cannot be used

Traps and exits of guests are not in the tree: they reach the caller as the runtime's own exceptions, so that existing
``except wasmtime.Trap`` clauses keep working.
"""

from __future__ import annotations

__all__ = [
    "AbiError",
    "ConfigurationError",
    "CoreDumpError",
    "DebugInfoError",
    "ExportError",
    "LinkError",
    "ModuleFormatError",
    "WasmscopeError",
]


class WasmscopeError(Exception):
    """Everything that wasmscope itself raises.

    The message is one line: what is wrong, where, and what to try.
    """


class ModuleFormatError(WasmscopeError):
    """Bytes are not a WebAssembly module, or end in the middle of one.

    Attributes:
        offset: Where in the file, in bytes, or None if that means nothing.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset:#x})")
        self.offset = offset


class DebugInfoError(WasmscopeError):
    """Debug information cannot be read, needs more than it is allowed, or belongs to another module."""


class CoreDumpError(WasmscopeError):
    """Bytes are not a core dump, or one that no known dialect explains to the last byte.

    Attributes:
        offset: Where in the file, in bytes, or None if that means nothing.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset:#x})")
        self.offset = offset


class AbiError(WasmscopeError):
    """A module imports a function or a version of the guest ABI that this host does not have.

    Raised before instantiation, so nothing of the module has run.

    Attributes:
        module: The import's module name.
        name: The import's field name.
    """

    def __init__(self, message: str, *, module: str, name: str) -> None:
        super().__init__(message)
        self.module = module
        self.name = name


class LinkError(WasmscopeError):
    """A module imports things that the linker does not define.

    Attributes:
        missing: The imports, as (module, name) pairs.
    """

    def __init__(self, message: str, *, missing: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message)
        self.missing = missing


class ExportError(WasmscopeError):
    """A module has no export of that name, or not one that can be called so."""


class ConfigurationError(WasmscopeError):
    """An argument or an environment variable has a value that cannot be used."""
