"""Studies with a known truth: what is recovered, how often intervals hold it, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fusionbench.core.errors import DataError, UsageError
from fusionbench.results.opinions import Opinions
from fusionbench.results.study import make_study
from fusionbench.results.study_files import StudiedMetric, Study, study_bytes
from fusionbench.results.study_values import MetricValues

METHODS = 6


def people(rng: np.random.Generator, images: int) -> np.ndarray:
    """Opinions (images, methods): scenes, methods and both together differ."""
    scene, method = 0.8 * rng.normal(size=(images, 1)), np.linspace(-1, 1, METHODS)[None]
    return scene + method + 0.7 * rng.normal(size=(images, METHODS))


def opinions_of(said: np.ndarray) -> Opinions:
    cells = {(f"{i:04}", f"m{j}"): float(said[i, j]) for i, j in np.ndindex(said.shape)}
    return Opinions(cells, said.size, None, "0" * 64)


def values_of(**metrics: np.ndarray) -> MetricValues:
    found = MetricValues()
    for key, table in metrics.items():
        better = "lower" if key == "nabf" else "higher"
        for j in range(table.shape[1]):
            column = [(f"{i:04}", float(table[i, j])) for i in range(len(table))]
            found.add(key, better, f"m{j}", column, "made up")  # type: ignore[arg-type]
    return found


def study(said: np.ndarray, resamples: int = 200, **metrics: np.ndarray) -> dict[str, StudiedMetric]:
    made = make_study(values_of(**metrics), opinions_of(said), resamples=resamples)
    return {row.key: row for row in made.metrics}


def test_correlations_are_scipys() -> None:
    rng = np.random.default_rng(0)
    said = people(rng, 9).round(1)
    metric = said + rng.normal(size=said.shape)
    row = study(said, nabf=-metric)["nabf"]  # lower is better, so the sign turns
    for kind, call in (("srcc", stats.spearmanr), ("krcc", stats.kendalltau), ("plcc", stats.pearsonr)):
        within = np.mean([call(a, b)[0] for a, b in zip(metric, said, strict=True)])
        assert getattr(row.within_image, kind).value == pytest.approx(within, abs=1e-12)
        assert getattr(row.pooled, kind).value == pytest.approx(call(metric.ravel(), said.ravel())[0], abs=1e-12)
        columns = [call(a, b)[0] for a, b in zip(metric.T, said.T, strict=True)]
        assert getattr(row.within_method, kind).value == pytest.approx(np.mean(columns), abs=1e-12)
        assert getattr(row.means, kind).value == pytest.approx(call(metric.mean(0), said.mean(0))[0], abs=1e-12)
    assert row.methods["m2"] == pytest.approx(stats.spearmanr(metric[:, 2], said[:, 2])[0])
    assert (row.within_image.groups, row.within_method.groups, row.cells, row.images) == (9, 6, 54, 9)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """A metric that is the opinion and noise; the truth from a study of 800 scenes."""

    def row(seed: int, images: int, resamples: int) -> StudiedMetric:
        rng = np.random.default_rng(seed)
        said = people(rng, images)
        return study(said, resamples, vif=said + rng.normal(size=said.shape))["vif"]

    large = row(12345, 800, 2)
    held = dict.fromkeys(("within_image", "pooled", "within_method"), 0)
    tries = 60
    for seed in range(tries):
        small = row(seed, 25, 200)
        for level in held:
            found = getattr(small, level).srcc
            held[level] += found.low <= getattr(large, level).srcc.value <= found.high
    # 95 % less three standard deviations of 60 tries
    assert all(count / tries >= 0.865 for count in held.values()), held
    assert sum(held.values()) / (3 * tries) < 0.995, "intervals of any length would hold"


def test_a_metric_that_agrees_more_comes_first_and_noise_is_no_agreement() -> None:
    rng = np.random.default_rng(11)
    said = people(rng, 30)
    made = study(said, vif=said + 0.3 * rng.normal(size=said.shape), en=rng.normal(size=said.shape), ssim=2 * said)
    assert list(made) == ["ssim", "vif", "en"]
    assert made["ssim"].within_image.srcc.value == made["ssim"].pooled.krcc.value == 1.0
    assert [row.tied for row in made.values()] == [True, False, False]
    low, high = made["en"].pooled.srcc.low, made["en"].pooled.srcc.high
    assert low is not None and high is not None and low < 0 < high


def test_the_same_study_is_the_same_bytes_and_order_does_not_matter() -> None:
    said = people(np.random.default_rng(5), 12)
    values, opinions = values_of(vif=said**3), opinions_of(said)
    first = study_bytes(make_study(values, opinions))
    turned = Opinions(dict(reversed(opinions.mean.items())), said.size, None, "0" * 64)
    assert study_bytes(make_study(values, turned)) == first


def test_differential_scores_turn_the_sign_and_a_fit_straightens() -> None:
    said = people(np.random.default_rng(6), 15)
    curved = 1 / (1 + np.exp(-2 * said))
    worse = Opinions({key: -value for key, value in opinions_of(said).mean.items()}, said.size, None, "0" * 64)
    plain = make_study(values_of(vif=np.exp(2 * said)), worse, opinions_better="lower", resamples=50)
    assert plain.metrics[0].pooled.srcc.value == pytest.approx(1) and plain.opinions_better == "lower"
    before = plain.metrics[0].pooled.plcc.value
    fitted = make_study(values_of(vif=said), opinions_of(curved), fit="logistic", resamples=50).metrics[0].pooled
    assert before is not None and before < 0.9 and fitted.plcc.value == pytest.approx(1, abs=1e-6)
    assert fitted.srcc.value == pytest.approx(1)


def test_what_is_missing_is_left_out_and_named() -> None:
    said = people(np.random.default_rng(7), 8)
    values, opinions = values_of(vif=said), opinions_of(said)
    del values.values["vif"]["0000", "m0"]  # no value there
    opinions.mean["0099", "m1"] = opinions.mean["0001", "no-such"] = 1.0
    for image in range(1, 8):
        del opinions.mean[f"{image:04}", "m5"]
    made: Study = make_study(values, opinions, resamples=50)
    (row,) = made.metrics
    assert row.cells == 8 * 6 - 1 - 7 and row.means.reason.startswith("no image has values")
    assert row.methods["m5"] is None and row.within_method.groups == 5
    assert made.warnings[0].startswith("2 opinions without values are left out: no-such on 0001, m1 on 0099")
    assert made.warnings[1].startswith("7 fused images without opinions")


def test_one_method_constant_metrics_and_few_images() -> None:
    said = people(np.random.default_rng(8), 8)
    one = make_study(values_of(vif=said[:, :1]), opinions_of(said[:, :1]), resamples=50)
    row = one.metrics[0]
    assert row.within_image.srcc.value is None and "3 methods" in row.within_image.reason
    assert row.pooled.srcc.value == pytest.approx(1) and row.means.srcc.value is None
    assert "1 methods: a correlation within an image takes 3" in one.warnings
    flat = study(said, vif=np.ones_like(said))["vif"]
    assert flat.pooled.srcc.value is None and "constant" in flat.pooled.reason
    assert flat.within_image.srcc.value == 0, "a metric that orders nothing agrees with nobody"
    few = study(said[:4], vif=said[:4] + 0.1)["vif"]
    assert few.pooled.srcc.low is None and few.within_image.srcc.low is None, "no interval from four images"


def test_refusals() -> None:
    said = people(np.random.default_rng(9), 4)
    with pytest.raises(UsageError, match="no values of qabf; there are vif"):
        make_study(values_of(vif=said), opinions_of(said), metrics=["qabf"])
    with pytest.raises(DataError, match="no image and method has both") as caught:
        make_study(values_of(vif=said), Opinions({("1", "CDDFuse"): 2.0}, 1, None, "0" * 64))
    assert "CDDFuse" in str(caught.value) and "m0" in str(caught.value)
