"""Images made again from results: those that were scored, of sources that may be shown, and nothing elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench import create_model, open_pairs
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation import remade_images
from fusionbench.evaluation.pair_sets import PairSet
from fusionbench.evaluation.pairs import PairsProtocol, evaluate_pairs, fuse_pair, score_fused_images
from fusionbench.evaluation.remade_images import RemadeImages, is_scored_one
from fusionbench.evaluation.reproduction.places import Places
from fusionbench.results.schema import Result

SPEC = ImageSpec(1, 256, 256, views=2)
NOWHERE = Places((), (), ())


@pytest.fixture(scope="module")
def pairs() -> PairSet:
    return open_pairs("pairs-demo", limit=2)


def row(pairs: PairSet, name: str, stretch: bool = False, **params: Any) -> tuple[Result, dict[str, np.ndarray]]:
    how: dict[str, Any] = {"params": params, "out": None, "device": "cpu", "protocol": PairsProtocol(stretch)}
    result = evaluate_pairs(create_model(name, SPEC, **params), pairs, **how)
    return result, {key: np.asarray(result.images[key]) for key in ("sd", "en", "cc")}


def made(cache: Path, rows: list[tuple[Result, Any]], stems: list[Any], **how: Any) -> list[Path]:
    with RemadeImages(cache, NOWHERE, **how) as images:
        found = images.remake("demo", rows, stems)
    return [] if found is None else sorted(found.folder.rglob("*.png"))


def test_what_was_scored_is_made_again_once(
    pairs: PairSet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(pairs, "average"), row(pairs, "average", stretch=True)]
    rows[1][1]["sd"] = rows[1][1]["sd"] * [1.0, 1.01]  # as if another picture had been scored
    files = made(tmp_path / "cache", rows, ["chelsea", "astronaut", "no such image", 7])
    said = capsys.readouterr().err
    assert "1 of 2 rows left out: average of the sources: 1 of 2 pictures made here are not those that were" in said
    assert len(files) == 2 * 2 + 2 + 1
    with RemadeImages(tmp_path / "cache", NOWHERE) as images:
        found = images.remake("demo", rows[:1], ["chelsea"])
        assert found is not None
        pixels = np.asarray(Image.open(found.fused(rows[0][0]) / "chelsea.png"))
        assert np.array_equal(pixels, fuse_pair(create_model("average", SPEC), pairs.pair(1), 1))
        assert np.array_equal(np.asarray(Image.open(found.folder / "sources/b/chelsea.png")), pairs.pair(1)[1])
        assert not (found.fused(rows[1][0]) / "chelsea.png").exists(), "it is not the one that was scored"

    def refuse(*_: object) -> None:
        raise AssertionError("made a second time")

    monkeypatch.setattr(remade_images, "write_bytes", refuse)
    assert made(tmp_path / "cache", rows[:1], ["chelsea", "astronaut"]) == files


def test_what_may_not_be_passed_on_is_shown_only_where_that_is_asked_for(
    pairs: PairSet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(pairs, "copy-a")]
    monkeypatch.setattr(type(pairs.source), "redistributable", False)
    assert made(tmp_path / "cache", rows, ["chelsea"]) == [] and not (tmp_path / "cache").exists()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "pictures" in line] == [
        "no pictures of demo: images of pairs-demo may not be passed on by its terms; --private-pictures shows them on "
        "pages that stay with you"
    ]
    assert len(made(tmp_path / "cache", rows, ["chelsea"], private=True)) == 3
    assert "keep them to yourself" in capsys.readouterr().err


def test_results_of_strangers(pairs: PairSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names lead nowhere, parameters of nobody's are not built, and data that are not at hand are no error."""
    odd = row(pairs, "laplacian-pyramid", levels=7)
    unknown, values = row(pairs, "copy-a")
    unknown.identity.model.name = "../../../escape"
    images = tmp_path / "fused"
    for stem, pair in zip(pairs.stems, pairs, strict=True):
        images.mkdir(exist_ok=True)
        Image.fromarray(pair[0]).save(images / f"{stem}.png")
    scored = score_fused_images(images, pairs, name="../../up", title="theirs", out=None, jobs=1)
    scored_values = {"sd": np.asarray(scored.images["sd"])}
    with RemadeImages(tmp_path / "deep/er/cache", Places((), (), (tmp_path,))) as maker:
        found = maker.remake("demo", [odd, (unknown, values), (scored, scored_values)], ["chelsea"])
    said = capsys.readouterr().err
    assert found is not None and (found.fused(scored) / "chelsea.png").is_file()
    assert "Laplacian pyramid: parameters or weights of somebody's own" in said and "is not registered here" in said
    outside = [path for path in tmp_path.rglob("*.png") if not path.is_relative_to(tmp_path / "deep/er/cache")]
    assert {path.parent for path in outside} == {images}
    scored.identity.dataset.id = "0" * 64
    assert made(tmp_path / "other", [(scored, scored_values)], ["chelsea"]) == []
    assert "no pictures of demo: the data set pairs-demo 1.0.0" in capsys.readouterr().err


def test_a_picture_is_known_by_its_scores() -> None:
    rng = np.random.default_rng(3)
    pair = rng.integers(0, 256, (2, 40, 40), np.uint8)
    fused = np.rint(pair.mean(axis=0)).astype(np.uint8)
    scored: Mapping[str, float] = {"sd": float(fused.std()), "cc": 1.0}
    assert not is_scored_one(fused, pair, scored), "one score is another's"
    assert is_scored_one(fused, pair, {"sd": float(fused.std())})
    assert not is_scored_one(fused[:-1], pair, {"sd": float(fused[:-1].std())})
    assert is_scored_one(np.full_like(fused, 9), pair, {"sd": 0.0, "cc": float("nan")}), "flat: no correlation"
    assert not is_scored_one(fused, pair, {"cc": float("nan")})
