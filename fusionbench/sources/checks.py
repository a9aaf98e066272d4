"""The checks of the contract of sources, for a class of your own: ``fusionbench check my_pairs.py:MyPairs``.

Sources of pairs with a table of folders are tried on small images that are written where the table says; others need
the folder of their files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.contract_report import ContractReport, NotApplicableError, run_checks, that
from fusionbench.core.errors import FusionbenchError
from fusionbench.sources.pair_folders import Layout


@dataclass
class SourceCandidate:
    """A source class under the checks, and the folder of its files."""

    cls: type
    root: Path | None

    @cached_property
    def ready(self) -> Any:
        """One source."""
        return self.cls(self.root)


def write_demo_pairs(layouts: Mapping[str, Sequence[Layout]], root: Path) -> None:
    """Two pairs of small images a split, at the first place of a table of folders."""
    from fusionbench.core.images import encode_png
    from fusionbench.core.io import write_bytes

    rng = np.random.Generator(np.random.Philox(3))
    for places in layouts.values():
        place = places[0]
        for stem in (*place.only[:2], "one", "two")[:2] if not place.only else place.only:
            for folder, tail in ((place.a, place.a_tail), (place.b, place.b_tail)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                write_bytes(root / folder / f"{stem}{tail}.png", encode_png(rng.integers(0, 256, (24, 32), np.uint8)))


def source_has_its_texts(candidate: SourceCandidate) -> None:
    """name, title, licence and citation are texts, homepage is an address, redistributable is a truth value"""
    source = candidate.ready
    for key in ("name", "title", "licence", "citation"):
        value = getattr(source, key, None)
        that(isinstance(value, str) and value.strip() and "\n" not in value, f"{key} is missing, or not one line")
    that(source.homepage == "" or source.homepage.startswith("http"), f"homepage is {source.homepage!r}")
    that(isinstance(source.redistributable, bool), "redistributable is not True or False")
    that(len(source.splits) >= 1 and len(set(source.splits)) == len(source.splits), f"splits are {source.splits}")


def images_come_in_the_order_asked_for(candidate: SourceCandidate) -> None:
    """uint8 images, the same alone and among others"""
    source = candidate.ready
    for split in source.splits:
        count = source.length(split)
        that(count >= 1, f"the split {split!r} is empty")
        wanted = np.array([count - 1, 0, count // 2, 0])
        reads = source.read_pairs if hasattr(source, "read_pairs") else getattr(source, "read_list", source.read)
        images = list(reads(split, wanted))
        for index, image in zip(wanted, images, strict=True):
            that(image.dtype == np.uint8 and image.ndim == 3, f"{split}: gives {image.dtype} of shape {image.shape}")
            that(np.array_equal(reads(split, np.array([index]))[0], image), f"{split} {index}: differs when read alone")


def labels_have_the_length(candidate: SourceCandidate) -> None:
    """labels are int64 (length,) from 0, or None"""
    source = candidate.ready
    for split in source.splits:
        labels = source.labels(split)
        if labels is not None:
            that(labels.dtype == np.int64 and labels.shape == (source.length(split),), f"{split}: {labels.shape}")
            that(labels.min() >= 0, f"{split}: a label is negative")


def fingerprints_repeat(candidate: SourceCandidate) -> None:
    """a fingerprint has 64 letters, is the same again, and differs between splits"""
    source = candidate.ready
    prints = [source.fingerprint(split) for split in source.splits]
    that(
        prints == [candidate.cls(candidate.root).fingerprint(split) for split in source.splits],
        "differ the second time",
    )
    that(all(len(one) == 64 for one in prints), "are no sha256 in hex")
    that(len(set(prints)) == len(prints), "two splits have the same")


def an_unknown_split_is_told(candidate: SourceCandidate) -> None:
    """a split that is not there is one line for people (FusionbenchError)"""
    for call in (candidate.ready.length, candidate.ready.fingerprint):
        try:
            call("no-such-split")
        except FusionbenchError:
            continue
        that(False, f"{call.__name__}('no-such-split') raises no FusionbenchError")


def an_empty_folder_is_told(candidate: SourceCandidate) -> None:
    """a folder without the files is one line for people (FusionbenchError)"""
    if candidate.root is None:
        raise NotApplicableError("reads no files")
    with tempfile.TemporaryDirectory() as empty:
        try:
            candidate.cls(Path(empty))
        except FusionbenchError as error:
            that("\n" not in str(error), "the message has several lines")
            return
    that(False, "an empty folder is taken")


CHECKS: dict[str, Callable[[SourceCandidate], None]] = {
    check.__name__: check
    for check in (
        source_has_its_texts,
        images_come_in_the_order_asked_for,
        labels_have_the_length,
        fingerprints_repeat,
        an_unknown_split_is_told,
        an_empty_folder_is_told,
    )
}


def check_source(cls: type, root: Path | None = None) -> ContractReport:
    """Run every check on a class, with the files in ``root``; sources with a table of folders need none.

    Example:
        >>> from fusionbench.sources import SOURCES
        >>> from fusionbench.sources.checks import check_source
        >>> check_source(SOURCES.get("pairs")).ok
        True
    """
    report = ContractReport(str(getattr(cls, "name", cls.__name__)), None, kind="source")
    if root is not None or not hasattr(cls, "LAYOUTS"):
        return run_checks(report, SourceCandidate(cls, root), CHECKS)
    with tempfile.TemporaryDirectory() as folder:
        write_demo_pairs(cls.LAYOUTS, Path(folder))
        return run_checks(report, SourceCandidate(cls, Path(folder)), CHECKS)
