"""Variables of all functions against llvm-dwarfdump: names, types, lines, scopes, and where they are, step by step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.dwarf_fixtures import corpus_module, dwarf_fixture
from tests.support.dwarfdump import DumpedFunction, DumpedScope, DumpedVariable, Op, read_dump
from wasmscope.dwarf import DebugVariables, FunctionVariables, Location, LocationKind, Operation, ScopeKind, Variable
from wasmscope.wasm import Address, AddressKind, Module

FIXTURES = (
    "c/O0-dwarf4",
    "c/O0-dwarf5",
    "c/O1-build-id",
    "c/O1-dwarf4",
    "c/O1-memory64",
    "c/O1-mixed",
    "c/O2-dwarf4",
    "c/O2-dwarf5",
    "c/O2-lto",
    "cpp/O0-dwarf4",
    "cpp/O0-dwarf5",
    "cpp/O1-dwarf5",
    "cpp/O1-type-units",
    "cpp/O2-dwarf4",
    "cpp/O2-dwarf5",
    "derived/native-wasm-opt",
    "derived/tombstones-in-lists",
    "rust/debug",
    "rust/release",
    "rust/release-dwarf5",
    "rust/release-v0",
    "rust/small",
    "zig/Debug",
    "zig/ReleaseSafe",
    "zig/ReleaseSmall",
)
# One of each: all of them take a minute.
PROGRAMS = ("cpp-dwarf5", "lua-dwarf4", "rust-release", "sqlite-dwarf5")
TAGS = {ScopeKind.FUNCTION: "subprogram", ScopeKind.INLINED: "inlined_subroutine", ScopeKind.BLOCK: "lexical_block"}
# The tool writes no name for what has none in the source, nothing behind `restrict`, and no keyword where C has one.
ANONYMOUS = re.compile(r"\(anonymous (?:struct|class|union|enum)[^)]*\)")
KEYWORD = re.compile(r"\b(?:struct|union|enum) ")
# Its other spellings: C's `(void)`, Rust's arrays; and the scopes that it leaves out before a typedef.
NO_PARAMETERS = "(void)"
RUST_ARRAY = re.compile(r"^\[(.*); (\d+)\]$")

Seen = tuple[str | None, bool, str | None, int | None, object]


def seen_type(name: str) -> str | None:
    """A type as the tool spells it; None where it cannot."""
    if ANONYMOUS.search(name) or "restrict" in name:
        return None
    return RUST_ARRAY.sub(r"\1[\2]", KEYWORD.sub("", name).replace(NO_PARAMETERS, "()"))


def unscoped(name: str) -> str:
    """A type's name without what is before the last `::` that is not between angle brackets."""
    depth, start = 0, 0
    for at, character in enumerate(name):
        depth += (character == "<") - (character == ">")
        if not depth and name.startswith("::", at):
            start = at + 2
    qualifiers = re.match(r"(?:const |volatile )*", name)
    return (qualifiers[0] if qualifiers and start else "") + name[start:]


def op(operation: Operation) -> Op:
    """An operation as the tool prints it: bytes of a constant one by one, after their number."""
    arguments: list[int] = []
    for argument in operation.arguments:
        if isinstance(argument, bytes):
            arguments += [len(argument), *argument]
        else:
            arguments.append(argument)
    return operation.name, () if operation.name == "DW_OP_convert" else tuple(arguments)


def ours(variable: Variable) -> Seen:
    places = tuple(
        (location.low, location.high, tuple(op(operation) for operation in location.operations))
        for location in variable.locations
        if location.operations
    )
    return variable.name, variable.is_parameter, seen_type(variable.type.name), variable.line, places


def theirs(variable: DumpedVariable, of: Seen | None) -> Seen:
    # Where our spelling has no counterpart, theirs is not looked at.
    kind: str | None = variable.type
    if of is not None and (of[2] is None or (variable.is_typedef and unscoped(of[2]) == kind)):
        kind = of[2]
    return variable.name, variable.is_parameter, kind, variable.line, variable.locations


def flat(scope: DumpedScope) -> Iterator[DumpedScope]:
    yield scope
    for inner in scope.scopes:
        yield from flat(inner)


