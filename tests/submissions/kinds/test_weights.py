"""Weights as a submission: packed from a run, scored again, and only for the data set that the run was trained on."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from fusionbench.core.errors import DataError, Rejected, UsageError
from fusionbench.core.plugin_files import plugins_of_this_command
from fusionbench.results import schema
from fusionbench.submissions.archive import META
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.kinds.weights import FILE, WEIGHTS, as_run, header_problems, load_once
from fusionbench.submissions.submit import accept_submission, check_submission
from fusionbench.training.loop import train
from tests.cli.runner import run
from tests.helpers.submissions import small_suite, zipped


@pytest.fixture(scope="module")
def good(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sub") / "good.zip"
    WEIGHTS.pack(PackRequest(run_folder, out, "Mean, sent in", "Ada"))
    return out


def test_a_good_one_passes(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_submission(good).ok
    code, out, _ = run(capsys, "check", good)
    assert code == 0 and "fine: Mean, sent in, mean-image on fusiondigits" in out


def test_the_archive_has_the_record_and_the_weights_of_the_run(good: Path, run_folder: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        assert archive.namelist() == [META, FILE]
        assert archive.read(FILE) == (run_folder / FILE).read_bytes()
        record = json.loads(archive.read(META))
    assert record["run"] == json.loads((run_folder / "run.json").read_text())
    assert (record["title"], record["submitter"], record["schema"]) == (
        "Mean, sent in",
        "Ada",
        "fusionbench.submission/1",
    )


def test_packing_twice_gives_the_same_bytes(good: Path, run_folder: Path, tmp_path: Path) -> None:
    WEIGHTS.pack(PackRequest(run_folder, tmp_path / "again.zip", "Mean, sent in", "Ada"))
    assert (tmp_path / "again.zip").read_bytes() == good.read_bytes()


def test_runs_that_cannot_be_packed(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --title"):
        WEIGHTS.pack(PackRequest(run_folder, tmp_path / "x.zip", submitter="Ada"))
    half = tmp_path / "half"
    half.mkdir()
    (half / "run.json").write_bytes((run_folder / "run.json").read_bytes())
    with pytest.raises(DataError, match="half: training has not finished"):
        WEIGHTS.pack(PackRequest(half, tmp_path / "x.zip", "T", "S"))
    (half / FILE).write_bytes(save({"other": np.zeros(2, np.float32)}))
    with pytest.raises(Rejected, match=f"half: cannot be submitted: {FILE}: "):
        WEIGHTS.pack(PackRequest(half, tmp_path / "x.zip", "T", "S"))
    assert not (tmp_path / "x.zip").exists()


OWN = """
import torch
from fusionbench.core.types import Preset


class Mine(torch.nn.Linear):
    title, reference, version, PRESETS = "mine", "me", "1", {"tiny": Preset(model={}, training={}, note="x")}

    def __init__(self, spec):
        super().__init__(1, 1)

    def fuse(self, batch):
        return batch.views[:, 0]
