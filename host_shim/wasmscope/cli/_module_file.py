"""The file that is to be run: read, recognised and looked into before anything is compiled."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wasmscope.cli._exits import CANNOT_RUN, NOT_FOUND, CommandError, one_line
from wasmscope.errors import ExportError, LinkError, ModuleFormatError
from wasmscope.wasm import FileKind, FunctionType, Module, identify

__all__ = ["ModuleFile", "explain_missing"]

_HEAD_BYTES: Final = 64 * 1024
_MAX_BYTES: Final = 1 << 30
_MAX_NAME: Final = 200
_START: Final = ("_start", "")
"""What wasmtime calls when it is not told what to: the command's entry, or the export without a name."""


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A core module from a file.

    Attributes:
        path: Where it is.
        data: Its binary form.
        name: What to call it: its own name, else the file's without suffix.
        functions: Indexes of the functions that it exports, by name and in its order.
        module: What is in it.
    """

    path: Path
    data: bytes
    name: str
    functions: Mapping[str, int]
    module: Module

    @classmethod
    def read(cls, text: str) -> ModuleFile:
        """Read a file in the binary or the text format.

        Args:
            text: The path.

        Raises:
            CommandError: If it cannot be read.
            ModuleFormatError: If it is no core module.
        """
        path = Path(text)
        data = _bytes(path, text)
        found = identify(data)
        if found.kind is FileKind.TEXT:
            data = _from_text(data, text)
            found = identify(data)
        if found.kind is not FileKind.MODULE:
            advice = f"; {found.advice}" if found.advice else ""
            raise ModuleFormatError(f"{text}: not a WebAssembly module but {found.description}{advice}")
        try:
            module = Module(data)
            functions = {export.name: export.index for export in module.exports() if export.kind == "func"}
        except ModuleFormatError as error:
            raise ModuleFormatError(f"{text}: {error}") from None
        return cls(path, data, _name(module, path), functions, module)

    def entry(self) -> str | None:
        """Give the export that starts the program; None if instantiating the module is all there is to do.

        Raises:
            ExportError: If there is nothing to run.
        """
        for name in _START:
            if name in self.functions:
                return name
        if self.module.has_start:
            return None
        raise ExportError(
            f"{self.path}: there is no _start function to run; "
            + (f"name one: --invoke {_listed(self.functions)}" if self.functions else "it exports no function at all")
        )

    def function_type(self, name: str) -> FunctionType:
        """Give the type of an exported function.

        Raises:
            ExportError: If there is none of that name.
            ModuleFormatError: If it has no type.
        """
        if name not in self.functions:
            raise ExportError(
                f"{self.path}: there is no function {name!r}; "
                + (f"it exports {_listed(self.functions)}" if self.functions else "it exports no function at all")
            )
        try:
            return self.module.function_type(self.functions[name])
        except ModuleFormatError as error:
            raise ModuleFormatError(f"{self.path}: {error}") from None


def _bytes(path: Path, text: str) -> bytes:
    try:
        with path.open("rb") as file:
            if stat.S_ISDIR(path.stat().st_mode):
                raise IsADirectoryError
            data = file.read(_HEAD_BYTES)
            # The rest of what is no module, perhaps a disk image or /dev/zero, is not worth reading.
            if identify(data).kind is not FileKind.OTHER:
                data += file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise CommandError(f"{text}: there is no such file", exit_code=NOT_FOUND) from None
    except NotADirectoryError:
        raise CommandError(
            f"{text}: there is no such file; a part of the path is a file", exit_code=NOT_FOUND
        ) from None
    except IsADirectoryError:
        raise CommandError(f"{text}: this is a folder; name a .wasm or .wat file", exit_code=CANNOT_RUN) from None
    except PermissionError:
        raise CommandError(f"{text}: you may not read this file; see: ls -l", exit_code=CANNOT_RUN) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"{text}: cannot be read: {reason}", exit_code=CANNOT_RUN) from None
    if len(data) > _MAX_BYTES:
        raise CommandError(f"{text}: more than 1 GiB; is this the right file?", exit_code=CANNOT_RUN)
    return data


def _from_text(data: bytes, text: str) -> bytes:
    import wasmtime

    try:
        source = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModuleFormatError(f"{text}: WebAssembly text that is not UTF-8", offset=error.start) from None
    try:
        return bytes(wasmtime.wat2wasm(source))
    except wasmtime.WasmtimeError as error:
        message, _, place = str(error).partition("\n")
        # "     --> <anon>:LINE:COLUMN", then the line itself with a mark under it
        where = place.split("\n")[0].rpartition("<anon>:")[2].strip()
        raise ModuleFormatError(f"{text}{':' + where if where else ''}: {one_line(message)}") from None


def _name(module: Module, path: Path) -> str:
    """Give the module's name; linkers write their output's file name, and a file may say anything."""
    own = (module.name() or "").removesuffix(".wasm")
    return own if own and own.isprintable() and len(own) <= _MAX_NAME else path.stem


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(one_line(name)[:_MAX_NAME] for name in names[:20]) + (" …" if len(names) > 20 else "")


_HINTS: Final = (
    ("wasi:", "it was built for WASI 0.2; build it for wasm32-wasip1"),
    ("wasi_unstable", "it was built for an early WASI; build it again with a newer toolchain"),
    ("wasi_snapshot_preview1", "this wasmtime does not have that function of WASI preview 1"),
    ("wasi", "of WASI there is preview 1 here, and neither threads nor sockets"),
    ("gojs", "it was built for Go in a browser; build it with GOOS=wasip1"),
    ("go", "it was built for Go in a browser; build it with GOOS=wasip1"),
    ("wbg", "it was built by wasm-bindgen, for JavaScript; build it for wasm32-wasip1"),
    ("__wbindgen", "it was built by wasm-bindgen, for JavaScript; build it for wasm32-wasip1"),
)
_HINT: Final = (
    "wasmscope run has WASI preview 1 and wasmscope_v1; a module that needs more runs in a host program that defines it"
)


def explain_missing(path: Path, missing: Iterable[tuple[str, str]]) -> LinkError:
    """Say what imports nobody defines, and what that tells about how the module was built.

    Args:
        path: The module's file.
        missing: (module, name) of each.
    """
    pairs = tuple(missing)
    hint = next((text for start, text in _HINTS if any(module.startswith(start) for module, _ in pairs)), _HINT)
    names = _listed(f"{module}.{name}" for module, name in pairs)
    return LinkError(f"{path}: it imports {names}, which nobody defines here; {hint}", missing=pairs)
