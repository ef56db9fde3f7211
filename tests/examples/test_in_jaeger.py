from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.examples.test_examples import EXAMPLES, run_program
from tests.support.cli import run_command
from tests.support.jaeger import Jaeger

Span = dict[str, Any]


def endpoint(jaeger: Jaeger, protocol: str) -> str:
    return jaeger.otlp_grpc if protocol == "grpc" else jaeger.otlp_http


def tags(item: Span) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in item["tags"]}


def edges(trace: dict[str, Any]) -> set[tuple[str, str | None]]:
    """Each span's name and its parent's."""
    names = {span["spanID"]: span["operationName"] for span in trace["spans"]}
    found: set[tuple[str, str | None]] = set()
    for span in trace["spans"]:
        above = [r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"]
        found.add((span["operationName"], names[above[0]] if above else None))
    return found


def parents(trace: dict[str, Any]) -> dict[str, str | None]:
    """The parent's name of each span's, where no two spans of a name have different parents."""
    found = dict(edges(trace))
    assert len(found) == len(edges(trace))
    return found


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
class TestDemo:
    @pytest.fixture
    def trace(self, jaeger: Jaeger, protocol: str) -> dict[str, Any]:
        shown = run_program("demo.py", f"--otlp={endpoint(jaeger, protocol)}", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        assert "not delivered" not in shown
        match = re.search(r"^trace ([0-9a-f]{32}) · (\d+) spans", shown, re.MULTILINE)
        assert match
        assert f"/trace/{match[1]}" in shown
        return jaeger.trace(match[1], int(match[2]))

    def test_one_trace(self, trace: dict[str, Any]) -> None:
        """The host's span, the calls, the guests' spans and host functions' spans are one tree."""
        assert edges(trace) == {
            ("POST /orders", None),
            ("wasm.call checkout", "POST /orders"),
            ("checkout", "wasm.call checkout"),
            ("price_items", "checkout"),
            ("fetch_price", "price_items"),
            ("SELECT price", "fetch_price"),
            ("reserve", "checkout"),
            ("reserve", "wasm.call reserve"),
            ("pay", "checkout"),
            ("wasm.call reserve", "POST /orders"),
            ("lookup", "reserve"),
            ("wasm.call apply_discount", "POST /orders"),
            ("apply_discount", "wasm.call apply_discount"),
            ("look_up_discount", "apply_discount"),
        }

    def test_trap(self, trace: dict[str, Any]) -> None:
        """The spans that the trap hit are errors, with the panic's message and where it was, and no others are."""
        failed = {s["operationName"]: s for s in trace["spans"] if tags(s).get("error") is True}

        assert failed.keys() == {"wasm.call apply_discount", "apply_discount", "look_up_discount"}
        message = "index out of bounds: the len is 4 but the index is 9"
        call = failed["wasm.call apply_discount"]
        assert message in tags(call)["otel.status_description"]
        assert tags(call)["wasm.trap.code"] == "unreachable"
        exceptions = [{f["key"]: f["value"] for f in log["fields"]} for log in failed["look_up_discount"]["logs"]]
        assert any(message in e.get("exception.message", "") for e in exceptions)

    def test_identity(self, trace: dict[str, Any]) -> None:
        """Scopes are the modules with their versions; the tenant stands on calls and on guests' spans."""
        scopes = {
            s["operationName"]: (tags(s)["otel.scope.name"], tags(s).get("otel.scope.version")) for s in trace["spans"]
        }
        tenants = {s["operationName"]: tags(s).get("wasm.tenant") for s in trace["spans"]}

        assert scopes["checkout"] == ("shop", "1.4")
        assert scopes["lookup"] == ("stock", "0.9")
        assert scopes["look_up_discount"][0] == "discounts"
        assert scopes["POST /orders"][0] == "shop-host"
        assert {name for name, tenant in tenants.items() if tenant == "acme"} == {
            "wasm.call apply_discount",
            "apply_discount",
            "look_up_discount",
        }

    def test_logs_are_events(self, trace: dict[str, Any]) -> None:
        """Jaeger shows no log records; the guests' are there as span events, with their attributes."""
        events = {
            fields["event"]: fields
            for span in trace["spans"]
            for log in span["logs"]
            for fields in [{f["key"]: f["value"] for f in log["fields"]}]
        }

        assert events["order placed"]["total"] == 11439
        assert events["stock is low"]["item.name"] == "plum"


def test_metrics_and_logs(jaeger: Jaeger) -> None:
    """Metrics and log records of the demonstration arrive where Jaeger's configuration takes them."""
    run_program("demo.py", f"--otlp={jaeger.otlp_grpc}")

    assert 'item_name="plum"' in jaeger.metrics("stock_level")
    assert "wasm_calls" in jaeger.metrics("wasm_calls")
    assert "stock is low" in jaeger.log("stock is low")


class TestCommand:
    """``wasmscope run --otlp`` of every example."""

    @pytest.mark.parametrize(
        ("service", "arguments", "spans"),
        [
            ("rust-1", ("--invoke", "hello", "01_hello_rust/guest.wasm", "4"), {"greet_all", "greet"}),
            ("as-2", ("--invoke", "hello", "02_hello_assemblyscript/guest.wasm", "4"), {"greet_all", "greet"}),
            ("acme-3", ("--invoke", "quote", "03_plugin_host/acme/acme.wasm", "1", "2500"), {"flat rate"}),
            ("wordcount-4", ("04_plain_wasi/guest.wasm", "9"), set[str]()),
            ("collatz-5", ("--invoke", "steps", "05_existing_code/guest.wat", "27"), set[str]()),
        ],
    )
    def test_found(self, jaeger: Jaeger, service: str, arguments: tuple[str, ...], spans: set[str]) -> None:
        """The trace of a guest run by the command is found by the service's name, the guest's spans beneath ours."""
        placed = [str(EXAMPLES / a) if "/" in a else a for a in arguments]
        text = Path(EXAMPLES / "04_plain_wasi/input.txt").read_text()
        found = run_command("run", "-q", "--otlp", jaeger.otlp_grpc, *placed, stdin=text, OTEL_SERVICE_NAME=service)
        (trace,) = jaeger.traces(service)
        called = arguments[1] if arguments[0] == "--invoke" else "_start"

        assert "not delivered" not in found.stderr
        assert parents(trace)["wasmscope run"] is None
        assert parents(trace)[f"wasm.call {called}"] == "wasmscope run"
        assert spans <= parents(trace).keys()


class TestHosts:
    def test_plugin_host(self, jaeger: Jaeger) -> None:
        """The host programs obey OTEL_* variables: both services of the plugin host are in one trace."""
        shown = run_program(
            "03_plugin_host/host.py", OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.otlp_grpc
        )
        match = re.search(r"^trace ([0-9a-f]{32}) · (\d+) spans", shown, re.MULTILINE)
        assert match
        trace = jaeger.trace(match[1], int(match[2]))
        services = {trace["processes"][span["processID"]]["serviceName"] for span in trace["spans"]}

        assert services == {"shop", "rates"}
        assert ("in dollars", "wasm.call quote") in edges(trace)
        kinds = {tags(s).get("span.kind") for s in trace["spans"] if s["operationName"] == "GET /rates/{currency}"}
        assert kinds == {"client", "server"}
