"""Curves from logs of runs: which ones, under which title, and smoothed as written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.paper.learning_curves import learning_curves
from fusionbench.training.log import read_log

VALUES = [5.0, 3.0, 4.0, 1.0, 0.0]


def log(folder: Path, values: list[float] | list[str], names: tuple[str, ...] = ("loss",)) -> str:
    folder.mkdir(exist_ok=True)
    lines = [f"{10 * i + 10},{i / 2},{name},{value}" for i, value in enumerate(values) for name in names]
    (folder / "log.csv").write_text("\n".join(["step,epoch,name,value", *lines]) + "\n")
    return f"Net={folder}"


def test_panels_titles_and_axes(tmp_path: Path) -> None:
    runs = [log(tmp_path / "a", VALUES, ("kl", "loss")), log(tmp_path / "b", VALUES[:3], ("loss", "lr"))]
    ((name, curves),) = learning_curves(runs)
    assert name == "loss" and [curve.group for curve in curves] == ["Net", "Net"]
    assert curves[0].x.tolist() == [10, 20, 30, 40, 50] and curves[0].y.tolist() == VALUES
    panels = learning_curves(runs, ["lr", "kl"], across="epoch")
    assert [(name, len(found)) for name, found in panels] == [("lr", 1), ("kl", 1)]
    assert panels[0][1][0].x.tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("window", [1, 3, 5, 99])
def test_smoothing_is_a_centred_mean(tmp_path: Path, window: int) -> None:
    values = [*VALUES, float("nan"), 7.0, float("inf"), 2.0]
    ((_, (curve,)),) = learning_curves([log(tmp_path / "a", values)], smooth=window)
    half = window // 2
    for place, value in enumerate(values):
        near = [one for one in values[max(0, place - half) : place + half + 1] if np.isfinite(one)]
        expected = np.mean(near) if np.isfinite(value) else np.nan
        assert curve.y[place] == pytest.approx(expected, nan_ok=True)


def test_what_is_refused(tmp_path: Path) -> None:
    run, other = log(tmp_path / "a", VALUES), log(tmp_path / "b", VALUES, ("lr", "kl"))
    for arguments, words in (
        (([run], ["los"]), "Did you mean 'loss'"),
        (([run, other], []), "no loss is in all of these logs"),
        (([], []), "give 1 to 60"),
        (([f"={tmp_path}/a"], []), "TITLE=RUN"),
    ):
        with pytest.raises(UsageError, match=words):
            learning_curves(*arguments)
    with pytest.raises(DataError, match=r"run\.json"):
        learning_curves([str(tmp_path / "a")])  # no title, and no record that says which model it is


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "its first line"),
        ("a,b\n", "its first line"),
        ("step,epoch,name,value\n1,0.1,loss\n", "line 2"),
        ("step,epoch,name,value\n1,0.1,loss,2\n-2,0.1,loss,1\n", "line 3"),
        ("step,epoch,name,value\n1,0.1,loss,x\n", "not a log"),
        ("step,epoch,name,value\n1,0.1," + "x" * 81 + ",1\n", "line 2"),
        ("step,epoch,name,value\n2,0.1,loss,1\n2,0.2,loss,1\n", "do not rise"),
        ('step,epoch,name,value\n1,0.1,"loss,1\n', "not a log"),
    ],
)
def test_a_damaged_log_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_log(tmp_path)
    assert "log.csv" in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "log.csv").write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(DataError, match="not a log"):
        read_log(tmp_path)
