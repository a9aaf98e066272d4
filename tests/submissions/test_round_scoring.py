"""Weights in a round: one build of views, no secret in the child, and the same numbers when it was revealed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from fusionbench.core.errors import RejectedError, UsageError
from fusionbench.evaluation.rounds import RoundSecret, make_round, read_round, seed_of_round, write_round, write_secret
from fusionbench.results.schema import load
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.round_scoring import (
    differing_scores,
    open_round,
    require_files,
    results_of_round,
    reveal_round,
    revealed_seed,
    score_again,
    score_round_once,
    views_folder,
)
from fusionbench.submissions.submit import accept_submission, pack_submission
from tests.helpers.submissions import IMAGES, small_suite


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A round of the small suite, and its secret."""
    suite = small_suite(tmp_path / "small.toml")
    made, secret = make_round(str(suite), IMAGES)
    write_round(tmp_path / "round.json", made)
    write_secret(tmp_path / "secret.json", secret)
    return tmp_path


def opened(place: Path, dataset: Path) -> list[str]:
    """What the child is called with."""
    suite = str(place / "small.toml")
    found = open_round(place / "round.json", place / "secret.json", str(dataset), suite)
    return found.arguments(str(place / "submission"), str(dataset), suite, str(place / "out"))


def test_from_the_commitment_to_the_check(place: Path, dataset: Path, run_folder: Path) -> None:
    record, suite = place / "round.json", str(place / "small.toml")
    pack_submission(PackRequest(run_folder, place / "mean.zip", "Mine", "Ada"))
    scoring = Scoring(place / "results", dataset, suite, round=record, secret=place / "secret.json")
    result = load(accept_submission(place / "mean.zip", scoring))
    assert result.identity.protocol.params["round"] == read_round(record).id and result.status == "verified"
    assert result.identity.dataset.n == IMAGES
    with pytest.raises(UsageError, match="is not revealed"):
        revealed_seed(record)
    assert len(list(views_folder(place / "secret.json").glob("*.npy"))) == 1
    reveal_round(record, place / "secret.json")
    reveal_round(record, place / "secret.json")  # again is no mistake
    assert not list(views_folder(place / "secret.json").glob("*.npy")), "they are public now"
    found, seed = revealed_seed(record)
    (one,) = results_of_round(found, place / "results")
    assert one[1].id == result.id and one[2] == ""
    again, digest = score_again(place / "mean.zip", found, record, seed, dataset, suite, 600)
    assert digest == result.identity.model.weights_sha256 and differing_scores(again, result) == []
    result.scores["mse_min@1"].mean += 0.001  # type: ignore[operator]
    (line,) = differing_scores(again, result)
    assert line.startswith("mse_min@1: ")
    with pytest.raises(UsageError, match="was revealed"):
        accept_submission(place / "mean.zip", _again(scoring))
    edited = place / "results" / "other" / "result.json"
    edited.parent.mkdir()
    shutil.copytree(result.folder(place / "results"), edited.parent, dirs_exist_ok=True)
    wrong = msgspec.structs.replace(found, commitment=found.id + "0" * 48)
    assert "another commitment" in next(iter(results_of_round(wrong, place / "results")))[2]


def _again(scoring: Scoring) -> Scoring:
    return Scoring(scoring.results, scoring.data, scoring.suite, round=scoring.round, secret=scoring.secret)


def test_the_child_gets_views_and_no_secret(place: Path, dataset: Path) -> None:
    arguments = opened(place, dataset)
    secret = json.loads((place / "secret.json").read_text())
    seed = seed_of_round(read_round(place / "round.json"), msgspec.convert(secret, RoundSecret))
    given = " ".join(arguments) + (place / "round.json").read_text()
    assert str(place / "secret.json") + " " not in given
    assert not any(text in given for text in (secret["secret"], secret["salt"], str(seed), f"{seed:x}"))


def test_scoring_once_leaves_a_result_of_the_round(place: Path, dataset: Path, run_folder: Path) -> None:
    from fusionbench.submissions.archive import member_names
    from fusionbench.submissions.kinds.weights import WEIGHTS

    pack_submission(PackRequest(run_folder, place / "mean.zip", "Mine", "Ada"))
    (place / "submission").mkdir()
    assert "weights.safetensors" in member_names(place / "mean.zip")
    assert WEIGHTS.unpack(place / "mean.zip", place / "submission", None).ok
    score_round_once(*opened(place, dataset))
    (file,) = (place / "out").glob("**/result.json")
    assert load(file).identity.protocol.params["commitment"] == read_round(place / "round.json").commitment


def test_what_does_not_belong_together(place: Path, dataset: Path) -> None:
    suite, record = str(place / "small.toml"), read_round(place / "round.json")
    other, key = make_round("quickstart", 296)
    write_round(place / "other.json", other)
    write_secret(place / "other-secret.json", key)
    with pytest.raises(UsageError, match="not the one that round"):
        open_round(place / "round.json", place / "other-secret.json", str(dataset), suite)
    with pytest.raises(UsageError, match="one of the suite quickstart, not of small"):
        open_round(place / "other.json", place / "other-secret.json", str(dataset), suite)
    write_round(place / "round.json", msgspec.structs.replace(record, n=IMAGES + 1))
    with pytest.raises(UsageError, match="or the record of the round was edited"):
        open_round(place / "round.json", place / "secret.json", str(dataset), suite)
    with pytest.raises(UsageError, match="name --round and --secret"):
        _ = Scoring(place, dataset, suite, round=place / "round.json").opened_round
    with pytest.raises(UsageError, match="name them with --suite and --data"):
        _ = Scoring(place, None, suite, round=place / "round.json", secret=place / "secret.json").opened_round


def test_an_edited_secret_of_a_revealed_round(place: Path) -> None:
    reveal_round(place / "round.json", place / "secret.json")
    record = read_round(place / "round.json")
    write_round(place / "round.json", msgspec.structs.replace(record, secret="0" * 64))
    with pytest.raises(RejectedError, match="not the one that round"):
        revealed_seed(place / "round.json")


def test_files_that_are_not_there(place: Path, dataset: Path) -> None:
    with pytest.raises(UsageError, match="name its folder with --data"):
        require_files(None, [place / "round.json"], None)
    with pytest.raises(UsageError, match="no such submission"):
        require_files(None, [place / "none.zip"], dataset)
