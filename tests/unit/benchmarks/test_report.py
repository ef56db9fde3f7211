"""The form in which all benchmarks give their figures."""

from __future__ import annotations

import json

import pytest

from benchmarks._report import Bound, Figure, Report


def run(*figures: Figure, as_json: bool) -> int:
    """Report figures, and give the exit code."""
    with pytest.raises(SystemExit) as exit_of, Report(as_json=as_json) as report:
        report.title("Title")
        for figure in figures:
            report.add(figure)
        report.note("A note.")
    code = exit_of.value.code
    assert isinstance(code, int)
    return code


class TestJson:
    """``--json``: an object a line."""

    def test_compared(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A figure has its peer, the ratio (above 1: ours is better), its bound and whether it is kept."""
        figure = Figure("log", 2.0, "us", "naive", 20.0, Bound(most=2.5, ratio=8))
        assert run(figure, as_json=True) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line) == {
            "name": "log",
            "value": 2.0,
            "unit": "us",
            "peer": "naive",
            "peer_value": 20.0,
            "ratio": 10.0,
            "bound": "<= 2.5 us, >= 8x",
            "ok": True,
        }

    def test_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What a figure has not is null."""
        run(Figure("memory", 3.0, "KB"), as_json=True)
        found = json.loads(capsys.readouterr().out)
        assert [found[key] for key in ("peer", "peer_value", "ratio", "bound", "ok")] == [None] * 5

    def test_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A table's figures are lines like all others, those that were not measured left out."""
        with pytest.raises(SystemExit), Report(as_json=True) as report:
            report.table(
                "n", ["a", "b"], [("1", [Figure("a1", 1.0, "us"), None]), ("2", [None, Figure("b2", 2.0, "us")])]
            )
        assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["a1", "b2"]


class TestLeftOut:
    """A peer that cannot be had on a machine."""

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Programs get an object that says which and why; it misses no bound."""
        with pytest.raises(SystemExit) as exit_of, Report(as_json=True) as report:
            report.left_out("OTel Go SDK", "there is no go on this machine")
        assert exit_of.value.code == 0
        assert json.loads(capsys.readouterr().out) == {
            "left_out": "OTel Go SDK",
            "why": "there is no go on this machine",
        }

    def test_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        """People read the same in a line."""
        with pytest.raises(SystemExit), Report(as_json=False) as report:
            report.left_out("OTel Go SDK", "there is no go on this machine")
        assert capsys.readouterr().out.strip() == "left out: OTel Go SDK: there is no go on this machine"


class TestBounds:
    """A bound that is missed fails the benchmark."""

    @pytest.mark.parametrize(
        ("value", "peer_value", "is_ok"),
        [(2.5, 20.0, True), (2.6, 26.0, False), (2.0, 15.9, False), (2.0, None, False)],
    )
    def test_kept(self, value: float, peer_value: float | None, is_ok: bool) -> None:
        """Value and ratio both count, and a ratio that is not known is not kept."""
        figure = Figure("log", value, "us", "naive", peer_value, Bound(most=2.5, ratio=8))
        assert figure.is_ok is is_ok

    @pytest.mark.parametrize("as_json", [True, False])
    def test_missed(self, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 1, and the missed figures are named at the end, on stderr."""
        figures = (Figure("slow", 3.0, "us", bound=Bound(most=2.5)), Figure("fast", 1.0, "us", bound=Bound(most=2.5)))
        assert run(*figures, as_json=as_json) == 1
        assert capsys.readouterr().err == "missed its bound: slow\n"

    def test_missed_beside_a_peer(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A figure that is slow beside one of several peers says beside which; its indentation is for people only."""
        run(Figure("  log", 2.0, "us", "naive", 4.0, Bound(ratio=8)), as_json=True)
        captured = capsys.readouterr()
        assert captured.err == "missed its bound: log (beside naive)\n"
        assert json.loads(captured.out)["name"] == "log"

    def test_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        """For people, a line a figure says the same."""
        run(Figure("log", 2.0, "us", "naive", 20.0, Bound(ratio=8)), as_json=False)
        out = capsys.readouterr().out
        assert "Title" in out and "A note." in out
        (line,) = [line for line in out.splitlines() if "naive" in line]
        assert line.split() == ["log", "2", "us", "naive", "20", "us", "10.00x", ">=", "8x:", "ok"]
