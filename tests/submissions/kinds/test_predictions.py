"""Predictions as a submission: what is recognised, what its archive may hold, and what the child finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import Problem, UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.results import schema
from fusionbench.submissions.archive import META
from fusionbench.submissions.kinds import kind_of
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.kinds.predictions import PREDICTIONS
from fusionbench.submissions.predictions import SAMPLES, pairs_of
from fusionbench.submissions.submit import check_submission
from tests.helpers.submissions import drawn_pairs, png_of, unpacked_images, zipped


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_pairs(tmp_path_factory.mktemp("pairs") / "scenes")


@pytest.fixture
def unpacked(pairs: Path, tmp_path: Path) -> Path:
    return unpacked_images(pairs, tmp_path)


@pytest.mark.parametrize(
    ("names", "title"),
    [
        ([META, SAMPLES], "predictions"),
        ([META, "images/a.png"], "predictions"),
        ([META, "weights.safetensors"], "weights"),
        ([META, "weights.safetensors", SAMPLES], "weights"),
        ([META], "weights"),
    ],
)
def test_archives_are_told_apart_by_names(names: list[str], title: str, tmp_path: Path) -> None:
    assert kind_of(zipped(tmp_path / "a.zip", dict.fromkeys(names, b""))).title == title


def test_samples_and_images_are_not_sent_together(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {META: b"{}", SAMPLES: b"x", "images/a.png": b"x"})
    (problem,) = check_submission(path).problems
    assert (problem.file, problem.rule) == ("images/a.png", f"only {META}, {SAMPLES} may be in the archive")


def test_an_archive_without_predictions(tmp_path: Path) -> None:
    (problem,) = PREDICTIONS.check(zipped(tmp_path / "a.zip", {META: b"{}"})).problems
    assert (problem.file, problem.rule) == (SAMPLES, "missing")


@pytest.mark.parametrize("words", [{"model": "mine"}, {"data": Path("pairs")}])
def test_model_and_data_are_both_named(words: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="predictions need both --model NAME and --data FOLDER"):
        PREDICTIONS.pack(PackRequest(tmp_path, tmp_path / "x.zip", "T", "S", **words))


def test_the_child_looks_at_the_files(unpacked: Path, pairs: Path, tmp_path: Path) -> None:
    """A check of a whole archive: the findings come back from the process that looked."""
    parts = {META: (unpacked / META).read_bytes()}
    parts |= {f"images/{k:02}.png": (pairs / "fused" / f"{k:02}.png").read_bytes() for k in range(4)}
    report = check_submission(zipped(tmp_path / "good.zip", parts), data=pairs)
    assert report.ok and report.about == "Theirs, predictions of theirs on pairs"
    parts["images/01.png"] = png_of(60_000, 60_000)
    (problem,) = check_submission(zipped(tmp_path / "bad.zip", parts)).problems
    assert isinstance(problem, Problem) and problem.file == "images/01.png" and "60000×60000" in problem.rule


@pytest.mark.parametrize("place", ["source", "name", "folder"])
def test_pairs_without_a_folder_of_files_go_the_whole_way(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--data pairs-demo``, the embedded source, and a data set of whole pairs, by its folder and by its name."""
    monkeypatch.chdir(tmp_path)
    data = Path("pairs-demo")
    if place != "source":
        build_dataset(load_recipe("pairs-demo"), out=tmp_path / "data")
    if place == "folder":
        data = Path("data") / "pairs-demo"
    (tmp_path / "fused").mkdir()
    demo = pairs_of("pairs-demo")
    for name, pair in zip(demo.stems, demo, strict=True):
        Image.fromarray(pair.mean(axis=0).astype(np.uint8)).save(tmp_path / "fused" / f"{name}.png")
    out = tmp_path / "p.zip"
    report = PREDICTIONS.pack(PackRequest(tmp_path / "fused", out, "Mean", "Ada", model="theirs", data=data))
    assert report.ok and report.about == "Mean, predictions of theirs on pairs-demo"
    assert PREDICTIONS.check(out, data).ok
    result = schema.load(PREDICTIONS.accept(out, Scoring(tmp_path / "results", data)))
    assert (result.status, result.identity.dataset) == ("scored", demo.identity)
    stretched = [pair.mean(axis=0).astype(np.uint8) for pair in demo]
    spread = np.mean([image.astype(float).std() for image in stretched])
    assert result.scores["sd"].mean == pytest.approx(spread, rel=1e-9)
