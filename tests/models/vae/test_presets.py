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
    assert set(found) == {"fusionmnist", "fusionceleba", "fusiontless", "small", "cpu", "tiny"}
    assert (found["small"].note, found["tiny"].note) == (presets.SMALL_NOTE, presets.TINY_NOTE)
    for preset in found.values():
        assert preset.training.items() >= presets.PAPER_TRAINING.items() - {("lr", 1e-2)}
    track = dict(found["cpu"].training)  # all rows of the track have the same schedule
    assert track | presets.CPU_TRAINING == track and track["epochs"] * 60_000 == 120_000
    assert {key: found["cpu"].model[key] for key in found["tiny"].model} == found["tiny"].model


def test_patches_take_the_place_of_the_blocks_that_halve_the_resolution() -> None:
    plus, patch = (MODELS.get(name).PRESETS for name in ("fusionvae-plus", "fusionvae-patch"))
    assert set(plus) == set(patch)
    mnist = patch["fusionmnist"].model
    assert (mnist["patch"], mnist["blocks"], mnist["channels"], mnist["pixel_channels"]) == (4, 0, 32, 8)
    for name, preset in patch.items():
        assert preset.training == plus[name].training
        for key in ("groups", "cells", "latents"):
            assert preset.model[key] == plus[name].model[key]
