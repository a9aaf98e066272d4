"""A user's own per-image scores: what is read from CSV and JSON, gated, and refused in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError, FusionbenchError, MeasurementError, NotComparableError, UsageError
from fusionbench.results.baseline import baseline_of, read_baseline, write_baseline
from fusionbench.results.gate import gate
from fusionbench.results.score_files import name_problem, parse_directions, parse_tolerances, read_candidate
from tests.helpers.results import made_up

IDS = [f"{number:03}" for number in range(30)]
LOSS = np.random.default_rng(3).gamma(4.0, 0.1, len(IDS))


def csv_file(path: Path, columns: Mapping[str, Any], ids: list[Any] | None = None) -> Path:
    """A CSV of columns, the first of which is ``id``."""
    every = {"id": IDS if ids is None else ids, **columns}
    lines = [",".join(every), *(",".join(map(str, row)) for row in zip(*every.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def seeds(spread: float = 0.01) -> dict[str, list[Any]]:
    """Columns of two models with three seeds each."""
    columns: dict[str, list[Any]] = {"id": [], "model": [], "seed": [], "loss:lower": []}
    for model, base in (("a", 0.0), ("b", 0.1)):
        for seed in range(3):
            columns["id"] += IDS
            columns["model"] += [model] * len(IDS)
            columns["seed"] += [seed] * len(IDS)
            columns["loss:lower"] += (LOSS + base + spread * seed).tolist()
    return columns


def test_a_csv_is_gated_on_a_baseline_of_one(tmp_path: Path) -> None:
    first = csv_file(tmp_path / "main.csv", {"loss": LOSS, "acc": 1 - LOSS})
    found = read_candidate(first, better={"loss": "lower", "acc": "higher"}, tolerances={"loss": 0.02})
    write_baseline(tmp_path / "b.json", baseline_of(found))
    baseline = read_baseline(tmp_path / "b.json")
    (entry,) = baseline.entries
    assert entry.ids == IDS and entry.model == "model"
    assert (entry.scores["loss"].atol, entry.scores["acc"].atol) == (0.02, 0.0)
    assert entry.scores["loss"].mean == pytest.approx(LOSS.mean(), rel=1e-12)
    noise = np.random.default_rng(0).normal(0, 0.002, len(IDS))
    for shift, loss, acc in ((0.0, "ok", "ok"), (0.01, "ok", "regressed"), (0.05, "regressed", "regressed")):
        now = csv_file(
            tmp_path / "pr.csv", {"acc": 1 - LOSS - shift + noise - noise.mean(), "loss": LOSS + shift + noise}
        )
        outcome = gate(now, baseline)  # directions are those of the baseline
        assert {case.score: case.verdict for case in outcome.cases} == {"loss": loss, "acc": acc}
        assert "fewer than 3 training seeds" in outcome.notes[0]


def test_rows_in_another_order_and_json_say_the_same(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", {"loss:lower": LOSS})
    csv_file(tmp_path / "b.csv", {"loss:lower": LOSS[::-1]}, IDS[::-1])
    rows = [{"id": name, "loss": value} for name, value in zip(IDS, LOSS.tolist(), strict=True)]
    (tmp_path / "c.json").write_text(json.dumps({"better": {"loss": "lower"}, "scores": rows}))
    (tmp_path / "d.json").write_text(json.dumps(rows))
    made = [baseline_of(read_candidate(tmp_path / name)) for name in ("a.csv", "b.csv", "c.json")]
    made.append(baseline_of(read_candidate(tmp_path / "d.json", better={"loss": "lower"})))
    assert all(one == made[0] for one in made[1:])


def test_models_and_seeds(tmp_path: Path) -> None:
    columns = seeds()
    baseline = baseline_of(read_candidate(csv_file(tmp_path / "s.csv", columns, columns.pop("id"))))
    assert [(entry.model, entry.scores["loss"].runs) for entry in baseline.entries] == [("a", 3), ("b", 3)]
    assert baseline.entries[1].scores["loss"].noise == pytest.approx(0.01) and baseline.compared == 2
    now = {"model": ["a"] * 30 + ["b"] * 30, "loss": [*(LOSS + 0.01), *(LOSS + 0.5)]}
    outcome = gate(csv_file(tmp_path / "now.csv", now, IDS * 2), baseline)
    assert [(case.verdict, case.rule) for case in outcome.cases] == [("ok", "seeds"), ("regressed", "seeds")]


def test_several_files_are_several_runs(tmp_path: Path) -> None:
    files = [csv_file(tmp_path / f"{seed}.csv", {"loss:lower": LOSS + 0.01 * seed}) for seed in range(4)]
    score = baseline_of(read_candidate(files)).entries[0].scores["loss"]
    assert score.runs == 4 and score.noise == pytest.approx(np.std([0, 0.01, 0.02, 0.03], ddof=1))


def test_an_image_without_a_value(tmp_path: Path) -> None:
    cells = [*LOSS[:-1].tolist(), ""]
    baseline = baseline_of(read_candidate(csv_file(tmp_path / "a.csv", {"loss:lower": cells})))
    assert baseline.entries[0].scores["loss"].values[-1] is None
    assert gate(tmp_path / "a.csv", baseline).ok
    (case,) = gate(csv_file(tmp_path / "b.csv", {"loss": ["", *LOSS[1:-1], ""]}), baseline).cases
    assert case.verdict == "not comparable" and "the candidate has a value for only 28 of the 29" in case.reason
    (case,) = gate(csv_file(tmp_path / "c.csv", {"loss": [""] * 30}), baseline).cases
    assert case.verdict == "not measured" and case.reason == "no image has a value"


def test_other_images_and_missing_columns(tmp_path: Path) -> None:
    baseline = baseline_of(read_candidate(csv_file(tmp_path / "a.csv", {"loss:lower": LOSS, "psnr": 30 + LOSS})))
    (case, _) = gate(csv_file(tmp_path / "b.csv", {"loss": LOSS[:9]}, IDS[:9]), baseline).cases
    assert case.verdict == "not comparable" and "9 of its 9 are among the 30 of the baseline" in case.reason
    found = gate(csv_file(tmp_path / "c.csv", {"psnr": 30 + LOSS, "new": LOSS}), baseline)
    assert {case.score: case.verdict for case in found.cases} == {"loss": "not measured", "psnr": "ok"}


def test_directions_come_from_names_files_and_callers(tmp_path: Path) -> None:
    registered = csv_file(tmp_path / "psnr.csv", {"psnr": LOSS})
    assert baseline_of(read_candidate(registered)).entries[0].scores["psnr"].better == "higher"
    assert baseline_of(read_candidate(registered)).entries[0].scores["psnr"].atol == 0, "units are the user's"
    with pytest.raises(UsageError, match="psnr is said to be better when it is lower, and higher by the metric"):
        read_candidate(registered, better={"psnr": "lower"})
    with pytest.raises(UsageError, match="Write --better lower:mine, or mine:lower in the header"):
        read_candidate(csv_file(tmp_path / "m.csv", {"mine": LOSS}))
    with pytest.raises(UsageError, match=r"Unknown metric 'mien'. Did you mean 'mine'"):
        read_candidate(tmp_path / "m.csv", better={"mien": "lower"})
    made_up(tmp_path / "r", "cvae")
    with pytest.raises(UsageError, match="--better and --tolerance are for files of scores"):
        read_candidate(tmp_path / "r", better={"mse_min": "lower"})


def test_options() -> None:
    assert parse_directions(" lower:loss, higher:a:b") == {"loss": "lower", "a:b": "higher"}
    assert parse_tolerances("a:b:0.5,c:1e-3") == {"a:b": 0.5, "c": 0.001}
    for text in ("loss", "less:loss", "lower:", "lower:a,higher:a"):
        with pytest.raises(UsageError, match="--better"):
            parse_directions(text)
    for text in ("a", "a:", ":1", "a:-1", "a:nan", "a:1e999", "a:1,a:2", "a:1_0"):
        with pytest.raises(UsageError, match="--tolerance"):
            parse_tolerances(text)


HOSTILE: dict[str, tuple[bytes, type[FusionbenchError], str]] = {
    "empty": (b"", DataError, "has no rows"),
    "header only": (b"id,loss:lower\n", DataError, "has no rows"),
    "no id": (b"name,loss:lower\na,1\n", DataError, "has no column 'id'"),
    "no metric": (b"id,model\na,1\n", DataError, "has no column of a metric"),
    "ragged": (b"id,loss:lower\na,1\nb,1,2\n", DataError, "line 3 has 3 cells, the header 2"),
    "short": (b"id,loss:lower\na\n", DataError, "line 2 has 1 cells, the header 2"),
    "semicolons": (b"id;loss\na;1\n", DataError, "separate the columns with commas"),
    "latin-1": ("id,loss:lower\nä,1\n".encode("latin-1"), DataError, "not UTF-8 at byte 14; save it as CSV in UTF-8"),
    "utf-16": ("id,loss:lower\na,1\n".encode("utf-16"), DataError, "not UTF-8 at byte 0"),
    "doubled id": (b"id,loss:lower\na,1\nb,2\na,3\n", DataError, "line 4: id 'a' is there already, in line 2"),
    "empty id": (b"id,loss:lower\n,1\n", DataError, "line 2: an id is a text"),
    "doubled column": (b"id,loss:lower,loss\na,1,2\n", DataError, "has two columns 'loss'"),
    "formula column": (b"id,=1+1:lower\na,1\n", DataError, "column '=1+1': begins like a formula"),
    "formula model": (b"id,model,loss:lower\na,@SUM(A1),1\n", DataError, "model '@SUM(A1)': begins like a formula"),
    "escape": (b"id,lo\x1b[31mss:lower\na,1\n", DataError, "has control characters; rename it"),
    "escaped id": (b"id,loss:lower\na\x1b[31m,1\n", DataError, "has control characters"),
    "nul": (b"id,loss:lower\na,\x00\n", DataError, "line 2"),
    "long name": (b"id," + b"x" * 200 + b":lower\na,1\n", DataError, "has more than 80 letters"),
    "long cell": (b"id,loss:lower\na," + b"1" * 200_000 + b"\n", DataError, "not CSV: field larger"),
    "open quote": (b'id,loss:lower\na,"1\n', DataError, "not CSV"),
    "text": (b"id,loss:lower\na,good\n", DataError, "line 2, loss: 'good' is no number; leave the cell empty"),
    "underscore": (b"id,loss:lower\na,1_0\n", DataError, "'1_0' is no number"),
    "other digits": ("id,loss:lower\na,٣\n".encode(), DataError, "is no number"),
    "nan": (b"id,loss:lower\na,NaN\n", MeasurementError, "line 2, loss: the value is not finite"),
    "inf": (b"id,loss:lower\na,-inf\n", MeasurementError, "line 2, loss: the value is not finite"),
    "overflow": (b"id,loss:lower\na,1e999\n", MeasurementError, "line 2, loss: the value is not finite"),
    "many columns": (b"id," + b",".join(b"m%d" % n for n in range(1001)) + b"\na\n", DataError, "line 2 has 1 cells"),
    "other images": (
        b"id,seed,loss:lower\na,0,1\nb,0,1\na,1,1\nc,1,2\n",
        NotComparableError,
        "runs of model have different images",
    ),
}
HOSTILE_JSON: dict[str, tuple[bytes, type[FusionbenchError], str]] = {
    "broken": (b"[{", DataError, "not JSON"),
    "deep": (b"[" * 100_000, DataError, "not JSON"),
    "empty": (b"[]", DataError, "has no rows"),
    "no objects": (b"[1]", DataError, "has no rows, or one that is no object"),
    "unknown": (b'{"scores": [], "more": 1}', DataError, "write a list of rows"),
    "direction": (b'{"scores": [{"id": 1, "l": 2}], "better": {"l": "less"}}', DataError, "is not lower or higher"),
    "ragged": (b'[{"id": 1, "l:lower": 2}, {"id": 2, "m": 2}]', DataError, "row 2 differs from row 1 in l:lower, m"),
    "doubled key": (b'[{"id": 1, "id": 2}]', DataError, "'id' is there twice in one object"),
    "nan": (b'[{"id": 1, "psnr": NaN}]', MeasurementError, "has a value NaN; write null"),
    "overflow": (b'[{"id": 1, "psnr": 1e999}]', MeasurementError, "row 1, psnr: the value is not finite"),
    "huge integer": (b'[{"id": 1, "psnr": 1' + b"0" * 400 + b"}]", MeasurementError, "the value is not finite"),
    "truth": (b'[{"id": 1, "psnr": true}]', DataError, "'True' is no number"),
    "list": (b'[{"id": 1, "psnr": [1]}]', DataError, "is no number"),
    "odd id": (b'[{"id": 1.5, "psnr": 1}]', DataError, "row 1: an id is a text"),
}


@pytest.mark.parametrize(
    ("suffix", "name"), [*((".csv", name) for name in HOSTILE), *((".json", name) for name in HOSTILE_JSON)]
)
def test_hostile_files_give_one_line(suffix: str, name: str, tmp_path: Path) -> None:
    content, kind, reason = (HOSTILE if suffix == ".csv" else HOSTILE_JSON)[name]
    path = tmp_path / f"scores{suffix}"
    path.write_bytes(content)
    with pytest.raises(kind) as caught:
        read_candidate(path)
    line = str(caught.value)
    assert reason in line and str(path) in line and len(line.splitlines()) == 1 and "\x1b" not in line


def test_columns_and_bytes_have_limits(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(1001)]
    path = csv_file(tmp_path / "wide.csv", {name: [1] for name in names}, ["a"])
    with pytest.raises(DataError, match="has 1002 columns, more than 1000"):
        read_candidate(path)
    with (tmp_path / "huge.csv").open("wb") as stream:
        stream.truncate(65 << 20)
    with pytest.raises(DataError, match="is too large for file of scores"):
        read_candidate(tmp_path / "huge.csv")
    with pytest.raises(DataError, match="no such file of scores"):
        read_candidate(tmp_path / "none.csv")


def test_files_that_do_not_fit_each_other(tmp_path: Path) -> None:
    one = csv_file(tmp_path / "1.csv", {"loss:lower": LOSS})
    two = csv_file(tmp_path / "2.csv", {"loss:lower": LOSS, "psnr": LOSS})
    with pytest.raises(DataError, match="have different metrics"):
        read_candidate([one, two])
    same = [csv_file(tmp_path / f"{n}.csv", {"seed": [0] * 30, "loss:lower": LOSS}) for n in (3, 4)]
    with pytest.raises(DataError, match="seed 0 of model is in another file, too"):
        read_candidate(same)


def test_results_and_files_of_scores_together(tmp_path: Path) -> None:
    made_up(tmp_path / "r", "cvae")
    own = csv_file(tmp_path / "own.csv", {"loss:lower": LOSS})
    assert {entry.model for entry in baseline_of(read_candidate([tmp_path / "r", own])).entries} == {"cvae", "model"}
    assert len(read_candidate(next((tmp_path / "r").glob("**/result.json")))) == 1, "a result is no file of scores"


def test_names() -> None:
    assert all(name_problem(name) == "" for name in ("PSNR (dB)", "F1-score", "top 1 %", "nll_bpd@mean", "größe"))
    assert all(name_problem(name) for name in ("", " ", "=1", "+1", "-1", "@x", "|x", "a\tb", "a\nb", "x\u202ey"))
