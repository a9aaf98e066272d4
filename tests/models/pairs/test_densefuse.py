"""Oracles: the published size, the rules by plain loops, the loss from scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from fusionbench.core.errors import UsageError
from fusionbench.models.pairs.densefuse import DenseFuse, l1_weight
from tests.helpers.pairs import SPEC, depends_at, learn, pair_batch, smallest


def test_paper_size_is_the_published_one() -> None:
    model = DenseFuse(SPEC, **DenseFuse.PRESETS["paper"].model)
    assert sum(parameter.numel() for parameter in model.parameters()) == 74_193


def test_l1_rule_equals_a_loop() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 3, 5, 4)).astype(np.float32)
    activities = []
    for features in (x, y):
        total = np.pad(np.abs(features).sum(0), 1, mode="reflect")
        mean = np.zeros((5, 4))
        for row in range(5):
            for column in range(4):
                mean[row, column] = sum(total[row + i, column + j] for i in range(3) for j in range(3)) / 9
        activities.append(mean)
    expected = activities[0] / (activities[0] + activities[1])
    made = l1_weight(torch.from_numpy(x)[None], torch.from_numpy(y)[None])[0, 0]
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-5)


def test_l1_rule_without_activity_takes_half() -> None:
    nothing = torch.zeros(1, 3, 4, 4)
    assert torch.equal(l1_weight(nothing, nothing), torch.full((1, 1, 4, 4), 0.5))
    assert float(l1_weight(torch.ones(1, 3, 4, 4), nothing).min()) == pytest.approx(1)


def test_rules_act_on_the_features() -> None:
    added, weighted, batch = smallest(DenseFuse), smallest(DenseFuse, rule="l1-norm"), pair_batch()
    a, b = batch.views[:, 0], batch.views[:, 1]
    of_a, of_b = added.encoder(a), added.encoder(b)
    assert of_a.shape == (2, 16, 32, 32)
    torch.testing.assert_close(added.combine(a, b), added.decoder(of_a + of_b) / 2)
    weight = l1_weight(of_a, of_b)
    expected = weighted.decoder(weight * of_a + (1 - weight) * of_b)
    torch.testing.assert_close(weighted.combine(a, b), expected, atol=1e-5, rtol=1e-5)


def test_an_image_fused_with_itself_by_the_l1_rule_is_its_reconstruction() -> None:
    model, image = smallest(DenseFuse, rule="l1-norm"), pair_batch().views[:, 0]
    torch.testing.assert_close(model.combine(image, image), model.reconstruct(image), atol=1e-5, rtol=1e-5)


def test_loss_is_that_of_grey_levels() -> None:
    model, batch = smallest(DenseFuse, ssim_weight=7.0), pair_batch()
    images = torch.cat((batch.views[:, 0], batch.views[:, 1]))
    made = model.reconstruct(images).detach().numpy()[:, 0].astype(np.float64)
    real = images.numpy()[:, 0].astype(np.float64)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    maps = [structural_similarity(x, y, full=True, **options)[1] for x, y in zip(made, real, strict=True)]
    similarity = np.mean([each[5:-5, 5:-5].mean() for each in maps])
    expected = ((255 * (made - real)) ** 2).mean() + 7 * (1 - similarity)
    assert float(model.loss(batch, "main", 0).total.detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("rule", "radius"), [("addition", 8), ("l1-norm", 9)])
def test_receptive_radius(rule: str, radius: int) -> None:
    assert radius <= (DenseFuse.receptive_radius or 0)
    assert depends_at(smallest(DenseFuse, rule=rule), range(radius, radius + 1), 20, 40)
    assert not depends_at(smallest(DenseFuse, rule=rule), range(radius + 1, 99), 20, 40)


def test_ten_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    history = learn(DenseFuse(SPEC, **DenseFuse.PRESETS["tiny"].model), pair_batch(), steps=11, lr=3e-3)
    assert history[-1]["pixel"] < 0.8 * history[0]["pixel"]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"rule": "l1"}, "Unknown rule of densefuse 'l1'"),
        ({"width": 0}, "width=0"),
        ({"dense_layers": -1}, "dense_layers=-1"),
        ({"layers": 3}, "Unknown parameter of densefuse 'layers'"),
    ],
)
def test_refuses_wrong_parameters(choice: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        smallest(DenseFuse, **choice)
