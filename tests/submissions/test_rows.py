"""A scored submission takes nobody's place: the folder of the same weights, a row, a group, a title."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import RejectedError
from fusionbench.results.schema import Origin, Result, SubmittedRow, identity_id, load
from fusionbench.submissions import rows
from fusionbench.submissions.rows import row_problems, save_row
from tests.helpers.results import saved

VALUES = {"id": [0, 1], "vif": [1.0, 2.0]}
PATH = Path("theirs.zip")


def scored(
    root: Path, submission: str, who: str, *, weights: int, title: str = "", seed: int = 0, **row: Any
) -> Result:
    """What scoring a submission leaves."""
    made = load(saved(root / "drafts" / submission, "mine", {"vif": [1.0, 2.0]}, seed=seed))
    made.identity.model.weights_sha256, made.title = f"{weights:064x}", title or f"{who} {submission}"
    made.id = identity_id(made.identity)
    made.origin = Origin(kind="submission", submitter=who, submission=SubmittedRow(id=submission * 64, **row))
    return made


def accept(root: Path, result: Result) -> Path:
    return save_row(PATH, result, VALUES, root / "results", None)


def test_the_same_weights_take_no_place_of_somebody_else(tmp_path: Path) -> None:
    folder = accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1))
    before = (folder / "result.json").read_bytes()
    with pytest.raises(RejectedError, match=r"^theirs\.zip: these weights .* Ada a .*not the same submitter's"):
        accept(tmp_path, scored(tmp_path, "e", "Eve", weights=1))
    with pytest.raises(RejectedError, match="not the same submitter's"):  # as another seed, in another folder
        accept(tmp_path, scored(tmp_path, "f", "Eve", weights=1, seed=5))
    assert (folder / "result.json").read_bytes() == before
    own = saved(tmp_path / "results", "ours", {"vif": [1.0, 2.0]}, seed=77)
    with pytest.raises(RejectedError, match="not the same submitter's"):
        accept(tmp_path, scored(tmp_path, "1", "Eve", weights=77))
    assert load(own).origin == Origin()


def test_the_same_submission_again_is_the_same_row(tmp_path: Path) -> None:
    first = accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1))
    assert accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1)) == first
    assert len(list((tmp_path / "results").glob("**/result.json"))) == 1
    with pytest.raises(RejectedError, match=f"submitted before as Ada a .* --replaces {'a' * 64}"):
        accept(tmp_path, scored(tmp_path, "b", "Ada", weights=1))
    retitled = scored(tmp_path, "b", "Ada", weights=1, title="Better title", replaces="a" * 64)
    assert load(accept(tmp_path, retitled)).title == "Better title"


def test_corrections(tmp_path: Path) -> None:
    accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1))
    accept(tmp_path, scored(tmp_path, "b", "Ada", weights=2, replaces="a" * 64))
    accept(tmp_path, scored(tmp_path, "c", "Ada", weights=3))
    with pytest.raises(RejectedError, match="submission aaaaaaaaaaaa is not one of 'Eve'"):
        accept(tmp_path, scored(tmp_path, "e", "Eve", weights=4, replaces="a" * 64))
    with pytest.raises(RejectedError, match="there is no submission ffffffffffff on this board"):
        accept(tmp_path, scored(tmp_path, "d", "Ada", weights=4, replaces="f" * 64))
    assert len(list((tmp_path / "results").glob("**/result.json"))) == 3


def test_who_was_confirmed_is_not_replaced_by_a_name(tmp_path: Path) -> None:
    accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1, confirmed=True))
    with pytest.raises(RejectedError, match="accepted with --submitter"):
        accept(tmp_path, scored(tmp_path, "b", "Ada", weights=2, replaces="a" * 64))
    accept(tmp_path, scored(tmp_path, "b", "Ada", weights=2, replaces="a" * 64, confirmed=True))


def test_a_seed_stands_once_in_a_group(tmp_path: Path) -> None:
    accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1, group="three"))
    accept(tmp_path, scored(tmp_path, "b", "Ada", weights=2, seed=1, group="three"))
    with pytest.raises(RejectedError, match=f"seed 1 stands in the group three of 'Ada' already; .*{'b' * 64}"):
        accept(tmp_path, scored(tmp_path, "c", "Ada", weights=3, seed=1, group="three"))
    accept(tmp_path, scored(tmp_path, "c", "Ada", weights=3, seed=1, group="three", replaces="b" * 64))
    accept(tmp_path, scored(tmp_path, "d", "Eve", weights=4, seed=1, group="three"))


def test_titles_of_others_are_refused_on_that_board_alone(tmp_path: Path) -> None:
    accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1, title="Sharp"))
    theirs = scored(tmp_path, "e", "Eve", weights=2, title="SHARP")
    assert "looks like that of the row Sharp" in row_problems(theirs, tmp_path / "results", None)[0]
    theirs.identity.protocol.seed = 3
    assert row_problems(theirs, tmp_path / "results", None) == []


def test_what_has_not_changed_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate("abc"):
        accept(tmp_path, scored(tmp_path, name, "Ada", weights=number + 1))
    theirs = scored(tmp_path, "e", "Eve", weights=9, title="SHARP")
    assert row_problems(theirs, tmp_path / "results", None) == []
    read = []
    monkeypatch.setattr(rows, "load", lambda path: read.append(path) or load(path))
    assert row_problems(theirs, tmp_path / "results", None) == [] and read == []
    retitled = scored(tmp_path, "a", "Ada", weights=1, title="Sharp")  # the same submission: its file is written again
    folder = accept(tmp_path, retitled)
    assert "looks like that of the row Sharp" in row_problems(theirs, tmp_path / "results", None)[0]
    assert read == [folder / "result.json"]


def test_results_lie_at_any_depth(tmp_path: Path) -> None:
    scored_by_ada = scored(tmp_path, "a", "Ada", weights=1)
    save_row(PATH, scored_by_ada, VALUES, tmp_path / "board" / "0001-x", None)
    theirs = scored(tmp_path, "e", "Eve", weights=1)
    with pytest.raises(RejectedError, match="not the same submitter's"):
        save_row(PATH, theirs, VALUES, tmp_path / "out", None, board=tmp_path / "board")
    other = scored(tmp_path, "e", "Eve", weights=2)
    assert save_row(PATH, other, VALUES, tmp_path / "out", None, board=tmp_path / "board").is_relative_to(
        tmp_path / "out"
    )


def test_a_damaged_result_stops_no_submission(tmp_path: Path) -> None:
    folder = accept(tmp_path, scored(tmp_path, "a", "Ada", weights=1))
    (folder / "result.json").write_text("{")
    assert accept(tmp_path, scored(tmp_path, "b", "Ada", weights=2)).is_dir()
