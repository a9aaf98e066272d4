"""Which shards there are, from which files, and what looks for patches when a worker dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core import progress
from fusionbench.core.cpus import core_count
from fusionbench.core.errors import DataError, MeasurementError, UsageError
from fusionbench.core.io import shipped_folder
from fusionbench.core.parallel import WorkerLostError
from fusionbench.core.workers import Death
from fusionbench.data import pair_patches, shard_layout
from fusionbench.data.build import open_source
from fusionbench.data.dataset import Dataset
from fusionbench.data.recipes import Recipe, parse_recipe
from fusionbench.data.sample_builders import sample_builder
from fusionbench.data.shard_layout import (
    CUTOUTS,
    numbers_of_shard,
    plan_cutouts,
    plan_shards,
    run_away,
    scan_block,
    source_of_shard,
    task_root,
    with_states,
    worker_count,
)
from tests.data.pair_datasets import images, patches
from tests.data.test_build import small_recipe
from tests.data.test_refused import recipe, write_good
from tests.helpers import pair_folders
from tests.sources import folders

__all__ = ["images", "patches"]  # fixtures


@pytest.mark.parametrize(
    ("size", "counts"), [(1501, (1, 1)), (1502, (1, 1)), (1500, (2, 1)), (295, (6, 2)), (1, (1501, 296))]
)
def test_every_sample_is_in_one_shard(size: int, counts: tuple[int, int]) -> None:
    """FusionDigits has 1,501 and 296 samples; the last shard of a split is what is left."""
    made = small_recipe(size)
    builder = sample_builder(made, open_source(made, None))
    plans = plan_shards(made, builder)
    for split, total, count in zip(("train", "test"), (1501, 296), counts, strict=True):
        mine = [plan for plan in plans if plan.split == split]
        assert [plan.number for plan in mine] == list(range(count)) and len({plan.file for plan in mine}) == count
        assert [n for plan in mine for n in range(plan.start, plan.stop)] == list(range(total))
        assert all(plan.stop - plan.start == size for plan in mine[:-1])
        index = np.concatenate([plan.rows for plan in mine if plan.rows is not None])
        assert np.array_equal(index, builder.sample_index(split))
        assert all(plan.file.endswith(f"-of-{count:05d}.h5") for plan in mine)


def test_shards_are_planned_by_arithmetic() -> None:
    recipe = small_recipe(500)
    plans = plan_shards(recipe, sample_builder(recipe, open_source(recipe, None)))
    assert [(plan.split, plan.start, plan.stop) for plan in plans] == [
        ("train", 0, 500),
        ("train", 500, 1000),
        ("train", 1000, 1500),
        ("train", 1500, 1501),
        ("test", 0, 296),
    ]
    assert plans[3].file == "fusiondigits-1.0.0-train-00003-of-00004.h5"


def coil(root: Path) -> tuple[Recipe, Path]:
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    found = parse_recipe(text.replace("every = 6", "every = 3").encode(), "coil.toml")
    assert isinstance(found, Recipe)
    return found, folders.coil(root)


def test_the_numbers_of_a_shard_and_of_a_bank_of_cutouts(tmp_path: Path) -> None:
    made, root = coil(tmp_path)
    source = open_source(made, root)
    plan = plan_shards(made, sample_builder(made, source))[0]
    split, numbers = numbers_of_shard(made, source, plan)
    assert split == made.splits[plan.split].source
    assert plan.rows is not None and numbers.tolist() == sorted(set(plan.rows.tolist()))
    bank = plan_cutouts(made, "train")
    assert (bank.number, bank.rows, bank.file) == (CUTOUTS, None, "fusioncoil-2.0.0-train-cutouts.h5")
    rule = made.splits["train"].occluders
    assert rule is not None
    split, numbers = numbers_of_shard(made, source, bank)
    labels = source.labels(rule.source)
    wanted = np.arange(source.length(rule.source))
    if rule.classes:
        assert labels is not None
        wanted = wanted[np.isin(labels, rule.classes)]
    assert split == rule.source and numbers.tolist() == wanted.tolist()


def test_the_numbers_of_a_shard_of_patches_are_its_pairs(images: Path) -> None:
    made = pair_folders.recipe(pair_folders.PATCHES)
    source = open_source(made, images)
    plans = plan_shards(made, sample_builder(made, source))
    for plan in plans:
        assert plan.rows is not None
        assert numbers_of_shard(made, source, plan)[1].tolist() == sorted({row[0] for row in plan.rows.tolist()})
    assert len(plans) > 1


def test_plans_change_with_the_files_that_they_need(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files", 12)
    made = recipe()  # every third is of "test": 2, 5, 8 and 11
    source = open_source(made, root, fresh=True)
    plans = plan_shards(made, sample_builder(made, source))
    before = [plan.state for plan in with_states(made, source, plans)]
    assert all(before) and len(set(before)) == len(before)
    (root / "05.png").write_bytes(b"")
    after = [plan.state for plan in with_states(made, source, plans)]
    changed = {plan.split for plan, one, two in zip(plans, before, after, strict=True) if one != two}
    assert changed == {"test"} and sum(one != two for one, two in zip(before, after, strict=True)) == 1
    digits = small_recipe(500)
    embedded = open_source(digits, None)
    none = with_states(digits, embedded, plan_shards(digits, sample_builder(digits, embedded)))
    assert {plan.state for plan in none} == {""}


def test_a_worker_lists_the_folder_again_and_refuses_other_files(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files", 12)
    made = recipe()
    source = open_source(made, root, fresh=True)
    plan = with_states(made, source, plan_shards(made, sample_builder(made, source)))[0]
    assert source_of_shard(made, str(root), plan) is source
    (root / "00.png").unlink()  # the numbers of all others are others now
    open_source(made, root, fresh=True)
    with pytest.raises(DataError, match=r"files came or went .* run the same command again"):
        source_of_shard(made, str(root), plan)
    folders.save(root / "00.png", folders.picture(0, 24, 30))
    found = source_of_shard(made, str(root), plan)  # the list that is held is that without 00.png
    assert found is not source and found.length("all") == 12


def test_ranges_are_named_as_the_recipe_calls_them(tmp_path: Path) -> None:
    root = pair_folders.write(tmp_path)
    deep = np.arange(40 * 56, dtype=np.uint16).reshape(40, 56)  # 12 of 16 bits
    folders.save(root / "a" / "scene 0.png", deep)
    made = pair_folders.recipe()
    with pytest.raises(DataError, match=r"range_a = in the recipe's \[pairs\]: "):
        sample_builder(made, open_source(made, root, fresh=True)).arrays("train", np.array([0]), np.array([0]))
    ranged = pair_folders.recipe(pair_folders.TEXT.replace('"bt601/1"', '"bt601/1"\nrange_a = "12bit"'))
    arrays, _ = sample_builder(ranged, open_source(ranged, root)).arrays("train", np.array([0]), np.array([0]))
    assert np.array_equal(arrays["views"][0][0], np.rint(deep.astype(np.float64) * 255 / 4095).astype(np.uint8))
    with pytest.raises(UsageError, match="takes no ranges"):
        text = pair_folders.TEXT.replace('name = "pairs"', 'name = "pairs-demo"').replace(
            '"bt601/1"', '"bt601/1"\nrange_a = "12bit"'
        )
        open_source(pair_folders.recipe(text), None)


@pytest.mark.parametrize(
    ("jobs", "work", "tasks", "expected"),
    [(3, 1, 10, 3), (3, 1, 2, 2), (1, 1 << 40, 10, 1), (0, 1000, 10, 1), (0, 1 << 40, 10_000, None), (5, 1, 0, 1)],
)
def test_how_many_processes(jobs: int, work: int, tasks: int, expected: int | None) -> None:
    assert worker_count(jobs, work, tasks) == (core_count() if expected is None else expected)


def test_folders_as_tasks_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert task_root(None, None) is None and task_root(None, "tcp://a:1") is None
    assert task_root("files", None) == "files" and task_root(Path("files"), "tcp://a:1") == str(tmp_path / "files")


def _is_quiet(number: int) -> tuple[int, bool]:
    return number, progress.QUIET


def test_workers_are_quiet_and_this_process_is_not() -> None:
    tasks = [(number,) for number in range(3)]
    assert list(run_away(_is_quiet, tasks, 1, None)) == [(0, False), (1, False), (2, False)]
    assert sorted(run_away(_is_quiet, tasks, 2, None)) == [(0, True), (1, True), (2, True)]
    assert list(run_away(_is_quiet, tasks[:1], 1, None, isolated=True)) == [(0, True)] and not progress.QUIET


def test_errors_of_a_scan_come_back_as_values(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pair_folders.recipe(pair_folders.PATCHES)
    number, rows, error, bug = scan_block(made, str(images), "train", 7, np.array([1]))
    assert (number, error, bug) == (7, "", "") and set(rows[:, 0].tolist()) == {1}
    _, rows, error, bug = scan_block(made, str(tmp_path / "none"), "train", 7, np.array([1]))
    assert not len(rows) and "no pairs here" in error and not bug

    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(shard_layout, "sample_builder", broken)
    assert scan_block(made, str(images), "train", 7, np.array([1]))[2] == "out of memory; try fewer --jobs"
    monkeypatch.setattr(shard_layout, "sample_builder", lambda *_: 1 / 0)
    _, _, error, bug = scan_block(made, str(images), "train", 7, np.array([1]))
    assert not error and "ZeroDivisionError" in bug


def test_a_worker_that_dies_while_it_looks_is_made_up_for(
    patches: Dataset, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(function: object, tasks: list[tuple], jobs: int, scheduler: str | None) -> Iterator[object]:
        yield shard_layout.scan_block(*tasks[1])
        raise WorkerLostError("killed")

    builder = sample_builder(patches.recipe, open_source(patches.recipe, images))
    monkeypatch.setattr(pair_patches, "_BLOCK", 2)
    monkeypatch.setattr(shard_layout, "run_away", lose)
    shard_layout.scan_source(patches.recipe, builder, images, 2, None)
    arrays = patches.arrays("train")
    assert np.array_equal(builder.sample_index("train"), np.column_stack([arrays.pair, np.asarray(arrays.corner)]))


@pytest.mark.parametrize("again", [True, False])
def test_what_killed_a_worker_that_looked_is_looked_at_by_another_one_alone(
    again: bool, patches: Dataset, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process it would end everything."""
    calls: list[tuple[list[int], int, dict]] = []

    def lose(function: object, tasks: list[tuple], jobs: int, scheduler: str | None, **how: bool) -> Iterator[object]:
        calls.append(([task[3] for task in tasks], jobs, how))
        dies = len(calls) == 1 or again
        yield from (shard_layout.scan_block(*task) for task in (tasks[1:] if dies else tasks))
        if dies:
            raise WorkerLostError("killed", {0: Death(-11, None, Path("a.log"), False)})

    builder = sample_builder(patches.recipe, open_source(patches.recipe, images))
    monkeypatch.setattr(pair_patches, "_BLOCK", 2)
    monkeypatch.setattr(shard_layout, "run_away", lose)
    if again:
        with pytest.raises(MeasurementError, match=r"looked at pairs crashed \(SIGSEGV\) in native code; log: a.log"):
            shard_layout.scan_source(patches.recipe, builder, images, 2, None)
    else:
        shard_layout.scan_source(patches.recipe, builder, images, 2, None)
        arrays = patches.arrays("train")
        assert np.array_equal(builder.sample_index("train"), np.column_stack([arrays.pair, np.asarray(arrays.corner)]))
    assert len(calls[0][0]) > 1 and calls[1:] == [([0], 1, {"isolated": True})]
