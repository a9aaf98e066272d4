"""Registered pairs of two sensors: two folders whose images are paired by stem.

View 0 is the sensor that shows what the eye does not see (infrared, CT, PET, SPECT), view 1 the one that shows
structure (visible, MRI). Both become uint8 luma by the rules of :mod:`fusionbench.core.images`.
A published layout is a class with a table of folders and nothing else.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from fusionbench.core.errors import unknown_name
from fusionbench.sources.pair_folders import Layout, PairFolders


class Pairs(PairFolders):
    """Split ``all``: any two folders, called a and b, ir and vi, or infrared and visible.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from fusionbench.sources import SOURCES
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for place in ("ir/one.png", "ir/two.png", "vi/one.png", "vi/two.jpg"):
        ...         (Path(root) / place).parent.mkdir(exist_ok=True)
        ...         Image.new("L", (8, 6), 90).save(Path(root) / place)
        ...     print(SOURCES.get("pairs")(Path(root)).stems("all"))
        ['one', 'two']
    """

    name = "pairs"
    title: ClassVar[str] = "Two folders of images, paired by stem"
    licence = "as the owner of the images states"
    citation: ClassVar[str] = "the owner of the images"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        "all": (Layout("a", "b"), Layout("ir", "vi"), Layout("infrared", "visible"))
    }


class Tno(PairFolders):
    """Split ``test``: the 25 pairs that papers score; the sequences Nato_camp, Tree and Duine where they are."""

    name = "tno"
    title: ClassVar[str] = "TNO Image Fusion Dataset, infrared and visible"
    licence = "free for research with credit to TNO"
    citation: ClassVar[str] = "A. Toet: The TNO Multiband Image Data Collection, Data in Brief 15, 2017"
    homepage = "https://doi.org/10.6084/m9.figshare.1008029"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {"test": (Layout("ir", "vi"),)} | {
        split: (Layout(f"sequences/{folder}/thermal", f"sequences/{folder}/visual", "i", "v"),)
        for split, folder in (
            ("nato-camp", "Nato_camp_sequence"),
            ("tree", "Tree_sequence"),
            ("duine", "Duine_sequence"),
        )
    }


# The pairs of RoadScene that CDDFuse scores, numbers of images called FLIR_...
_CDDFUSE_50 = (
    "00211 00977 01130 04269 04424 04484 04512 04593 04688 04722 04943 05005 05064 05105 05857 05879 "
    "05893 05914 05955 06282 06325 06392 06430 06506 06570 06795 06974 06993 06995 07190 07206 07209 "
    "07555 07732 07786 07809 07968 07970 08021 08058 08094 08202 08248 08284 08526 08592 08721 08858 "
    "09465 video_02829"
)


class RoadScene(PairFolders):
    """Split ``all``: 221 aligned road scenes; ``cddfuse-50``: the 50 of them that CDDFuse and others score."""

    name = "roadscene"
    title: ClassVar[str] = "RoadScene, infrared and visible"
    citation: ClassVar[str] = "H. Xu et al.: FusionDN, AAAI 2020"
    homepage = "https://github.com/hanna-xu/RoadScene"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        split: tuple(Layout(*place, only=only) for place in (("ir", "vi"), ("cropinfrared", "crop_LR_visible")))
        for split, only in (("all", ()), ("cddfuse-50", tuple(f"FLIR_{number}" for number in _CDDFUSE_50.split())))
    }


class Msrs(PairFolders):
    """Splits ``train`` and ``test``: road scenes by day and night."""

    name = "msrs"
    title: ClassVar[str] = "MSRS, infrared and visible"
    citation: ClassVar[str] = "L. Tang et al.: PIAFusion, Information Fusion 83-84, 2022"
    homepage = "https://github.com/Linfeng-Tang/MSRS"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        split: (Layout(f"{split}/ir", f"{split}/vi"),) for split in ("test", "train")
    }


class M3fd(PairFolders):
    """Split ``all``: the pairs of M3FD that are for fusion."""

    name = "m3fd"
    title: ClassVar[str] = "M3FD, infrared and visible"
    citation: ClassVar[str] = "J. Liu et al.: Target-aware Dual Adversarial Learning (TarDAL), CVPR 2022"
    homepage = "https://github.com/JinyuanLiu-CV/TarDAL"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        "all": (Layout("ir", "vi"), Layout("Ir", "Vis"), Layout("M3FD_Fusion/Ir", "M3FD_Fusion/Vis"))
    }


class Llvip(PairFolders):
    """Splits ``train`` and ``test``: street scenes at night."""

    name = "llvip"
    title: ClassVar[str] = "LLVIP, infrared and visible at low light"
    citation: ClassVar[str] = "X. Jia et al.: LLVIP, ICCV Workshops 2021"
    homepage = "https://bupt-ai-cz.github.io/LLVIP/"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        split: (Layout(f"infrared/{split}", f"visible/{split}"),) for split in ("test", "train")
    }


class Harvard(PairFolders):
    """Splits ``mri-ct``, ``mri-pet`` and ``mri-spect``: slices of the brain; view 1 is the MRI."""

    name = "harvard"
    title: ClassVar[str] = "Harvard Whole Brain Atlas, MRI with CT, PET and SPECT"
    licence = "no open licence found"
    citation: ClassVar[str] = "K. A. Johnson, J. A. Becker: The Whole Brain Atlas"
    homepage = "https://www.med.harvard.edu/aanlib/"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        f"mri-{other.lower()}": (Layout(f"MRI_{other}/{other}", f"MRI_{other}/MRI"),)
        for other in ("CT", "PET", "SPECT")
    }


class Vifb(PairFolders):
    """Split ``all``: the 21 pairs of the visible and infrared fusion benchmark, one of which is written in two ways."""

    name = "vifb"
    title: ClassVar[str] = "VIFB, infrared and visible"
    citation: ClassVar[str] = "X. Zhang et al.: VIFB, CVPR Workshops 2020"
    homepage = "https://github.com/xingchenzhang/VIFB"
    LAYOUTS: ClassVar[Mapping[str, Sequence[Layout]]] = {
        "all": (Layout("IR", "VI"), Layout("input/IR", "input/VI"), Layout("ir", "vi"))
    }


class PairsDemo:
    """Split ``all``: three free colour images with a synthetic thermal-like partner; nothing to fetch.

    View 1 is the luma; :meth:`colours` has the images that it is the luma of.
    View 0 has the reddish bright and the bluish dark, (2R − B + 255)/3 in whole numbers, as the
    mean of a 5×5 box, stretched to 0..255: less detail and another contrast, as thermal cameras have. It shows nothing
    about real sensors.

    Example:
        >>> import numpy as np
        >>> from fusionbench.sources import SOURCES
        >>> demo = SOURCES.get("pairs-demo")()
        >>> demo.stems("all")
        ['astronaut', 'chelsea', 'coffee']
        >>> [pair.shape for pair in demo.read_pairs("all", np.array([0, 2]))]
        [(2, 256, 256), (2, 256, 256)]
        >>> demo.colours("all", np.array([0, 2])).shape
        (2, 256, 256, 3)
    """

    name: ClassVar[str] = "pairs-demo"
    title: ClassVar[str] = "Three images of scikit-image with a synthetic thermal-like partner"
    licence: ClassVar[str] = "public domain (astronaut) and CC0 (chelsea, coffee)"
    citation: ClassVar[str] = "S. van der Walt et al.: scikit-image, PeerJ 2:e453, 2014"
    homepage: ClassVar[str] = "https://scikit-image.org"
    redistributable: ClassVar[bool] = True
    splits: Sequence[str] = ("all",)
    # top, left of 256×256 pixels
    _IMAGES: ClassVar[dict[str, tuple[int, int]]] = {"astronaut": (0, 0), "chelsea": (20, 100), "coffee": (60, 200)}

    def __init__(self, root: Path | None = None, strict: bool = False) -> None:
        pass  # the images are part of scikit-image, whatever folder is named

    @cached_property
    def _colours(self) -> np.ndarray:
        from skimage import data

        places = self._IMAGES.items()
        with warnings.catch_warnings():
            # of tqdm, in a notebook without ipywidgets: pooch imports it, and nothing is downloaded
            warnings.filterwarnings("ignore", message="IProgress not found")
            return np.stack([getattr(data, name)()[top : top + 256, left : left + 256] for name, (top, left) in places])

    @cached_property
    def _pairs(self) -> np.ndarray:
        from fusionbench.core.images import luma

        return np.stack([np.stack((_thermal(rgb), luma(rgb))) for rgb in self._colours])

    def colours(self, split: str, indices: np.ndarray) -> np.ndarray:
        """The visible images of the pairs as they are: uint8 RGB (n,256,256,3)."""
        self.stems(split)
        return self._colours[np.asarray(indices, np.int64)]

    def stems(self, split: str) -> list[str]:
        if split != "all":
            raise unknown_name(f"split of {self.name}", split, self.splits)
        return list(self._IMAGES)

    def missing(self, split: str) -> dict[str, str]:
        self.stems(split)
        return {}

    def length(self, split: str) -> int:
        return len(self.stems(split))

    def read_pairs(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        self.stems(split)
        return [self._pairs[index].copy() for index in np.asarray(indices, np.int64).tolist()]

    def views(self, split: str, indices: np.ndarray) -> np.ndarray:
        self.stems(split)
        return self._pairs[np.asarray(indices, np.int64)][..., None]

    def read(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self.views(split, indices)[:, 1].copy()

    def labels(self, split: str) -> np.ndarray | None:
        self.stems(split)
        return None

    def fingerprint(self, split: str) -> str:
        return self.fingerprint_of(self.stems(split), self._pairs)

    @staticmethod
    def fingerprint_of(stems: Iterable[str], pairs: Iterable[np.ndarray]) -> str:
        """What :meth:`fingerprint` says of such pairs, wherever they come from; it is over their pixels alone."""
        return hashlib.sha256(b"".join(pair.tobytes() for pair in pairs)).hexdigest()


def _thermal(rgb: np.ndarray) -> np.ndarray:
    """uint8 (h,w) from uint8 (h,w,3), whole numbers only."""
    wide = rgb.astype(np.int64)
    warm = np.pad((2 * wide[..., 0] - wide[..., 2] + 255) // 3, 2, mode="reflect")
    height, width = rgb.shape[:2]
    box = np.asarray(sum(warm[y : y + height, x : x + width] for y in range(5) for x in range(5)))
    low, high = box.min(), box.max()
    result: np.ndarray = ((box - low) * 255 // (high - low)).astype(np.uint8)
    return result
