"""The pages of a leaderboard: the board of all results that are as they were accepted, and a page of all submissions.

A result that is damaged, was edited, or that no line of the ledger names, is set aside: listed with the reason, and
left out of the tables. It stops nobody else's.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.board.community.ledger import AcceptedLine, Ledger, read_ledger
from fusionbench.board.community.settings import LEDGER, REFERENCE, RESULTS, Leaderboard
from fusionbench.board.site_index import read_index
from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.core.io import escaped, file_sha256, write_bytes
from fusionbench.core.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

INDEX, BOARD = "index.html", "board"
_MARK = b'<meta name="generator" content="fusionbench community">'


@dataclass(frozen=True)
class NotShown:
    """A result that is not shown, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class CommunityPages:
    """What was built: the first page, the results that were set aside, and how many submissions are shown."""

    index: Path
    shown: int
    set_aside: list[NotShown] = field(default_factory=list)


def build_pages(leaderboard: Leaderboard, out: Path) -> CommunityPages:
    """Write the pages of a leaderboard into ``out``: ``index.html`` with all submissions, and the board in ``board/``.

    Raises:
        UsageError: ``out`` has an ``index.html`` of something else.
        DataError: the ledger is damaged, or ``out`` cannot be written.
    """
    from fusionbench.board.build import build_board

    index = out / INDEX
    if index.exists() and _MARK not in index.read_bytes():
        raise UsageError(f"{index}: is not a page of a leaderboard; choose another folder")
    ledger = read_ledger(leaderboard.folder / LEDGER)
    results = leaderboard.folder / RESULTS
    good, set_aside = _sort_out(results, ledger)
    with tempfile.TemporaryDirectory() as folder:
        for path in good:
            shutil.copytree(path, Path(folder) / path.relative_to(results))
        measured = any(_is_measured(path) for path in good)  # a paper's numbers alone make no table
        if measured:
            build_board(folder, out / BOARD, title=leaderboard.settings.title)
            set_aside += _not_compared(out / BOARD)
        elif (out / BOARD).is_dir():
            shutil.rmtree(out / BOARD)  # ours: its index.html lies beside a page with our mark
    bad = {one.path.partition("/")[0]: one.reason for one in reversed(set_aside)}
    rows = [_row(line, ledger, bad) for line in reversed(ledger.accepted.values())]
    page = (
        _templates()
        .get_template("submissions.html")
        .render(
            title=leaderboard.settings.title,
            rows=rows,
            set_aside=set_aside,
            board=f"{BOARD}/index.html" if measured else "",
            limits=leaderboard.settings.limits,
        )
    )
    write_bytes(index, page.encode())
    return CommunityPages(index, sum(row["state"] == "listed" for row in rows), set_aside)


def _sort_out(results: Path, ledger: Ledger) -> tuple[list[Path], list[NotShown]]:
    """The folders of results that are shown, and what is not."""
    good: list[Path] = []
    set_aside: list[NotShown] = []
    active = ledger.active
    for folder in sorted(path for path in results.iterdir() if path.is_symlink() or path.is_dir()):
        name = escaped(folder.name)
        if folder.is_symlink():
            set_aside.append(NotShown(name, "a link"))
        elif folder.name == REFERENCE:
            for file in sorted(folder.rglob("result.json")):
                if reason := _damage(file):
                    set_aside.append(NotShown(escaped(file.relative_to(results).parent), reason))
                else:
                    good.append(file.parent)
        elif folder.name not in ledger.accepted:
            set_aside.append(NotShown(name, "no line of the ledger names it"))
        elif folder.name not in active:
            set_aside.append(NotShown(name, "was withdrawn, and its results are still there"))
        elif reason := _difference(folder, ledger.accepted[folder.name]):
            set_aside.append(NotShown(name, reason))
        else:
            good += [folder / Path(path).parent for path in ledger.accepted[folder.name].results if _is_result(path)]
    for name in active:
        if not (results / name).exists():
            set_aside.append(NotShown(name, "its results are missing"))
    return good, set_aside


def _not_compared(board: Path) -> list[NotShown]:
    """The results that a built board could not compare with the others."""
    index, _ = read_index(board)
    return [NotShown(one.file.rpartition("/")[0], one.reason) for one in index.set_aside if _is_result(one.file)]


def _is_result(path: str) -> bool:
    return path.rpartition("/")[2] == "result.json"


def _difference(folder: Path, line: AcceptedLine) -> str:
    """Why the results of a submission are not those that were accepted; "" when they are."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    if more := sorted(there.keys() - line.results.keys()):
        return f"{escaped(more[0])} was not there when it was accepted"
    for name, digest in line.results.items():
        path = there.get(name)
        if path is None:
            return f"{name} is missing"
        if path.is_symlink() or file_sha256(path) != digest:
            return f"{name} was changed after it was accepted"
        if _is_result(name) and (reason := _damage(path)):
            return reason
    return ""


def _damage(file: Path) -> str:
    """Why a result cannot be read; "" when it can."""
    from fusionbench.results import schema

    try:
        if file.is_symlink():
            return "a link"
        if schema.load(file).per_image is not None:
            schema.load_per_image(file)
    except FusionbenchError as error:
        return escaped(str(error).removeprefix(f"{file}: ").replace(f"{file.parent}/", ""))
    return ""


def _is_measured(folder: Path) -> bool:
    from fusionbench.results import schema

    return schema.load(folder).status != "published"


def _row(line: AcceptedLine, ledger: Ledger, bad: dict[str, str]) -> dict[str, Any]:
    """What the page shows of a submission."""
    gone = ledger.withdrawn.get(line.id)
    state = "withdrawn" if gone else "set aside" if line.id in bad else "listed"
    return {
        "id": line.id,
        "title": line.title,
        "kind": line.kind,
        "submitter": line.submitter.login,
        "time": line.time,
        "sha256": line.sha256,
        "pull_request": line.pull_request,
        "state": state,
        "note": (gone.reason if gone else bad.get(line.id, "")),
    }


@lru_cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
