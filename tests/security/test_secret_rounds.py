"""Cheating with public targets, with the work of others and with rounds: found, refused or ranked apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fusionbench.core.errors import RejectedError
from fusionbench.core.io import file_sha256
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.rounds import make_round, write_round, write_secret
from fusionbench.results.comparison import compare_results
from fusionbench.results.tables import as_data
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.submit import accept_submission, check_submission, pack_submission
from fusionbench.training.loop import train
from tests.helpers.submissions import IMAGES, noisy_samples, sample_record, small_suite, zipped


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run_folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("mean-image", open_dataset(dataset), out=tmp_path_factory.mktemp("runs") / "mean", device="cpu").folder


@pytest.fixture(scope="module")
def accepted(dataset: Path, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with the weights of Ada, to be copied."""
    root = tmp_path_factory.mktemp("accepted")
    pack_submission(PackRequest(run_folder, root / "mean.zip", "Mine", "Ada"))
    accept_submission(root / "mean.zip", scoring(root, dataset))
    return root / "results"


def sent(path: Path, dataset: Path, samples: np.ndarray, **words: str) -> Path:
    """Predictions that somebody packed with a program of their own."""
    from fusionbench.submissions.prediction_drafts import write_samples

    write_samples(path.with_suffix(".h5"), samples)
    parts = {"submission.json": sample_record(dataset, **words), "predictions.h5": path.with_suffix(".h5").read_bytes()}
    return zipped(path, parts)


def compressed(image: np.ndarray) -> np.ndarray:
    """The image as JPEG of quality 75."""
    import cv2

    made: np.ndarray = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 0)
    return made


def scoring(root: Path, dataset: Path, **more: Path) -> Scoring:
    return Scoring(root / "results", dataset, str(small_suite(root / "small.toml")), **more)


def test_predictions_that_are_the_targets_are_refused(tmp_path: Path, dataset: Path) -> None:
    targets = open_dataset(dataset).arrays("test").targets[:IMAGES]
    for name, copied in (("exact", targets), ("inverted", 255 - targets), ("shifted", np.roll(targets, 1, axis=2))):
        samples = np.repeat(np.repeat(copied[:, None, None], 4, axis=1), 2, axis=2)
        path = sent(tmp_path / f"{name}.zip", dataset, samples)
        report = check_submission(path, dataset)
        assert "with 0 inputs 20 of 20 images" in str(report.problems[0]) and len(report.problems) == 4, name
        with pytest.raises(RejectedError, match="are their targets"):
            accept_submission(path, scoring(tmp_path, dataset))
    assert not list((tmp_path / "results").glob("**/result.json"))


def test_predictions_are_never_ranked_with_weights(tmp_path: Path, dataset: Path, accepted: Path) -> None:
    shutil.copytree(accepted, tmp_path / "results")
    accept_submission(sent(tmp_path / "a.zip", dataset, noisy_samples(dataset)), scoring(tmp_path, dataset))
    data = as_data(compare_results([tmp_path / "results"], scores=["mse_min@mean"], resamples=200))
    assert [(row["tier"], row["scores"]["mse_min@mean"]["rank"]) for row in data["rows"]] == [
        ("weights", 1),
        ("predictions", 1),
    ]


def test_predictions_of_somebody_else_are_refused(tmp_path: Path, dataset: Path) -> None:
    samples = noisy_samples(dataset)
    accept_submission(sent(tmp_path / "a.zip", dataset, samples), scoring(tmp_path, dataset))
    rng = np.random.default_rng(5)
    altered = np.clip(samples.astype(int) + rng.integers(-3, 4, samples.shape), 0, 255).astype(np.uint8)
    words = {"submitter": "Eve", "title": "Eve's own", "model": "eves"}
    exact = sent(tmp_path / "exact.zip", dataset, samples, **words)
    near = sent(tmp_path / "near.zip", dataset, altered[:, :, ::-1], **words)
    changes = {
        "level": samples.astype(int) + 1,
        "gamma": 255 * (samples / 255) ** 1.02,
        "jpeg": np.array([compressed(image) for image in samples.reshape(-1, *samples.shape[3:])]).reshape(
            samples.shape
        ),
    }
    altered_ones = [
        sent(tmp_path / f"{name}.zip", dataset, np.clip(np.round(made), 0, 255).astype(np.uint8), **words)
        for name, made in changes.items()
    ]
    for path in altered_ones:
        assert "are nearly those of" in str(check_submission(path, dataset, tmp_path / "results").problems[0]), path
    for path, reason in ((exact, "are those of"), (near, "are nearly those of")):
        report = check_submission(path, dataset, tmp_path / "results")
        assert reason in str(report.problems[0])
        with pytest.raises(RejectedError, match="not the same submitter's"):
            accept_submission(path, scoring(tmp_path, dataset))
    other = np.random.default_rng(6).integers(0, 256, samples.shape, np.uint8)
    accept_submission(sent(tmp_path / "other.zip", dataset, other, **words), scoring(tmp_path, dataset))


def test_weights_of_somebody_else_that_were_saved_again(
    tmp_path: Path, dataset: Path, run_folder: Path, accepted: Path
) -> None:
    shutil.copytree(accepted, tmp_path / "results")
    stolen = shutil.copytree(run_folder, tmp_path / "stolen")
    save_file(load_file(stolen / "weights.safetensors"), stolen / "again", metadata={"trained": "by Eve"})
    (stolen / "again").replace(stolen / "weights.safetensors")
    assert file_sha256(stolen / "weights.safetensors") != file_sha256(run_folder / "weights.safetensors")
    run = json.loads((stolen / "run.json").read_text())
    assert run["finished"] is True
    pack_submission(PackRequest(stolen, tmp_path / "eve.zip", "Better", "Eve"))
    with pytest.raises(RejectedError, match=r"these weights are those of Mine \(submission [0-9a-f]{12}\)"):
        accept_submission(tmp_path / "eve.zip", scoring(tmp_path, dataset))
    report = check_submission(tmp_path / "eve.zip", None, tmp_path / "results")
    assert not report.ok


def test_predictions_take_no_part_in_a_round(tmp_path: Path, dataset: Path) -> None:
    suite = small_suite(tmp_path / "small.toml")
    made, secret = make_round(str(suite), IMAGES)
    write_round(tmp_path / "round.json", made)
    write_secret(tmp_path / "secret.json", secret)
    how = scoring(tmp_path, dataset, round=tmp_path / "round.json", secret=tmp_path / "secret.json")
    with pytest.raises(RejectedError, match="scores weights on views that nobody has seen"):
        accept_submission(sent(tmp_path / "a.zip", dataset, noisy_samples(dataset)), how)
