"""The protocol pairs/1: values against the metrics called by hand, ranked and unranked keys, pictures of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.pairs import METRICS, PairsProtocol, evaluate_pairs, fuse_pair, score_fused_images, to_luma
from fusionbench.metrics import get_metric
from fusionbench.models import MODELS
from fusionbench.results.schema import load, load_per_image
from tests.sources import folders

SPEC = ImageSpec(channels=1, height=32, width=32, views=2)


def write(root: Path) -> PairSet:
    """Two pairs of different sizes with texture."""
    rng = np.random.default_rng(5)
    for stem, shape in (("p1", (48, 52)), ("p2", (45, 57))):
        for side in ("a", "b"):
            rough = rng.integers(0, 256, shape).astype(np.float64)
            smooth = (rough + np.roll(rough, 1, 0) + np.roll(rough, 1, 1)) / 3
            folders.save(root / side / f"{stem}.png", smooth.astype(np.uint8))
    return open_pairs("pairs", "all", root)


def test_values_are_those_of_the_metrics_on_uint8_luma(tmp_path: Path) -> None:
    pairs = write(tmp_path / "set")
    result = evaluate_pairs(MODELS.get("copy-b")(SPEC), pairs, out=tmp_path / "out", device="cpu")
    table = load_per_image(result.folder(tmp_path / "out"))
    assert table["id"].tolist() == ["p1", "p2"]
    for index, pair in enumerate(pairs):
        fused = pair[1:]
        for key in ("sd", "mi", "qabf", "mi@cddfuse", "qabf@cddfuse", "ssim@cddfuse"):
            name, _, dialect = key.partition("@")
            metric = get_metric(name, dialect or "standard/1")
            images = (fused,) if metric.needs == "fused" else (fused, pair[:1], pair[1:])
            assert table[key][index] == pytest.approx(float(metric.function(*images)[0]), rel=1e-12)
    assert {key for key in result.scores if "@" not in key} == set(METRICS)
    assert result.scores["mi"].unit == "bits" and result.scores["mi@cddfuse"].unit == "nats"
    assert result.cost["parameters"] == 0 and result.cost["ms_per_image"] > 0
    again = evaluate_pairs(MODELS.get("copy-b")(SPEC), pairs, out=tmp_path / "out", device="cpu")
    assert again.provenance["started"] == load(result.folder(tmp_path / "out")).provenance["started"]


def test_an_undefined_value_is_reported_with_images_and_reason(tmp_path: Path) -> None:
    result = evaluate_pairs(MODELS.get("copy-a")(SPEC), write(tmp_path), out=None, device="cpu")
    assert result.scores["scd"].mean is None
    assert "2 of 2" in result.scores["scd"].reason and "p1" in result.scores["scd"].reason
    assert result.scores["sd"].mean is not None


def test_rounding_and_stretch() -> None:
    image = torch.tensor([[0.5, 1.5, 2.5, 100.4]], dtype=torch.float64).view(1, 1, 1, 4) / 255
    assert to_luma(image, False).tolist() == [[0, 2, 2, 100]]
    assert to_luma(image, True)[0, [0, -1]].tolist() == [0, 255]
    flat = torch.full((1, 1, 2, 2), 0.4)
    assert (to_luma(flat, True) == 102).all()


def test_stretch_is_part_of_the_identity(tmp_path: Path) -> None:
    pairs = write(tmp_path)
    plain, stretched = (
        evaluate_pairs(MODELS.get("average")(SPEC), pairs, protocol=PairsProtocol(stretch), out=None, device="cpu")
        for stretch in (False, True)
    )
    assert plain.id != stretched.id
    assert stretched.scores["sd"].mean > plain.scores["sd"].mean  # type: ignore[operator]


def test_pictures_of_a_method_score_as_the_method_does(tmp_path: Path) -> None:
    pairs = write(tmp_path / "set")
    model = MODELS.get("guided-filter")(SPEC)
    result = evaluate_pairs(model, pairs, out=None, device="cpu")
    for index, (stem, pair) in enumerate(zip(pairs.stems, pairs, strict=True)):
        folders.save(tmp_path / "fused" / f"{stem}.png", fuse_pair(model, pair, index))
    scored = score_fused_images(tmp_path / "fused", pairs, name="theirs", title="Theirs", out=tmp_path / "out")
    assert scored.status == "scored" and scored.identity.dataset == result.identity.dataset
    assert {key: score.mean for key, score in scored.scores.items()} == {
        key: score.mean for key, score in result.scores.items()
    }


def test_pictures_that_lack_or_differ_are_one_line(tmp_path: Path) -> None:
    pairs = write(tmp_path / "set")
    folders.save(tmp_path / "fused" / "p1.png", np.zeros((48, 52), np.uint8))
    with pytest.raises(DataError, match=r"1 of 2 pairs have no image here: p2"):
        score_fused_images(tmp_path / "fused", pairs, name="x", title="x", out=None)
    folders.save(tmp_path / "fused" / "p2.png", np.zeros((45, 56), np.uint8))
    with pytest.raises(DataError, match=r"p2\.png: 45×56 pixels, its sources are 45×57"):
        score_fused_images(tmp_path / "fused", pairs, name="x", title="x", out=None)


README = {"en": 7.12, "sd": 46.00, "sf": 13.15, "mi": 2.19, "scd": 1.76, "vif": 0.77, "qabf": 0.54, "ssim": 1.03}


def test_kept_results_print_the_numbers_of_cddfuse_and_stand_on_their_pictures(real_data: Path) -> None:
    """The kept row agrees with the table of CDDFuse's authors, and two of its images score the same today."""
    (kept,) = Path(__file__).parents[2].glob("benchmarks/results/tno/cddfuse/*/result.json")
    scores = load(kept).scores
    for name, printed in README.items():
        assert scores[f"{name}@cddfuse"].mean == pytest.approx(printed, abs=0.005001)
    pairs = open_pairs("tno", "test", real_data / "tno", limit=2)
    table = load_per_image(kept)
    result = score_fused_images(real_data / "fused/CDDFuse/tno", pairs, name="cddfuse", title="CDDFuse", out=None)
    for key, score in result.scores.items():
        assert score.mean == pytest.approx(float(np.mean(table[key][:2])), rel=1e-9)
    assert pairs.identity.id == load(kept).identity.dataset.id
