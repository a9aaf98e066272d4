"""Upstream images, one file per upstream data set. A new source is its file plus one line here."""

from __future__ import annotations

from fusionbench.contracts import Source
from fusionbench.registry import Registry

SOURCES: Registry[type[Source]] = Registry(
    "source",
    "fusionbench.sources",
    {
        "digits": "fusionbench.sources.digits:Digits",
        "mnist": "fusionbench.sources.mnist:Mnist",
    },
    see="fusionbench list sources",
)
