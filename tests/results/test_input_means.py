"""The mean over the numbers of inputs: one definition, by an independent oracle, for every number of views."""

from __future__ import annotations

import csv
import json
import math
import shutil
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.evaluation.masked import Protocol
from fusionbench.results import input_means as means
from fusionbench.results import schema
from fusionbench.results.comparison import compare_results
from tests.helpers.results import made_up

FORMER = Path(__file__).parents[1] / "golden" / "results" / "first-release"


def scores_of(views: int, images: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Per-image values of very different sizes at N = 0..V, beside columns that have nothing to do with them."""
    rng = np.random.default_rng([views, images, seed])
    values = rng.lognormal(sigma=4, size=(views + 1, images)) * rng.choice([-1, 1], (views + 1, images))
    table = {"id": np.arange(images), "floor": rng.random(images), "mm@0": rng.random(images)}
    return table | {f"m@{count}": column for count, column in enumerate(values)}


def weights_by_counting(images: int, views: int, batch: int) -> np.ndarray:
    """The paper's weights, image by image: batch i gets i mod (V+1) inputs."""
    given = [(image // batch) % (views + 1) for image in range(images)]
    return np.array([given.count(count) / images for count in range(views + 1)])


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 64), st.integers(1, 40), st.integers(1, 50))
def test_averages_of_any_number_of_views(views: int, images: int, batch: int) -> None:
    table = scores_of(views, images)
    found = means.averages(table, "m", views, batch)
    assert list(found) == ["m@mean", "m@avg_paper"]
    stack = np.stack([table[f"m@{count}"] for count in range(views + 1)])
    size = np.abs(stack).max(axis=0)
    np.testing.assert_allclose(found["m@mean"], np.mean(stack, axis=0), rtol=1e-13, atol=float(1e-14 * size.max()))
    exact = [float(sum(map(Fraction, column)) / (views + 1)) for column in stack.T.tolist()]
    assert np.all(np.abs(found["m@mean"] - exact) <= 1e-14 * size)
    expected = weights_by_counting(images, views, batch) @ stack
    assert np.all(np.abs(found["m@avg_paper"] - expected) <= 1e-13 * size)


@pytest.mark.parametrize("views", [1, 2, 5, 9, 64])
def test_an_image_does_not_depend_on_the_others(views: int) -> None:
    """To the bit: NumPy's own mean sums a single image in another order than many."""
    table = scores_of(views, 37)
    whole = means.averages(table, "m", views, None)["m@mean"]
    order = np.random.default_rng(1).permutation(37)
    moved = means.averages({key: values[order] for key, values in table.items()}, "m", views, None)["m@mean"]
    assert moved.tobytes() == whole[order].tobytes()
    for image in (0, 36):
        alone = {key: values[[image]] for key, values in table.items()}
        assert means.averages(alone, "m", views, None)["m@mean"].tobytes() == whole[[image]].tobytes()


@given(st.integers(1, 2000), st.integers(1, 64), st.integers(1, 300))
def test_the_papers_weights(images: int, views: int, batch: int) -> None:
    found = means.paper_weights(images, views, batch)
    np.testing.assert_allclose(found, weights_by_counting(images, views, batch), rtol=1e-14, atol=0)
    assert found.tobytes() == Protocol(paper_batch=batch).paper_weights(images, views).tobytes()


def test_what_has_no_mean() -> None:
    table = scores_of(3, 4)
    for views, message in ((4, "no column m@4"), (0, "0 views"), (65, "65 views")):
        with pytest.raises(DataError, match=message):
            means.averages(table, "m", views, 32)
    assert means.averages(table, "m", 2, None).keys() == {"m@mean"}, "the paper's needs its batch"
    lost = {**table, "m@1": np.array([np.nan, 1, np.inf, 2])}
    assert np.isfinite(means.averages(lost, "m", 3, 1)["m@mean"]).tolist() == [False, True, False, True]


def test_views_of_a_protocol_and_of_a_table() -> None:
    assert means.views_in_params({"inputs": [0, 1]}) == 1
    for inputs in (None, [], [0], [1, 2], [0, 2], "0123", list(range(66)), [0, "1"]):
        assert means.views_in_params({"inputs": inputs}) is None, inputs
    assert means.views_in_params({"inputs": list(range(65))}) == 64
    assert means.views_in(["m@0", "m@1", "m@mean", "mm@2", "m"], "m") == 1
    for names in (["m@0"], ["m@0", "m@2"], ["m@0", "m@01"], ["m@0", "m@٣"], [f"m@{n}" for n in range(66)]):
        assert means.views_in(names, "m") is None, names


def test_columns_stand_in_the_order_of_their_inputs() -> None:
    keys = ["m@avg_paper", "m@10", "m@mean", "m@2", "m@0", "m@unnamed"]
    assert sorted(keys, key=means.column_order) == ["m@0", "m@2", "m@10", "m@mean", "m@avg_paper", "m@unnamed"]


def test_former_and_present_names() -> None:
    assert [means.current_key(key) for key in ("nll@avg4", "*@avg4", "nll@avg_paper", "avg4", "nll@avg40")] == [
        "nll@mean",
        "*@mean",
        "nll@avg_paper",
        "avg4",
        "nll@avg40",
    ]
    assert list(means.current_keys({"b@avg4": 1, "a@0": 2, "a@mean": 3})) == ["b@mean", "a@0", "a@mean"]
    with pytest.raises(ValueError, match="both a@avg4 and a@mean"):
        means.current_keys({"a@mean": 1, "a@avg4": 2})
    assert means.matches("nll@mean", "nll@avg4") and means.matches("nll@mean", "nll@avg?")
    assert not means.matches("nll@mean", "nll@0") and not means.matches("nll@3", "nll@avg4")
    assert means.renaming(["mse_min@*", "nll@mean"]) is None
    assert means.renaming(["nll@avg4", "nll@avg4", "x"]) == (
        "@avg4 is now called @mean: write nll@mean instead of nll@avg4"
    )


def test_words_for_numbers_of_inputs() -> None:
    assert [means.inputs_text(views) for views in (1, 2, 3, 4, 64)] == [
        "0 and 1 input",
        "0, 1 and 2 inputs",
        "0, 1, 2 and 3 inputs",
        "0 to 4 inputs",
        "0 to 64 inputs",
    ]
    assert means.subsample(range(5), 8) == [0, 1, 2, 3, 4]
    assert means.subsample(range(65), 8) == [0, 9, 18, 27, 36, 45, 54, 64]


# Stored results


def as_before(folder: Path) -> None:
    """Rewrite a result as an older version would have: ``avg4`` in its scores, no averages in its table."""
    path = folder / "result.json"
    with (folder / "images.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    keep = [n for n, name in enumerate(rows[0]) if name.partition("@")[2] not in means.AVERAGES]
    made = schema.load(folder)
    table = {rows[0][n]: [json.loads(row[n]) for row in rows[1:]] for n in keep}
    schema.save(made, folder.parents[2], table)
    path.write_text(path.read_text().replace('@mean":', '@avg4":'))


@pytest.mark.parametrize("views", [1, 2, 3, 5, 11, 64])
def test_an_old_result_says_what_a_new_one_says(tmp_path: Path, views: int) -> None:
    folder = made_up(tmp_path, views=views, ids=range(12))
    new, new_table = schema.load(folder), schema.load_per_image(folder)
    as_before(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert "avg4" in before[folder / "result.json"].decode() and "@mean" not in before[folder / "images.csv"].decode()
    old, old_table = schema.load(folder), schema.load_per_image(folder)
    assert old.scores == new.scores and old.id == new.id
    assert {key: old_table[key].tobytes() for key in old_table} == {key: new_table[key].tobytes() for key in new_table}
    compared = compare_results([tmp_path], scores=["mse_min@avg4"], resamples=100).scores["mse_min@mean"][0]
    assert compared is not None and compared.mean == new.scores["mse_min@mean"].mean
    assert list(compare_results([tmp_path], resamples=100).scores) == ["nll_bpd@mean", "mse_min@mean"]
    assert before == {path: path.read_bytes() for path in folder.iterdir()}, "results on disk are not rewritten"


def test_a_score_under_two_names_is_refused(tmp_path: Path) -> None:
    folder = made_up(tmp_path)
    content = json.loads((folder / "result.json").read_text())
    content["scores"]["mse_min@avg4"] = content["scores"]["mse_min@mean"]
    (folder / "result.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"has both mse_min@avg4 and mse_min@mean.*score again") as caught:
        schema.load(folder)
    assert str(folder) in str(caught.value)


def saved_with(root: Path, folder: Path, table: dict[str, np.ndarray]) -> Path:
    return schema.save(schema.load(folder), root, table)


def test_a_stored_mean_of_something_else_is_refused(tmp_path: Path) -> None:
    """As of the first four columns of five views, or of a table that was edited; rounding is none."""
    folder = made_up(tmp_path, views=5)
    table = schema.load_per_image(folder)
    rounded = table | {"mse_min@mean": np.nextafter(table["mse_min@mean"], 1)}
    assert "mse_min@mean" in schema.load_per_image(saved_with(tmp_path, folder, rounded))
    for name in ("mse_min@mean", "mse_min@avg4"):
        four = {key: values for key, values in table.items() if key != "mse_min@mean"}
        four[name] = np.mean([table[f"mse_min@{count}"] for count in range(4)], axis=0)
        saved_with(tmp_path, folder, four)
        with pytest.raises(DataError, match=r"images\.csv: column mse_min@mean is not the average of .*@0 to .*@5"):
            schema.load_per_image(folder)


def test_the_order_of_the_images_changes_nothing(tmp_path: Path) -> None:
    folder = made_up(tmp_path, "a", views=5)
    made_up(tmp_path, "b", views=5, shift=0.01)
    table = schema.load_per_image(folder)
    before = compare_results([tmp_path], scores=["*"], resamples=200)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(table["id"]))
        assert not np.array_equal(order, np.arange(len(order)))
        saved_with(tmp_path, folder, {key: values[order] for key, values in table.items()})
        assert compare_results([tmp_path], scores=["*"], resamples=200).scores == before.scores
    one = table | {"mse_min@0": np.roll(table["mse_min@0"], 1)}  # what is no permutation of images does change it
    one |= means.averages(one, "mse_min", 5, None)
    saved_with(tmp_path, folder, one)
    assert compare_results([tmp_path], scores=["*"], resamples=200).scores != before.scores


def test_a_result_of_the_first_release_is_compared_with_a_new_one(tmp_path: Path) -> None:
    """FCN of COIL, scored before the mean had its name, and a row that differs from it by 0.01 in every column."""
    shutil.copytree(FORMER / "fcn", tmp_path / "fusioncoil" / "fcn")
    folder = next((tmp_path / "fusioncoil" / "fcn").iterdir())
    raw = json.loads((folder / "result.json").read_text())["scores"]
    assert "mse_min@avg4" in raw and "mse_min@mean" not in raw
    old, table = schema.load(folder), schema.load_per_image(folder)
    params = old.identity.protocol.params
    shifted = {key: values + 0.01 if key.startswith("mse_min@") else values for key, values in table.items()}
    shifted = {key: values for key, values in shifted.items() if key.partition("@")[2] not in means.AVERAGES}
    for name in ("nll", "elbo", "mse_min"):
        shifted |= means.averages(shifted, name, 3, params["paper_batch"])
    identity = msgspec.structs.replace(old.identity, model=msgspec.structs.replace(old.identity.model, name="new"))
    scores = {f"mse_min@{n}": schema.summarise(shifted[f"mse_min@{n}"], "lower", "1") for n in ("0", *means.AVERAGES)}
    new = msgspec.structs.replace(
        old, id=schema.identity_id(identity), identity=identity, scores=scores, title="New", per_image=None
    )
    schema.save(new, tmp_path, {key: values for key, values in shifted.items() if key == "id" or key in scores})
    rows = compare_results([tmp_path], scores=["mse_min@mean", "mse_min@avg_paper"], resamples=100)
    assert [entry.title for entry in rows.entries] == ["FCN", "New"]
    for key, former in (("mse_min@mean", "mse_min@avg4"), ("mse_min@avg_paper", "mse_min@avg_paper")):
        first, second = rows.scores[key]
        assert first is not None and second is not None
        assert first.mean == pytest.approx(raw[former]["mean"], rel=1e-15)
        assert second.mean - first.mean == pytest.approx(0.01, rel=1e-9)
    exact = [math.fsum(table[f"mse_min@{n}"][i] for n in range(4)) / 4 for i in range(len(table["id"]))]
    assert table["mse_min@mean"] == pytest.approx(exact, rel=1e-15)
