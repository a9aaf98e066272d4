"""Workflows, templates, hooks and citation: valid by their schemas, and true about this repository."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
SCHEMAS = [
    *(("vendor.github-workflows", path) for path in WORKFLOWS),
    *(("custom.github-workflows-require-timeout", path) for path in WORKFLOWS),
    *(("vendor.github-issue-forms", path) for path in FORMS),
    ("vendor.github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml"),
    ("vendor.citation-file-format", ROOT / "CITATION.cff"),
]
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", ".github/pull_request_template.md")


def read(path: Path) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.skipif(importlib.util.find_spec("check_jsonschema") is None, reason="check-jsonschema is not installed")
@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=[f"{schema}-{path.name}" for schema, path in SCHEMAS])
def test_files_follow_their_schema(schema: str, path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    if path.suffix == ".cff":
        command += ["--force-filetype", "yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def steps() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in WORKFLOWS:
        for job in read(path)["jobs"].values():
            found += [(path.name, step) for step in job["steps"]]
    return found


def test_workflows_run_what_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [(name, line) for name, step in steps() for line in step.get("run", "").splitlines()]
    assert len(commands) > 6
    for name, line in commands:
        if line.startswith("make "):
            assert line.split()[1] in targets, f"{name}: {line}"
        for file in re.findall(r"(?:tests|tools|docs)/[\w./]+|constraints[\w-]*\.txt", line):
            assert (ROOT / file).exists(), f"{name}: {file}"


def test_workflows_have_few_rights_and_no_address() -> None:
    for path in WORKFLOWS:
        workflow, text = read(path), path.read_text(encoding="utf-8")
        assert workflow["permissions"] == {"contents": "read"}, path.name
        assert "://" not in text, f"{path.name} names an address; use a repository variable"
        assert "secrets." not in text, path.name
        if "pip install" in text or "make " in text:
            assert workflow["env"]["PIP_EXTRA_INDEX_URL"] == "${{ vars.PIP_EXTRA_INDEX_URL }}", path.name


def test_no_untrusted_text_gets_into_a_shell() -> None:
    """Titles and branch names come from outside: expanded in ``run`` they would be code."""
    for name, step in steps():
        assert "${{" not in step.get("run", ""), f"{name}: {step['run']}"


def test_the_matrix_is_the_one_that_is_promised() -> None:
    matrix = read(GITHUB / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.cfg").read_text())
    assert matrix["python"] == classifiers


def test_publishing_needs_a_tag_and_the_check() -> None:
    workflow = read(GITHUB / "workflows" / "publish.yml")
    trigger = workflow.get("on", workflow.get(True))  # YAML 1.1 reads `on` as true
    assert trigger == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+*"]}}
    assert any("make release-check" in step.get("run", "") for step in workflow["jobs"]["build"]["steps"])
    assert workflow["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert workflow["jobs"]["publish"]["needs"] == "build"


def test_hooks_are_local_and_their_tools_are_in_the_extra() -> None:
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert all(repo["repo"] == "local" for repo in read(ROOT / ".pre-commit-config.yaml")["repos"])
    assert {hook["id"] for hook in hooks} == {"end-of-file", "ruff", "ruff-format", "mypy"}
    dev = (ROOT / "setup.cfg").read_text().partition("\ndev =\n")[2].partition("\n\n")[0]
    for hook in hooks:
        module = re.match(r"python -m (\w+)", hook["entry"])
        assert hook["language"] == "system" and module is not None, hook["id"]
        assert f"    {module[1].replace('_', '-')}>=" in dev, hook["id"]


@pytest.mark.skipif(importlib.util.find_spec("pre_commit") is None, reason="pre-commit is not installed")
def test_the_hooks_run_and_find_faults(tmp_path: Path) -> None:
    """In a repository of its own: two faults, each found by its hook."""
    (tmp_path / ".pre-commit-config.yaml").write_text((ROOT / ".pre-commit-config.yaml").read_text())
    (tmp_path / "good.py").write_text("X = 1\n")
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    def run(hook: str) -> int:
        subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": str(tmp_path), "PRE_COMMIT_HOME": str(tmp_path / ".cache")}
        command = [sys.executable, "-m", "pre_commit", "run", hook, "--all-files"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True).returncode

    (tmp_path / ".gitignore").write_text(".cache/\n")
    assert (run("end-of-file"), run("ruff"), run("ruff-format")) == (0, 0, 0)
    (tmp_path / "bad.py").write_text("import os\nX = 'a'")
    assert (run("end-of-file"), run("ruff"), run("ruff-format")) == (1, 1, 1)


def test_pages_invent_no_address() -> None:
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"[\w.]+@[\w.]+\.\w+", text), f"{name} has an e-mail address"
    assert "private" in (ROOT / "SECURITY.md").read_text()


def test_contributing_has_five_steps_for_each_kind() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for kind in ("metric", "model", "source", "recipe", "protocol"):
        section = text.partition(f"\n## A {kind}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^(\d)\. ", section, re.MULTILINE) == list("12345"), kind
