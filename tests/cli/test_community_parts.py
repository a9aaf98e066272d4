"""What the verbs of a leaderboard share: the pull request of their words, the clone, the answer."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fusionbench.cli.community_parts import find_place, find_pull, now, tell_end
from fusionbench.core.errors import UsageError


def test_a_pull_request_is_named_in_one_way(tmp_path: Path) -> None:
    for words in ((None, None, None, None), (None, None, "HEAD", None), (tmp_path / "event", None, "HEAD", "ada")):
        with pytest.raises(UsageError, match="name the pull request with --event, or by its commit HEAD"):
            find_pull(*words)


def test_a_clone_without_the_remote(tmp_path: Path) -> None:
    from tests.helpers.community import git

    git(tmp_path, "init", "--quiet")
    with pytest.raises(UsageError, match="has no remote 'origin'; name one, or commit here only"):
        find_place(tmp_path, "origin")


def test_the_end_is_told_and_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = SimpleNamespace(id="0007-3f2a9c01d4e5")
    tell_end(line, tmp_path / "summary.md", as_json=True)  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out) == {"id": line.id, "state": "withdrawn"}
    assert (tmp_path / "summary.md").read_text().startswith("Withdrawn as `0007-3f2a9c01d4e5`")
    tell_end(line, None, as_json=False)  # type: ignore[arg-type]
    assert capsys.readouterr().out == f"{line.id}\n" and now().utcoffset() is not None
