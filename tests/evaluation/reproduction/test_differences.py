"""Differences of made-up tables, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fusionbench.evaluation.reproduction.differences import (
    environment_differences,
    largest_difference,
    score_differences,
)
from fusionbench.results.full_range import FullRange
from fusionbench.results.schema import (
    DatasetIdentity,
    Identity,
    ModelIdentity,
    ProtocolIdentity,
    Result,
    summarise,
)

IDS = np.array(["a", "b", "c"])


def result(table: dict[str, np.ndarray], **provenance: Any) -> Result:
    identity = Identity(
        model=ModelIdentity(name="average", version="1"),
        dataset=DatasetIdentity(name="tno", version="1.0.0", split="test", id="", n=3, ids_sha256=""),
        protocol=ProtocolIdentity(name="pairs", version="1", seed=0),
        metrics={},
    )
    scores = {key: summarise(column, "higher", "1") for key, column in table.items() if key != "id"}
    return Result(id="", status="verified", identity=identity, scores=scores, provenance=provenance)


def pair(then: list[float], now: list[float], key: str = "vif", **options: Any) -> Any:
    tables = [{"id": IDS[: len(values)], key: np.array(values)} for values in (then, now)]
    found = score_differences(result(tables[0]), tables[0], result(tables[1]), tables[1], **options)
    return found.get(key)


def test_equal_bits() -> None:
    one = pair([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (one.same, one.identical, one.largest, one.image, one.values) == (True, True, 0.0, "", 3)


def test_a_row_that_is_stretched_on_one_side_only_is_different() -> None:
    images = 30
    tables = []
    for full in (0, 2, 30):
        flags = {"full_range@fused": [1] * full + [0] * (images - full), "full_range@sources": [0] * images}
        table = {"id": np.arange(images), "vif": np.zeros(images), **{key: np.array(one) for key, one in flags.items()}}
        tables.append((result({"id": table["id"], "vif": table["vif"]}), table))
    (plain, few), (_, other), (wide, all_full) = ((one, table) for one, table in tables)
    assert "full_range" not in score_differences(plain, few, plain, other), "two images are chance"
    found = score_differences(plain, few, wide, all_full)
    assert found["vif"].same and not found["full_range"].same
    assert (found["full_range"].then, found["full_range"].now, found["full_range"].largest) == (0, 30, 30)
    old = {"id": few["id"], "vif": few["vif"]}
    plain.full_range = FullRange(images=images, full=0, sources=0)  # of an earlier version: the file's own word
    assert not score_differences(plain, old, wide, all_full)["full_range"].same
    assert "full_range" not in score_differences(plain, old, wide, all_full, partial=True)
    assert "full_range" not in score_differences(plain, few, wide, all_full, training=0.05)


def test_clipped_pixels_that_were_not_in_the_table_are_different() -> None:
    """Somebody who sets the column to nothing has other scores or another share when the row is made again."""
    values = {"id": np.arange(4), "vif": np.full(4, 0.5)}
    row = result(values)
    for stated, same in ((0.03, True), (0.0304, True), (0.0, False)):
        table = values | {"clipped": np.full(4, stated)}
        found = score_differences(row, table, row, values | {"clipped": np.full(4, 0.03)})
        assert found["vif"].same and ("clipped" not in found) == same
    assert (found["clipped"].then, found["clipped"].now) == (0.0, pytest.approx(0.03))
    assert "clipped" not in score_differences(row, values, row, table), "of an earlier release"


def test_one_image_beyond_the_tolerance_is_different_though_the_mean_is_not() -> None:
    one = pair([0.1, 0.2, 0.3], [0.1015, 0.1955, 0.303])  # the metric allows 0.002; means are equal
    assert not one.same and one.image == "b" and abs(one.largest - 0.0045) < 1e-12
    assert one.then is not None and abs(one.then - one.now) < 1e-9 and one.atol == 0.002


def test_all_images_within_the_tolerance() -> None:
    one = pair([0.1, 0.2, 0.3], [0.1019, 0.2, 0.3])
    assert one.same and not one.identical and one.image == "a"


def test_a_value_on_one_side_only_is_different() -> None:
    one = pair([0.1, np.nan, 0.3], [0.1, 0.2, 0.3])
    assert (one.same, one.largest, one.image) == (False, None, "b")
    one = pair([0.1, np.nan, 0.3], [0.1, np.nan, 0.3])
    assert one.same and one.identical


def test_another_number_of_images_and_a_score_that_is_gone() -> None:
    assert not pair([0.1, 0.2, 0.3], [0.1, 0.2]).same
    table = {"id": IDS, "vif": np.ones(3), "sd": np.ones(3)}
    fewer = {"id": IDS, "vif": np.ones(3)}
    found = score_differences(result(table), table, result(fewer), fewer)
    assert found["vif"].same and not found["sd"].same and found["sd"].largest is None


def test_a_part_has_no_means() -> None:
    assert pair([0.1, 0.2], [0.1, 0.2], partial=True).then is None
    assert pair([0.1, 0.2], [0.1, 0.2], key="mse_min@avg_paper", partial=True) is None


def test_training_again_compares_means_alone() -> None:
    one = pair([0.1, 0.2, 0.3], [0.3, 0.2, 0.1], training=0.05)
    assert one.same and one.values == 0 and one.rtol == 0.05
    assert not pair([0.1, 0.2, 0.3], [0.2, 0.2, 0.3], training=0.05).same


def test_without_a_table_the_means_are_compared() -> None:
    table = {"id": IDS, "vif": np.array([0.1, 0.2, 0.3])}
    moved = {"id": IDS, "vif": np.array([0.1, 0.2, 0.4])}
    found = score_differences(result(table), None, result(moved), moved)["vif"]
    assert not found.same and abs(found.largest - 0.1 / 3) < 1e-12 and found.image == ""
    assert score_differences(result(table), None, result(table), table)["vif"].identical


def test_environments() -> None:
    table = {"id": IDS, "vif": np.ones(3)}
    then = result(
        table,
        precision="fp32",
        host={"threads": 1, "device": "cpu"},
        environment={"code": {"commit": "a" * 40}, "packages": "numpy==1 torch==2 gone==1", "python": "CPython 3.11.7"},
    )
    now = result(
        table,
        precision="fp32",
        host={"threads": 2, "device": "cpu"},
        environment={"code": {"commit": "b" * 40}, "packages": "numpy==2 torch==2 new==3", "python": "CPython 3.11.7"},
    )
    assert environment_differences(then, now) == {
        "threads": ("1", "2"),
        "commit": ("a" * 40, "b" * 40),
        "package numpy": ("1", "2"),
        "package gone": ("1", "not installed"),
        "package new": ("not installed", "3"),
    }
    assert environment_differences(then, then) == {}


def test_provenance_of_any_shape_is_survived() -> None:
    table = {"id": IDS, "vif": np.ones(3)}
    odd = result(table, environment=[1], host="x", precision=None)
    assert environment_differences(odd, odd) == {}
    now = result(table, environment={"packages": "numpy==2"})
    assert environment_differences(odd, now) == {"packages": ("not recorded", "1 packages")}


def test_the_largest_difference_is_measured_by_its_tolerance() -> None:
    sd = pair([50.0, 60.0], [50.009, 60.0], key="sd")  # of 0.01
    vif = pair([0.5, 0.6], [0.5019, 0.6], key="vif")  # of 0.002, which is nearer
    assert largest_difference({"sd": sd, "vif": vif}) == ("vif", vif)
    assert largest_difference({"sd": pair([1.0], [1.0])}) is None
