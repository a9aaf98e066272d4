"""Oracle: the views composed naively, sample by sample, from masks and noise that have their own oracles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.synth import Ellipses, MaskedViews, Noise, arrays, masked

GOLDEN = Path(__file__).parents[1] / "golden" / "generator.json"
MNIST = MaskedViews("fusionmnist", "train", 0, 32, 32, 1, 3, Ellipses(2, (5, 9)), Noise.of(0.25))
COLOUR = MaskedViews("colour", "train", 5, 20, 24, 3, 2, Ellipses(4, (0, 14)), Noise.of(0.1))
CELEBA = MaskedViews("fusionceleba", "train", 0, 64, 64, 3, 3, Ellipses(4, (0, 14)))
CELEBA_2 = replace(CELEBA, ellipses=Ellipses(4, (0, 14), algorithm="ellipse/2"))
MAKERS = {"mnist": MNIST, "colour": COLOUR, "celeba": CELEBA, "celeba 2": CELEBA_2}


def some_targets(maker: MaskedViews, count: int) -> np.ndarray:
    """A fixed pattern with every grey level."""
    shape = (count, maker.height, maker.width) + ((maker.channels,) if maker.channels > 1 else ())
    return ((np.arange(np.prod(shape)) * 7919) % 65521 % 256).astype(np.uint8).reshape(shape)


@pytest.mark.parametrize("maker", [MNIST, CELEBA_2], ids=["grey", "colour"])
def test_tensors_in_memory_are_left_to_the_code_for_arrays(maker: MaskedViews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "cpu_tensors_by_numpy", True)
    targets, samples = some_targets(maker, 5), np.array([0, 9, 3, 3, 1 << 33])
    wanted, params = maker.make_views(targets, samples, 4), maker.params(samples, 4)
    monkeypatch.setattr(MaskedViews, "_chunk_tensor", lambda *given: pytest.fail("the code for tensors was asked"))
    tensors = torch.from_numpy(targets), torch.from_numpy(samples)
    for made in (maker.make_views(*tensors, 4), maker.make_views(*tensors, 4, torch.from_numpy(params))):
        assert isinstance(made, torch.Tensor) and made.dtype == torch.uint8
        assert np.array_equal(made.numpy(), wanted)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_a_view_is_the_target_in_the_mask_plus_noise(maker: MaskedViews) -> None:
    targets, samples = some_targets(maker, 3), np.array([10, 11, 500])
    views = maker.make_views(targets, samples, epoch=2)
    masks = maker.masks(maker.params(samples, epoch=2))
    for view in range(maker.views):
        mask = masks[:, view] > 0
        mask = mask[..., None] if maker.channels > 1 else mask
        expected = np.where(mask, targets, 0).astype(np.int64)
        if maker.noise:
            key = maker.key("noise/1")
            drawn = maker.noise.draw(key, samples, targets[0].size, view=view, epoch=2)
            expected = expected + drawn.reshape(expected.shape)
        assert np.array_equal(views[:, view], expected.clip(0, 255))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=9), st.integers(0, 8), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_any_split_of_a_batch_gives_the_same_bytes(samples: list[int], cut: int, epoch: int) -> None:
    index = np.array(samples)
    targets = some_targets(COLOUR, len(samples))
    whole = COLOUR.make_views(targets, index, epoch)
    parts = [COLOUR.make_views(targets[part], index[part], epoch) for part in (slice(0, cut), slice(cut, None))]
    assert np.array_equal(np.concatenate(parts), whole)
    tensor = COLOUR.make_views(torch.from_numpy(targets), torch.from_numpy(index), epoch)
    assert np.array_equal(tensor.numpy(), whole)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_chunks_do_not_show(maker: MaskedViews, monkeypatch: pytest.MonkeyPatch) -> None:
    targets, samples = some_targets(maker, 11), np.arange(90, 101)
    whole = maker.make_views(targets, samples)
    monkeypatch.setattr(masked, "_CHUNK_BYTES", 2 * targets[0].size * 3)
    monkeypatch.setattr(masked, "_CHUNK_BYTES_TENSOR", 2 * targets[0].size * 4)
    assert np.array_equal(maker.make_views(targets, samples), whole)
    assert np.array_equal(maker.make_views(torch.from_numpy(targets), torch.from_numpy(samples)).numpy(), whole)


def test_no_samples_give_no_views() -> None:
    empty = some_targets(MNIST, 0)
    assert MNIST.make_views(empty, np.arange(0)).shape == (0, 3, 32, 32)
    assert MNIST.make_views(torch.from_numpy(empty), torch.arange(0)).shape == (0, 3, 32, 32)


def test_epochs_views_splits_and_seeds_differ() -> None:
    samples = np.arange(4)
    targets = np.full((4, 32, 32), 128, np.uint8)
    first = MNIST.make_views(targets, samples)
    others = [
        MNIST.make_views(targets, samples, epoch=1),
        first[:, [1, 2, 0]],
        replace(MNIST, split="test").make_views(targets, samples),
        replace(MNIST, seed=1).make_views(targets, samples),
        replace(MNIST, dataset="other").make_views(targets, samples),
    ]
    for other in others:
        assert np.mean(other != first) > 0.2


def test_the_second_kind_of_ellipses_has_random_numbers_of_its_own() -> None:
    first, second = CELEBA.params(np.arange(50)), CELEBA_2.params(np.arange(50))
    assert np.mean(first == second) < 0.1


def test_coverage_counts_unions() -> None:
    params = MNIST.params(np.arange(40))
    seen = np.maximum.accumulate(MNIST.masks(params) > 0, axis=1).sum(axis=(0, 2, 3))
    assert MNIST.covered(params) == seen.tolist()


def test_golden_digests(regen: bool) -> None:
    """Content that must never change under the ids ellipse/1, ellipse/2 and noise/1."""
    found = {}
    for name, maker in MAKERS.items():
        for epoch in (0, 3):
            views = maker.make_views(some_targets(maker, 64), np.arange(1000, 1064), epoch)
            found[f"{name} epoch {epoch}"] = hashlib.sha256(views.tobytes()).hexdigest()
    if regen:
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text())


@pytest.mark.filterwarnings("ignore")
def test_torch_compiles_around_the_generator() -> None:
    """Compiled, its integers came out differently on one processor: int64 overflows, and C++ leaves open what then."""
    graphs: list[torch.fx.GraphModule] = []

    def spy(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    def step(targets: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
        return MNIST.make_views(targets * 1, samples, 4).float() / 255

    targets, samples = some_targets(MNIST, 5), np.array([0, 1, 5, 7, 1 << 33])
    torch.compiler.reset()
    made = torch.compile(step, backend=spy)(torch.from_numpy(targets), torch.from_numpy(samples))
    assert np.array_equal(made.numpy(), MNIST.make_views(targets, samples, 4).astype(np.float32) / 255)
    called = {str(node.target) for graph in graphs for node in graph.graph.nodes if node.op.startswith("call")}
    assert called == {"<built-in function mul>", "float", "<built-in function truediv>"}
