"""What is on disk keeps the interfaces, and training needs nothing but them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from fusionbench.core import interfaces
from fusionbench.core.interfaces import has_files, has_pairs, is_trainable
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.models import MODELS, create_model
from fusionbench.sources import SOURCES
from fusionbench.training.loop import train
from tests.data.test_build import small_recipe
from tests.helpers import pair_folders

KINDS = ("views", "whole", "patches")


@pytest.fixture(scope="module", params=KINDS)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "views":
        return open_dataset(build_dataset(small_recipe(), out=folder))
    recipe = pair_folders.recipe({"whole": pair_folders.TEXT, "patches": pair_folders.PATCHES}[request.param])
    return open_dataset(build_dataset(recipe, pair_folders.write(folder / "images"), folder / "out"))


def members(interface: type) -> list[str]:
    return [name for name in vars(interface) if not name.startswith("_")]


@pytest.mark.parametrize("interface", [interfaces.DatasetLike, interfaces.StreamLike, interfaces.Columns])
def test_data_on_disk_have_every_member_with_the_same_arguments(interface: type, dataset: Dataset) -> None:
    thing: object = dataset
    if interface is interfaces.StreamLike:
        thing = dataset.stream("train")
    if interface is interfaces.Columns:
        thing = dataset.arrays("train")
    assert members(interface)
    for name in members(interface):
        wanted, found = getattr(interface, name), getattr(thing, name)
        if inspect.isfunction(wanted):
            expected = list(inspect.signature(wanted).parameters.values())[1:]
            given = list(inspect.signature(found).parameters.values())
            assert [(p.name, p.default) for p in given] == [(p.name, p.default) for p in expected], name


def test_kind_and_targets_say_what_a_batch_has(dataset: Dataset) -> None:
    stream = dataset.stream("train")
    batch = stream.batch([0, 1], epoch=2)
    assert dataset.kind == ("views" if dataset.spec.views == 3 else "pairs")
    assert dataset.has_targets == (batch.target is not None) == ("targets" in dataset.arrays("train").columns)
    assert len(stream) == dataset.size("train") and len(batch) == 2
    assert batch.views.shape[1:] == (dataset.spec.views, dataset.spec.channels, dataset.spec.height, dataset.spec.width)
    assert [len(part) for part in dataset.batches("train", 2, stop=3)] == [2, 1]
    with pytest.raises(IndexError):
        stream.batch([dataset.size("train")])


class InMemory:
    """A data set that derives from nothing of fusionbench and has no folder, manifest or recipe."""

    name, version, id = "in-memory", "1.0.0", "0" * 64
    splits = ("train",)
    kind: Literal["views", "pairs"] = "views"
    has_targets = True
    spec = ImageSpec(channels=1, height=16, width=16, views=3)

    def size(self, split: str) -> int:
        return 12

    def arrays(self, split: str) -> Any:
        raise NotImplementedError

    def labels(self, split: str) -> np.ndarray | None:
        return None

    def names(self, split: str) -> list[str] | None:
        return None

    def stream(self, split: str, device: str | torch.device = "cpu", live: bool = True) -> InMemory:
        return self

    def batches(
        self, split: str, batch_size: int, device: str | torch.device = "cpu", start: int = 0, stop: int | None = None
    ) -> Iterator[Batch]:
        raise NotImplementedError

    def __len__(self) -> int:
        return 12

    def batch(self, indices: Any, epoch: int = 0) -> Batch:
        ids = torch.as_tensor(np.asarray(indices), dtype=torch.int64)
        targets = (ids.view(-1, 1, 1, 1) / 12).expand(-1, 1, 16, 16).clone()
        present = torch.ones(len(ids), 3, dtype=torch.bool)
        return Batch(targets, targets[:, None].expand(-1, 3, -1, -1, -1).clone(), present, ids)


def test_training_needs_nothing_but_the_interface(tmp_path: Path) -> None:
    dataset: interfaces.DatasetLike = InMemory()
    learned = train("fcn", dataset, out=tmp_path / "fcn", device="cpu", budget="2 steps", training={"batch": 4})
    assert learned.info.steps == 2 and learned.info.dataset_id == "0" * 64
    mean = train("mean-image", dataset, out=tmp_path / "mean", device="cpu").load_model(dataset.spec)
    assert hasattr(mean, "fuse")
    assert mean.fuse(InMemory().batch([0])).mean().item() == pytest.approx(sum(range(12)) / 12 / 12)


def test_abilities_of_what_is_registered() -> None:
    with_files = {name for name in SOURCES.names() if has_files(SOURCES.get(name))}
    assert {"folder", "pairs", "msrs"} <= with_files and not {"digits", "mnist", "pairs-demo"} & with_files
    demo, digits = SOURCES.get("pairs-demo")(None), SOURCES.get("digits")(None)
    assert has_pairs(demo) and not has_pairs(digits) and not has_files(digits)
    spec = ImageSpec(channels=1, height=32, width=32, views=2)
    trained = {name for name in ("mfeif", "average", "gtf") if is_trainable(create_model(name, spec))}
    assert trained == {"mfeif"}
    assert {name for name in MODELS.names() if hasattr(MODELS.get(name), "loss")} >= {"fusionvae", "dae-fuse"}
