"""Which sets of images are called stretched: counts by hand, the rule at its edges, published sets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.images import images_in, read_image
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.results.full_range import (
    FUSED,
    SOURCES,
    FullRange,
    count_full_range,
    full_range_columns,
    full_range_of,
    spans_full_range,
    stretch_levels,
)


def image(low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 64).round().astype(np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
    ("low", "high", "full"), [(0, 255, True), (5, 250, True), (6, 255, False), (0, 249, False), (7, 7, False)]
)
def test_full_is_within_five_levels_of_black_and_white(low: int, high: int, full: bool) -> None:
    assert spans_full_range(image(low, high)) is full
    assert not spans_full_range(np.zeros((0, 4), np.uint8))


def test_counts() -> None:
    wide, narrow = image(0, 255), image(40, 200)
    found = count_full_range([(wide, [narrow, narrow]), (wide, [narrow, wide]), (narrow, [wide, wide])])
    assert found == FullRange(images=3, full=2, sources=2)


@pytest.mark.parametrize("forged", [(7, 9, 0), (7, 0, 9)])
def test_counts_that_cannot_be_are_refused(forged: tuple[int, int, int]) -> None:
    text = msgspec.json.encode(dict(zip(("images", "full", "sources"), forged, strict=True)))
    with pytest.raises(msgspec.ValidationError, match="of 7 images"):
        msgspec.json.decode(text, type=FullRange)


@pytest.mark.parametrize(
    ("images", "full", "sources", "stretched"),
    [
        (25, 25, 19, True),
        (25, 22, 19, True),  # three images that are left alone do not hide the others
        (25, 21, 19, False),  # two more than their sources explain are chance
        (25, 25, 25, False),  # every pair has a full source: nothing can be said
        (221, 190, 168, False),  # 22 more are not more than a tenth of all
        (221, 191, 168, True),
        (3, 3, 0, True),
        (2, 2, 0, False),
        (0, 0, 0, False),
    ],
)
def test_the_rule_at_its_edges(images: int, full: int, sources: int, stretched: bool) -> None:
    assert FullRange(images=images, full=full, sources=sources).stretched is stretched


def test_one_image_that_does_not_reach_white_hides_nothing() -> None:
    source = image(40, 200)
    fused = [stretch_levels(source)] * 24 + [image(0, 200)]
    assert count_full_range([(one, [source, source]) for one in fused]).stretched
    assert count_full_range([(image(4, 251), [source, source])] * 25).stretched, "a little less than the full range"


def test_copies_of_full_sources_are_not_stretched() -> None:
    wide, narrow = image(0, 255), image(40, 200)
    for copied in (wide, narrow):
        assert not count_full_range([(copied, [wide, narrow])] * 25).stretched


def test_stretching_is_the_formula_and_stretching_again_changes_nothing() -> None:
    values = np.random.default_rng(3).integers(30, 180, (9, 11)).astype(np.uint8)
    low, high = values.min(), values.max()
    expected = [[round(255 * (int(v) - int(low)) / (int(high) - int(low))) for v in row] for row in values]
    once = stretch_levels(values)
    assert once.tolist() == expected and np.array_equal(stretch_levels(once), once)
    assert np.array_equal(stretch_levels(np.full((2, 2), 9, np.uint8)), np.full((2, 2), 9, np.uint8))


STRETCHED = {"CDDFuse", "DenseFuse", "FusionGAN", "PMGI", "RFN-Nest", "SDNet", "SeAFusion", "U2Fusion"}


def test_published_sets(real_data: Path) -> None:
    """Eight of fourteen sets on TNO are stretched; neither a copied source is, and not the plain sets."""
    pairs = open_pairs("tno", "test", real_data / "tno")
    sources = [pairs.pair(index) for index in range(len(pairs))]
    found = {
        folder.name: count_full_range(
            (read_image(images_in(folder / "tno")[stem]).grey(), [*pair])
            for stem, pair in zip(pairs.stems, sources, strict=True)
        )
        for folder in (real_data / "fused").iterdir()
        if folder.name in ("SeAFusion", "DIDFuse", "IFCNN", "PMGI")
    }
    assert {name for name, counts in found.items() if counts.stretched} == STRETCHED & found.keys()
    for view in (0, 1):
        assert not count_full_range((pair[view], [*pair]) for pair in sources).stretched


def test_columns_are_counted_and_old_tables_have_none() -> None:
    columns = full_range_columns([(True, False), (False, True), (True, True)])
    assert columns == {FUSED: [1, 0, 1], SOURCES: [0, 1, 1]}
    table = {name: np.array(values, np.float64) for name, values in columns.items()}
    assert full_range_of(table) == FullRange(images=3, full=2, sources=2)
    assert full_range_of({"id": np.arange(3), "sd": np.ones(3)}) is None


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, np.nan, np.inf])
def test_columns_that_are_no_flags(value: float) -> None:
    table = {FUSED: np.array([1.0, value]), SOURCES: np.zeros(2)}
    with pytest.raises(DataError, match="values in full_range@fused that are neither 0 nor 1"):
        full_range_of(table)
    with pytest.raises(DataError, match="has the column full_range@sources and not full_range@fused"):
        full_range_of({SOURCES: np.zeros(2)})
