"""Results that measured something else than most of their group."""

from __future__ import annotations

from pathlib import Path

from fusionbench.board.rows import benchmarks
from fusionbench.board.set_aside import comparable
from fusionbench.results.result_set import SetAside, read_results
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
    assert "version 2 of" in aside[0].reason and "the others with 1" in aside[0].reason


def test_what_is_stated_only_is_comparable_with_everything(tmp_path: Path) -> None:
    folder = made_up(tmp_path, "a")
    found = read_results(tmp_path)
    found.members[0].result.per_image = None
    aside: list[SetAside] = []
    assert [one.folder for one in comparable(list(found), aside)] == [folder] and not aside
