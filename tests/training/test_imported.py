"""Provenance of imported weights: strict, bounded, and what a run with it says of its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from fusionbench.core.errors import DataError
from fusionbench.models.published_weights import released_state_sha256
from fusionbench.results.schema import TrainingIdentity
from fusionbench.training.imported import MAX_IMPORTED_FILES, ImportedFile, ImportedWeights, check_imported_state
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


def test_a_digest_is_revision_2(tmp_path: Path) -> None:
    made = info(imported=msgspec.structs.replace(WEIGHTS, state_sha256="b" * 64, state_known=True))
    made.write(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["format"] == "fusionbench.run/1.2" and record["imported"]["state_sha256"] == "b" * 64
    assert read_run(tmp_path).info == made and made.provenance["imported_weights"]["state_known"] is True


def test_what_was_imported_before_there_were_digests_is_read_as_it_is(tmp_path: Path) -> None:
    """Unless it claims to be the release; an import of a result, in which nothing is recorded, neither."""
    for record in (ImportedWeights(), ImportedWeights(files=(FILE,))):
        check_imported_state(tmp_path, "ifcnn", {}, record, {"a": torch.ones(1)})
        check_imported_state(tmp_path, "not-registered", {}, record, {"a": torch.ones(1)})
    for network in ("ifcnn", "not-registered"):
        with pytest.raises(DataError, match="calls its weights the checked release, and they are not"):
            check_imported_state(tmp_path, network, {}, WEIGHTS, {"a": torch.ones(1)})
    kept = ImportedWeights(files=(FILE,), state_sha256=released_state_sha256({"a": torch.ones(1)}))
    check_imported_state(tmp_path, "not-registered", {}, kept, {"a": torch.ones(1)})
    with pytest.raises(DataError, match="are not those that were imported"):
        check_imported_state(tmp_path, "not-registered", {}, kept, {"a": torch.zeros(1)})


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
        {"state_sha256": "B" * 64},
        {"state_known": 1},
    ],
)
def test_other_content_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    info(imported=WEIGHTS).write(tmp_path)
    path = tmp_path / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "imported": {**record["imported"], **change}}))
    with pytest.raises(DataError, match="not a fusionbench run"):
        read_run(tmp_path)
