"""The pages: what is listed, and what is set aside with which reason without stopping anybody else's."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fusionbench.board.community.accept import Place, withdraw_submission
from fusionbench.board.community.git import Repository
from fusionbench.board.community.ledger import Ledger, read_ledger
from fusionbench.board.community.pages import build_pages
from fusionbench.board.community.settings import Leaderboard
from fusionbench.core.errors import UsageError
from fusionbench.core.io import file_sha256
from fusionbench.results.schema import ModelIdentity, Origin, Result, identity_id, load_per_image, save
from tests.helpers.community import NOW, Forge, git, packed_pairs, paper_numbers, start_forge
from tests.helpers.results import made_up


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    return start_forge(tmp_path_factory.mktemp("forge"))


@pytest.fixture(scope="module")
def names(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two accepted submissions of predictions: title -> id."""
    found = {}
    for number, title in enumerate(("Good", "Bad"), 1):
        work = tmp_path_factory.mktemp(title)
        pull = forge.open(number, {"submissions/incoming/a.zip": packed_pairs(work / "made", title, add=number)})
        found[title] = forge.accept(pull, work / "work").id
    forge.pull()
    return found


@pytest.fixture
def board(forge: Forge, names: dict[str, str], tmp_path: Path) -> Leaderboard:
    """A copy of the leaderboard's files; pages need no Git."""
    shutil.copytree(forge.clone, tmp_path / "copy", ignore=shutil.ignore_patterns(".git"))
    return Leaderboard.read(tmp_path / "copy")


def text_of(site: Path) -> str:
    return "".join(path.read_text() for path in sorted((site / "board").rglob("*.html")))


def test_before_the_first_and_with_a_papers_numbers_alone(tmp_path: Path) -> None:
    forge = start_forge(tmp_path)
    pages = build_pages(forge.leaderboard, tmp_path / "site")
    assert pages.shown == 0 and "None yet" in pages.index.read_text() and not (tmp_path / "site" / "board").exists()
    pull = forge.open(1, {"submissions/incoming/a.json": paper_numbers("A Paper")})
    line = forge.accept(pull, tmp_path / "work")
    forge.pull()
    pages = build_pages(forge.leaderboard, tmp_path / "site")
    assert pages.shown == 1 and line.id in pages.index.read_text() and not (tmp_path / "site" / "board").exists()


def test_all_are_listed(board: Leaderboard, names: dict[str, str], tmp_path: Path) -> None:
    pages = build_pages(board, tmp_path / "site")
    page = pages.index.read_text()
    assert (pages.shown, pages.set_aside) == (2, []) and 'href="board/index.html"' in page
    assert all(name in page for name in names.values())
    assert "Good" in text_of(tmp_path / "site") and "Bad" in text_of(tmp_path / "site")
    before = {path: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()}
    build_pages(board, tmp_path / "site")
    assert before == {path: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()}


def test_a_withdrawn_submission_stays_listed(forge: Forge, names: dict[str, str], tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(forge.origin), str(clone))
    place = Place(Repository(clone), "main", None)
    withdraw_submission(place, names["Bad"], "trained on <test>", lambda: NOW)
    pages = build_pages(Leaderboard.read(clone), tmp_path / "site")
    page = pages.index.read_text()
    assert (pages.shown, pages.set_aside) == (1, [])
    assert names["Bad"] in page and "withdrawn: trained on &lt;test&gt;" in page
    assert "Good" in text_of(tmp_path / "site") and "Bad" not in text_of(tmp_path / "site")


def edited(folder: Path) -> None:
    file = next(folder.rglob("result.json"))
    record = json.loads(file.read_text())
    record["title"] = "Best"
    file.write_text(json.dumps(record))


