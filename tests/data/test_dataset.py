"""Stored and live batches are the same function; arrays behave as NumPy arrays over many shards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data.build import build_dataset, make_arrays, open_source
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.synth import kernel
from tests.data.test_build import small_recipe


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    build_dataset(small_recipe(), out=out)
    return out


@pytest.fixture(scope="module")
def dataset(root: Path) -> Dataset:
    return open_dataset(root / "fusiondigits")


def test_facts(dataset: Dataset) -> None:
    assert (dataset.name, dataset.version, dataset.splits) == ("fusiondigits", "1.0.0", ("train", "test"))
    assert dataset.size("train") == 1501 and len(dataset.id) == 64
    assert (dataset.spec.height, dataset.spec.views, dataset.spec.likelihood_dims) == (32, 3, 784)
    labels = dataset.labels("test")
    assert labels is not None and labels.shape == (296,) and labels.dtype == np.int64
    assert dataset.arrays("test").views.shape == (296, 3, 32, 32)
    assert np.array_equal(dataset.arrays("train").index, np.arange(1501))
    assert "1,501" in repr(dataset)


def test_arrays_are_what_the_recipe_makes(dataset: Dataset) -> None:
    source = open_source(dataset.recipe, None)
    wanted = np.array([295, 0, 63, 64, 100])
    made, _ = make_arrays(dataset.recipe, source, "test", wanted)
    for name, array in made.items():
        assert np.array_equal(getattr(dataset.arrays("test"), name)[wanted], array)


@pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
def test_stored_batches_are_the_same_by_both_kernels(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    for name in ("numpy", "numba"):
        monkeypatch.setenv(kernel.VARIABLE, name)
        made[name] = dataset.stream("train", live=False).batch(torch.tensor([900, 3, 1500, 3]))
    one, other = made["numpy"], made["numba"]
    assert one.target is not None and other.target is not None and torch.equal(one.target, other.target)
    for field in ("views", "present", "ids"):
        assert torch.equal(getattr(one, field), getattr(other, field))
        assert getattr(one, field).dtype == getattr(other, field).dtype


def test_indices_outside_are_refused(dataset: Dataset) -> None:
    views = dataset.arrays("test").views
    for bad in (296, -297, [0, 296]):
        with pytest.raises(IndexError):
            views[bad]
    with pytest.raises(TypeError):
        views[1.5]
    with pytest.raises(AttributeError, match="masks"):
        dataset.arrays("test").masks  # noqa: B018
    with pytest.raises(IndexError):
        dataset.stream("test").batch([0, 296])


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])  # of another device the indices are looked at before it is asked
def test_a_batch_has_no_samples_outside_the_split(dataset: Dataset, live: bool, device: str) -> None:
    """-1 was the last target with the masks and the noise of a sample that is in no split."""
    stream = dataset.stream("test", device, live)
    for bad in ([-1], [0, -296], np.array([296]), torch.tensor([3, -1])):
        for epoch in (0, 1):
            with pytest.raises(IndexError, match=r"is outside 0\.\.295"):
                stream.batch(bad, epoch)


def test_epoch_0_of_the_live_stream_is_the_stored_views(dataset: Dataset) -> None:
    wanted = np.array([5, 4, 200, 63, 64, 5])
    live = dataset.stream("test").batch(wanted, epoch=0)
    stored = dataset.stream("test", live=False).batch(wanted, epoch=7)
    assert torch.equal(live.views, stored.views) and torch.equal(live.target, stored.target)  # type: ignore[arg-type]
    raw = np.asarray(dataset.arrays("test").views[wanted])
    assert torch.equal(live.views[:, :, 0], torch.from_numpy(raw).float() / 255)
    assert live.views.shape == (6, 3, 1, 32, 32) and live.target is not None and live.target.shape == (6, 1, 32, 32)
    assert live.present.all() and live.present.shape == (6, 3) and live.ids.tolist() == wanted.tolist()
    assert live.views.dtype == live.target.dtype == torch.float32 and live.views.max() <= 1


def test_later_epochs_have_other_views_and_the_same_targets(dataset: Dataset) -> None:
    stream = dataset.stream("train")
    first, later = stream.batch([3, 4], 0), stream.batch(torch.tensor([3, 4]), 1)
    assert torch.equal(first.target, later.target) and not torch.equal(first.views, later.views)  # type: ignore[arg-type]
    assert torch.equal(stream.batch([4], 1).views[0], later.views[1])
    assert len(stream) == 1501


def test_the_code_for_devices_gives_the_same_bytes(dataset: Dataset) -> None:
    """The path of a GPU, on CPU tensors."""
    maker = dataset.recipe.view_maker("test")
    targets, samples = dataset.arrays("test").targets[:9], np.arange(9)
    on_tensors = maker.make_views(torch.from_numpy(targets.copy()), torch.from_numpy(samples), 0)
    assert np.array_equal(on_tensors.numpy(), dataset.arrays("test").views[:9])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_gives_the_same_bytes(dataset: Dataset) -> None:
    for epoch in (0, 5):
        on_device = dataset.stream("train", device="cuda").batch(np.arange(700), epoch)
        here = dataset.stream("train").batch(np.arange(700), epoch)
        assert torch.equal(on_device.views.cpu(), here.views) and on_device.target is not None


def test_batches_go_through_a_split_once(dataset: Dataset) -> None:
    batches = list(dataset.batches("test", 100))
    assert [len(batch) for batch in batches] == [100, 100, 96]
    assert torch.cat([batch.ids for batch in batches]).tolist() == list(range(296))
    part = list(dataset.batches("test", 64, start=60, stop=70))
    assert len(part) == 1 and torch.equal(part[0].views, batches[0].views[60:70])
    for bad in ({"batch_size": 0}, {"batch_size": 1, "start": 5, "stop": 4}, {"batch_size": 1, "stop": 297}):
        with pytest.raises(UsageError):
            next(dataset.batches("test", **bad))


def test_batches_do_not_write_to_the_files(dataset: Dataset) -> None:
    batch = next(dataset.batches("test", 4))
    batch.views.zero_()
    assert dataset.arrays("test").views[:4].max() > 0


def test_ways_to_name_a_data_set(root: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (root, root / "fusiondigits", root / "fusiondigits" / "1.0.0", dataset.folder):
        assert open_dataset(name).id == dataset.id
    assert open_dataset("fusiondigits", root=root).id == dataset.id
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="fusionbench generate fusiondigits"):
        open_dataset("fusiondigits")
    with pytest.raises(DataError, match="not a finished data set"):
        open_dataset(tmp_path)
    build_dataset(small_recipe(1024), out=root)
    with pytest.raises(DataError, match="2 data sets"):
        open_dataset(root)


def test_a_shard_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    folder = build_dataset(small_recipe(), out=tmp_path)
    shards = sorted(folder.glob("*test*.h5"))
    shards[0].write_bytes(shards[1].read_bytes())
    with pytest.raises(DataError, match="fusionbench verify"):
        open_dataset(folder).arrays("test")
    shards[0].unlink()
    with pytest.raises(DataError, match="cannot read"):
        open_dataset(folder).arrays("test")


def test_an_unknown_split_gets_a_suggestion(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="'test'"):
        dataset.size("tset")


def test_a_split_of_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    """In a process of its own: 19 shards where 16 files may be open. Oracle: the same split in one shard."""
    resource = pytest.importorskip("resource")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 200
    folder = build_dataset(small_recipe(), out=tmp_path, jobs=1)
    code = (
        "import resource, sys, numpy, h5py, fusionbench.data.dataset as d\n"
        "dataset, hard = d.open_dataset(sys.argv[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (16, hard))\n"
        "print(len(dataset.split('train').shards), int(dataset.arrays('train').columns['targets'][:].sum()))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    whole = build_dataset(small_recipe(4096), out=tmp_path / "whole", jobs=1)
    expected = int(open_dataset(whole).arrays("train").columns["targets"][:].sum())
    assert run.stdout.split() == [str(len(open_dataset(folder).split("train").shards)), str(expected)], run.stderr
