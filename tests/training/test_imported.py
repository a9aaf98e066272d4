"""Provenance of imported weights: strict, bounded, and what a run with it says of its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fusionbench.core.errors import DataError
from fusionbench.results.schema import TrainingIdentity
from fusionbench.training.imported import MAX_IMPORTED_FILES, ImportedFile, ImportedWeights
from fusionbench.training.run import read_run
from tests.training.test_run import info

FILE = ImportedFile(part="weights", name="a.pth", sha256="a" * 64, size=7)
WEIGHTS = ImportedWeights(files=(FILE,), homepage="https://example.org", licence="MIT", checked_release=True)


def test_a_run_of_imported_weights_knows_nothing_of_training(tmp_path: Path) -> None:
    made = info(imported=WEIGHTS, finished=True, seconds=3600.0)
    made.write(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["format"] == "fusionbench.run/1.1"
    assert read_run(tmp_path).info == made
    assert made.identity() == TrainingIdentity() and made.identity().unknown
    assert made.train_hours is None
    assert made.provenance["imported_weights"]["files"][0]["name"] == "a.pth"
    assert made.model_identity("f" * 64).weights_sha256 == "f" * 64


def test_a_trained_run_says_so_and_declares_the_old_revision(tmp_path: Path) -> None:
    made = info(finished=True, seconds=3600.0)
    made.write(tmp_path)
    fields = json.loads((tmp_path / "run.json").read_text())
    assert fields["format"] == "fusionbench.run/1" and "imported" not in fields
    assert made.train_hours == 1 and made.provenance == {} and not made.identity().unknown


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"part": "weights", "name": "a", "sha256": "A" * 64, "size": 1}]},
        {"files": [{"part": "weights", "name": "a", "sha256": "a" * 64, "size": -1}]},
        {"files": [{"part": "weights", "name": "a", "sha256": "a" * 64, "size": 1, "run": "me"}]},
        {"files": [msgspec.to_builtins(FILE)] * (MAX_IMPORTED_FILES + 1)},
        {"homepage": "x" * 2001},
        {"licence": None},
        {"trained": True},
    ],
)
def test_other_content_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    info(imported=WEIGHTS).write(tmp_path)
    path = tmp_path / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "imported": {**record["imported"], **change}}))
    with pytest.raises(DataError, match="not a fusionbench run"):
        read_run(tmp_path)
