"""Rows of a table, from results whose values are written down here, so that ranks and wins are counted by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from fusionbench.board.page_model import Benchmark, BoardRow
from fusionbench.board.rows import benchmarks
from fusionbench.core.errors import NotComparable
from fusionbench.results.benchmark_choice import what_was_measured
from fusionbench.results.schema import TrainingIdentity, identity_id, load, load_per_image, save
from tests.helpers.results import saved

RESAMPLES = 200
TRIVIAL = {"vif": [0.5, 0.25, 0.75], "qabf": [0.5, 0.5, 0.5], "ssim": [1.0, 0.5, 0.0]}  # means of 0.5 each


def table(root: Path) -> Benchmark:
    (found,) = benchmarks(root, RESAMPLES)
    return found


def rows(root: Path) -> dict[str, BoardRow]:
    return {row.title: row for row in table(root).rows}


@pytest.mark.parametrize(
    ("mine", "beats"),
    [
        ({"vif": [0.75, 0.5, 1.0], "qabf": [0.75, 0.75, 0.75], "ssim": [1.0, 1.0, 0.5]}, "3 of 3"),
        ({"vif": [0.5, 0.25, 0.75], "qabf": [0.5, 0.5, 0.5], "ssim": [1.0, 0.5, 0.0]}, "0 of 3"),
        ({"vif": [0.25, 0.75, 0.5], "qabf": [0.75, 0.75, 0.75], "ssim": [0.0, 0.0, 0.0]}, "1 of 3"),
        ({"vif": [0.75, 0.5, 1.0]}, "1 of 1"),
        ({"mi": [1.0, 1.0, 1.0]}, ""),
    ],
    ids=["better in all", "the same values", "the same mean", "one in common", "nothing in common"],
)
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_tie_with_a_trivial_row_is_not_beaten(
    tmp_path: Path, better: str, mine: dict[str, list[float]], beats: str
) -> None:
    sign = 1 if better == "higher" else -1
    for name, values, family in (("copy", TRIVIAL, "trivial"), ("net", mine, "model")):
        signed = {key: [sign * value for value in column] for key, column in values.items()}
        saved(tmp_path, name, signed, better=better, family=family)  # type: ignore[arg-type]
    found = rows(tmp_path)
    assert (found["net"].beats, found["copy"].beats) == (beats, "")


def test_every_trivial_row_has_to_be_beaten(tmp_path: Path) -> None:
    saved(tmp_path, "copy-a", {"vif": [0.25, 0.25], "ssim": [0.75, 0.75]}, family="trivial")
    saved(tmp_path, "copy-b", {"vif": [0.75, 0.75], "ssim": [0.25, 0.25]}, family="trivial")
    saved(tmp_path, "middle", {"vif": [0.5, 0.5], "ssim": [0.5, 0.5]})
    saved(tmp_path, "above", {"vif": [1.0, 1.0], "ssim": [0.5, 0.5]})
    saved(tmp_path, "cut", {"vif": [1.0, 1.0], "ssim": [1.0, 1.0]}, cut=True)
    found = rows(tmp_path)
    assert {name: row.beats for name, row in found.items() if row.family == "model"} == {
        "middle": "0 of 2",
        "above": "1 of 2",
        "cut": "",  # stopped before its end: it is not judged
    }


def test_ranks_best_and_order_of_rows(tmp_path: Path) -> None:
    for name, shift in (("second", 0.25), ("first", 0.5), ("third", 0.0)):
        saved(tmp_path, name, {"vif": [shift + 0.125, shift + 0.25, shift] * 2})
    saved(tmp_path, "unfinished", {"vif": [9.0] * 6}, cut=True)
    found = table(tmp_path)
    assert [row.title for row in found.rows] == ["first", "second", "third", "unfinished"]
    assert [row.ranks["vif"].value for row in found.rows[:3]] == [1, 2, 3]
    assert [row.cells["vif"].best for row in found.rows] == [True, False, False, False]
    assert "vif" not in found.rows[3].ranks and found.rows[3].kind == "cut" and "5 of 50 steps" in found.rows[3].note
    assert [row.title for row in found.kind("ranked")] == ["first", "second", "third"]


def test_equal_values_share_the_rank(tmp_path: Path) -> None:
    for name in ("one", "two"):
        saved(tmp_path, name, {"vif": [0.5, 0.25] * 3})
    found = rows(tmp_path)
    assert [(row.ranks["vif"].value, row.cells["vif"].best, row.cells["vif"].tied) for row in found.values()] == [
        (1, True, True)
    ] * 2


def test_runs_of_a_model_are_one_row_with_their_spread(tmp_path: Path) -> None:
    for seed, mean in enumerate((1.0, 2.0, 3.0)):  # standard deviation with n - 1: 1
        saved(tmp_path, "net", {"vif": [mean - 0.5, mean + 0.5]}, seed=seed)
    (row,) = table(tmp_path).rows
    assert row.runs == 3 and row.cells["vif"].value == 2.0 and "3 training runs" in row.note
    shown, _, spread = row.cells["vif"].text.partition(" ± ")
    assert (float(shown), float(spread)) == (2.0, 1.0)
    assert "over 3 training runs: " in row.cells["vif"].note


def test_page_table_chart_and_comparison_have_one_interval(tmp_path: Path) -> None:
    """Of few images Student's t, not mean ± 1.96 s/√n; of several runs the one of all of them; of cut rows, too."""
    from fusionbench.board import build_board
    from fusionbench.board.views import by_number_of_inputs
    from fusionbench.results.comparison import compare_results
    from fusionbench.results.tables import as_data
    from tests.helpers.svg import circles

    drawn = np.random.default_rng(4).gamma(4.0, 0.1, (6, 4))
    keys = ("mse_min@0", "mse_min@1", "mse_min@mean")
    columns = [dict(zip(keys, (row + 0.2, row, row + 0.1), strict=True)) for row in drawn]
    root = tmp_path / "results"
    saved(root, "one", columns[0], better="lower")
    for seed in range(3):
        saved(root, "three", columns[1 + seed], seed=seed, better="lower")
    for name, number in (("short", 4), ("shorter", 5)):
        saved(root, name, columns[number], cut=True, better="lower")
    compared = {row["title"]: row["scores"] for row in as_data(compare_results([root], scores=["*"]))["rows"]}
    (benchmark,) = benchmarks(root)
    build_board(root, tmp_path / "site")
    assert len(benchmark.rows) == 4
    for row in benchmark.rows:
        page = (tmp_path / "site" / "models" / f"{benchmark.slug}-{row.slug}.html").read_text()
        for key in keys:
            low, high = compared[row.title][key]["low"], compared[row.title][key]["high"]
            assert row.intervals[key] == (low, high)
            assert f"<td>{low:.5g} to {high:.5g}</td>" in page and f"<td>{row.cells[key].value:.5g}</td>" in page
            places = len(row.cells[key].text.partition(" ")[0].partition(".")[2])
            assert row.cells[key].note.startswith(f"95 %: {low:.{places}f} to {high:.{places}f}, ")
        assert len(re.findall(r"<td>[-\d.]+ to [-\d.]+</td>", page)) == 3
    (alone,) = [row for row in benchmark.rows if row.entry and row.entry.results[0].identity.model.name == "one"]
    values = columns[0]["mse_min@1"]
    expected = scipy_stats.t.interval(0.95, 3, values.mean(), scipy_stats.sem(values))
    assert alone.intervals["mse_min@1"] == pytest.approx(expected, rel=1e-9)
    assert alone.sd_over_images("mse_min@1") == pytest.approx(values.std(ddof=1), rel=1e-9)
    chart = by_number_of_inputs(alone, benchmark)[0].svg
    ends = [tuple(map(float, ends)) for ends in re.findall(r'<path d="M[\d.]+ ([\d.]+)V([\d.]+)"/>', chart)]
    (_, first), (_, second) = circles(chart)  # 0.2 apart
    half = (expected[1] - expected[0]) / 2 * (second - first) / 0.2
    assert ends == [pytest.approx((y + half, y - half), abs=0.3) for y in (first, second)]


