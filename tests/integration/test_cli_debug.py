"""``wasmscope debug`` in a process of its own, on modules of clang and Rust."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest
import wasmtime

from tests.support.cli import run_command
from wasmscope.cli import main
from wasmscope.wasm import Module

FIXTURES = Path(__file__).parents[1] / "fixtures/dwarf"
WITH_ID = FIXTURES / "c/O1-build-id.wasm"
WITHOUT_ID = FIXTURES / "c/O2-dwarf5.wasm"
NOT_WHOLE = {"O1-build-id-stripped.wasm", "O1-build-id-debug-only.wasm"}
WITH_DWARF = sorted(
    path
    for path in [*FIXTURES.glob("c/O*.wasm"), *FIXTURES.glob("cpp/O*.wasm"), *FIXTURES.glob("rust/[dlr]*.wasm")]
    if path.name not in NOT_WHOLE
)


def sections(path: Path) -> dict[str, bytes]:
    with Module.open(path) as module:
        return {section.name: module.contents(section) for section in module.sections}


def dwarf(path: Path) -> dict[str, bytes]:
    return {name: contents for name, contents in sections(path).items() if name.startswith(".debug_")}


class TestSplit:
    def test_two_files(self, tmp_path: Path) -> None:
        """The one to ship has all but DWARF, the one to keep all; both the linker's build id, which is printed."""
        shipped = tmp_path / "app.wasm"

        found = run_command("debug", "split", WITH_ID, "-o", shipped)

        whole, small, kept = sections(WITH_ID), sections(shipped), sections(tmp_path / "app.debug.wasm")
        assert found.exit_code == 0
        # A section of one vector of 16 bytes: the linker's UUID.
        assert found.stdout == whole["build_id"][1:].hex() + "\n"
        assert whole == kept
        assert small.pop("external_debug_info") == b"\x0eapp.debug.wasm"
        assert small == {name: contents for name, contents in whole.items() if not name.startswith(".debug_")}

    def test_beside_the_module(self, tmp_path: Path) -> None:
        """Without -o the module is left alone, and both files are beside it."""
        module = Path(shutil.copy(WITHOUT_ID, tmp_path / "app.wasm"))

        found = run_command("debug", "split", module)

        assert found.exit_code == 0
        assert module.read_bytes() == WITHOUT_ID.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["app.debug.wasm", "app.small.wasm", "app.wasm"]
        assert found.stdout.strip() == hashlib.sha1(WITHOUT_ID.read_bytes()).hexdigest()
        assert sections(tmp_path / "app.small.wasm")["external_debug_info"] == b"\x0eapp.debug.wasm"

    def test_store(self, tmp_path: Path) -> None:
        """In a store the debug file is called by its build id, and the module needs no link to it."""
        found = run_command("debug", "split", WITH_ID, "-o", tmp_path / "app.wasm", "--store", tmp_path / "store")

        digits = found.stdout.strip()
        kept = tmp_path / "store" / digits[:2] / f"{digits[2:]}.debug.wasm"
        assert dwarf(kept) == dwarf(WITH_ID)
        assert "external_debug_info" not in sections(tmp_path / "app.wasm")
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["app.wasm"]

    def test_store_keeps_what_it_has(self, tmp_path: Path) -> None:
        """The same build may come again; another build with the same id must not take its place."""
        id_alone = ("-o", tmp_path / "x.wasm", "--id", "abcdef")
        store = ("--store", tmp_path / "store")
        for source, name in ((WITHOUT_ID, "one"), (FIXTURES / "c/O0-dwarf4.wasm", "other")):
            run_command("debug", "add-id", source, *id_alone)
            (tmp_path / "x.wasm").rename(tmp_path / f"{name}.wasm")
        out = ("-o", tmp_path / "out.wasm")

        codes = [
            run_command("debug", "split", tmp_path / f"{name}.wasm", *out, *store).exit_code
            for name in ("one", "one", "other")
        ]

        assert codes == [0, 0, 126]
        assert dwarf(tmp_path / "store/ab/cdef.debug.wasm") == dwarf(WITHOUT_ID)

    def test_link_from_one_folder_to_another(self, tmp_path: Path) -> None:
        """The link is the path from the one to the other, as a URL; or what --url says."""
        (tmp_path / "ship it").mkdir()
        (tmp_path / "keep it").mkdir()
        shipped, kept = tmp_path / "ship it/a.wasm", tmp_path / "keep it/a.wasm"

        run_command("debug", "split", WITH_ID, "-o", shipped, "--debug-out", kept)
        link = sections(shipped)["external_debug_info"]
        run_command("debug", "split", WITH_ID, "-o", shipped, "--debug-out", kept, "--url", "https://x.test/a")

        assert link == b"\x13../keep%20it/a.wasm"
        assert sections(shipped)["external_debug_info"] == b"\x10https://x.test/a"

    def test_link_to_a_name_without_utf_8(self, tmp_path: Path) -> None:
        """The link leads to the debug file also if its name is no text."""
        output = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.small.wasm"))

        assert run_command("debug", "split", WITH_ID, "-o", output).exit_code == 0
        assert run_command("doctor", output).exit_code == 0

    def test_no_code(self, tmp_path: Path) -> None:
        """Without code, the file to keep has the same DWARF as what llvm-objcopy --only-keep-debug made."""
        run_command("debug", "split", WITH_ID, "-o", tmp_path / "a.wasm", "--no-code", "--strip-names")

        kept = sections(tmp_path / "a.debug.wasm")
        assert dwarf(tmp_path / "a.debug.wasm") == sections(FIXTURES / "c/O1-build-id-debug-only.wasm")
        assert set(kept) - set(dwarf(tmp_path / "a.debug.wasm")) == {"name", "producers", "build_id"}
        assert "name" not in sections(tmp_path / "a.wasm")

    @pytest.mark.parametrize(
        "path",
        [
            path
            for path in WITH_DWARF
            if dwarf(path) and "memory64" not in path.name and "build-id-debug" not in path.name
        ],
        ids=lambda path: f"{path.parent.name}/{path.name}",
    )
    def test_code_and_validity(self, path: Path, tmp_path: Path) -> None:
        """Of every compiler's module, both parts have the same code section and are valid modules."""
        assert main(["debug", "split", str(path), "-o", str(tmp_path / "a.wasm")]) == 0

        for made in (tmp_path / "a.wasm", tmp_path / "a.debug.wasm"):
            assert sections(made)["code"] == sections(path)["code"]
            wasmtime.Module.validate(wasmtime.Engine(), made.read_bytes())

    def test_without_dwarf(self, tmp_path: Path) -> None:
        """What has no DWARF cannot be split; the message says where it is, if the module knows."""
        bare = run_command("debug", "split", FIXTURES / "c/no-dwarf.wasm", "-o", tmp_path / "a.wasm")
        run_command("debug", "split", WITH_ID, "-o", tmp_path / "a.wasm")
        again = run_command("debug", "split", tmp_path / "a.wasm", "-o", tmp_path / "b.wasm")

        assert (bare.exit_code, again.exit_code) == (126, 126)
        assert bare.stderr.count("\n") == 1 and "clang -g" in bare.stderr
        assert "debug information is in a.debug.wasm" in again.stderr
        assert not (tmp_path / "b.wasm").exists()


