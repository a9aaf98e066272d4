"""The encoder: sizes, packing against plain loops, the order of its features, and views that are not there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fusionbench.models import create_model
from fusionbench.models.vae.encoder import Encoder, Packing, Shape, _counted_indices, _patches
from tests.helpers.learning import SPEC, batch_of

SHAPE = Shape(channels=4, groups=(3, 2, 1), cells=2, blocks=1, block_cells=2)
PRESENT = torch.tensor([[True, False, True], [False, False, False], [False, True, False], [True, True, True]])


@pytest.mark.parametrize(
    ("shape", "top", "reduction"),
    [
        (Shape(8, (5, 2), 1, 2, 1), 64, 8),
        (Shape(32, (10, 5, 2), 2, 1, 2), 256, 8),
        (Shape(4, (1,), 1, 0, 1), 4, 1),
        (SHAPE, 32, 8),
    ],
)
def test_channels_double_and_sizes_halve_together(shape: Shape, top: int, reduction: int) -> None:
    assert (shape.top, shape.reduction) == (top, reduction)
    assert shape.top == shape.channels * shape.reduction


def rows() -> tuple[torch.Tensor, Packing]:
    return torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(1)), Packing(PRESENT)


def test_packed_rows_are_the_present_views_sample_by_sample() -> None:
    packing = Packing(PRESENT)
    assert packing.index.tolist() == [0, 2, 7, 9, 10, 11]
    assert packing.count.tolist() == [2, 0, 1, 3] and packing.any.tolist() == [True, False, True, True]


def test_padding_puts_every_row_in_its_place() -> None:
    packed, packing = rows()
    padded, row = packing.pad(packed, -7.0), 0
    assert padded.shape == (4, 3, 2, 3, 3)
    for sample in range(4):
        for view in range(3):
            if PRESENT[sample, view]:
                assert torch.equal(padded[sample, view], packed[row])
                row += 1
            else:
                assert padded[sample, view].eq(-7).all()
    assert row == len(packed)
    whole = Packing(torch.ones(2, 3, dtype=torch.bool))
    assert torch.equal(whole.pad(packed, -7.0), packed.view(2, 3, 2, 3, 3))


def test_maximum_and_sum_over_the_present_views() -> None:
    packed, packing = rows()
    groups = [packed[:2], packed[:0], packed[2:3], packed[3:]]
    for sample, own in enumerate(groups):
        largest = own.amax(0) if len(own) else torch.zeros(2, 3, 3)
        torch.testing.assert_close(packing.max(packed)[sample], largest)
        torch.testing.assert_close(packing.sum(packed)[sample], own.sum(0))
    negative = -packed.abs() - 1
    assert packing.max(negative)[[0, 2, 3]].max() <= -1, "absent views are no zeros"


def test_a_batch_without_any_view() -> None:
    packing = Packing(torch.zeros(2, 3, dtype=torch.bool))
    empty = torch.zeros(0, 2, 3, 3)
    for result in (packing.max(empty), packing.sum(empty)):
        assert result.shape == (2, 2, 3, 3) and result.eq(0).all()
    assert packing.pad(empty, 1.0).eq(1).all()


def test_the_maximum_sends_its_gradient_to_the_largest_view() -> None:
    packed, packing = rows()
    packed.requires_grad_(True)
    packing.max(packed).sum().backward()
    assert packed.grad is not None
    assert float(packed.grad[:2].sum()) == packed[0].numel() and packed.grad[2].eq(1).all()


def test_features_come_in_the_order_in_which_the_decoder_takes_them() -> None:
    """Coarsest first: one group of 2×2, two of 4×4, three of 8×8; and every resolution's last feature."""
    torch.manual_seed(0)
    groups, scales = Encoder(1, SHAPE).eval().features(torch.rand(5, 1, 16, 16))
    assert [tuple(g.shape[1:]) for g in groups] == [(32, 2, 2), *[(16, 4, 4)] * 2, *[(8, 8, 8)] * 3]
    assert [tuple(s.shape[1:]) for s in scales] == [(32, 2, 2), (16, 4, 4), (8, 8, 8), (4, 16, 16)]
    assert torch.equal(scales[1], groups[1]) and torch.equal(scales[2], groups[3])
    assert not torch.equal(scales[0], groups[0]), "the coarsest group's feature passes one more layer"


