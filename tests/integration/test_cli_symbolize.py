"""``wasmscope symbolize`` as people run it."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.support.cli import COMMAND, clean_environment, run_command
from tests.support.golden import GoldenFiles
from wasmscope.cli import main

TESTS = Path(__file__).parents[1]
FIXTURES = TESTS / "fixtures" / "dwarf"
TRACES = TESTS / "fixtures" / "traces"
APP = FIXTURES / "c" / "O1-dwarf4.wasm"


def symbolize(*arguments: str | Path, stdin: bytes = b"") -> tuple[int, bytes, str]:
    """Run the command in this process, with real standard streams; give exit code, what it wrote, and its messages."""
    said = io.StringIO()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as written:
        given.write(stdin)
        given.seek(0)
        kept = [(number, os.dup(number)) for number in (0, 1)]
        os.dup2(given.fileno(), 0)
        os.dup2(written.fileno(), 1)
        try:
            with redirect_stderr(said), redirect_stdout(io.TextIOWrapper(io.FileIO(1, "w", closefd=False))) as out:
                code = main(["symbolize", *map(str, arguments)])
                out.flush()
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
        written.seek(0)
        return code, written.read(), said.getvalue()


def answers(*arguments: str | Path, stdin: bytes = b"") -> str:
    """Run the command, which has to succeed and to have nothing to say; give standard output."""
    code, out, err = symbolize(*arguments, stdin=stdin)
    assert (code, err) == (0, "")
    return out.decode()


class TestShapes:
    """The output, in the shapes that GNU addr2line has according to its source (binutils, addr2line.c)."""

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ("", "/src/c/shapes.c:8\n"),
            ("-s", "shapes.c:8\n"),
            ("-f", "path_area\n/src/c/shapes.c:8\n"),
            ("-fi", "path_area\n/src/c/shapes.c:8\narea\n/src/c/shapes.c:21\n"),
            ("-i", "/src/c/shapes.c:8\n/src/c/shapes.c:21\n"),
            ("-a", "0x000003bb\n/src/c/shapes.c:8\n"),
            ("-pf", "path_area at /src/c/shapes.c:8\n"),
            ("-pfi", "path_area at /src/c/shapes.c:8\n (inlined by) area at /src/c/shapes.c:21\n"),
            ("-pi", "/src/c/shapes.c:8\n (inlined by) /src/c/shapes.c:21\n"),
            ("-pa", "0x000003bb: /src/c/shapes.c:8\n"),
            ("-afips", "0x000003bb: path_area at shapes.c:8\n (inlined by) area at shapes.c:21\n"),
            ("--columns", "/src/c/shapes.c:8:13\n"),
        ],
    )
    def test_known(self, options: str, expected: str) -> None:
        """A place that is known, by every combination of options that changes the shape; alone and as one of many."""
        assert answers("-e", APP, *options.split(), "0x3bb") == expected
        assert answers("-e", APP, *options.split(), stdin=b"3bb\n" * 100) == expected * 100

    @pytest.mark.parametrize(
        ("options", "expected"),
        [("", "??:0\n"), ("-f", "??\n??:0\n"), ("-pf", "?? ??:0\n"), ("-a", "0x00000010\n??:0\n")],
    )
    def test_unknown(self, options: str, expected: str) -> None:
        """A place that is in no function; of an argument, standard error says why."""
        code, out, err = symbolize("-e", APP, *options.split(), "10")

        assert (code, out.decode()) == (0, expected)
        assert "O1-dwarf4.wasm: 0x10: outside of the code, which is at 0xd8 to" in err
        assert answers("-e", APP, *options.split(), stdin=b"0x10\n" * 100) == expected * 100

    @pytest.mark.parametrize(
        ("options", "expected"), [("", "??:?\n"), ("-f", "area\n??:?\n"), ("-pf", "area at ??:?\n")]
    )
    def test_name_only(self, options: str, expected: str) -> None:
        """A place of which the function alone is known."""
        assert answers("-e", FIXTURES / "c" / "no-dwarf.wasm", *options.split(), "3bb") == expected
        assert answers("-e", FIXTURES / "c" / "no-dwarf.wasm", *options.split(), stdin=b"3bb\n" * 99) == expected * 99

    def test_demangled(self) -> None:
        """Without -C names are as the linker has them, with -C as their authors wrote them."""
        module = FIXTURES / "cpp" / "O1-dwarf5.wasm"

        assert answers("-e", module, "-f", "465").splitlines()[0] == "_ZN3geo11measure_allEPKPKNS_5shapeEii"
        assert (
            answers("-e", module, "-fC", "465").splitlines()[0].startswith("geo::measure_all(geo::shape const* const*")
        )

    def test_addresses(self) -> None:
        """Of three kinds, and with or without 0x, the same place has the same answer."""
        # wasmtime gives the function's first byte as 0x2c2; llvm-objdump -h the code section's as 0xd8.
        for words in (["3bb"], ["0x3BB"], ["--addr", "code", "2e3"], ["--addr=func", "9+f9"], ["func[9]+0xf9"]):
            assert answers("-e", APP, *words) == "/src/c/shapes.c:8\n", words

    def test_json(self) -> None:
        """With --json an answer is an object on a line of its own, and each frame says where it is from."""
        line, other = answers("-e", APP, "--json", "3bb", "10").splitlines()
        answer = json.loads(line)

        assert answer["address"] == "0x3bb"
        assert answer["kind"] == "file"
        assert [(f["function"], f["line"], f["column"], f["inlined"], f["origin"]) for f in answer["frames"]] == [
            ("path_area", 8, 13, True, "dwarf"),
            ("area", 21, 16, False, "dwarf"),
        ]
        assert json.loads(other)["frames"] == []

    def test_source(self) -> None:
        """With --source the lines around the place are shown, from where --map says that the files are."""
        out = answers("-e", APP, "--source", "1", "--map", f"/src/c={FIXTURES / 'c'}", "3bb")

        lines = (FIXTURES / "c" / "shapes.c").read_text().splitlines()
        assert out.splitlines() == ["/src/c/shapes.c:8", f"7  : {lines[6]}", f"8 >: {lines[7]}", f"9  : {lines[8]}"]

    def test_carried_source(self, tmp_path: Path) -> None:
        """With --source lines come from the source map, if it carries the file and this machine does not have it."""
        module = FIXTURES / "assemblyscript" / "release.wasm"
        carried = json.loads(module.with_name("release.wasm.map").read_bytes())
        text = (FIXTURES / "assemblyscript" / "shapes.ts").read_text()
        carried["sourcesContent"] = [text if name.endswith("shapes.ts") else None for name in carried["sources"]]
        (tmp_path / "map").write_text(json.dumps(carried))

        out = answers("-e", module, "--source-map", tmp_path / "map", "--source", "0", "0x180")

        place, line = out.splitlines()
        number = int(place.removeprefix("/src/assemblyscript/shapes.ts:"))
        assert line == f"{number} >: {text.splitlines()[number - 1]}"


class TestInput:
    def test_lines(self) -> None:
        """Addresses on standard input are answered one a line; what is no address gets an answer, too, with -."""
        assert answers("-e", APP, stdin=b"3bb\n0x3e8\r\n10\n1d9") == (
            "/src/c/shapes.c:8\n/src/c/shapes.c:29\n??:0\n/src/c/main.c:30\n"
        )
        assert answers("-e", APP, "-", stdin=b"3bb\nhello\n\n") == "/src/c/shapes.c:8\n??:0\n??:0\n"
        assert json.loads(answers("-e", APP, "--json", "-", stdin=b"hello\n")) == {
            "error": "this is no address",
            "text": "hello",
        }

    @pytest.mark.parametrize("options", ["", "-f", "-afip", "-fiCs", "-pi", "-fip --columns"])
    @pytest.mark.parametrize(
        "name", ["c/O2-dwarf5.wasm", "cpp/O2-dwarf4.wasm", "rust/release.wasm", "c/O1-lines-only.wasm"]
    )
    def test_many(self, name: str, options: str) -> None:
        """Many addresses on standard input have the same answers as one by one, as arguments."""
        addresses = [f"{address:x}" for address in range(0, (FIXTURES / name).stat().st_size, 13)]
        _, one_by_one, _ = symbolize("-e", FIXTURES / name, *options.split(), *addresses)

        assert (
            answers("-e", FIXTURES / name, *options.split(), stdin="\n".join(addresses).encode()) == one_by_one.decode()
        )

    def test_words_are_text(self) -> None:
        """Text that happens to be of hexadecimal digits alone is text."""
        assert answers("-e", APP, stdin=b"dead\nbeef\n") == "dead\nbeef\n"

    def test_conversation(self) -> None:
        """A program that asks one address at a time gets each answer before it asks the next."""
        with subprocess.Popen(
            [*COMMAND, "symbolize", "-e", str(APP), "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for address, answer in ((b"3bb\n", b"/src/c/shapes.c:8\n"), (b"3e8\n", b"/src/c/shapes.c:29\n")):
                process.stdin.write(address)
                process.stdin.flush()

                assert process.stdout.readline() == answer
            process.stdin.close()

            assert process.wait(timeout=30) == 0

    def test_text_that_goes_on(self) -> None:
        """Lines of text come out when they have come in, while more is to come."""
        with subprocess.Popen(
            [*COMMAND, "symbolize", "-e", str(APP)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\n    1:    0x3e8 - O1-dwarf4.wasm!total_area\n")
            process.stdin.flush()

            assert process.stdout.readline() == b"hello\n"
            assert process.stdout.readline().endswith(b"total_area\n")
            assert process.stdout.readline() == b"        total_area at /src/c/shapes.c:29:18\n"
            process.stdin.close()

            assert process.wait(timeout=30) == 0

    def test_reader_goes_away(self) -> None:
        """When nobody reads the output any more, the command ends and says nothing."""
        command = " ".join([*COMMAND, "symbolize", "-e", str(APP), "-"])
        finished = subprocess.run(
            ["sh", "-c", f"yes 3bb | {command} | head -1"],
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(),
        )

        assert (finished.stdout, finished.stderr) == ("/src/c/shapes.c:8\n", "")

    def test_same_bytes(self) -> None:
        """Bytes without addresses come out as they are, whatever they are."""
        data = os.urandom(5000).replace(b"0x", b"") + b"\r\n\xff\xfe\x1b[31m\0"

        assert symbolize("-e", APP, stdin=data) == (0, data, "")


class TestTraces:
    @pytest.mark.parametrize(
        "path", sorted(TRACES.glob("*.txt")) + sorted(TRACES.glob("*.json*")), ids=lambda p: p.name
    )
    def test_golden(self, path: Path, golden: GoldenFiles) -> None:
        """Each trace in `tests/fixtures/traces` comes out as people have looked at and found right."""
        module = FIXTURES / "component" / "component.wasm" if "component" in path.name else APP

        golden.check(f"symbolize/{path.name}", answers("-e", module, path))

    def test_readme(self) -> None:
        """What the README shows is what comes out."""
        readme = (TESTS.parent / "README.md").read_text()
        shown = readme.partition("traces/node.txt\n")[2].partition("\n\n")[0]

        assert "".join(f"{line[4:]}\n" for line in shown.splitlines()) == answers("-e", APP, TRACES / "node.txt")

    def test_node(self, tmp_path: Path) -> None:
        """What the Node.js of this machine prints of a trap comes out with the lines of the source."""
        node = shutil.which("node")
        if node is None:
            pytest.skip("Node.js is not installed; script/setup toolchains gets it")
        (tmp_path / "bytes.txt").write_text(",".join(map(str, APP.read_bytes())))
        trace = subprocess.run(
            [node, TRACES / "trap.mjs", tmp_path / "bytes.txt", "trap_inlined"],
            capture_output=True,
            timeout=60,
            check=True,
        ).stdout
        out = answers("-e", APP, stdin=trace)

        assert [line.strip() for line in out.splitlines() if "/src/c" in line] == [
            "path_area at /src/c/shapes.c:8:13",
            "(inlined by) area at /src/c/shapes.c:21:16",
            "total_area at /src/c/shapes.c:29:18",
            "trap_inlined at /src/c/main.c:30:12",
        ]

    @pytest.mark.parametrize("details", ["0", "1"])
    @pytest.mark.parametrize(
        ("module", "export", "innermost"),
        [
            ("c/O0-dwarf5.wasm", "trap_memory", "trap_memory at /src/c/main.c:39:"),
            ("c/O1-dwarf4.wasm", "trap_inlined", "path_area at /src/c/shapes.c:7:"),
            ("cpp/O1-dwarf5.wasm", "trap_lambda", "(anonymous namespace)::ring::measure"),
            ("component/component.wasm", "fail", "check at /src/component/guest.c:39:"),
        ],
    )
    def test_wasmtime(self, module: str, export: str, innermost: str, details: str) -> None:
        """What wasmtime says of a trap comes out with the lines of the source, each once."""
        trace = subprocess.run(
            [sys.executable, TRACES / "trap.py", FIXTURES / module, export],
            capture_output=True,
            timeout=60,
            check=True,
            env=os.environ | {"WASMTIME_BACKTRACE_DETAILS": details},
        ).stdout
        out = answers("-e", FIXTURES / module, stdin=trace)
        places = [line.strip() for line in out.splitlines() if "/src/" in line]

        assert places[0].startswith(innermost)
        assert len(set(places)) == len(places)
        assert "                    at" not in out

    def test_own_trap(self) -> None:
        """What `wasmscope run` says of a trap comes out with the lines of the source."""
        module = FIXTURES / "rust" / "release.wasm"
        trace = run_command("run", "-v", "--invoke", "trap_index", module, "99")
        code, out, _ = symbolize("-e", module, stdin=trace.stderr.encode())

        assert code == 0
        assert "look_up" in out.decode()


class TestModules:
    def test_several(self) -> None:
        """Of several modules the one answers that the frame names; -e NAME=MODULE gives one a name."""
        text = b"  0:  0x3e8 - one!total_area\n  1:  0x465 - two!geo::measure_all\n  2:  0x3e8 - three!x\n"
        out = answers("-e", f"one={APP}", "-e", f"two={FIXTURES / 'cpp' / 'O1-dwarf5.wasm'}", stdin=text)

        assert out.splitlines()[1].strip() == "total_area at /src/c/shapes.c:29:18"
        assert out.splitlines()[3].strip().startswith("geo::measure_all(")
        assert out.splitlines()[4:] == ["  2:  0x3e8 - three!x"]

    def test_none_for_certain(self) -> None:
        """A frame without a name, at a place that two modules have in a function of that number, is not answered."""
        text = b"    at wasm://wasm/3a8eea0a:wasm-function[10]:0x3e8\n"
        other = FIXTURES / "c" / "no-names.wasm"

        assert answers("-e", f"a={APP}", "-e", f"b={other}", stdin=text).encode() == text
        assert "shapes.c:29" in answers("-e", f"a={APP}", "-e", f"b={FIXTURES / 'rust' / 'small.wasm'}", stdin=text)

    def test_another_module(self) -> None:
        """A frame of a function that is not there is not answered with what happens to be at the place."""
        text = b"    at wasm://wasm/3a8eea0a:wasm-function[2]:0x3e8\n"
        code, out, err = symbolize("-e", APP, stdin=text)

        assert (code, out) == (0, text)
        assert "0x3e8 is not in function 2 here" in err
        assert "is this the module that ran?" in err

    def test_stale(self) -> None:
        """Debug information that does not fit the code is not used, which is said once; names are."""
        module = FIXTURES / "derived" / "npm-wasm-opt.wasm"
        code, out, err = symbolize("-e", module, "-f", stdin=b"3bb\n3e8\n")

        assert code == 0
        assert out.count(b"??:?") == 2
        assert err.count("stale") == 1


class TestDumps:
    def test_stacks(self, tmp_path: Path) -> None:
        """A core dump's stacks are shown with the source of each call; from a file, and from standard input."""
        dump = core_dump("O1-dwarf4.wasm", [(9, 0xF9), (10, 0x2A), (3, 0x59)])
        (tmp_path / "x.core").write_bytes(dump)
        expected = [
            "app, thread main:",
            "    0: O1-dwarf4.wasm!func[9]+0xf9",
        ]
        out = answers("-e", APP, tmp_path / "x.core").splitlines()

        assert out[:2] == expected
        assert [line.strip() for line in out[2:4]] == [
            "path_area at /src/c/shapes.c:8:13",
            "(inlined by) area at /src/c/shapes.c:21:16",
        ]
        assert answers("-e", APP, stdin=dump).splitlines() == out
        assert answers("-e", APP, "-e", tmp_path / "x.core").splitlines() == out

    def test_json(self, tmp_path: Path) -> None:
        """With --json there is an object for each call."""
        (tmp_path / "x.core").write_bytes(core_dump("O1-dwarf4.wasm", [(9, 0xF9), (10, 0x2A)]))
        first, second = map(json.loads, answers("-e", APP, "--json", tmp_path / "x.core").splitlines())

        assert (first["thread"], first["kind"], first["function_index"], first["address"]) == (
            "main",
            "func",
            9,
            "0xf9",
        )
        assert [frame["line"] for frame in first["frames"] + second["frames"]] == [8, 21, 29]

    def test_module_beside(self, tmp_path: Path) -> None:
        """Without -e, the module is the file of the dump's name beside the dump; a path in the name is not followed."""
        (tmp_path / "x.core").write_bytes(core_dump("../../somewhere/app.wasm", [(10, 0x2A)]))
        shutil.copy(APP, tmp_path / "app.wasm")

        assert "total_area at /src/c/shapes.c" in answers(tmp_path / "x.core")

    def test_modules_beside(self, tmp_path: Path) -> None:
        """Without -e, each module that the dump names is looked for; one that is not there is not another one."""
        (tmp_path / "x.core").write_bytes(core_dump("a/one.wasm", [(10, 0x2A)], "a/two.wasm"))
        shutil.copy(APP, tmp_path / "one.wasm")
        shutil.copy(APP, tmp_path / "app")
        assert answers(tmp_path / "x.core").count("total_area at /src/c/shapes.c") == 1

        shutil.copy(APP, tmp_path / "two.wasm")
        assert answers(tmp_path / "x.core").count("total_area at /src/c/shapes.c") == 2

    def test_module_as_input(self) -> None:
        """A module in place of text is refused, with what to do."""
        code, _, err = symbolize("-e", APP, APP)

        assert code == 126
        assert "a module and no core dump; name it with -e" in err


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["12"], 2, "which module? name it with -e"),
            (["-e", "nowhere.wasm", "12"], 127, "nowhere.wasm: there is no such file"),
            (["-e", str(FIXTURES), "12"], 126, "this is a folder"),
            (["-e", __file__, "12"], 126, "test_cli_symbolize.py: "),
            (["-e", str(APP), "xyz"], 2, "'xyz' is neither an address nor a file"),
            (["-e", str(APP), "12", "xyz"], 2, "'xyz' is no address"),
            (["-e", str(APP), "--addr", "func", "12"], 2, "FUNCTION+OFFSET, for example 12+12"),
            (["-e", str(APP), "--addr", "x", "12"], 2, "'x' is not one of file, code, func"),
            (["-e", str(APP), "--nope"], 2, "there is no option '--nope'"),
            (["-e", str(APP), "-afz", "12"], 2, "there is no option '-z' (in '-afz')"),
            (["-e"], 2, "-e needs a value"),
            (["-e", str(APP), "-e", str(APP), "12"], 2, "which of the modules"),
            (["-e", str(APP), "--source", "x", "12"], 2, "--source 'x' is not a number of lines"),
            (["-e", str(APP), "--map", "x", "12"], 2, "--map 'x' is not FROM=TO"),
        ],
    )
    def test_one_line(self, arguments: list[str], code: int, message: str) -> None:
        """Wrong input has one line: what, where, and what to try."""
        found, out, err = symbolize(*arguments)

        assert (found, out) == (code, b"")
        assert message in err
        assert err.startswith("wasmscope: ")
        assert err.count("\n") == 1

    def test_module_from_a_pipe(self) -> None:
        """A module can come from a pipe, as a shell's <(...) makes one."""
        near, far = os.pipe()
        os.write(far, APP.read_bytes())
        os.close(far)
        try:
            assert answers("-e", f"/dev/fd/{near}", "0x3bb") == "/src/c/shapes.c:8\n"
        finally:
            os.close(near)

    @pytest.mark.parametrize("arguments", [(), ("-",)])
    def test_standard_input_that_cannot_be_read(self, arguments: tuple[str, ...]) -> None:
        """Standard input that does not wait, and has nothing yet, gives one line that is not about a defect of ours."""
        near, far = os.pipe()
        os.set_blocking(near, False)
        try:
            found = subprocess.run([*COMMAND, "symbolize", "-e", APP, *arguments], stdin=near, capture_output=True)
        finally:
            os.close(near)
            os.close(far)

        assert found.returncode == 126
        assert found.stderr == b"wasmscope: standard input cannot be read: Resource temporarily unavailable\n"

    def test_help(self) -> None:
        """--help shows the options, and succeeds."""
        assert answers("--help").startswith("usage: wasmscope symbolize -e MODULE")


