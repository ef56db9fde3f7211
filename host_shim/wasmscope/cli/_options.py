"""The options of ``wasmscope run``."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from wasmscope.cli._exits import USAGE, CommandError

__all__ = ["Limits", "RunOptions", "parse"]

_EPILOG: Final = """\
Options come before MODULE; what follows it is the guest's. The exit code is the guest's own; 134 after a trap, 126 if
the module cannot be run, 127 if there is none, 2 if the command line is wrong, 130 after Ctrl-C.

OTEL_* variables mean what they mean everywhere: OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED and so on.

examples:
  wasmscope run hello.wasm
  wasmscope run --invoke add sum.wat 1 2
  wasmscope run --dir .::/ --env RUST_LOG=debug hello.wasm input.txt
  wasmscope run --otlp http://localhost:4318 hello.wasm
"""
_ENDPOINT: Final = re.compile(r"[a-z]+://.*|[\w.-]+:\d+|\[[0-9a-f:]+\]:\d+", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m)?")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, None: 1.0}
_MAX_TIMEOUT_S: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the guest may use, as ``-W`` gives it.

    Attributes:
        fuel: How much fuel it gets; None for no limit, and no counting.
        timeout_s: How long it may run, in seconds; None for no limit.
        max_memory_bytes: How big each linear memory may get; None for no limit.
    """

    fuel: int | None = None
    timeout_s: float | None = None
    max_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``wasmscope run`` was asked for.

    Attributes:
        module: Path of the module.
        arguments: What follows it.
        invoke: The export to call; None for the program's own start.
        directories: (host path, guest path) of folders that the guest sees.
        environment: The guest's variables.
        limits: What it may use.
        name: Its name in telemetry; None for the default.
        module_version: Its version in telemetry, or None.
        tenant: On whose behalf it runs, or None.
        otlp: An OTLP endpoint; True for the default one, False for none but the environment's.
        json: Whether telemetry goes to standard output as OTLP JSON lines.
        quiet: Whether to leave out the tree and the tables.
        verbose: Whether to show more of everything.
        log_events: Whether log records are repeated as span events, where that can be.
        delivery: How records are delivered; None for what serves best.
    """

    module: str
    arguments: tuple[str, ...]
    invoke: str | None
    directories: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    limits: Limits
    name: str | None
    module_version: str | None
    tenant: str | None
    otlp: str | bool
    json: bool
    quiet: bool
    verbose: bool
    log_events: bool
    delivery: Literal["otlp", "sdk", "live"] | None


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise _usage(message)


def _usage(message: str) -> CommandError:
    return CommandError(f"{message}; see: wasmscope run --help", exit_code=USAGE)


def parse(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> RunOptions | str:
    """Read the command line after ``run``.

    Args:
        arguments: The words.
        environ: Where ``--env NAME`` finds values.

    Returns:
        The options; or the help text, if that was asked for.

    Raises:
        CommandError: If it cannot be understood.
    """
    parser, with_value = _parser()
    own, rest = _split(arguments, with_value)
    given = parser.parse_args(own)
    if given.help:
        return parser.format_help()
    if not rest:
        raise _usage("which MODULE?")
    return RunOptions(
        module=rest[0],
        arguments=tuple(rest[1:]),
        invoke=given.invoke,
        directories=tuple(_directory(text) for text in given.dir),
        environment=tuple(_variable(text, environ) for text in given.env),
        limits=_limits(given.wasm),
        name=given.name,
        module_version=given.module_version,
        tenant=given.tenant,
        otlp=given.otlp or bool(given.otlp is not None),
        json=given.json,
        quiet=given.quiet,
        verbose=given.verbose,
        log_events=given.log_events,
        delivery=given.delivery,
    )


def _parser() -> tuple[_Parser, frozenset[str]]:
    """Make the parser, and say which of its options are followed by a value."""
    parser = _Parser(
        prog="wasmscope run",
        usage="wasmscope run [OPTIONS] MODULE [ARGS...]",
        description="Run a WebAssembly module and show what it logs, measures and traces. MODULE is a core module, "
        ".wasm or .wat; it may use WASI preview 1.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    guest = parser.add_argument_group("the guest (as wasmtime has it)")
    valued = [
        guest.add_argument("--invoke", metavar="NAME", help="call this export; ARGS are its arguments"),
        guest.add_argument("--dir", metavar="HOST[::GUEST]", action="append", default=[], help="give it a folder"),
        guest.add_argument("--env", metavar="NAME[=VAL]", action="append", default=[], help="give it a variable"),
        guest.add_argument(
            "-W",
            "--wasm",
            metavar="KEY=VAL,...",
            action="append",
            default=[],
            help="limit it: fuel=N, timeout=DURATION (2s, 100ms), max-memory-size=BYTES",
        ),
    ]
    telemetry = parser.add_argument_group("telemetry")
    valued += [
        telemetry.add_argument("--name", help="what the module is called (default: its own name, else the file's)"),
        telemetry.add_argument("--module-version", metavar="VERSION", help="its version"),
        telemetry.add_argument("--tenant", help="on whose behalf it runs"),
    ]
    telemetry.add_argument(
        "--otlp", metavar="ENDPOINT", nargs="?", const="", help="send it by OTLP (default: to localhost)"
    )
    telemetry.add_argument(
        "--json", action="store_true", help="write it to standard output as OTLP JSON lines; the guest's goes to stderr"
    )
    telemetry.add_argument(
        "--no-log-events",
        dest="log_events",
        action="store_false",
        help="do not repeat log records as span events (Jaeger shows only these)",
    )
    valued.append(
        telemetry.add_argument(
            "--delivery",
            choices=("otlp", "sdk", "live"),
            metavar="otlp|sdk|live",
            help="how: OTLP bytes straight to the endpoint, with -q; in bulk through OpenTelemetry's SDK; or each "
            "record at once, which alone repeats log records as span events (default: the fastest that can)",
        )
    )
    output = parser.add_argument_group("output")
    output.add_argument("-q", "--quiet", action="store_true", help="no trace tree, no tables")
    output.add_argument(
        "-v", "--verbose", action="store_true", help="stack traces, places, all attributes, diagnostics"
    )
    output.add_argument("-h", "--help", action="store_true", help="show this")
    return parser, frozenset(option for action in valued for option in action.option_strings)


def _split(arguments: Sequence[str], with_value: frozenset[str]) -> tuple[list[str], list[str]]:
    """Part our options from the module and what is the guest's.

    Not argparse's work, because after ``--otlp`` it could not tell an endpoint from a module.
    """
    own: list[str] = []
    words = list(arguments)
    while words:
        word = words[0]
        if word == "--":
            return own, words[1:]
        if not word.startswith("-") or word == "-":
            break
        own.append(words.pop(0))
        if word in with_value and words:
            own.append(words.pop(0))
            if own[-1].startswith("-"):  # joined, or argparse would take it for an option
                value = own.pop()
                own[-1] = f"{word}={value}" if word.startswith("--") else f"{word}{value}"
        elif word == "--otlp" and words and _ENDPOINT.fullmatch(words[0]):
            own[-1] = f"--otlp={words.pop(0)}"
    return own, words


def _directory(text: str) -> tuple[str, str]:
    host, separator, guest = text.partition("::")
    if not host or (separator and not guest):
        raise _usage(f"--dir {text!r} is not HOST or HOST::GUEST")
    return host, guest or host


def _variable(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name:
        raise _usage(f"--env {text!r} is not NAME or NAME=VAL")
    if separator:
        return name, value
    if name not in environ:
        raise _usage(f"--env {name}: there is no such variable here to pass on; give a value with --env {name}=VAL")
    return name, environ[name]


def _limits(texts: Sequence[str]) -> Limits:
    fuel = max_memory_bytes = None
    timeout_s = None
    for text in ",".join(texts).split(",") if texts else ():
        key, _, value = text.partition("=")
        match key:
            case "fuel":
                fuel = _number(text, value, 2**63 - 1)
            case "max-memory-size":
                max_memory_bytes = _number(text, value, 2**63 - 1)
            case "timeout":
                timeout_s = _duration(text, value)
            case _:
                raise _usage(f"-W {text!r} is not one of fuel=N, timeout=DURATION, max-memory-size=BYTES")
    return Limits(fuel=fuel, timeout_s=timeout_s, max_memory_bytes=max_memory_bytes)


def _number(text: str, value: str, most: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20 and int(value) <= most):
        raise _usage(f"-W {text!r} needs a whole number")
    return int(value)


def _duration(text: str, value: str) -> float:
    match = _DURATION.fullmatch(value)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds <= _MAX_TIMEOUT_S:
        raise _usage(f"-W {text!r} needs a duration such as 2s or 100ms")
    return seconds
