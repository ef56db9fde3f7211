"""The modules that addresses may be of, and which of them a frame in text means."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from wasmscope.cli._exits import CANNOT_RUN, NOT_FOUND, USAGE, CommandError
from wasmscope.cli._streams import say
from wasmscope.cli._symbolize_format import printable
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Address, AddressKind, Module

if TYPE_CHECKING:
    from wasmscope.cli._symbolize_options import SymbolizeOptions
    from wasmscope.dwarf import Frame, Symbolizer
    from wasmscope.dwarf.dialects import Match

__all__ = ["Modules", "NamedModule", "reason_of"]

_MAX_REMEMBERED: Final = 1 << 16


def reason_of(error: OSError | ValueError, path: str) -> CommandError:
    """Explain why a file cannot be opened."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return CommandError(f"{path}: there is no such file", exit_code=NOT_FOUND)
        case IsADirectoryError():
            return CommandError(f"{path}: this is a folder; name a file", exit_code=CANNOT_RUN)
        case PermissionError():
            return CommandError(f"{path}: you may not read this file; see: ls -l", exit_code=CANNOT_RUN)
        case OSError():
            return CommandError(f"{path}: cannot be read: {error.strerror}", exit_code=CANNOT_RUN)
        case _:
            return CommandError(f"{path}: cannot be read: {error}", exit_code=CANNOT_RUN)


class NamedModule:
    """A module and what traces may call it.

    Attributes:
        path: Where it is.
        name: What ``-e NAME=MODULE`` calls it; None if that is not said.
        symbolizer: Who knows it.
    """

    def __init__(self, path: str, name: str | None, symbolizer: Symbolizer) -> None:
        """Remember."""
        self.path = path
        self.name = name
        self.symbolizer = symbolizer
        self._names: frozenset[str] | None = None
        self._known: dict[Address, Sequence[Frame]] = {}
        self._notes_told = 0
        self._doubted = False

    @property
    def title(self) -> str:
        """What to call it in output: its name, else its file."""
        return self.name or os.path.basename(self.path)

    def frames(self, address: Address) -> Sequence[Frame]:
        """Give what is at an address."""
        known = self._known.get(address)
        if known is None:
            known = self.symbolizer.symbolize((address,))[0].frames
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[address] = known
            self.tell_notes()
        return known

    def is_called(self, name: str) -> bool:
        """Whether a trace may mean this module by a name."""
        if self.name is not None:
            return name == self.name
        if self._names is None:
            self._names = frozenset(self._own_names())
        return name in self._names or name.removesuffix(".wasm") in self._names

    def _own_names(self) -> Iterator[str]:
        file = os.path.basename(self.path)
        yield file
        yield os.path.splitext(file)[0]
        binary = self.symbolizer.module
        for module in (binary,) if isinstance(binary, Module) else (nested.module for nested in binary.modules()):
            name = module.name()
            if name:
                yield name
                yield name.removesuffix(".wasm")
            build_id = module.build_id()
            if build_id:
                yield build_id.hex()

    def has_function(self, match: Match, frames: Sequence[Frame]) -> bool:
        """Whether the functions at a place, the innermost first, may be those that a trace names."""
        outermost = frames[-1]
        if match.function_index is not None:
            return outermost.function_index == match.function_index
        if match.function_name is None:
            return True
        names = {name for frame in frames for name in (frame.function, frame.linkage_name)}
        if outermost.function_index is not None:
            names.add(self.symbolizer.function_name(outermost.function_index))
        known = {_bare(name) for name in names if name}
        return not known or outermost.origin.value == "index" or _bare(match.function_name) in known

    def tell_notes(self) -> None:
        """Say what the symbolizer has noticed since the last time."""
        notes = self.symbolizer.notes
        for note in notes[self._notes_told :]:
            say(f"wasmscope: {printable(self.path)}: {printable(note)}")
        self._notes_told = len(notes)

    def doubt(self, match: Match) -> None:
        """Say, once, that this is not the module that a trace is of."""
        if not self._doubted:
            self._doubted = True
            what = f"0x{match.address.offset:x}" if match.address else "it"
            who = match.function_name if match.function_index is None else f"function {match.function_index}"
            say(
                f"wasmscope: {printable(self.path)}: {what} is not in {printable(str(who))} here, as the trace "
                "says; is this the module that ran?"
            )


