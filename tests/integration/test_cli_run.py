from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.support.cli import COMMAND, clean_environment, run_command

PROGRAM = """
(module $program
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $folder (param i32 i32 i32) (result i32)))
  (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "to stdout\\nto stderr\\n\\1b[31mred")
  (func $print (param $fd i32) (param $from i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $from))
    (i32.store (i32.const 4) (local.get $size))
    (if (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 74)))))
  (func (export "_start")
    (call $print (i32.const 1) (i32.const 1024) (i32.const 10))
    (call $print (i32.const 2) (i32.const 1034) (i32.const 10)))
  (func (export "exit") (param i32) (call $exit (local.get 0)))
  (func (export "crash") unreachable)
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "many") (result i32 i64 f64) (i32.const 1) (i64.const 2) (f64.const 0.5))
  (func (export "loop") (call $print (i32.const 1) (i32.const 1024) (i32.const 10)) (loop br 0))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "wait")
    (call $print (i32.const 1) (i32.const 1024) (i32.const 10))
    (i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "arguments")
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 4096) (i32.const 8192)))
    (call $print (i32.const 1) (i32.const 8192) (i32.load (i32.const 4))))
  (func (export "variables") (local $size i32)
    (drop (call $environ_sizes (i32.const 0) (i32.const 4)))
    (local.set $size (i32.load (i32.const 4)))
    (drop (call $environ (i32.const 4096) (i32.const 8192)))
    (call $print (i32.const 1) (i32.const 8192) (local.get $size)))
  (func (export "folder") (param $size i32)
    (drop (call $folder (i32.const 3) (i32.const 8192) (local.get $size)))
    (call $print (i32.const 1) (i32.const 8192) (local.get $size)))
  (func (export "log")
    (call $log (i32.const 0) (i32.const 13) (i64.const 0) (i32.const 1024) (i32.const 9) (i32.const 0) (i32.const 0)))
  (func (export "misbehave")
    (call $log (i32.const 0) (i32.const 99) (i64.const 0) (i32.const 1044) (i32.const 8) (i32.const 0) (i32.const 0))
    (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const -1) (i32.const 9) (i32.const 0) (i32.const 0))))
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "file.wasm"
    path.write_bytes(bytes(wasmtime.wat2wasm(PROGRAM)))
    return path


def one_line(stderr: str) -> str:
    """The only line, which is ours."""
    assert stderr.count("\n") == 1
    assert stderr.startswith("wasmscope: ")
    assert "Traceback" not in stderr
    return stderr


class TestOutput:
    def test_program(self, program: Path) -> None:
        """The guest's output goes where it always goes; afterwards the tree, on standard error, has it too."""
        found = run_command("run", program)

        assert found.exit_code == 0
        assert found.stdout == "to stdout\n"
        before, _, tree = found.stderr.partition("trace ")
        assert before == "to stderr\n"
        for text in ("wasmscope run", "wasm.call _start", "to stdout", "to stderr", "guests"):
            assert text in tree
        assert "\x1b" not in tree

    def test_quiet(self, program: Path) -> None:
        """With -q there is the guest's output only."""
        found = run_command("run", "-q", program)

        assert (found.stdout, found.stderr) == ("to stdout\n", "to stderr\n")

    def test_results(self, program: Path) -> None:
        """Results of --invoke are printed one a line, as wasmtime does."""
        assert run_command("run", "-q", "--invoke", "divide", program, "7", "-2").stdout == "-3\n"
        assert run_command("run", "-q", "--invoke", "many", program).stdout == "1\n2\n0.5\n"

    def test_json(self, program: Path) -> None:
        """With --json standard output is OTLP, a request a line, and the guest's goes to standard error."""
        found = run_command("run", "-q", "--json", "--tenant", "acme", program)
        requests = [json.loads(line) for line in found.stdout.splitlines()]

        assert sorted(key for request in requests for key in request) == [
            "resourceLogs",
            "resourceMetrics",
            "resourceSpans",
        ]
        assert {span["name"] for span in spans(requests)} == {"wasmscope run", "wasm.call _start", "wasm.instantiate"}
        assert resource(requests[0])["service.name"] == "program"
        assert found.stderr == "to stdout\nto stderr\n"

    def test_verbose_trap(self, program: Path) -> None:
        """With -v the tree has the backtrace of a trap."""
        plain, verbose = (run_command("run", *more, "--invoke", "crash", program).stderr for more in ((), ("-v",)))

        assert "program!" not in plain
        assert "program!" in verbose

    def test_terminal(self, program: Path) -> None:
        """On a terminal there is colour, unless NO_COLOR is set; the width is the terminal's."""
        coloured = on_terminal(program, 80)
        plain = on_terminal(program, 120, NO_COLOR="1")

        assert "\x1b[" in coloured
        assert "\x1b[" not in plain
        assert max(map(len, plain.splitlines())) > 100

    def test_module_given_as_text(self, tmp_path: Path) -> None:
        """A .wat file runs as it is."""
        path = tmp_path / "x.wat"
        path.write_text(PROGRAM)

        assert run_command("run", "-q", path).stdout == "to stdout\n"


