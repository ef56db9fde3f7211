"""A core dump's stacks, with the source of each call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wasmscope.cli._exits import CANNOT_RUN, CommandError
from wasmscope.cli._streams import say
from wasmscope.cli._symbolize_format import printable
from wasmscope.coredump import is_core_dump, read
from wasmscope.errors import CoreDumpError, ModuleFormatError
from wasmscope.wasm import Address, AddressKind

if TYPE_CHECKING:
    from wasmscope.cli._symbolize_format import AnswerFormat, JsonFormat
    from wasmscope.cli._symbolize_modules import Modules, NamedModule
    from wasmscope.coredump import CoreDump, DumpFrame

__all__ = ["dump_lines"]


def dump_lines(
    data: bytes, path: str | None, modules: Modules, show: AnswerFormat, json: JsonFormat | None
) -> Iterator[str]:
    """Give a dump's stacks as text, thread by thread.

    Args:
        data: The dump.
        path: Where it was read from; None for standard input.
        modules: The modules that ``-e`` names.
        show: How people want answers.
        json: How programs want them; None for text.

    Raises:
        CommandError: If it is a module and no dump.
        CoreDumpError: If it cannot be read.
    """
    name = "standard input" if path is None else path
    if not is_core_dump(data):
        raise CommandError(
            f"{name}: this is a module and no core dump; name it with -e, and then addresses or text",
            exit_code=CANNOT_RUN,
        )
    try:
        dump = read(data)
    except CoreDumpError as error:
        raise CoreDumpError(f"{name}: {error}") from None
    if dump.ambiguities:
        others = ", ".join(each.value for each in dump.ambiguities)
        say(f"wasmscope: {name}: read as {dump.dialect.value}; it could be {others} as well, with other stacks")
    found = _Found(dump, path, modules)
    for thread in dump.threads:
        if json is None:
            yield f"{printable(dump.executable) or 'core dump'}, thread {printable(thread.name)}:\n"
        for number, frame in enumerate(thread.frames):
            address = Address(AddressKind.FUNC, frame.code_offset, frame.function_index)
            title, module = found.module(frame)
            frames = module.frames(address) if module else ()
            if json:
                yield json.call(thread.name, address, title, frames)
                continue
            mark = f"{printable(title)}!" if title else ""
            yield f"{number:>5}: {mark}func[{frame.function_index}]+0x{frame.code_offset:x}\n"
            yield "".join(f"{line}\n" for line in show.beneath(frames, " " * 11))


class _Found:
    """Which module a call was in."""

    def __init__(self, dump: CoreDump, path: str | None, modules: Modules) -> None:
        self._dump = dump
        self._folder = os.path.dirname(path) if path else ""
        self._modules = modules
        self._given = tuple(modules.all)
        self._by_name: dict[str, NamedModule | None] = {}
        self._by_path: dict[str, NamedModule | None] = {}

    def module(self, frame: DumpFrame) -> tuple[str | None, NamedModule | None]:
        """Give what the dump calls the module, and the module if it is there."""
        name = self._name(frame)
        if name not in self._by_name:
            self._by_name[name] = self._find(name)
        return name or None, self._by_name[name]

    def _name(self, frame: DumpFrame) -> str:
        dump = self._dump
        if frame.instance_index is not None and frame.instance_index < len(dump.instances):
            module = dump.instances[frame.instance_index].module_index
            if module is not None and module < len(dump.modules):
                return dump.modules[module]
        return dump.modules[0] if len(dump.modules) == 1 else dump.executable

    def _find(self, name: str) -> NamedModule | None:
        given = self._given
        file = name.replace("\\", "/").rpartition("/")[2]
        named = [module for module in given if module.is_called(name) or module.is_called(file)]
        if named:
            return named[0]
        if given:
            # One module and a dump of one: it is meant, whatever they are called.
            return given[0] if len(given) == 1 and len(self._dump.modules) <= 1 and given[0].name is None else None
        found = self._beside(file)
        if found is None and len(self._dump.modules) <= 1:
            # Of several modules, the program is but one.
            found = self._beside(self._dump.executable.replace("\\", "/").rpartition("/")[2])
        return found

    def _beside(self, file: str) -> NamedModule | None:
        """Open the module that the dump names, if it lies beside the dump or here: never anywhere that a dump says."""
        if not file or file in (".", "..") or "\0" in file:
            return None
        for folder in dict.fromkeys((self._folder, "")):
            path = os.path.join(folder, file)
            if path not in self._by_path and os.path.isfile(path):
                self._by_path[path] = self._open(path)
            if path in self._by_path:
                return self._by_path[path]
        return None

    def _open(self, path: str) -> NamedModule | None:
        try:
            module = self._modules.open(path)
        except (CommandError, ModuleFormatError) as error:
            say(f"wasmscope: {printable(str(error))}")
            return None
        self._modules.all.append(module)
        return module
