"""Upstream images, one file per upstream data set. A new source is its file plus one line here."""

from __future__ import annotations

from fusionbench.contracts import Source
from fusionbench.registry import Registry

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
        "mnist": "fusionbench.sources.mnist:Mnist",
        "tless": "fusionbench.sources.tless:TLess",
    },
    see="fusionbench list sources",
)
