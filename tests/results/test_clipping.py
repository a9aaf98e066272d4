"""The share of clipped pixels against counting pixel by pixel; what reaches it, and where tables show it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.images import encode_png
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import evaluate_pairs, score_fused_images
from fusionbench.models import create_model
from fusionbench.results.clipping import COLUMN, LIMIT, clipped_mark, clipped_mean, clipped_remark, clipped_share
from fusionbench.results.comparison import compare_results
from fusionbench.results.full_range import stretch_levels
from fusionbench.results.schema import load_folder, load_per_image, save
from fusionbench.results.tables import as_data, as_markdown


def _levels(image: np.ndarray) -> tuple[int, int]:
    """The definition, by sorting: the levels that a thousandth of the pixels lies beyond at most."""
    ordered = sorted(image.ravel().tolist())
    beyond = int(0.001 * len(ordered))
    return ordered[beyond], ordered[len(ordered) - 1 - beyond]


def _counted(fused: np.ndarray, sources: list[np.ndarray]) -> float:
    low, high = _levels(fused)
    ends = [_levels(source) for source in sources]
    count = 0
    for place in np.ndindex(fused.shape):
        values = [int(source[place]) for source in sources]
        count += fused[place] <= low and all(v > e[0] for v, e in zip(values, ends, strict=True))
        count += fused[place] >= high and all(v < e[1] for v, e in zip(values, ends, strict=True))
    return 0.0 if low == high else count / fused.size


def _pair(seed: int = 0, size: tuple[int, int] = (37, 41)) -> list[np.ndarray]:
    made = np.random.default_rng(seed).normal(120, 30, (2, *size))
    return [np.clip(np.rint(one), 0, 255).astype(np.uint8) for one in made]


def _average(pair: list[np.ndarray]) -> np.ndarray:
    return np.rint((pair[0].astype(float) + pair[1]) / 2).astype(np.uint8)


def _clip(image: np.ndarray, percent: float, low: int = 0, high: int = 255) -> np.ndarray:
    a, b = np.percentile(image, [percent, 100 - percent])
    return np.rint(np.clip((image - a) / (b - a), 0, 1) * (high - low) + low).astype(np.uint8)


@pytest.mark.parametrize("percent", [0.0, 0.5, 2.0, 10.0])
def test_share_is_that_of_counting_pixels(percent: float) -> None:
    for seed in range(3):
        pair = _pair(seed)
        fused = _clip(_average(pair), percent)
        assert clipped_share(fused, pair) == pytest.approx(_counted(fused, pair), abs=1e-12)


def test_clipping_is_found_at_any_range_and_behind_outliers_and_stretching_adds_none() -> None:
    pair = _pair(1, (100, 100))
    plain = _average(pair)
    clipped = _clip(plain, 2, 6, 249)
    assert clipped_share(plain, pair) < LIMIT / 2
    assert clipped_share(stretch_levels(plain), pair) == clipped_share(plain, pair)
    assert clipped_share(clipped, pair) > 3 * LIMIT
    hidden = clipped.copy()
    hidden.flat[:4], hidden.flat[-4:] = 0, 255  # ends of the range that are not those of the image
    assert clipped_share(hidden, pair) > 3 * LIMIT


def test_a_source_that_is_at_its_own_end_explains_the_pixels() -> None:
    first, second = _pair(2)
    saturated = np.minimum(first, 130)
    assert clipped_share(saturated, [first, second]) > 0.2
    assert clipped_share(saturated, [saturated, second]) == 0.0
    assert clipped_share(first, [first, second]) == 0.0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 3)])
def test_flat_and_tiny_images_have_a_share(shape: tuple[int, int]) -> None:
    flat = np.full(shape, 7, np.uint8)
    assert clipped_share(flat, [flat, flat]) == 0.0
    assert clipped_share(flat, [np.arange(flat.size, dtype=np.uint8).reshape(shape)] * 2) == 0.0


def test_mark_and_remark_begin_above_the_limit() -> None:
    assert (clipped_mark(LIMIT), clipped_remark(LIMIT), clipped_mark(None), clipped_remark(None)) == ("", "", "", "")
    assert clipped_mark(0.0213) == "clipped 2.1 %" and clipped_remark(0.0213).startswith("2.1 % of the pixels")


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_a_value_that_is_no_share_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="column clipped"):
        clipped_mean({COLUMN: np.array([0.5, value])})


def test_share_goes_from_the_images_to_the_tables(tmp_path: Path) -> None:
    pairs = open_pairs("pairs-demo", "all", None)
    for index, stem in enumerate(pairs.stems):
        (tmp_path / "fused").mkdir(exist_ok=True)
        fused = _clip(_average([*pairs.pair(index)]), 3)
        (tmp_path / "fused" / f"{stem}.png").write_bytes(encode_png(fused))
    results = tmp_path / "results"
    score_fused_images(tmp_path / "fused", pairs, name="x", title="X", out=results, keep_images=False, jobs=1)
    evaluate_pairs(create_model("average", ImageSpec(1, 256, 256, 2)), pairs, out=results, device="cpu")
    expected = np.mean([_counted(_clip(_average([*pair]), 3), [*pair]) for pair in pairs])
    assert expected > LIMIT
    comparison = compare_results([results], scores=["sd"])
    rows = {row["title"]: row for row in as_data(comparison)["rows"]}
    assert rows["X"]["clipped"] == pytest.approx(expected) and rows["average of the sources"]["clipped"] < LIMIT
    markdown = as_markdown(comparison)
    assert f"clipped {100 * expected:.1f} %" in markdown and markdown.count("clipped:") == 1
    # a table of an earlier release has no column, and a mark cannot be edited away in result.json
    file = next(one for one in results.glob("**/x/*/result.json"))
    edited = json.loads(file.read_text())
    edited["provenance"].pop("remarks")
    file.write_text(json.dumps(edited))
    assert "clipped" in as_markdown(compare_results([results], scores=["sd"]))
    result = next(one for one in load_folder(results) if one.title == "X")
    table = {key: column for key, column in load_per_image(file).items() if key != COLUMN}
    save(result, results, table)
    assert "clipped" not in as_markdown(compare_results([results], scores=["sd"]))
