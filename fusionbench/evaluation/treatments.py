"""What may have been done to images before they were scored: stretching, JPEG, other greys.

``treated`` gives three decoded images in every such form. Forms that leave the three images alone are the very objects
of the plain form, so that nobody scores them twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from fusionbench.core.images import DecodedImage, GreyRule, luma

JPEG_QUALITIES = (95, 90, 75)  # OpenCV's default, a common choice, and that of libjpeg and Pillow
_BT709 = (0.2126, 0.7152, 0.0722)
_BT601 = (0.299, 0.587, 0.114)


def treated(images: Sequence[DecodedImage], rule: GreyRule = "bt601") -> Iterator[tuple[str, list[np.ndarray]]]:
    """(treatment, stacks) of the fused image and its sources: each a uint8 (1,H,W), or (3,H,W) channel by channel.

    ``rule``: how colour becomes grey where that is not the treatment. The first treatment is ``""``, the images as they
    are read; :data:`TREATMENTS` names all.

    Example:
        >>> import numpy as np
        >>> from fusionbench.core.images import DecodedImage
        >>> from fusionbench.evaluation.treatments import treated
        >>> image = DecodedImage(np.arange(64, dtype=np.uint8).reshape(8, 8), "PNG")
        >>> forms = dict(treated([image, image, image]))
        >>> [int(forms[name][0].max()) for name in ("", "images stretched to 0..255")]
        [63, 255]
    """
    plain = [image.grey(rule)[None] for image in images]
    yield "", plain
    stretched = [_filled(grey) for grey in plain]
    yield "images stretched to 0..255", stretched if _changed(stretched, plain) else plain
    fused_only = [stretched[0], *plain[1:]]
    yield "fused image stretched to 0..255", fused_only if stretched[0] is not plain[0] else plain
    for quality in JPEG_QUALITIES:
        yield f"fused image through JPEG of quality {quality}", [_jpeg(plain[0], quality), *plain[1:]]
    in_colour = any(p.pixels.ndim == 3 and not np.array_equal(luma(p.pixels), p.pixels[..., 0]) for p in images)
    for name, make in _GREYS.items():
        yield name, [make(image) for image in images] if in_colour else plain


def _changed(stacks: Sequence[np.ndarray], plain: Sequence[np.ndarray]) -> bool:
    return any(one is not other for one, other in zip(stacks, plain, strict=True))


def _filled(grey: np.ndarray) -> np.ndarray:
    """A grey image stretched to 0..255; the same object where it is flat or fills the range."""
    low, high = int(grey.min()), int(grey.max())
    if low == high or (low, high) == (0, 255):
        return grey
    result: np.ndarray = np.rint((grey.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)
    return result


def _jpeg(grey: np.ndarray, quality: int) -> np.ndarray:
    """What a JPEG file of this quality would return, (1,H,W)."""
    import cv2

    coded = cv2.imencode(".jpg", grey[0], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))[None]


def _weighted(
    weights: Sequence[float], offset: float = 0.0, whole: Callable[[np.ndarray], np.ndarray] = np.rint
) -> Callable[[DecodedImage], np.ndarray]:
    """Colour to grey by weights of red, green and blue; grey images stay."""

    def make(image: DecodedImage) -> np.ndarray:
        if image.pixels.ndim == 2:
            return image.pixels[None]
        grey: np.ndarray = whole(image.pixels @ np.asarray(weights) + offset).astype(np.uint8)[None]
        return grey

    return make


def _cut(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.floor(values + 1e-9)  # sums of products that are whole may lie just below
    return result


def _channels(image: DecodedImage) -> np.ndarray:
    """Channels one by one, (3, h, w); their scores are averaged."""
    pixels = image.pixels if image.pixels.ndim == 3 else np.repeat(image.pixels[..., None], 3, axis=-1)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


_GREYS: Mapping[str, Callable[[DecodedImage], np.ndarray]] = {
    "grey by the channels' mean": _weighted([1 / 3] * 3),
    "channel by channel (RGB for luma)": _channels,
    "luma truncated, not rounded": _weighted(_BT601, whole=_cut),
    # MATLAB's rgb2ycbcr
    "luma on 16..235": _weighted([65.481 / 255, 128.553 / 255, 24.966 / 255], 16),
    "luma of BT.709": _weighted(_BT709),
    "luma with red and blue exchanged": _weighted(_BT601[::-1]),
    "green channel": _weighted([0, 1, 0]),
}
TREATMENTS: Sequence[str] = (
    "",
    "images stretched to 0..255",
    "fused image stretched to 0..255",
    *(f"fused image through JPEG of quality {quality}" for quality in JPEG_QUALITIES),
    *_GREYS,
)
