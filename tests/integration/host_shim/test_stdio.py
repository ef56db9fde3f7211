"""Standard output of WASI guests: lines as log records, and still on the terminal."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry.sdk._logs import LogRecordProcessor

from tests.support.guests import PAGE, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge, GuestInstance, Limits

WRITER = """(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 2)
    (func (export "fd_write") (param i32 i32 i32 i32) (result i32)
        (call $fd_write (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
    (func (export "open") (param $name i32) (param $size i32) (param $at i32) (result i32)
        (call $open (i32.const 3) (i32.const 0) (local.get $name) (local.get $size) (i32.const 1)
            (i64.const 64) (i64.const 64) (i32.const 0) (local.get $at)))
    (func (export "write_and_exit") (param i32 i32 i32 i32) (param $code i32)
        (drop (call $fd_write (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
        (call $exit (local.get $code)))
    (func (export "write_and_trap") (param i32 i32 i32 i32)
        (drop (call $fd_write (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
        unreachable))"""


class Writer:
    """A WASI guest that writes what it is told to."""

    def __init__(self, bridge: Bridge, directory: Path, *, text: str = WRITER, **options: Any) -> None:
        linker = bridge.linker(engine())
        linker.define_wasi()
        self.store = wasmtime.Store(engine())
        wasi = wasmtime.WasiConfig()
        self.stdout, self.stderr = directory / "stdout", directory / "stderr"
        wasi.stdout_file = str(self.stdout)
        wasi.stderr_file = str(self.stderr)
        wasi.preopen_dir(str(directory), "/")
        self.store.set_wasi(wasi)
        self.instance: GuestInstance = bridge.instantiate(
            linker, self.store, compiled(text), name="guest", **options
        )  # fmt: skip
        memory = self.instance.exports(self.store)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory

    def vectors(self, *chunks: bytes) -> tuple[int, int]:
        """Write chunks and the array that names them; its address and length."""
        array = b""
        at = 4096
        for chunk in chunks:
            self.memory.write(self.store, chunk, at)
            array += struct.pack("<II", at, len(chunk))
            at += len(chunk)
        self.memory.write(self.store, array, 1024)
        return 1024, len(chunks)

    def write(self, *chunks: bytes, fd: int = 1) -> tuple[int, int]:
        """Write to a descriptor; the errno, and how many bytes the guest is told were written."""
        self.memory.write(self.store, b"\xff" * 4, 512)
        errno = self.instance.call("fd_write", fd, *self.vectors(*chunks), 512)
        return errno, self.written()

    def write_all(self, *lines: bytes, fd: int = 1) -> None:
        """Write each as a program would: again until all of it is written."""
        for line in lines:
            while line:
                errno, size = self.write(line, fd=fd)
                assert errno == 0
                line = line[size:]

    def written(self) -> int:
        (number,) = struct.unpack("<I", self.memory.read(self.store, 512, 516))
        return int(number)


@pytest.fixture
def writer(bridge: Bridge, tmp_path: Path) -> Writer:
    return Writer(bridge, tmp_path)


def lines(telemetry: Telemetry) -> list[tuple[str, str]]:
    """Stream and text of the records."""
    return [(str(dict(record.attributes or {})["log.iostream"]), record.body) for record in telemetry.logs()]


class TestLines:
    def test_streams(self, writer: Writer, telemetry: Telemetry) -> None:
        """Lines of both streams become records without severity, in the current span, and still reach the streams."""
        assert writer.write(b"out\n") == (0, 4)
        assert writer.write(b"err\n", fd=2) == (0, 4)

        assert lines(telemetry) == [("stdout", "out"), ("stderr", "err")]
        assert (writer.stdout.read_text(), writer.stderr.read_text()) == ("out\n", "err\n")
        first, second = telemetry.spans()
        assert [record.span_id for record in telemetry.logs()] == [first.context.span_id, second.context.span_id]
        assert {record.severity_number for record in telemetry.logs()} == {None}

    def test_tenant(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """The records carry the tenant and the module's scope."""
        Writer(bridge, tmp_path, tenant="acme").write(b"x\n")

        (record,) = telemetry.records()
        assert dict(record.log_record.attributes or {}) == {"log.iostream": "stdout", "wasm.tenant": "acme"}
        assert record.instrumentation_scope is not None
        assert record.instrumentation_scope.name == "guest"

    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [
            ([b"one\ntwo\nthree\n"], ["one", "two", "three"]),
            ([b"one\n\n\ntwo\n"], ["one", "two"]),
            ([b"one\r\ntwo\r\n"], ["one", "two"]),
            ([b"a\rb\n"], ["a\rb"]),
            ([b"\xff\xfe\n", b"\xc3\n"], ["\ufffd\ufffd", "\ufffd"]),
            (["späť 🦀\n".encode()], ["späť 🦀"]),
            ([b"\x00\n"], ["\x00"]),
        ],
        ids=range(7),
    )
    def test_cut(self, writer: Writer, telemetry: Telemetry, chunks: list[bytes], expected: list[str]) -> None:
        """Output is cut at newlines; empty lines say nothing, and ill-formed UTF-8 is replaced."""
        writer.write_all(*chunks)

        assert [text for _, text in lines(telemetry)] == expected
        assert writer.stdout.read_bytes() == b"".join(chunks)

    def test_partial(self, telemetry: Telemetry, tmp_path: Path, native: bool) -> None:
        """A line of several writes is one record; what is left at the end of the call is one, too."""
        text = WRITER.replace(
            '(func (export "write_and_trap")',
            """(func (export "thrice")
                (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 512)))
                (drop (call $fd_write (i32.const 2) (i32.const 1032) (i32.const 1) (i32.const 512)))
                (drop (call $fd_write (i32.const 1) (i32.const 1040) (i32.const 1) (i32.const 512))))
            (func (export "write_and_trap")""",
        )
        writer = Writer(telemetry.bridge(native=native), tmp_path, text=text)
        writer.vectors(b"hello ", b"other\n", b"world\nand more")

        writer.instance.call("thrice")

        assert lines(telemetry) == [("stderr", "other"), ("stdout", "hello world"), ("stdout", "and more")]

    @pytest.mark.parametrize("export", ["write_and_trap", "write_and_exit"])
    def test_last_words(self, writer: Writer, telemetry: Telemetry, export: str) -> None:
        """What a guest wrote before it trapped or exited is kept, newline or not, in the span of that call."""
        code = (3,) if export == "write_and_exit" else ()
        with pytest.raises((wasmtime.Trap, wasmtime.ExitTrap)):
            writer.instance.call(export, 2, *writer.vectors(b"last words"), 512, *code)

        assert lines(telemetry) == [("stderr", "last words")]
        assert telemetry.logs()[0].span_id == telemetry.span(f"wasm.call {export}").context.span_id

    def test_long_line(self, telemetry: Telemetry, tmp_path: Path, native: bool) -> None:
        """A line longer than the limit becomes several records; nothing of it is lost or kept for long."""
        writer = Writer(telemetry.bridge(limits=Limits(line_bytes=100), native=native), tmp_path)

        writer.write_all(b"x" * 100 + b"\n", b"y" * 101 + b"\n", b"z" * 1_000)

        sizes = [(text[0], len(text)) for _, text in lines(telemetry)]
        assert sizes == [("x", 100), ("y", 100), ("y", 1), *[("z", 100)] * 10]

    def test_characters(self, telemetry: Telemetry, tmp_path: Path) -> None:
        """A long line is cut between characters, if there is room for one."""
        writer = Writer(telemetry.bridge(limits=Limits(line_bytes=5)), tmp_path)
        writer.write_all("ä🦀ö🦀\n".encode())
        tiny = Writer(telemetry.bridge(limits=Limits(line_bytes=0)), tmp_path)
        tiny.write_all("ä\n".encode())

        assert [text for _, text in lines(telemetry)] == ["ä", "🦀", "ö", "🦀", "\ufffd", "\ufffd"]

    def test_byte_by_byte(self, telemetry: Telemetry, tmp_path: Path) -> None:
        """A guest that writes one byte at a time is not slow: 50,000 of them take a few seconds at most."""
        text = WRITER.replace(
            '(func (export "write_and_trap")',
            """(func (export "drip") (param $times i32)
                (loop (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 512)))
                    (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
            (func (export "write_and_trap")""",
        )
        writer = Writer(telemetry.bridge(), tmp_path, text=text, stdio="log")
        writer.vectors(b"x")

        writer.instance.call("drip", 50_000)

        assert [len(text) for _, text in lines(telemetry)] == [50_000]


class TestModes:
    def test_log(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """In the mode ``log`` the lines are records only."""
        writer = Writer(bridge, tmp_path, stdio="log")

        assert writer.write(b"out", b"put\n") == (0, 7)

        assert lines(telemetry) == [("stdout", "output")]
        assert writer.stdout.read_bytes() == b""

    def test_off(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """In the mode ``off`` output is left alone."""
        writer = Writer(bridge, tmp_path, stdio="off")

        assert writer.write(b"output\n") == (0, 7)

        assert lines(telemetry) == []
        assert writer.stdout.read_bytes() == b"output\n"

    @pytest.mark.parametrize("stdio", ["tee", "log", "off"])
    def test_files(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path, stdio: str) -> None:
        """Writes to files go where they belong in every mode."""
        writer = Writer(bridge, tmp_path, stdio=stdio)
        writer.memory.write(writer.store, b"file.txt", 2048)
        assert writer.instance.call("open", 2048, 8, 600) == 0
        (fd,) = struct.unpack("<I", writer.memory.read(writer.store, 600, 604))
        assert fd > 3

        assert writer.write(b"content\n", fd=fd) == (0, 8)
        assert writer.write(b"x", fd=99)[0] == 8  # EBADF

        assert (tmp_path / "file.txt").read_bytes() == b"content\n"
        assert lines(telemetry) == []

    def test_terminal(self, bridge: Bridge, capfd: pytest.CaptureFixture[str], telemetry: Telemetry) -> None:
        """The process's own standard output is reached when the guest inherits it."""
        linker = wasmtime.Linker(engine())
        linker.define_wasi()
        store = wasmtime.Store(engine())
        wasi = wasmtime.WasiConfig()
        wasi.inherit_stdout()
        store.set_wasi(wasi)
        instance = bridge.instantiate(linker, store, compiled(WRITER), name="guest")
        memory = instance.exports(store)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        memory.write(store, struct.pack("<II", 1032, 6) + b"hello\n", 1024)

        assert instance.call("fd_write", 1, 1024, 1, 512) == 0

        assert capfd.readouterr().out == "hello\n"
        assert lines(telemetry) == [("stdout", "hello")]


END = 2 * PAGE


class TestBadInput:
    @pytest.mark.parametrize("stdio", ["tee", "log"])
    @pytest.mark.parametrize(
        ("array", "count", "written"),
        [
            (END, 1, 512),
            (END - 4, 1, 512),
            (-1, 1, 512),
            (1024, -1, 512),
            (1024, 1 << 20, 512),
            (1024, 1, END),
            (1024, 1, END - 3),
            (1024, 1, -1),
        ],
    )
    def test_addresses(self, bridge: Bridge, tmp_path: Path, stdio: str, array: int, count: int, written: int) -> None:
        """Addresses beyond memory give an error number as WASI's, or its trap, and nothing else happens."""
        writer = Writer(bridge, tmp_path, stdio=stdio)
        writer.vectors(b"x\n")
        plain = Writer(bridge, tmp_path, stdio="off")
        plain.vectors(b"x\n")

        results: list[Any] = []
        for each in (plain, writer):
            try:
                results.append(each.instance.call("fd_write", 1, array, count, written))
            except wasmtime.WasmtimeError as error:
                results.append(str(error).rsplit("Caused by:")[-1])

        if stdio == "tee":
            assert results[1] == results[0]
        else:
            assert results[1] != 0

    @pytest.mark.parametrize("stdio", ["tee", "log"])
    @pytest.mark.parametrize(("at", "size"), [(END, 1), (END - 1, 2), (-1, 1), (0, -1), (0, END + 1)])
    def test_vectors(
        self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path, stdio: str, at: int, size: int
    ) -> None:
        """The same for the addresses in the array."""
        writer = Writer(bridge, tmp_path, stdio=stdio)
        array = struct.pack("<II", at & 0xFFFFFFFF, size & 0xFFFFFFFF)
        writer.memory.write(writer.store, array, 1024)

        try:
            assert writer.instance.call("fd_write", 1, 1024, 1, 512) != 0
        except wasmtime.WasmtimeError:
            assert stdio == "tee"
        assert lines(telemetry) == []

    @pytest.mark.parametrize("stdio", ["tee", "log"])
    def test_overlapping_vectors(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path, stdio: str) -> None:
        """Vectors that overlap to far more than the memory do not make the host copy it all."""
        writer = Writer(bridge, tmp_path, stdio=stdio)
        array = struct.pack("<II", 0, END) * 1_000
        writer.memory.write(writer.store, array, 1024)

        writer.instance.call("fd_write", 1, 1024, 1_000, 512)

        assert sum(len(text) for _, text in lines(telemetry)) <= 2 * END

    def test_all_of_memory(self, bridge: Bridge, tmp_path: Path) -> None:
        """A guest that wants all of a great memory written, of which it has touched nothing, costs the host no copy of
        what is not written."""
        writer = Writer(bridge, tmp_path, text=WRITER.replace(" 2)", " 3000)", 1))
        size = writer.memory.data_len(writer.store) - END
        writer.memory.write(writer.store, struct.pack("<II", END, size), 1024)

        tracemalloc.start()
        try:
            writer.instance.call("fd_write", 1, 1024, 1, 512)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert writer.stdout.stat().st_size < size
        assert peak_bytes < size // 2

    def test_nothing(self, writer: Writer, telemetry: Telemetry) -> None:
        """Writing nothing is fine."""
        assert writer.write() == (0, 0)
        assert writer.write(b"", b"") == (0, 0)
        assert lines(telemetry) == []

    def test_failing_processor(self, writer: Writer, telemetry: Telemetry) -> None:
        """If the application's log processor raises, the guest's output goes on as if nothing was."""

        class Fails(LogRecordProcessor):
            def on_emit(self, log_record: Any) -> None:
                raise ValueError("processor")

            def shutdown(self) -> None:
                pass

            def force_flush(self, timeout_millis: int = 30_000) -> bool:
                return True

        telemetry.logger_provider.add_log_record_processor(Fails())

        assert writer.write(b"out\nput") == (0, 7)

        assert writer.stdout.read_bytes() == b"out\nput"
        assert writer.instance._runner.guest.rejections.count == 2


class TestOddModules:
    def test_application_defines_fd_write(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """The application's own ``fd_write`` is called on the guest's memory, and its exception reaches the caller."""
        seen: list[tuple[int, bytes]] = []

        def fd_write(caller: wasmtime.Caller, fd: int, array: int, count: int, written: int) -> int:
            memory = caller["memory"]
            assert isinstance(memory, wasmtime.Memory)
            at, size = struct.unpack("<II", memory.read(caller, array, array + 8))
            data = bytes(memory.read(caller, at, at + size))
            if data == b"fail":
                raise KeyError("of the application")
            seen.append((fd, data))
            memory.write(caller, struct.pack("<I", size), written)
            return 0

        linker = wasmtime.Linker(engine())
        linker.allow_shadowing = True
        linker.define_wasi()
        i32 = wasmtime.ValType.i32()
        linker.define_func(
            "wasi_snapshot_preview1", "fd_write", wasmtime.FuncType([i32] * 4, [i32]), fd_write, access_caller=True
        )
        store = wasmtime.Store(engine())
        store.set_wasi(wasmtime.WasiConfig())
        writer = Writer.__new__(Writer)
        writer.store = store
        writer.instance = bridge.instantiate(linker, store, compiled(WRITER), name="guest")
        memory = writer.instance.exports(store)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        writer.memory = memory

        assert writer.write(b"mine\n") == (0, 5)
        assert (seen, lines(telemetry)) == ([(1, b"mine\n")], [("stdout", "mine")])
        with pytest.raises(KeyError, match="of the application"):
            writer.write(b"fail")
        assert writer.write(b"again\n") == (0, 6)

    def test_shared_memory(self, bridge: Bridge, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A guest whose memory is shared between threads is left to WASI alone."""
        config = wasmtime.Config()
        config.wasm_threads = True
        config.shared_memory = True
        threads = wasmtime.Engine(config)
        text = WRITER.replace('(memory (export "memory") 2)', '(memory (export "memory") 2 2 shared)').replace(
            '(func (export "open")',
            '(data (i32.const 1024) "\\08\\04\\00\\00\\06\\00\\00\\00shared") (func (export "open")',
        )
        linker = wasmtime.Linker(threads)
        linker.define_wasi()
        store = wasmtime.Store(threads)
        wasi = wasmtime.WasiConfig()
        wasi.inherit_stdout()
        store.set_wasi(wasi)
        module = wasmtime.Module(threads, text)

        plain = linker.instantiate(store, module).exports(store)["fd_write"]
        watched = bridge.instantiate(linker, store, module, name="guest").exports(store)["fd_write"]

        assert isinstance(plain, wasmtime.Func)
        assert isinstance(watched, wasmtime.Func)
        assert plain(store, 1, 1024, 1, 512) == watched(store, 1, 1024, 1, 512)
        assert capfd.readouterr().out in {"", "sharedshared"}

    def test_memory64(self, bridge: Bridge, telemetry: Telemetry, capfd: pytest.CaptureFixture[str]) -> None:
        """A guest with a 64-bit memory writes as it would without us."""
        text = WRITER.replace('(memory (export "memory") 2)', '(memory (export "memory") i64 2)').replace(
            '(func (export "open")',
            '(data (i64.const 1024) "\\08\\04\\00\\00\\03\\00\\00\\0064\\n") (func (export "open")',
        )
        results: list[Any] = []
        for watched in (False, True):
            linker = wasmtime.Linker(engine())
            linker.define_wasi()
            store = wasmtime.Store(engine())
            wasi = wasmtime.WasiConfig()
            wasi.inherit_stdout()
            store.set_wasi(wasi)
            instance = (
                bridge.instantiate(linker, store, compiled(text), name="guest")
                if watched
                else linker.instantiate(store, compiled(text))
            )
            function = instance.exports(store)["fd_write"]
            assert isinstance(function, wasmtime.Func)
            results.append((function(store, 1, 1024, 1, 512), capfd.readouterr().out))

        assert results[0] == results[1]
        assert results == [(0, "64\n")] * 2
        assert lines(telemetry) == [("stdout", "64")]

    def test_without_memory(self, bridge: Bridge) -> None:
        """A guest without any memory fails as it does in WASI itself."""
        text = """(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
            (func (export "w") (result i32) (call $w (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))))"""
        messages: set[str] = set()
        for watched in (False, True):
            linker = wasmtime.Linker(engine())
            linker.define_wasi()
            store = wasmtime.Store(engine())
            store.set_wasi(wasmtime.WasiConfig())
            instance = (
                bridge.instantiate(linker, store, compiled(text), name="guest")
                if watched
                else linker.instantiate(store, compiled(text))
            )
            function = instance.exports(store)["w"]
            assert isinstance(function, wasmtime.Func)
            with pytest.raises(wasmtime.WasmtimeError) as raised:
                function(store)
            messages.add(str(raised.value).rsplit("Caused by:")[-1].strip())

        assert messages == {"missing required memory export"}

    def test_start_function(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """Output of a start function is logged and reaches the stream, too."""
        text = (
            WRITER.removesuffix(")")
            + """
            (data (i32.const 1024) "\\08\\04\\00\\00\\06\\00\\00\\00start\\n")
            (func $start
                (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 512))))
            (start $start))"""
        )
        writer = Writer(bridge, tmp_path, text=text)

        assert lines(telemetry) == [("stdout", "start")]
        assert writer.stdout.read_text() == "start\n"
        writer.write(b"later\n")
        assert writer.stdout.read_text() == "start\nlater\n"

    def test_closed_stdout(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """What the stream refuses is refused to the guest, and not logged."""
        if not Path("/dev/full").exists():
            pytest.fail("this test needs /dev/full")
        writer = Writer(bridge, tmp_path)
        store = wasmtime.Store(engine())
        wasi = wasmtime.WasiConfig()
        wasi.stdout_file = os.fspath("/dev/full")
        store.set_wasi(wasi)
        linker = wasmtime.Linker(engine())
        linker.define_wasi()
        writer.store = store
        writer.instance = bridge.instantiate(linker, store, compiled(WRITER), name="guest")
        memory = writer.instance.exports(store)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        writer.memory = memory

        errno, _ = writer.write(b"lost\n")

        assert errno != 0
        assert lines(telemetry) == []
