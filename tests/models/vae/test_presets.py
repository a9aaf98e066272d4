"""Presets of the FusionVAE family: the published settings, and one set of data sets for all four models."""

from __future__ import annotations

import pytest

from fusionbench.models import MODELS
from fusionbench.models.vae import presets

FAMILY = ("fusionvae", "fusionvae-plus", "cvae", "fcn")


def test_published_settings() -> None:
    """Epochs, batches and sizes of the authors' command lines."""
    published = {"MNIST": (400, 1600, 8, [5, 2]), "CELEBA": (90, 128, 32, [10, 5, 2])}
    for name, (epochs, batch, channels, groups) in published.items():
        training, model = getattr(presets, f"{name}_TRAINING"), getattr(presets, f"{name}_MODEL")
        assert (training["epochs"], training["batch"], training["optimizer"]) == (epochs, batch, "adamax")
        assert (training["lr"], training["lr_min"]) == (1e-2, 1e-4)
        assert (model["channels"], model["groups"]) == (channels, groups)


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_has_the_same_presets(name: str) -> None:
    found = MODELS.get(name).PRESETS
    assert set(found) == {"fusionmnist", "fusionceleba", "fusiontless", "small", "tiny"}
    assert (found["small"].note, found["tiny"].note) == (presets.SMALL_NOTE, presets.TINY_NOTE)
    for preset in found.values():
        assert preset.training.items() >= presets.PAPER_TRAINING.items() - {("lr", 1e-2)}
