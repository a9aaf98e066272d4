"""A new leaderboard: its files, its workflows by the schemas of this repository's own, rules of its Dockerfile."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fusionbench.board.community.ledger import read_ledger
from fusionbench.board.community.settings import Leaderboard, Limits
from fusionbench.board.community.start import StartRequest, constraints, prepare_data, start_community
from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.suites import load_suite
from tests.helpers.community import git

WORKFLOWS = ("accept", "check", "pages")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "board"
    limits = Limits(per_day=4, total=40, archive_mib=7)
    request = StartRequest(folder, "Our leaderboard", "pairs-demo", limits=limits, owner="@ours/keepers", git=True)
    return start_community(request)


def workflow(made: Path, name: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((made / ".github" / "workflows" / f"{name}.yml").read_text())
    assert isinstance(found, dict)
    return found


def test_the_repository_is_complete_and_committed(made: Path) -> None:
    assert git(made, "status", "--porcelain") == "" and git(made, "branch", "--show-current") == "main"
    leaderboard = Leaderboard.read(made)
    assert leaderboard.settings.title == "Our leaderboard" and leaderboard.settings.data == "pairs-demo"
    assert leaderboard.settings.limits == Limits(per_day=4, total=40, archive_mib=7)
    assert load_suite(leaderboard.suite_file).name == "pairs-demo" and read_ledger(made / "ledger.jsonl").lines == ()
    assert "* @ours/keepers" in (made / ".github" / "CODEOWNERS").read_text()
    readme = (made / "README.md").read_text()
    assert "4 submissions" in readme and "7 MiB" in readme and "{{" not in readme
    for folder in ("submissions/incoming", "submissions/accepted", "submissions/withdraw", "results/reference"):
        assert (made / folder / "README.md").is_file()


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "<script>"},
        {"title": "two\nlines"},
        {"suite": "no-such-suite"},
        {"data": "../data"},
        {"owner": "@a\n* @evil"},
        {"requirement": "a\n--index-url=x"},
    ],
)
def test_nothing_is_written_for_what_cannot_be(changes: dict[str, str], tmp_path: Path) -> None:
    words = {"folder": tmp_path / "board", "title": "Ours", "suite": "pairs-demo"}
    with pytest.raises(FusionbenchError):
        start_community(StartRequest(**(words | changes)))  # type: ignore[arg-type]
    assert not (tmp_path / "board").exists()


def test_a_folder_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        start_community(StartRequest(tmp_path, "Ours", "pairs-demo"))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_constraints_are_installed_versions_without_local_parts() -> None:
    from importlib import metadata

    lines = dict(line.split("==") for line in constraints())
    if not lines:
        pytest.skip("a checkout that is not installed")
    assert {"numpy", "torch", "click", "msgspec"} <= lines.keys() and "fusionbench" not in lines
    assert lines["numpy"] == metadata.version("numpy") and not [v for v in lines.values() if "+" in v]
    assert "pytest" not in lines, "extras are not needed to score"


@pytest.mark.skipif(importlib.util.find_spec("check_jsonschema") is None, reason="check-jsonschema is not installed")
@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_workflows_follow_their_schema(made: Path, schema: str) -> None:
    files = [str(made / ".github" / "workflows" / f"{name}.yml") for name in WORKFLOWS]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_have_few_rights_and_no_untrusted_text_in_a_shell(made: Path, name: str) -> None:
    found = workflow(made, name)
    text = (made / ".github" / "workflows" / f"{name}.yml").read_text()
    assert found["permissions"] == {"contents": "read"} and "://" not in text
    assert re.findall(r"secrets\.\w+", text) == ["secrets.FUSIONBENCH_ROUND_SECRET"] * (name == "accept")
    for job in found["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), step
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step
            if step.get("uses", "").startswith("actions/checkout"):
                # never the pull request: the state of the leaderboard's own branch
                assert step["with"]["ref"] == "${{ github.event.repository.default_branch }}"


def test_what_a_pull_request_gives_to_a_shell_is_a_number_and_a_commit(made: Path) -> None:
    for name in WORKFLOWS:
        text = (made / ".github" / "workflows" / f"{name}.yml").read_text()
        used = set(re.findall(r"github\.event\.pull_request\.([\w.]+)", text))
        assert used <= {"number", "head.sha"}, used


def test_the_check_has_no_rights_and_the_container_no_token(made: Path) -> None:
    check, accept = workflow(made, "check"), workflow(made, "accept")
    assert set(check.get("on", check.get(True))) == {"pull_request"}
    assert all("permissions" not in job for job in check["jobs"].values())
    score, record = accept["jobs"]["score"], accept["jobs"]["record"]
    assert set(score["permissions"].values()) == {"read"} and record["permissions"]["contents"] == "write"
    assert score["steps"][0]["with"]["persist-credentials"] is False
    (container,) = [step["run"] for step in score["steps"] if "docker run" in step.get("run", "")]
    for flag in ("--network none", "--read-only", "--cap-drop ALL", "--pids-limit", "--memory", "no-new-privileges"):
        assert flag in container, flag
    assert "/leaderboard:ro" in container and "/taken:ro" in container
    assert not [step for step in record["steps"] if "docker" in step.get("run", "") or "--take" in step.get("run", "")]


def test_only_the_step_that_makes_views_has_the_secret_of_a_round(made: Path) -> None:
    """Not the container, which has hostile input, not the step that writes, and no command line."""
    score = workflow(made, "accept")["jobs"]["score"]
    having = [step for step in score["steps"] if "secrets." in str(step)]
    assert [step["run"] for step in having] == ['python -m fusionbench community round-views -o "$RUNNER_TEMP/views"']
    assert list(having[0]["env"]) == ["FUSIONBENCH_ROUND_SECRET"] and score["environment"] == "round"
    (container,) = [step["run"] for step in score["steps"] if "docker run" in step.get("run", "")]
    assert "/views:ro" in container and "--round-views /views" in container and "--env" not in container
    assert "secrets" not in str(workflow(made, "accept")["jobs"]["record"])
    assert {"*.secret", "*.secret.views/"} <= set((made / ".gitignore").read_text().split())


def test_workflows_call_verbs_and_options_that_there_are(made: Path) -> None:
    from fusionbench.cli.community import community_command

    called = set()
    for name in WORKFLOWS:
        for job in workflow(made, name)["jobs"].values():
            for step in job["steps"]:
                for verb, rest in re.findall(
                    r"fusionbench community ([a-z-]+)((?:[^\n]|(?<=\\)\n)*)", step.get("run", "")
                ):
                    options = {option for each in community_command.commands[verb].params for option in each.opts}
                    assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)) <= options, rest
                    called.add(verb)
    assert called == {"prepare", "check-pr", "round-views", "score", "accept", "rounds", "pages"}


def docker_lines(path: Path) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile: comments left out, continued lines joined."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(line.split()[0].upper(), line.partition(" ")[2]) for line in joined.splitlines() if line.strip()]


def test_the_scorer_is_not_root_and_fetches_nothing_but_packages(made: Path) -> None:
    lines = docker_lines(made / "Dockerfile")
    kinds = [kind for kind, _ in lines]
    assert kinds.count("FROM") == 1 and re.fullmatch(r"python:3\.\d+-slim", dict(lines)["FROM"])
    assert "ADD" not in kinds and "://" not in (made / "Dockerfile").read_text()
    arguments = dict(value.split("=") for kind, value in lines if kind == "ARG")
    users = [re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], value) for kind, value in lines if kind == "USER"]
    assert len(users) == 1 and users[0] not in ("0", "root", "") and kinds.index("USER") > kinds.index("RUN")
    copied = [name for kind, value in lines if kind == "COPY" for name in value.split()[:-1]]
    assert sorted(copied) == ["constraints.txt", "requirements.txt"] and "--from" not in str(copied)
    (run,) = [value for kind, value in lines if kind == "RUN"]
    assert "--constraint" in run and "--requirement" in run and not re.search(r"\b(curl|wget|git clone|sudo)\b", run)
    assert arguments["TORCH_INDEX"] == '""', "the index is given when it is built"
    ignored = [line for line in (made / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == ["*", "!requirements.txt", "!constraints.txt"]
    for line in (made / "requirements.txt").read_text().splitlines():
        assert re.fullmatch(r"fusionbench==[0-9][\w.]*", line)
    for line in (made / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[0-9][\w.]*", line), line


def test_data_are_made_by_a_recipe_or_named(tmp_path: Path, made: Path) -> None:
    assert prepare_data(Leaderboard.read(made)) is None, "embedded"
    digits = Leaderboard.read(start_community(StartRequest(tmp_path / "digits", "Digits", "quickstart")))
    folder = prepare_data(digits)
    assert folder == digits.data and open_dataset(folder).name == "fusiondigits" and prepare_data(digits) == folder
    tno = Leaderboard.read(start_community(StartRequest(tmp_path / "tno", "TNO", "ivif-tno")))
    with pytest.raises((UsageError, DataError), match="tno"):
        prepare_data(tno)
