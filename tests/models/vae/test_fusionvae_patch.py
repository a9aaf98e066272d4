"""FusionVAE-Patch: FusionVAE+'s latents without its full resolution, and views that reach the output pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import MODELS, create_model
from tests.helpers.learning import SPEC, batch_of

MNIST = ImageSpec(1, 32, 32, 3, (28, 28))


def count(name: str, preset: str, spec: ImageSpec) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in create_model(name, spec, preset, regularise=0.0).parameters())


@pytest.mark.parametrize(
    ("preset", "spec"),
    [("cpu", MNIST), ("tiny", MNIST), ("fusionmnist", MNIST), ("fusionceleba", ImageSpec(3, 64, 64, 3))],
)
def test_about_as_many_parameters_as_fusionvae_plus(preset: str, spec: ImageSpec) -> None:
    ours, theirs = (count(name, preset, spec) for name in ("fusionvae-patch", "fusionvae-plus"))
    assert abs(ours / theirs - 1) < 0.05, (ours, theirs)


def test_the_same_latents_as_fusionvae_plus() -> None:
    shapes = []
    for name in ("fusionvae-plus", "fusionvae-patch"):
        model, batch = create_model(name, MNIST, "cpu").eval(), batch_of(2, MNIST)
        with torch.no_grad():
            made = model.top_down(model.prepare(model.encoder(batch, True)), 2, None, posterior=True)
        shapes.append([tuple(z.shape) for _, _, z in made.groups])
        assert made.output.shape == (2, 1, 32, 32)
    assert shapes[0] == shapes[1] == [(2, 8, 4, 4), (2, 8, 8, 8), (2, 8, 8, 8)]


def test_one_path_stays_at_full_size() -> None:
    """A change of one pixel of a view moves that pixel's logit by more than the patch around it."""
    torch.manual_seed(0)
    model, batch = create_model("fusionvae-patch", SPEC, "tiny").eval(), batch_of(1)
    with torch.no_grad():
        for layer in model.enters:
            layer.weight.zero_()
        model.pixels[2].weight.normal_()
    before = model.fuse(batch)
    batch.views[0, 0, 0, 5, 6] = 1 - batch.views[0, 0, 0, 5, 6]
    with torch.no_grad():
        pooled = model._pixels(model.encoder(batch, False))
        assert pooled.shape == (1, 3, *SPEC_SIZE)
        change = (model.pixels(pooled) != 0).any()
    moved = (model.fuse(batch) - before).abs()[0, 0]
    assert change and moved[5, 6] > 10 * moved[:2, -2:].max()


def test_without_views_nothing_of_the_pixels_reaches_the_output() -> None:
    torch.manual_seed(0)
    model, batch = create_model("fusionvae-patch", SPEC, "tiny").eval(), batch_of(2)
    before = {inputs: model.fuse(batch.with_inputs(inputs)) for inputs in (0, 3)}
    with torch.no_grad():
        for parameter in model.pixels.parameters():
            parameter.normal_()
    assert torch.equal(model.fuse(batch.with_inputs(0)), before[0])
    assert not torch.equal(model.fuse(batch.with_inputs(3)), before[3])


def test_a_batch_without_any_view_learns() -> None:
    model = create_model("fusionvae-patch", SPEC, "tiny")
    terms = model.loss(batch_of(3).with_inputs(0), "main", 1)
    terms.total.backward()
    assert torch.isfinite(terms.total)


def test_bad_parameters() -> None:
    with pytest.raises(UsageError, match="fusionvae-plus"):
        create_model("fusionvae-patch", SPEC, "tiny", context=False)
    with pytest.raises(UsageError, match="cannot be halved"):
        MODELS.get("fusionvae-patch")(ImageSpec(1, 36, 36, 3), patch=8, blocks=0, groups=(2, 1))


SPEC_SIZE = (SPEC.height, SPEC.width)