class TestStrip:
    def test_as_llvm_does(self, tmp_path: Path) -> None:
        """The result is byte for byte what llvm-objcopy --strip-debug made."""
        found = run_command("debug", "strip", WITH_ID, "-o", tmp_path / "a.wasm")

        assert (found.exit_code, found.stdout) == (0, "")
        assert (tmp_path / "a.wasm").read_bytes() == (FIXTURES / "c/O1-build-id-stripped.wasm").read_bytes()

    def test_all(self, tmp_path: Path) -> None:
        """--strip-all takes names and producers, too, and leaves the build id and what the module needs to run."""
        run_command("debug", "strip", "-s", WITH_ID, "-o", tmp_path / "a.wasm")

        gone = set(sections(WITH_ID)) - set(sections(tmp_path / "a.wasm")) - set(dwarf(WITH_ID))
        assert gone == {"name", "producers"}


class TestAddId:
    def test_idempotent(self, tmp_path: Path) -> None:
        """The id is the SHA-1 of the module without one; the second time changes nothing."""
        module = Path(shutil.copy(WITHOUT_ID, tmp_path))

        first = run_command("debug", "add-id", "--in-place", module)
        after = module.read_bytes()
        second = run_command("debug", "add-id", "--in-place", module)

        assert first.stdout == second.stdout == hashlib.sha1(WITHOUT_ID.read_bytes()).hexdigest() + "\n"
        assert module.read_bytes() == after
        assert after[: WITHOUT_ID.stat().st_size] == WITHOUT_ID.read_bytes()

    def test_given(self, tmp_path: Path) -> None:
        """An id may be given in hexadecimal, also as a UUID is written."""
        run_command("debug", "add-id", WITHOUT_ID, "-o", tmp_path / "a", "--id", "0123-4567")

        assert sections(tmp_path / "a")["build_id"] == b"\x04\x01\x23\x45\x67"

    def test_uuid(self, tmp_path: Path) -> None:
        """A random one is of version 4 (RFC 9562) and different each time."""
        two = {run_command("debug", "add-id", WITHOUT_ID, "-o", tmp_path / "a", "--uuid").stdout for _ in range(2)}

        assert len(two) == 2
        assert all(len(text) == 33 and text[12] == "4" and text[16] in "89ab" for text in two)

    def test_another(self, tmp_path: Path) -> None:
        """A module that has an id gets another only if that is said twice."""
        once = run_command("debug", "add-id", WITH_ID, "-o", tmp_path / "a", "--id", "abcd")
        twice = run_command("debug", "add-id", WITH_ID, "-o", tmp_path / "a", "--id", "abcd", "--replace")

        assert (once.exit_code, twice.exit_code) == (126, 0)
        assert "--replace" in once.stderr
        assert sections(tmp_path / "a")["build_id"] == b"\x02\xab\xcd"

    @pytest.mark.parametrize("text", ["", "0", "ab", "xyz", "00" * 65])
    def test_no_id(self, text: str, tmp_path: Path) -> None:
        """What is no build id, or has no place in a store, is a usage error."""
        assert main(["debug", "add-id", str(WITHOUT_ID), "-o", str(tmp_path / "a"), f"--id={text}"]) == 2
        assert not (tmp_path / "a").exists()


