"""The checks that users run on sources of their own hold for those of fusionbench, and find what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.sources import SOURCES
from fusionbench.sources.checks import check_source
from fusionbench.sources.digits import Digits
from fusionbench.sources.pairs import Pairs
from tests.sources import folders


@pytest.mark.parametrize("name", ["digits", "pairs", "llvip", "pairs-demo"])
def test_built_in_sources_pass(name: str) -> None:
    report = check_source(SOURCES.get(name))
    assert report.ok, report.as_markdown()


def test_files_of_ones_own(tmp_path: Path) -> None:
    assert check_source(SOURCES.get("pairs"), folders.pairs(tmp_path, "a", "b")).ok


class Untold(Pairs):
    citation = ""
    homepage = "somewhere"


class Swapped(Pairs):
    def read_pairs(self, split: str, indices: np.ndarray) -> list[np.ndarray]:
        return [*super().read_pairs(split, indices)][::-1]


class Lenient(Digits):
    def _check(self, split: str) -> None:
        pass


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (Untold, "source_has_its_texts"),
        (Swapped, "images_come_in_the_order_asked_for"),
        (Lenient, "an_unknown_split_is_told"),
    ],
)
def test_what_is_wrong_is_found(cls: type, check: str) -> None:
    assert [row.check for row in check_source(cls).rows if row.verdict == "fails"] == [check]
