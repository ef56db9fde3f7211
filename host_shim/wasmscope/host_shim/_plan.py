"""What a module asks for, looked at once and before anything of it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import wasmtime

from wasmscope.errors import AbiError
from wasmscope.host_shim import _abi
from wasmscope.host_shim._wasmtime_ffi import value_type_name

__all__ = ["ImportPlan", "PlannedImport", "plan_imports"]

_ABI_PREFIX: Final = "wasmscope_v"
_WASI: Final = "wasi_snapshot_preview1"
_WASI_WATCHED: Final = {
    "fd_write": (("i32", "i32", "i32", "i32"), ("i32",)),
    "environ_get": (("i32", "i32"), ("i32",)),
    "environ_sizes_get": (("i32", "i32"), ("i32",)),
}
# What AssemblyScript's compiler imports: https://www.assemblyscript.org/concepts.html#special-imports
_ASSEMBLYSCRIPT: Final = {
    "abort": (("i32", "i32", "i32", "i32"), ()),
    "trace": (("i32", "i32", "f64", "f64", "f64", "f64", "f64"), ()),
    "seed": ((), ("f64",)),
}


@dataclass(frozen=True, slots=True)
class PlannedImport:
    """One import and who serves it.

    Attributes:
        module: The import's module.
        name: The import's name.
        server: ``abi``, ``wasi`` (the linker's, watched), ``assemblyscript`` (ours if the linker has none) or
        ``linker``.
        kind: The function's type, or None if it is not a function.
    """

    module: str
    name: str
    server: str
    kind: wasmtime.FuncType | None


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """A module's imports and memory.

    Attributes:
        imports: In the module's order.
        memory64: Whether its ABI imports have 64-bit addresses.
        memory_export: Name of the exported memory that the ABI's addresses mean, or None.
        memory_import: Index among the imports of the memory they mean otherwise, or None.
        exports: Names of its exports, in order.
        abi: Names of the ABI's functions that it imports.
        has_memory64: Whether that memory has 64-bit addresses.
    """

    imports: tuple[PlannedImport, ...]
    memory64: bool
    memory_export: str | None
    memory_import: int | None
    exports: tuple[str, ...] = ()
    abi: tuple[str, ...] = ()
    has_memory64: bool = False


def plan_imports(module: wasmtime.Module, guest: str) -> ImportPlan:
    """Look at a module.

    Args:
        module: The compiled module.
        guest: Its name, for errors.

    Raises:
        AbiError: If it imports something from us that we do not have.
    """
    imports: list[PlannedImport] = []
    exported = module.exports
    exports = {
        e.name: kind.is_64 for e in exported if isinstance(kind := e.type, wasmtime.MemoryType) and not kind.is_shared
    }
    # WASI knows a memory of this name only. A guest without is left to it.
    has_wasi_memory = "memory" in exports
    widths: set[bool] = set()
    memory_import: int | None = None
    has_memory64 = False
    for index, item in enumerate(module.imports):
        name = item.name or ""
        kind = item.type
        func = kind if isinstance(kind, wasmtime.FuncType) else None
        if item.module.startswith(_ABI_PREFIX):
            width = _check(guest, item.module, name, func)
            if width is not None:
                widths.add(width)
            imports.append(PlannedImport(item.module, name, "abi", func))
            continue
        if isinstance(kind, wasmtime.MemoryType) and memory_import is None and not kind.is_shared:
            memory_import, has_memory64 = index, kind.is_64
        server = _server(item.module, name, func, has_wasi_memory=has_wasi_memory)
        imports.append(PlannedImport(item.module, name, server, func))
    if len(widths) > 1:
        raise AbiError(
            f"module {guest!r} imports {_abi.MODULE} functions with 32-bit and with 64-bit addresses: "
            "one width for all, as its memory's",
            module=_abi.MODULE,
            name="",
        )
    memory_export = "memory" if "memory" in exports else next(iter(exports), None)
    return ImportPlan(
        tuple(imports),
        True in widths,
        memory_export,
        None if memory_export else memory_import,
        tuple(e.name for e in exported),
        tuple(item.name for item in imports if item.server == "abi"),
        has_memory64 if memory_export is None else exports[memory_export],
    )


def _texts(kind: wasmtime.FuncType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(map(value_type_name, kind.params)), tuple(map(value_type_name, kind.results))


def _check(guest: str, module: str, name: str, kind: wasmtime.FuncType | None) -> bool | None:
    """Check one of our functions; whether it takes 64-bit addresses, None if it takes none."""
    signature = _abi.FUNCTIONS.get(name) if module == _abi.MODULE else None
    if signature is None:
        raise AbiError(_abi.unknown_import_message(guest, module, name), module=module, name=name)
    given = None if kind is None else _texts(kind)
    if given == signature.lowered(memory64=False):
        return False if "p" in signature.params else None
    if given == signature.lowered(memory64=True):
        return True
    params, results = signature.lowered(memory64=False)
    raise AbiError(
        f"module {guest!r} imports {module}.{name} with a type that is not its own; it is ({', '.join(params)}) -> "
        f"({', '.join(results)}), addresses i64 for 64-bit memories: rebuild the guest with the SDK (docs/abi.md)",
        module=module,
        name=name,
    )


def _server(module: str, name: str, kind: wasmtime.FuncType | None, *, has_wasi_memory: bool) -> str:
    if kind is not None:
        if module == _WASI and has_wasi_memory and _WASI_WATCHED.get(name) == _texts(kind):
            return "wasi"
        if module == "env" and _ASSEMBLYSCRIPT.get(name) == _texts(kind):
            return "assemblyscript"
    return "linker"