class TestStart:
    def test_process(self) -> None:
        """As a process of its own, the command does the same."""
        finished = run_command("symbolize", "-e", APP, "-f", "3bb")

        assert (finished.exit_code, finished.stdout, finished.stderr) == (0, "path_area\n/src/c/shapes.c:8\n", "")

    def test_light(self) -> None:
        """Answering an address loads neither wasmtime's Python package nor OpenTelemetry, rich or argparse."""
        code = (
            "import sys; from wasmscope.cli import main; "
            f"main(['symbolize', '-e', {str(APP)!r}, '3bb']); "
            "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        loaded = set(out.splitlines()[1].split())

        assert not loaded & {"argparse", "opentelemetry", "rich", "structlog", "wasmtime", "json"}

    def test_fast(self) -> None:
        """One address of a small module takes little more than Python itself, which takes 10 ms or so to start."""

        def cpu_seconds(*command: str) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        cpu_seconds(*COMMAND, "symbolize", "-e", str(APP), "3bb")
        ours = min(cpu_seconds(*COMMAND, "symbolize", "-e", str(APP), "3bb") for _ in range(5))
        python = min(cpu_seconds(sys.executable, "-c", "pass") for _ in range(5))

        assert ours < 15 * python


def core_dump(module: str, frames: list[tuple[int, int]], *more: str) -> bytes:
    """A dump of one thread, by hand from tool-conventions' Coredump.md.

    Frames are (function, offset), in an instance of the module, and then again in one of each of the other modules.
    """

    def leb(number: int) -> bytes:
        out = bytearray()
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes([*out, number])

    def name(text: str) -> bytes:
        return leb(len(text.encode())) + text.encode()

    def custom(title: str, data: bytes) -> bytes:
        body = name(title) + data
        return b"\0" + leb(len(body)) + body

    modules = (module, *more)
    calls = [(number, *frame) for number in range(len(modules)) for frame in frames]
    stack = b"".join(b"\0" + leb(number) + leb(function) + leb(offset) + b"\0\0" for number, function, offset in calls)
    instances = b"".join(b"\0" + leb(number) + b"\0\0" for number in range(len(modules)))
    return (
        b"\0asm\1\0\0\0"
        + custom("core", b"\0" + name("app"))
        + custom("coremodules", leb(len(modules)) + b"".join(b"\0" + name(each) for each in modules))
        + custom("coreinstances", leb(len(modules)) + instances)
        + custom("corestack", b"\0" + name("main") + leb(len(calls)) + stack)
    )
