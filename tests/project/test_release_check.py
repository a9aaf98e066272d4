"""``tools/release_check.py`` on small checkouts: each fault is found and named, and a good one passes."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-31\n\n### Added\n\n- Something.\n"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_check", ROOT / "tools" / "release_check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package as small as can be, with our setup.cfg's way of building."""
    root = tmp_path / "checkout"
    for name in ("datasets_recipes", "benchmarks", "fusionbench/board/templates"):
        (root / name).mkdir(parents=True)
    (root / "fusionbench/__init__.py").write_text('__version__ = "1.2.0"\n')
    (root / "fusionbench/board/__init__.py").write_text("")
    (root / "fusionbench/board/templates/base.html").write_text("<p>\n")
    (root / "datasets_recipes/one.toml").write_text("a = 1\n")
    (root / "benchmarks/one.toml").write_text("a = 1\n")
    (root / "CHANGELOG.md").write_text(CHANGELOG)
    (root / "LICENSE").write_text("free\n")
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "setup.cfg").write_text(
        "[metadata]\nname = fusionbench\nversion = attr: fusionbench.__version__\nlicense_files = LICENSE\n"
        "[options]\npackages =\n    fusionbench\n    fusionbench.board\n    fusionbench.datasets_recipes\n"
        "    fusionbench.benchmarks\npackage_dir =\n    fusionbench = fusionbench\n"
        "    fusionbench.datasets_recipes = datasets_recipes\n    fusionbench.benchmarks = benchmarks\n"
        "[options.package_data]\nfusionbench.board = templates/*\nfusionbench.datasets_recipes = *.toml\n"
        "fusionbench.benchmarks = *.toml\n"
    )
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    return root


def run(root: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "tools" / "release_check.py"), "--root", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_a_good_checkout_passes_and_keeps_what_was_built(checkout: Path, tmp_path: Path) -> None:
    code, out = run(checkout, "--dist", str(tmp_path / "dist"))
    assert code == 0, out
    assert "FAILED" not in out and "make test-oldest" in out
    assert sorted(path.name for path in (tmp_path / "dist").iterdir()) == [
        "fusionbench-1.2.0-py3-none-any.whl",
        "fusionbench-1.2.0.tar.gz",
    ]
    names = zipfile.ZipFile(tmp_path / "dist" / "fusionbench-1.2.0-py3-none-any.whl").namelist()
    assert {"fusionbench/datasets_recipes/one.toml", "fusionbench/board/templates/base.html"} <= set(names)


def edit(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("fusionbench/__init__.py", "1.2.0", "1.2.O", "is not one"),
        ("fusionbench/__init__.py", "1.2.0", "1.2.0-rc1", "normal form"),
        ("fusionbench/__init__.py", "1.2.0", "1.3.0", "no heading ## [1.3.0]"),
        ("setup.cfg", "attr: fusionbench.__version__", "1.2.0", "does not read the version"),
        ("CHANGELOG.md", " - 2026-01-31", "", "ends in ''"),
        ("CHANGELOG.md", "2026-01-31", "2026-02-31", "2026-02-31"),
        ("CHANGELOG.md", "2026-01-31", "2926-01-31", "which is to come"),
        ("CHANGELOG.md", "\n### Added\n\n- Something.\n", "\n", "says nothing about 1.2.0"),
        ("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- Not released.\n", "still has entries"),
    ],
)
def test_faults_of_version_and_changelog(
    tool: ModuleType, checkout: Path, name: str, old: str, new: str, reason: str
) -> None:
    edit(checkout, name, old, new)
    with pytest.raises(tool.ReleaseError) as caught:  # the two checks that read these files
        tool.check_version(checkout)
        tool.check_changelog(checkout)
    assert reason in str(caught.value)


def test_a_tree_that_is_not_clean_and_a_tag_that_is_taken(tool: ModuleType, checkout: Path) -> None:
    assert "clean" in tool.check_tree(checkout)
    (checkout / "new.txt").write_text("x")
    with pytest.raises(tool.ReleaseError, match=r"new\.txt"):
        tool.check_tree(checkout)
    assert "free" in tool.check_tag(checkout, None)
    git(checkout, "tag", "v1.2.0")
    with pytest.raises(tool.ReleaseError, match="there already"):
        tool.check_tag(checkout, None)
    assert "is the version" in tool.check_tag(checkout, "v1.2.0")
    with pytest.raises(tool.ReleaseError, match=r"v1\.3\.0"):
        tool.check_tag(checkout, "v1.3.0")


@pytest.mark.parametrize("missing", ["datasets_recipes", "board"])
def test_a_wheel_that_lacks_recipes_or_templates(checkout: Path, missing: str) -> None:
    pattern = "fusionbench.board = templates/*\n" if missing == "board" else "fusionbench.datasets_recipes = *.toml\n"
    edit(checkout, "setup.cfg", pattern, "")
    git(checkout, "commit", "-qam", "break it")
    code, out = run(checkout)
    assert code == 1 and "lacks 1 files" in out and missing in out


def test_what_is_deprecated_and_due(tool: ModuleType, checkout: Path) -> None:
    code = (
        "from fusionbench.core.deprecation import deprecated\ndef old():\n    deprecated('a', 'b', removed_in='{}')\n"
    )
    (checkout / "fusionbench/old.py").write_text(code.format("1.3"))
    assert "1 deprecations, none due" in tool.check_deprecations(checkout)
    (checkout / "fusionbench/old.py").write_text(code.format("1.2"))
    with pytest.raises(tool.ReleaseError, match=r"old\.py:3 \(1\.2\)"):
        tool.check_deprecations(checkout)


def test_nothing_in_this_version_is_due(tool: ModuleType) -> None:
    tool.check_deprecations(ROOT)
    tool.check_version(ROOT)
