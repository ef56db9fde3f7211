"""The pinned versions: one set of them, complete, and from the public index only."""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

REPOSITORY = Path(__file__).parents[2]
PINS = REPOSITORY / "requirements"
RUN, TEST, LINT, GO, NODE, ZIG = FILES = tuple(
    PINS / f"{name}.txt" for name in ("run", "test", "lint", "go", "node", "zig")
)


@pytest.fixture(scope="module")
def lock() -> dict[str, dict[str, Any]]:
    """The packages in uv.lock by name."""
    packages = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    return {package["name"]: package for package in packages}


def pins(path: Path) -> dict[str, tuple[str, set[str]]]:
    """Read a requirements file: name to version and hashes."""
    text = path.read_text().replace("\\\n", " ")
    return {
        found["name"]: (found["version"], set(re.findall(r"--hash=(\S+)", found[0])))
        for found in re.finditer(r"^(?P<name>[\w.-]+)==(?P<version>\S+).*$", text, re.M)
    }


def direct(requirements: list[str | dict[str, str]]) -> set[str]:
    """The project names in a list of requirements, which here are all lower case."""
    names = (re.match(r"[\w.-]+", entry) for entry in requirements if isinstance(entry, str))
    return {name[0] for name in names if name}


class TestPins:
    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
    def test_pip_installs_what_uv_locks(self, lock: dict[str, dict[str, Any]], path: Path) -> None:
        """Each pin for pip has the version and the hashes of uv.lock."""
        assert pins(path)
        for name, (version, hashes) in pins(path).items():
            package = lock[name]
            archives = [*package.get("wheels", []), package.get("sdist", {})]

            assert package["version"] == version
            assert {entry["hash"] for entry in archives if entry} == hashes

    def test_nothing_is_left_unpinned(self, lock: dict[str, dict[str, Any]]) -> None:
        """Every package that uv.lock knows is in one of the files for pip."""
        assert {name for path in FILES for name in pins(path)} == {*lock} - {"wasmscope"}

    def test_pyproject_is_locked(self) -> None:
        """What pyproject.toml asks for is what was locked: if not, run script/lock."""
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
        groups = project["dependency-groups"]

        assert direct(project["project"]["dependencies"]) <= pins(RUN).keys()
        assert direct(groups["build"]) <= pins(RUN).keys()
        assert direct(groups["test"]) <= pins(TEST).keys()
        assert direct(groups["lint"]) <= pins(LINT).keys()
        assert direct(groups["go"]) == pins(GO).keys()
        assert direct(groups["node"]) == pins(NODE).keys()
        assert direct(groups["zig"]) == pins(ZIG).keys()

    @pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
    @pytest.mark.parametrize("path", [RUN, TEST], ids=lambda path: path.name)
    def test_wheels_for_each_python(self, lock: dict[str, dict[str, Any]], path: Path, architecture: str) -> None:
        """Nothing has to be compiled on Linux with glibc 2.31, with any Python that pyproject.toml names."""
        classifiers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["classifiers"]
        minors: list[str] = re.findall(r"^Programming Language :: Python :: 3\.(\d+)$", "\n".join(classifiers), re.M)
        # The newest of each kind first, as pip has them (PEP 600).
        platforms = [f"manylinux_2_{minor}_{architecture}" for minor in range(31, 4, -1)]
        platforms += [f"manylinux{old}_{architecture}" for old in ("2014", "2010", "1")]

        assert minors
        for minor in minors:
            version = (3, int(minor))
            suitable = {
                *cpython_tags(version, platforms=platforms),
                *compatible_tags(version, interpreter=f"cp3{minor}", platforms=platforms),
            }
            for name in pins(path):
                urls: list[str] = [wheel["url"] for wheel in lock[name].get("wheels", [])]
                tags = [parse_wheel_filename(url.rpartition("/")[2])[3] for url in urls]
                assert any(each & suitable for each in tags), f"{name} for 3.{minor}"

    def test_only_the_public_index(self) -> None:
        """No file names a mirror or a private index."""
        text = "".join(path.read_text() for path in (REPOSITORY / "uv.lock", *PINS.iterdir()))
        urls: list[str] = re.findall(r"https?://[^\s\"]+", text)

        assert {urlsplit(url).hostname for url in urls} == {
            "pypi.org",
            "files.pythonhosted.org",
        }


class TestOtherLocks:
    def test_only_public_registries(self) -> None:
        """The locks of guests and SDKs name the public registries or none at all."""
        locks = [
            path
            for pattern in ("package-lock.json", "Cargo.lock")
            for folder in ("guest_sdk", "examples", "tests")
            for path in (REPOSITORY / folder).rglob(pattern)
            if not {"node_modules", "target"} & {*path.parts}
        ]
        # In package-lock.json, URLs of funding pages name no source of anything.
        sources = re.compile(r'(?:"resolved": |source = )"([^"]+)"')
        urls: set[str] = {url for path in locks for url in sources.findall(path.read_text())}

        assert {urlsplit(url.removeprefix("registry+")).hostname for url in urls} <= {
            "github.com",  # the name of crates.io's index
            "registry.npmjs.org",
        }
