"""What an installation has, told from a wheel built from this checkout; and what the constraints file holds."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def tracked_files() -> list[str]:
    """What git knows: a file that is not committed yet does not belong into a wheel."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if name]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy of the tracked files with the setuptools at hand, so that nothing is fetched."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in tracked_files():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    build = f"import setuptools.build_meta as backend; print(backend.build_wheel({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_has_what_the_code_reads(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    here = {path.name for path in (ROOT / "datasets_recipes").glob("*.toml")}
    assert here and {f"fusionbench/datasets_recipes/{name}" for name in here} <= names
    for folder in ("templates", "static", "data", "community/templates"):
        found = {f"fusionbench/board/{folder}/{path.name}" for path in (ROOT / "fusionbench/board" / folder).iterdir()}
        assert found and found <= names
    scaffolds = {f"fusionbench/cli/scaffolds/{path.name}" for path in (ROOT / "fusionbench/cli/scaffolds").iterdir()}
    assert scaffolds and scaffolds <= names
    suites = {f"fusionbench/benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.toml")}
    assert suites and suites <= names
    assert "fusionbench/py.typed" in names
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fusionbench").glob("**/*.py")}
    assert code & set(tracked_files()) <= names, "every package is named in setup.cfg"


def test_the_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        assert name.startswith(("fusionbench/", "fusionbench-")), name
        assert not name.startswith("fusionbench/benchmarks/perf"), name
    points = wheel.read(next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))).decode()
    assert "fusionbench = fusionbench.__main__:main" in points


def requirements() -> list[Requirement]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"] + "".join(setup["options.extras_require"].values())
    return [Requirement(line) for line in lines.splitlines() if line.strip() and not line.startswith("#")]


def test_constraints_are_names_and_versions_within_the_ranges() -> None:
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
            assert match is not None, line
            pins[match[1].lower().replace("_", "-")] = match[2]
    for requirement in requirements():
        if requirement.name in ("torchvision", "fusionbench"):
            continue  # its release follows torch; and an extra of our own
        assert requirement.name.lower() in pins, f"{requirement.name} has no tested version in constraints.txt"
        assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement.name