class Modules:
    """All that ``-e`` names."""

    def __init__(self, options: SymbolizeOptions) -> None:
        """Open them.

        Raises:
            CommandError: If one cannot be opened.
            ModuleFormatError: If one is no module or component.
        """
        if options.debug_file is not None and len(options.modules) > 1:
            raise CommandError(
                "--debug-file is for one module; for several, put debug files beside them, or use --debug-path",
                exit_code=USAGE,
            )
        self._options = options
        self.all = [self._open(text) for text in options.modules]

    def _open(self, text: str) -> NamedModule:
        name: str | None = None
        path = text
        if "=" in text and not os.path.exists(text):
            name, _, path = text.partition("=")
        return self.open(path, name)

    def open(self, path: str, name: str | None = None) -> NamedModule:
        """Open one more."""
        from wasmscope.dwarf import Symbolizer

        options = self._options
        try:
            symbolizer = Symbolizer(
                path,
                debug_file=options.debug_file,
                debug_path=options.debug_path,
                source_map=options.source_map,
                debuginfod_urls=options.debuginfod_urls,
                idle_after_s=None,
            )
        except ModuleFormatError as error:
            raise ModuleFormatError(f"{path}: {error}") from None
        except (OSError, ValueError) as error:
            raise reason_of(error, path) from None
        return NamedModule(path, name, symbolizer)

    def close(self) -> None:
        """Let go of them."""
        for module in self.all:
            module.symbolizer.close()

    def needed(self) -> None:
        """Insist on a module.

        Raises:
            CommandError: If there is none.
        """
        if not self.all:
            raise CommandError("which module? name it with -e; see: wasmscope symbolize --help", exit_code=USAGE)

    def only(self) -> NamedModule:
        """Give the one that plain addresses are of.

        Raises:
            CommandError: If there is none, or several.
        """
        self.needed()
        if len(self.all) > 1:
            raise CommandError(
                "which of the modules are these addresses of? Name one with -e; several are for text", exit_code=USAGE
            )
        return self.all[0]

    def answer(self, match: Match) -> Sequence[Frame]:
        """Give what is at a frame's place; nothing if nobody knows it, or if it is in another function than it says."""
        candidates, are_named = self._candidates(match.module)
        found = [frames for module in candidates if (frames := _in_module(module, match, are_named))]
        if not found and len(candidates) == 1 and match.address is not None and candidates[0].frames(match.address):
            candidates[0].doubt(match)
        # Of several that it may be, none is it for certain.
        return found[0] if len(found) == 1 or (found and are_named) else ()

    def _candidates(self, name: str | None) -> tuple[list[NamedModule], bool]:
        """Give the modules that a trace may mean, and whether it names them."""
        named = [module for module in self.all if name is not None and module.is_called(name)]
        if named:
            return named, True
        return [module for module in self.all if module.name is None or name is None], False


def _in_module(module: NamedModule, match: Match, is_named: bool) -> Sequence[Frame]:
    """Give what a module has at a frame's place; nothing if that is in another function than the frame says."""
    for address in (match.address, match.fallback):
        frames = module.frames(address) if address is not None else ()
        if frames and (module.has_function(match, frames) or (is_named and match.function_index is None)):
            return frames
    if match.function_index is not None and (match.address is None or match.dialect == "wamr"):
        # Not the place, then, but the function. (WAMR's fast interpreter gives offsets in its own code.)
        frames = module.frames(Address(AddressKind.FUNC, 0, match.function_index))
        return [_without_line(frames[-1])] if frames else ()
    return ()


def _bare(name: str) -> str:
    """Give a name without what demanglers disagree about: scopes, parameters, template arguments, Rust's hash."""
    name = name.partition("(")[0].partition("<")[0]
    head, _, tail = name.rpartition("::")
    return head.rpartition("::")[2] if len(tail) == 17 and tail[0] == "h" else tail


def _without_line(frame: Frame) -> Frame:
    """Give what of a function's first line is true of all its lines."""
    from wasmscope.dwarf import Frame

    index, file = frame.function_index, frame.file
    return Frame(frame.function, frame.linkage_name, index, file, None, None, is_inlined=False, origin=frame.origin)
