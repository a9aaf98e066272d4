"""Scores of single pairs against metrics called by hand; both forms of a model, fused once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_scores import METRICS, records, score_pair
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import PairsProtocol, evaluate_forms, evaluate_pairs
from fusionbench.models import create_model
from fusionbench.models.classical.pyramids import Average
from fusionbench.results.schema import load_folder

SPEC = ImageSpec(1, 256, 256, views=2)


def test_keys_are_those_of_both_dialects() -> None:
    assert {key for key in records() if "@" not in key} == set(METRICS)
    assert {key.partition("@")[2] for key in records()} == {"", "cddfuse"}


def test_values_and_facts_of_one_pair() -> None:
    pair = np.random.default_rng(1).integers(0, 256, (2, 40, 44), np.uint8)
    values, missing, found, full, source_full = score_pair(pair[1], pair, "p")
    steps = [np.diff(pair[1].astype(float), axis=axis) ** 2 for axis in (0, 1)]
    assert values["sd"] == pytest.approx(pair[1].astype(float).std())
    assert values["sf"] == pytest.approx(np.sqrt(sum(part.mean() for part in steps)), rel=0.02)
    assert np.isnan(values["scd"]) and missing["scd"].cause == "fused" and found == ["copy 1"]
    assert full and source_full and not score_pair(pair[1] // 2, pair, "p").full


def test_an_image_of_another_size_names_the_pair() -> None:
    with pytest.raises(DataError, match="p7"):
        score_pair(np.zeros((8, 9), np.uint8), np.zeros((2, 8, 8), np.uint8), "p7")


def test_both_forms_are_fused_once_and_score_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fuse = Average.fuse
    monkeypatch.setattr(Average, "fuse", lambda self, batch: calls.append(1) or fuse(self, batch))
    pairs, model = open_pairs("pairs-demo", "all", None, limit=2), create_model("average", SPEC)
    both = evaluate_forms(model, pairs, out=tmp_path, device="cpu", keep_images=False)
    assert len(calls) == 2 and [one.stretched for one in both] == [False, True]
    assert {one.id for one in load_folder(tmp_path)} == {one.id for one in both}
    for stretch, one in zip((False, True), both, strict=True):
        alone = evaluate_pairs(model, pairs, protocol=PairsProtocol(stretch), out=None, device="cpu")
        assert (alone.id, alone.scores, alone.full_range) == (one.id, one.scores, one.full_range)
