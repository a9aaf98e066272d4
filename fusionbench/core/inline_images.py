"""Images inside a page: small PNG files as data URIs, which nothing has to be fetched for."""

from __future__ import annotations

import base64

import numpy as np

from fusionbench.core.images import encode_png


def reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """uint8 (h,w) or (h,w,3), at most ``side`` pixels high and wide: every pixel the mean of a square of the image."""
    factor = max(1, -(-max(pixels.shape[:2]) // side))
    if factor == 1:
        return pixels
    height, width = (max(1, length // factor) for length in pixels.shape[:2])
    part = pixels[: height * factor, : width * factor]  # of an image with a very short side, all of that side
    squares = part.reshape(height, part.shape[0] // height, width, part.shape[1] // width, *pixels.shape[2:])
    result: np.ndarray = squares.mean((1, 3)).round().astype(np.uint8)
    return result


def data_uri(pixels: np.ndarray, side: int = 256) -> str:
    """``data:image/png;base64,…`` of uint8 (h,w), (h,w,1) or (h,w,3), reduced to at most ``side`` pixels.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.inline_images import data_uri
        >>> data_uri(np.zeros((4, 4), np.uint8))[:32]
        'data:image/png;base64,iVBORw0KGg'
    """
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    return "data:image/png;base64," + base64.b64encode(encode_png(reduced(pixels, side), small=True)).decode("ascii")
