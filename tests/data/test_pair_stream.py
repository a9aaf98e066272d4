"""Batches of pairs: shapes, crops and flips by epoch, the same bits on a device, and names of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data import pair_stream as pair_data
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.training.loop import train
from tests.data.pair_datasets import dataset, folder, images, kind, write_stems
from tests.helpers.pair_folders import TEXT, recipe
from tests.helpers.pairs import SMALLEST

__all__ = ["dataset", "folder", "images", "kind"]  # fixtures


@pytest.mark.parametrize("stems", [None, [], ["a"], ["a", "a"], ["a", "../b"], ["a", ""], ["a", 3], "ab"])
def test_names_that_are_none_are_refused(stems: object, images: Path, tmp_path: Path) -> None:
    made = build_dataset(recipe(), images, tmp_path)
    write_stems(made, 0, stems)
    with pytest.raises(DataError, match="does not name its 2 pairs"):
        open_dataset(made).names("train")


def test_batches(dataset: Dataset, kind: str) -> None:
    stream, spec = dataset.stream("train"), dataset.spec
    assert len(stream) == dataset.size("train")
    batch = stream.batch([3, 0, 3], epoch=2)
    assert batch.target is None and batch.views.shape == (3, 2, 1, spec.height, spec.width)
    assert batch.views.dtype == torch.float32 and batch.views.min() >= 0 and batch.views.max() <= 1
    assert batch.present.shape == (3, 2) and batch.present.all() and batch.ids.tolist() == [3, 0, 3]
    assert torch.equal(batch.views[0], batch.views[2])
    again = dataset.stream("train").batch(torch.tensor([0]), epoch=2)
    assert torch.equal(again.views[0], batch.views[1])
    stored = dataset.stream("train", live=False).batch([3, 0, 3], epoch=2).views
    assert torch.equal(stored, stream.batch(np.array([3, 0, 3]), epoch=0).views) and not torch.equal(
        stored, batch.views
    )
    if kind == "patches":
        assert np.array_equal((stored[:, :, 0] * 255).round().numpy(), dataset.arrays("train").views[[3, 0, 3]])
    else:
        pair = dataset.arrays("train").views[3]
        assert np.array_equal((stored[0, :, 0] * 255).round().numpy(), pair[:, 12:36, 8:40])
    assert stream.batch([], epoch=1).views.shape == (0, 2, 1, spec.height, spec.width)
    with pytest.raises(IndexError):
        stream.batch([dataset.size("train")])


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_code_for_devices_gives_the_same_bits(dataset: Dataset, epoch: int) -> None:
    """The path of a GPU, on CPU tensors."""
    stream, ids = dataset.stream("train"), np.array([4, 1, 0, 1])
    assert isinstance(stream, pair_data.PairStream)
    there = stream._cut_there(torch.from_numpy(ids), epoch)
    assert torch.equal(there[:, :, None].float() / 255, stream.batch(ids, epoch).views)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_a_cuda_device_gives_the_same_bits(dataset: Dataset, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_data, "ON_DEVICE", limit)
    there = dataset.stream("train", device="cuda").batch(np.arange(5), 3)
    here = dataset.stream("train").batch(np.arange(5), 3)
    assert torch.equal(there.views.cpu(), here.views) and there.present.device.type == "cuda"


def test_batches_go_through_a_split_once(dataset: Dataset) -> None:
    ids = torch.cat([batch.ids for batch in dataset.batches("train", 3)])
    assert ids.tolist() == list(range(dataset.size("train")))
    with pytest.raises(UsageError, match="came with the source"):
        dataset.view_maker("train")


def test_a_crop_larger_than_a_pair_is_refused(images: Path, tmp_path: Path) -> None:
    large = recipe(TEXT.replace("[24, 32]", "[34, 48]"))
    dataset = open_dataset(build_dataset(large, images, tmp_path))
    with pytest.raises(DataError, match=r"2 pairs of train are smaller than the crop of 34×48 \(pair 2: 33×70\)"):
        dataset.stream("train")


def test_a_model_trains_on_them(dataset: Dataset, tmp_path: Path) -> None:
    params = next(params for model, params in SMALLEST.items() if model.__name__ == "MFEIF")
    done = train("mfeif", dataset, out=tmp_path, preset="tiny", budget="3 steps", params=params, device="cpu")
    assert done.info.steps == 3 and done.info.dataset_id == dataset.id
