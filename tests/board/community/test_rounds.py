"""A round on a leaderboard, from its commitment to the check of its secret, as maintainers and workflows run it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusionbench import create_model
from fusionbench.board.community.accept import accept_pull_request, score_submission
from fusionbench.board.community.rounds import (
    SECRET_VARIABLE,
    check_rounds,
    given_views,
    make_round_views,
    open_round_file,
)
from fusionbench.core.errors import DataError, FusionbenchError, Rejected, UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.rounds import make_round, read_round, revealed_round, write_round, write_secret
from fusionbench.results.schema import load
from fusionbench.submissions.kinds.base import PackRequest
from fusionbench.submissions.submit import pack_submission
from fusionbench.training.loop import train
from tests.cli.runner import run
from tests.helpers.community import ADA, BOB, NOW, Forge, git, start_forge
from tests.helpers.submissions import IMAGES, small_suite


def push(forge: Forge, message: str) -> None:
    git(forge.clone, "add", "--all")
    git(forge.clone, "commit", "--quiet", "-m", message)
    git(forge.clone, "push", "--quiet")


def everything_public(forge: Forge) -> bytes:
    """All objects of the origin, messages and files."""
    listed = git(forge.origin, "rev-list", "--objects", "--all", "--no-object-names")
    command = ["git", "-C", str(forge.origin), "cat-file", "--batch"]
    return subprocess.run(command, input=listed.encode(), capture_output=True, check=True).stdout


def test_a_round_from_its_commitment_to_its_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = start_forge(tmp_path, rules=small_suite(tmp_path / "small.toml"))
    where, told = ("--folder", forge.clone), ""
    assert run(capsys, "community", "prepare", *where)[0] == 0
    data, record = forge.clone / ".data" / "fusiondigits", forge.clone / "rounds" / "spring.json"
    new = ("round", "new", forge.clone / "suite.toml", "-o", record, "-d", data, "--secret")
    code, _, err = run(capsys, *new, forge.clone / "keys" / "spring.secret")
    assert code == 2 and "lies in the Git repository" in err and not record.exists()
    secret = tmp_path / "keys" / "spring.secret"
    code, out, err = run(capsys, *new, secret)
    assert code == 0, err
    told += out + err
    push(forge, "Open a round")

    # what the workflow `accept` does
    made = train("mean-image", open_dataset(data), out=tmp_path / "runs" / "mean", device="cpu").folder
    pack_submission(PackRequest(made, tmp_path / "mean.zip", "Ours", ADA.login))
    pull = forge.open(1, {"submissions/incoming/mean.zip": (tmp_path / "mean.zip").read_bytes()})
    views, text = tmp_path / "views", secret.read_text()
    code, _, err = run(capsys, "community", "round-views", *where, "-o", views)
    assert code == 2 and SECRET_VARIABLE in err and not list(views.iterdir())
    monkeypatch.setenv(SECRET_VARIABLE, text)
    code, out, err = run(capsys, "community", "round-views", *where, "-o", views)
    assert code == 0 and sorted(path.name for path in views.iterdir()) == ["round.json", "views.npy"], err
    monkeypatch.delenv(SECRET_VARIABLE)
    told += out + err
    public = open_dataset(data).arrays("test").views[:IMAGES]
    assert np.load(views / "views.npy").shape == public.shape and not np.array_equal(
        np.load(views / "views.npy"), public
    )
    forge.check(pull, content=False, take=tmp_path / "taken")
    score = ("community", "score", tmp_path / "taken", *where, "--submitter", ADA.login, "-o")
    code, out, err = run(capsys, *score, tmp_path / "scored", "--round-views", views)
    assert code == 0, err
    told += out + err
    code, out, err = run(capsys, *score, tmp_path / "plain")
    assert code == 0, err
    with pytest.raises(Rejected, match=r"of no round, and the round [0-9a-f]{16} is open"):
        accept_pull_request(forge.place, pull, tmp_path / "plain", lambda: NOW)
    line = accept_pull_request(forge.place, pull, tmp_path / "scored", lambda: NOW)
    forge.pull()
    (file,) = (forge.clone / "results" / line.id).rglob("result.json")
    params, known = load(file).identity.protocol.params, read_round(record)
    assert (params["round"], params["commitment"]) == (known.id, known.commitment)
    code, out, err = run(capsys, "community", "rounds", *where)
    assert code == 0 and f"spring.json: round {known.id}, 1 result, open" in out, err
    told += out + err
    keys = json.loads(text)
    public_now = everything_public(forge)
    for name in ("secret", "salt"):
        assert keys[name] not in told and keys[name].encode() not in public_now
        left = [path for path in tmp_path.rglob("*") if path.is_file() and keys[name].encode() in path.read_bytes()]
        assert left == [secret]

    # the end
    assert run(capsys, "round", "reveal", record, "--secret", secret)[0] == 0
    push(forge, "Reveal the round")
    summary = tmp_path / "summary.md"
    code, out, err = run(capsys, "community", "rounds", *where, "--summary", summary)
    assert code == 0 and "revealed, and as it was committed to" in out and "1 result" in summary.read_text(), err
    assert make_round_views(forge.leaderboard, tmp_path / "none") is None and given_views(tmp_path / "none") is None
    second = forge.open(2, {"submissions/incoming/late.zip": (tmp_path / "mean.zip").read_bytes() + b"x"}, by=BOB)
    with pytest.raises(Rejected):  # the scores of the first one are no others'
        accept_pull_request(forge.place, second, tmp_path / "scored", lambda: NOW)
    code, out, err = run(capsys, "round", "verify", record, "--results", forge.clone / "results")
    assert code == 0, err
    edited = msgspec.structs.replace(read_round(record), secret="0" * 64)
    write_round(record, edited)
    code, out, err = run(capsys, "community", "rounds", *where)
    assert code == 1 and "1 round with problems" in err and "not the one that round" in out


def test_scores_of_a_round_that_is_not_open_are_not_recorded(tmp_path: Path) -> None:
    from fusionbench.board.community.rounds import round_problems
    from fusionbench.evaluation.pair_sets import open_pairs
    from fusionbench.evaluation.pairs import evaluate_pairs

    forge = start_forge(tmp_path)
    model = create_model("copy-a", ImageSpec(1, 256, 256, views=2))
    result = evaluate_pairs(model, open_pairs("pairs-demo", "all", None, limit=2), out=None, device="cpu")
    assert round_problems(forge.repository, "main", [result], "weights") == []
    result.identity.protocol.params |= {"round": "0" * 16, "commitment": "0" * 64}
    (problem,) = round_problems(forge.repository, "main", [result], "weights")
    assert "no round is open" in problem
    write_round(forge.clone / "rounds" / "a.json", made := make_round("quickstart")[0])
    push(forge, "Open")
    result.identity.protocol.params |= {"round": made.id, "commitment": made.commitment}
    assert round_problems(forge.repository, "main", [result], "weights") == []
    assert "no round is open for it" in round_problems(forge.repository, "main", [result], "predictions")[0]
    result.identity.protocol.params["commitment"] = "1" * 64
    assert len(round_problems(forge.repository, "main", [result], "weights")) == 1


def test_records_and_folders_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge = start_forge(tmp_path)
    rounds = forge.clone / "rounds"
    write_round(rounds / "a.json", made := make_round("quickstart")[0])
    write_round(rounds / "b.json", revealed_round(*make_round("quickstart")))
    assert open_round_file(rounds) == rounds / "a.json"
    write_secret(tmp_path / "other.secret", make_round("quickstart")[1])
    with pytest.raises(UsageError, match=r"other\.secret.*not the one that round"):
        make_round_views(forge.leaderboard, tmp_path / "views", tmp_path / "other.secret")
    for text, problem in (((tmp_path / "other.secret").read_text(), "not the one that round"), ("x" * 9, "not a fus")):
        monkeypatch.setenv(SECRET_VARIABLE, text)
        with pytest.raises(FusionbenchError, match=f"^{SECRET_VARIABLE}.*{problem}") as caught:
            make_round_views(forge.leaderboard, tmp_path / "views")
        assert text not in str(caught.value) and "fusionbench-" not in str(caught.value)
    with pytest.raises(UsageError, match="is not empty"):
        make_round_views(forge.leaderboard, tmp_path)
    write_round(rounds / "c.json", make_round("quickstart")[0])
    for call in (lambda: open_round_file(rounds), lambda: check_rounds(forge.leaderboard)):
        with pytest.raises(DataError, match="2 rounds are open"):
            call()
    (tmp_path / "half").mkdir()
    shutil.copyfile(rounds / "a.json", tmp_path / "half" / "round.json")
    assert read_round(tmp_path / "half" / "round.json") == made
    with pytest.raises(DataError, match="round-views"):
        given_views(tmp_path / "half")
    with pytest.raises(DataError, match="round-views"):
        score_submission(tmp_path / "a.json", forge.leaderboard, tmp_path / "out", "ada", tmp_path / "half")
