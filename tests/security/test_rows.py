"""Attacks on rows: whoever sends a submission changes no row but their own, with the real commands."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load, save

from fusionbench.core.errors import RejectedError
from fusionbench.core.io import file_sha256
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.results.comparison import compare_results
from fusionbench.results.schema import load as load_result
from fusionbench.results.tables import as_data, as_markdown
from fusionbench.submissions.archive import META
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.kinds.weights import FILE
from fusionbench.submissions.submit import accept_submission, check_submission, pack_submission
from fusionbench.training.loop import train
from tests.helpers.submissions import IMAGES, drawn_pairs, small_suite, zipped


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_pairs(tmp_path_factory.mktemp("pairs"))


def pack(pairs: Path, out: Path, who: str, fused: str = "fused", **more: Any) -> Path:
    words = {"title": f"Net of {who}", "model": "mine", "data": pairs} | more
    pack_submission(PackRequest(pairs / fused, out, submitter=who, **words))
    return out


def rows(results: Path) -> list[dict[str, Any]]:
    return as_data(compare_results([results], scores=["sd"], resamples=100))["rows"]


def test_two_submitters_with_one_model_name_and_corrections(pairs: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    scoring = Scoring(results, pairs)
    first = accept_submission(pack(pairs, tmp_path / "a.zip", "Ada"), scoring)
    before = (first / "result.json").read_bytes()
    with pytest.raises(RejectedError, match="not the same submitter's"):  # the very same images
        accept_submission(pack(pairs, tmp_path / "e.zip", "Eve"), scoring)
    accept_submission(pack(pairs, tmp_path / "e.zip", "Eve", fused="ir"), scoring)
    found = {row["submitter"]: row for row in rows(results)}
    assert found.keys() == {"Ada", "Eve"} and all(row["runs"] == 1 for row in found.values())
    assert (first / "result.json").read_bytes() == before
    assert "Net of Ada (by Ada " in as_markdown(compare_results([results], scores=["sd"], resamples=100))
    assert found["Ada"]["declared"] == [{"model": "mine"}] and found["Ada"]["status"] == "scored"
    (ada,) = found["Ada"]["submissions"]
    assert ada == check_submission(tmp_path / "a.zip").id
    with pytest.raises(RejectedError, match="is not one of 'Eve'"):
        accept_submission(pack(pairs, tmp_path / "f.zip", "Eve", fused="vi", replaces=ada, title="New"), scoring)
    corrected = pack(pairs, tmp_path / "b.zip", "Ada", fused="vi", replaces=ada)
    accept_submission(corrected, scoring)
    found = {row["submitter"]: row for row in rows(results)}
    assert len(rows(results)) == 2 and found["Ada"]["replaces"] == [ada]
    assert found["Ada"]["submissions"] == [check_submission(corrected).id], "not averaged with the faulty first one"
    with pytest.raises(RejectedError, match="says that 'Ada' submits it, not 'Eve'"):
        accept_submission(corrected, Scoring(results, pairs, submitter="Eve"))


def test_a_group_needs_a_seed_and_titles_are_checked(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="needs the `seed` of each"):
        pack(pairs, tmp_path / "a.zip", "Ada", group="three")
    for title, rule in (
        ("CVAE", "title of a registered model"),
        ("CV\u0410E", "two scripts"),
        ("Net, verified", "claims to be 'verified'"),
    ):
        with pytest.raises(RejectedError, match=rule):
            pack(pairs, tmp_path / "a.zip", "Ada", title=title)
    with pytest.raises(RejectedError, match="the submitter claims to be 'maintainer'"):
        pack(pairs, tmp_path / "a.zip", "The maintainer", title="Net")
    assert not (tmp_path / "a.zip").exists()


def test_inverted_weights_join_no_row_of_the_maintainers(tmp_path: Path) -> None:
    dataset = build_dataset(load_recipe("fusiondigits"), out=tmp_path)
    run = train("mean-image", open_dataset(dataset), out=tmp_path / "mean", device="cpu").folder
    results = tmp_path / "results"
    own = evaluate(run, open_dataset(dataset), protocol=Protocol(draws=2), limit=IMAGES, out=results, device="cpu")
    pack_submission(PackRequest(run, tmp_path / "good.zip", "mean image", "Eve"))
    with zipfile.ZipFile(tmp_path / "good.zip") as archive:
        record, weights = json.loads(archive.read(META)), load(archive.read(FILE))
    (tmp_path / FILE).write_bytes(save({name: 1 - value for name, value in weights.items()}))
    record["weights_sha256"] = file_sha256(tmp_path / FILE)
    record["run"]["seed"] = 1
    hostile = {META: json.dumps(record).encode(), FILE: (tmp_path / FILE).read_bytes()}
    suite = small_suite(tmp_path / "small.toml")
    folder = accept_submission(zipped(tmp_path / "bad.zip", hostile), Scoring(results, dataset, str(suite)))
    theirs = load_result(folder)
    assert theirs.status == "verified" and theirs.statements["training"]["seed"] == 1, (
        "declared, beside what was measured"
    )
    mine, other = compare_results([results], scores=["mse_min@mean"], resamples=100).entries
    if mine.submitter is not None:
        mine, other = other, mine
    assert [result.id for result in mine.results] == [own.id] and other.submitter == "Eve"
    assert mine.results[0].scores["mse_min@mean"].mean == own.scores["mse_min@mean"].mean
