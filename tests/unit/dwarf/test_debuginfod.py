"""Debug files from a server that runs here."""

from __future__ import annotations

import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import pytest

from tests.support.symbolized import FIXTURES
from tests.unit.wasm.encoding import custom, leb, module
from wasmscope.dwarf import Origin, Symbolizer, debuginfod_urls
from wasmscope.dwarf._build_ids import find_by_build_id
from wasmscope.dwarf._debuginfod import fetch
from wasmscope.errors import ConfigurationError
from wasmscope.wasm import Address, AddressKind

ID = bytes.fromhex("abcdef0123456789")
FILE = module(custom("build_id", leb(len(ID)) + ID))

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers as the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                answer = outer.answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                else:
                    answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


PATH = f"/buildid/{ID.hex()}/debuginfo"


def giving(data: bytes, announced: int | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data) if announced is None else announced))
        request.end_headers()
        request.wfile.write(data)

    return answer


def redirecting(to: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.end_headers()

    return answer


class TestFetch:
    def test_kept_in_the_store(self, server: Server, tmp_path: Path) -> None:
        """What a server sends is in the store afterwards, under its build id."""
        server.answers[PATH] = giving(FILE)
        path, notes = fetch([server.url + "/"], ID, str(tmp_path))

        assert path == find_by_build_id([str(tmp_path)], ID)
        assert path is not None and Path(path).read_bytes() == FILE
        assert notes == ()

    def test_next_server(self, server: Server, tmp_path: Path) -> None:
        """A server that has no such file is followed by the next one."""
        server.answers["/second" + PATH] = giving(FILE)
        path, notes = fetch([server.url, server.url + "/second"], ID, str(tmp_path))

        assert path is not None
        assert (f"{server.url}: it has no such file",) == notes

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"<html>", "no debug file"),
            (b"", "no debug file"),
            (module(), "no build id"),
            (module(custom("build_id", b"\2ab")), "the build id 6162"),
            (FILE[:-1], "no debug file|no build id"),
        ],
    )
    def test_something_else(self, server: Server, tmp_path: Path, data: bytes, message: str) -> None:
        """What does not have the build id that was asked for is not kept."""
        server.answers[PATH] = giving(data)
        path, notes = fetch([server.url], ID, str(tmp_path))

        assert path is None
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(*notes)

    def test_too_large(self, server: Server, tmp_path: Path) -> None:
        """A file beyond the limit is not taken, whether its size was announced or not."""
        server.answers[PATH] = giving(FILE, announced=10**15)
        assert "more than 1,000 bytes" in fetch([server.url], ID, str(tmp_path), max_bytes=1000)[1][0]

        def endless(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            try:
                while True:
                    request.wfile.write(bytes(10_000))
            except OSError:
                pass

        server.answers[PATH] = endless
        assert "more than 1,000 bytes" in fetch([server.url], ID, str(tmp_path), max_bytes=1000)[1][0]

    def test_cut_off(self, server: Server, tmp_path: Path) -> None:
        """A file that is shorter than announced is not taken."""
        server.answers[PATH] = giving(FILE, announced=len(FILE) + 5)
        path, notes = fetch([server.url], ID, str(tmp_path))

        assert path is None and "cut off" in notes[0]

    def test_redirects(self, server: Server, tmp_path: Path) -> None:
        """A redirect within HTTP is followed; one to a file of this machine, or round and round, is not."""
        secret = tmp_path / "secret"
        secret.write_bytes(FILE)
        server.answers["/there"] = giving(FILE)
        for target, works in (("/there", True), (secret.as_uri(), False), (server.url + PATH, False)):
            server.answers[PATH] = redirecting(target)
            path, notes = fetch([server.url], ID, str(tmp_path / "store" / str(works)))
            assert works == (path is not None), notes

    def test_silence(self, server: Server, tmp_path: Path) -> None:
        """A server that says nothing, or a little now and then, is not waited for without end."""
        done = threading.Event()

        def drip(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(b"HTTP/1.0 200 OK\r\n")
            while not done.wait(0.02):
                request.wfile.write(b"X")

        server.answers[PATH] = drip

        def keep_silent(request: BaseHTTPRequestHandler) -> None:
            done.wait(10)

        server.answers["/silent" + PATH] = keep_silent
        try:
            for url, answer, deadline in ((server.url + "/silent", 0.1, 5.0), (server.url, 5.0, 0.3)):
                start = monotonic()
                path, notes = fetch([url], ID, str(tmp_path), answer_timeout_s=answer, deadline_s=deadline)
                assert path is None and notes
                assert monotonic() - start < 8
        finally:
            done.set()

    def test_nobody_there(self, tmp_path: Path) -> None:
        """A server that cannot be reached gives a line."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
            path, notes = fetch([url], ID, str(tmp_path))

        assert path is None and notes[0].startswith(url + ": no answer")

    def test_store_cannot_be_written(self, server: Server, tmp_path: Path) -> None:
        """A store that is no folder gives a line that says so."""
        server.answers[PATH] = giving(FILE)
        (tmp_path / "store").write_text("")
        path, notes = fetch([server.url], ID, str(tmp_path / "store"))

        assert path is None and "cannot be kept" in notes[0]

    def test_disk_is_full(self, server: Server, tmp_path: Path) -> None:
        """What cannot be written is the store's fault, and no reason to ask the next server."""
        server.answers[PATH] = giving(FILE + bytes(1 << 20))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            path, notes = fetch([server.url, server.url], ID, str(tmp_path))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, kept)

        assert path is None
        assert notes == (f"debug files cannot be kept in {tmp_path}: File too large",)
        assert server.asked == [PATH]
        assert [found for found in tmp_path.rglob("*") if found.is_file()] == []

    def test_useless_build_id(self, server: Server, tmp_path: Path) -> None:
        """Nobody is asked for a build id that names nothing."""
        assert fetch([server.url], b"a", str(tmp_path))[0] is None
        assert server.asked == []


class TestSymbolizer:
    BUILD = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")  # that of c/O1-build-id.wasm

    def test_asked_once(self, server: Server, tmp_path: Path) -> None:
        """A symbolizer asks for what it has nowhere else; the next one finds it in the store."""
        path = f"/buildid/{self.BUILD.hex()}/debuginfo"
        server.answers[path] = giving((FIXTURES / "c" / "O1-build-id.wasm").read_bytes())
        for _ in range(2):
            module = FIXTURES / "c" / "O1-build-id-stripped.wasm"
            with Symbolizer(module, debug_path=[tmp_path], debuginfod_urls=[server.url]) as symbolizer:
                (place,) = symbolizer.symbolize([Address(AddressKind.FUNC, 0xC, 4)])

                assert (place.frames[0].function, place.frames[0].origin) == ("trap_divide", Origin.DEBUG_FILE)
                assert place.frames[0].line is not None and symbolizer.notes == ()
        assert server.asked == [path]

    def test_nobody_is_asked_without_need(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Servers in the environment are not asked unless somebody says so; nor are any if the module has its DWARF."""
        monkeypatch.setenv("DEBUGINFOD_URLS", server.url)
        with Symbolizer(FIXTURES / "c" / "O1-build-id-stripped.wasm", debug_path=[tmp_path]) as symbolizer:
            symbolizer.symbolize([Address(AddressKind.FUNC, 0xC, 4)])
        with Symbolizer(FIXTURES / "c" / "O1-build-id.wasm", debuginfod_urls=debuginfod_urls()) as symbolizer:
            symbolizer.symbolize([Address(AddressKind.FUNC, 0xC, 4)])

        assert server.asked == []

    def test_kept_in_the_users_cache(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a store, files go to the user's cache."""
        path = f"/buildid/{self.BUILD.hex()}/debuginfo"
        server.answers[path] = giving((FIXTURES / "c" / "O1-build-id.wasm").read_bytes())
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        data = (FIXTURES / "c" / "O1-build-id-stripped.wasm").read_bytes()
        with Symbolizer(data, debug_path=(), debuginfod_urls=[server.url]) as symbolizer:
            symbolizer.symbolize([Address(AddressKind.FUNC, 0xC, 4)])

        assert find_by_build_id([str(tmp_path / "wasmscope" / "debug")], self.BUILD) is not None


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        ["file:///etc/passwd", "ftp://host", "host", "http://", "http://a b", "http://h:99999", "https://h\n", ""],
    )
    def test_only_http(self, url: str) -> None:
        """Anything but http and https is refused at once, when the symbolizer is made."""
        with pytest.raises(ConfigurationError, match="not a debuginfod server"):
            Symbolizer(module(), debuginfod_urls=[url])

    def test_password(self) -> None:
        """A password is not sent to anybody, and not shown either."""
        with pytest.raises(ConfigurationError) as caught:
            Symbolizer(module(), debuginfod_urls=["https://user:secret@host"])

        assert "secret" not in str(caught.value)

    def test_environment(self) -> None:
        """Servers are separated by spaces, as for all clients."""
        assert debuginfod_urls({"DEBUGINFOD_URLS": " http://a  https://b/ "}) == ("http://a", "https://b/")
        assert debuginfod_urls({}) == ()
