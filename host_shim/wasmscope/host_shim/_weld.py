"""Functions added to a module that is there already.

The addition is written as a module of its own that imports all that the other has, in the same order. So the same
number means the same thing in both, and what the addition defines can be appended, section by section, as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wasmscope.wasm import Module, encode_module, encode_section, encode_unsigned

__all__ = ["Outline", "outline", "weld"]

# Sections, in their order in a module: https://webassembly.github.io/spec/core/binary/modules.html
_TYPES: Final = 1
_ORDER: Final = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 10)
_APPENDED: Final = (1, 3, 4, 7, 9, 10)
# (func (param f32 f32 f32)), which nothing in an addition has: it stands for each type of the other module.
_PLACEHOLDER: Final = "(type (func (param f32 f32 f32)))"
_PLACEHOLDER_BYTES: Final = 6
_NO_LOCALS_I32_CONST: Final = b"\0\x41"
_END: Final = b"\x0b"


@dataclass(frozen=True, slots=True)
class Outline:
    """What is in a module, as far as an addition has to know.

    Attributes:
        types: How many types it has.
        imported: Imported functions, as (module, name), in order.
        functions: Indices of exported functions, by name.
        count: How many functions it has, imported ones included.
        globals: Indices of exported globals, by name.
        constants: What those functions and globals give that are a constant whole number, by name.
        data: What its memory holds at first: addresses and bytes.
    """

    types: int
    imported: tuple[tuple[str, str], ...]
    functions: dict[str, int]
    count: int
    globals: dict[str, int]
    constants: dict[str, int]
    data: tuple[tuple[int, bytes], ...]

    def imports(self, kinds: dict[str, str], host: dict[tuple[str, str], str], stack_pointer: str) -> str:
        """Give the begin of an addition's text: what it imports.

        Args:
            kinds: Types of the module's functions that are called, by export; they are ``$c_`` and their name.
            host: Types of its imported functions that are called; they are ``$host_`` and their name.
            stack_pointer: Name of a mutable global of type i32, which is ``$stack_pointer``. Its memory is ``$m``.
        """
        names = {self.functions[name]: f"$c_{name} {kind}" for name, kind in kinds.items()}
        for index, item in enumerate(self.imported):
            if item in host:
                names[index] = f"$host_{item[1]} {host[item]}"
        functions = "".join(f'(import "" "" (func {names.get(index, "")}))' for index in range(self.count))
        at = self.globals[stack_pointer]
        before = '(import "" "" (global i32))' * at
        return (
            f'{_PLACEHOLDER * self.types}\n{functions}\n(import "" "" (memory $m 0))\n'
            f'{before}(import "" "" (global $stack_pointer (mut i32)))\n'
        )


def outline(wasm: bytes) -> Outline:
    """Look at a module.

    Raises:
        ValueError: If it has what an addition has no place for: a table, a start function, or data that is not at a
            constant address.
    """
    module = Module(wasm)
    if module.tables() or module.has_start:
        raise ValueError("a module with a table or a start function")
    data: list[tuple[int, bytes]] = []
    for segment in module.data_segments():
        if segment.memory != 0 or segment.address is None:
            raise ValueError("a data segment that is not at a constant address")
        data.append((segment.address, wasm[segment.offset : segment.offset + segment.size]))
    exports = module.exports()
    functions = {item.name: item.index for item in exports if item.kind == "func"}
    globals_ = {item.name: item.index for item in exports if item.kind == "global"}
    constants: dict[str, int] = {}
    for name, index in functions.items():
        body = module.bodies.of_function(index)
        found = None if body is None else _constant(wasm[body.offset : body.end])
        if found is not None:
            constants[name] = found
    values = module.globals()
    for name, index in globals_.items():
        initial = values[index].initial
        if isinstance(initial, int):
            constants[name] = initial
    imported = tuple((item.module, item.name) for item in module.imports() if item.kind == "func")
    return Outline(len(module.types), imported, functions, module.function_count, globals_, constants, tuple(data))


def weld(wasm: bytes, addition: bytes) -> bytes:
    """Append to a module what another one defines that begins with `Outline.imports` of it.

    Its data is left out (`Outline.data`): to make an instance takes a third less if there is none, though it has to be
    written then.

    Args:
        wasm: The module.
        addition: What is added: types, functions, tables, exports and elements.
    """
    module, more = Module(wasm), Module(addition)
    contents = {section.id: module.contents(section) for section in module.sections if section.id}
    types = _leb(contents[_TYPES], 0)[0]
    for section in more.sections:
        if section.id not in _APPENDED:
            continue
        added = more.contents(section)
        added_count, start = _leb(added, 0)
        if section.id == _TYPES:
            added_count -= types
            start += types * _PLACEHOLDER_BYTES
        before = contents.get(section.id, b"\0")
        count, at = _leb(before, 0)
        contents[section.id] = encode_unsigned(count + added_count) + before[at:] + added[start:]
    return encode_module(encode_section(number, contents[number]) for number in _ORDER if number in contents)


def _constant(body: bytes) -> int | None:
    """Read a function's body that has no locals and gives a constant of type i32, not negative, and nothing else."""
    if body[:2] != _NO_LOCALS_I32_CONST:
        return None
    number, end = _leb(body, 2)
    return number if body[end:] == _END else None


def _leb(data: bytes, at: int) -> tuple[int, int]:
    """Read a number in groups of seven bits, the lowest first; also where the next thing begins."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return number, at
