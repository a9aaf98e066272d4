"""Rows of pairs while they are scored: what is kept, and images that lie beside them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.images import read_image
from fusionbench.core.time_limit import UnfinishedError, time_limit
from fusionbench.core.types import Batch
from fusionbench.evaluation import kept_rows, pair_rows
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pair_sheet import pair_spec
from fusionbench.evaluation.pairs import evaluate_forms, evaluate_pairs
from fusionbench.evaluation.partial_scores import FOLDER
from fusionbench.models.classical.pyramids import Average


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_rows, "AT_ONCE", 1)


def test_one_bad_pair_late_does_not_cost_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_rows, "SECONDS", 0.0)
    fuse, seen = Average.fuse, []

    def fails(self: Average, batch: Batch) -> object:
        seen.append(int(batch.ids[0]))
        if len(seen) == 3:
            raise RuntimeError("the machine was needed")
        return fuse(self, batch)

    monkeypatch.setattr(Average, "fuse", fails)
    pairs = open_pairs("pairs-demo", "all", None)
    model = Average(pair_spec(pairs))
    with pytest.raises(RuntimeError, match="needed"):
        evaluate_pairs(model, pairs, out=tmp_path, device="cpu")
    assert [*tmp_path.rglob(FOLDER)]
    result = evaluate_pairs(model, pairs, out=tmp_path, device="cpu")
    assert seen == [0, 1, 2, 2] and result.scores["mi"].n == 3 and not [*tmp_path.rglob(FOLDER)]
    assert len(result.cost) == 4 and result.cost["ms_per_image"] > 0


def test_images_that_are_gone_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = open_pairs("pairs-demo", "all", None)
    model = Average(pair_spec(pairs))

    def late() -> None:
        with pytest.raises(UnfinishedError), time_limit(time.time() - 1):
            evaluate_pairs(model, pairs, out=tmp_path, device="cpu", keep_images=True)

    late()
    late()
    first, second = (path for stem in pairs.stems[:2] for path in tmp_path.rglob(f"fused/{stem}.png"))
    source = next(tmp_path.rglob(f"sources/a/{pairs.stems[0]}.png"))
    first.unlink()
    source.write_bytes(b"of another set")
    result = evaluate_pairs(model, pairs, out=tmp_path, device="cpu", keep_images=True)
    assert first.is_file() and second.is_file() and result.scores["mi"].n == 3
    np.testing.assert_array_equal(read_image(source).pixels, pairs.pair(0)[0])


def test_both_forms_go_on_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = open_pairs("pairs-demo", "all", None)
    model = Average(pair_spec(pairs))
    whole = evaluate_forms(model, pairs, out=tmp_path / "whole", device="cpu")
    fuse, calls = Average.fuse, []
    monkeypatch.setattr(Average, "fuse", lambda self, batch: calls.append(1) or fuse(self, batch))
    for _ in range(2):
        with pytest.raises(UnfinishedError), time_limit(time.time() - 1):
            evaluate_forms(model, pairs, out=tmp_path / "parts", device="cpu")
    found = evaluate_forms(model, pairs, out=tmp_path / "parts", device="cpu")
    assert len(calls) == 3 and [one.scores for one in found] == [one.scores for one in whole]
    assert not [*tmp_path.rglob(FOLDER)]


def test_fusing_that_takes_long_is_scored_before_many_pairs_have_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_rows, "AT_ONCE", 16)
    monkeypatch.setattr(pair_rows, "SECONDS", 0.0)
    monkeypatch.setattr(kept_rows, "SECONDS", 0.0)
    pairs = open_pairs("pairs-demo", "all", None)
    with pytest.raises(UnfinishedError, match="1 of 3 done"), time_limit(time.time() - 1):
        evaluate_pairs(Average(pair_spec(pairs)), pairs, out=tmp_path, device="cpu")
