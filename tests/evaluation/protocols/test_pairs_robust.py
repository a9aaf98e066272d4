"""The protocol pairs-robust/1: options, and pairs that cannot be degraded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.protocols import PROTOCOLS
from tests.helpers.robust_pairs import average, scored, write_pairs
from tests.sources import folders

ROBUST = PROTOCOLS.get("pairs-robust/1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def pairs(root: Path) -> PairSet:
    return open_pairs("pairs", "all", root)


def test_jobs_and_limits_do_not_change_a_pair(root: Path) -> None:
    import torch

    whole = scored(average, root)
    try:
        torch.set_num_threads(2)
        few = scored(average, root, limit=2)
    finally:
        torch.set_num_threads(1)
    for key in ("qabf@clean", "vif@shift/1:5", "qabf_seen@gaussian-noise/1:2"):
        assert few.images[key].tolist() == whole.images[key][:2].tolist()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"families": ["shfit/1"]}, "Did you mean 'shift/1'"),
        ({"families": []}, "families: empty"),
        ({"families": ["shift/1", "shift/1"]}, "twice"),
        ({"severities": [9]}, "no severity 9"),
        ({"severities": [0]}, "no severity 0"),
        ({"severities": []}, "severities: empty"),
        ({"metrics": ["sf"]}, "sf cannot be put in relation"),
        ({"metrics": ["nabf"]}, "nabf cannot be put in relation"),
        ({"metrics": ["nothing"]}, "Unknown metric"),
        ({"seen": ["vif"], "metrics": ["qabf"]}, "seen: vif is not among the metrics qabf"),
        ({"families": "shift/1"}, "families"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        ROBUST.options(**options)
    assert "\n" not in str(caught.value)


def test_a_picture_without_room_for_the_damage_is_one_line_with_its_name(tmp_path: Path) -> None:
    for side in ("a", "b"):
        folders.save(tmp_path / side / "tiny.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(FusionbenchError, match=r"^tiny: shift/1: moves a view") as caught:
        scored(average, tmp_path, severities=[5])
    assert "\n" not in str(caught.value)
