"""Tiny numbers count as zero while a network of pairs fuses, and not before or after."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from fusionbench.core.types import Batch, ImageSpec
from fusionbench.models import create_model
from fusionbench.models.denormals import flushed_denormals, flushes_denormals
from fusionbench.models.pairs.densefuse import DenseFuse

CPU = torch.device("cpu")
can = pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")


@can
def test_it_ends_as_it_began() -> None:
    assert not flushes_denormals()
    with flushed_denormals(CPU):
        assert flushes_denormals()
        with flushed_denormals(CPU):
            assert flushes_denormals()
        assert flushes_denormals()
    assert not flushes_denormals()
    with pytest.raises(ZeroDivisionError), flushed_denormals(CPU):
        _ = 1 / 0
    assert not flushes_denormals()


@can
def test_it_is_left_on_where_the_program_has_it_on() -> None:
    torch.set_flush_denormal(True)
    try:
        with flushed_denormals(CPU):
            assert flushes_denormals()
        assert flushes_denormals()
    finally:
        torch.set_flush_denormal(False)


@can
def test_other_threads_keep_their_own() -> None:
    inside, leave, found = threading.Event(), threading.Event(), []

    def fuse() -> None:
        with flushed_denormals(CPU):
            found.append(flushes_denormals())
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=fuse)
    thread.start()
    assert inside.wait(10)
    assert found == [True] and not flushes_denormals()
    leave.set()
    thread.join()


@can
def test_networks_fuse_with_it() -> None:
    seen = []

    class Looks(DenseFuse):
        def combine(self, a: Tensor, b: Tensor) -> Tensor:
            seen.append(flushes_denormals())
            return a

    views = torch.rand(2, 2, 1, 8, 8)
    batch = Batch(None, views, torch.ones(2, 2, dtype=torch.bool), torch.arange(2))
    Looks(ImageSpec(1, 8, 8, 2)).fuse(batch)
    assert seen == [True, True] and not flushes_denormals()


@pytest.mark.parametrize("name", ["mfeif", "dae-fuse", "seafusion"])
def test_the_image_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where features are so small that a third of them is lost."""
    torch.manual_seed(0)
    model = create_model(name, ImageSpec(1, 32, 32, 2), "tiny" if name != "seafusion" else "paper").eval()
    views = torch.rand(1, 2, 1, 32, 32) * torch.logspace(-45, 0, 32)  # columns from denormal to bright
    batch = Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))
    flushed = model.fuse(batch)
    monkeypatch.setattr("torch.set_flush_denormal", lambda on: False)
    assert (model.fuse(batch) - flushed).abs().max() < 1e-30  # an image may itself be as dark as that
