"""The sheet of a suite of pairs: which rows are on it, in which column, and when it is drawn again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError
from fusionbench.evaluation.external import score_outputs
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.pair_sheet import pair_spec, side_by_side
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.models import MODELS
from fusionbench.training.loop import train
from tests.helpers.pair_suite import small_suite
from tests.helpers.pairs import PairDataset
from tests.sources import folders


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return small_suite(tmp_path)


@pytest.fixture
def pairs(suite: Path) -> PairSet:
    return open_pairs("pairs", "all", suite.parent / "set")


def columns_of(png: bytes, tmp_path: Path) -> list[np.ndarray]:
    """The images in the first line of a sheet, by the lines around them."""
    (tmp_path / "drawn.png").write_bytes(png)
    page = np.asarray(Image.open(tmp_path / "drawn.png").convert("L")).astype(int)
    inked = (page[100:140] < 250).any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inked.astype(int), [0]])))
    return [page[100:140, start + 1 : end - 1] for start, end in edges.reshape(-1, 2)]


def test_a_model_is_built_for_the_size_of_the_first_pair(pairs: PairSet) -> None:
    spec = pair_spec(pairs)
    assert (spec.channels, spec.height, spec.width, spec.views) == (1, 48, 50, 2)


def test_columns_are_views_then_rows_in_order(suite: Path, tmp_path: Path) -> None:
    for number in range(3):  # views that differ
        folders.save(tmp_path / f"set/b/{number}.png", folders.picture(number, 48 + number, 50, grey=True) // 3 + 30)
    pairs = open_pairs(suite.parent / "set")
    spec = pair_spec(pairs)
    for stem, pair in zip(pairs.stems, pairs, strict=True):
        folders.save(tmp_path / "others" / f"{stem}.png", pair[0] // 2 + 20)
    shown: list[tuple[str, Any]] = [
        ("copy of b", MODELS.get("copy-b")(spec)),
        ("copy of a", MODELS.get("copy-a")(spec)),
        ("theirs", tmp_path / "others"),
        ("theirs by text", str(tmp_path / "others")),
    ]
    a, b, copy_b, copy_a, theirs, by_text = columns_of(side_by_side(shown, pairs, False, "sheet"), tmp_path)
    assert not np.array_equal(a, b)
    assert np.array_equal(copy_b, b) and np.array_equal(copy_a, a)
    assert np.array_equal(theirs, by_text)
    inside = (slice(None), slice(4, -4))  # without the lines around an image
    assert np.array_equal(theirs[inside], a[inside] // 2 + 20)


def test_a_run_is_loaded_from_its_folder(pairs: PairSet, tmp_path: Path) -> None:
    train("average", PairDataset(), out=tmp_path / "run", device="cpu")
    run, model = "run", MODELS.get("average")(pair_spec(pairs))
    *_, first, second = columns_of(
        side_by_side([(run, tmp_path / "run"), ("model", model)], pairs, False, "s"), tmp_path
    )
    assert np.array_equal(first, second)


def test_stretched_images_are_shown_stretched(pairs: PairSet) -> None:
    shown = [("average", MODELS.get("average")(pair_spec(pairs)))]
    assert side_by_side(shown, pairs, False, "sheet") != side_by_side(shown, pairs, True, "sheet")


def test_a_folder_without_the_images_is_one_line(pairs: PairSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.png: no such image"):
        side_by_side([("nothing", tmp_path / "empty")], pairs, False, "sheet")


def test_pictures_of_others_that_were_kept_are_on_the_sheet(suite: Path) -> None:
    out, files = suite.parent / "results", suite.parent / "set"
    sheet = out / "pairs/sheet.png"
    where: dict[str, Any] = {"source_dir": files, "out": out, "device": "cpu", "sheets": True}
    run_suite(suite, **where)
    width = Image.open(sheet).width
    given = (suite, files / "a", files / "b", files / "a")  # "fused" by copying view 0
    score_outputs(*given, name="theirs", out=out)
    run_suite(suite, **where)
    assert Image.open(sheet).width == width  # nobody asked to keep their pictures
    score_outputs(*given, name="theirs", out=out, keep_images=True)
    run_suite(suite, **where)
    page = np.asarray(Image.open(sheet).convert("L"))
    column = page.shape[1] - width
    assert column > 50  # pixels of a picture, with a line around it
    edge = np.flatnonzero((page[100:140] < 250).any(axis=0))[-1] + 1  # the last column is view 0 again
    first = np.flatnonzero((page[100:140] < 250).any(axis=0))[0]
    assert np.array_equal(page[100:140, edge - 51 : edge - 1], page[100:140, first + 1 : first + 51])


def test_a_whole_suite_draws_its_sheet_anew_when_a_row_is_new(suite: Path) -> None:
    out, files = suite.parent / "results", suite.parent / "set"
    run_suite(suite, source_dir=files, out=out, device="cpu", sheets=True, models=["copy-b"])
    sheet = out / "pairs/sheet.png"
    few = sheet.read_bytes()
    os.utime(sheet, (1, 1))
    run_suite(suite, source_dir=files, out=out, device="cpu", sheets=True)
    assert sheet.read_bytes() != few
