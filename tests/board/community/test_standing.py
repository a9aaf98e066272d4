"""Whose row a submission is: the account's, whatever records and containers say, on the newest state of the branch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusionbench.board.community.accept import accept_pull_request, read_scored
from fusionbench.board.community.ledger import Account
from fusionbench.board.community.pages import build_pages
from fusionbench.board.community.standing import standing_problems, submitter_problem
from fusionbench.core.errors import Rejected
from fusionbench.submissions.submit import check_submission
from tests.helpers.community import ADA, BOB, NOW, Forge, packed_pairs, start_forge

FILE = "submissions/incoming/mine.zip"


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return start_forge(tmp_path)


def test_a_record_names_the_account_of_its_pull_request(forge: Forge, tmp_path: Path) -> None:
    problem = submitter_problem("mine.zip", "Ada", ADA)
    assert problem is not None and problem.remedy == "pack it again with --submitter ada"
    assert submitter_problem("mine.zip", "ada", ADA) is None
    pull = forge.open(1, {FILE: packed_pairs(tmp_path / "made")}, by=BOB)
    (found,) = forge.check(pull).problems
    assert "'ada' as the submitter, the pull request is of the account bob" in found.rule
    with pytest.raises(Rejected, match="its record says that 'ada' submits it, not 'bob'"):
        forge.score(pull, tmp_path / "work")


def test_predictions_of_another_account_under_a_new_title(forge: Forge, tmp_path: Path) -> None:
    """Two results of the same predictions would also keep the pages from being built."""
    copied = forge.open(2, {FILE: packed_pairs(tmp_path / "copy", "Better", by=BOB)}, by=BOB)
    early = forge.score(copied, tmp_path / "early")  # before the first is recorded, so that only recording can see it
    line = forge.accept(forge.open(1, {FILE: packed_pairs(tmp_path / "made")}), tmp_path / "work")
    with pytest.raises(Rejected, match=r"those of the row Mine .* not the same submitter's"):
        accept_pull_request(forge.place, copied, early, lambda: NOW)
    forge.pull()
    with pytest.raises(Rejected, match="not the same submitter's"):
        forge.score(copied, tmp_path / "late")
    assert list(forge.ledger().accepted) == [line.id]


def test_a_correction_replaces_the_row_of_its_account(forge: Forge, tmp_path: Path) -> None:
    first = packed_pairs(tmp_path / "made")
    forge.accept(forge.open(1, {FILE: first}), tmp_path / "one")
    forge.pull()
    replaced = check_submission(tmp_path / "made" / "mine.zip").id
    theirs = packed_pairs(tmp_path / "theirs", "Other", by=BOB, add=2, replaces=replaced)
    with pytest.raises(Rejected, match="is not one of 'bob', who cannot replace it"):
        forge.score(forge.open(2, {FILE: theirs}, by=BOB), tmp_path / "two")
    ours = packed_pairs(tmp_path / "ours", "Corrected", add=1, replaces=replaced)
    line = forge.accept(forge.open(3, {FILE: ours}), tmp_path / "three")
    forge.pull()
    build_pages(forge.leaderboard, tmp_path / "site")
    (row,) = [row for row in _rows(tmp_path / "site") if row]
    assert line.title == "Corrected" and row == "corrected"


def _rows(site: Path) -> list[str]:
    import csv

    (file,) = (site / "board" / "data").glob("*.csv")
    return list(dict.fromkeys(row["model"] for row in csv.DictReader(file.open())))


@pytest.mark.parametrize(
    ("forge_it", "reason"),
    [
        (lambda record: record.update(status="verified"), "has the status verified"),
        (lambda record: record.update(status="published"), "has the status published"),
        (lambda record: record.update(origin={"kind": "run"}), "does not say of which submission"),
        (lambda record: record["origin"].update(submitter="bob"), "the result is of 'bob'"),
        (lambda record: record["origin"]["submission"].update(confirmed=False), "score it with --submitter ada"),
    ],
)
def test_a_container_is_believed_for_scores_alone(
    forge: Forge, tmp_path: Path, forge_it: Callable[[dict[str, Any]], None], reason: str
) -> None:
    pull = forge.open(1, {FILE: packed_pairs(tmp_path / "made")})
    scored = forge.score(pull, tmp_path / "work")
    (file,) = scored.rglob("result.json")
    record = json.loads(file.read_text())
    forge_it(record)
    file.write_text(json.dumps(record))
    with pytest.raises(Rejected, match=reason):
        accept_pull_request(forge.place, pull, scored, lambda: NOW)
    assert forge.ledger().lines == ()


def test_the_kind_is_not_the_containers_to_say(forge: Forge, tmp_path: Path) -> None:
    scored = forge.score(forge.open(1, {FILE: packed_pairs(tmp_path / "made")}), tmp_path / "work")
    _, _, results = read_scored(scored)
    tip = forge.repository.commit("main")
    assert standing_problems(forge.repository, tip, results, "predictions", ADA) == []
    assert standing_problems(forge.repository, tip, results, "weights", ADA) != []
    assert standing_problems(forge.repository, tip, results, "published", ADA) != []
    assert standing_problems(forge.repository, tip, results * 2, "predictions", ADA) != []
    assert standing_problems(forge.repository, tip, results, "predictions", Account("ada-", 1001)) != []
