"""Upstream images, one file per upstream data set. A new source is its file plus one line here."""

from __future__ import annotations

from fusionbench.core.registry import Registry
from fusionbench.core.types import Source

SOURCES: Registry[type[Source]] = Registry(
    "source",
    "fusionbench.sources",
    {
        "celeba": "fusionbench.sources.celeba:CelebA",
        "celeba-half": "fusionbench.sources.celeba:CelebAHalf",
        "coil": "fusionbench.sources.coil:Coil",
        "digits": "fusionbench.sources.digits:Digits",
        "folder": "fusionbench.sources.folder:Folder",
        "fusiontless-release": "fusionbench.sources.tless_release:FusionTLessRelease",
        "scenes-demo": "fusionbench.sources.scenes:ScenesDemo",
        "mnist": "fusionbench.sources.mnist:Mnist",
        "tless": "fusionbench.sources.tless:TLess",
        "lytro": "fusionbench.sources.stacks:Lytro",
        "mefb": "fusionbench.sources.stacks:Mefb",
        "mffw": "fusionbench.sources.stacks:Mffw",
        "real-mff": "fusionbench.sources.stacks:RealMff",
        "stacks": "fusionbench.sources.stacks:Stacks",
        "harvard": "fusionbench.sources.pairs:Harvard",
        "labelled-pairs": "fusionbench.sources.labelled_pairs:LabelledPairs",
        "llvip-detection": "fusionbench.sources.box_pairs:LlvipDetection",
        "m3fd-detection": "fusionbench.sources.box_pairs:M3fdDetection",
        "yolo-pairs": "fusionbench.sources.box_pairs:YoloPairs",
        "llvip": "fusionbench.sources.pairs:Llvip",
        "m3fd": "fusionbench.sources.pairs:M3fd",
        "msrs": "fusionbench.sources.pairs:Msrs",
        "msrs-half": "fusionbench.sources.labelled_pairs:MsrsHalf",
        "msrs-labelled": "fusionbench.sources.labelled_pairs:MsrsLabelled",
        "pairs": "fusionbench.sources.pairs:Pairs",
        "pairs-demo": "fusionbench.sources.pairs:PairsDemo",
        "probe-demo": "fusionbench.sources.labelled_pairs:ProbeDemo",
        "roadscene": "fusionbench.sources.pairs:RoadScene",
        "tno": "fusionbench.sources.pairs:Tno",
        "vifb": "fusionbench.sources.pairs:Vifb",
    },
    see="fusionbench list sources",
    accepts=lambda found: isinstance(found, type) and all(hasattr(found, one) for one in ("name", "licence", "length")),
)


def is_pair_source(name: str) -> bool:
    """Whether ``name`` is a registered source of pairs."""
    return name in SOURCES.names() and hasattr(SOURCES.get(name), "read_pairs")


def is_stack_source(name: str) -> bool:
    """Whether ``name`` is a registered source of stacks.

    Example:
        >>> from fusionbench.sources import is_stack_source
        >>> is_stack_source("lytro"), is_stack_source("tno")
        (True, False)
    """
    return name in SOURCES.names() and hasattr(SOURCES.get(name), "read_stack")
