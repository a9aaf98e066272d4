"""One number everywhere, for sets of one, two and five views: result, table, comparison, pages, gate, submissions."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.board import build_board
from fusionbench.board.rows import benchmarks
from fusionbench.core.figures import reconstruction_sheet, sample_sheet
from fusionbench.core.types import Batch
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.preview import draw_preview
from fusionbench.data.recipes import parse_recipe
from fusionbench.evaluation.masked import Protocol, evaluate, sample_grid
from fusionbench.evaluation.sheets import save_sheets
from fusionbench.results import schema
from fusionbench.results.comparison import compare_results
from fusionbench.results.gate import baseline_of, gate, write_baseline
from tests.cli.runner import run

IMAGES, BATCH = 23, 4
RECIPE = """
format = "fusionbench.recipe/1"
name = "digits-{views}"
version = "1.0.0"
title = "Digits with {views} views"
shard_size = 256
source.name = "digits"
splits.test = {{ source = "all", first = {images} }}
image = {{ height = 16, width = 16, channels = 1, resize = "linear", likelihood_crop = [12, 12] }}
views.count = {views}
views.masks = {{ algorithm = "ellipse/1", ellipses = 2, radius = [2, 5] }}
views.noise = {{ algorithm = "noise/1", sigma = 0.2 }}
"""
SUITE = """
format = "fusionbench.suite/1"
name = "few"
title = "Few"
dataset = "digits-{views}"
protocol = {{ draws = 1, paper_batch = {batch} }}
models = [{{ name = "mean-image" }}]
"""


class Brightest(torch.nn.Module):
    """The brightest of the given views, black without any: 8-bit values, so that a submission can hold them."""

    title, version, family = "brightest", "1", "trivial"

    def fuse(self, batch: Batch) -> torch.Tensor:
        return batch.views.masked_fill(~batch.present[:, :, None, None, None], 0.0).amax(dim=1)


class Guess(torch.nn.Module):
    """The first view at every number of inputs, with a likelihood that is a function of the data alone."""

    title, version, family = "guess", "1", "model"

    def fuse(self, batch: Batch) -> torch.Tensor:
        return batch.views[:, 0]

    def log_weights(self, batch: Batch, draws: int, seed: int) -> torch.Tensor:
        assert batch.target is not None
        error = (self.fuse(batch) - batch.target).square().flatten(1).sum(dim=1).double()
        return -(error * (1 + batch.present.sum(dim=1)))[None].repeat(draws, 1)


@dataclass
class Made:
    """A data set, the results of two models on it, and what the first should have scored."""

    views: int
    dataset: Dataset
    folder: Path
    results: Path
    expected: float


@pytest.fixture(scope="module", params=[1, 2, 5])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    views, root = request.param, tmp_path_factory.mktemp(f"views{request.param}")
    recipe = parse_recipe(RECIPE.format(views=views, images=IMAGES).encode())
    folder = build_dataset(recipe, None, root / "data")
    dataset = open_dataset(folder)
    assert dataset.spec.views == views and dataset.size("test") == IMAGES
    protocol = Protocol(draws=1, paper_batch=BATCH)
    for model in (Brightest(), Guess()):
        evaluate(model, dataset, protocol=protocol, out=root / "results", device="cpu")
    arrays = dataset.arrays("test")
    targets, given = arrays.targets[:IMAGES] / 255, arrays.views[:IMAGES] / 255
    empty = np.zeros((IMAGES, 1, *targets.shape[1:]))
    errors = [  # by NumPy from the stored bytes: (V+1, n)
        np.square(np.concatenate([empty, given[:, :count]], axis=1).max(axis=1) - targets).mean(axis=(1, 2))
        for count in range(views + 1)
    ]
    return Made(views, dataset, folder, root / "results", float(np.mean(errors)))


def numbers_of(folder: Path, key: str) -> tuple[float, list[float]]:
    """The mean of a score in ``result.json`` and its column in ``images.csv``, read without fusionbench."""
    score = json.loads((folder / "result.json").read_text())["scores"][key]
    with (folder / "images.csv").open(newline="") as stream:
        return score["mean"], [float(row[key]) for row in csv.DictReader(stream)]


@pytest.mark.parametrize("column", ["mean", "avg_paper"])
@pytest.mark.parametrize("model", ["brightest", "guess"])
def test_every_place_says_the_same(
    made: Made, model: str, column: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,) = (made.results / made.dataset.name / model).iterdir()
    for metric in ("mse_min", "nll") if model == "guess" else ("mse_min",):
        key = f"{metric}@{column}"
        number, values = numbers_of(folder, key)
        assert len(values) == IMAGES and math.fsum(values) / IMAGES == number
        if (model, column) == ("brightest", "mean"):
            assert number == pytest.approx(made.expected, rel=1e-6), "views are float32 in the model's hands"
        code, out, err = run(capsys, "compare", made.results, "--score", key, "--json", "--resamples", 200)
        assert code == 0, err
        rows = {row["title"]: row for row in json.loads(out)["rows"]}
        assert rows[model]["scores"][key]["mean"] == number
        code, out, err = run(capsys, "compare", made.results, "--score", key, "--csv", "--resamples", 200)
        assert float(next(row for row in csv.DictReader(out.splitlines()) if row["title"] == model)["mean"]) == number
        baseline = baseline_of([made.results])
        entry = next(entry for entry in baseline.entries if entry.model == model)
        assert entry.scores[key].mean == number
        write_baseline(tmp_path / "b.json", baseline)
        code, out, err = run(capsys, "gate", made.results, "-b", tmp_path / "b.json", "--json")
        cases = [case for case in json.loads(out)["cases"] if (case["model"], case["score"]) == (model, key)]
        assert code == 0 and [(case["now"], case["baseline"]) for case in cases] == [(number, number)], err
        (benchmark,) = benchmarks(made.results, 200)
        if column == "mean":  # the paper's average has a column beside the paper's rows only
            row = next(row for row in benchmark.rows if row.title == model)
            assert row.cells[key].value == number


def test_the_default_comparison_and_the_pages(made: Made, tmp_path: Path) -> None:
    assert list(compare_results([made.results], resamples=100).scores) == ["nll_bpd@mean", "mse_min@mean"]
    number, _ = numbers_of(next((made.results / made.dataset.name / "brightest").iterdir()), "mse_min@mean")
    page = build_board(made.results, tmp_path / "site", resamples=100)
    text = page.read_text()
    columns = [*map(str, range(made.views + 1)), "mean"]
    for metric in ("nll_bpd", "mse_min"):
        assert all(text.count(f'data-key="{metric}@{column}"') == 1 for column in columns)
    assert all(f" N={count} " in text for count in range(made.views + 1))
    assert f"N={made.views + 1} " not in text and "avg4" not in text
    data = tmp_path / "site" / "data"
    assert f"mse_min@mean,1,lower,{number!r}," in next(data.glob("*.csv")).read_text()
    assert "mse_min@mean ↓ (1)" in next(data.glob("*.md")).read_text()
    assert "mse\\_min@mean $\\downarrow$" in next(data.glob("*.tex")).read_text()


def test_bits_of_the_mean_are_the_mean_of_bits(made: Made) -> None:
    (folder,) = (made.results / made.dataset.name / "guess").iterdir()
    result = schema.load(folder)
    nats, bits = result.scores["nll@mean"], result.scores["nll_bpd@mean"]
    assert nats.mean is not None and bits.mean == pytest.approx(nats.mean / (144 * math.log(2)), rel=1e-14)
    compared = compare_results([made.results], scores=["nll_bpd@mean"], resamples=100)
    row = next(row for row in compared.scores["nll_bpd@mean"] if row is not None)
    assert row.mean == bits.mean


def test_a_submission_says_the_same(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Packed, checked and accepted, the same images get the same mean, up to float32 in the model's hands."""
    stream = made.dataset.stream("test", device="cpu", live=False).batch(np.arange(IMAGES), epoch=0)
    fused = [Brightest().fuse(stream.with_inputs(count)).squeeze(1) for count in range(made.views + 1)]
    samples = np.rint(255 * torch.stack(fused, dim=1)[:, :, None].numpy()).astype(np.uint8)
    np.save(tmp_path / "samples.npy", samples)
    suite = tmp_path / "few.toml"
    suite.write_text(SUITE.format(views=made.views, batch=BATCH))
    words = ("--title", "Theirs", "--submitter", "Ada", "--model", "theirs", "--data", made.folder)
    code, _, err = run(capsys, "pack", tmp_path / "samples.npy", "-o", tmp_path / "s.zip", *words)
    assert code == 0, err
    code, out, err = run(capsys, "check", tmp_path / "s.zip", "--data", made.folder)
    assert code == 0 and f"fine: Theirs, predictions of theirs on digits-{made.views}" in out
    code, out, err = run(capsys, "check", tmp_path / "s.zip")
    assert code == 1 and f"'digits-{made.views}'; give its --data" in out, "its shape is not known without the data"
    results = tmp_path / "results"
    arguments = ("--suite", suite, "--data", made.folder, "--out", results)
    code, out, err = run(capsys, "accept", tmp_path / "s.zip", *arguments)
    assert code == 0, err
    number, values = numbers_of(Path(out.strip()), "mse_min@mean")
    assert math.fsum(values) / IMAGES == number == pytest.approx(made.expected, rel=1e-12)
    row = compare_results([results], resamples=100).scores["mse_min@mean"][0]
    assert row is not None and row.mean == number
    ours = next((made.results / made.dataset.name / "brightest").iterdir())
    for key in ("mse_min@mean", "mse_min@avg_paper"):
        assert numbers_of(Path(out.strip()), key)[0] == pytest.approx(numbers_of(ours, key)[0], rel=1e-6)
    assert gate(results, baseline_of([results])).ok


