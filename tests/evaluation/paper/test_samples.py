"""Figures of masked sets: the pixels of inputs, target, mean and draws where they belong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.masked import sample_grid
from fusionbench.evaluation.paper import samples
from fusionbench.evaluation.paper.samples import SampleOptions, draw_sample_figure
from fusionbench.models import create_model
from tests.helpers.learning import MemoryDataset
from tests.helpers.pairs import PairDataset


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two models that are not trained, in the place of runs."""
    data = MemoryDataset()
    models = {"cvae": create_model("cvae", data.spec, preset="tiny").eval(), "max": create_model("max-view", data.spec)}

    def grid(folder: Path, *args: object, **options: object) -> dict[str, np.ndarray]:
        return sample_grid(models[str(folder)], *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(samples, "sample_grid", grid)
    return ["CVAE & co=cvae", "Max=max"]


def test_every_image_is_in_its_place(runs: list[str]) -> None:
    data, options = (
        MemoryDataset(),
        SampleOptions(ids=[1, 4], inputs=[0, 2], draws=2, mean_of=5, gap=0.0, dpi=160, width=9.0),
    )
    content, record = draw_sample_figure(runs, data, "png", options)
    assert record["inputs"] == [0, 2] and [one["title"] for one in record["models"]] == ["CVAE & co", "Max"]
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE).astype(int)
    left, top = 8 * 1.25 / 72 * 3 * 160, 8 * 1.25 / 72 * 2 * 160
    side = (9.0 * 160 - left) / 8  # three inputs, target, mean, two draws, one image
    drawn = sample_grid_of(runs, data)
    for sample in range(2):
        for line, count in enumerate((0, 2)):
            y = top + (2 * sample + line) * side
            shown = [drawn["views"][sample, v] if v < count else None for v in range(3)] + [drawn["targets"][sample]]
            draws = drawn["cvae"][sample, count]
            shown += [draws.mean(axis=0).round(), draws[0], draws[1], drawn["max"][sample, count, 0]]
            for column, image in enumerate(shown):
                at = [(y + (row + 0.5) * side / 16, left + (column + 0.5 + 0.0) * side) for row in range(16)]
                for row, (down, _) in enumerate(at):
                    across = left + column * side + (5.5 / 16) * side
                    value = pixels[int(down), int(across)]
                    expected = 255 if image is None else int(image[row, 5])
                    if image is None and row in (0, 15):
                        continue  # the frame of an input that is not given
                    assert value == expected, (sample, count, column, row)


def sample_grid_of(runs: list[str], data: MemoryDataset) -> dict[str, np.ndarray]:
    found = {}
    for text in runs:
        name = text.partition("=")[2]
        grid = samples.sample_grid(Path(name), data, [1, 4], split="test", draws=5, seed=0)  # type: ignore[arg-type]
        found |= {name: grid["draws"], "views": grid["views"], "targets": grid["targets"]}
    return found


def test_without_a_choice(runs: list[str]) -> None:
    _, record = draw_sample_figure(runs[1:], MemoryDataset(), "svg")
    assert record["inputs"] == [0, 1, 2, 3] and record["ids"] == [0]
    _, record = draw_sample_figure(runs[1:], MemoryDataset(), "svg", SampleOptions(ids=[0, 1]))
    assert record["inputs"] == [1]


def test_what_is_refused(runs: list[str]) -> None:
    data = MemoryDataset()
    for options, words in (
        (SampleOptions(ids=[12]), "samples 0 to 11"),
        (SampleOptions(inputs=[4]), "0 to 3 inputs"),
    ):
        with pytest.raises(UsageError, match=words):
            draw_sample_figure(runs, data, "png", options)
    with pytest.raises(UsageError, match="TITLE=RUN"):
        draw_sample_figure(["=cvae"], data, "png")
    with pytest.raises(UsageError, match="--draws"):
        SampleOptions(draws=0)
    pairs = PairDataset()
    pairs.has_targets = False  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="paper figure"):
        draw_sample_figure(runs, pairs, "png")  # type: ignore[arg-type]
