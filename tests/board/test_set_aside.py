"""Results that measured something else than most of their group."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fusionbench.board.rows import benchmarks
from fusionbench.board.set_aside import comparable
from fusionbench.results.result_set import SetAside, read_results
from fusionbench.results.schema import Origin, SubmittedRow, load, load_per_image, save
from tests.helpers.results import made_up


def test_the_images_of_most_are_the_images(tmp_path: Path) -> None:
    made_up(tmp_path, "aaa", ids=range(5, 45))
    for name in ("b", "c"):
        made_up(tmp_path, name)
    aside: list[SetAside] = []
    kept = comparable(list(read_results(tmp_path)), aside)
    assert [one.result.identity.model.name for one in kept] == ["b", "c"]
    (one,) = aside
    assert one.model == "aaa" and one.reason.startswith("was scored on 40 images, 35 of the 40 of the others")


def test_the_order_of_images_means_nothing(tmp_path: Path) -> None:
    made_up(tmp_path, "a", ids=[2, 0, 1])
    made_up(tmp_path, "b", ids=[0, 1, 2])
    aside: list[SetAside] = []
    assert len(comparable(list(read_results(tmp_path)), aside)) == 2 and not aside


def test_the_version_of_most_is_the_version(tmp_path: Path) -> None:
    for name, version in (("a", "2"), ("b", "1"), ("c", "1")):
        made_up(tmp_path, name, version=version)
    aside: list[SetAside] = []
    (board,) = benchmarks(tmp_path, 50, aside)
    assert {row.title for row in board.rows} == {"B", "C"}
    assert aside[0].reason == "the version of mse_min is 2 here, 1 in the others; score it again"


@pytest.mark.parametrize(("field", "value"), [("better", "higher"), ("unit", "dB")])
@pytest.mark.parametrize("stated", [False, True])
def test_a_direction_or_unit_that_differs_stops_nobody_else(
    tmp_path: Path, field: str, value: str, stated: bool
) -> None:
    for name in ("a", "b", "c"):
        made_up(tmp_path, name)
    found = read_results(tmp_path)
    odd = found.members[0].result
    setattr(odd.scores["mse_min@mean"], field, value)
    odd.per_image = None if stated else odd.per_image
    aside: list[SetAside] = []
    (board,) = benchmarks(found, 50, aside)
    assert {row.title for row in board.rows if row.kind == "ranked"} == {"B", "C"}
    (one,) = aside
    assert one.model == "a" and "of mse_min@mean is" in one.reason and "score it again" in one.reason


def test_the_same_weights_from_two_sides_stop_nobody_else(tmp_path: Path) -> None:
    """The maintainers' own result stays, then that of a confirmed submitter, then the first one."""
    made_up(tmp_path / "0", "other")
    sides = {"1": ("Eve", False), "2": ("Ada", True), "3": (None, False)}
    for folder, (who, confirmed) in sides.items():
        file = made_up(tmp_path / folder, "a") / "result.json"
        if who is not None:
            result = load(file)
            row = SubmittedRow(id=folder * 64, confirmed=confirmed)
            result.origin = Origin(kind="submission", submitter=who, submission=row)
            save(result, tmp_path / folder, load_per_image(file))
    for kept in ("3", "2", "1"):
        aside: list[SetAside] = []
        found = comparable(list(read_results(tmp_path)), aside)
        assert [one.file.relative_to(tmp_path).parts[0] for one in found] == ["0", kept]
        assert all("which is from another side" in one.reason for one in aside) and len(aside) == int(kept) - 1
        shutil.rmtree(tmp_path / kept)


def test_one_submission_in_two_results(tmp_path: Path) -> None:
    for seed in (0, 1):
        file = made_up(tmp_path, "a", seed=seed) / "result.json"
        result = load(file)
        result.origin = Origin(kind="submission", submitter="Ada", submission=SubmittedRow(id="a" * 64))
        save(result, tmp_path, load_per_image(file))
    aside: list[SetAside] = []
    (board,) = benchmarks(tmp_path, 50, aside)
    assert len(board.kind("ranked")) == 1 and "is of submission aaaaaaaaaaaa" in aside[0].reason


def test_what_is_stated_only_is_comparable_with_everything(tmp_path: Path) -> None:
    folder = made_up(tmp_path, "a")
    found = read_results(tmp_path)
    found.members[0].result.per_image = None
    aside: list[SetAside] = []
    assert [one.folder for one in comparable(list(found), aside)] == [folder] and not aside
