"""Oracles: the published sizes, scikit-image and SciPy for the losses, and the equations put together by hand.

Tolerance 1e-5 where sums are made in another order (5e-5 with float32 SSIM of flat patches); exact elsewhere.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.dae_fuse import DAEFuse
from fusionbench.models.pairs.losses import additive_intensity_loss, directed_texture_loss
from fusionbench.training.schedule import check_groups, create_training, learning_rate
from tests.helpers.pairs import SPEC, learn, pair_batch, smallest

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def scalars(model: DAEFuse, group: str, step: int) -> tuple[float, dict[str, float]]:
    loss = model.loss(pair_batch(), group, step)
    return float(loss.total.detach()), {name: float(value) for name, value in loss.log.items()}


@pytest.mark.parametrize(("base", "low", "fusing"), [("vit", 5_326_592, 6_463_408), ("channel", 363_016, 1_499_832)])
def test_paper_sizes(base: str, low: int, fusing: int) -> None:
    model = DAEFuse(SPEC, **DAEFuse.PRESETS["paper"].model, base=base)
    assert count(model.encoder.stem) + count(model.encoder.shallow) == 181_600
    assert count(model.encoder.detail) == 591_872
    assert count(model.encoder.base) == low
    assert count(model.decoder) - count(model.decoder.reduce_pair) == 207_936
    assert count(model) - count(model.critics) == fusing
    assert count(model.critics) == 4 * 389_057


def test_one_cross_attention_for_both_directions() -> None:
    two, one = (smallest(DAEFuse, share_cross_attention=share) for share in (False, True))
    assert count(two.cross) == 2 * count(one.cross) > 0
    one.fuse(pair_batch())


def test_phase_two_starts_at_the_decoded_average_of_the_features() -> None:
    model, batch = smallest(DAEFuse).eval(), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    average = (torch.cat(model.encoder(a), 1) + torch.cat(model.encoder(b), 1)) / 2
    torch.testing.assert_close(model.combine(a, b), model.decoder(average), **CLOSE)
    torch.testing.assert_close(model.combine(a, a), model.reconstruct(a), **CLOSE)


def numpy_content(images: Tensor, made: Tensor) -> float:
    total = 0.0
    for x, y in zip(images.double().numpy()[:, 0], made.double().numpy()[:, 0], strict=True):
        _, full = structural_similarity(
            x, y, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        total += ((x - y) ** 2).mean() + 1 - full[5:-5, 5:-5].mean()
    return total


def test_reconstruction_loss_is_equations_6_to_9() -> None:
    model, batch = smallest(DAEFuse, adversarial_weight=0.3, decomposition=0.4, adversarial="saturating"), pair_batch()
    total, log = scalars(model, "generator", 0)

    images = torch.cat((batch.views[:, 0], batch.views[:, 1]))
    with torch.no_grad():
        detail, low = model.encoder(images)
        made = model.decoder(torch.cat((detail, low), 1))
        belief = [
            torch.sigmoid(critic(torch.cat((images[half], made[half])))[2:])
            for critic, half in zip(model.critics[:2], (slice(0, 2), slice(2, 4)), strict=True)
        ]
    content = numpy_content(images, made) / 2  # the mean over the two samples of a sum over the two modalities
    adversarial = sum(float(torch.log(1 - p).mean()) for p in belief)

    def agreement(features: Tensor) -> float:
        x, y = features.double().numpy().reshape(2, 2, 8, -1)
        return float(np.mean([np.corrcoef(x[n, c], y[n, c])[0, 1] for n in range(2) for c in range(8)]))

    apart = agreement(detail) ** 2 / (agreement(low) + 1.01)
    assert log["content"] == pytest.approx(content, abs=5e-5)  # float32 variances of flat patches in SSIM
    assert log["adversarial"] == pytest.approx(adversarial, abs=1e-5)
    assert log["decomposition"] == pytest.approx(apart, abs=1e-5)
    assert total == pytest.approx(0.3 * adversarial + 0.4 * apart + 0.6 * content, abs=5e-5)


def test_targets_of_the_fusion_loss_can_be_chosen() -> None:
    model, batch = smallest(DAEFuse, phase_steps=0, texture="directed", intensity="sum"), pair_batch()
    total, log = scalars(model, "generator", 0)
    a, b = batch.views[:, 0], batch.views[:, 1]
    with torch.no_grad():
        fused = model.combine(a, b)
    assert log["texture"] == pytest.approx(float(directed_texture_loss(fused, a, b).mean()), abs=1e-5)
    assert log["intensity"] == pytest.approx(float(additive_intensity_loss(fused, a, b).mean()), abs=1e-5)
    assert total == pytest.approx(10 * log["texture"] + log["intensity"] + 0.01 * log["adversarial"], abs=1e-5)


@pytest.mark.parametrize("phase_steps", [0, 1])
def test_one_forward_pass_serves_critics_and_generator(phase_steps: int) -> None:
    """The critics' forward pass gives the generator the same gradients, and is reused for the same images only."""
    model, batch = smallest(DAEFuse, phase_steps=phase_steps), pair_batch()
    passes: list[int] = []
    model.encoder.register_forward_hook(lambda *_: passes.append(1))
    found = []
    for before in (None, batch, replace(batch, views=batch.views.flip(1))):
        model.zero_grad()
        if before is not None:
            model.loss(before, "critic", 0)
        passes.clear()
        model.loss(batch, "generator", 0).total.backward()
        found.append([p.grad for p in model.parameter_groups()["generator"]])
        assert len(passes) == (0 if before is batch else 1)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_fusion_loss_is_equations_13_to_16() -> None:
    model, batch = smallest(DAEFuse, phase_steps=0, texture_weight=3, intensity_weight=2), pair_batch()
    total, log = scalars(model, "generator", 0)
    a, b = batch.views[:, 0], batch.views[:, 1]
    with torch.no_grad():
        fused = model.combine(a, b)
        beliefs = [
            torch.sigmoid(critic(torch.cat((real, fused)))[2:])
            for critic, real in zip(model.critics[2:], (a, b), strict=True)
        ]

    def gradients(images: Tensor) -> np.ndarray:
        planes = images.double().numpy()[:, 0]
        return np.stack([sum(np.abs(ndimage.sobel(p, axis, mode="nearest")) for axis in (0, 1)) for p in planes])

    texture = np.abs(gradients(fused) - np.maximum(gradients(a), gradients(b))).mean()
    intensity = float((fused - torch.maximum(a, b)).abs().mean())
    adversarial = -sum(float(torch.log(belief).mean()) for belief in beliefs)  # eq. 14 with its sign put right
    assert log["texture"] == pytest.approx(texture, abs=1e-5)
    assert log["intensity"] == pytest.approx(intensity, abs=1e-6)
    assert log["adversarial"] == pytest.approx(adversarial, abs=1e-5)
    assert total == pytest.approx(3 * texture + 2 * intensity + 0.01 * adversarial, abs=1e-5)
    assert "decomposition" not in log