"""


def test_a_model_of_a_users_file_is_refused_alike_with_and_without_the_file(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    request = PackRequest(tmp_path / "run", tmp_path / "x.zip", "T", "S")
    said = []
    with plugins_of_this_command():
        train(f"{tmp_path}/mine.py", dataset, out=tmp_path / "run", device="cpu")
        with pytest.raises(Rejected) as refused:
            WEIGHTS.pack(request)
        said.append(str(refused.value))
    with pytest.raises(Rejected) as refused:
        WEIGHTS.pack(request)
    said.append(str(refused.value))
    assert said[0] == said[1] and not (tmp_path / "x.zip").exists()
    assert said[0].endswith("the model 'mine' is not registered; new models come with code, as a pull request")


def test_the_origin_of_the_code_is_not_the_records(good: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        archive.extractall(tmp_path)
    record = json.loads((tmp_path / META).read_text())
    record["run"]["source"] = "somewhere 9.9"
    (tmp_path / META).write_text(json.dumps(record))
    assert as_run(tmp_path).info.source.startswith("fusionbench ")


def test_headers_of_weights(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(save({"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float64)}))
    assert header_problems(path) == []
    whole = path.read_bytes()
    for content, rule in (
        (whole[:7], "not a safetensors file"),
        (whole + b"x", "its tensors do not cover the file to its end"),
        (whole[:-1], "its tensors do not cover the file to its end"),
        (struct.pack("<Q", 2) + b"[]", "not a safetensors header"),
    ):
        path.write_bytes(content)
        (problem,) = header_problems(path)
        assert problem.file == FILE and problem.rule.startswith(rule)


def test_accepting(
    good: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_suite(tmp_path / "small.toml", draws=1)
    monkeypatch.chdir(tmp_path)
    arguments = ("--suite", "small.toml", "--data", dataset, "--out", tmp_path / "results")
    code, out, err = run(capsys, "accept", good, *arguments)
    assert code == 0, err
    result = schema.load(Path(out.strip()))
    assert (result.status, result.title, result.origin.submitter) == ("verified", "Mean, sent in", "Ada")
    assert result.scores["mse_min@mean"].n == 20
    assert result.identity.model.source.startswith("fusionbench "), "said by us, not by the record"
    # what nobody measured here is declared, and no cost
    assert result.identity.training is not None
    assert result.statements["training"]["seed"] == result.identity.training.seed
    assert result.statements["training"]["cut"] is False and result.statements["train_hours"] >= 0
    assert result.cost["train_hours"] is None and result.cost["parameters"] is not None
    assert result.submission is not None and result.submission.id == check_submission(good).id
    assert not result.submission.confirmed and "environment" in result.provenance


def test_accepting_the_wrong_data(good: Path, dataset: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        record, weights = json.loads(archive.read(META)), archive.read(FILE)
    record["run"]["dataset_id"] = "0" * 64
    other = zipped(tmp_path / "a.zip", {META: json.dumps(record).encode(), FILE: weights})
    with pytest.raises(Rejected, match="trained on data set 000000000000"):
        accept_submission(other, Scoring(tmp_path / "r", dataset, "quickstart"))
    with pytest.raises(UsageError, match="is fusiondigits, the suite fusionmnist is about"):
        accept_submission(good, Scoring(tmp_path / "r", dataset, "fusionmnist"))
    with pytest.raises(UsageError, match="name the suite whose protocol applies with --suite"):
        accept_submission(good, Scoring(tmp_path / "r", dataset))
    with pytest.raises(UsageError, match=r"good.zip: name the data set's folder"):
        accept_submission(good, Scoring(tmp_path / "r", suite="quickstart"))
    assert not (tmp_path / "r").exists()


def test_imported_weights_declare_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The golden run of imported weights: its licence is named, its provenance declared, and any data will do."""
    golden = Path(__file__).parents[2] / "golden" / "formats" / "run-1.1"
    with zipfile.ZipFile(tmp_path / "draft.zip", "w"):
        pass
    WEIGHTS.write_draft(PackRequest(golden, tmp_path / "draft.zip", "Theirs", "Ada"), tmp_path / "draft.zip")
    assert "weights are of the authors of ifcnn (licence: none stated)" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "draft.zip") as archive:
        archive.extractall(tmp_path / "draft")
    record = WEIGHTS.read(tmp_path / "draft")
    assert record.schema == "fusionbench.submission/1.2"
    declared = WEIGHTS.declared(record)
    assert declared.keys() == {"imported_weights"} and declared["imported_weights"]["files"][0]["name"] == "golden.pth"
    assert WEIGHTS.row(record, "5" * 64, False).seed is None
    WEIGHTS.check_data(tmp_path / "draft.zip", record, tmp_path / "no data set at all")
    load_once(str(tmp_path / "draft"))
