"""Rounds of secret views on a leaderboard: at most one is open, and weights are scored on its views.

The public records lie in ``rounds/`` of the repository, the secret with the maintainer. Before a container scores a
submission, a step outside of it makes the views from the secret; the container gets finished views and the record.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.board.community.git import Repository
from fusionbench.board.community.settings import RESULTS, KindName, Leaderboard
from fusionbench.core.errors import DataError, FusionbenchError, UsageError, some
from fusionbench.evaluation.rounds import MAX_RECORD, Round, read_round, write_secret_text

if TYPE_CHECKING:
    from fusionbench.results.schema import Result

ROUNDS = "rounds"
RECORD, VIEWS = "round.json", "views.npy"
SECRET_VARIABLE = "FUSIONBENCH_ROUND_SECRET"


@dataclass(frozen=True)
class CheckedRound:
    """What is known of a round: how many results name it, and what is wrong; both are empty while it is open."""

    file: str
    record: Round
    results: int
    problems: list[str]

    @property
    def state(self) -> str:
        """For people."""
        if self.problems:
            return "wrong"
        return "open" if self.record.public_secret is None else "revealed, and as it was committed to"


def open_round_file(folder: Path) -> Path | None:
    """The file of the only record in ``folder`` that was not revealed; None where no round is open.

    Raises:
        DataError: a damaged record, or several open ones.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.board.community.rounds import open_round_file
        >>> from fusionbench.evaluation.rounds import make_round, write_round
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     before = open_round_file(Path(folder))
        ...     write_round(Path(folder) / "spring.json", make_round("quickstart")[0])
        ...     before, open_round_file(Path(folder)).name
        (None, 'spring.json')
    """
    found = [path for path in sorted(folder.glob("*.json")) if read_round(path).public_secret is None]
    if len(found) > 1:
        names = some([path.name for path in found])
        raise DataError(f"{folder}: {len(found)} rounds are open ({names}); reveal all but one")
    return found[0] if found else None


def make_round_views(leaderboard: Leaderboard, out: Path, secret: Path | None = None) -> Round | None:
    """Make the views of the open round in ``out``, beside its record; None, and an empty folder, without a round.

    Nothing of the secret is in ``out`` or in any message; that of the variable is not left on disk.

    Args:
        secret: its file; without one the variable ``FUSIONBENCH_ROUND_SECRET`` has its content.

    Raises:
        UsageError: ``out`` is not empty, no secret, that of another round, or the round is about other data.
        DataError: a damaged record or secret, or several open rounds.
    """
    from fusionbench.submissions.round_scoring import open_round

    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    record = open_round_file(leaderboard.folder / ROUNDS)
    if record is None:
        return None
    text = os.environ.get(SECRET_VARIABLE, "")
    if secret is None and not text.strip():
        raise UsageError(f"{record}: the round is open; give its secret with --secret or in {SECRET_VARIABLE}")
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as private:
        key = secret or Path(private) / "secret"
        if secret is None:
            write_secret_text(key, text)
        try:
            opened = open_round(record, key, str(leaderboard.data.resolve()), str(leaderboard.suite_file.resolve()))
        except FusionbenchError as error:
            if secret is not None:
                raise
            raise type(error)(str(error).replace(str(key), SECRET_VARIABLE)) from None
        shutil.copyfile(opened.views, out / VIEWS)
        shutil.copyfile(record, out / RECORD)
    return opened.record


def given_views(folder: Path | None) -> tuple[Path, Path] | None:
    """Record and views that :func:`make_round_views` left in a folder; None where it left none.

    Raises:
        DataError: one of them without the other.
    """
    if folder is None or (folder.is_dir() and not any(folder.iterdir())):
        return None
    files = folder / RECORD, folder / VIEWS
    if not all(path.is_file() for path in files):
        raise DataError(f"{folder}: has no {RECORD} with {VIEWS}; make them with `fusionbench community round-views`")
    return files


def round_problems(repository: Repository, tip: str, results: Sequence[Result], kind: KindName) -> list[str]:
    """Why scores may not be recorded on the commit ``tip``: weights are of its open round, and nothing else is of one.

    Raises:
        DataError: a damaged record in the commit.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(repository.files(tip, ROUNDS)):
            if path.endswith(".json"):
                (Path(folder) / f"{number}.json").write_bytes(repository.read(tip, path, MAX_RECORD) or b"")
        file = open_round_file(Path(folder))
        record = None if file is None else read_round(file)
    wanted = (record.id, record.commitment) if record is not None and kind == "weights" else (None, None)
    for result in results:
        params = result.identity.protocol.params
        found = (params.get("round"), params.get("commitment"))
        if found != wanted:
            shown = "of no round" if found[0] is None else f"of the round {str(found[0])[:16]!a}"
            rule = "no round is open for it" if wanted[0] is None else f"the round {wanted[0]} is open"
            return [f"the result is {shown}, and {rule}; score it again"]
    return []


def check_rounds(leaderboard: Leaderboard) -> list[CheckedRound]:
    """Check every record in ``rounds/`` as ``round verify`` does: secret and commitment, and the results that name it.

    Raises:
        DataError: a damaged record, or several open ones.
    """
    from fusionbench.submissions.round_scoring import results_of_round, revealed_seed

    folder, results = leaderboard.folder / ROUNDS, leaderboard.folder / RESULTS
    open_round_file(folder)
    checked = []
    for path in sorted(folder.glob("*.json")):
        record, problems, named = read_round(path), [], 0
        if any(results.rglob("result.json")):
            for file, _, problem in results_of_round(record, results):
                named += 1
                problems += [f"{file.relative_to(leaderboard.folder)}: {problem}"] if problem else []
        if record.public_secret is not None:
            try:
                revealed_seed(path)
            except FusionbenchError as error:
                problems.append(str(error).removeprefix(f"{path}: "))
        checked.append(CheckedRound(path.name, record, named, problems))
    return checked