def test_images_are_matched_by_id_whatever_their_order(tmp_path: Path) -> None:
    """Same images, other order: the difference is the same on every image, so the interval has no length."""
    saved(tmp_path, "a", {"vif": [1.0, 5.0, 9.0, 2.0, 3.0, 7.0]}, ids=[1, 2, 3, 4, 5, 6])
    saved(tmp_path, "b", {"vif": [8.75, 0.75, 4.75, 6.75, 1.75, 2.75]}, ids=[3, 1, 2, 6, 4, 5])
    found = rows(tmp_path)
    assert [found[name].cells["vif"].tied for name in "ab"] == [True, False]
    assert [found[name].ranks["vif"].text for name in "ab"] == ["1", "2"]


def test_other_data_is_another_table(tmp_path: Path) -> None:
    first = load(saved(tmp_path, "a", {"vif": [1.0, 2.0]}))
    same = load(saved(tmp_path, "b", {"ssim": [1.0, 2.0]}))
    other = load(saved(tmp_path, "c", {"vif": [1.0, 2.0]}, dataset={"split": "valid"}))
    assert what_was_measured(first) == what_was_measured(same) != what_was_measured(other)
    found = benchmarks(tmp_path, RESAMPLES)
    assert [{row.title for row in one.rows} for one in found] == [{"a", "b"}, {"c"}]
    gap = next(row for row in found[0].rows if row.title == "b").cells["vif"]
    assert (gap.text, gap.value) == ("", None)
    assert len({one.slug for one in found}) == 2


def test_other_images_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"vif": [1.0, 2.0]}, ids=[1, 2])
    saved(tmp_path, "b", {"vif": [1.0, 2.0]}, ids=[1, 3])
    with pytest.raises(NotComparable, match="1 of the 2"):
        benchmarks(tmp_path, RESAMPLES)


def test_no_results_are_no_tables(tmp_path: Path) -> None:
    assert benchmarks(tmp_path) == []