def test_images_are_scaled_to_minus_one_to_one_for_the_stem() -> None:
    encoder = Encoder(1, SHAPE).eval()
    seen: list[torch.Tensor] = []
    encoder.stem.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    encoder.features(torch.tensor([0.0, 0.25, 1.0]).view(3, 1, 1, 1).expand(3, 1, 16, 16))
    assert seen[0][:, 0, 0, 0].tolist() == [-1.0, -0.5, 1.0]


def test_absent_views_are_never_encoded() -> None:
    """NaN in an absent view reaches neither features nor batch statistics."""
    torch.manual_seed(0)
    encoder = Encoder(1, SHAPE).train()
    batch = batch_of(4)
    views = batch.views.clone()
    views[~PRESENT] = torch.nan
    encoding = encoder(replace(batch, views=views, present=PRESENT), with_target=True)
    assert len(encoding.images) == 6 and torch.equal(encoding.images, batch.views[PRESENT])
    for features in (*encoding.views, *encoding.target, *encoding.scales):
        assert torch.isfinite(features).all()
    assert all(torch.isfinite(value).all() for value in encoder.state_dict().values())


def test_views_and_target_share_the_weights() -> None:
    """In evaluation a view that is the target has the target's features."""
    torch.manual_seed(0)
    encoder, batch = Encoder(1, SHAPE).eval(), batch_of(2)
    assert batch.target is not None
    same = replace(batch, views=batch.target[:, None].expand(-1, 3, -1, -1, -1))
    encoding = encoder(same, with_target=True)
    assert encoding.target is not None
    for of_views, of_target in zip(encoding.views, encoding.target, strict=True):
        torch.testing.assert_close(of_views.unflatten(0, (2, 3))[:, 1], of_target)
    alone = encoder(same, with_target=False)
    assert alone.target is None
    torch.testing.assert_close(alone.views[0], encoding.views[0])


def test_separate_statistics_of_views_and_targets() -> None:
    """A target's features in training do not depend on the views of its batch, and each kind has its own buffers."""
    torch.manual_seed(0)
    model = create_model("fusionvae", SPEC, "tiny", separate_norm=True).train()
    shared = create_model("fusionvae", SPEC, "tiny").train()
    batch = batch_of(4)
    features = {
        (kind, n): net.encoder(batch.with_inputs(n), True).target[0].detach()
        for kind, net in (("separate", model), ("shared", shared))
        for n in (0, 3)
    }
    torch.testing.assert_close(features["separate", 0], features["separate", 3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features["shared", 0], features["shared", 3], rtol=1e-2, atol=1e-2)
    norm = next(layer for layer in model.encoder.modules() if hasattr(layer, "clean_mean"))
    assert not torch.equal(norm.clean_mean, norm.running_mean)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in shared.parameters())


def test_the_split_of_the_statistics_follows_every_pass() -> None:
    """The number of present views, set anew for each batch; without a target every row is a view."""
    encoder = Encoder(1, SHAPE, separate_norm=True).eval()
    for count, target in ((4, True), (2, False)):
        batch = batch_of(count).with_inputs(2)
        encoder(batch, with_target=target)
        assert {layer.views for layer in encoder._split} == {2 * count}
    assert not Encoder(1, SHAPE)._split


@pytest.mark.parametrize("count", [0, 3])
def test_patches_are_pixels_as_channels_even_of_no_images(count: int) -> None:
    images = torch.randn(count, 2, 8, 12)
    found = _patches(images, 4)
    assert found.shape == (count, 32, 2, 3)
    for m, c, i, j in ((0, 1, 5, 7), (2, 0, 3, 11)) if count else ():  # channel · 16 + place within the patch
        assert found[m, c * 16 + (i % 4) * 4 + j % 4, i // 4, j // 4] == images[m, c, i, j]


@pytest.mark.parametrize("count", [0, 1, 7, 12])
def test_what_the_host_counted_gives_the_same_rows_without_asking_the_device(count: int) -> None:
    """The path of a GPU: run on a CPU by hand, and on torch's meta device, where counting is an error."""
    chosen = torch.zeros(12, dtype=torch.bool)
    chosen[torch.randperm(12, generator=torch.Generator().manual_seed(count))[:count]] = True
    assert torch.equal(_counted_indices(chosen, count), chosen.nonzero().squeeze(1))
    there = Packing(chosen.view(4, 3).to("meta"), count)
    assert there.index.shape == (count,) and there.index.dtype == torch.int64
    assert there.pad(torch.zeros(count, 5, device="meta"), 0.0).shape == (4, 3, 5)
    with pytest.raises((RuntimeError, NotImplementedError)):
        Packing(chosen.view(4, 3).to("meta"))
