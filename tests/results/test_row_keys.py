"""Whose row a result is: names gather nothing, groups count for one submitter, nobody replaces another's row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import NotComparableError
from fusionbench.results.result_set import StoredResult, read_results
from fusionbench.results.row_keys import GatheredRow, gather_rows, owner_of, row_key, same_model, seed_of
from fusionbench.results.schema import Origin, SubmittedRow, TrainingIdentity, identity_id, load, save
from tests.helpers.results import saved

VALUES = {"vif": [1.0, 2.0]}


def submitted(
    root: Path, submission: str, submitter: str, *, seed: int = 0, weights: int | None = None, **row: Any
) -> Path:
    """A result of the model ``mine`` as it lies there when its submission was accepted."""
    made = load(saved(root / "drafts" / submission, "mine", VALUES, seed=seed))
    made.identity.model.weights_sha256 = f"{ord(submission) if weights is None else weights:064x}"
    made.id = identity_id(made.identity)
    origin = SubmittedRow(id=submission * 64, **row)
    made.origin = Origin(kind="submission", submitter=submitter, submission=origin)
    return save(made, root / submission, {"id": [0, 1], **VALUES})


def rows(*places: Path) -> list[GatheredRow]:
    return gather_rows(read_results([*places]))


def sizes(found: list[GatheredRow]) -> list[int]:
    return [len(row.members) for row in found]


def test_one_name_is_not_one_row(tmp_path: Path) -> None:
    ada, eve = submitted(tmp_path, "a", "Ada", seed=0), submitted(tmp_path, "e", "Eve", seed=1)
    own = [saved(tmp_path / "own", "mine", VALUES, seed=seed) for seed in (2, 3)]
    assert same_model(load(ada)) == same_model(load(eve)) == same_model(load(own[0]))
    assert sizes(rows(ada, eve, *own)) == [1, 1, 2], "own runs gather as ever, and with nobody's submission"
    assert (owner_of(load(ada)), owner_of(load(own[0]))) == ("Ada", None)
    assert sizes(rows(ada, submitted(tmp_path, "b", "Ada", seed=5))) == [1, 1], "nor does a submitter alone"


def test_seeds_gather_in_one_group_of_one_submitter(tmp_path: Path) -> None:
    group = {"group": "three"}
    mine = [submitted(tmp_path, name, "Ada", seed=seed, **group) for seed, name in enumerate("abc")]
    assert sizes(rows(*mine)) == [3]
    assert [seed_of(one.result) for one in rows(*mine)[0].members] == [0, 1, 2]
    for name, who, changed in (
        ("d", "Eve", {"group": "three"}),
        ("e", "Ada", {"group": "others"}),
        ("f", "Ada", {}),
        ("1", "Ada", {"group": "three", "confirmed": True}),
    ):
        other = submitted(tmp_path, name, who, seed=7, **changed)
        assert sizes(rows(*mine, other)) == [3, 1], (who, changed)
    other = load(mine[0])
    other.identity.model.version = "2"
    assert row_key(other) != row_key(load(mine[0])), "another model"


def test_a_seed_or_weights_that_stand_twice_are_no_further_run(tmp_path: Path) -> None:
    group = {"group": "three"}
    a, b = (submitted(tmp_path, name, "Ada", seed=seed, **group) for name, seed in (("a", 0), ("b", 1)))
    again = submitted(tmp_path, "c", "Ada", seed=1, **group)
    found = rows(a, b, again)
    assert sizes(found) == [1, 1, 1] and all("stand twice" in row.remarks[0] for row in found[1:])
    assert found[0].remarks == [] and found[1].remarks == found[2].remarks
    assert f"submissions {'b' * 12}, {'c' * 12} stand twice" in found[1].remarks[0]
    same = submitted(tmp_path, "d", "Ada", seed=9, weights=ord("a"), **group)
    assert sizes(rows(a, b, same)) == [1, 1, 1], "one training called two seeds has no spread"


def test_only_who_submitted_it_replaces_it(tmp_path: Path) -> None:
    old = submitted(tmp_path, "a", "Ada")
    mine = submitted(tmp_path, "b", "Ada", seed=1, replaces="a" * 64)
    newest = submitted(tmp_path, "c", "Ada", seed=2, replaces="b" * 64)
    for places in ((old, mine, newest), (newest, old, mine)):
        (row,) = rows(*places)
        assert [one.result.submission.id[0] for one in row.members if one.result.submission] == ["c"]
        assert sorted(one.result.submission.id[0] for one in row.replaced if one.result.submission) == ["a", "b"]
    assert sizes(rows(old, submitted(tmp_path, "d", "Ada", seed=3))) == [1, 1], "a correction that does not say so"
    theirs = submitted(tmp_path, "e", "Eve", seed=4, replaces="a" * 64)
    found = rows(old, theirs)
    assert sizes(found) == [1, 1] and not found[1].replaced
    assert found[1].remarks == [
        "says that it replaces submission aaaaaaaaaaaa, which is not the same submitter's; both are shown"
    ]
    assert sizes(rows(theirs)) == [1], "what it replaces is gone"


def test_a_name_alone_replaces_nothing_of_a_confirmed_submitter(tmp_path: Path) -> None:
    sure = submitted(tmp_path, "a", "Ada", confirmed=True)
    claimed = submitted(tmp_path, "b", "Ada", seed=1, replaces="a" * 64)
    assert sizes(rows(sure, claimed)) == [1, 1]
    confirmed = submitted(tmp_path, "c", "Ada", seed=1, replaces="a" * 64, confirmed=True)
    assert sizes(rows(sure, confirmed)) == [1]


def test_edited_files_that_replace_each_other_both_stay(tmp_path: Path) -> None:
    a = submitted(tmp_path, "a", "Ada", replaces="b" * 64)
    b = submitted(tmp_path, "b", "Ada", seed=1, replaces="a" * 64)
    assert sizes(rows(a, b)) == [1, 1]


def test_what_stands_in_two_results_is_refused(tmp_path: Path) -> None:
    a = submitted(tmp_path, "a", "Ada", seed=0)
    assert sizes(rows(a, tmp_path / "a")) == [1], "the same file twice"
    twice = [StoredResult(folder / "result.json", load(a)) for folder in (a, tmp_path / "copy")]
    assert [row.members for row in gather_rows(twice)] == [twice[:1]], "or a copy of it"
    other = load(a)
    assert other.identity.training is not None
    other.identity.training.seed = 8
    other.id = identity_id(other.identity)
    folder = save(other, tmp_path / "again", {"id": [0, 1], **VALUES})
    with pytest.raises(
        NotComparableError, match=r"again.*result\.json and .*a.*result\.json are both of submission a{12}; remove"
    ):
        rows(a, folder)
    eve = load(a)
    eve.origin = Origin(kind="submission", submitter="Eve", submission=SubmittedRow(id="e" * 64))
    copy = save(eve, tmp_path / "eve", {"id": [0, 1], **VALUES})
    with pytest.raises(NotComparableError, match=rf"the same weights or images \({eve.id[:12]}\) from two sides"):
        rows(a, copy)


def test_before_there_were_ids_a_submission_was_a_row_too(tmp_path: Path) -> None:
    for seed in (0, 1):
        made = load(saved(tmp_path, "mine", VALUES, seed=seed))
        made.origin = Origin(kind="submission", submitter="Ada")
        save(made, tmp_path, {"id": [0, 1], **VALUES})
    assert sizes(rows(tmp_path)) == [1, 1]


def test_two_of_one_seed_are_two_rows(tmp_path: Path) -> None:
    both = [submitted(tmp_path, name, "Ada", seed=4, group="pair") for name in "ab"]
    assert sizes(rows(*both)) == [1, 1]


def test_own_runs_before_a_replacement_do_not_hide_it(tmp_path: Path) -> None:
    own = saved(tmp_path / "0-own", "mine", VALUES, seed=9)
    old = submitted(tmp_path, "a", "Ada")
    refused = submitted(tmp_path, "e", "Eve", seed=1, replaces="a" * 64)
    plain, with_own = rows(old, refused), rows(own, old, refused)
    assert [row.remarks for row in with_own[1:]] == [row.remarks for row in plain] and any(plain[1].remarks)


def test_other_imported_weights_are_another_model(tmp_path: Path) -> None:
    """Their seed is unknown, so that nothing says that they are trainings of one model."""
    found = [load(saved(tmp_path, "mine", VALUES, seed=seed)) for seed in (0, 1)]
    assert same_model(found[0]) == same_model(found[1])
    for one in found:
        one.identity.training = TrainingIdentity()
    assert same_model(found[0]) != same_model(found[1]) and seed_of(found[0]) is None
    found[1].identity.model.weights_sha256 = found[0].identity.model.weights_sha256
    assert same_model(found[0]) == same_model(found[1])


def test_what_is_gone_hides_no_replacement_after_it(tmp_path: Path) -> None:
    """A submission that replaces itself or one that is not there changes nothing for those read later."""
    gone = submitted(tmp_path, "1", "Ada", seed=3, replaces="9" * 64)
    itself = submitted(tmp_path, "2", "Ada", seed=4, replaces="2" * 64)
    old, new = submitted(tmp_path, "a", "Ada"), submitted(tmp_path, "b", "Ada", seed=1, replaces="a" * 64)
    found = rows(gone, itself, old, new)
    assert sizes(found) == [1, 1, 1]
    assert [[one.result.id for one in row.replaced] for row in found] == [[], [], [load(old).id]]


def test_predictions_are_to_a_scored_row_what_weights_are_to_a_run(tmp_path: Path) -> None:
    found = [load(saved(tmp_path, "mine", VALUES, seed=seed)) for seed in (0, 1)]
    for one, digest in zip(found, "ab", strict=True):
        one.identity.model.params["predictions_sha256"] = digest * 64
    for status in ("verified", "published"):
        found[0].status = found[1].status = status  # type: ignore[assignment]
        assert same_model(found[0]) != same_model(found[1]), "of anything else it is a parameter as any other"
    found[0].status = found[1].status = "scored"
    assert same_model(found[0]) == same_model(found[1])
    found[0].identity.model.params["other"] = 1
    assert same_model(found[0]) != same_model(found[1])


def test_one_of_a_group_is_a_row_without_remarks(tmp_path: Path) -> None:
    """Where nothing else is in the group, its seed need not be known."""
    made = load(submitted(tmp_path / "draft", "a", "Ada", group="one"))
    made.identity.training = None
    made.id = identity_id(made.identity)
    (row,) = rows(save(made, tmp_path, {"id": [0, 1], **VALUES}))
    assert seed_of(row.members[0].result) is None and row.remarks == []


def test_what_was_scored_from_weights_and_from_images_is_no_one_row(tmp_path: Path) -> None:
    """One row has one kind of status, and with it one tier."""
    places = []
    for seed, status in enumerate(("verified", "verified", "scored")):
        made = load(saved(tmp_path / "drafts", "mine", VALUES, seed=seed))
        made.status = status  # type: ignore[assignment]
        places.append(save(made, tmp_path, {"id": [0, 1], **VALUES}))
    assert sizes(rows(*places)) == [2, 1]
