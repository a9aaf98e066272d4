"""Single pictures beside the results of pairs: where the licence or somebody allows, and only those that lack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.board import build_board
from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.pairs import evaluate_pairs, score_fused_images
from fusionbench.evaluation.suites import run_suite
from fusionbench.models import MODELS
from tests.sources import folders

SPEC = ImageSpec(channels=1, height=48, width=52, views=2)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def two_pairs(root: Path, seed: int = 5) -> PairSet:
    for stem in ("01", "x.y"):  # a name that is no number, and one with a dot
        for number, side in enumerate(("a", "b")):
            image = np.random.default_rng((seed, number)).integers(0, 256, (48, 52), np.uint8)
            folders.save(root / side / f"{stem}.png", image)
    return open_pairs("pairs", "all", root)


def test_pictures_are_kept_when_asked_for_and_only_made_when_they_lack(tmp_path: Path) -> None:
    pairs, out = two_pairs(tmp_path / "set"), tmp_path / "results"
    model = MODELS.get("copy-b")(SPEC)
    result = evaluate_pairs(model, pairs, out=out, device="cpu")
    assert not list(out.glob("**/*.png"))  # the licence of strangers' pictures is not known

    evaluate_pairs(model, pairs, out=out, device="cpu", keep_images=True)  # the result lies there already
    fused = result.folder(out) / "fused"
    for index, stem in enumerate(pairs.stems):
        pair = pairs.pair(index)
        assert (pixels(out / "pairs/sources/a" / f"{stem}.png") == pair[0]).all()
        assert (pixels(fused / f"{stem}.png") == pair[1]).all()
    (fused / "01.png").unlink()
    before = (fused / "x.y.png").stat().st_mtime_ns
    evaluate_pairs(model, pairs, out=out, device="cpu", keep_images=True)
    assert (fused / "01.png").is_file() and (fused / "x.y.png").stat().st_mtime_ns == before


def test_sources_of_another_set_of_this_name_are_replaced(tmp_path: Path) -> None:
    out, model = tmp_path / "results", MODELS.get("copy-b")(SPEC)
    for seed in (1, 2):
        pairs = two_pairs(tmp_path / str(seed), seed)
        evaluate_pairs(model, pairs, out=out, device="cpu", keep_images=True)
    assert (pixels(out / "pairs/sources/b/01.png") == pairs.pair(0)[1]).all()


def test_pictures_of_a_method_are_kept_as_they_are_scored(tmp_path: Path) -> None:
    pairs, out = two_pairs(tmp_path / "set"), tmp_path / "results"
    for index, stem in enumerate(pairs.stems):
        folders.save(tmp_path / "fused" / f"{stem}.bmp", pairs.pair(index)[0])
    fused = tmp_path / "fused"
    result = score_fused_images(fused, pairs, name="theirs", title="Theirs", out=out, keep_images=True)
    assert (pixels(result.folder(out) / "fused/01.png") == pairs.pair(0)[0]).all()


def test_a_board_of_the_demo_shows_single_images(tmp_path: Path) -> None:
    out, site = tmp_path / "results", tmp_path / "site"
    run_suite("pairs-demo", out=out, device="cpu", models=["copy-a", "average"])
    build_board(out, site)
    scores = json.loads(next(site.glob("data/*/scores.js")).read_text()[len("fusionbenchData(") : -3])
    assert scores["ids"] == ["astronaut", "chelsea", "coffee"] and scores["sources"] == [0, 1, 2]
    for name in ("a/2", "*average*/fused/2", "*average*/ssim/2", "*copy*/fused/0"):
        assert len(list(site.glob(f"pictures/*/{name}.png"))) == 1, name
    assert not list(site.glob("pictures/*set.json"))


def test_a_board_finds_pictures_whose_names_are_numbers_with_zeros(tmp_path: Path) -> None:
    pairs, out, site = two_pairs(tmp_path / "set"), tmp_path / "results", tmp_path / "site"
    limited = PairSet(pairs.source, pairs.split, 1)  # only the pair 01
    for name in ("copy-a", "average"):
        evaluate_pairs(MODELS.get(name)(SPEC), limited, out=out, device="cpu", keep_images=True)
    build_board(out, site)
    assert list(site.glob("pictures/*/*average*/fused/0.png"))


def test_a_masked_suite_has_no_such_pictures() -> None:
    with pytest.raises(UsageError, match="no registered pairs"):
        run_suite("quickstart", keep_images=True)


def test_no_images_is_what_a_suite_without_the_choice_does(tmp_path: Path) -> None:
    result = run_suite("probe-demo", models=["copy-a"], limit=2, keep_images=False, out=tmp_path, sheets=False)[0]
    assert not list(result.folder(tmp_path).glob("**/*.png"))
