"""Presets of the family: sizes and training parameters for each data set, after the authors' command lines.

A model adds what is its own: ``MNIST_MODEL | {"latents": 10}``. FusionVAE's sizes are the published ones, those of its
baselines have as many parameters, within 5 %.
"""

from __future__ import annotations

PAPER_TRAINING = {"optimizer": "adamax", "lr": 1e-2, "lr_min": 1e-4, "weight_decay": 3e-4, "eps": 1e-3}
MNIST_TRAINING = PAPER_TRAINING | {"epochs": 400, "warmup_epochs": 5, "batch": 1600}
CELEBA_TRAINING = PAPER_TRAINING | {"epochs": 90, "warmup_epochs": 5, "batch": 128}
TLESS_TRAINING = PAPER_TRAINING | {"epochs": 500, "warmup_epochs": 5, "batch": 64}
SMALL_TRAINING = PAPER_TRAINING | {"lr": 5e-3, "epochs": 30, "warmup_epochs": 1, "batch": 64}
TINY_TRAINING = PAPER_TRAINING | {"epochs": 12, "warmup_epochs": 0.5, "batch": 16, "inputs": "per-image"}

MNIST_MODEL = {"channels": 8, "groups": [5, 2], "cells": 1, "blocks": 2, "block_cells": 1, "regularise": 1e-2}
CELEBA_MODEL = {"channels": 32, "groups": [10, 5, 2], "cells": 2, "blocks": 1, "block_cells": 2, "regularise": 1e-1}
SMALL_MODEL = {"channels": 16, "groups": [4, 2, 1], "cells": 1, "blocks": 1, "block_cells": 2, "regularise": 1e-1}
TINY_MODEL = {"channels": 4, "groups": [2, 1], "cells": 1, "blocks": 2, "block_cells": 1, "regularise": 1e-2}

SMALL_NOTE = "half the base width for 64×64 images, minutes of a GPU; not comparable with the paper"
TINY_NOTE = "a minute on a CPU; not comparable with the paper"
