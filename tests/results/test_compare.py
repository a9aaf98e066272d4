"""``compare`` takes objects and files alike, and reads each result once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench import compare
from fusionbench.core.errors import DataError, FusionbenchError, NotComparableError, UsageError
from fusionbench.results.comparison import compare_results
from fusionbench.results.schema import load
from tests.helpers.results import made_up

FAST = {"resamples": 200}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [made_up(tmp_path, "cvae"), made_up(tmp_path, "fcn", shift=0.1), made_up(tmp_path, "mean", family="trivial")]


def test_objects_and_folders_are_compared_alike(folders: list[Path], tmp_path: Path) -> None:
    results = [load(folder) for folder in folders]
    assert [result.place for result in results] == folders
    wanted = compare_results([tmp_path], resamples=200)
    forms = {
        "objects": results,
        "a list": [results],
        "a generator": [iter(results)],
        "folders": folders,
        "texts": [str(folder) for folder in folders],
        "the root": [tmp_path],
        "both, each once": [folders[0], *results[1:], results[0]],
        "files": [folder / "result.json" for folder in folders],
    }
    for name, form in forms.items():
        found = compare(*form, **FAST)
        assert sorted(entry.title for entry in found.entries) == sorted(entry.title for entry in wanted.entries), name
        by_title = {entry.title: place for place, entry in enumerate(found.entries)}
        for key, rows in wanted.scores.items():
            for entry, row in zip(wanted.entries, rows, strict=True):
                assert row is not None and found.scores[key][by_title[entry.title]].mean == row.mean, name


def test_results_get_other_names_and_none_is_changed(folders: list[Path]) -> None:
    results = {"<b>ours</b>": load(folders[0]), "theirs": load(folders[1])}
    found = compare(results, scores="mse_min@mean", **FAST)
    assert [entry.title for entry in found.entries] == ["<b>ours</b>", "theirs"]
    assert results["theirs"].title == load(folders[1]).title
    page = found._repr_html_()
    assert "&lt;b&gt;ours" in page and "<b>ours" not in page


def test_a_result_that_was_never_saved_keeps_its_table(folders: list[Path]) -> None:
    kept, saved = load(folders[0]), load(folders[1])
    table = dict(kept.images)
    kept.remember(table=table)
    assert kept.place is None
    found = compare(kept, saved, **FAST)
    assert len(found.entries) == 2 and found.images == len(table["id"])
    nothing = load(folders[0])
    nothing.remember()
    with pytest.raises(UsageError, match="its per-image values are not at hand"):
        compare(nothing)


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ((), "nothing to compare"),
        (([], {}), "nothing to compare"),
        ((3,), "Unknown kind of result 'int'"),
        (("nowhere",), "nowhere: no such result"),
        (({"mine": "a/folder"},), "mine: a/folder: files have titles of their own"),
    ],
)
def test_what_cannot_be_compared_is_one_line(results: tuple[object, ...], told: str) -> None:
    with pytest.raises(FusionbenchError, match=told) as error:
        compare(*results)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_other_images_are_refused(folders: list[Path], tmp_path: Path) -> None:
    other = made_up(tmp_path / "other", "cvae2", ids=range(30))
    with pytest.raises(NotComparableError):
        compare(load(folders[0]), load(other))
    (folders[1] / "images.csv").write_text("id\n")
    with pytest.raises(DataError, match="sha256 differs"):
        compare(load(folders[0]), load(folders[1]))
    with pytest.raises(UsageError, match="no score fits vif"):
        compare(load(folders[0]), scores="vif")
