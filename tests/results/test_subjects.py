"""Subjects of a simulated study: strict, mild and inverted ones, against plain loops, pandas and the known truth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fusionbench.core.errors import DataError
from fusionbench.results.opinions import read_opinions
from fusionbench.results.study import make_study
from fusionbench.results.study_files import read_study, study_bytes
from fusionbench.results.study_values import MetricValues
from fusionbench.results.subjects import screened, zscores

IMAGES, METHODS = 20, 6
Panel = dict[tuple[str, str, str], float]


def truth() -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, (IMAGES, METHODS))


def panel(seed: int, *, honest: int, biased: int = 0, inverted: int = 0, share: float = 1.0) -> Panel:
    """Opinions: the truth and noise; biased subjects move and stretch it, inverted ones turn it round."""
    rng, found = np.random.default_rng(seed), {}
    for n in range(honest + biased + inverted):
        kind = "honest" if n < honest else "biased" if n < honest + biased else "inverted"
        offset, factor = (rng.choice([-6.0, 6.0]), rng.uniform(0.3, 3)) if kind == "biased" else (0.0, 1.0)
        for (i, j), value in np.ndenumerate(truth()):
            if rng.random() < share:
                said = (-value if kind == "inverted" else value) + rng.normal()
                found[f"{i:02}", f"m{j}", f"{kind}-{n}"] = float(offset + factor * said)
    return found


def written(tmp_path: Path, opinions: Panel) -> Path:
    path = tmp_path / "opinions.csv"
    lines = [f"{image},{method},{subject},{score!r}" for (image, method, subject), score in opinions.items()]
    path.write_text("\n".join(["image,method,subject,score", *lines]) + "\n")
    return path


def plainly_screened(opinions: Panel) -> list[str]:
    """The rule written out, with SciPy's kurtosis, presentation by presentation."""
    table = pd.Series(opinions).unstack().to_numpy(), pd.Series(opinions).unstack().columns
    scores, rejected = table[0], []
    for n, subject in enumerate(table[1]):
        p = q = 0
        for presentation in scores:
            known = presentation[~np.isnan(presentation)]
            if math.isnan(presentation[n]) or len(known) < 3:
                continue
            u, s, beta = known.mean(), known.std(ddof=1), stats.kurtosis(known, fisher=False)
            k = 2 if 2 <= beta <= 4 else math.sqrt(20)
            p, q = p + (presentation[n] >= u + k * s), q + (presentation[n] <= u - k * s)
        given = int((~np.isnan(scores[:, n])).sum())
        if (p + q) / given > 0.05 and abs((p - q) / (p + q)) < 0.3:
            rejected.append(subject)
    return sorted(rejected)


@pytest.mark.parametrize(("seed", "share"), [(1, 1.0), (2, 0.6)])
def test_screening_is_the_rule_and_finds_inverted_subjects(seed: int, share: float) -> None:
    opinions = panel(seed, honest=16, inverted=1, share=share)
    assert screened(opinions) == plainly_screened(opinions)
    if share == 1:  # with fewer opinions of each it stays under 5 %
        assert "inverted-16" in screened(opinions) and len(screened(opinions)) <= 3
    strict = {key: value - 4 if key[2] == "honest-0" else value for key, value in panel(5, honest=17).items()}
    assert "honest-0" not in screened(strict), "a strict subject is an outlier on one side only"
    assert screened({key: 3.0 for key in opinions}) == [], "nobody differs"


def test_zscores_are_those_of_pandas() -> None:
    opinions = panel(3, honest=4, biased=3, share=0.5) | {("00", "m0", "one"): 1.0}
    opinions |= {(f"{i:02}", "m0", "same"): 0.1 + 0.2 for i in range(5)}
    found, without = zscores(opinions)
    series = pd.Series({k: v for k, v in opinions.items() if k[2] not in ("one", "same")})
    wanted = series.groupby(level=2).transform(lambda x: (x - x.mean()) / x.std())
    assert without == ["one", "same"] and found == pytest.approx(wanted.to_dict(), abs=1e-12)


def test_zscores_find_the_truth_under_biased_subjects(tmp_path: Path) -> None:
    """Everybody saw another half of the images, so that means are those of whoever saw an image."""
    path = written(tmp_path, panel(4, honest=6, biased=6, share=0.5))
    true = {(f"{i:02}", f"m{j}"): value for (i, j), value in np.ndenumerate(truth())}
    agreement = []
    for zscore in (False, True):
        mean = read_opinions(path, zscore=zscore).mean
        agreement.append(float(stats.spearmanr([*mean.values()], [true[key] for key in mean])[0]))
    assert agreement[1] > 0.93 > agreement[0] + 0.1, agreement


def test_a_study_says_what_was_done(tmp_path: Path) -> None:
    path = written(tmp_path, panel(1, honest=19, inverted=1))
    found = read_opinions(path, zscore=True, screen=True)
    assert found.zscore and found.screened is not None and "inverted-19" in found.screened
    assert found.subjects == 20 - len(found.screened) and found.count == found.subjects * IMAGES * METHODS
    values = MetricValues()
    for j in range(METHODS):
        values.add("vif", "higher", f"m{j}", [(f"{i:02}", float(truth()[i, j])) for i in range(IMAGES)], "made up")
    study = make_study(values, found, resamples=50)
    file = tmp_path / "study.json"
    file.write_bytes(study_bytes(study))
    assert read_study(file) == study and study.screened == list(found.screened) and study.zscore
    assert any("left out by BT.500's screening: inverted-19" in line for line in study.warnings)
    assert any("fewer than 20 subjects" in line for line in study.warnings)
    plain = study_bytes(make_study(values, read_opinions(path), resamples=50))
    assert b"zscore" not in plain and b"screened" not in plain, "as other releases read it"


def test_what_has_no_subjects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("image,method,score\n01,A,4\n")
    with pytest.raises(DataError, match="no column subject, which z-scores take"):
        read_opinions(path, zscore=True)
    with pytest.raises(DataError, match="no column subject, which a screening takes"):
        read_opinions(path, screen=True)
    path.write_text("image,method,subject,score\n01,A,s,4\n01,B,s,4\n")
    with pytest.raises(DataError, match="no subject is left: 1 subject left out, whose opinions are all the same: s"):
        read_opinions(path, zscore=True)