def linked(folder: Path) -> None:
    file = next(folder.rglob("result.json"))
    file.rename(folder.parent / "elsewhere.json")
    file.symlink_to(folder.parent / "elsewhere.json")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (edited, "was changed after it was accepted"),
        (linked, "was changed after it was accepted"),
        (lambda folder: next(folder.rglob("result.json")).write_text("<<<<<<<"), "was changed after"),
        (lambda folder: next(folder.rglob("result.json")).unlink(), "is missing"),
        (lambda folder: (folder / "more.json").write_text("{}"), "was not there when it was accepted"),
    ],
)
def test_what_is_not_as_it_was_accepted_is_set_aside(
    board: Leaderboard, names: dict[str, str], tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(board.folder / "results" / names["Bad"])
    pages = build_pages(board, tmp_path / "site")
    assert [one.path for one in pages.set_aside] == [names["Bad"]] and reason in pages.set_aside[0].reason
    page = pages.index.read_text()
    assert pages.shown == 1 and f"set aside: {pages.set_aside[0].reason}" in page and names["Good"] in page
    shown = text_of(tmp_path / "site")
    assert "Good" in shown and "Bad" not in shown and "Best" not in shown


def test_results_that_nobody_accepted(board: Leaderboard, names: dict[str, str], tmp_path: Path) -> None:
    results = board.folder / "results"
    made_up(results / "0099-0123456789ab", "cvae", shift=0.0)
    made_up(results / "reference", "fcn", shift=0.0)
    made_up(results / "reference" / "second", "mine", shift=0.0)
    next((results / "reference" / "second").rglob("result.json")).write_text("{")
    (results / "link").symlink_to("/etc")
    shutil.move(results / names["Bad"], tmp_path / "moved")
    pages = build_pages(board, tmp_path / "site")
    reasons = {one.path.partition("/")[0]: one.reason for one in pages.set_aside}
    assert set(reasons) == {"0099-0123456789ab", "link", "reference", names["Bad"]}
    assert reasons["0099-0123456789ab"] == "no line of the ledger names it" and reasons["link"] == "a link"
    assert reasons[names["Bad"]] == "its results are missing"
    assert "fcn" in text_of(tmp_path / "site").lower() and pages.shown == 1


def test_what_cannot_be_compared_is_set_aside(board: Leaderboard, names: dict[str, str], tmp_path: Path) -> None:
    """A result of another release, with another version of a metric, is as it was accepted, and no column's."""
    file = next((board.folder / "results" / names["Good"]).rglob("result.json"))
    record = json.loads(file.read_text())
    record["identity"]["metrics"]["vif"] = "0"
    result = msgspec.convert(record, Result)
    result.id = identity_id(result.identity)
    for number in range(2):
        own = copy.deepcopy(result)
        own.origin, own.declared = Origin(), msgspec.UNSET
        own.identity.model = ModelIdentity(name=f"own-{number}", version="1")
        own.identity.metrics["vif"] = "1"
        own.id = identity_id(own.identity)
        save(own, board.folder / "results" / "reference", load_per_image(file))
    folder = board.folder / "results" / names["Good"]
    save(result, tmp_path / "made", load_per_image(file))
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "made", folder)
    ledger = read_ledger(board.folder / "ledger.jsonl")
    line = ledger.accepted[names["Good"]]
    digests = {p.relative_to(folder).as_posix(): file_sha256(p) for p in folder.rglob("*") if p.is_file()}
    added = Ledger().add(msgspec.structs.replace(line, results=digests))
    (board.folder / "ledger.jsonl").write_bytes(added.content)
    pages = build_pages(board, tmp_path / "site")
    reasons = {one.path.partition("/")[0]: one.reason for one in pages.set_aside}
    assert "the version of vif is 0 here, 1 in the others" in reasons[names["Good"]]
    assert f"set aside: {reasons[names['Good']]}" in pages.index.read_text() and pages.shown == 0


def test_somebody_elses_pages_are_not_overwritten(board: Leaderboard, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>Home</h1>")
    with pytest.raises(UsageError, match="choose another folder"):
        build_pages(board, tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_text() == "<h1>Home</h1>"
