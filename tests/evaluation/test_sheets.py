"""Sheets must show what the models make, and must not change what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.evaluation.sheets import RECONSTRUCTIONS, SAMPLES, has_sheets, reconstruction_grid, save_sheets, spread
from fusionbench.models import create_model
from fusionbench.results.schema import load, load_per_image
from fusionbench.training.loop import train
from tests.helpers.learning import SPEC, MemoryDataset

DATA = MemoryDataset(train=32, test=10)


def model(name: str, **params: object) -> torch.nn.Module:
    """A model whose decoder is not deaf to anything: every parameter is moved away from its start."""
    made = create_model(name, SPEC, "tiny", **params)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return made.eval()


def test_posterior_of_the_target_alone_needs_one_picture() -> None:
    made = model("fusionvae")
    grid = reconstruction_grid(made, DATA, [3, 1])
    assert grid["targets"].shape == (2, 16, 16) and grid["made"].shape == (2, 1, 16, 16)
    batch = DATA.stream("test", live=False).batch([3, 1])
    expected = (255 * made.reconstruct(batch.with_inputs(0))).round().byte()[:, 0].numpy()
    assert np.array_equal(grid["made"][:, 0], expected)


@pytest.mark.parametrize(
    ("name", "params"), [("fusionvae-plus", {}), ("cvae+s", {}), ("fusionvae", {"posterior": "xy"})]
)
def test_views_that_matter_get_a_picture_each(name: str, params: dict) -> None:
    made = reconstruction_grid(model(name, **params), DATA, [0])["made"]
    assert made.shape == (1, 4, 16, 16)
    assert not np.array_equal(made[:, 0], made[:, 3])


def test_a_model_without_latents_gets_the_target_as_its_view() -> None:
    grid = reconstruction_grid(create_model("first-view", SPEC), DATA, [2, 5])
    assert np.array_equal(grid["made"][:, 0], grid["targets"])
    assert reconstruction_grid(model("fcn"), DATA, [0])["made"].shape == (1, 1, 16, 16)


def test_sheets_lie_beside_the_result_and_leave_its_scores_alone(tmp_path: Path) -> None:
    run = train("cvae", DATA, out=tmp_path / "run", preset="tiny", budget="1 steps", training={"batch": 8})
    result = evaluate(run, DATA, protocol=Protocol(draws=2), out=tmp_path)
    assert not has_sheets(result, tmp_path)
    paths = save_sheets(run, DATA, result, tmp_path)
    assert [path.name for path in paths] == [SAMPLES, RECONSTRUCTIONS]
    for path in paths:
        with Image.open(path) as sheet:
            assert sheet.format == "PNG" and min(sheet.size) > 300
    again = load(result.folder(tmp_path))
    assert (again.id, again.scores) == (result.id, result.scores) and has_sheets(again, tmp_path)
    assert len(load_per_image(result.folder(tmp_path))["id"]) == 10
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in save_sheets(run, DATA, again, tmp_path)] == before
    paths[0].unlink()
    assert not has_sheets(again, tmp_path)


@pytest.mark.parametrize(("size", "count", "expected"), [(10, 3, [0, 3, 6]), (2, 5, [0, 1]), (7, 1, [0])])
def test_spread(size: int, count: int, expected: list[int]) -> None:
    assert spread(size, count) == expected
