"""One shard: errors come back as values, and a note counts only for the shard that it is of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import file_sha256
from fusionbench.data import build_shards
from fusionbench.data.build_shards import JOURNAL, build_shard, note_path, read_note
from fusionbench.data.sample_builders import sample_builder
from fusionbench.data.shard_layout import ShardPlan, open_source, plan_shards
from fusionbench.data.shards.reader import open_shard
from tests.data.test_build import small_recipe

RECIPE = small_recipe()


def plans() -> list[ShardPlan]:
    return plan_shards(RECIPE, sample_builder(RECIPE, open_source(RECIPE, None)))


@pytest.fixture
def plan(tmp_path: Path) -> ShardPlan:
    chosen = plans()[3]
    outcome = build_shard(RECIPE, None, tmp_path, chosen)
    assert (outcome.error, outcome.bug, outcome.death, outcome.plan) == ("", "", None, chosen)
    return chosen


def test_a_shard_and_the_note_on_it(tmp_path: Path, plan: ShardPlan) -> None:
    path = tmp_path / plan.file
    shard = open_shard(path)
    assert len(shard) == plan.stop - plan.start == 64
    assert shard.arrays["index"].tolist() == list(range(plan.start, plan.stop))
    header = {name: shard.header[name] for name in ("dataset", "split", "start", "n", "recipe_sha256")}
    assert header == {
        "dataset": RECIPE.name,
        "split": plan.split,
        "start": plan.start,
        "n": 64,
        "recipe_sha256": RECIPE.hash,
    }
    note = read_note(RECIPE, tmp_path, plan)
    assert note is not None and note["entry"]["file_sha256"] == file_sha256(path)
    assert note["entry"]["bytes"] == path.stat().st_size and len(note["covered"]) == RECIPE.made_views(plan.split)
    assert note_path(tmp_path, plan) == tmp_path / JOURNAL / f"{plan.file}.json"


def test_a_shard_that_was_changed_is_made_again_unless_it_was_just_written(tmp_path: Path, plan: ShardPlan) -> None:
    path = tmp_path / plan.file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert read_note(RECIPE, tmp_path, plan) is None
    assert read_note(RECIPE, tmp_path, plan, written=True) is not None, "hashed on its way to the disk"
    path.write_bytes(content[:-1])
    assert read_note(RECIPE, tmp_path, plan, written=True) is None, "its size is looked at all the same"
    path.unlink()
    assert read_note(RECIPE, tmp_path, plan) is None


@pytest.mark.parametrize(
    "change",
    [{"recipe_sha256": "0" * 64}, {"state": "of other files"}, {"covered": []}, {"entry": {}}, {"entry": None}],
)
def test_a_note_of_something_else_does_not_count(tmp_path: Path, plan: ShardPlan, change: dict[str, Any]) -> None:
    path = note_path(tmp_path, plan)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    assert read_note(RECIPE, tmp_path, plan) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_damaged_note_does_not_count(tmp_path: Path, plan: ShardPlan, content: bytes) -> None:
    note_path(tmp_path, plan).write_bytes(content)
    assert read_note(RECIPE, tmp_path, plan) is None


def test_a_note_of_another_range_does_not_count(tmp_path: Path, plan: ShardPlan) -> None:
    assert read_note(RECIPE, tmp_path, dataclasses.replace(plan, start=plan.start + 1)) is None
    assert read_note(RECIPE, tmp_path, dataclasses.replace(plan, stop=plan.stop + 1)) is None
    assert read_note(RECIPE, tmp_path, dataclasses.replace(plan, state="another")) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("disk: full"), ("disk: full", "")),
        (MemoryError(), ("out of memory; try fewer --jobs or a smaller shard_size in the recipe", "")),
        (ZeroDivisionError("of ours"), ("", "ZeroDivisionError: of ours")),
    ],
)
def test_errors_come_back_as_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: tuple[str, str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(build_shards, "write_shard", fail)
    chosen = plans()[0]
    outcome = build_shard(RECIPE, None, tmp_path, chosen)
    assert outcome.error == expected[0] and expected[1] in outcome.bug and bool(outcome.bug) == bool(expected[1])
    assert not outcome.unread and read_note(RECIPE, tmp_path, chosen) is None


def test_what_is_wrong_with_the_source_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def arrays(self, *_: object) -> None:
            raise DataError("3.png: cut off")

    monkeypatch.setattr(build_shards, "sample_builder", lambda *_: Broken())
    outcome = build_shard(RECIPE, None, tmp_path, plans()[0])
    assert outcome.unread and outcome.error == "3.png: cut off"
