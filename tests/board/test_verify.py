"""A board against its results: every edit of a page, of the index, of a result or of a table is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fusionbench.board import build_board
from fusionbench.board.site_index import FILE, read_index
from fusionbench.board.verify import verify_board
from fusionbench.core.errors import DataError, MeasurementError
from fusionbench.results import schema
from tests.helpers.results import made_up


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    results, site = tmp_path / "results", tmp_path / "site"
    for number, name in enumerate(("a", "b")):
        made_up(results, name, shift=0.1 * number)
        made_up(results, name, shift=0.1 * number, dataset={"name": "fusionmnist"})
    build_board(results, site, title="Mine", anonymous=True, resamples=100)
    return results, site


def found(built: tuple[Path, Path]) -> set[str]:
    return {problem.file for problem in verify_board(*built).problems}


def test_a_board_is_what_its_results_give(built: tuple[Path, Path], tmp_path: Path) -> None:
    report = verify_board(*built)
    assert report.ok and report.results == 4 and report.signer is None and "not signed" in report.remarks[0]
    elsewhere = Path(shutil.copytree(built[0], tmp_path / "elsewhere"))
    (built[1] / "CNAME").write_text("example.org")  # a file of the web space
    assert verify_board(elsewhere, built[1]).ok


def test_every_file_of_the_site(built: tuple[Path, Path]) -> None:
    site = built[1]
    for name in read_index(site)[0].files:
        path = site / name
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert found(built) == {name}, name
        path.write_bytes(content)
    path.unlink()
    assert found(built) == {name}
    path.write_bytes(content)
    (site / "models" / "fake.html").write_text("a row that nobody measured")
    (site / "fake.html").write_text("a page that nobody built")
    assert found(built) == {"models/fake.html", "fake.html"}


def test_a_page_and_its_digest(built: tuple[Path, Path]) -> None:
    """Whoever edits the page edits the index, too: the results still give another one."""
    import hashlib

    site = built[1]
    path = next(site.glob("models/*.html"))
    name = path.relative_to(site).as_posix()
    path.write_text(path.read_text().replace("0.", "9."))
    data = json.loads((site / FILE).read_text())
    data["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (site / FILE).write_text(json.dumps(data))
    (problem,) = verify_board(*built).problems
    assert problem.file == name and "the results give other bytes" in problem.rule


def test_results_that_changed_since(built: tuple[Path, Path]) -> None:
    results = built[0]
    folder = next(results.glob("fusiondigits/a/*"))
    made, table = schema.load(folder), schema.load_per_image(folder)
    raw = (folder / "result.json").read_bytes()
    (folder / "result.json").write_bytes(raw.replace(b'"verified"', b'"scored"'))
    place = (folder / "result.json").relative_to(results).as_posix()
    assert place in found(built)
    (folder / "result.json").write_bytes(raw.replace(b'"mean": 0', b'"mean": 1'))
    problems = {problem.file: problem.rule for problem in verify_board(*built).problems}
    assert place in problems
    (folder / "result.json").write_bytes(raw)
    assert verify_board(*built).ok
    for key in ("mse_min@0", "mse_min@1", "mse_min@2", "mse_min@3", "mse_min@mean"):  # table and means agree
        table[key] = table[key] - 0.001
        made.scores[key] = schema.summarise(table[key], "lower", "1")
    schema.save(made, results, table)
    problems = {problem.file: problem.rule for problem in verify_board(*built).problems}
    assert problems[place] == "result differs from the index" and "fusiondigits-1-0-0-test.html" in problems
    shutil.rmtree(folder)
    assert "there now" in {p.file: p.rule for p in verify_board(*built).problems}[place]


def test_a_result_that_came_later(built: tuple[Path, Path]) -> None:
    folder = made_up(built[0], "c", shift=0.3)
    place = (folder / "result.json").relative_to(built[0]).as_posix()
    problems = {problem.file: problem.rule for problem in verify_board(*built).problems}
    assert problems[place] == "result is not in the index"


def test_only_a_signature_finds_who_changes_all_together(built: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")
    from tests.data.test_signatures import new_key

    results, site = built
    private, public = new_key(tmp_path, "mine")
    build_board(results, site, title="Mine", anonymous=True, resamples=100, key=private)
    report = verify_board(results, site, public)
    assert report.ok and report.signer is not None
    assert "was not checked" in verify_board(results, site).remarks[0]
    signature = (site / "board-index.intoto.jsonl").read_bytes()
    made_up(results, "c", shift=-0.5)
    build_board(results, site, title="Mine", anonymous=True, resamples=100)
    assert verify_board(results, site).ok, "without a signature nobody can tell"
    assert [p.file for p in verify_board(results, site, public).problems] == ["board-index.intoto.jsonl"]
    (site / "board-index.intoto.jsonl").write_bytes(signature)
    assert [p.file for p in verify_board(results, site).problems] == ["board-index.intoto.jsonl"]


def test_what_cannot_be_checked(built: tuple[Path, Path], tmp_path: Path) -> None:
    results, site = built
    with pytest.raises(DataError, match="no such results folder"):
        verify_board(tmp_path / "nowhere", site)
    content = (site / FILE).read_text()
    (site / FILE).write_text(content.replace('"fusionbench": "', '"fusionbench": "9.'))
    with pytest.raises(MeasurementError, match=r"built by fusionbench 9\."):
        verify_board(results, site)
    (site / "index.html").write_text("")
    assert found(built) == {"index.html"}, "digests are checked in any case"
    (site / FILE).write_text(content)
    for path in results.glob("**/images.csv"):
        path.unlink()
    assert str(results) in found(built)
