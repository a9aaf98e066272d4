"""Folders of image files that are scored in several calls: the same scores, and files that changed are scored again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError
from fusionbench.core.plugin_files import VARIABLE
from fusionbench.evaluation import image_files, kept_files, kept_rows
from fusionbench.evaluation.image_files import score_files
from fusionbench.evaluation.scores import Scores

COUNT = 24


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setattr(kept_rows, "SECONDS", 0.0)
    rng = np.random.default_rng(2)
    found = {side: tmp_path / side for side in ("a", "b", "fused")}
    for side, place in found.items():
        place.mkdir()
        for number in range(COUNT):
            rough = rng.integers(0, 256, (40, 44)).astype(np.float64)
            smooth = (rough + np.roll(rough, 1, 0) + np.roll(rough, 1, 1)) / 3
            image = Image.fromarray(smooth.astype(np.uint8))
            image.save(place / f"n{number:02}.{'jpg' if side == 'fused' and number == 3 else 'png'}")
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rows that are scored; the one called ``dies`` is where the machine fails."""
    found: list[str] = []
    score = image_files.score_triple

    def noted(row: Any, *args: Any) -> Any:
        if row.id == _dies[0]:
            raise KeyboardInterrupt
        found.append(row.id)
        return score(row, *args)

    monkeypatch.setattr(image_files, "score_triple", noted)
    _dies[0] = ""
    return found


_dies = [""]


def run(places: dict[str, Path], **more: Any) -> Scores:
    folder = places["fused"].parent / "scores.csv.unfinished"
    given: dict[str, Any] = {"jobs": 1, "metrics": ["qabf", "en", "scd"], "unfinished": folder}
    return score_files(places["a"], places["b"], places["fused"], **(given | more))


def stopped(places: dict[str, Path], where: str = "n20", **more: Any) -> None:
    _dies[0] = where
    with pytest.raises(KeyboardInterrupt):
        run(places, **more)
    _dies[0] = ""


def test_it_goes_on_to_the_same_scores(places: dict[str, Path], calls: list[str]) -> None:
    whole = run(places, unfinished=None)
    calls.clear()
    stopped(places)
    assert calls == [f"n{number:02}" for number in range(20)]
    calls.clear()
    found = run(places)
    assert calls == [f"n{number:02}" for number in range(20, COUNT)]
    assert found.to_json() == whole.to_json() and any("JPEG" in line for line in found.warnings)
    assert found.sources_sha256 == whole.sources_sha256
    assert sorted(path.name for path in places["a"].parent.iterdir()) == ["a", "b", "fused"]
    calls.clear()
    run(places)
    assert len(calls) == COUNT  # nothing is left of a call that came to its end


def test_a_file_that_changed_is_scored_again_with_those_after_it(places: dict[str, Path], calls: list[str]) -> None:
    stopped(places)
    shutil.copy2(places["a"] / "n00.png", places["b"] / "n07.png")  # with the time of the other file
    calls.clear()
    stopped(places, "n22")
    assert calls == [f"n{number:02}" for number in range(7, 22)]
    calls.clear()
    found = run(places)
    assert calls == ["n22", "n23"]
    assert found.to_json() == run(places, unfinished=None).to_json()


def test_a_bad_file_does_not_cost_the_others(places: dict[str, Path], calls: list[str]) -> None:
    good = (places["fused"] / "n21.png").read_bytes()
    (places["fused"] / "n21.png").write_bytes(good[:100])
    with pytest.raises(DataError, match=r"n21.png: .* truncated"):
        run(places)
    (places["fused"] / "n21.png").write_bytes(good)
    calls.clear()
    found = run(places, jobs=3)
    assert sorted(calls) == ["n21", "n22", "n23"]
    assert found.to_json() == run(places, unfinished=None).to_json()


def test_other_metrics_ranges_and_plugins_begin_again(
    places: dict[str, Path], calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for more in ({"metrics": ["en"]}, {"dialect": "cddfuse"}, {"range_fused": "0:200"}):
        stopped(places)
        calls.clear()
        run(places, **more)
        assert len(calls) == COUNT, more
    stopped(places)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metric.py").write_text("x = 1")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine" / "metric.py"))
    calls.clear()
    run(places)
    assert len(calls) == COUNT


def test_displaced_sources_are_told_whatever_call_saw_them(
    places: dict[str, Path], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    add = image_files.AlignmentCheck.add
    monkeypatch.setattr(image_files.AlignmentCheck, "add", lambda self, a, b: seen.append(1) or add(self, a, b))
    run(places, unfinished=None)
    usual = len(seen)
    stopped(places)
    seen.clear()
    run(places)
    assert len(seen) == usual


def test_what_somebody_else_put_there_stays(places: dict[str, Path], calls: list[str]) -> None:
    stopped(places)
    folder = places["a"].parent / "scores.csv.unfinished"
    (folder / "notes.txt").write_text("mine")
    run(places)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_few_images_leave_nothing(places: dict[str, Path], calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_files, "FEWEST", COUNT + 1)
    stopped(places)
    assert not (places["a"].parent / "scores.csv.unfinished").exists()
