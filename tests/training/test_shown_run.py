"""A run in a notebook: one line, its record, its curves."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.training.run import Run, RunInfo
from fusionbench.training.schedule import Training

matplotlib.use("Agg")


def run_in(folder: Path, **about: object) -> Run:
    info = {"model": "fcn", "version": "1", "source": "here", "preset": "tiny", "params": {}, "training": Training()}
    info |= {"dataset_name": "fusiondigits", "dataset_version": "1.0.0", "dataset_id": "d", "seed": 3, "budget": None}
    return Run(folder, RunInfo(**info | {"steps": 1234, "finished": True} | about))  # type: ignore[arg-type]


def test_one_line(tmp_path: Path) -> None:
    where = f"in '{tmp_path}')"
    assert repr(run_in(tmp_path)) == f"Run(fcn on fusiondigits 1.0.0, 1,234 steps, seed 3, finished, {where}"
    assert "cut short" in repr(run_in(tmp_path, cut=True)) and "unfinished" in repr(run_in(tmp_path, finished=False))
    assert repr(run_in(tmp_path / "a\nb")).count("\n") == 0


def test_the_record_is_escaped(tmp_path: Path) -> None:
    page = run_in(tmp_path, model="<b>", params={"x": "<script>"})._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and "<b><b>" not in page


def test_curves(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    with pytest.raises(UsageError, match="no log here"):
        run.curves()
    (tmp_path / "log.csv").write_text("step,epoch,name,value\n10,0.1,loss,3.5\n10,0.1,lr,0.1\n20,0.2,loss,2.5\n")
    steps, values = run.curves()["loss"]
    assert steps.tolist() == [10, 20] and values.tolist() == [3.5, 2.5]
    table = run.to_pandas()
    assert table.loc[20.0, "loss"] == 2.5 and table["lr"].isna().tolist() == [False, True]
    (axes,) = run.plot("loss")
    assert axes.lines[0].get_ydata().tolist() == [3.5, 2.5] and axes.get_ylabel() == "loss"
    with pytest.raises(UsageError, match=r"Unknown curve 'los'\. Did you mean 'loss'"):
        run.plot("los")
    matplotlib.pyplot.close("all")
    for damaged, told in (
        ("step,epoch,name,value\nx,0,loss,1\n", r"log\.csv: line 2 is no line of a log; remove it, or train again"),
        ("a,b\n1,2\n", r"log\.csv: not a log of a run: its first line is not step,epoch,name,value"),
        ("step,epoch,name,value\n10,0.1,loss\n", r"log\.csv: line 2 is no line of a log; remove it, or train again"),
    ):
        (tmp_path / "log.csv").write_text(damaged)
        with pytest.raises(DataError, match=told):
            run.curves()
