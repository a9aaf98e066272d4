"""Banks of cut-outs: drawn objects, and what is no bank."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fusionbench.core.errors import DataError
from fusionbench.synth.degradations.silhouettes import MOST, SIDE, bank_of, drawn_bank


def test_the_drawn_objects_are_whole_and_unlike_each_other() -> None:
    bank = drawn_bank()
    assert not bank.flags.writeable and len({each.tobytes() for each in bank}) == len(bank)
    for each in bank:
        sizes = np.bincount(ndimage.label(each > 0)[0].reshape(-1))[1:]
        assert sizes.max() > 0.8 * sizes.sum()  # a hole may cut off a tip
        assert (each > 0).any(axis=0).sum() == SIDE or (each > 0).any(axis=1).sum() == SIDE


def test_a_picture_is_read_at_the_nearest_pixel_of_its_square() -> None:
    picture = np.arange(1, 4 * SIDE + 1).reshape(4, SIDE) % 255 + 1
    whole = bank_of([picture.astype(np.uint8)], [np.full((4, SIDE), 255)])[0]
    top = (SIDE - 4) // 2
    assert np.array_equal(whole[top : top + 4], picture) and not whole[:top].any() and not whole[top + 4 :].any()
    small = bank_of([np.array([[7, 0], [9, 200]], np.uint8)], [np.array([[255, 255], [0, 255]])])[0]
    half = SIDE // 2
    assert (small[:half, :half] == 7).all() and (small[half:, :half] == 0).all() and (small[half:, half:] == 200).all()
    assert (small[:half, half:] == 1).all(), "black is on the object, and not beside it"


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ([], []),
        ([np.zeros((2, 2), np.uint8)] * (MOST + 1), [np.full((2, 2), 255)] * (MOST + 1)),
        ([np.zeros((2, 2), np.uint8)], [np.zeros((2, 2))]),
        ([np.zeros((2, 2), np.uint8)], [np.full((3, 2), 255)]),
        ([np.zeros((2, 2))], [np.full((2, 2), 255)]),
    ],
)
def test_what_is_no_bank_is_refused(pictures: list[np.ndarray], masks: list[np.ndarray]) -> None:
    with pytest.raises(DataError, match=r"^[^\n]*$"):
        bank_of(pictures, masks)
