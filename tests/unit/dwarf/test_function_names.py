from __future__ import annotations

from tests.unit.wasm.encoding import custom, leb, module, name, section, vector
from wasmscope.dwarf import Origin
from wasmscope.dwarf._demangle import demangle
from wasmscope.dwarf._function_names import FunctionName, FunctionNames
from wasmscope.wasm import Module


def names_section(names: dict[int, str]) -> bytes:
    entries = vector(*(leb(index) + name(text) for index, text in names.items()))
    return custom("name", b"\1" + leb(len(entries)) + entries)


TYPES = section(1, vector(b"\x60\0\0"))
IMPORTS = section(2, vector(name("env") + name("log") + b"\0\0", name("env") + name("now") + b"\0\0"))
FUNCTIONS = section(3, vector(b"\0", b"\0"))
EXPORTS = section(7, vector(name("run") + b"\0\2", name("again") + b"\0\2", name("memory") + b"\2\3"))


class TestOrder:
    def test_who_says_it(self) -> None:
        """The name section comes first, then exports (the first one), then imports, then nobody."""
        found = FunctionNames(Module(module(TYPES, IMPORTS, FUNCTIONS, EXPORTS, names_section({1: "clock"}))), [])

        assert [found.find(index) for index in range(4)] == [
            FunctionName("env.log", None, Origin.IMPORTS),
            FunctionName("clock", None, Origin.NAMES),
            FunctionName("run", None, Origin.EXPORTS),
            FunctionName(None, None, Origin.INDEX),
        ]

    def test_no_such_function(self) -> None:
        """An index that no function has gives no name, below 0 as above all."""
        found = FunctionNames(Module(module(TYPES, IMPORTS, FUNCTIONS, EXPORTS)), [])

        assert {found.find(index).origin for index in (-1, -2, 4, 2**40)} == {Origin.INDEX}

    def test_empty_name(self) -> None:
        """An empty name is none."""
        found = FunctionNames(Module(module(TYPES, IMPORTS, FUNCTIONS, EXPORTS, names_section({2: "", 3: ""}))), [])

        assert [found.find(index).origin for index in (2, 3)] == [Origin.EXPORTS, Origin.INDEX]

    def test_from_a_debug_file(self) -> None:
        """What a debug file has stands behind the module's own name section, and before its exports."""
        found = FunctionNames(Module(module(TYPES, IMPORTS, FUNCTIONS, EXPORTS, names_section({1: "clock"}))), [])
        found.add({1: "other", 2: "inner"})

        assert [found.find(index).name for index in (1, 2)] == ["clock", "inner"]

    def test_broken_sections(self) -> None:
        """Sections that cannot be read say nothing, and are no error."""
        found = FunctionNames(Module(module(section(2, b"\xff"), section(7, b"\5"), custom("name", b"\1\xff"))), [])

        assert found.find(0) == FunctionName(None, None, Origin.INDEX)


class TestDemangle:
    def test_languages(self) -> None:
        """Names of Rust (legacy and v0) and C++ become what c++filt and rustfilt print; others stay."""
        assert demangle(
            [
                "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
                "_RNvCs1234_7mycrate3foo",
                "_ZNSt6vectorIiSaIiEE9push_backEOi",
                "__ZN3geo4areaEf",
                "main",
                "_Znothing",
                "_R",
                "",
            ]
        ) == {
            "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE": "core::fmt::Formatter::write_str",
            "_RNvCs1234_7mycrate3foo": "mycrate::foo",
            "_ZNSt6vectorIiSaIiEE9push_backEOi": "std::vector<int, std::allocator<int> >::push_back(int&&)",
            "__ZN3geo4areaEf": "geo::area(float)",
        }

    def test_many(self) -> None:
        """Thousands of names are demangled in one go, each with its own meaning."""
        names = [f"_ZN1a{len(str(n)) + 1}f{n}Ev" for n in range(5000)]

        assert demangle(names) == {mangled: f"a::f{n}()" for n, mangled in enumerate(names)}

    def test_hostile(self) -> None:
        """Names that stand for gigabytes, nest without end, or hold any character, end quickly and harm no other."""
        bomb = "_ZN1a1bE" + "".join(f"S{n:X}_" for n in range(3000))
        nested = "_Z" + "P" * 10_000 + "i"
        huge = "_Z1f" + "I" * 8000
        doubling = "_ZN1aIiEE" + "IS_S_" * 500

        found = demangle([bomb, nested, huge, doubling, "_Z" + "x" * 1_000_000, "_Z1f\0i", "_Zä", "_Z1fi"])
        assert found["_Z1fi"] == "f(int)"
        assert all(len(meaning) <= 16 * 1024 for meaning in found.values())
