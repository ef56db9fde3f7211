"""What is published is whole: sdist, the wheel made from it, and what that installs."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOTS = ("host_shim", "dwarf", "exporters")

SMOKE = """
(module
  (func (export "_start")))
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program away from this checkout, and show what it said if it fails."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    finished = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, built from this checkout and unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    build = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder)
    run(*build, cwd=REPOSITORY)
    [archive] = folder.glob("wasmscope-*.tar.gz")
    run("tar", "-xf", archive, cwd=folder)
    [unpacked] = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        folder,
        cwd=sdist,
    )
    [built] = folder.glob("wasmscope-*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment into which pip installed the wheel.

    pip finds out itself what the wheel depends on; the pins say only which versions.
    """
    folder = tmp_path_factory.mktemp("installed")
    pins = re.findall(
        r"^[\w.-]+==[^\s;]+",
        (REPOSITORY / "requirements" / "run.txt").read_text(),
        re.M,
    )
    (folder / "versions.txt").write_text("\n".join(pins))
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env" / "bin"
    install = (
        programs / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "-c",
        "versions.txt",
        wheel,
    )
    run(*install, cwd=folder)
    return programs


def portions(root: str) -> set[str]:
    """The files of a source root by the names that they have in a wheel."""
    base = REPOSITORY / root
    return {
        path.relative_to(base).as_posix()
        for path in base.glob("wasmscope/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class TestSdist:
    @pytest.mark.parametrize("root", ROOTS)
    def test_has_each_root(self, sdist: Path, root: str) -> None:
        """All files of each source root are in the sdist."""
        assert portions(root)
        for name in portions(root):
            assert (sdist / root / name).is_file()

    def test_has_license_and_tests(self, sdist: Path) -> None:
        """The license, the tests and what they need come along."""
        for name in ("LICENSE", "README.md", "uv.lock", "docker-compose.otel.yml"):
            assert (sdist / name).is_file()
        assert (sdist / "tests" / "packaging" / Path(__file__).name).is_file()
        assert (sdist / "script" / "test").is_file()

    def test_has_no_build_products(self, sdist: Path) -> None:
        """No build tree of a guest and no environment is in the sdist."""
        unwanted = {"target", "node_modules", ".venv", "__pycache__"}

        assert not [path for path in sdist.rglob("*") if path.name in unwanted]


class TestWheel:
    @pytest.mark.parametrize("root", ROOTS)
    def test_has_each_root(self, contents: set[str], root: str) -> None:
        """All files of each source root are in the wheel."""
        assert portions(root) <= contents

    def test_has_one_namespace(self, contents: set[str]) -> None:
        """``wasmscope`` is the only top-level name, and a PEP 420 namespace."""
        tops = {PurePosixPath(name).parts[0] for name in contents}

        assert "wasmscope/__init__.py" not in contents
        assert {top for top in tops if not top.endswith(".dist-info")} == {"wasmscope"}

    def test_is_typed(self, contents: set[str]) -> None:
        """Each subpackage has its py.typed: a namespace package has none for all."""
        subpackages = {
            PurePosixPath(name).parts[1] for name in contents if re.fullmatch(r"wasmscope/\w+/__init__\.py", name)
        }

        assert subpackages
        assert {f"wasmscope/{name}/py.typed" for name in subpackages} <= contents

    def test_has_license(self, contents: set[str]) -> None:
        """The license is where installers look for it."""
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in contents)


class TestInstalled:
    def test_version(self, installed: Path, wheel: Path, tmp_path: Path) -> None:
        """The command says the version that the wheel's name says."""
        version = wheel.name.split("-")[1]

        assert version in run(installed / "wasmscope", "--version", cwd=tmp_path).stdout

    def test_runs_a_guest(self, installed: Path, tmp_path: Path) -> None:
        """A guest runs, and its trace is shown, with just the wheel installed."""
        (tmp_path / "smoke.wat").write_text(SMOKE)

        finished = run(installed / "wasmscope", "run", "smoke.wat", cwd=tmp_path)

        assert "wasm.call" in finished.stderr
        assert finished.stdout == ""

    def test_declares_what_it_needs(self, installed: Path, tmp_path: Path) -> None:
        """Every module can be imported with the declared dependencies alone."""
        program = (
            "import importlib, pkgutil, wasmscope\n"
            "for found in pkgutil.walk_packages(wasmscope.__path__, 'wasmscope.'):\n"
            "    if not found.name.endswith('__main__'):\n"
            "        importlib.import_module(found.name)\n"
            "        print(found.name)\n"
        )

        finished = run(installed / "python", "-c", program, cwd=tmp_path)

        assert "wasmscope.host_shim" in finished.stdout.split()
