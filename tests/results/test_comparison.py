"""What may be compared and what not; cut runs and seeds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError, NotComparable, UsageError
from fusionbench.results.comparison import (
    common_images,
    compare_entries,
    compare_results,
    is_trained,
    per_image,
    read_entries,
)
from fusionbench.results.schema import load, load_per_image, save, summarise
from tests.helpers.results import made_up, saved, without_means


def test_ranks_and_ties_from_files(tmp_path: Path) -> None:
    good, bad = made_up(tmp_path, "good"), made_up(tmp_path, "bad", shift=0.5)
    found = compare_results([good / "result.json", bad])
    assert list(found.scores) == ["nll_bpd@mean", "mse_min@mean"]
    first, second = found.scores["mse_min@mean"]
    assert first is not None and second is not None
    assert (first.rank, second.rank, second.tied) == (1, 2, False)
    assert second.difference == pytest.approx(0.5, abs=0.02)  # own noise: sd 0.01, 160 values a model


def test_a_folder_and_its_files_are_the_same(tmp_path: Path) -> None:
    folders = [made_up(tmp_path, name, shift=i * 0.1) for i, name in enumerate("abc")]
    by_folder = compare_results([tmp_path], resamples=200)
    by_file = compare_results([*folders, folders[0]], resamples=200)
    assert by_folder.scores == by_file.scores and len(by_folder.entries) == 3


def test_patterns_choose_scores(tmp_path: Path) -> None:
    made_up(tmp_path)
    assert list(compare_results([tmp_path], scores=["mse_min@[03]"]).scores) == ["mse_min@0", "mse_min@3"]
    with pytest.raises(UsageError, match=r"no score fits ssim; there are: mse_min@0"):
        compare_results([tmp_path], scores=["ssim"])


def test_seeds_of_one_model_are_one_row(tmp_path: Path) -> None:
    for seed in range(3):
        made_up(tmp_path, seed=seed, shift=seed * 0.1)
    made_up(tmp_path, "other")
    entries = read_entries([tmp_path])
    assert [(entry.title, len(entry.results)) for entry in entries] == [("CVAE", 3), ("OTHER", 1)]
    assert entries[0].values["mse_min@0"].shape == (3, 40)
    found = compare_results([tmp_path]).scores["mse_min@mean"]
    assert found[0] is not None and found[0].runs == 3 and found[0].mean > found[1].mean  # type: ignore[union-attr]


def test_nothing_can_be_compared_with_nothing() -> None:
    assert read_entries([]) == []


def test_cut_runs_take_no_rank_from_full_ones(tmp_path: Path) -> None:
    made_up(tmp_path, "cut", shift=-1, cut=True)
    made_up(tmp_path, "full")
    found = compare_results([tmp_path])
    rows = {entry.title: row for entry, row in zip(found.entries, found.scores["mse_min@mean"], strict=True)}
    assert found.entries[0].cut and rows["FULL"].rank == 1 and rows["FULL"].tied  # type: ignore[union-attr]
    assert rows["CUT"].mean < rows["FULL"].mean  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": {"split": "valid"}}, "dataset split: 'valid' and 'test'"),
        ({"dataset": {"id": "f" * 64}}, "dataset id"),
        ({"protocol": {"seed": 1}}, "protocol seed: 1 and 0"),
        ({"protocol": {"params": {"draws": 5}}}, "protocol params"),
        ({"version": "2"}, "versions 2 and 1 of mse_min"),
        ({"ids": range(1, 41)}, "39 of the 40"),
    ],
)
def test_different_things_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    first, second = made_up(tmp_path), made_up(tmp_path, "other", **change)
    with pytest.raises(NotComparable, match=message):
        compare_results([first, second])


def test_a_metric_that_one_model_lacks_is_a_gap(tmp_path: Path) -> None:
    made_up(tmp_path, "a")
    made_up(tmp_path, "b", metrics={"mse_min": "1"})
    found = compare_results([tmp_path])
    assert found.scores["nll_bpd@mean"][1] is None and found.scores["mse_min@mean"][1] is not None


def test_damaged_and_missing_results(tmp_path: Path) -> None:
    folder = made_up(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no result\.json"):
        compare_results([tmp_path / "empty"])
    with pytest.raises(DataError, match="no such result"):
        compare_results([tmp_path / "nothing.json"])
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with (copy / "images.csv").open("a") as stream:
        stream.write("99,0,0,0,0,0,0,0,0\n")
    with pytest.raises(DataError, match="sha256 differs"):
        compare_results([copy])


def test_averages_are_read_and_bits_follow_from_nats() -> None:
    table = {f"m@{n}": np.array([n, 10.0 * n]) for n in range(4)} | {"m@mean": np.array([7.0, 8.0])}
    assert per_image(table, "m@mean") == pytest.approx([7.0, 8.0]), "what is stored, not a mean of its own"
    assert per_image(table, "m@avg_paper") is None and per_image({"m@0": np.ones(2)}, "m@mean") is None
    bits = summarise(np.ones(2), "lower", "bits/dim", dims=784)
    for column in ("0", "mean", "avg_paper"):
        nats = {f"nll@{column}": np.array([784 * np.log(2), 0])}
        assert per_image(nats, f"nll_bpd@{column}", bits) == pytest.approx([1.0, 0.0])
    assert per_image({"nll@0": np.ones(2)}, "nll_bpd@1", bits) is None


def test_the_former_name_of_the_mean_is_understood(tmp_path: Path) -> None:
    made_up(tmp_path)
    for pattern in ("mse_min@avg4", "mse_min@avg*", "mse_min@mean"):
        assert list(compare_results([tmp_path], scores=[pattern], resamples=100).scores) == ["mse_min@mean"]


def test_rows_are_compared_on_images_that_any_of_them_has() -> None:
    nan = np.nan
    whole, small = np.array([1.0, 2.0, nan, 4.0]), np.array([[1.0, nan, nan, 4.0], [2.0, 3.0, nan, 5.0]])
    mask, reasons = common_images([whole, small, np.array([1.0, 2.0, nan, np.inf])])
    assert mask.tolist() == [True, True, False, True] and reasons[0] == ""
    assert reasons[1] == reasons[2] == "has a value for only 2 of the 3 images that other rows have values for"
    assert common_images([]) == (pytest.approx([]), [])
    assert common_images([np.array([nan])])[1] == [
        "has a value for only 0 of the 0 images that other rows have values for"
    ]


def test_a_run_without_a_mean_is_not_left_out_of_its_row(tmp_path: Path) -> None:
    """A model with three seeds, one of which has no mean, is not ranked by the other two."""
    for seed in range(3):
        folder = made_up(tmp_path, "three", seed=seed)
    made_up(tmp_path, "other", shift=1)
    without_means(folder, "mse_min@0", "mse_min@mean")
    found = compare_results([tmp_path], scores=["mse_min@0", "mse_min@1"], resamples=100)
    i = [entry.title for entry in found.entries].index("THREE")
    assert found.scores["mse_min@0"][i] is None and found.not_ranked["mse_min@0"] == {
        i: "1 of 40 images have no finite value"
    }
    assert found.scores["mse_min@1"][i] is not None and found.scores["mse_min@1"][i].runs == 3  # type: ignore[union-attr]
    assert found.scores["mse_min@0"][1 - i].rank == 1  # type: ignore[union-attr]


def test_a_score_that_nobody_has_is_shown(tmp_path: Path) -> None:
    without_means(made_up(tmp_path), "mse_min@0", "mse_min@mean")
    found = compare_results([tmp_path], scores=["mse_min@0"])
    assert (
        found.scores["mse_min@0"] == [None] and found.better["mse_min@0"] == "lower" and found.counted["mse_min@0"] == 0
    )


def test_images_are_matched_by_id_and_not_by_their_place(tmp_path: Path) -> None:
    """Three files with the same images in three orders; every value names its image, so a mix-up shows."""
    orders = {"first": [3, 1, 2, 6, 5, 4], "second": [1, 2, 3, 4, 5, 6], "third": [2, 3, 1, 4, 6, 5]}
    for name, ids in orders.items():
        shift = list(orders).index(name) / 4
        saved(tmp_path, name, {"vif": [2.0**i + shift for i in ids], "ssim": [i + shift for i in ids]}, ids=ids)
    for entry in read_entries([tmp_path]):
        shift = list(orders).index(entry.title) / 4
        assert entry.ids == [1, 2, 3, 4, 5, 6]
        assert entry.values["vif"].tolist() == [[2.0**i + shift for i in range(1, 7)]]
        assert entry.values["ssim"].tolist() == [[i + shift for i in range(1, 7)]]
    found = compare_results([tmp_path], scores=["vif"], resamples=500)
    for entry, row in zip(found.entries, found.scores["vif"], strict=True):
        assert row is not None
        # the same difference on every image: in pairs its interval is a point, out of step it is wide
        expected = list(orders).index(entry.title) / 4 - 0.5
        assert (row.difference_low, row.difference_high) == pytest.approx((expected, expected), abs=1e-9)
        assert row.tied == (entry.title == "third")


def test_runs_of_one_model_are_matched_by_id_too(tmp_path: Path) -> None:
    saved(tmp_path, "net", {"vif": [30.0, 10.0, 20.0]}, ids=["c", "a", "b"], seed=0)
    saved(tmp_path, "net", {"vif": [11.0, 21.0, 31.0]}, ids=["a", "b", "c"], seed=1)
    (entry,) = read_entries([tmp_path])
    assert entry.ids == ["a", "b", "c"]
    assert sorted(entry.values["vif"].tolist()) == [[10.0, 20.0, 30.0], [11.0, 21.0, 31.0]]


def test_names_that_are_numbers_and_text_are_other_images(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"vif": [1.0, 2.0]}, ids=["01", "02"])
    saved(tmp_path, "b", {"vif": [1.0, 2.0]}, ids=[1, 2])
    with pytest.raises(NotComparable, match="0 of the 2"):
        read_entries([tmp_path])


def test_a_value_that_is_missing_moves_with_its_image(tmp_path: Path) -> None:
    """No row has image 2; each file has it at another place."""
    nan = float("nan")
    for name, ids, values in (("a", [2, 1, 3], [nan, 1.0, 3.0]), ("b", [1, 2, 3], [0.5, nan, 2.5])):
        folder = saved(tmp_path, name, {"vif": values}, ids=ids)
        made = load(folder)
        made.scores["vif"] = summarise(np.array([value for value in values if value == value]), "higher", "1")
        save(made, tmp_path, load_per_image(folder))
    found = compare_results([tmp_path], resamples=100)
    assert found.counted == {"vif": 2} and found.not_ranked == {"vif": {}}
    first, second = found.scores["vif"]
    assert first is not None and second is not None and (first.mean, second.mean) == (2.0, 1.5)
    assert second.difference_low == second.difference_high == -0.5


def test_tiers_are_ranked_apart_or_together(tmp_path: Path) -> None:
    for name, shift, status in (("best", 0.0, "scored"), ("second", 0.5, "verified"), ("third", 1.0, "verified")):
        folder = made_up(tmp_path, name, shift=shift)
        made = load(folder)
        made.status = status  # type: ignore[assignment]
        save(made, tmp_path, load_per_image(folder))

    def ranks(tiers: str) -> dict[str, int]:
        found = compare_results([tmp_path], tiers=tiers, resamples=200)  # type: ignore[arg-type]
        rows = zip(found.entries, found.scores["mse_min@mean"], strict=True)
        return {entry.results[0].identity.model.name: row.rank for entry, row in rows if row is not None}

    assert ranks("apart") == {"best": 1, "second": 1, "third": 2}
    assert ranks("together") == {"best": 1, "second": 2, "third": 3}


def test_a_row_is_trained_where_its_result_says_how(tmp_path: Path) -> None:
    made_up(tmp_path, "learns")
    made_up(tmp_path, "copies", family="trivial")
    found = {entry.results[0].identity.model.name: is_trained(entry) for entry in read_entries([tmp_path])}
    assert found == {"learns": True, "copies": False}


def test_the_documented_defaults(tmp_path: Path) -> None:
    """Tables that are printed twice are the same, and the seed that a report names is the one that was used."""
    for name, drawn in zip("ab", np.random.default_rng(4).exponential(size=(2, 7)), strict=True):
        saved(tmp_path, name, {"vif": drawn.tolist()})
    stated: dict[str, Any] = {"resamples": 10_000, "level": 0.95, "seed": 0, "tiers": "apart"}
    expected = compare_results([tmp_path], **stated).scores
    assert compare_results([tmp_path]).scores == compare_entries(read_entries([tmp_path])).scores == expected
    assert compare_results([tmp_path], **stated | {"seed": 1}).scores != expected, "the seed is used"


def test_scores_of_a_pattern_are_in_the_order_of_their_metrics(tmp_path: Path) -> None:
    saved(tmp_path, "a", {f"{metric}@{column}": [1.0, 2.0] for column in (10, 2, 1) for metric in ("vif", "ssim")})
    found = compare_results([tmp_path], scores=["*"], resamples=10)
    assert list(found.scores) == [f"{metric}@{column}" for metric in ("ssim", "vif") for column in (1, 2, 10)]


def test_a_score_that_says_the_same_as_another_is_left_out_by_default(tmp_path: Path) -> None:
    saved(tmp_path / "both", "a", {key: [1.0, 2.0] for key in ("nll@mean", "nll_bpd@mean", "nll_bpd@0", "vif")})
    assert list(compare_results([tmp_path / "both"], resamples=10).scores) == ["nll_bpd@mean", "vif"]
    assert list(compare_results([tmp_path / "both"], scores=["nll@*"], resamples=10).scores) == ["nll@mean"]
    saved(tmp_path / "one", "a", {key: [1.0, 2.0] for key in ("nll@mean", "elbo@mean")})
    assert list(compare_results([tmp_path / "one"], resamples=10).scores) == ["nll@mean", "elbo@mean"]
