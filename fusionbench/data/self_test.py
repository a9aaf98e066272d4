"""Known answers for what a build relies on, in milliseconds: it names the part of this machine that is different.

Run at the start of every build and by ``fusionbench verify --self-test``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from fusionbench.core.errors import DataError

_PHILOX = (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)
# sha256 of what the functions below make
_VIEWS = "39fe47e78599777032fd22c96c7cfcd3e889fee7ab1fe6d82eaf2ac326a5b696"
_RESIZE = "d9027ae4a6585dec64337dcd47a30b865fc9c677c53ff5b40168c3c429e28267"
_CANNY = "76e0f951bd5c81edc9ac764710cc83708588513bf178cedc69183c46fd302512"
_PAIRS = "b7444b975f476fc03d56f4529fa2c611cafd2b79d1333b353003760d5ceed215"


def pattern(height: int, width: int, channels: int = 1) -> np.ndarray:
    """A fixed image with edges and gradients, from integers: uint8 (height, width[, channels])."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    blob = 150 * ((y - height // 2) ** 2 + 2 * (x - width // 2) ** 2 < (height // 3) ** 2)
    image = (blob + (y * 7 + x * 3 + c * 31) % 64).astype(np.uint8)
    result: np.ndarray = image if channels > 1 else image[..., 0]
    return result


def check_philox() -> str | None:
    """NumPy's Philox against the known answer of Random123 for key 0 and counter 0."""
    from fusionbench.synth.random import uint64_outputs

    found = tuple(uint64_outputs((0, 0), np.array([0]), 1)[0].tolist())
    return None if found == _PHILOX else f"NumPy {np.__version__} draws other Philox words"


def check_views() -> str | None:
    """Masks, noise and clipping."""
    return None if _views_digest() == _VIEWS else f"NumPy {np.__version__} makes other masks or noise"


def _views_digest() -> str:
    from fusionbench.synth import Ellipses, MaskedViews, Noise

    maker = MaskedViews("selftest", "train", 0, 16, 16, 1, 2, Ellipses(2, (2, 5)), Noise.of(0.25))
    made = maker.make_views(np.broadcast_to(pattern(16, 16), (8, 16, 16)), np.arange(8))
    return hashlib.sha256(made.tobytes()).hexdigest()


def check_resizing() -> str | None:
    """OpenCV's 8-bit AREA and LINEAR resizing."""
    import cv2

    return None if _resize_digest() == _RESIZE else f"OpenCV {cv2.__version__} resizes differently"


def _resize_digest() -> str:
    import cv2

    made = [
        cv2.resize(pattern(74, 74, 3), (64, 64), interpolation=cv2.INTER_AREA),
        cv2.resize(pattern(8, 8), (28, 28), interpolation=cv2.INTER_LINEAR),
    ]
    return hashlib.sha256(b"".join(image.tobytes() for image in made)).hexdigest()


def check_cutting() -> str | None:
    """Canny, closing, flood fill and components."""
    import cv2

    return None if _canny_digest() == _CANNY else f"OpenCV {cv2.__version__} cuts differently (Canny, fill)"


def _canny_digest() -> str:
    from fusionbench.synth import CannyCut

    return hashlib.sha256(CannyCut(20, 60, 5).mask(pattern(96, 80)).tobytes()).hexdigest()


def check_pairs() -> str | None:
    """Luma, the contrast of patches, and crops and flips of pairs."""
    return None if _pairs_digest() == _PAIRS else "luma, contrast or crops of pairs come out differently"


def _pairs_digest() -> str:
    from fusionbench.core.images import luma
    from fusionbench.data.pair_patches import tenths
    from fusionbench.synth import CropFlip

    pair = np.stack([pattern(48, 40), luma(pattern(48, 40, 3))])
    crops, samples, sides = CropFlip("selftest", "train", 0, 16, 24, True, True), np.arange(8), np.full(8, 1)
    made = crops.cut([pair] * 8, crops.params(samples, 48 * sides, 40 * sides, 1))
    low, high = tenths(made.reshape(-1, 16, 24))
    return hashlib.sha256(made.tobytes() + low.astype("<i8").tobytes() + high.astype("<i8").tobytes()).hexdigest()


CHECKS: dict[str, Callable[[], str | None]] = {
    "random words": check_philox,
    "masks and noise": check_views,
    "resizing": check_resizing,
    "cutting": check_cutting,
    "pairs": check_pairs,
}


def run() -> dict[str, str | None]:
    """Every check by name: None when it is right, otherwise what is different."""
    return {name: check() for name, check in CHECKS.items()}


def require() -> None:
    """Raise when this machine would make other bytes.

    Raises:
        DataError: naming the culprit.
    """
    wrong = [what for what in run().values() if what is not None]
    if wrong:
        raise DataError(f"self-test: {'; '.join(wrong)}: data made here would not be the data others have")
