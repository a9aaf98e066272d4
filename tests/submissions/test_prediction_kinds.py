"""Kinds of predictions are called like the protocols that score them, and are scored under no other."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from fusionbench.core.errors import Rejected
from fusionbench.evaluation.protocols import find_protocol
from fusionbench.submissions.prediction_kinds import PREDICTION_KINDS
from fusionbench.submissions.predictions import Predictions


def test_every_kind_of_a_record_is_there_and_is_a_protocol() -> None:
    import typing

    kinds = get_args(typing.get_type_hints(Predictions)["kind"])
    assert set(kinds) == set(PREDICTION_KINDS)
    assert [find_protocol(kind).name for kind in kinds] == list(kinds)


def test_samples_are_not_scored_under_another_protocol(tmp_path: Path) -> None:
    record = Predictions(
        kind="masked",
        title="t",
        submitter="s",
        model="m",
        dataset="fusiondigits",
        dataset_id="0" * 64,
        images=1,
    )
    with pytest.raises(
        Rejected, match=r"predictions for the protocol masked; the suite pairs-demo is scored under pairs/1"
    ):
        PREDICTION_KINDS["masked"].score(tmp_path, record, tmp_path, "pairs-demo", tmp_path / "out")