def on_terminal(program: Path, columns: int, **variables: str) -> str:
    """Run with standard error on a terminal of a width; gives what it shows."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in clean_environment(TERM="xterm", **variables).items() if k != "COLUMNS"}
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [*COMMAND, "run", str(program)], stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # what Linux says at the end of a terminal
                break
            if not part:
                break
            shown += part
        assert process.wait(60) == 0
    os.close(ours)
    return shown.decode()


def spans(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        span
        for request in requests
        for resource_spans in request.get("resourceSpans", ())
        for scope in resource_spans["scopeSpans"]
        for span in scope["spans"]
    ]


def resource(request: dict[str, Any]) -> dict[str, str]:
    (items,) = request.values()
    return {a["key"]: a["value"].get("stringValue") for a in items[0]["resource"]["attributes"]}


class TestGuest:
    def test_arguments(self, tmp_path: Path, program: Path) -> None:
        """The program gets the file's name and what follows it, word by word."""
        path = tmp_path / "x.wasm"
        renamed = PROGRAM.replace('(export "_start")', '(export "old")').replace('"arguments"', '"_start"')
        path.write_bytes(bytes(wasmtime.wat2wasm(renamed)))

        assert run_command("run", "-q", path, "--otlp", "-q", "ä b").stdout == "x.wasm\0--otlp\0-q\0ä b\0"

    def test_variables(self, program: Path) -> None:
        """The guest's variables are those given, and the trace context; not ours."""
        found = run_command("run", "-q", "--env", "A=1", "--env", "HERE", "--invoke", "variables", program, HERE="h")
        names = dict(pair.split("=", 1) for pair in found.stdout.rstrip("\0").split("\0"))

        assert names.keys() == {"A", "HERE", "TRACEPARENT"}
        assert (names["A"], names["HERE"]) == ("1", "h")

    def test_folder(self, tmp_path: Path, program: Path) -> None:
        """A folder is seen under the name after the two colons."""
        found = run_command("run", "-q", "--dir", f"{tmp_path}::/data", "--invoke", "folder", program, "5")

        assert found.stdout == "/data"

    @pytest.mark.parametrize("code", [0, 1, 2, 125])
    def test_exit_code(self, program: Path, code: int) -> None:
        """The guest's exit code is the command's."""
        assert run_command("run", "-q", "--invoke", "exit", program, str(code)).exit_code == code

    def test_trap(self, program: Path) -> None:
        """A trap is exit code 134, and its reason stands in the last line and in the tree."""
        found = run_command("run", "--invoke", "divide", program, "1", "0")

        assert found.exit_code == 134
        assert found.stdout == ""
        assert found.stderr.splitlines()[-1] == "wasmscope: program trapped: integer divide by zero"
        assert found.stderr.count("integer divide by zero") >= 2

    def test_name(self, program: Path) -> None:
        """The module is called as asked for, else by its own name."""
        found = run_command("run", "--name", "other", "--module-version", "1.2", "--tenant", "acme", program)

        assert "other 1.2 · acme" in found.stderr
        assert "program" not in found.stderr

    def test_misbehaving(self, program: Path) -> None:
        """What could not be used of a guest's telemetry is told and counted, and harmless to the terminal."""
        found = run_command("run", "--invoke", "misbehave", program)

        assert found.exit_code == 0
        assert "rejected from program: 1 severity, 1 out_of_bounds" in found.stderr
        assert "[wasmscope.host_shim]" in found.stderr
        assert "\x1b" not in found.stderr

    def test_stdin(self, program: Path) -> None:
        """The guest reads what the command gets."""
        assert run_command("run", "-q", "--invoke", "wait", program, stdin="x").exit_code == 0


