"""Peers of the pipeline benchmark: what is believed of what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks._peers import KINDS, Kind, Peer, PeerError, answer


def line(records: int) -> str:
    """What a peer prints."""
    return json.dumps({"operation": "span", "count": 40, "records": records, "bytes": 6000, "cpu_ns": 123_456})


class TestAnswer:
    """A peer's time counts only with the work that it is the time of."""

    def test_time(self) -> None:
        """It is the CPU time of all that it did, in ns."""
        assert answer("peer", line(40), 40) == 123_456

    def test_nothing_comes_out(self) -> None:
        """A measurement makes no record."""
        assert answer("peer", line(0), None) == 123_456

    @pytest.mark.parametrize("records", [39, 41, 0])
    def test_lost(self, records: int) -> None:
        """A time in which records got lost (or came from elsewhere) is refused."""
        with pytest.raises(PeerError, match=rf"peer lost records: {records} of 40 came out \(span\)"):
            answer("peer", line(records), 40)


class TestKinds:
    """The peers that there are."""

    @pytest.mark.parametrize("folder", list(KINDS))
    def test_version_is_pinned(self, folder: str) -> None:
        """Each says the version that its lock file pins."""
        name = KINDS[folder].full_name()
        version = name.removeprefix(KINDS[folder].name).strip()
        sources = Path(__file__).parents[3] / "benchmarks" / "peers" / folder
        locked = (sources / ("Cargo.lock" if folder.startswith("rust") else "go.sum")).read_text()
        assert version and version in locked

    def test_no_toolchain(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where there is no compiler for it, it cannot be had, and the reason says so; nothing half built is left."""
        monkeypatch.setenv("WASMSCOPE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("PATH", str(tmp_path))
        for folder, program in (("go_otel", "go"), ("rust_otel", "cargo"), ("go_observe", "go")):
            with pytest.raises(PeerError, match=f"there is no {program} on this machine"):
                Peer(KINDS[folder])
        assert not (tmp_path / "cache").exists()

    def test_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that ends when it is asked for something is an error that names it, and not a wait without end."""

        def build(source: Path, into: Path) -> None:
            program = into / "peer"
            program.write_text("#!/bin/sh\nexit 3\n")
            program.chmod(0o755)

        monkeypatch.setenv("WASMSCOPE_CACHE", str(tmp_path))
        kind = Kind("broken", "go_otel", "sh", build, KINDS["go_otel"].version)
        with (
            Peer(kind) as peer,
            pytest.raises(PeerError, match=r"broken \S+ ended with exit code 3 when asked for span"),
        ):
            peer.run("span", 1, comes_out=True)