def differences(function: FunctionVariables, dumped: DumpedFunction) -> Iterator[str]:
    """Compare scope by scope, in the order of the debug information, which both keep."""
    base = function.frame_base
    if (() if base is None else tuple(op(operation) for operation in base.operations)) != dumped.frame_base:
        yield f"frame base {base} for {dumped.frame_base}"
    scopes = list(flat(dumped.scope))
    if len(scopes) != len(function.scopes):
        yield f"{len(function.scopes)} scopes for {len(scopes)}"
        return
    for mine, their in zip(function.scopes, scopes, strict=True):
        if (TAGS[mine.kind], mine.ranges, mine.call_line) != (their.tag, their.ranges, their.call_line or None):
            yield f"scope {mine.kind} {mine.ranges} {mine.call_line} for {their.tag} {their.ranges} {their.call_line}"
        left = [ours(variable) for variable in mine.variables]
        for variable in their.variables:
            match = next((each for each in left if each == theirs(variable, each)), None)
            if match is None:
                yield f"no {variable} among {left}"
            else:
                left.remove(match)
        # What is left is what the compiler did without: it is in the source, and in this copy it has no entry.
        yield from (f"{each} too many" for each in left if each[4] != ())


def compare(path: str, module: Module, dumped: list[DumpedFunction]) -> Counter[str]:
    assert module.code is not None
    reader = DebugVariables(module)
    counts: Counter[str] = Counter()
    for low, copies in copies_by_body(module, dumped).items():
        found = reader.of(Address(AddressKind.CODE, low))
        assert found is not None, f"{path}: nothing about {copies[0].name} at {low:#x}"
        told = [list(differences(found, copy)) for copy in copies]
        assert [] in told, f"{path}: {copies[0].name}: {told[0][:3]}"
        counts["functions"] += 1
        for scope in found.scopes:
            counts["scopes"] += 1
            for variable in scope.variables:
                counts["variables"] += 1
                counts["places"] += len(variable.locations)
                counts.update(location.kind.value for location in variable.locations)
                counts["uncertain types"] += seen_type(variable.type.name) is None
    return counts


def copies_by_body(module: Module, dumped: list[DumpedFunction]) -> dict[int, list[DumpedFunction]]:
    """By a body's offset in the code section, its function's entries: several units have one of an inline function.

    Only those of the body's size count, if there are any: the others are of a function that another one replaced.
    """
    assert module.code is not None
    found: dict[int, list[tuple[bool, DumpedFunction]]] = {}
    for function in dumped:
        body = module.bodies.find(module.code.offset + function.low)
        if body is None:
            continue  # a range of old debug information
        is_whole = function.scope.ranges[-1][1] == body.end - module.code.offset
        found.setdefault(body.offset - module.code.offset, []).append((is_whole, function))
    return {
        low: [function for is_whole, function in copies if is_whole == any(is_whole for is_whole, _ in copies)]
        for low, copies in found.items()
    }


class TestFixtures:
    @pytest.mark.parametrize("name", FIXTURES)
    def test_every_variable_of_every_function(self, name: str) -> None:
        """Each variable that llvm-dwarfdump lists is found in the same scope, and only optimised-out ones besides."""
        path = dwarf_fixture(f"{name}.wasm")
        with Module.open(path) as module:
            counts = compare(name, module, read_dump(path))
        assert counts["functions"] and counts["variables"], counts
        assert counts["uncertain types"] <= counts["variables"] // 4


class TestCorpus:
    @pytest.mark.parametrize("name", PROGRAMS)
    def test_every_variable_of_every_function(self, name: str) -> None:
        """The same for real programs."""
        path = corpus_module(name)
        with Module.open(path) as module:
            counts = compare(name, module, read_dump(path))
        assert counts["functions"] > 100


class TestKinds:
    def test_all_kinds_of_places_are_in_the_fixtures(self) -> None:
        """The comparison looks at each way to get to a variable, but for a fixed address: no function has a static."""
        kinds: set[LocationKind] = set()
        for name in ("c/O0-dwarf4", "c/O2-dwarf5", "cpp/O2-dwarf5", "rust/release-dwarf5", "rust/debug"):
            with Module.open(dwarf_fixture(f"{name}.wasm")) as module:
                reader = DebugVariables(module)
                for body in module.bodies:
                    found = reader.of(Address(AddressKind.FUNC, 0, body.function_index))
                    kinds |= {place.kind for place in places(found)}
        assert kinds == set(LocationKind) - {LocationKind.MEMORY}


def places(function: FunctionVariables | None) -> Iterator[Location]:
    for scope in () if function is None else function.scopes:
        for variable in scope.variables:
            yield from variable.locations
    if function is not None and function.frame_base is not None:
        yield function.frame_base
