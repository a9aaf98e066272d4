"""Scores of submitted predictions are those of an oracle, and of our own models on the same samples."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from fusionbench.core.errors import Rejected
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.metrics.engine import score_images
from fusionbench.results import schema
from fusionbench.submissions.archive import META
from fusionbench.submissions.prediction_scores import score_predictions_once
from fusionbench.submissions.predictions import SAMPLES
from tests.cli.runner import run
from tests.helpers.submissions import (
    DRAWS,
    IMAGES,
    SIZE,
    sample_record,
    small_suite,
    unpacked_images,
)
from tests.metrics.scenes import scene


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_suite(tmp_path_factory.mktemp("suite") / "small.toml")


def test_samples_are_scored(
    dataset: Path, samples: np.ndarray, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "samples.npy", samples)
    words = ("--title", "Theirs", "--submitter", "Ada", "--model", "theirs", "--data", dataset)
    code, out, err = run(capsys, "pack", tmp_path / "samples.npy", "-o", tmp_path / "s.zip", *words)
    assert code == 0, err
    code, out, err = run(capsys, "check", tmp_path / "s.zip")
    assert code == 0 and "fine: Theirs, predictions of theirs on fusiondigits" in out
    arguments = ("--suite", suite, "--data", dataset, "--out", tmp_path / "results")
    code, out, err = run(capsys, "accept", tmp_path / "s.zip", *arguments)
    assert code == 0, err
    result, table = schema.load(Path(out.strip())), schema.load_per_image(Path(out.strip()))
    assert (result.status, result.title, result.origin.submitter) == ("scored", "Theirs", "Ada")
    assert not any(key.startswith("nll") for key in result.scores)
    targets = open_dataset(dataset).arrays("test").targets[:IMAGES].astype(float)
    for inputs in range(4):  # an oracle of its own: one image and one draw at a time
        for index in range(IMAGES):
            errors = [((samples[index, inputs, k] - targets[index]) ** 2).mean() / 255**2 for k in range(DRAWS)]
            assert table[f"mse_min@{inputs}"][index] == pytest.approx(min(errors), rel=1e-12)
    mean = np.mean([table[f"mse_min@{inputs}"] for inputs in range(4)])
    assert result.scores["mse_min@mean"].mean == pytest.approx(mean, rel=1e-12)
    assert result.scores["mse_min@3"].extra == {"draws": DRAWS}


def test_the_same_protocol_as_our_own_models(dataset: Path, suite: Path, tmp_path: Path) -> None:
    """What we score ourselves and what is sent in stand in one table; they differ by rounding to 8 bits at most."""
    from fusionbench.models import create_model
    from fusionbench.results.comparison import compare_results

    opened = open_dataset(dataset)
    model = create_model("first-view", opened.spec)
    if hasattr(model, "fit"):
        model.fit([opened.stream("train", live=False).batch(range(100))])
    batch = opened.stream("test", live=False).batch(range(IMAGES))
    given = [model.fuse(batch.with_inputs(inputs)).squeeze(1).numpy() for inputs in range(4)]
    (tmp_path / META).write_bytes(sample_record(dataset))
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file["samples"] = np.rint(255 * np.stack(given, 1)[:, :, None]).astype(np.uint8)
    score_predictions_once(str(tmp_path), str(dataset), str(suite), str(tmp_path / "results"))
    protocol = Protocol(draws=DRAWS)
    ours = evaluate(model, opened, protocol=protocol, out=tmp_path / "results", device="cpu", limit=IMAGES)
    rows = compare_results([tmp_path / "results"], scores=["mse_min@*"])
    assert {entry.title for entry in rows.entries} == {"Theirs", ours.title}
    theirs = next(iter(row for row in schema.load_folder(tmp_path / "results") if row.status == "scored"))
    for key in ("mse_min@0", "mse_min@3", "mse_min@mean", "mse_min@avg_paper"):
        assert theirs.scores[key].mean == pytest.approx(ours.scores[key].mean, abs=1e-3)
    assert theirs.scores["mse_min@3"].mean == pytest.approx(ours.scores["mse_min@3"].mean, abs=1e-7), "views are 8-bit"


def test_all_draws_but_those_of_the_protocol(dataset: Path, samples: np.ndarray, suite: Path, tmp_path: Path) -> None:
    (tmp_path / META).write_bytes(sample_record(dataset))
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file["samples"] = np.concatenate([samples, samples], axis=2)
    with pytest.raises(Rejected, match="4 draws; the protocol asks for 2"):
        score_predictions_once(str(tmp_path), str(dataset), str(suite), str(tmp_path / "results"))
    (tmp_path / META).write_bytes(sample_record(dataset, images=10))
    with pytest.raises(Rejected, match="predictions for 10 images of test; 20 of test are scored"):
        score_predictions_once(str(tmp_path), str(dataset), str(suite), str(tmp_path / "results"))


def test_one_draw_stands_for_a_deterministic_model(
    dataset: Path, samples: np.ndarray, suite: Path, tmp_path: Path
) -> None:
    (tmp_path / META).write_bytes(sample_record(dataset))
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file["samples"] = samples[:, :, :1]
    score_predictions_once(str(tmp_path), str(dataset), str(suite), str(tmp_path / "results"))
    (result,) = schema.load_folder(tmp_path / "results")
    targets = open_dataset(dataset).arrays("test").targets[:IMAGES].astype(float)
    errors = ((samples[:, 3, 0] - targets) ** 2).mean(axis=(1, 2)) / 255**2
    assert result.scores["mse_min@3"].mean == pytest.approx(errors.mean(), rel=1e-12)
    assert result.scores["mse_min@3"].extra == {"draws": 1}


def test_images_are_scored(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--title", "Theirs", "--submitter", "Ada", "--model", "theirs", "--data", pairs)
    code, out, err = run(capsys, "pack", pairs / "fused", "-o", tmp_path / "p.zip", *words)
    assert code == 0, err
    code, out, err = run(capsys, "accept", tmp_path / "p.zip", "--data", pairs, "--out", tmp_path / "results")
    assert code == 0, err
    result, table = schema.load(Path(out.strip())), schema.load_per_image(Path(out.strip()))
    assert (result.status, result.identity.protocol.name) == ("scored", "pairs")
    stack = [np.stack(images) for images in zip(*(scene(k, SIZE) for k in range(4)), strict=True)]
    for name, values in score_images(*stack).items():
        np.testing.assert_allclose(table[name], values, rtol=1e-12)
        assert result.scores[name].mean == pytest.approx(values.mean(), rel=1e-12)


def test_the_identity_has_the_files_that_were_scored(pairs: Path, tmp_path: Path) -> None:
    """Other images are another result; the title is no part of it."""
    unpacked_images(pairs, tmp_path)
    score_predictions_once(str(tmp_path), str(pairs), "", str(tmp_path / "first"))
    record = json.loads((tmp_path / META).read_text())
    (tmp_path / META).write_text(json.dumps(record | {"title": "Renamed"}))
    score_predictions_once(str(tmp_path), str(pairs), "", str(tmp_path / "second"))
    (tmp_path / "images" / "00.png").write_bytes((pairs / "ir" / "00.png").read_bytes())
    score_predictions_once(str(tmp_path), str(pairs), "", str(tmp_path / "third"))
    first, second, third = (schema.load_folder(tmp_path / name)[0] for name in ("first", "second", "third"))
    assert first.id == second.id != third.id and second.title == "Renamed"
