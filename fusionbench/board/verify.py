"""Whether a built board is what its results give: every file, every digest, every number.

The pages are built again in memory and compared byte by byte with those of the index and of the site, so that a number
that was edited on a page, in the index or in a result is found wherever it stands. Whoever can change results, index
and pages together is found by a signature of the index only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionbench import __version__
from fusionbench.board.build import make_pages
from fusionbench.board.pages import content_of
from fusionbench.board.remade_pictures import PicturesAgain, picture_cache
from fusionbench.board.site_index import (
    FILE,
    SIGNATURE,
    BoardIndex,
    IndexedFile,
    check_index_signature,
    index_signers,
    read_index,
)
from fusionbench.core.errors import DataError, FusionbenchError, MeasurementError, Problem, RejectedError, UsageError
from fusionbench.core.io import file_sha256

OWN_FOLDERS = ("static", "data", "models", "pictures")  # of a board; a site may have other files elsewhere


@dataclass
class BoardReport:
    """What :func:`verify_board` found. ``remarks`` are no faults; ``signer`` is the id of a key that was checked."""

    results: int
    files: int
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    signer: str | None = None

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, with ``ok``."""
        problems = [vars(problem) for problem in self.problems]
        return {"ok": self.ok, **{**vars(self), "problems": problems}}


def verify_board(
    results: Path,
    site: Path,
    signer: Path | None = None,
    study: Path | None = None,
    pictures: PicturesAgain | None = None,
) -> BoardReport:
    """Compare the board in ``site`` with its index, and both with what the folder ``results`` gives.

    Args:
        signer: the ed25519 public key (PEM) that must have signed the index.
        study: the study that the pages show, where it is not ``study.json`` in ``results``.
        pictures: from what data the pages' images were made again, where they were.

    Raises:
        UsageError: no results, or with ``signer`` securesystemslib is missing.
        DataError: no board in ``site``, a damaged index, no such folder or key.
        MeasurementError: another version of fusionbench built the board, and would build other bytes.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench import build_board, create_model
        >>> from fusionbench.board.verify import verify_board
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> model = create_model("average", ImageSpec(channels=1, height=256, width=256, views=2))
        >>> with tempfile.TemporaryDirectory() as name:
        ...     results, site = Path(name, "results"), Path(name, "site")
        ...     _ = evaluate_pairs(model, open_pairs("pairs-demo", "all", None), out=results, device="cpu")
        ...     page = build_board(results, site)
        ...     first = verify_board(results, site).ok
        ...     _ = page.write_text(page.read_text().replace("average", "best"))
        ...     print(first, [problem.file for problem in verify_board(results, site).problems])
        True ['index.html']
    """
    index, content = read_index(site)
    if not results.is_dir():
        raise DataError(f"{results}: no such results folder")
    report = BoardReport(len(index.results), len(index.files))
    _check_signature(report, site, content, signer)
    report.problems += _changed_files(site, index)
    if index.fusionbench != __version__:
        if report.problems:
            report.remarks.append(f"numbers were not checked: built by fusionbench {index.fusionbench}")
            return report
        raise MeasurementError(
            f"{site / FILE}: built by fusionbench {index.fusionbench}, this is {__version__}: its files are whole, its "
            f"numbers cannot be checked; pip install 'fusionbench=={index.fusionbench}', or build the board again"
        )
    if index.pictures != ("" if pictures is None else pictures.kind):
        raise UsageError(f"{site / FILE}: {_ASKED[index.pictures]}")
    how = {"study": study, "pictures": pictures, "cache": picture_cache(site)}
    report.problems += _other_numbers(results, index, how)
    return report


_ASKED = {
    "": "no picture of these pages was made again; leave out --pictures-from",
    "free": "pictures of these pages were made again; name their data with --pictures-from, without --private-pictures",
    "all": "pictures of these pages were made again; name their data with --pictures-from and --private-pictures",
}


def _check_signature(report: BoardReport, site: Path, content: bytes, signer: Path | None) -> None:
    try:
        if signer is not None:
            report.signer = check_index_signature(site, content, signer)
        elif names := index_signers(site, content):
            shown = ", ".join(name[:12] for name in names)
            report.remarks.append(f"signed by {shown}, which was not checked; --signer KEY does")
        else:
            report.remarks.append("not signed: whoever can write the site and the results can change both together")
    except RejectedError as error:
        report.problems.append(Problem(SIGNATURE, str(error).removeprefix(f"{SIGNATURE}: "), "ask who built the board"))


def _changed_files(site: Path, index: BoardIndex) -> Iterator[Problem]:
    """Files of the site that are not those of the index, and files in the board's folders that the index lacks."""
    again = "build the board again"
    for name, sha256 in sorted(index.files.items()):
        path = site / name
        if not path.is_file():
            yield Problem(name, "is in the index and not on the site", again)
        elif file_sha256(path) != sha256:
            yield Problem(name, "was changed: its sha256 is not the one in the index", again)
    own = [path for folder in OWN_FOLDERS for path in sorted((site / folder).rglob("*"))]
    for path in (*sorted(site.glob("*.html")), *own):
        name = path.relative_to(site).as_posix()
        if path.is_file() and name not in index.files:
            yield Problem(name, "is on the site and not in the index", "remove it, or see where it comes from")


def _other_numbers(results: Path, index: BoardIndex, more: dict[str, Any]) -> Iterator[Problem]:
    """What a board built from ``results`` now has otherwise."""
    try:
        how: dict[str, Any] = {"anonymous": index.anonymous, "resamples": index.resamples} | more
        pages = make_pages(results, title=index.title, **how)
    except FusionbenchError as error:
        yield Problem(str(results), f"gives no board: {error}", "restore the results")
        return
    digests = {name: hashlib.sha256(content_of(made)).hexdigest() for name, made in pages.files.items()}
    now = pages.index(results, index.title, index.anonymous, index.resamples, digests)
    for kind, then_by_file, now_by_file in (
        ("result", {one.file: one for one in index.results}, {one.file: one for one in now.results}),
        ("file set aside", {one.file: one for one in index.set_aside}, {one.file: one for one in now.set_aside}),
    ):
        remedy = "restore the results, or build the board again"
        for file in sorted({*then_by_file, *now_by_file}):
            one, other = then_by_file.get(file), now_by_file.get(file)
            if one != other:
                said = "is in the index and not there now" if other is None else "differs from the index"
                said = "is not in the index" if one is None else said
                why = f": {other.reason}" if isinstance(other, IndexedFile) else ""
                yield Problem(file, f"{kind} {said}{why}", remedy)
    for name in sorted({*digests, *index.files}):
        if digests.get(name) != index.files.get(name):
            said = "is none of the results' pages" if name not in digests else "is missing from the index"
            said = "the results give other bytes" if name in digests and name in index.files else said
            yield Problem(name, said, "build the board again")
