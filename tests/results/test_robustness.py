"""What is kept under damage: quotients of means, their intervals against a bootstrap and a simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from fusionbench.results.robustness import (
    DamageCondition,
    conditions_in,
    family_drops,
    kept_share,
    seven_digits,
    summary_columns,
)


def test_contributions_average_to_the_quotient_and_spread_as_a_bootstrap_of_it() -> None:
    rng = np.random.default_rng(2)
    clean = rng.uniform(0.2, 0.8, 200)
    degraded = clean * rng.uniform(0.3, 0.9, 200)
    shares = kept_share(degraded, clean)
    assert shares.mean() == pytest.approx(degraded.mean() / clean.mean(), rel=1e-12)
    draws = rng.integers(0, 200, (4000, 200))
    quotients = degraded[draws].mean(axis=1) / clean[draws].mean(axis=1)
    assert shares.std(ddof=1) / 200**0.5 == pytest.approx(quotients.std(), rel=0.06)


def test_pairs_without_a_value_are_left_out_and_no_scale_is_no_quotient() -> None:
    shares = kept_share(np.array([0.2, np.nan, 0.4]), np.array([0.4, 0.5, 0.8]))
    assert np.isnan(shares[1]) and np.nanmean(shares) == pytest.approx(0.5)
    assert np.isnan(kept_share(np.ones(3), np.zeros(3))).all() and np.isnan(kept_share(np.ones(2), -np.ones(2))).all()
    assert np.isnan(kept_share(np.full(2, np.nan), np.ones(2))).all()


def test_a_condition_is_spelled_and_read_and_nothing_else_is_one() -> None:
    one = DamageCondition("gaussian-noise/1", 5)
    assert DamageCondition.of(str(one)) == one and one.folder == "gaussian-noise-1-severity-5"
    for wrong in ("clean", "all", "shift/1", "shift/1:0", "shift/1:6", "shift/1:33", "../x/1:3", "", "a/1:3 "):
        assert DamageCondition.of(wrong) is None
    made = conditions_in({"families": ["shift/1", 3, "<b>/1"], "severities": [1, 9]})
    assert made == [DamageCondition("shift/1", 1)] and conditions_in({"families": "shift/1"}) == []


def test_summaries_are_means_of_quotients() -> None:
    rng = np.random.default_rng(0)
    conditions = [
        DamageCondition("shift/1", 1),
        DamageCondition("shift/1", 3),
        DamageCondition("haze/1", 1),
        DamageCondition("haze/1", 3),
    ]
    table = {f"{m}@{c}": rng.uniform(0.2, 0.9, 7) for m in ("qabf", "vif") for c in ("clean", *conditions)}
    found = summary_columns(table, ["qabf", "vif"], conditions)
    kept = {(m, c): table[f"{m}@{c}"].mean() / table[f"{m}@clean"].mean() for m in ("qabf", "vif") for c in conditions}
    assert found["robustness"].mean() == pytest.approx(np.mean(list(kept.values())), rel=1e-6)
    hazy = [kept[m, c] for m in ("qabf", "vif") for c in conditions[2:]]
    assert found["robustness@haze/1"].mean() == pytest.approx(np.mean(hazy), rel=1e-6)
    assert found["qabf"] == pytest.approx(np.mean([table[f"qabf@{c}"] for c in conditions], axis=0), rel=1e-6)


def test_intervals_of_all_families_hold_at_once() -> None:
    """Of 60 simulated rows with known drops, about 95 % have all three families inside."""
    truth, held = np.array([0.1, 0.3, 0.6]), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        common = rng.normal(0, 0.1, 25)
        values = {
            f"robustness@{name}/1": 1 - drop + common + rng.normal(0, 0.05, 25)
            for name, drop in zip(("shift", "haze", "rain"), truth, strict=True)
        }
        found = family_drops({**values, "robustness": common, "robustness@qabf": common})
        assert [one.family for one in found] == ["shift/1", "haze/1", "rain/1"]
        held += all(one.low <= drop <= one.high for one, drop in zip(found, truth, strict=True))
    assert held >= 53  # 57 are expected; fewer than 53 of 60 have a chance of about 1 %


def test_few_pairs_and_several_runs() -> None:
    [one] = family_drops({"robustness@shift/1": np.array([0.7])})
    assert one.drop == pytest.approx(0.3) and one.low == -np.inf and one.high == np.inf
    [both] = family_drops({"robustness@shift/1": np.array([[0.7, 0.8, 0.9], [0.5, 0.6, 0.7]])})
    assert both.drop == pytest.approx(0.3)
    assert family_drops({"qabf@shift/1:3": np.ones(3)}) == []
    assert family_drops({"robustness@shift/1": np.full(3, np.nan)}) == []


def test_seven_digits_are_kept() -> None:
    assert seven_digits(np.array([0.123456789, np.nan]))[0] == 0.1234568 and np.isnan(
        seven_digits(np.array([np.nan]))[0]
    )
