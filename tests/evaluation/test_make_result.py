"""Results are made in one place: the id is the identity's, the provenance says who and when, a saved one is found."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import msgspec
import pytest

import fusionbench
from fusionbench.core.environment import describe_environment
from fusionbench.core.errors import DataError
from fusionbench.evaluation.make_result import make_result, saved_result
from fusionbench.results.schema import (
    DatasetIdentity,
    Identity,
    ModelIdentity,
    Origin,
    ProtocolIdentity,
    identity_id,
    save,
)

IDENTITY = Identity(
    model=ModelIdentity(name="average", version="1"),
    dataset=DatasetIdentity(name="tno", version="1.0.0", split="test", id="", n=25, ids_sha256=""),
    protocol=ProtocolIdentity(name="pairs", version="1", seed=0),
    metrics={"vif": "1"},
)


def test_the_id_is_that_of_the_identity_and_the_provenance_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/fusionbench", "run", "pairs-demo"])
    result = make_result(IDENTITY, title="average", family="trivial")
    assert result.id == identity_id(IDENTITY) and result.id.startswith("033801db3433")
    assert (result.family, result.origin, result.scores) == ("trivial", Origin(), {})
    assert result.provenance["environment"] == describe_environment() and "model_code" not in result.provenance
    assert result.provenance["fusionbench"] == fusionbench.__version__
    assert result.provenance["command"] == ["fusionbench", "run", "pairs-demo"]
    assert datetime.datetime.fromisoformat(result.provenance["started"]).tzinfo is not None
    theirs = make_result(IDENTITY, title="x", status="scored", origin=Origin(kind="submission"), with_command=False)
    assert theirs.id == result.id and "command" not in theirs.provenance
    assert (theirs.status, theirs.origin.kind) == ("scored", "submission")


def test_verified_means_that_the_weights_are_here() -> None:
    assert make_result(IDENTITY, title="average").status == "scored", "nobody knows which weights"
    model = msgspec.structs.replace(IDENTITY.model, weights_sha256="0" * 64)
    held = msgspec.structs.replace(IDENTITY, model=model)
    code = {"file": "net.py", "sha256": "1" * 64, "code": None}
    made = make_result(held, title="average", model_code=code)
    assert made.status == "verified" and made.provenance["model_code"] == code


def test_a_saved_result_is_found_by_its_identity(tmp_path: Path) -> None:
    result = make_result(IDENTITY, title="first")
    assert saved_result(result, tmp_path) is None and saved_result(result, None) is None
    folder = save(result, tmp_path)
    later = make_result(IDENTITY, title="second")
    found = saved_result(later, tmp_path)
    assert found is not None and found.title == "first"
    assert saved_result(later, tmp_path, force=True) is None
    for code in ({"file": "net.py", "sha256": "2" * 64, "code": None}, None):  # of edited code; of code of no file
        now = make_result(IDENTITY, title="third", model_code=code)
        assert (saved_result(now, tmp_path) is None) == (code is not None)
    (folder / "result.json").write_text("{}")
    with pytest.raises(DataError, match=r"result\.json"):
        saved_result(later, tmp_path)