class TestLimits:
    def test_fuel(self, program: Path) -> None:
        """Without enough fuel a guest traps; with enough, what it used stands in the accounts."""
        empty = run_command("run", "-W", "fuel=1000", "--invoke", "loop", program)
        enough = run_command("run", "-W", "fuel=1000", "--invoke", "divide", program, "6", "3")

        assert empty.exit_code == 134
        assert "all fuel consumed" in empty.stderr.splitlines()[-1]
        assert "fuel" in enough.stderr
        assert enough.exit_code == 0

    def test_timeout(self, program: Path) -> None:
        """When its time is over the guest is stopped, and the tree shows how far it came."""
        started = time.monotonic()
        found = run_command("run", "-W", "timeout=200ms", "--invoke", "loop", program)

        assert found.exit_code == 134
        assert found.stderr.splitlines()[-1] == "wasmscope: program was stopped: its time of 0.2 s is over"
        assert "wasm.call loop" in found.stderr
        assert time.monotonic() - started < 30

    def test_memory(self, program: Path) -> None:
        """Memory beyond the limit is not given; a module that needs more to begin with cannot run."""
        grown = run_command("run", "-q", "-W", "max-memory-size=131072", "--invoke", "grow", program, "1")
        refused = run_command("run", "-W", "max-memory-size=65536", program)

        assert grown.stdout == "-1\n"
        assert refused.exit_code == 126
        assert "memory" in one_line(refused.stderr)


class TestStopping:
    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, "run", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )

    def wait_for_the_guest(self, process: subprocess.Popen[str]) -> None:
        """Wait for what the guest writes first."""
        assert process.stdout is not None
        assert process.stdout.readline() == "to stdout\n"

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_loop(self, program: Path, number: int, code: int) -> None:
        """Ctrl-C stops a guest that loops for ever, and the tree shows what it did until then."""
        process = self.start("--invoke", "loop", program)
        self.wait_for_the_guest(process)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)

        assert process.returncode == code
        assert "wasm.call loop" in stderr
        assert stderr.splitlines()[-1] == "wasmscope: program was stopped"
        assert "Traceback" not in stderr

    def test_waiting(self, program: Path) -> None:
        """Ctrl-C ends the command also while the guest waits for input, which nothing can interrupt."""
        process = self.start("--invoke", "wait", program)
        self.wait_for_the_guest(process)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
        passed = time.monotonic() - started
        stderr = process.stderr.read() if process.stderr else ""
        process.communicate()

        assert code == 130
        assert passed < 10
        assert stderr == "\nwasmscope: stopped\n"


