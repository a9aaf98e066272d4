"""Results of several benchmarks in one folder: what they are is said on one line, and words choose one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import NotComparableError, UsageError
from fusionbench.results.benchmark_choice import choose_benchmark, what_was_measured
from fusionbench.results.result_set import ResultSet, read_results
from tests.helpers.results import made_up, saved

ROBUST = {"name": "pairs-robust", "params": {"families": ["blur/1"]}}


def read(root: Path) -> ResultSet:
    return read_results([root])


@pytest.fixture
def several(tmp_path: Path) -> ResultSet:
    """Two results of a benchmark, a trial on fewer images, and degraded pairs."""
    for name in ("a", "b"):
        saved(tmp_path, name, {"en": [1.0, 2.0, 3.0]})
    saved(tmp_path, "a", {"en": [1.0, 2.0]})
    saved(tmp_path, "a", {"en": [1.0, 2.0, 3.0]}, protocol=ROBUST)
    return read(tmp_path)


def models(found: ResultSet) -> list[str]:
    return sorted(f"{one.result.identity.model.name} {one.result.identity.protocol.name}" for one in found)


def test_one_benchmark_is_left_as_it_is(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"en": [1.0, 2.0]})
    saved(tmp_path, "b", {"sd": [1.0, 2.0]})
    saved(tmp_path, "c", {"en": [1.0, 2.0]}, protocol={"params": {"stretch": True}})
    found = read(tmp_path)
    assert choose_benchmark(found) is found and choose_benchmark(found, ["pairs"]) is found


def test_several_are_listed_with_the_words_that_choose(several: ResultSet) -> None:
    with pytest.raises(NotComparableError) as error:
        choose_benchmark(several)
    text = str(error.value)
    assert text.startswith("3 benchmarks here, which differ in dataset n, protocol name, protocol params: pairs-demo 1")
    assert "pairs-demo 1.0.0 test n=3 pairs/1 (2 results); " in text and "\n" not in text
    trial = next(one.file for one in several if one.result.identity.dataset.n == 2)
    assert f"pairs-demo 1.0.0 test n=2 pairs/1 (1 result, {trial})" in text
    assert text.endswith("choose one, as with --only pairs/1 --only n=3")


def test_words_choose_one(several: ResultSet) -> None:
    assert models(choose_benchmark(several, ["pairs/1", "n=3"])) == ["a pairs", "b pairs"]
    assert models(choose_benchmark(several, ["n=2"])) == ["a pairs"]
    assert models(choose_benchmark(several, ["Pairs-Robust"])) == ["a pairs-robust"]
    key = what_was_measured(next(one.result for one in several if one.result.identity.dataset.n == 2))
    assert models(choose_benchmark(several, [key[:8]])) == ["a pairs"]


def test_words_that_choose_several_or_none(several: ResultSet) -> None:
    with pytest.raises(NotComparableError, match="2 benchmarks fit --only pairs, which differ in dataset n: "):
        choose_benchmark(several, ["pairs"])
    with pytest.raises(UsageError, match="no benchmark is all of n=2, pairs-robust; there are: "):
        choose_benchmark(several, ["n=2", "pairs-robust"])
    with pytest.raises(UsageError, match=r"Unknown benchmark 'pears/1'. Did you mean 'pairs/1'"):
        choose_benchmark(several, ["pears/1"])


def test_benchmarks_of_the_same_words_show_what_else_differs(tmp_path: Path) -> None:
    for draws in (10, 100):
        made_up(tmp_path, "a", protocol={"params": {"draws": draws, "crop": 1}})
    with pytest.raises(NotComparableError) as error:
        choose_benchmark(read(tmp_path))
    assert "masked/1 draws=10 (" in str(error.value) and "masked/1 draws=100 (" in str(error.value)
    (one,) = choose_benchmark(read(tmp_path), ["draws=100"])
    assert one.result.identity.protocol.params["draws"] == 100
    other = str(error.value).rpartition("--only ")[2]
    assert len(other) == 8 and len(choose_benchmark(read(tmp_path), [other])) == 1


def test_other_images_of_one_number_are_told_by_their_digest(tmp_path: Path) -> None:
    for letter in "ab":
        made_up(tmp_path, "a", dataset={"ids_sha256": letter * 64})
    with pytest.raises(NotComparableError, match=r"differ in dataset ids_sha256: .*masked/1 images=aaaaaaaa"):
        choose_benchmark(read(tmp_path))
    assert len(choose_benchmark(read(tmp_path), ["images=bbbbbbbb"])) == 1


def test_many_are_not_all_listed(tmp_path: Path) -> None:
    for n in range(2, 12):
        saved(tmp_path, "a", {"en": [float(one) for one in range(n)]})
    with pytest.raises(NotComparableError, match=r"10 benchmarks here.* and 4 more; choose one, as with --only n="):
        choose_benchmark(read(tmp_path))
