"""Is this checkout ready to be released? Prints one line for each check; exit code 1 when one fails.

    python tools/release_check.py                             before the tag: it must be free
    python tools/release_check.py --tag v0.2.0 --dist dist    on the tag: it must be the version; keeps what was built

Version and changelog, deprecations that are due, the working tree, and what sdist and wheel contain. It uses the
installed setuptools, so that nothing is fetched.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("make test", "make test-oldest", "make test-newest", "make test-browser", "make docs", "make quickstart")


class ReleaseError(Exception):
    """A check that failed: what is wrong and what to do."""


def version(root: Path) -> str:
    """``__version__``, read without importing the package."""
    text = (root / "fusionbench" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ReleaseError('fusionbench/__init__.py has no line __version__ = "…"')
    try:
        if str(Version(found[1])) != found[1]:
            raise ReleaseError(f"the version {found[1]} is written {Version(found[1])} in normal form")
    except InvalidVersion as error:
        raise ReleaseError(f"the version {found[1]} is not one (PEP 440)") from error
    return found[1]


def check_version(root: Path) -> str:
    here = version(root)
    if "version = attr: fusionbench.__version__" not in (root / "setup.cfg").read_text(encoding="utf-8"):
        raise ReleaseError("setup.cfg does not read the version from fusionbench.__version__")
    return f"version {here}, from fusionbench/__init__.py"


def check_changelog(root: Path) -> str:
    here = version(root)
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## \[([^\]]+)\](.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    if here not in sections:
        raise ReleaseError(f"CHANGELOG.md has no heading ## [{here}] - YYYY-MM-DD; rename [Unreleased]")
    heading, _, body = sections[here].partition("\n")
    date = re.fullmatch(r" - (\d{4}-\d{2}-\d{2})", heading)
    try:
        day = datetime.date.fromisoformat(date[1] if date else "")
    except ValueError as error:
        raise ReleaseError(f"CHANGELOG.md: the heading of {here} ends in {heading!r}, not ' - 2026-01-31'") from error
    if day > datetime.date.today() + datetime.timedelta(days=1):
        raise ReleaseError(f"CHANGELOG.md: {here} is dated {day}, which is to come")
    if not body.strip():
        raise ReleaseError(f"CHANGELOG.md says nothing about {here}")
    if re.sub(r"^###.*$", "", sections.get("Unreleased", "").partition("\n")[2], flags=re.MULTILINE).strip():
        raise ReleaseError("CHANGELOG.md still has entries under [Unreleased]; move them to the release")
    return f"changelog has {here}, {day}"


def deprecations(root: Path) -> Iterator[tuple[str, str]]:
    """(place, ``removed_in``) of every call of ``deprecated`` and ``renamed_parameter``."""
    for path in sorted((root / "fusionbench").glob("**/*.py")):
        if path.parts[-2:] == ("core", "deprecation.py"):  # defines the two, one by the other
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            if name in ("deprecated", "renamed_parameter") and isinstance(node, ast.Call):
                place = f"{path.relative_to(root).as_posix()}:{node.lineno}"
                given = [word.value for word in node.keywords if word.arg == "removed_in"] or node.args[2:3]
                if not given or not isinstance(given[0], ast.Constant):
                    raise ReleaseError(f"{place}: removed_in has to be a literal version")
                yield place, str(given[0].value)


def check_deprecations(root: Path) -> str:
    here, found = Version(version(root)), list(deprecations(root))
    due = [f"{place} ({removed})" for place, removed in found if Version(removed) <= here]
    if due:
        raise ReleaseError(f"deprecated and due in {here}: {', '.join(due)}; remove it")
    return f"{len(found)} deprecations, none due"


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def check_tree(root: Path) -> str:
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        raise ReleaseError(f"the working tree is not clean: {len(changed)} files, first {changed[0][3:]}")
    return f"tree is clean at {git(root, 'rev-parse', '--short=12', 'HEAD').strip()}"


def check_tag(root: Path, tag: str | None) -> str:
    wanted = f"v{version(root)}"
    if tag is None:
        if git(root, "tag", "--list", wanted).strip():
            raise ReleaseError(f"the tag {wanted} is there already; raise __version__")
        return f"tag {wanted} is free"
    if tag != wanted:
        raise ReleaseError(f"the tag is {tag} and the version says {wanted}")
    return f"tag {tag} is the version"


def build(source: Path, out: Path, what: str) -> Path:
    """Build ``sdist`` or ``wheel`` of ``source`` with the installed setuptools."""
    code = f"import setuptools.build_meta as backend; print(backend.build_{what}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"the {what} does not build: {' '.join(done.stderr.split())[-300:]}")
    return out / done.stdout.split()[-1]


def wanted_files(root: Path) -> set[str]:
    """What a wheel has to contain: the tracked files that the code reads, where they are installed."""
    files = [name for name in git(root, "ls-files", "-z").split("\0") if name]
    package = r"(.+\.py|py\.typed|.+/(?:templates|static|data)/[^/]+|synth/[^/]+|metrics/[^/]+\.json)"
    data = {
        r"datasets_recipes/([^/]+\.(?:toml|txt))": "fusionbench/datasets_recipes/",
        r"benchmarks/([^/]+\.toml)": "fusionbench/benchmarks/",
        f"fusionbench/{package}": "fusionbench/",
    }
    places = ((re.fullmatch(pattern, name), folder) for name in files for pattern, folder in data.items())
    return {folder + match[1] for match, folder in places if match}


def check_wheel(path: Path, wanted: set[str], label: str) -> None:
    names = set(zipfile.ZipFile(path).namelist())
    lacking = sorted(wanted - names)
    if lacking:
        raise ReleaseError(f"{label} lacks {len(lacking)} files, first {lacking[0]}; see package_data in setup.cfg")
    if not any(name.endswith("LICENSE") for name in names):
        raise ReleaseError(f"{label} has no licence")


def check_contents(root: Path, dist: Path | None) -> str:
    wanted, here = wanted_files(root), version(root)
    for kind in ("datasets_recipes/", "benchmarks/", "board/templates/"):
        if not any(kind in name for name in wanted):
            raise ReleaseError(f"no tracked file below {kind}: run this in a complete checkout")
    with tempfile.TemporaryDirectory() as temporary:
        copy, out, unpacked = (Path(temporary) / name for name in ("copy", "out", "unpacked"))
        out.mkdir()
        for name in filter(None, git(root, "ls-files", "-z").split("\0")):
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, copy / name)
        sdist, wheel = build(copy, out, "sdist"), build(copy, out, "wheel")
        if sdist.name != f"fusionbench-{here}.tar.gz" or not wheel.name.startswith(f"fusionbench-{here}-py3-none-any"):
            raise ReleaseError(f"built {sdist.name} and {wheel.name}, not {here}")
        check_wheel(wheel, wanted, "the wheel")
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        again = build(unpacked / f"fusionbench-{here}", unpacked, "wheel")
        check_wheel(again, wanted, "the wheel made from the sdist")
        if dist is not None:
            dist.mkdir(parents=True, exist_ok=True)
            for path in (sdist, wheel):
                shutil.copy(path, dist / path.name)
    return f"sdist and wheel build, with {len(wanted)} files of code, recipes, suites and templates"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    parser.add_argument("--tag", help="the tag that is released; without it, the tag must be free")
    parser.add_argument("--dist", type=Path, help="folder that keeps sdist and wheel")
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()
    checks: list[Callable[[], str]] = [
        lambda: check_version(root),
        lambda: check_changelog(root),
        lambda: check_deprecations(root),
        lambda: check_tree(root),
        lambda: check_tag(root, options.tag or None),
        lambda: check_contents(root, options.dist),
    ]
    failed = 0
    for check in checks:
        try:
            print(f"ok      {check()}", flush=True)
        except ReleaseError as error:
            failed += 1
            print(f"FAILED  {error}", flush=True)
    print("\nA release also needs these to pass, on a quiet machine:")
    print("\n".join(f"  {test}" for test in TESTS))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
