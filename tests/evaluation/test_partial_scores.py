"""Scores that outlive a stop: found again by what they were measured with, and never trusted when damaged."""

from __future__ import annotations

import importlib
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fusionbench.core import environment
from fusionbench.core.plugin_files import VARIABLE
from fusionbench.core.time_limit import UnfinishedError, time_limit
from fusionbench.evaluation import evaluate as evaluating
from fusionbench.evaluation import pair_rows, partial_scores
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pair_sheet import pair_spec
from fusionbench.evaluation.pairs import evaluate_pairs
from fusionbench.evaluation.partial_scores import FOLDER, PartialScores
from fusionbench.results.schema import load_per_image

IDS = np.arange(3)
COLUMNS = {"nll": np.array([1.0, np.nan, 0.1]), "#nll of 2": np.array([3.0, 2.0, 1.0])}


def test_what_was_kept_is_found_to_the_bit(tmp_path: Path) -> None:
    PartialScores(tmp_path, {"id": "a"}).add("0-0-3", IDS, COLUMNS, seconds=1.25)
    found = PartialScores(tmp_path, {"id": "a"}).find("0-0-3", IDS)
    assert found is not None and found[1] == 1.25
    for name, values in COLUMNS.items():
        np.testing.assert_array_equal(found[0][name], values)


def test_other_configurations_chunks_and_images_are_not_found(tmp_path: Path) -> None:
    kept = PartialScores(tmp_path, {"id": "a"})
    kept.add("0-0-3", IDS, COLUMNS, seconds=1.0)
    assert PartialScores(tmp_path, {"id": "b"}).find("0-0-3", IDS) is None
    assert kept.find("1-0-3", IDS) is None and kept.find("0-0-3", IDS + 1) is None
    assert kept.find("0-0-3", np.arange(2)) is None


@pytest.mark.parametrize(
    "change",
    [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + b[2:40], lambda b: b.replace(b"<f8", b"|O8")],
)
def test_a_damaged_file_is_measured_again(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    kept = PartialScores(tmp_path, 1)
    kept.add("0", IDS, COLUMNS, seconds=1.0)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(change(path.read_bytes()))
    assert kept.find("0", IDS) is None


def test_nothing_is_left_and_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    kept = PartialScores(tmp_path, 1)
    kept.add("0", IDS, COLUMNS, seconds=1.0)
    kept.remove()
    assert list(tmp_path.iterdir()) == []
    kept.remove()
    nowhere = PartialScores(None, 1)
    nowhere.add("0", IDS, COLUMNS, seconds=1.0)
    nowhere.remove()
    assert nowhere.find("0", IDS) is None


def test_what_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("no folder")
    kept = PartialScores(tmp_path, 1)
    kept.add("0", IDS, COLUMNS, seconds=1.0)
    assert kept.find("0", IDS) is None


OWN = """
from helper import WEIGHT
from fusionbench.models.classical.pyramids import PairRow

class Mine(PairRow):
    title = "mine"

    def combine(self, a, b):
        return a * WEIGHT + b * (1 - WEIGHT)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a model of the user's own, whose number stands in a module beside it."""
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setattr(pair_rows, "AT_ONCE", 1)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own.py").write_text(OWN)
    (tmp_path / "code" / "helper.py").write_text("WEIGHT = 0.25")
    yield tmp_path / "code"
    for name in ("own", "helper", "rules"):
        sys.modules.pop(name, None)


def scored(own: Path, out: Path, *, late: bool) -> dict[str, np.ndarray]:
    """Columns of the class in ``own.py`` on three pairs; after one pair the time is over where it is ``late``."""
    for name in ("own", "helper"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    shutil.rmtree(own / "__pycache__", ignore_errors=True)
    pairs = open_pairs("pairs-demo", "all", None)
    model = importlib.import_module("own").Mine(pair_spec(pairs))
    with time_limit(time.time() - 1 if late else None):
        result = evaluate_pairs(model, pairs, out=out, device="cpu")
    return load_per_image(result.folder(out))


def test_code_that_changed_after_the_stop_is_not_mixed_with_what_it_was(own: Path, tmp_path: Path) -> None:
    for number in (1, 2):  # three pairs: one in each of these calls
        with pytest.raises(UnfinishedError, match=f"{number} of 3 done"):
            scored(own, tmp_path / "out", late=True)
    (own / "helper.py").write_text("WEIGHT = 0.75")
    with pytest.raises(UnfinishedError, match="1 of 3 done"):
        scored(own, tmp_path / "out", late=True)
    found = scored(own, tmp_path / "out", late=False)
    clean = scored(own, tmp_path / "clean", late=False)
    np.testing.assert_array_equal(found["mi"], clean["mi"])
    (own / "helper.py").write_text("WEIGHT = 0.25")
    assert (scored(own, tmp_path / "before", late=False)["mi"] != clean["mi"]).all()
    assert not [*tmp_path.rglob(FOLDER)]


def test_too_much_code_is_not_known_and_nothing_is_kept(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "MAX_SOURCES", 1)
    for _ in range(2):
        with pytest.raises(UnfinishedError, match="1 of 3 done"):
            scored(own, tmp_path / "out", late=True)
    assert not [*tmp_path.rglob(FOLDER)]


def test_protocols_and_plugins_of_ones_own_are_part_of_the_key(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result: Any = SimpleNamespace(id="a", folder=lambda out: Path(out, "a"))
    (own / "rules.py").write_text("class Rules: ...")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "mine.py").write_text("def mine(fused): ...")
    sys.modules.pop("rules", None)
    protocol: Any = importlib.import_module("rules").Rules()

    def key() -> str:
        return PartialScores.of([result], tmp_path, protocol=protocol).key

    keys = [PartialScores.of([result], tmp_path).key, key()]
    (own / "helper.py").write_text("WEIGHT = 1")
    keys.append(key())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "metrics" / "mine.py"))
    keys.append(key())
    (tmp_path / "metrics" / "mine.py").write_text("def mine(fused): return 1")
    keys.append(key())
    assert len(set(keys)) == 5 and key() == keys[-1]
    notebook: Any = type("Rules", (), {"__module__": "a notebook"})()
    assert PartialScores.of([result], tmp_path, protocol=notebook).folder is None