class TestFiles:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("split", "m.wasm", "-o", "a.wasm", "--debug-out", "m.wasm"),
            ("split", "m.wasm", "-o", "a.wasm", "--debug-out", "link.wasm"),
            ("split", "m.wasm", "-o", "a.wasm", "--debug-out", "./a.wasm"),
            ("strip", "m.wasm"),
            ("add-id", "m.wasm"),
        ],
    )
    def test_never_overwritten(self, arguments: tuple[str, ...], tmp_path: Path) -> None:
        """Nothing is overwritten that was not named as the output, under whatever name."""
        shutil.copy(WITH_ID, tmp_path / "m.wasm")
        (tmp_path / "link.wasm").symlink_to("m.wasm")

        found = run_command("debug", *(str(tmp_path / word) if word.endswith("wasm") else word for word in arguments))

        assert found.exit_code == 2
        assert found.stderr.count("\n") == 1
        assert (tmp_path / "m.wasm").read_bytes() == WITH_ID.read_bytes()
        assert not (tmp_path / "a.wasm").exists()

    def test_in_place(self, tmp_path: Path) -> None:
        """The module keeps its permissions; a link to it stays a link."""
        module = Path(shutil.copy(WITH_ID, tmp_path / "m.wasm"))
        module.chmod(0o750)
        (tmp_path / "link.wasm").symlink_to("m.wasm")

        found = run_command("debug", "strip", "--in-place", tmp_path / "link.wasm")

        assert found.exit_code == 0
        assert stat.S_IMODE(module.stat().st_mode) == 0o750
        assert (tmp_path / "link.wasm").is_symlink()
        assert module.read_bytes() == (FIXTURES / "c/O1-build-id-stripped.wasm").read_bytes()

    def test_output_is_the_input(self, tmp_path: Path) -> None:
        """-o may name the module itself; the debug file is then beside it."""
        module = Path(shutil.copy(WITH_ID, tmp_path / "m.wasm"))

        found = run_command("debug", "split", module, "-o", module)

        assert found.exit_code == 0
        assert not dwarf(module)
        assert dwarf(tmp_path / "m.debug.wasm") == dwarf(WITH_ID)

    def test_long_name(self, tmp_path: Path) -> None:
        """A name as long as file systems allow is written to: 255 bytes, of whatever characters."""
        output = tmp_path / ("\N{CJK UNIFIED IDEOGRAPH-5B57}" * 83 + ".w")

        assert len(output.name.encode()) == 251
        assert run_command("debug", "strip", WITH_ID, "-o", output).exit_code == 0
        assert not dwarf(output)

    def test_name_on_a_terminal(self, tmp_path: Path) -> None:
        """What a terminal would act on is not written to it, if it is in a file's name."""
        output = tmp_path / "a\n\x1b[31m.wasm"

        found = run_command("debug", "split", WITH_ID, "-o", output, "--store", tmp_path / "\x1b[31m")
        assert found.exit_code == 0
        assert "\x1b" not in found.stderr
        assert found.stderr.count("\n") == 2

    def test_no_place(self, tmp_path: Path) -> None:
        """If it cannot be written, one line says so, and no temporary file is left."""
        full = tmp_path / "folder"
        full.mkdir()

        for place in (tmp_path / "none/a.wasm", full, full / "a.wasm" / "b.wasm", Path("/dev/full")):
            found = run_command("debug", "strip", WITH_ID, "-o", place)
            assert (found.exit_code, found.stderr.count("\n")) == (125, 1), place
        assert list(tmp_path.iterdir()) == [full]
        assert list(full.iterdir()) == []

    @pytest.mark.parametrize("command", ["split", "strip", "add-id"])
    def test_bad_input(self, command: str, tmp_path: Path) -> None:
        """What is no module, cut off or not there gives one line with the file's name, and no output."""
        (tmp_path / "text.wasm").write_text("hello")
        (tmp_path / "cut.wasm").write_bytes(WITH_ID.read_bytes()[:-10])
        (tmp_path / "component.wasm").write_bytes(b"\0asm\x0d\0\1\0")
        codes = {}
        for name in ("text.wasm", "cut.wasm", "component.wasm", "none.wasm", ""):
            found = run_command("debug", command, tmp_path / name, "-o", tmp_path / "out")
            codes[name] = found.exit_code
            assert found.stderr.startswith("wasmscope: ") and found.stderr.count("\n") == 1
            assert str(tmp_path / name) in found.stderr

        assert codes == {"text.wasm": 126, "cut.wasm": 126, "component.wasm": 126, "none.wasm": 127, "": 126}
        assert not (tmp_path / "out").exists()


class TestHelp:
    def test_help(self) -> None:
        """Help is data, the lack of a command an error."""
        assert run_command("debug", "--help").stdout.startswith("usage: wasmscope debug")
        assert run_command("debug", "split", "--help").stdout.startswith("usage: wasmscope debug split")
        assert run_command("debug").exit_code == 2
        assert run_command("debug", "join").exit_code == 2
        assert run_command("debug", "strip").exit_code == 2
