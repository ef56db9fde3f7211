"""`wasmscope run` and the three deliveries."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.support.cli import COMMAND, clean_environment, run_command
from tests.support.otlp_receiver import otlp_receiver

PROGRAM = """
(module $busy
  (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i32 i32 i32 i32)))
  (import "wasmscope_v1" "span_start" (func $span (param i32 i32 i32 i64 i32 i32 i32) (result i64)))
  (import "wasmscope_v1" "span_end" (func $end (param i64)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "I am at it")
  (func $tell
    (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 1024) (i32.const 10) (i32.const 0) (i32.const 0)))
  (func (export "log") (call $tell))
  (func (export "span")
    i32.const 0 i32.const 1024 i32.const 4 i64.const 0 i32.const 1 i32.const 0 i32.const 0 call $span call $end)
  (func (export "loop") (call $tell) (loop br 0)))
"""
LOOPS = PROGRAM.replace('(func (export "loop")', "(start $loop) (func $loop")
DELIVERIES = [("--delivery", "sdk"), ("--delivery", "live"), ("--no-log-events",), ()]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("busy") / "busy.wasm"
    path.write_bytes(bytes(wasmtime.wat2wasm(PROGRAM)))
    return path


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(OTEL_BLRP_SCHEDULE_DELAY="50", **variables),
    )


def bodies(line: str) -> list[str]:
    """The texts of the log records in a line of OTLP JSON."""
    return [
        record["body"]["stringValue"]
        for of_resource in json.loads(line).get("resourceLogs", ())
        for of_scope in of_resource["scopeLogs"]
        for record in of_scope["logRecords"]
    ]


class TestWhileTheGuestRuns:
    @pytest.mark.parametrize("limits", [(), ("-W", "fuel=1000000000000000,timeout=60m")])
    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_ctrl_c(self, program: Path, delivery: tuple[str, ...], limits: tuple[str, ...]) -> None:
        """What a guest that never returns told is there soon; Ctrl-C still stops it, and the tree shows it."""
        process = start("--json", *delivery, *limits, "--invoke", "loop", program)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)

        assert bodies(line) == ["I am at it"]
        assert process.returncode == 130
        assert "wasm.call loop" in stderr
        assert stderr.count("I am at it") == 1
        assert stderr.splitlines()[-1] == "wasmscope: busy was stopped"

    @pytest.mark.parametrize("limits", ["timeout=1s", "timeout=1s,fuel=1000000000000000"])
    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_timeout(self, program: Path, delivery: tuple[str, ...], limits: str) -> None:
        """A limit of time is kept, also with some ticks before it."""
        started = time.monotonic()
        found = run_command("run", *delivery, "-W", limits, "--invoke", "loop", program)

        assert time.monotonic() - started > 1
        assert found.exit_code == 134
        assert found.stderr.count("I am at it") == 1
        assert "wasm.trap: interrupt" in found.stderr
        assert "trap interrupt" in found.stderr
        assert found.stderr.splitlines()[-1] == "wasmscope: busy was stopped: its time of 1 s is over"

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_start_function(self, tmp_path: Path, delivery: tuple[str, ...]) -> None:
        """The same holds for a guest that never leaves its start function."""
        path = tmp_path / "loops.wasm"
        path.write_bytes(bytes(wasmtime.wat2wasm(LOOPS)))
        found = run_command("run", *delivery, "-W", "timeout=700ms", path)

        assert found.exit_code == 134
        assert found.stderr.splitlines()[-1] == "wasmscope: busy was stopped: its time of 0.7 s is over"

    def test_fuel_alone(self, program: Path) -> None:
        """With fuel and no limit of time there are no epochs: records are shown when the fuel is used up."""
        found = run_command("run", "--delivery", "sdk", "-W", "fuel=1000000", "--invoke", "loop", program)

        assert found.exit_code == 134
        assert found.stderr.count("I am at it") == 1
        assert "all fuel consumed" in found.stderr.splitlines()[-1]


class TestOtlp:
    @pytest.mark.parametrize("more", [("--delivery", "otlp"), ("--no-log-events",)])
    def test_straight_to_the_endpoint(self, program: Path, more: tuple[str, ...]) -> None:
        """With --quiet and --otlp the collector's bytes go to the endpoint, and the guest's span has its parent."""
        with otlp_receiver() as receiver:
            found = run_command("run", "-q", *more, "--otlp", receiver.endpoint, "--invoke", "span", program)
            assert (found.exit_code, found.stderr) == (0, "")
            spans: dict[str, Any] = {span.name: span for span in receiver.spans}
            (counted,) = [metric.sum for metric in receiver.metrics if metric.name == "wasmscope.delivered"]

        assert spans.keys() == {"wasmscope run", "wasm.call span", "wasm.instantiate", "I am"}
        assert spans["I am"].parent_span_id == spans["wasm.call span"].span_id
        by_signal = {
            attribute.value.string_value: point.as_int
            for point in counted.data_points
            for attribute in point.attributes
            if attribute.key == "signal"
        }
        assert by_signal == {"traces": 1, "logs": 0}

    def test_unreachable(self, program: Path) -> None:
        """What could not be delivered is told, as with every other delivery."""
        found = run_command(
            "run", "-q", "--delivery", "otlp", "--otlp", "http://127.0.0.1:9", "--invoke", "span", program
        )

        assert found.exit_code == 0
        assert "not delivered" in found.stderr

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--otlp",), "add --quiet"),
            (("--otlp", "-q", "--json"), "--json"),
            (("-q",), "add --otlp"),
        ],
    )
    def test_others_listen(self, program: Path, arguments: tuple[str, ...], said: str) -> None:
        """Where others are to have records too, this delivery is refused in one line that says what to do."""
        found = run_command("run", "--delivery", "otlp", *arguments, "--invoke", "span", program)

        assert found.exit_code == 2
        assert found.stdout == ""
        assert found.stderr.count("\n") == 1
        assert found.stderr.startswith("wasmscope: --delivery otlp ")
        assert said in found.stderr

    @pytest.mark.parametrize("delivery", ["otlp", "sdk", "live"])
    def test_disabled(self, program: Path, delivery: str) -> None:
        """With OTEL_SDK_DISABLED the guest just runs, whatever the delivery."""
        found = run_command("run", "-q", "--delivery", delivery, "--invoke", "span", program, OTEL_SDK_DISABLED="true")

        assert (found.exit_code, found.stderr) == (0, "")


class TestLogEvents:
    @pytest.mark.parametrize(("arguments", "count"), [((), 1), (("--delivery", "live"), 1), (("--delivery", "sdk"), 0)])
    def test_repeated_only_live(self, program: Path, arguments: tuple[str, ...], count: int) -> None:
        """Log records are repeated as span events by the live delivery, which is the default because of that."""
        found = run_command("run", "-q", "--json", *arguments, "--invoke", "log", program)
        events = [
            event
            for line in found.stdout.splitlines()
            for of_resource in json.loads(line).get("resourceSpans", ())
            for of_scope in of_resource["scopeSpans"]
            for span in of_scope["spans"]
            for event in span.get("events", ())
        ]

        assert len(events) == count
