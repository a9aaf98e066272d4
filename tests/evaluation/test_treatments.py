"""Treatments of images: against formulas written out here."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from fusionbench.core.images import DecodedImage
from fusionbench.evaluation.treatments import TREATMENTS, treated
from tests.metrics.scenes import scene


def forms(*images: np.ndarray) -> dict[str, list[np.ndarray]]:
    return dict(treated([DecodedImage(image, "PNG") for image in images]))


def test_the_treatments_are_those_of_the_list() -> None:
    assert tuple(forms(*scene())) == tuple(TREATMENTS)


def test_what_changes_nothing_is_the_same_object() -> None:
    full = scene()[0].copy()
    full[0, :2] = 0, 255
    found = forms(full, full, full)
    assert [name for name, stacks in found.items() if stacks is not found[""]] == [n for n in TREATMENTS if "JPEG" in n]


def test_stretching_goes_image_by_image() -> None:
    fused, a, b = (image // 3 + 50 for image in scene())
    found = forms(fused, a, b)
    for got, image in zip(found["images stretched to 0..255"], (fused, a, b), strict=True):
        exact = (image.astype(float) - image.min()) / (int(image.max()) - int(image.min())) * 255
        assert got.dtype == np.uint8 and got.min() == 0 and got.max() == 255
        assert np.abs(got[0] - exact).max() <= 0.5 + 1e-9
    only = found["fused image stretched to 0..255"]
    assert only[0].max() == 255 and only[1] is found[""][1] and only[2] is found[""][2]
    flat = np.full((8, 8), 7, np.uint8)
    assert forms(flat, flat, flat)["images stretched to 0..255"] is not None


def test_jpeg_is_that_of_another_library() -> None:
    fused, a, b = scene()
    found = forms(fused, a, b)
    for quality in (95, 90, 75):
        stream = io.BytesIO()
        Image.fromarray(fused).save(stream, "JPEG", quality=quality)
        expected = np.asarray(Image.open(stream)).astype(int)
        got = found[f"fused image through JPEG of quality {quality}"]
        assert np.abs(got[0][0] - expected).max() <= 2 and got[1] is found[""][1]


def test_greys_of_colour() -> None:
    grey, a, b = scene()
    colour = np.stack([grey, grey // 2 + 60, 255 - grey], axis=-1)
    found = forms(colour, a, b)
    r, g, blue = (colour[..., k].astype(float) for k in range(3))
    expected = {
        "": np.rint(0.299 * r + 0.587 * g + 0.114 * blue),
        "luma of BT.709": np.rint(0.2126 * r + 0.7152 * g + 0.0722 * blue),
        "luma with red and blue exchanged": np.rint(0.114 * r + 0.587 * g + 0.299 * blue),
        "green channel": g,
        "grey by the channels' mean": np.rint((r + g + blue) / 3),
        "luma truncated, not rounded": np.floor(0.299 * r + 0.587 * g + 0.114 * blue + 1e-9),
        "luma on 16..235": np.rint(16 + (65.481 * r + 128.553 * g + 24.966 * blue) / 255),
    }
    for name, image in expected.items():
        # halves that are not exact in floating point may go either way
        assert np.abs(found[name][0][0] - image).max() <= (1 if name == "" else 0), name
        assert np.array_equal(found[name][1][0], a), "grey images stay"
    channels = found["channel by channel (RGB for luma)"]
    assert np.array_equal(channels[0], np.moveaxis(colour, -1, 0)) and channels[1].shape == (3, *a.shape)
