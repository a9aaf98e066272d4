"""Means by hand: what a result states is held against its table, and what it cannot show is not believed."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.metrics.undefined import NotAvailable
from fusionbench.results.full_range import FullRange
from fusionbench.results.recomputed import recompute
from fusionbench.results.result_set import read_results
from fusionbench.results.schema import Score, load, load_per_image, result_bytes, save, summarise
from tests.helpers.results import made_up, saved

COUNTS = ("images", "full", "sources")
VALUES = [0.25, -1.5, 3.0, 0.125]


def stored(tmp_path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    folder = saved(tmp_path, "mine", {"vif": VALUES})
    return load(folder), load_per_image(folder)


def test_the_numbers_are_those_of_the_column(tmp_path: Path) -> None:
    result, table = stored(tmp_path)
    score = result.scores["vif"]
    score.sd = score.ci95 = None  # not stated, which is no lie
    recompute(result, table)
    mean, sd = statistics.fmean(VALUES), statistics.stdev(VALUES)
    assert score.mean == mean and score.n == 4 and score.sd == pytest.approx(sd, rel=1e-14)
    half = statistics.NormalDist().inv_cdf(0.975) * sd / math.sqrt(4)
    assert score.ci95 == pytest.approx((mean - half, mean + half), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", 0.001),
        ("mean", statistics.fmean(VALUES) + 1e-7),
        ("sd", 0.0),
        ("n", 5),
        ("ci95", (0.4, 0.5)),
    ],
)
def test_a_number_that_is_another_one(name: str, value: Any, tmp_path: Path) -> None:
    result, table = stored(tmp_path)
    setattr(result.scores["vif"], name, value)
    with pytest.raises(DataError, match=f"score vif: its {name} is stated as .* by its per-image table"):
        recompute(result, table)


def test_rounding_is_no_edit_and_does_not_stay(tmp_path: Path) -> None:
    result, table = stored(tmp_path)
    result.scores["vif"].mean = statistics.fmean(VALUES) * (1 + 1e-12)
    recompute(result, table)
    assert result.scores["vif"].mean == statistics.fmean(VALUES)


def test_bits_follow_from_the_nats_of_the_table(tmp_path: Path) -> None:
    folder = saved(tmp_path, "mine", {"nll@0": [784.0, 392.0]})
    result, table = load(folder), load_per_image(folder)
    bits = 588 / (784 * math.log(2))
    result.scores["nll_bpd@0"] = type(result.scores["nll@0"])(
        mean=bits, n=2, better="lower", unit="bits/dim", extra={"dims": 784}
    )
    recompute(result, table)
    assert result.scores["nll_bpd@0"].mean == pytest.approx(bits, rel=1e-15)
    result.scores["nll_bpd@0"].mean = bits / 2
    with pytest.raises(DataError, match="score nll_bpd@0"):
        recompute(result, table)


@pytest.mark.parametrize("dims", [0, -3, True, 10**400, "784", None])
def test_dimensions_that_are_none(dims: Any, tmp_path: Path) -> None:
    """No mean can be made with them: the score is stated only."""
    folder = saved(tmp_path, "mine", {"nll@0": [784.0, 392.0]})
    result, table = load(folder), load_per_image(folder)
    kind = type(result.scores["nll@0"])
    result.scores["nll_bpd@0"] = kind(mean=1.5, n=2, better="lower", unit="bits/dim", extra={"dims": dims})
    recompute(result, table)
    assert result.scores["nll_bpd@0"].mean == 1.5


def test_images_without_a_value(tmp_path: Path) -> None:
    result, table = stored(tmp_path)
    table["vif"][1] = np.nan
    with pytest.raises(DataError, match="its mean is stated"):
        recompute(result, table)
    score = result.scores["vif"]
    rest = [VALUES[0], *VALUES[2:]]
    score.mean, score.n, score.sd, score.ci95 = statistics.fmean(rest), 3, None, None
    recompute(result, table)
    assert score.mean == statistics.fmean(rest)
    table["vif"][:] = np.inf
    with pytest.raises(DataError, match="no image has a value"):
        recompute(result, table)
    many = load(saved(tmp_path, "many", {"vif": [1.0] * 300}))
    with pytest.raises(DataError, match="no image has a value"):
        recompute(many, {"id": np.arange(300), "vif": np.full(300, np.nan)})


def test_what_has_no_mean_or_no_column_stays(tmp_path: Path) -> None:
    result, table = stored(tmp_path)
    result.scores["vif"].mean, result.scores["vif"].reason = None, "could not"
    del table["vif"]
    recompute(result, table)
    assert result.scores["vif"].mean is None


def test_a_table_of_other_images(tmp_path: Path) -> None:
    folder = made_up(tmp_path, ids=range(3), dataset={"n": 40})
    with pytest.raises(DataError, match="3 images, its identity 40"):
        recompute(load(folder), load_per_image(folder))


def test_shipped_results_state_what_their_tables_give() -> None:
    root = Path(__file__).parents[2] / "benchmarks" / "results"
    files = sorted(root.glob("**/result.json"))
    assert len(files) > 100
    for file in files:
        result = load(file)
        before = {key: score.mean for key, score in result.scores.items()}
        recompute(result, load_per_image(file))
        assert before == {key: score.mean for key, score in result.scores.items()}, file


def test_saving_again_changes_nothing(tmp_path: Path) -> None:
    folder = made_up(tmp_path)
    before = (folder / "result.json").read_bytes()
    result, table = load(folder), load_per_image(folder)
    recompute(result, table)
    save(result, tmp_path, table)
    assert (folder / "result.json").read_bytes() == before


def test_a_deviation_of_one_image_is_an_edit(tmp_path: Path) -> None:
    folder = saved(tmp_path, "one", {"vif": [0.5]})
    result, table = load(folder), load_per_image(folder)
    assert result.scores["vif"].sd is None
    result.scores["vif"].sd = 0.25
    with pytest.raises(DataError, match=r"score vif: its sd is stated as 0\.25"):
        recompute(result, table)


def test_a_score_without_a_column_hides_no_edit_after_it(tmp_path: Path) -> None:
    folder = saved(tmp_path, "mine", {"ssim": VALUES, "vif": VALUES, "zz": VALUES})
    result, table = load(folder), load_per_image(folder)
    del table["ssim"]
    table["vif"][1] = np.nan
    result.scores["vif"] = summarise(table["vif"], "higher", "1")
    recompute(result, table)
    result.scores["zz"].mean = 9.0
    with pytest.raises(DataError, match="score zz: its mean is stated as 9,"):
        recompute(result, table)


@pytest.mark.parametrize(("off", "edited"), [(1e-5, False), (1e-2, True)])
def test_rounding_is_measured_in_the_largest_value(off: float, edited: bool, tmp_path: Path) -> None:
    """A mean near zero of large values: what another order of the sum does is a part of the values, not of the mean."""
    values = [1e6, -1e6, 0.003]
    folder = saved(tmp_path, "mine", {"vif": values})
    result, table = load(folder), load_per_image(folder)
    result.scores["vif"].mean = 0.001 + off
    if edited:
        with pytest.raises(DataError, match="score vif: its mean is stated"):
            recompute(result, table)
    else:
        recompute(result, table)
        assert result.scores["vif"].mean == math.fsum(values) / 3


def with_ranges(tmp_path: Path, full: list[int], sources: list[int]) -> Path:
    return saved(tmp_path, "mine", {"vif": VALUES, "full_range@fused": full, "full_range@sources": sources})


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ((4, 0, 0), "stated as 0 full images and 0 with a full source of 4, but is 4 full images and 1 with"),
        ((4, 4, 4), "stated as 4 full images and 4 with a full source of 4"),
        ((400, 4, 1), "stated as 4 full images and 1 with a full source of 400"),
        (None, "full_range is missing, but is 4 full images"),
    ],
)
def test_counts_of_full_images_are_those_of_the_table(
    stated: tuple[int, int, int] | None, message: str, tmp_path: Path
) -> None:
    folder = with_ranges(tmp_path, [1, 1, 1, 1], [0, 1, 0, 0])
    result, table = load(folder), load_per_image(folder)
    result.full_range = FullRange(images=4, full=4, sources=1)
    recompute(result, table)  # what is true stays
    result.full_range = msgspec.UNSET if stated is None else FullRange(**dict(zip(COUNTS, stated, strict=True)))
    with pytest.raises(DataError, match=message):
        recompute(result, table)


def test_counts_of_an_earlier_version_are_read_as_they_are(tmp_path: Path) -> None:
    result, table = stored(tmp_path)
    result.full_range = FullRange(images=4, full=4, sources=0)
    recompute(result, table)
    assert result.stretched


TOO_SMALL = NotAvailable("needs images of at least 41×41 pixels", "size")
CONSTANT = NotAvailable("the fused image is constant", "fused")


def hidden(score: Score) -> None:
    score.mean, score.sd, score.ci95, score.reason = None, None, None, "the GPU was busy"


def test_a_mean_that_is_taken_out_hides_no_bad_score(tmp_path: Path) -> None:
    folder = saved(tmp_path / "mine", "mine", {"vif": VALUES})
    saved(tmp_path / "other", "other", {"vif": VALUES})
    result, table = load(folder), load_per_image(folder)
    hidden(result.scores["vif"])
    with pytest.raises(DataError, match="score vif: has no mean, although its per-image table has 4 values"):
        recompute(result, table)
    (folder / "result.json").write_bytes(result_bytes(result))
    found = read_results([tmp_path])
    assert [one.result.identity.model.name for one in found] == ["other"]
    assert "score vif: has no mean" in found.set_aside[0].reason


@pytest.mark.parametrize(
    ("why", "believed"),
    [({}, True), ({CONSTANT: ["2"]}, True), ({CONSTANT: ["2"], TOO_SMALL: ["3"]}, True), ({TOO_SMALL: ["2"]}, False)],
)
def test_no_mean_where_values_lack_that_a_mean_needs(
    why: dict[NotAvailable, list[str]], believed: bool, tmp_path: Path
) -> None:
    """What every method lacks is left out of a mean, and is no reason to have none."""
    result, table = stored(tmp_path)
    table["vif"][2:] = np.nan if len(why) == 2 else [np.nan, 1.0]
    made = result.scores["vif"] = summarise(table["vif"], "higher", "1", why)
    recompute(result, table)  # as it was made it is believed
    assert (made.mean is None) == believed
    hidden(made)
    if believed:
        recompute(result, table)
    else:
        with pytest.raises(DataError, match="score vif: has no mean, although its per-image table has 3 values"):
            recompute(result, table)


@pytest.mark.parametrize(("name", "value"), [("n", 2), ("n", 400), ("sd", 0.5), ("ci95", (0.0, 1.0))])
def test_what_is_stated_of_a_score_without_a_mean(name: str, value: Any, tmp_path: Path) -> None:
    result, table = stored(tmp_path)
    table["vif"][1] = np.nan
    score = result.scores["vif"] = summarise(table["vif"], "higher", "1")
    for n in (3, 4):  # releases count those that have a value, or all
        score.n = n
        recompute(result, table)
    setattr(score, name, value)
    with pytest.raises(DataError, match=f"score vif: its {name} is stated as .*, but it has no mean, and 3 values"):
        recompute(result, table)


def test_bits_are_not_hidden_by_withholding_their_number_of_values(tmp_path: Path) -> None:
    folder = saved(tmp_path, "mine", {"nll@0": [784.0, 392.0]})
    result, table = load(folder), load_per_image(folder)
    result.scores["nll_bpd@0"] = Score(mean=None, n=2, better="lower", unit="bits/dim", reason="lost")
    with pytest.raises(DataError, match="score nll_bpd@0: has no mean"):
        recompute(result, table)


def test_a_number_of_images_is_not_negative(tmp_path: Path) -> None:
    folder = saved(tmp_path, "mine", {"vif": VALUES})
    file = folder / "result.json"
    file.write_text(file.read_text().replace('"n": 4,\n   "reason"', '"n": -5,\n   "reason"'))
    with pytest.raises(DataError, match=r"int` >= 0.*n"):
        load(file)
