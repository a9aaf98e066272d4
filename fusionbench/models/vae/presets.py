"""Presets of the family: sizes and training parameters for each data set, after the authors' command lines.

FusionVAE's sizes are the published ones, those of its baselines have as many parameters, within 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionbench.core.types import Preset

PAPER_TRAINING = {"optimizer": "adamax", "lr": 1e-2, "lr_min": 1e-4, "weight_decay": 3e-4, "eps": 1e-3}
MNIST_TRAINING = PAPER_TRAINING | {"epochs": 400, "warmup_epochs": 5, "batch": 1600}
CELEBA_TRAINING = PAPER_TRAINING | {"epochs": 90, "warmup_epochs": 5, "batch": 128}
TLESS_TRAINING = PAPER_TRAINING | {"epochs": 500, "warmup_epochs": 5, "batch": 64}
SMALL_TRAINING = PAPER_TRAINING | {"lr": 5e-3, "epochs": 30, "warmup_epochs": 1, "batch": 64}
SHORT_TRAINING = PAPER_TRAINING | {"lr": 4e-2, "schedule": "smooth-cosine", "inputs": "stratified", "guard": 10}
CPU_TRAINING = SHORT_TRAINING | {"epochs": 2, "warmup_epochs": 0.1, "batch": 32}
TINY_TRAINING = SHORT_TRAINING | {"epochs": 8, "warmup_epochs": 0.5, "batch": 16}

MNIST_MODEL = {"channels": 8, "groups": [5, 2], "cells": 1, "blocks": 2, "block_cells": 1, "regularise": 1e-2}
CELEBA_MODEL = {"channels": 32, "groups": [10, 5, 2], "cells": 2, "blocks": 1, "block_cells": 2, "regularise": 1e-1}
SMALL_MODEL = {"channels": 16, "groups": [4, 2, 1], "cells": 1, "blocks": 1, "block_cells": 2, "regularise": 1e-1}
TINY_MODEL = {"channels": 4, "groups": [2, 1], "cells": 1, "blocks": 2, "block_cells": 1, "regularise": 1e-2}

SMALL_NOTE = "half the base width for 64×64 images, minutes of a GPU; not comparable with the paper"
CPU_NOTE = "the reference track on CPUs: sizes of tiny, 120,000 images of FusionMNIST; not comparable with the paper"
TINY_NOTE = "a minute on a CPU; not comparable with the paper"


def create_presets(
    notes: tuple[str, str, str],
    *,
    channels: tuple[int, int] = (8, 32),
    latents: bool = True,
    training: Mapping[str, Any] | None = None,
    tiny_training: Mapping[str, Any] | None = None,
) -> dict[str, Preset]:
    """The presets of one model of the family.

    Args:
        notes: of the published sizes: FusionMNIST, FusionCelebA, FusionT-LESS.
        channels: C of FusionMNIST, and of the other two.
        latents: whether the model has latents, 10 channels for FusionMNIST, 8 for ``tiny``, else 20.
        training: training parameters of the model besides the family's.
        tiny_training: the same for ``tiny``; None means ``training``.
    """
    own = dict(training or {})
    tiny_own = own if tiny_training is None else dict(tiny_training)

    def sizes(model: Mapping[str, Any], count: int, **others: Any) -> dict[str, Any]:
        return {**model, **({"latents": count} if latents else {}), **others}

    mnist, celeba = MNIST_MODEL | {"channels": channels[0]}, CELEBA_MODEL | {"channels": channels[1]}
    return {
        "fusionmnist": Preset(sizes(mnist, 10), MNIST_TRAINING | own, notes[0]),
        "fusionceleba": Preset(sizes(celeba, 20, output="logistic-mixture"), CELEBA_TRAINING | own, notes[1]),
        "fusiontless": Preset(sizes(celeba, 20), TLESS_TRAINING | own, notes[2]),
        "small": Preset(sizes(SMALL_MODEL, 20), SMALL_TRAINING | own, SMALL_NOTE),
        "cpu": Preset(sizes(TINY_MODEL, 8), own | CPU_TRAINING, CPU_NOTE),
        "tiny": Preset(sizes(TINY_MODEL, 8), TINY_TRAINING | tiny_own, TINY_NOTE),
    }


def create_patch_presets(presets: Mapping[str, Preset]) -> dict[str, Preset]:
    """The presets of FusionVAE-Patch from those of FusionVAE+: patches and their channels in place of the blocks that
    halve the resolution, so that latent groups have the same resolutions and channels."""
    made = {}
    for name, preset in presets.items():
        model = dict(preset.model)
        blocks, channels = model["blocks"], model["channels"]
        model |= {"patch": 1 << blocks, "channels": channels << blocks, "blocks": 0, "pixel_channels": channels}
        made[name] = Preset(model, preset.training, f"groups of FusionVAE+'s preset {name}; {preset.note}")
    return made