def test_a_submission_shows_its_submitter_and_what_it_replaces(tmp_path: Path) -> None:
    from fusionbench.board.build import build_board
    from fusionbench.results import schema
    from tests.helpers.results import made_up

    for name, submission, replaces, seed in (
        ("mine", "a", None, 0),
        ("mine", "b", "a" * 64, 1),
        ("mine", "e", None, 2),
    ):
        folder = made_up(tmp_path / "results", name, title="Mine", seed=seed, shift=0.1 * seed)
        made = schema.load(folder)
        row = schema.SubmittedRow(id=submission * 64, replaces=replaces)
        who = "Eve" if submission == "e" else "Ada"
        made.origin = schema.Origin(kind="submission", submitter=who, submission=row)
        made.declared = {"training": {"cut": False}, "note": "<b>trust me</b>"}
        schema.save(made, tmp_path / "results", schema.load_per_image(folder))
    (benchmark,) = benchmarks(tmp_path / "results", resamples=100)
    found = {row.submitter: row for row in benchmark.rows if row.kind != "published"}
    assert {who: row.kind for who, row in found.items()} == {
        "Ada bbbbbbbb": "ranked",
        "Ada aaaaaaaa": "replaced",
        "Eve eeeeeeee": "ranked",
    }
    assert found["Ada aaaaaaaa"].ranks == {} and all(row.runs == 1 for row in found.values())
    assert "training as declared" in found["Eve eeeeeeee"].note
    page = build_board(tmp_path / "results", tmp_path / "board", resamples=100)
    text = page.read_text()
    assert "by Ada bbbbbbbb" in text and "Replaced by a newer submission: not ranked" in text
    models = [path.read_text() for path in (tmp_path / "board" / "models").iterdir()]
    assert len(models) == 3 and all("declared by the submitter, not measured" in text for text in models)
    assert all("<b>trust me" not in text for text in models)
    hidden = build_board(tmp_path / "results", tmp_path / "hidden", resamples=100, anonymous=True)
    for path in hidden.parent.rglob("*"):
        if path.suffix in (".html", ".js", ".csv", ".md", ".tex"):
            assert "Ada" not in path.read_text() and "trust me" not in path.read_text(), path


def test_submitted_predictions_are_ranked_by_themselves(tmp_path: Path) -> None:
    from tests.helpers.results import made_up

    for number, name in enumerate(("one", "two", "theirs", "others")):
        path = made_up(tmp_path, name, shift=0.1 * number - 0.5 * (number > 1)) / "result.json"
        if number > 1:
            path.write_bytes(path.read_bytes().replace(b'"verified"', b'"scored"'))
    (found,) = benchmarks(tmp_path, 200)
    ranks = [
        (row.kind, row.entry.results[0].identity.model.name, row.ranks["mse_min"].value)
        for row in found.rows
        if row.entry
    ]
    assert ranks == [
        ("ranked", "one", 1.0),
        ("ranked", "two", 2.0),
        ("predictions", "theirs", 1.0),
        ("predictions", "others", 2.0),
    ]


def test_a_round_is_a_benchmark_of_its_own(tmp_path: Path) -> None:
    from tests.helpers.results import made_up

    made_up(tmp_path, "one")
    made_up(tmp_path, "two", protocol={"params": {"round": "0123456789abcdef", "commitment": "0" * 64}})
    titles = sorted(one.title for one in benchmarks(tmp_path, 200))
    assert titles == ["FusionDigits 1.0.0", "FusionDigits 1.0.0, round 01234567"]
    assert len({one.slug for one in benchmarks(tmp_path, 200)}) == 2


def test_imported_weights_are_noted(tmp_path: Path) -> None:
    made = load(saved(tmp_path / "made", "theirs", {"vif": [0.5, 0.75]}))
    made.identity.training = TrainingIdentity()
    made.id = identity_id(made.identity)
    save(made, tmp_path / "results", {"id": [0, 1], "vif": [0.5, 0.75]})
    saved(tmp_path / "results", "ours", {"vif": [0.5, 0.75]})
    found = rows(tmp_path / "results")
    assert "imported weights, training unknown" in found["theirs"].note
    assert "imported" not in found["ours"].note


def test_variants_of_one_method_have_the_titles_of_compare(tmp_path: Path) -> None:
    from fusionbench.results.comparison import compare_results

    for w in (0.2, 0.7):
        folder = saved(tmp_path / "made", "mix", {"en": [1.0, 2.0]}, family="trivial")
        result, values = load(folder), load_per_image(folder)
        result.identity.model.params = {"w": w}
        result.id = identity_id(result.identity)
        save(result, tmp_path / "results", values)
    (benchmark,) = benchmarks(tmp_path / "results", resamples=200)
    titles = sorted(row.title for row in benchmark.rows if row.entry is not None)
    assert titles == ["mix w=0.2", "mix w=0.7"]
    assert titles == sorted(entry.title for entry in compare_results([tmp_path / "results"], resamples=200).entries)
