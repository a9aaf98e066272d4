"""Oracle: torch.distributions in float64. Tolerance: float32 rounding."""

from __future__ import annotations

import torch

from fusionbench.models.vae.normal import DiagonalNormal


def pair() -> tuple[DiagonalNormal, DiagonalNormal]:
    generator = torch.Generator().manual_seed(0)
    raw = 4 * torch.randn(2, 5, 6, 3, 3, generator=generator)
    return DiagonalNormal.from_raw(raw[0]), DiagonalNormal.from_raw(raw[1])


def oracle(normal: DiagonalNormal) -> torch.distributions.Normal:
    return torch.distributions.Normal(normal.mean.double(), normal.scale.double())


def test_kl_and_log_prob_agree_with_torch_distributions() -> None:
    q, p = pair()
    expected = torch.distributions.kl_divergence(oracle(q), oracle(p)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(q.kl(p).double(), expected, rtol=1e-5, atol=1e-4)
    z = q.sample(torch.randn(q.mean.shape))
    torch.testing.assert_close(q.log_prob(z).double(), oracle(q).log_prob(z.double()), rtol=1e-4, atol=1e-4)
    assert torch.equal(q.kl(q), torch.zeros(5))


def test_parameters_are_bounded_whatever_the_network_says() -> None:
    raw = torch.tensor([-1e6, 1e6]).view(1, 1, 1, 2).expand(1, 4, 1, 2)
    normal = DiagonalNormal.from_raw(raw)
    assert normal.mean.abs().max() <= 5
    assert normal.scale.min() > 0.0167 and normal.scale.max() < 148.5


def test_rows_without_views_become_standard_normal() -> None:
    _, p = pair()
    changed = p.standard_where(torch.tensor([True, False, False, True, False]))
    assert torch.equal(changed.mean[[0, 3]], torch.zeros(2, 3, 3, 3))
    assert torch.equal(changed.scale[[0, 3]], torch.ones(2, 3, 3, 3))
    assert torch.equal(changed.mean[[1, 2, 4]], p.mean[[1, 2, 4]])
