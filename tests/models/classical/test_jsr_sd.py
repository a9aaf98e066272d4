"""Joint sparse representation: the pursuit against scikit-learn's, reconstruction, and what equal images give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import create_model
from fusionbench.models.classical.jsr_sd import joint, pursuit
from tests.models.classical.test_pyramids import fuse, pair

SPEC = ImageSpec(1, 8, 8, 2)


def unit_rows(count: int, length: int, seed: int = 0) -> torch.Tensor:
    rows = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, length)))
    return rows / rows.norm(dim=1, keepdim=True)


def test_pursuit_against_scikit_learn() -> None:
    """The same rows are chosen and the same coefficients found, by count and by tolerance."""
    dictionary, values = joint(unit_rows(40, 16)), torch.from_numpy(np.random.default_rng(1).normal(size=(50, 32)))
    found = pursuit(dictionary, values, 6, 0.0, chunk=16).numpy()
    assert (np.count_nonzero(found, axis=1) == 6).all()
    assert found == pytest.approx(orthogonal_mp(dictionary.numpy().T, values.numpy().T, n_nonzero_coefs=6).T, abs=1e-9)
    found = pursuit(dictionary, values, 32, 0.4).numpy()
    expected = orthogonal_mp(dictionary.numpy().T, values.numpy().T, tol=0.4**2 * 32).T
    assert found == pytest.approx(expected, abs=1e-9)
    left = values.numpy() - found @ dictionary.numpy()
    assert (np.square(left).mean(1) <= 0.4**2 * (1 + 1e-9)).all() and np.count_nonzero(found, axis=1).min() > 1


def test_pursuit_finds_what_was_put_together_and_stops() -> None:
    dictionary = torch.from_numpy(np.linalg.qr(np.random.default_rng(3).normal(size=(16, 16)))[0])
    code = torch.zeros(5, 16, dtype=torch.float64)
    code[torch.arange(5), torch.arange(5) + 3], code[:, 12] = 2.0, -1.0
    assert pursuit(dictionary, code @ dictionary, 16, 1e-9).numpy() == pytest.approx(code.numpy(), abs=1e-12)
    assert not pursuit(dictionary, torch.zeros(2, 16, dtype=torch.float64), 4, 0.0).any()
    twice = torch.cat((dictionary, dictionary))  # a row and its copy are never both needed
    found = pursuit(twice, code @ dictionary, 16, 0.0)
    assert (found @ twice).numpy() == pytest.approx((code @ dictionary).numpy(), abs=1e-12)


def test_rounding_chooses_no_rows() -> None:
    """Where both halves differ by as much with opposite signs, rows of a and of b tie: rounding used to decide."""
    rows = unit_rows(24, 16)
    apart = 0.3 * unit_rows(100, 16, seed=5)
    values = torch.cat((3 * rows[:20].repeat(5, 1) + apart, 3 * rows[:20].repeat(5, 1) - apart), 1)
    expected = pursuit(joint(rows), values, 3, 0.0)
    assert (expected[:, :24] != 0).any(1).all() and (expected[:, 24:48] != 0).any(1).all()  # common, then own of a
    for seed in range(3):
        noise = 1e-12 * torch.from_numpy(np.random.default_rng(seed).normal(size=(72, 32)))
        found = pursuit(joint(rows) + noise, values, 3, 0.0)
        assert torch.equal(found != 0, expected != 0)


def test_joint_dictionary_tells_common_from_own() -> None:
    """What both have goes to the common half, at √2 of its size; what one has alone goes to its own."""
    rows = torch.from_numpy(np.linalg.qr(np.random.default_rng(4).normal(size=(16, 16)))[0])
    dictionary = joint(rows)
    assert dictionary.norm(dim=1).numpy() == pytest.approx(np.ones(48))
    pairs = torch.stack(
        (torch.cat((rows[2], rows[2])), torch.cat((rows[5], 0 * rows[5])), torch.cat((0 * rows[7], rows[7])))
    )
    code = pursuit(dictionary, pairs, 4, 1e-9)
    expected = torch.zeros(3, 48, dtype=torch.float64)
    expected[0, 2], expected[1, 16 + 5], expected[2, 32 + 7] = 2**0.5, 1, 1
    assert code.numpy() == pytest.approx(expected.numpy(), abs=1e-12)


@pytest.mark.parametrize("stride", [1, 3, 8])
@pytest.mark.parametrize("shape", [(13, 18), (8, 8), (3, 11), (1, 1)])
def test_two_equal_sources_come_back(shape: tuple[int, int], stride: int) -> None:
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, *shape)))
    found = create_model("jsr-sd", SPEC, stride=stride).combine(image, image)
    assert found.numpy() == pytest.approx(image.numpy(), abs=1e-12)


def test_without_residual_equal_sources_come_back_to_the_tolerance() -> None:
    """Every patch is coded to the tolerance, and a mean of overlapping patches is no worse than they are."""
    image = pair(40, 44).views[:, 0].double()
    model = create_model("jsr-sd", SPEC, residual=False, sparsity=64, tolerance=0.02)
    error = model.combine(image, image) - image
    assert 1e-6 < float(error.square().mean().sqrt()) <= 0.02


def test_dictionary_codes_better_than_the_same_number_of_random_directions() -> None:
    image = pair(64, 80).views[:, 0].double()
    details = torch.nn.functional.unfold(image, 8, stride=2)[0].T
    details = details - details.mean(1, keepdim=True)
    model = create_model("jsr-sd", SPEC)
    learned = model.learned(details)
    assert learned.norm(dim=1).numpy() == pytest.approx(np.ones(128))
    left = [
        float((details - pursuit(rows, details, 3, 0.0) @ rows).square().mean())
        for rows in (learned, unit_rows(128, 64))
    ]
    assert left[0] < 0.3 * left[1]
    assert torch.equal(model.learned(details), learned)
    assert not torch.equal(create_model("jsr-sd", SPEC, seed=1).learned(details), learned)


def test_structure_of_both_sources_is_kept() -> None:
    batch = pair(64, 96)
    a, b = batch.views[0, :, 0].numpy()
    fused, average = fuse("jsr-sd", batch), fuse("average", batch)
    for region, source in ((np.s_[:, 8:36], a), (np.s_[:, 60:88], b)):
        assert fused[region].std() > 0.8 * source[region].std() > 1.4 * average[region].std()


def test_flat_and_empty_images() -> None:
    dark, bright = torch.zeros(1, 1, 20, 20, dtype=torch.float64), torch.full((1, 1, 20, 20), 0.6, dtype=torch.float64)
    model = create_model("jsr-sd", SPEC)
    assert model.combine(dark, bright).numpy() == pytest.approx(np.full((1, 1, 20, 20), 0.3))
    bright[..., 8:12, 8:12] = 1.0
    fused = model.combine(dark, bright)
    assert torch.isfinite(fused).all() and float(fused[..., 8:12, 8:12].min()) > float(fused[..., 0, 0])


def test_bad_parameters() -> None:
    for values in ({"stride": 9}, {"stride": 0}, {"size": 1}):
        with pytest.raises(UsageError, match="stride between 1 and size"):
            create_model("jsr-sd", SPEC, **values)
    for values in ({"atoms": 0}, {"sparsity": 129}, {"tolerance": -0.1}):
        with pytest.raises(UsageError, match="sparsity between 1 and 128"):
            create_model("jsr-sd", SPEC, **values)
