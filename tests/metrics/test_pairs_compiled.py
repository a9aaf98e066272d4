"""Compiled code of pair metrics against NumPy's, to the bit, where tiles, bands and images end and where values do."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.metrics import get_metric
from fusionbench.metrics.engine import SourcePair, choose
from fusionbench.synth import kernel
from tests.metrics.scenes import scene

needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
NAMES = ["qs", "qw", "qe", "qc", "qy", "nabf", "labf", "qcb", "qg", "qsf", "viff", "mef_ssim", "mef_ms_ssim"]
NAMES += ["fmi", "fmi_dct", "fmi_wavelet", "fmi_edge", "vif_wavelet"]
Triple = tuple[np.ndarray, ...]


def both(triples: list[Triple], names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's values, asserted to be those of compiled code."""
    found = []
    for choice in ("numpy", "numba"):
        monkeypatch.setenv(kernel.VARIABLE, choice)
        found.append([SourcePair(a, b, choose(names)).score(fused) for fused, a, b in triples])
    for plain, compiled in zip(*found, strict=True):
        for name, value in plain.items():
            assert np.array_equal(value, compiled[name], equal_nan=True), name


def in_a_batch(*images: np.ndarray) -> Triple:
    return tuple(image[None] for image in images)


@needs_numba
@pytest.mark.parametrize("size", [(75, 82), (107, 201)])  # the second with more than one band and tile, and odd sides
def test_the_same_bits(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    fused, a, b = scene(2, size)
    flat = np.where(np.arange(size[1]) < 40, 7, a).astype(np.uint8)  # flat windows, copies and inverted windows
    whole = [in_a_batch(fused, a, b), in_a_batch(flat, a, 255 - flat), in_a_batch(flat, flat[:, ::-1], 0 * a)]
    both([*whole, in_a_batch(*(image / 1.7 for image in (fused, a, b)))], NAMES, monkeypatch)


@needs_numba
def test_the_smallest_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        side = get_metric(name).min_side
        triples = [in_a_batch(*scene(seed, (side, side + seed))) for seed in range(3)]
        both(triples, [name], monkeypatch)


@needs_numba
def test_images_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Black and flat images, for which many metrics have no value: it is NaN in both."""
    texture = scene(3, (75, 80))[1]
    black, grey = np.zeros_like(texture), np.full_like(texture, 90)
    triples = [(black, black, black), (grey, grey, grey), (texture, grey, grey), (grey, texture, black)]
    both([in_a_batch(*triple) for triple in triples], NAMES, monkeypatch)


@needs_numba
@pytest.mark.parametrize("name", ["qs", "nabf", "mef_ssim", "vif_wavelet", "fmi", "qcb"])
def test_a_process_may_change_between_two_images_of_a_pair(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cached of the sources serves either code."""
    fused, a, b = in_a_batch(*scene(4, (75, 80)))
    values = []
    for first, then in (("numpy", "numba"), ("numba", "numpy")):
        pair = SourcePair(a, b, [name])
        monkeypatch.setenv(kernel.VARIABLE, first)
        pair.score(fused)
        monkeypatch.setenv(kernel.VARIABLE, then)
        values.append(pair.score(fused // 2 + 9)[name].tolist())
    assert values[0] == values[1]


def test_windows_of_one_bright_pixel_share_nothing() -> None:
    """Their entropy is 0, and so is the information: neither is a quotient of rounding errors."""
    fused, a, b = np.zeros((3, 1, 9, 9), np.uint8)
    fused[0, 4, 4], a[0, 4, 4], b[0, 3, 4] = 9, 8, 255
    values = get_metric("fmi").function(fused, a, b)
    # equal are windows without a bright pixel: the fused image's and a's are in the same nine, b's in three more
    expected = (40 + 37) / 2 / 49
    assert values[0] == pytest.approx(expected, abs=1e-12)
