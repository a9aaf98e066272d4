"""Samples for loaders are the bits of the streams, in any worker, in any batch."""

from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.recipes import parse_recipe
from fusionbench.data.sampler import ResumableSampler
from fusionbench.data.torch_split import TorchSplit, as_batch, collate_padded
from tests.data.pair_datasets import images, patches, whole  # noqa: F401 fixtures
from tests.data.test_build import small_recipe
from tests.sources import folders


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(small_recipe(), out=tmp_path_factory.mktemp("digits")))


def same_as_stream(dataset: Dataset, batch: Any, split: str, epoch: int, live: bool = True) -> None:
    wanted = dataset.stream(split, live=live).batch(batch["id"], epoch)
    assert torch.equal(batch["views"], wanted.views) and batch["views"].dtype == torch.float32
    assert (wanted.target is None) == ("target" not in batch)
    if wanted.target is not None:
        assert torch.equal(batch["target"], wanted.target)


def test_it_is_a_map_style_data_set(digits: Dataset) -> None:
    data = digits.torch("test")
    assert isinstance(data, torch.utils.data.Dataset) and len(data) == 296
    sample = data[-1]
    assert {name: getattr(value, "shape", value) for name, value in sample.items()} == {
        "views": (3, 1, 32, 32),
        "target": (1, 32, 32),
        "id": 295,
        "label": int(digits.arrays("test").label[295]),
    }
    assert repr(data) == "<TorchSplit fusiondigits test: 296 samples, live, float32>"


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("epoch", [0, 3])
def test_batches_are_those_of_the_stream(digits: Dataset, live: bool, epoch: int) -> None:
    data = digits.torch("test", live=live)
    data.set_epoch(epoch)
    indices = [7, 295, 0, 64, 7]
    same_as_stream(digits, data[indices], "test", epoch, live)
    one_by_one = default_collate([data[index] for index in indices])
    for made in (one_by_one, default_collate(data.__getitems__(indices)), data[torch.tensor(indices)]):
        assert made.keys() == one_by_one.keys() and all(torch.equal(made[name], one_by_one[name]) for name in made)
    assert torch.equal(one_by_one["label"], torch.tensor(digits.arrays("test").label[indices]))


def test_uint8_is_what_is_stored(digits: Dataset) -> None:
    stored = digits.arrays("test")
    for dtype in ("uint8", torch.uint8):
        batch = digits.torch("test", dtype=dtype)[10:20]
        assert batch["views"].dtype == torch.uint8
        assert np.array_equal(batch["views"][:, :, 0].numpy(), stored.views[10:20])
        assert np.array_equal(batch["target"][:, 0].numpy(), stored.targets[10:20])
    with pytest.raises(UsageError, match="dtype 'float16'"):
        digits.torch("test", dtype=torch.float16)
    with pytest.raises(UsageError, match=r"models take float32 images, these are torch.uint8"):
        as_batch(batch)


def test_overlays_are_those_of_the_stream(tmp_path: Path) -> None:
    folders.coil(tmp_path / "coil")
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    recipe = parse_recipe(text.replace("every = 6", "every = 3").encode(), "coil.toml")
    dataset = open_dataset(build_dataset(recipe, tmp_path / "coil", tmp_path / "out"))
    data = dataset.torch("train")
    for epoch in (0, 2):
        data.set_epoch(epoch)
        same_as_stream(dataset, next(iter(DataLoader(data, batch_size=3, num_workers=1))), "train", epoch)


def test_colour_comes_with_channels_first(tmp_path: Path) -> None:
    folders.celeba(tmp_path / "celeba")
    text = (shipped_folder("datasets_recipes") / "fusionceleba.toml").read_text().partition("[expect]")[0]
    dataset = open_dataset(build_dataset(parse_recipe(text.encode(), "c.toml"), tmp_path / "celeba", tmp_path / "out"))
    split = dataset.splits[0]
    batch = dataset.torch(split, dtype="uint8")[[1, 0]]
    assert np.array_equal(batch["views"].numpy(), np.moveaxis(dataset.arrays(split).views[[1, 0]], -1, -3))
    same_as_stream(dataset, dataset.torch(split)[:2], split, 0)


def test_models_take_what_a_loader_gives(digits: Dataset) -> None:
    batch = as_batch(next(iter(DataLoader(digits.torch("test"), batch_size=5))))
    wanted = digits.stream("test").batch(range(5))
    assert all(torch.equal(getattr(batch, name), getattr(wanted, name)) for name in ("views", "present", "ids"))
    assert batch.target is not None and wanted.target is not None and torch.equal(batch.target, wanted.target)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_persistent_workers_follow_the_epoch(digits: Dataset, start: str) -> None:
    data = digits.torch("test")
    options: Any = {"num_workers": 2, "persistent_workers": True, "multiprocessing_context": start}
    loader = DataLoader(data, batch_size=50, sampler=ResumableSampler(data, seed=1), **options)
    for epoch in range(2):
        batches = list(loader)
        assert sorted(torch.cat([batch["id"] for batch in batches]).tolist()) == list(range(296))
        for batch in batches[::3]:
            same_as_stream(digits, batch, "test", epoch)


def test_a_copy_holds_no_pixels_and_opens_the_files(digits: Dataset) -> None:
    data = digits.torch("train", ids=[5, 9, 1000])
    data.set_epoch(2)
    sent = pickle.dumps(data)
    assert len(sent) < 100_000
    for other in (pickle.loads(sent), copy.deepcopy(data)):
        assert len(other) == 3 and torch.equal(other[2]["views"], data[2]["views"])
        other.set_epoch(0)
        assert data.epoch == 2, "a copy has an epoch of its own"


