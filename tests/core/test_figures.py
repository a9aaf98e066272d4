"""Sheets: the pixels of the data are in them, unchanged, where they belong."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import UsageError
from fusionbench.core.figures import GAP, MARGIN, contact_sheet, reconstruction_sheet, sample_sheet, tile_sheet

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 256, (5, 8, 6), dtype=np.uint8)
VIEWS = RNG.integers(0, 256, (5, 3, 8, 6), dtype=np.uint8)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def positions(sheet: np.ndarray, picture: np.ndarray, scale: int) -> list[tuple[int, int]]:
    """Every (row, column) where the enlarged picture stands in the sheet, by exhaustive search."""
    big = np.kron(picture, np.ones((scale, scale), np.uint8))
    if big.ndim == 2:
        big = np.repeat(big[..., None], 3, axis=2)
    corners = np.argwhere((sheet[: -big.shape[0] + 1, : -big.shape[1] + 1] == big[0, 0]).all(-1))
    height, width = big.shape[:2]
    return [(y, x) for y, x in corners if np.array_equal(sheet[y : y + height, x : x + width], big)]


def test_every_picture_stands_once_and_in_order() -> None:
    sheet = pixels(contact_sheet(TARGETS, VIEWS, title="Title", caption="caption", labels=list("abcde"), groups=1))
    previous = -1
    for target, views in zip(TARGETS, VIEWS, strict=True):
        found = [positions(sheet, picture, 9) for picture in (target, *views)]
        assert [len(places) for places in found] == [1, 1, 1, 1]
        rows = {places[0][0] for places in found}
        columns = [places[0][1] for places in found]
        assert len(rows) == 1 and columns == sorted(columns), "a row is one sample: target, view 1, 2, 3"
        assert rows.pop() > previous
        previous = found[0][0][0]


def test_groups_share_the_sheet() -> None:
    sheet = pixels(contact_sheet(TARGETS, VIEWS, groups=2))
    places = [positions(sheet, target, 9)[0] for target in TARGETS]
    assert places[0][0] == places[3][0] and places[0][1] < places[3][1]


def test_colour_and_single_channel() -> None:
    colour = RNG.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    grey = colour[..., :1]
    assert contact_sheet(grey, grey[:, None]) == contact_sheet(grey[..., 0], grey[:, None, ..., 0])
    sheet = pixels(contact_sheet(colour, colour[:, None]))
    big = colour[0].repeat(9, 0).repeat(9, 1)
    found = [
        (y, x)
        for y, x in np.argwhere((sheet == colour[0, 0, 0]).all(-1))
        if np.array_equal(sheet[y : y + 72, x : x + 72], big)
    ]
    assert len(found) == 2


def test_same_arrays_give_the_same_bytes() -> None:
    assert contact_sheet(TARGETS, VIEWS, title="a") == contact_sheet(TARGETS.copy(), VIEWS.copy(), title="a")


def test_sample_sheet_shows_only_the_inputs_that_were_given() -> None:
    draws = {
        "FCN": RNG.integers(0, 256, (2, 4, 1, 8, 6), dtype=np.uint8),
        "A model with a long name": RNG.integers(0, 256, (2, 4, 3, 8, 6), dtype=np.uint8),
    }
    sheet = pixels(sample_sheet(VIEWS[:2], TARGETS[:2], draws, title="t", caption="c", labels=["0", "1"]))
    for sample in range(2):
        # view v stands in the rows N = v+1..3, the target once a block, each draw once
        assert [len(positions(sheet, view, 9)) for view in VIEWS[sample]] == [3, 2, 1]
        assert len(positions(sheet, TARGETS[sample], 9)) == 1
        for made in draws.values():
            for given in range(4):
                assert [len(positions(sheet, picture, 9)) for picture in made[sample, given]] == [1] * made.shape[2]


@pytest.mark.parametrize(
    ("targets", "views"),
    [
        (TARGETS.astype(np.float32), VIEWS),
        (TARGETS[:4], VIEWS),
        (TARGETS[:, :7], VIEWS),
        (TARGETS[:0], VIEWS[:0]),
        (TARGETS[..., None].repeat(2, -1), VIEWS[..., None].repeat(2, -1)),
    ],
)
def test_wrong_arrays_are_refused(targets: np.ndarray, views: np.ndarray) -> None:
    with pytest.raises(UsageError):
        contact_sheet(targets, views)


def test_sample_sheet_refuses_wrong_draws() -> None:
    with pytest.raises(UsageError, match="draws of FCN"):
        sample_sheet(VIEWS, TARGETS, {"FCN": np.zeros((5, 3, 1, 8, 6), np.uint8)})
    with pytest.raises(UsageError, match="0 models"):
        sample_sheet(VIEWS, TARGETS, {})


def test_reconstruction_sheet_puts_every_picture_beside_its_target() -> None:
    made = {
        "FCN": RNG.integers(0, 256, (2, 1, 8, 6), dtype=np.uint8),
        "CVAE+S": RNG.integers(0, 256, (2, 4, 8, 6), dtype=np.uint8),
    }
    sheet = pixels(reconstruction_sheet(TARGETS[:2], made, title="t", caption="c", labels=["0", "17"]))
    heights = []
    for sample in range(2):
        ((y, x),) = positions(sheet, TARGETS[sample], 9)
        pictures = [picture for images in made.values() for picture in images[sample]]
        found = [places for picture in pictures for places in positions(sheet, picture, 9)]
        assert len(found) == 5 and {place[0] for place in found} == {y}
        columns = [x, *(place[1] for place in found)]
        assert columns == sorted(columns)
        heights.append(y)
    assert heights[0] < heights[1]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({}, "0 models"),
        ({"FCN": np.zeros((5, 1, 8, 7), np.uint8)}, "reconstructions of FCN"),
        ({"FCN": np.zeros((4, 1, 8, 6), np.uint8)}, "reconstructions of FCN"),
    ],
)
def test_reconstruction_sheet_refuses_what_does_not_fit(made: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        reconstruction_sheet(TARGETS[:5], made)


def test_reconstruction_sheet_needs_a_label_for_every_sample() -> None:
    with pytest.raises(UsageError, match="1 labels for 2 samples"):
        reconstruction_sheet(TARGETS[:2], {"FCN": TARGETS[:2, None]}, labels=["a"])


def test_tiles_stand_in_rows_with_their_labels() -> None:
    images = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 72, 72), np.uint8)
    png = tile_sheet(images, [str(i) for i in range(40)], title="tiles", caption="below")
    sheet = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    columns = 1600 // (72 + GAP)
    for number in (0, columns - 1, columns, 39):
        x = MARGIN + number % columns * (72 + GAP)
        rows = np.flatnonzero((sheet[:, x : x + 72] == number).all(1))
        assert len(rows) == 72 and np.array_equal(rows, np.arange(rows[0], rows[0] + 72))
    assert tile_sheet(images, [str(i) for i in range(40)], title="tiles", caption="below") == png
    with pytest.raises(UsageError, match="39 labels for 40 images"):
        tile_sheet(images, [""] * 39)
    with pytest.raises(UsageError, match="nothing to show"):
        tile_sheet(images[:0], [])
