"""A method that makes a metric undefined where it is bad gains nothing: no mean, no rank, no tie, nothing beaten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.board import build_board
from fusionbench.board.agreement import add_mean_ranks
from fusionbench.board.rows import benchmarks
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.pairs import evaluate_pairs, score_fused_images
from fusionbench.models import MODELS
from fusionbench.results import schema
from fusionbench.results.comparison import compare_results
from fusionbench.results.tables import as_csv, as_data, as_latex, as_markdown
from tests.cli.runner import run
from tests.metrics.scenes import scene
from tests.sources import folders

STEMS = ("p1", "p2", "p3", "p4", "small")


@pytest.fixture
def pairs(tmp_path: Path) -> PairSet:
    """Four pairs of 50×60 and one of 30×34, which vif cannot score."""
    for seed, stem in enumerate(STEMS):
        _, a, b = scene(seed, (30, 34) if stem == "small" else (50, 60))
        folders.save(tmp_path / f"set/a/{stem}.png", a)
        folders.save(tmp_path / f"set/b/{stem}.png", b)
    return open_pairs("pairs", "all", tmp_path / "set")


def submitted(pairs: PairSet, place: Path, name: str, changed: dict[str, np.ndarray]) -> schema.Result:
    """The average of both sources with some noise, except where ``changed``; scored as a folder of pictures."""
    rng = np.random.default_rng([*name.encode()])
    for stem, pair in zip(pairs.stems, pairs, strict=True):
        plain = pair.mean(axis=0)
        noisy = np.clip(np.rint(plain + rng.normal(0, 3, pair.shape[1:])), 0, 255).astype(np.uint8)
        folders.save(place / name / f"{stem}.png", changed.get(stem, noisy))
    return score_fused_images(place / name, pairs, name=name, title=name, out=place / "results")


@pytest.fixture
def place(tmp_path: Path, pairs: PairSet) -> Path:
    """Results of an honest method, and of two that copy a source or are black on one image each."""
    submitted(pairs, tmp_path, "honest", {})
    submitted(pairs, tmp_path, "other", {})
    submitted(pairs, tmp_path, "copies", {"p2": pairs.pair(1)[1]})
    submitted(pairs, tmp_path, "blackens", {"p3": np.zeros((50, 60), np.uint8)})
    return tmp_path


def test_a_copied_image_costs_the_mean(place: Path, pairs: PairSet) -> None:
    results = {result.title: result for result in schema.load_folder(place / "results")}
    scd, cc = results["copies"].scores["scd"], results["blackens"].scores["cc"]
    assert scd.mean is None and scd.n == 4 and "p2: undefined where the fused image minus a source" in scd.reason
    assert cc.mean is None and "p3: undefined where the fused image is constant" in cc.reason
    (found,) = schema.not_available(scd)
    assert found == {
        "reason": "undefined where the fused image minus a source is constant", "cause": "fused", "n": 1,
        "images": ["p2"],
    }  # fmt: skip
    assert schema.left_out(scd) == []
    remarks = results["copies"].provenance["remarks"]
    assert len(remarks) == 1 and remarks[0].startswith("the fused image is identical to source b in 1 of 5 images (p2)")
    vif = results["honest"].scores["vif"]  # too small for every method: the mean is over the others
    table = schema.load_per_image(results["honest"].folder(place / "results"))
    assert np.isnan(table["vif"]).tolist() == [False] * 4 + [True]
    assert vif.n == 4 and vif.mean == pytest.approx(np.mean(table["vif"][:4]), rel=1e-15)
    assert vif.extra["images"] == 5 and [why.cause for why in schema.left_out(vif)] == ["size"]


def test_a_method_cannot_leave_out_its_bad_images(place: Path) -> None:
    found = compare_results([place / "results"], resamples=200)
    titles = [entry.title for entry in found.entries]
    for key, title in (("scd", "copies"), ("cc", "blackens")):
        i = titles.index(title)
        assert found.scores[key][i] is None and "1 of 5 images" in found.not_ranked[key][i]
        others = [row for j, row in enumerate(found.scores[key]) if j != i]
        assert sorted(row.rank for row in others if row is not None) == [1, 2, 3]
    # small images are the same for all: everybody is ranked on the four others
    assert found.counted["vif"] == 4 and found.counted["sd"] == 5 and found.not_ranked["vif"] == {}
    assert all(row is not None for row in found.scores["vif"])
    data = json.loads(json.dumps(as_data(found), allow_nan=False))
    row = next(row for row in data["rows"] if row["title"] == "copies")
    assert "scd" not in row["scores"] and "p2" in row["not_available"]["scd"] and data["n"]["vif"] == 4
    for text in (as_markdown(found), as_latex(found)):
        assert text.count("n/a") >= 4 and "copies: scd n/a" in text and "vif: from 4 of 5 images" in text
    lines = [line for line in as_csv(found).splitlines() if line.startswith("copies,") and ",scd," in line]
    assert len(lines) == 1 and ",,,,,,,,,,," in lines[0] and "p2" in lines[0]


def test_a_table_with_holes_of_its_own_is_not_ranked_on_that_score(place: Path) -> None:
    """However it came to be: a row that has values for fewer images than another one is not comparable there."""
    path = next((place / "results").glob("*/copies/*/result.json"))
    made, table = schema.load(path), schema.load_per_image(path)
    table["qabf"][0] = np.nan
    made.scores["qabf"] = schema.summarise(table["qabf"][1:], "higher", "1")
    schema.save(made, place / "results", table)
    found = compare_results([place / "results"], resamples=200)
    i = [entry.title for entry in found.entries].index("copies")
    assert found.scores["qabf"][i] is None and found.counted["qabf"] == 5
    assert found.not_ranked["qabf"][i] == "has a value for only 4 of the 5 images that other rows have values for"
    (board,) = benchmarks(place / "results", resamples=200)
    row = next(row for row in board.rows if row.title == "copies")
    assert row.cells["qabf"].text == "n/a" and not row.cells["qabf"].best and "qabf" not in row.ranks


def test_pages_rank_nobody_by_a_missing_value(place: Path) -> None:
    (board,) = benchmarks(place / "results", resamples=200)
    rows = {row.title: row for row in board.rows}
    for key, title in (("scd", "copies"), ("cc", "blackens")):
        cell = rows[title].cells[key]
        assert (cell.text, cell.value, cell.best, cell.tied) == ("n/a", None, False, False)
        ranks = {other: row.ranks[key].value for other, row in rows.items() if key in row.ranks}
        assert sorted(ranks.values()) == [1, 2, 3] and title not in ranks
    assert "4 images of 5" in rows["honest"].cells["vif"].note and "41×41" in rows["honest"].cells["vif"].note
    assert add_mean_ranks(board, 200)
    assert rows["copies"].mean_rank is None and rows["blackens"].mean_rank is None
    assert rows["honest"].mean_rank is not None and "4 of 5 images" in rows["honest"].mean_rank.note


def test_a_missing_value_beats_no_trivial_row(place: Path, pairs: PairSet) -> None:
    before = {row.title: row.beats for row in benchmarks(place / "results", resamples=50)[0].rows}
    assert set(before.values()) == {""}
    evaluate_pairs(MODELS.get("average")(ImageSpec(1, 50, 60, 2)), pairs, out=place / "results", device="cpu")
    (board,) = benchmarks(place / "results", resamples=50)
    beats = {row.title: row.beats for row in board.rows if row.beats}
    assert {text.split(" of ")[1] for text in beats.values()} == {"9"}, "copies has no SCD, and is judged by it"
    page = build_board(place / "results", place / "site", resamples=50)
    scripts = [path.read_text() for path in page.parent.glob("data/*/*.js")]
    assert scripts and not any("NaN" in text for text in scripts) and any("null" in text for text in scripts)


def test_the_terminal_says_why(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "compare", place / "results", "--score", "scd", "--score", "vif", "--resamples", 100)
    line = next(line for line in out.splitlines() if line.startswith("copies"))
    assert code == 0 and "n/a" in line and "nan" not in out
    assert "copies: scd n/a: 1 of 5 images have no value (p2: undefined where" in err
    assert "vif: from 4 of 5 images; 1 have no value for any row: needs images of at least 41×41" in err


def test_a_gate_holds_only_the_same_images_against_each_other(place: Path) -> None:
    from fusionbench.results.gate import baseline_of, gate, read_baseline, write_baseline

    path = next((place / "results").glob("*/honest/*/result.json"))
    write_baseline(place / "base.json", baseline_of([path]))
    base = read_baseline(place / "base.json")
    score = base.entries[0].scores["vif"]
    assert score.values[-1] is None and None not in score.values[:-1]
    assert score.mean == pytest.approx(np.mean(np.array(score.values[:-1], float)), rel=1e-8)
    assert gate(path, base).ok
    made, table = schema.load(path), schema.load_per_image(path)
    table["vif"][0] = np.nan
    made.scores["vif"] = schema.summarise(table["vif"][np.isfinite(table["vif"])], "higher", "1")
    schema.save(made, place / "results", table)
    (case,) = [case for case in gate(path, base).cases if case.score == "vif"]
    assert case.verdict == "not comparable" and "the candidate has a value for only 3 of the 4" in case.reason
