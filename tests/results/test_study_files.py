"""The file of a study: read back as it was written, and refused where somebody edited it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError
from fusionbench.results.study_files import LEVELS, Agreeing, Correlation, StudiedMetric, Study, read_study, study_bytes

GOLDEN = Path(__file__).parents[1] / "golden" / "formats" / "study-1.json"


def made() -> Study:
    one = Correlation(value=0.5, low=0.25, high=0.75)
    level = Agreeing(srcc=one, krcc=Correlation(value=0.25), plcc=Correlation(), groups=7, cells=21)
    row = StudiedMetric(
        key="vif@cddfuse", better="higher", cells=21, images=7, methods={"a": 0.5, "b": None}, tied=True,
        within_image=level, pooled=level, within_method=level, means=level,
    )  # fmt: skip
    return Study(
        title="made up", opinions=21, subjects=None, opinions_sha256="0" * 64, opinions_better="higher", images=7,
        methods=["a", "b"], fit="none", resamples=100, seed=0, metrics=[row], warnings=[],
    )  # fmt: skip


def test_it_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    path.write_bytes(study_bytes(made()))
    assert read_study(path) == made() and json.loads(path.read_text())["schema"] == "fusionbench.study/1"


def edited(change: Any) -> bytes:
    raw = json.loads(study_bytes(made()))
    change(raw)
    return json.dumps(raw).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not what"),
        (b"[" * 50_000, "is not what"),
        (b"\xff", "is not what"),
        (edited(lambda raw: raw.update(schema="fusionbench.study/2")), "fusionbench.study/2"),
        (edited(lambda raw: raw.update(schema="fusionbench.result/1")), "is not what"),
        (edited(lambda raw: raw.update(extra=1)), "extra"),
        (edited(lambda raw: raw.update(images="7")), "images"),
        (edited(lambda raw: raw["metrics"][0]["pooled"]["srcc"].update(value=1.5)), "not on -1..1"),
        (edited(lambda raw: raw["metrics"][0]["pooled"]["srcc"].update(low=0.6)), "outside its own interval"),
        (edited(lambda raw: raw["metrics"].append(raw["metrics"][0])), "a metric twice"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "study.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_study(path)
    assert words in str(caught.value) and "study.json" in str(caught.value) and "\n" not in str(caught.value)


def test_the_levels_are_the_fields() -> None:
    assert all(isinstance(getattr(made().metrics[0], level), Agreeing) for level in LEVELS)


def test_the_golden_file_of_version_1() -> None:
    study = read_study(GOLDEN)
    assert (study.title, study.opinions, study.subjects, study.methods) == ("Golden", 24, 1, ["A", "B", "C"])
    best, other = study.metrics
    # VIF is the opinions over seven
    assert (best.key, best.within_image.srcc.value, best.better) == ("vif", pytest.approx(1), "higher")
    assert (other.key, other.better, other.images, other.cells) == ("nabf", "lower", 8, 24)
    assert json.loads(study_bytes(study)) == json.loads((GOLDEN).read_text())