def test_sheets_have_a_row_for_every_number_of_inputs(made: Made, tmp_path: Path) -> None:
    grid = sample_grid(Brightest(), made.dataset, [0, 5])
    assert grid["draws"].shape == (2, made.views + 1, 1, 16, 16) and grid["views"].shape[1] == made.views
    assert sample_sheet(grid["views"], grid["targets"], {"brightest": grid["draws"]}).startswith(b"\x89PNG")
    assert reconstruction_sheet(grid["targets"], {"brightest": grid["draws"][:, :, 0]}).startswith(b"\x89PNG")
    assert draw_preview(made.dataset, "test", [0, 1, 2]).startswith(b"\x89PNG")
    (folder,) = (made.results / made.dataset.name / "brightest").iterdir()
    result = schema.load(folder)
    schema.save(result, tmp_path, schema.load_per_image(folder))
    save_sheets(Brightest(), made.dataset, result, tmp_path)
    assert f"What brightest makes of 0 to {made.views} inputs" in result.pictures
    (tmp_path / made.dataset.name / "samples.png").write_bytes((result.folder(tmp_path) / "samples.png").read_bytes())
    text = build_board(tmp_path, tmp_path / "site", resamples=100).read_text()
    spoken = {1: "0 and 1 input", 2: "0, 1 and 2 inputs", 5: "0 to 5 inputs"}[made.views]
    assert f"<figcaption>Outputs of the models for {spoken}</figcaption>" in text
