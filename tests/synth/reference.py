"""Overlays as they were made first: plane by plane, every pixel of the canvas for every paste, used or not."""

from __future__ import annotations

import numpy as np

from fusionbench.synth import augment


def paste(bank: np.ndarray, images: np.ndarray, params: np.ndarray) -> np.ndarray:
    """uint8 ``images`` (n, H, W, C) with the pastes of int16 ``params`` (n, 1 + 6·most) of ``bank`` over them."""
    _, height, width, channels = images.shape
    padded = augment.pad_edges(np.ascontiguousarray(bank))
    out = [images[..., channel].astype(np.int32) for channel in range(channels)]
    for number in range((params.shape[1] - 1) // 6):
        which, row, column, angle, grow, flip = params[:, 1 + 6 * number : 7 + 6 * number].T.astype(np.int32)
        centre = np.stack([2 * row, 2 * column], 1)
        *colours, alpha = augment.sample(padded, which, centre, angle, grow, flip, height, width)
        used = (params[:, 0] > number).astype(np.int32)[:, None, None]
        through = 255 - alpha * used
        for channel, colour in enumerate(colours):
            behind = out[channel] * through + 127
            out[channel] = colour * used + ((behind + 1 + (behind >> 8)) >> 8)
    return np.stack(out, 3).clip(0, 255).astype(np.uint8)