def test_decomposition_can_stay_on_in_phase_two() -> None:
    off, on = (smallest(DAEFuse, phase_steps=0, fusion_decomposition=weight) for weight in (0.0, 2.0))
    (without, _), (total, log) = scalars(off, "generator", 0), scalars(on, "generator", 0)
    assert total == pytest.approx(without + 2 * log["decomposition"], abs=1e-5)


def test_critics_of_a_phase_meet_their_own_reals() -> None:
    """−E log D1(α) − E log(1 − D1(α̃)) for the first, with β for the second; the other phase's critics rest."""
    for phase, own in ((1, slice(0, 2)), (2, slice(2, 4))):
        model, batch = smallest(DAEFuse, phase_steps=1), pair_batch()
        loss = model.loss(batch, "critic", phase - 1)
        loss.total.backward()
        resting = set(model.critics) - set(model.critics[own])
        assert all(p.grad is not None for critic in model.critics[own] for p in critic.parameters())
        assert all(p.grad is None for critic in resting for p in critic.parameters())
        a, b = batch.views[:, 0], batch.views[:, 1]
        with torch.no_grad():
            made = model.reconstruct(torch.cat((a, b))) if phase == 1 else model.combine(a, b).repeat(2, 1, 1, 1)
            expected = 0.0
            for critic, real, image in zip(model.critics[own], (a, b), made.chunk(2), strict=True):
                belief = torch.sigmoid(critic(torch.cat((real, image))))
                expected += float(-belief[:2].log().mean() - (1 - belief[2:]).log().mean())
        assert float(loss.total.detach()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("base", ["vit", "channel"])
def test_two_steps_reach_every_parameter(base: str) -> None:
    model = smallest(DAEFuse, base=base, phase_steps=1)
    for cross in model.cross:
        nn.init.normal_(cross.project.weight, std=0.1)  # starts at zero, which holds back its inputs' gradients
    for step in (0, 1):
        for group in ("critic", "generator"):
            model.loss(pair_batch(), group, step).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_visible_image_is_added_before_the_sigmoid() -> None:
    model, batch = smallest(DAEFuse, add_visible=True).eval(), pair_batch()
    nn.init.zeros_(model.decoder.output[2].weight)
    a, b = batch.views[:, 0], batch.views[:, 1]
    torch.testing.assert_close(model.combine(a, b), torch.sigmoid(b))
    torch.testing.assert_close(model.reconstruct(a), torch.sigmoid(a))


@pytest.mark.parametrize(
    "choice", [{"base": "cnn"}, {"texture": "sobel"}, {"intensity": "min"}, {"adversarial": "hinge"}]
)
def test_refuses_unknown_words(choice: dict) -> None:
    with pytest.raises(UsageError, match="of dae-fuse"):
        smallest(DAEFuse, **choice)


def test_brighter_image_is_what_the_difference_is_drawn_from() -> None:
    model, batch = smallest(DAEFuse, add_brighter=True).eval(), pair_batch()
    nn.init.zeros_(model.decoder.output[2].weight)
    a, b = batch.views[:, 0], batch.views[:, 1]
    torch.testing.assert_close(model.combine(a, b), torch.maximum(a, b).clamp(0.01, 0.99), **CLOSE)
    torch.testing.assert_close(model.reconstruct(a), a.clamp(0.01, 0.99), **CLOSE)
    with pytest.raises(UsageError, match="not both"):
        smallest(DAEFuse, add_brighter=True, add_visible=True)


def test_paper_training_is_halved_every_twenty_epochs() -> None:
    training = create_training(dict(DAEFuse.PRESETS["paper"].training))
    check_groups(training, "dae-fuse", smallest(DAEFuse).parameter_groups())
    generator, critic = training.of_group("generator"), training.of_group("critic")
    rates = [learning_rate(generator, epoch, 120) for epoch in (0, 19, 20, 40, 119)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1e-4 / 32])
    assert {learning_rate(critic, epoch, 120) for epoch in range(120)} == {1e-4}
    assert (generator.betas, critic.betas) == ((0.9, 0.999), (0.5, 0.999))


def test_tiny_preset_overfits_one_batch() -> None:
    """Both phases must move; how well it fuses is not a matter for 50 steps."""
    torch.manual_seed(0)
    model, batch = DAEFuse(SPEC, **DAEFuse.PRESETS["tiny"].model), pair_batch(4)
    before = float((model.fuse(batch) - batch.views.amax(1)).abs().mean())
    history = learn(model, batch, steps=60, lr=3e-3)
    phases = [terms["phase"] for terms in history]
    assert phases == [1] * 20 + [2] * 40
    assert history[19]["content"] < 0.5 * history[0]["content"]
    assert history[-1]["texture"] < 0.8 * history[20]["texture"]
    assert float((model.fuse(batch) - batch.views.amax(1)).abs().mean()) < 0.6 * before


def test_swapped_pairs_are_not_the_same_fusion_once_trained() -> None:
    model, batch = smallest(DAEFuse), pair_batch()
    torch.testing.assert_close(model.fuse(batch), model.fuse(replace(batch, views=batch.views.flip(1))), **CLOSE)
    nn.init.normal_(model.decoder.reduce_pair.weight)
    assert not torch.allclose(model.fuse(batch), model.fuse(replace(batch, views=batch.views.flip(1))), atol=1e-3)
