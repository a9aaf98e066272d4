"""Rows that outlive a stop: found again in their order, never of other items, never trusted when damaged."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from fusionbench.core.time_limit import UnfinishedError, time_limit
from fusionbench.evaluation import kept_rows, partial_scores
from fusionbench.evaluation.kept_rows import KeptRows
from fusionbench.evaluation.pair_scores import ScoredImage
from fusionbench.evaluation.partial_scores import FOLDER, PartialScores
from fusionbench.evaluation.watch_cost import CostWatch
from fusionbench.metrics.undefined import NotAvailable

NAMES = [f"p{number}" for number in range(5)]


def rows(place: Path, names: list[str] = NAMES, kind: Any = dict[str, float], **more: Any) -> KeptRows[Any]:
    return PartialScores(place, {"id": "a"}).rows("pairs", names, kind, **more)


def kept(place: Path, count: int = 3) -> KeptRows[Any]:
    made = rows(place)
    made.add([{"sd": number + 0.1, "scd": float("nan")} for number in range(count)])
    made.write()
    return made


def test_rows_come_back_to_the_bit_and_go_on(tmp_path: Path) -> None:
    kept(tmp_path)
    again = rows(tmp_path)
    assert [row["sd"] for row in again.rows] == [0.1, 1.1, 2.1] and all(np.isnan(row["scd"]) for row in again.rows)
    again.add([{"sd": 9.0}])
    again.write()
    assert [row["sd"] for row in rows(tmp_path).rows] == [0.1, 1.1, 2.1, 9.0]


def test_what_a_scored_image_has_comes_back_as_it_was(tmp_path: Path) -> None:
    why = NotAvailable("undefined where the fused image is constant", "fused")
    row = [ScoredImage({"sd": 0.1, "scd": float("inf")}, {"scd": why}, ["copy 0"], True, False)]
    made = rows(tmp_path, kind=list[ScoredImage])
    made.add([row])
    made.write()
    [found] = rows(tmp_path, kind=list[ScoredImage]).rows
    assert found == row and isinstance(found[0], ScoredImage) and isinstance(found[0].missing["scd"], NotAvailable)


def test_images_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (9, 7), np.uint8), rng.integers(0, 256, (9, 7, 3), np.uint8)
    made = rows(tmp_path, kind=list[np.ndarray])
    made.add([[grey], [grey, colour]])
    made.write()
    found = rows(tmp_path, kind=list[np.ndarray]).rows
    assert [len(row) for row in found] == [1, 2]
    np.testing.assert_array_equal(found[1][0], grey)
    np.testing.assert_array_equal(found[1][1], colour)
    assert rows(tmp_path, kind=dict[str, float]).rows == []  # rows of another kind are none
    (path,) = (tmp_path / FOLDER).iterdir()
    for forged in (5, "text", b"no image", None):
        path.write_bytes(_forged(rows=[[forged]]))
        assert rows(tmp_path, kind=list[np.ndarray]).rows == []
    assert rows(tmp_path, kind=list[complex]).rows == []


def test_other_items_are_not_found(tmp_path: Path) -> None:
    kept(tmp_path)
    assert rows(tmp_path, ["x", *NAMES[1:]]).rows == []
    assert rows(tmp_path, NAMES[:2]).rows == []  # fewer items than are kept
    assert PartialScores(tmp_path, {"id": "b"}).rows("pairs", NAMES, dict[str, float]).rows == []
    assert PartialScores(tmp_path, {"id": "a"}).rows("stacks", NAMES, dict[str, float]).rows == []


def _forged(**change: Any) -> bytes:
    body = {"names": NAMES[:1], "rows": [{"sd": 1.0}], "seconds": [], "peaks": [], "largest": 0} | change
    return msgspec.msgpack.encode(body)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        b"\x91" * 200_000,  # nested without end
        _forged()[:-3],
        _forged(rows=[]),
        _forged(rows=[{"sd": 1.0}] * 2),  # more rows than names
        _forged(names=NAMES[:2]),  # fewer
        _forged(rows=[{"sd": "1.0"}]),
        _forged(names=[], rows=[]),
        _forged(names=["p1"]),
        _forged(seconds=["a"]),
    ],
)
def test_a_damaged_file_is_done_again(tmp_path: Path, content: bytes) -> None:
    kept(tmp_path)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(content)
    assert rows(tmp_path).rows == []


def test_rows_before_a_damaged_file_are_kept(tmp_path: Path) -> None:
    made = kept(tmp_path)
    made.add([{"sd": 3.0}, {"sd": 4.0}])
    made.write()
    (last,) = [path for path in (tmp_path / FOLDER).iterdir() if path.name.endswith("pairs-3")]
    last.write_bytes(b"")
    assert len(rows(tmp_path).rows) == 3


def test_files_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_rows, "MOST", 2)
    kept(tmp_path, 5)
    assert len([*(tmp_path / FOLDER).iterdir()]) == 3 and len(rows(tmp_path).rows) == 5


def test_what_is_too_large_for_a_file_lies_in_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(kept_rows, "MAX_BYTES", 1200)
    watch = CostWatch(torch.device("cpu"))
    made = rows(tmp_path, kind=np.ndarray, watch=watch)
    watch.seconds = [1.0] * 5
    made.add([rng.integers(0, 256, (side, side), np.uint8) for side in (20, 20, 28, 28, 20)])  # some 450 and 850 bytes
    made.write()
    again = CostWatch(torch.device("cpu"))
    found = rows(tmp_path, kind=np.ndarray, watch=again).rows
    assert sorted(path.name[-1] for path in (tmp_path / FOLDER).iterdir()) == ["0", "2", "3", "4"]
    assert again.seconds == [1.0] * 5
    assert all(np.array_equal(one, other) for one, other in zip(found, made.rows, strict=True))


def test_little_work_leaves_nothing_on_disk_and_much_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows(tmp_path)
    made.add([{"sd": 1.0}])
    assert not (tmp_path / FOLDER).exists()
    monkeypatch.setattr(kept_rows, "SECONDS", 0.0)
    made.add([{"sd": 2.0}])
    assert len(rows(tmp_path).rows) == 2


def test_a_row_that_is_too_large_is_done_again_with_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_rows, "MAX_BYTES", 1200)
    monkeypatch.setattr(partial_scores, "MAX_BYTES", 1200)
    rng = np.random.default_rng(0)
    made = rows(tmp_path, kind=np.ndarray)
    made.add([rng.integers(0, 256, (side, side), np.uint8) for side in (20, 60, 20)])
    made.write()
    assert len(rows(tmp_path, kind=np.ndarray).rows) == 1


def test_rows_are_written_after_some_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr(kept_rows.time, "monotonic", lambda: now[0])
    made = rows(tmp_path)
    for seconds, written in ((9.0, 0), (9.5, 0), (10.0, 3), (19.9, 3), (20.0, 5)):
        now[0] = 5.0 + seconds
        made.add([{"sd": 1.0}])
        assert len(rows(tmp_path).rows) == written, seconds


def test_what_is_forgotten_is_written_anew(tmp_path: Path) -> None:
    kept(tmp_path)
    made = rows(tmp_path)
    made.forget()
    made.add([{"sd": 7.0}])
    made.write()
    assert rows(tmp_path).rows[0] == {"sd": 7.0}


def test_the_cost_of_what_was_kept_counts(tmp_path: Path) -> None:
    watch = CostWatch(torch.device("cpu"))
    made = rows(tmp_path, watch=watch)
    for number in range(2):
        watch.seconds, watch.largest = [*watch.seconds, number + 1.0, 0.5], 64
        watch.peaks = [*watch.peaks, 7.0 * number]  # fewer: the others were not measured
        made.add([{"sd": 1.0}])
        made.write()
    again = CostWatch(torch.device("cpu"))
    rows(tmp_path, watch=again)
    assert (again.seconds, again.peaks, again.largest) == ([1.0, 0.5, 2.0, 0.5], [0.0, 7.0], 64)
    found = rows(tmp_path, watch=again)
    found.forget()
    assert (found.rows, again.seconds, again.peaks, again.largest) == ([], [], [], 0)


def test_every_call_does_some_and_a_finished_one_is_not_stopped(tmp_path: Path) -> None:
    with time_limit(time.time() - 1):
        made = rows(tmp_path)
        made.stop_in_time("row")  # nothing is done yet
        made.add([{"sd": 1.0}] * 4)
        with pytest.raises(UnfinishedError, match=r"^row: 4 of 5 done; the same command goes on$"):
            made.stop_in_time("row")
        again = rows(tmp_path)
        assert len(again.rows) == 4
        again.add([{"sd": 1.0}])
        again.stop_in_time("row")


def test_a_disk_that_is_full_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder would be")
    made = rows(tmp_path)
    made.add([{"sd": 1.0}])
    made.write()
    assert made.rows == [{"sd": 1.0}] and rows(tmp_path).rows == []
