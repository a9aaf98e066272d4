"""Noise that depends on (key, id, draw) alone, and is standard normal."""

from __future__ import annotations

import torch
from scipy import stats

from fusionbench.models.vae import draws as _draws


def test_rows_do_not_depend_on_their_batch() -> None:
    ids, draws = torch.arange(10), torch.arange(10) % 3
    whole = _draws.normal(ids, draws, (2, 4, 4), key=7)
    assert torch.equal(whole[3:4], _draws.normal(ids[3:4], draws[3:4], (2, 4, 4), key=7))
    assert torch.equal(whole.flip(0), _draws.normal(ids.flip(0), draws.flip(0), (2, 4, 4), key=7))


def test_rows_differ_by_id_draw_and_key() -> None:
    ids = torch.tensor([0, 1, 0, 0])
    draws = torch.tensor([0, 0, 1, 0])
    rows = _draws.normal(ids, draws, (64,), key=1)
    other = _draws.normal(ids, draws, (64,), key=2)
    assert torch.equal(rows[0], rows[3])
    for one, two in ((rows[0], rows[1]), (rows[0], rows[2]), (rows[1], rows[2]), (rows[0], other[0])):
        assert abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 0.5


def test_values_are_standard_normal() -> None:
    values = _draws.normal(torch.arange(400), torch.zeros(400, dtype=torch.int64), (1000,), key=3).flatten().double()
    assert abs(float(values.mean())) < 0.01 and abs(float(values.std()) - 1) < 0.01
    assert stats.kstest(values[:20_000].numpy(), "norm").pvalue > 1e-4
    assert float(values.abs().max()) < 6.7
    rows = values.view(400, 1000)
    between = torch.corrcoef(rows[:60])
    assert float((between - torch.eye(60, dtype=torch.float64)).abs().max()) < 0.2  # 5.6 standard deviations is 0.18


def test_first_values_never_change() -> None:
    values = _draws.normal(torch.tensor([5]), torch.tensor([2]), (3,), _draws.noise_key(0, "posterior"))
    torch.testing.assert_close(values, torch.tensor([GOLDEN]), rtol=0, atol=1e-6)


GOLDEN = [-0.8595214, -1.036546, -0.9651827]