@pytest.mark.parametrize(
    ("code", "installed", "known"),
    [
        ({"commit": "0" * 40, "dirty": False}, False, []),  # the commit says it
        ({"commit": "0" * 40, "dirty": True}, False, ["package"]),
        ({"commit": "0" * 40, "dirty": None}, False, ["package"]),
        (None, False, ["package"]),
        (None, True, []),  # the version says it
    ],
)
def test_code_that_no_commit_names_is_read(
    code: dict[str, Any] | None, installed: bool, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_scores, "describe_environment", lambda: {"code": code})
    monkeypatch.setattr(partial_scores, "_INSTALLED", installed)
    monkeypatch.setattr(
        partial_scores, "source_digest", lambda folder: "package" if folder.name == "fusionbench" else ""
    )
    assert partial_scores.code_digests([partial_scores.__file__]) == known


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_scores, "MAX_BYTES", 10)
    kept = PartialScores(tmp_path, 1)
    kept.write("a", b"x" * 10)
    kept.write("b", b"x" * 11)
    assert kept.read("a") == b"x" * 10 and kept.read("b") is None and len([*(tmp_path / FOLDER).iterdir()]) == 1


def test_a_function_may_be_another_at_every_call_and_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_rows, "AT_ONCE", 1)
    for _ in range(2):
        with pytest.raises(UnfinishedError, match="1 of 3 done"), time_limit(time.time() - 1):
            evaluating.evaluate(lambda a, b: a, "pairs-demo", out=tmp_path, device="cpu", title="it")
    assert not [*tmp_path.rglob(FOLDER)]


def test_partial_scores_are_those_of_the_result_that_is_made(tmp_path: Path) -> None:
    mine = PartialScores(tmp_path, 1)
    with partial_scores.keep_partial(mine):
        assert partial_scores.partial_scores() is mine
        assert mine.training("head") is not None
    assert partial_scores.partial_scores().training("head") is None