class TestBrokenStreams:
    def test_nobody_reads(self, program: Path) -> None:
        """When nobody reads the results any more, the command ends as others do, without a word."""
        reader, writer = os.pipe()
        os.close(reader)
        found = subprocess.run(
            [*COMMAND, "run", "-q", "--invoke", "many", str(program)],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        os.close(writer)

        assert (found.returncode, found.stderr) == (141, b"")

    def test_nobody_reads_json(self, program: Path) -> None:
        """The same for telemetry as JSON."""
        reader, writer = os.pipe()
        os.close(reader)
        found = subprocess.run(
            [*COMMAND, "run", "-q", "--json", str(program)],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        os.close(writer)

        assert (found.returncode, found.stderr) == (141, b"to stdout\nto stderr\n")

    def test_full(self, program: Path) -> None:
        """Where standard output is full, one line says so; where standard error is, the guest does not suffer."""
        with Path("/dev/full").open("w") as full:
            stdout_full = subprocess.run(
                [*COMMAND, "run", "-q", "--invoke", "many", str(program)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=clean_environment(),
            )
            stderr_full = subprocess.run(
                [*COMMAND, "run", "--invoke", "many", str(program)],
                stdout=subprocess.PIPE,
                stderr=full,
                text=True,
                env=clean_environment(),
            )

        assert stdout_full.returncode == 125
        assert "No space left" in one_line(stdout_full.stderr)
        assert (stderr_full.returncode, stderr_full.stdout) == (0, "1\n2\n0.5\n")

    def test_full_json(self, program: Path) -> None:
        """One line says that telemetry as JSON cannot be written, once: also when Python closes the stream."""
        with Path("/dev/full").open("w") as full:
            found = subprocess.run(
                [*COMMAND, "run", "-q", "--json", "--invoke", "many", str(program)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=clean_environment(),
            )

        assert found.returncode == 0
        assert found.stderr.count("No space left") == 1
        assert "not delivered to the JSON stream" in found.stderr.splitlines()[-1]

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed(self, program: Path, closed: str) -> None:
        """Streams that are closed from the start are no danger, and what the guest writes there goes nowhere."""
        found = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, "run", str(program)],
            capture_output=True,
            text=True,
            env=clean_environment(),
        )

        assert found.returncode == 0
        assert found.stdout == ("" if ">&- " in f"{closed} ".replace("2>&-", "") else "to stdout\n")
        assert ("wasm.call _start" in found.stderr) == ("2>&-" not in closed)


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "code", "words"),
        [
            pytest.param("(module", 126, ".wat:1:", id="text with a mistake"),
            pytest.param('(module (func (export "_start") (result i32)))', 126, "not a valid module", id="invalid"),
            pytest.param("(component)", 126, "component", id="component"),
            pytest.param("(module)", 126, "no _start", id="nothing to run"),
            pytest.param('(module (import "env" "f" (func)) (func (export "_start")))', 126, "env.f", id="import"),
            pytest.param(
                '(module (import "wasmscope_v1" "beam" (func)) (func (export "_start")))',
                126,
                "wasmscope_v1.beam",
                id="ABI function",
            ),
            pytest.param(
                '(module (import "wasmscope_v1" "log" (func (param v128))) (func (export "_start")))',
                126,
                "wasmscope_v1.log",
                id="ABI type",
            ),
        ],
    )
    def test_module(self, tmp_path: Path, text: str, code: int, words: str) -> None:
        """A module that cannot run is refused with one line that says why."""
        path = tmp_path / "x.wat"
        path.write_text(text)
        found = run_command("run", path)

        assert found.exit_code == code
        assert words in one_line(found.stderr)
        assert found.stdout == ""

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ((), 2, "which MODULE"),
            (("nix.wasm",), 127, "nix.wasm: there is no such file"),
            (("/",), 126, "folder"),
            (("--bogus", "PROGRAM"), 2, "--bogus"),
            (("--invoke", "nix", "PROGRAM"), 126, "it exports _start"),
            (("--invoke", "divide", "PROGRAM"), 126, "takes 2 arguments, none was given"),
            (("--invoke", "divide", "PROGRAM", "1", "x"), 126, "argument 2"),
            (("--dir", "/nix", "PROGRAM"), 2, "no such folder"),
            (("--otlp=ftp://x", "PROGRAM"), 2, "ftp://x"),
        ],
    )
    def test_command_line(self, program: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
        """A command line that cannot be served is answered with one line."""
        found = run_command("run", *(str(program) if a == "PROGRAM" else a for a in arguments))

        assert found.exit_code == code
        assert words in one_line(found.stderr)

    def test_words_that_are_not_utf8(self, program: Path) -> None:
        """A guest's argument that is not UTF-8 cannot be given to it, and this is said."""
        found = subprocess.run(
            [*COMMAND, "run", str(program), b"\xff"], capture_output=True, env=clean_environment(PYTHONUTF8="1")
        )

        assert found.returncode == 2
        assert b"not UTF-8" in found.stderr

    @pytest.mark.parametrize("name", ["OTEL_PROPAGATORS", "OTEL_TRACES_EXPORTER"])
    def test_environment(self, program: Path, name: str) -> None:
        """A variable with an unknown value is named, with the values there are."""
        found = run_command("run", program, **{name: "bogus"})

        assert found.exit_code == 2
        assert f"{name}='bogus'" in one_line(found.stderr)

    def test_unknown_sampler(self, program: Path) -> None:
        """An unknown sampler is a warning, as OpenTelemetry has it, and it reaches people."""
        found = run_command("run", "-q", program, OTEL_TRACES_SAMPLER="bogus")

        assert found.exit_code == 0
        assert "[warning" in found.stderr
        assert "bogus" in found.stderr

    def test_commands(self) -> None:
        """Unknown commands are answered with what to type; no command with the help."""
        assert "wasmscope run x.wasm" in one_line(run_command("x.wasm").stderr)
        assert run_command("x.wasm").exit_code == 2
        assert "usage: wasmscope" in run_command().stdout
        assert run_command("--version").stdout.startswith("wasmscope ")
        assert "--invoke" in run_command("run", "--help").stdout


class TestEnvironment:
    def test_parent(self, program: Path) -> None:
        """A trace context in the environment is continued."""
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        found = run_command("run", "-q", "--json", program, TRACEPARENT=parent)
        requests = [json.loads(line) for line in found.stdout.splitlines()]

        assert {span["traceId"] for span in spans(requests)} == {"0af7651916cd43dd8448eb211c80319c"}
        assert [s["parentSpanId"] for s in spans(requests) if s["name"] == "wasmscope run"] == ["b7ad6b7169203331"]

    def test_resource(self, program: Path) -> None:
        """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES describe the service."""
        found = run_command(
            "run", "-q", "--json", program, OTEL_SERVICE_NAME="mine", OTEL_RESOURCE_ATTRIBUTES="deployment=test"
        )
        described = resource(json.loads(found.stdout.splitlines()[0]))

        assert (described["service.name"], described["deployment"]) == ("mine", "test")

    def test_disabled(self, program: Path) -> None:
        """OTEL_SDK_DISABLED turns telemetry off, and the guest runs."""
        found = run_command("run", "--json", program, OTEL_SDK_DISABLED="true")

        assert (found.exit_code, found.stdout) == (0, "")

    def test_sampler(self, program: Path) -> None:
        """A sampler that keeps nothing leaves no spans."""
        found = run_command("run", "-q", "--json", program, OTEL_TRACES_SAMPLER="always_off")

        assert spans([json.loads(line) for line in found.stdout.splitlines()]) == []

    def test_unknown_sampler(self, program: Path) -> None:
        """A sampler that this SDK does not have is warned of and ignored, as OpenTelemetry's specification asks."""
        found = run_command("run", "-q", "--json", program, OTEL_TRACES_SAMPLER="bogus")

        assert found.exit_code == 0
        assert "bogus" in found.stderr
        assert spans([json.loads(line) for line in found.stdout.splitlines()])

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_unreachable(self, program: Path, protocol: str) -> None:
        """Nobody at the endpoint: the guest runs as ever, and one line at the end says what was lost, and why."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        found = run_command(
            "run", "-q", f"--otlp=http://127.0.0.1:{port}", program, OTEL_EXPORTER_OTLP_PROTOCOL=protocol
        )

        assert found.exit_code == 0
        assert found.stdout == "to stdout\n"
        (line,) = found.stderr.removeprefix("to stderr\n").splitlines()
        assert line.startswith("wasmscope: 3 spans, 2 log records")
        assert f"not delivered to http://127.0.0.1:{port} ({protocol})" in line
        assert "listening" in line

    def test_silent(self, program: Path) -> None:
        """Somebody at the endpoint who never answers does not hold the command for longer than a few seconds."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            started = time.monotonic()
            found = run_command("run", "-q", f"--otlp=http://127.0.0.1:{silent.getsockname()[1]}", program)

        assert found.exit_code == 0
        assert "not delivered" in found.stderr
        assert time.monotonic() - started < 20


class TestStartUp:
    """What takes long to load is loaded when it is needed."""

    @pytest.mark.parametrize(
        ("arguments", "unneeded"),
        [
            (["--help"], {"wasmtime", "opentelemetry", "rich", "structlog", "grpc"}),
            (["run", "--help"], {"wasmtime", "opentelemetry", "rich", "structlog", "grpc"}),
            (["run", "-q", "PROGRAM"], {"rich", "structlog", "grpc", "requests", "google"}),
            (["run", "PROGRAM"], {"structlog", "grpc", "requests", "google"}),
        ],
    )
    def test_imports(self, program: Path, arguments: list[str], unneeded: set[str]) -> None:
        """Drawing, structured logs, exporters and the runtime are not loaded by those that do without."""
        words = [str(program) if a == "PROGRAM" else a for a in arguments]
        found = subprocess.run(
            [sys.executable, "-X", "importtime", *COMMAND[1:], *words],
            capture_output=True,
            text=True,
            env=clean_environment(),
        )
        loaded = {
            line.rpartition("|")[2].strip().partition(".")[0]
            for line in found.stderr.splitlines()
            if line.startswith("import time:")
        }

        assert found.returncode == 0
        assert "wasmscope" in loaded
        assert loaded & unneeded == set()
