"""The scoring program as Codabench runs it: ``input/res`` and ``input/ref`` in, ``output/scores.json`` out."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fusionbench.board.community.codabench import BundleRequest, export_bundle
from fusionbench.board.community.codabench_scoring import score_upload
from fusionbench.core.errors import DataError, FusionbenchError, Rejected, UsageError
from fusionbench.data.dataset import open_dataset
from tests.helpers.community import fused_pairs, packed_pairs
from tests.helpers.submissions import IMAGES, noisy_samples, small_suite

START = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bundle(BundleRequest("pairs-demo", tmp_path_factory.mktemp("bundle") / "pairs", START)).path


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    suite = small_suite(folder / "small.toml")
    return export_bundle(BundleRequest(str(suite), folder / "masked", START)).path


def inputs(bundle: Path, root: Path) -> Path:
    """``input`` with the reference data as Codabench puts them, and an empty upload."""
    (root / "input" / "res").mkdir(parents=True)
    (root / "input" / "ref").symlink_to(bundle / "reference_data")
    return root / "input"


def run(bundle: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """The command of ``metadata.yaml`` with the folders of this machine."""
    yaml = pytest.importorskip("yaml")
    command = yaml.safe_load((bundle / "scoring_program" / "metadata.yaml").read_text())["command"]
    for name, path in (("program", bundle / "scoring_program"), ("input", place), ("output", place.parent / "output")):
        command = command.replace(f"/app/{name}", str(path))
    (place.parent / "output").mkdir(exist_ok=True)
    words = [sys.executable if word == "python3" else word for word in command.split()]
    return subprocess.run(words, cwd=place.parent, capture_output=True, text=True, timeout=300)


def test_an_upload_of_fused_images(pairs: Path, tmp_path: Path) -> None:
    """The same scores as the images get from the metrics themselves."""
    from fusionbench import get_metric
    from fusionbench.core.images import read_image
    from fusionbench.evaluation.pair_sets import open_pairs

    place = inputs(pairs, tmp_path)
    fused = fused_pairs(place / "res")
    done = run(pairs, place)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    found = open_pairs("pairs-demo")
    for name in ("en", "mi"):
        values = []
        for number, stem in enumerate(found.stems):
            a, b = found.pair(number)
            image = read_image(fused / f"{stem}.png").grey()
            metric = get_metric(name)
            images = (image, a, b) if metric.needs == "pair" else (image,)
            values.append(float(metric.function(*(each[None] for each in images))[0]))
        assert scores[name] == pytest.approx(np.mean(values), rel=1e-9)
    columns = {
        line.split('"')[1] for line in (pairs / "competition.yaml").read_text().splitlines() if "  key: " in line
    }
    assert set(scores) <= columns and len(scores) >= 8


def test_an_upload_that_was_packed_or_lies_in_a_folder(pairs: Path, tmp_path: Path) -> None:
    place = inputs(pairs, tmp_path)
    packed_pairs(tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "made" / "mine.zip") as archive:
        archive.extractall(place / "res")
    packed = score_upload(place, tmp_path / "one", pairs / "scoring_program" / "suite.toml")
    other = inputs(pairs, tmp_path / "other")
    fused_pairs(other / "res" / "my results")
    (other / "res" / "__MACOSX").mkdir()
    (other / "res" / "__MACOSX" / "._a.png").write_text("x")
    assert score_upload(other, tmp_path / "two", pairs / "scoring_program" / "suite.toml") == packed


def test_samples_of_a_masked_set(masked: Path, tmp_path: Path) -> None:
    """The reference data lie in the bundle; the best of K, worked out by hand."""
    dataset = open_dataset(masked / "reference_data" / "fusiondigits")
    place = inputs(masked, tmp_path)
    samples = noisy_samples(masked / "reference_data" / "fusiondigits")
    np.save(place / "res" / "samples.npy", samples)
    done = run(masked, place)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    targets = dataset.arrays("test").targets[:IMAGES].astype(float)
    for inputs_given in range(4):
        errors = np.square((samples[:, inputs_given] - targets[:, None]) / 255).mean(axis=(2, 3)).min(axis=1)
        assert scores[f"mse_min_{inputs_given}"] == pytest.approx(errors.mean(), rel=1e-6)


@pytest.mark.parametrize("kind", ["nothing", "link", "other files", "too few", "pickle"])
def test_uploads_that_are_refused(pairs: Path, tmp_path: Path, kind: str) -> None:
    place = inputs(pairs, tmp_path)
    if kind == "link":
        (place / "res" / "astronaut.png").symlink_to("/etc/passwd")
    elif kind == "other files":
        fused_pairs(place / "res")
        (place / "res" / "run.py").write_text("x")
    elif kind == "too few":
        fused_pairs(place / "res")
        (place / "res" / "coffee.png").unlink()
    elif kind == "pickle":
        (place / "res" / "samples.npy").write_bytes(b"x")
    with pytest.raises(FusionbenchError) as raised:
        score_upload(place, tmp_path / "output", pairs / "scoring_program" / "suite.toml")
    assert isinstance(raised.value, Rejected) and not (tmp_path / "output" / "scores.json").exists()


def test_a_forged_record_is_checked_as_any_other(pairs: Path, tmp_path: Path) -> None:
    place = inputs(pairs, tmp_path)
    (place / "res" / "submission.json").write_text('{"status": "verified", "scores": {"vif": 9}}')
    done = run(pairs, place)
    assert done.returncode == 1 and done.stderr.startswith("fusionbench: ") and "Traceback" not in done.stderr
    assert not (tmp_path / "output" / "scores.json").exists()


def test_reference_data_that_are_missing(tmp_path: Path) -> None:
    bundle = export_bundle(BundleRequest("fusionmnist", tmp_path / "bundle", START)).path
    place = inputs(bundle, tmp_path)
    with pytest.raises(UsageError, match="the organisers put the data there"):
        score_upload(place, tmp_path / "output", bundle / "scoring_program" / "suite.toml")
    (place / "res").rmdir()
    (bundle / "reference_data" / "fusionmnist").mkdir()
    with pytest.raises(DataError):
        score_upload(place, tmp_path / "output", bundle / "scoring_program" / "suite.toml")