def test_files_that_went_are_one_line(tmp_path: Path) -> None:
    build_dataset(small_recipe(), out=tmp_path)
    dataset = open_dataset(tmp_path)
    data = pickle.loads(pickle.dumps(dataset.torch("test")))
    next(dataset.folder.glob("*test*.h5")).unlink()
    with pytest.raises(DataError, match="cannot read"):
        data[0]
    with pytest.raises(DataError, match="cannot read"):
        open_dataset(tmp_path).torch("test")


def test_a_transform_has_the_last_word(digits: Dataset) -> None:
    def brightest(sample: dict[str, Any]) -> dict[str, Any]:
        return {"id": sample["id"], "light": sample["target"].max()}

    data = digits.torch("test", transform=brightest)
    expected = torch.tensor(digits.arrays("test").targets[:].reshape(296, -1).max(1)).to(torch.float32) / 255
    for batch in (data[0:4], next(iter(DataLoader(data, batch_size=4)))):
        assert sorted(batch) == ["id", "light"] and torch.equal(batch["light"], expected[:4])


def test_some_samples_keep_their_numbers(digits: Dataset) -> None:
    part = digits["test"][100:200:10]
    data = part.torch(dtype="uint8")
    assert len(data) == 10 and data[3]["id"] == 130
    assert torch.equal(data[[3]]["views"][0], digits.torch("test", dtype="uint8")[130]["views"])
    for bad in ([296], [-1], [[0]], [0.5]):
        with pytest.raises(UsageError, match="ids"):
            digits.torch("test", ids=bad)
    for bad in (10, -11):
        with pytest.raises(IndexError, match=r"outside 0\.\.9"):
            data[bad]
    for wrong in (True, [[1]], [0.5], "0"):
        with pytest.raises(TypeError):
            data[wrong]
    assert len(data[[]]["id"]) == 0


def test_patches_are_those_of_the_stream(patches: Dataset) -> None:  # noqa: F811
    data = patches.torch("train")
    for epoch in (0, 1):
        data.set_epoch(epoch)
        batch = next(iter(DataLoader(data, batch_size=9, collate_fn=data.collate)))
        same_as_stream(patches, batch, "train", epoch)
        assert sorted(batch) == ["id", "views"]


def test_whole_pairs_are_crops_when_live_and_whole_otherwise(whole: Dataset) -> None:  # noqa: F811
    live = whole.torch("train")
    assert live.collate is default_collate
    for epoch in (0, 1):
        live.set_epoch(epoch)
        same_as_stream(whole, default_collate([live[index] for index in range(5)]), "train", epoch)
    stored = whole.torch("train", live=False, dtype="uint8")
    views = whole.arrays("train").views
    for index in range(5):
        assert np.array_equal(stored[index]["views"][:, 0].numpy(), views[index])
    for workers in (0, 2):
        loader = DataLoader(stored, batch_size=3, collate_fn=stored.collate, num_workers=workers)
        batch = next(iter(loader))
        sizes = [list(view.shape[1:]) for view in views[:3]]
        assert batch["size"].tolist() == sizes
        assert batch["views"].shape[-2:] == (max(size[0] for size in sizes), max(size[1] for size in sizes))
        for row, (height, width) in enumerate(sizes):
            assert np.array_equal(batch["views"][row, :, 0, :height, :width].numpy(), views[row])
            assert batch["views"][row].sum() == int(views[row].astype(np.int64).sum()), "nothing but zeros around it"
    with pytest.raises(RuntimeError, match="equal size"):
        next(iter(DataLoader(stored, batch_size=3)))
    assert torch.equal(stored[0:3]["views"], batch["views"])


def test_padding_takes_targets_and_floats() -> None:
    samples = [{"views": torch.ones(1, 1, 2, 3), "target": torch.ones(1, 2, 3), "id": 1}] * 2
    samples += [{"views": torch.ones(1, 1, 4, 1), "target": torch.ones(1, 4, 1), "id": 2}]
    batch = collate_padded(samples)
    assert batch["target"].shape == (3, 1, 4, 3) and batch["target"].sum((1, 2, 3)).tolist() == [6, 6, 4]
    assert batch["id"].tolist() == [1, 1, 2] and batch["size"].tolist() == [[2, 3], [2, 3], [4, 1]]


def test_bad_options_are_one_line(digits: Dataset) -> None:
    with pytest.raises(UsageError, match="split of fusiondigits"):
        digits.torch("tests")
    with pytest.raises(TypeError, match="colour"):
        digits.torch("test", colour=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a GPU")
def test_pinned_memory(digits: Dataset) -> None:
    batch = next(iter(DataLoader(digits.torch("test"), batch_size=8, pin_memory=True, num_workers=2)))
    assert batch["views"].is_pinned() and batch["target"].is_pinned()


def test_a_seeded_loader_resumes_in_mid_epoch(digits: Dataset) -> None:
    def loader(data: TorchSplit) -> tuple[Any, ResumableSampler]:
        sampler = ResumableSampler(data, seed=8)
        return DataLoader(data, batch_size=40, sampler=sampler, num_workers=2), sampler

    whole_pass, _ = loader(digits.torch("test"))
    list(whole_pass)  # epoch 0
    expected = list(whole_pass)  # epoch 1
    first, sampler = loader(digits.torch("test"))
    list(first)
    done = list(itertools.islice(first, 3))
    state = sampler.state_dict(consumed=3 * 40)
    assert sampler.state_dict()["position"] > 3 * 40, "the loader is ahead of the training"
    second, again = loader(digits.torch("test"))
    again.load_state_dict(state)
    found = done + list(second)
    assert [batch["id"].tolist() for batch in found] == [batch["id"].tolist() for batch in expected]
    assert all(torch.equal(one["views"], other["views"]) for one, other in zip(found, expected, strict=True))
