"""Oracles for Bayesian aggregation: the sequential update (eqs 6-7 of the paper) and the closed form, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import UsageError
from fusionbench.models.vae.aggregation import AGGREGATIONS, bayesian_aggregation, create_aggregation
from fusionbench.models.vae.encoder import Packing


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), views=st.integers(1, 5), spread=st.floats(0.0, 8.0))
def test_stable_form_is_the_sequential_one_and_the_closed_one(seed: int, views: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(3, views, 2, generator=generator, dtype=torch.float64)
    log_variance = spread * (2 * torch.rand(3, views, 2, generator=generator, dtype=torch.float64) - 1)
    got_mean, got_log_variance = bayesian_aggregation(mean, log_variance, torch.ones(3, views, dtype=torch.bool))
    variance = log_variance.exp()
    m, v = mean[:, 0], variance[:, 0]
    for view in range(1, views):
        gain = v / (v + variance[:, view])
        m, v = m + gain * (mean[:, view] - m), (1 - gain) * v
    torch.testing.assert_close(got_mean.double(), m, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got_log_variance.double(), v.log(), rtol=1e-4, atol=1e-4)
    precision = (1 / variance).sum(dim=1)
    torch.testing.assert_close(got_mean.double(), (mean / variance).sum(dim=1) / precision, rtol=1e-4, atol=1e-5)


def test_extreme_precisions_do_not_overflow() -> None:
    log_variance = torch.tensor([[[-1e30], [1e30]]])
    mean, out = bayesian_aggregation(torch.tensor([[[1.0], [2.0]]]), log_variance, torch.ones(1, 2, dtype=torch.bool))
    assert torch.isfinite(out).all() and abs(float(mean) - 1) < 1e-6


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", AGGREGATIONS)
def test_absent_views_play_no_part(name: str, first: bool) -> None:
    torch.manual_seed(0)
    rule = create_aggregation(name, 4, 3, first).eval()
    features = torch.randn(2, 3, 4, 5, 5)
    state = None if first else torch.randn(2, 4, 5, 5)

    def run(present: torch.Tensor) -> torch.Tensor:
        packing = Packing(present)
        packed = features.flatten(0, 1)[packing.index]
        return rule(rule.prepare(packed, packing), state, state)  # type: ignore[operator]

    mixed = run(torch.tensor([[True, False, True], [False, False, False]]))
    alone = run(torch.tensor([[True, False, True], [True, True, True]]))
    assert torch.isfinite(mixed).all() and mixed.shape == (2, 6, 5, 5)
    torch.testing.assert_close(mixed[0], alone[0])
    assert not torch.allclose(mixed[1], alone[1])
    shuffled = features[:, [2, 1, 0]]
    features = shuffled
    torch.testing.assert_close(run(torch.tensor([[True, False, True], [False, False, False]]))[0], mixed[0])


def test_unknown_rule() -> None:
    with pytest.raises(UsageError, match="max-add"):
        create_aggregation("max-ad", 4, 3, True)
