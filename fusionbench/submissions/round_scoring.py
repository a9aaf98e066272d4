"""Weights scored on the secret views of a round, and scored again when the round was revealed.

The maintainer's process derives the seed and makes the views, once for all submissions, in a private folder beside the
secret. The child process that reads weights gets the finished views and the public record, and neither secret nor seed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.core.errors import DataError, FusionbenchError, Rejected, RejectedError, UsageError
from fusionbench.core.io import file_sha256
from fusionbench.core.text import counted
from fusionbench.evaluation.rounds import (
    Round,
    RoundSecret,
    check_round,
    read_round,
    read_secret,
    revealed_round,
    seed_of_round,
    write_round,
)
from fusionbench.results.schema import Result

if TYPE_CHECKING:
    from fusionbench.evaluation.masked import MaskedImages

SCORER = "fusionbench.submissions.round_scoring:score_round_once"


@dataclass(frozen=True)
class OpenRound:
    """A round that weights are scored in: its public record, the file of the record, and the file of its views."""

    record: Round
    file: Path
    views: Path

    def arguments(self, folder: str, data: str, suite: str, out: str) -> list[str]:
        """What :func:`score_round_once` is called with."""
        return [folder, data, suite, str(self.views), str(self.file), out]

    @property
    def places(self) -> list[Path]:
        """What the child process has to read."""
        return [self.views, self.file]


def views_folder(secret: Path) -> Path:
    """Where the views of a secret are cached: beside it.

    Example:
        >>> from pathlib import Path
        >>> from fusionbench.submissions.round_scoring import views_folder
        >>> views_folder(Path("keys/spring.json")).as_posix()
        'keys/spring.json.views'
    """
    return secret.with_name(f"{secret.name}.views")


def open_round(file: Path, secret_file: Path, data: str, suite: str) -> OpenRound:
    """Check a round against its secret, the data and the suite, and make its views where they are not cached.

    Raises:
        UsageError: the secret is another one, the round was revealed, or it is about another suite or other data.
        DataError: no record, no secret, or the views cannot be written.
    """
    from fusionbench.evaluation.round_views import cached_round_views

    record, secret = read_round(file), read_secret(secret_file)
    _matching(file, record, secret_file, secret)
    if record.public_secret is not None:
        raise UsageError(
            f"{file}: round {record.id} was revealed, so that its views are public; make another with `round new`"
        )
    images = _images(record, data, suite)
    views = cached_round_views(record, images, seed_of_round(record, secret), views_folder(secret_file))
    return OpenRound(record, file.resolve(), views.resolve())


def round_with_views(file: Path, views: Path, suite: str) -> OpenRound:
    """A round whose views somebody made who has the secret; this process has it not.

    Raises:
        UsageError: the round was revealed, or is about another suite.
        DataError: no record.
    """
    from fusionbench.evaluation.suites import load_suite

    record, rules = read_round(file), load_suite(suite)
    if record.public_secret is not None:
        raise UsageError(f"{file}: round {record.id} was revealed, so that its views are public")
    if rules.name != record.suite:
        raise UsageError(f"round {record.id} is one of the suite {record.suite}, not of {rules.name}")
    return OpenRound(record, file.resolve(), views.resolve())


def _matching(file: Path, record: Round, secret_file: Path, secret: RoundSecret) -> None:
    """Refuse a secret that is not that of a record, as a mistake of whoever named the two files."""
    try:
        check_round(record, secret)
    except RejectedError as error:
        raise UsageError(f"{secret_file}, {file}: {error}") from error


def _images(record: Round, data: str, suite: str) -> MaskedImages:
    """The public images that a round is about, as the suite names them."""
    from fusionbench.evaluation.masked import MaskedImages
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.suites import load_suite

    rules = load_suite(suite)
    if rules.name != record.suite:
        raise UsageError(f"round {record.id} is one of the suite {record.suite}, not of {rules.name}")
    opened = PROTOCOLS.get(rules.protocol.name).open(data, rules.protocol, split=rules.split)
    if not isinstance(opened, MaskedImages):
        raise UsageError(f"round {record.id} is about views that are made from a seed; {suite} has none")
    return opened


def score_round_once(folder: str, data: str, suite: str, views: str, record: str, out: str) -> None:
    """In the child: score the unpacked weights in ``folder`` on the views of a round, into ``out``."""
    from fusionbench.data.dataset import Dataset
    from fusionbench.evaluation.masked import evaluate_masked
    from fusionbench.evaluation.protocols.masked import MaskedOptions
    from fusionbench.evaluation.round_views import RoundDataset, RoundProtocol
    from fusionbench.evaluation.suites import load_suite
    from fusionbench.submissions.kinds.weights import as_run

    found, rules = read_round(Path(record)), load_suite(suite)
    images, options = _images(found, data, suite), rules.protocol
    assert isinstance(images.dataset, Dataset) and isinstance(options, MaskedOptions)
    dataset = RoundDataset(images.dataset, found, Path(views))
    protocol = RoundProtocol(
        options.draws, options.seed, options.paper_batch, round=found.id, commitment=found.commitment
    )
    evaluate_masked(as_run(Path(folder)), dataset, split=found.split, protocol=protocol, out=out, device="cpu")


def reveal_round(file: Path, secret_file: Path) -> Round:
    """Publish the secret of a round in its record, and remove the cached views; the record as it is then.

    Raises:
        UsageError: the secret is another one.
        DataError: no record, no secret, or the record cannot be written.
    """
    record, secret = read_round(file), read_secret(secret_file)
    _matching(file, record, secret_file, secret)
    if record.public_secret is None:
        record = revealed_round(record, secret)
        write_round(file, record)
    folder = views_folder(secret_file)
    for path in (*folder.glob(f"{record.id}-*.npy"), *folder.glob(f"{record.id}-*.sha256")):
        path.unlink()
    return record


def revealed_seed(file: Path) -> tuple[Round, int]:
    """A revealed round and the seed of its views, after its secret was checked against the commitment.

    Raises:
        UsageError: it was not revealed yet.
        RejectedError: the secret is not the one that the record committed to.
        DataError: no record.
    """
    record = read_round(file)
    secret = record.public_secret
    if secret is None:
        raise UsageError(f"{file}: round {record.id} is not revealed; its maintainer does that with `round reveal`")
    try:
        return check_round(record, secret), seed_of_round(record, secret)
    except RejectedError as error:
        raise RejectedError(f"{file}: {error}") from error


def results_of_round(record: Round, results: Path) -> Iterator[tuple[Path, Result, str]]:
    """Results below a folder that say they are of a round, each with what is wrong about that ("" where nothing is).

    Raises:
        UsageError, DataError: no results in the folder, or all are damaged.
    """
    from fusionbench.evaluation.round_views import round_dataset_id
    from fusionbench.results.result_set import read_results

    for one in read_results([results]):
        identity = one.result.identity
        if identity.protocol.params.get("round") != record.id:
            continue
        problem = ""
        if identity.protocol.params.get("commitment") != record.commitment:
            problem = "names another commitment than the record of the round"
        elif not identity.dataset.id.startswith(round_dataset_id(record, "")):
            problem = "does not name the round in its data set"
        elif (identity.dataset.name, identity.dataset.split) != (record.dataset, record.split):
            problem = f"is about {identity.dataset.name} {identity.dataset.split}"
        elif one.result.status != "verified":
            problem = f"has the status {one.result.status}; rounds score weights"
        yield one.file, one.result, problem


def score_again(
    weights: Path, record: Round, file: Path, seed: int, data: Path, suite: str | None, seconds: int
) -> tuple[Result, str]:
    """Score a submission of weights on the views of a revealed round; the result, and the digest of the weights.

    Raises:
        Rejected: not a submission of weights that can be scored.
        UsageError, DataError: the round is about other data, or a file is not there.
    """
    from fusionbench.evaluation.round_views import cached_round_views
    from fusionbench.results import schema
    from fusionbench.submissions.archive import copy_private
    from fusionbench.submissions.kinds.base import Scoring
    from fusionbench.submissions.kinds.weights import FILE, WEIGHTS
    from fusionbench.submissions.sandbox import run_limited

    scoring = Scoring(Path(), data, suite or record.suite, seconds)
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as temporary:
        root = Path(temporary)
        folder, out = root / "submission", root / "results"
        folder.mkdir()
        out.mkdir()
        images = _images(record, scoring.data_place, scoring.suite_place)
        views = cached_round_views(record, images, seed, root / "views")
        (root / "copy").mkdir()
        copy = copy_private(weights, root / "copy")
        if not WEIGHTS.claims(copy):
            raise Rejected(f"{weights}: not a submission of weights")
        report = WEIGHTS.unpack(copy, folder, None)
        if not report.ok:
            raise Rejected(
                f"{weights}: {counted(len(report.problems), 'problem')}: " + " | ".join(map(str, report.problems))
            )
        shutil.copyfile(file, root / "round.json")
        opened = OpenRound(record, root / "round.json", views)
        arguments = opened.arguments(str(folder), scoring.data_place, scoring.suite_place, str(out))
        readable = [folder, *scoring.places, *opened.places]
        done = run_limited(SCORER, arguments, seconds=seconds, readable=readable, writable=[out])
        if not done.ok:
            raise Rejected(f"{weights}: could not be scored: {done.message}")
        try:
            (made,) = out.glob("**/result.json")
            return schema.load(made), file_sha256(folder / FILE)
        except (ValueError, FusionbenchError) as error:
            raise Rejected(f"{weights}: scoring left no valid result: {error}") from error


def differing_scores(ours: Result, theirs: Result) -> list[str]:
    """Scores in which two results of the same weights differ by more than the metric's tolerance, a line each."""
    from fusionbench.metrics import METRICS

    lines = []
    for key in sorted(ours.scores.keys() | theirs.scores.keys()):
        one, other = ours.scores.get(key), theirs.scores.get(key)
        if one is None or other is None or one.mean is None or other.mean is None:
            lines.append(f"{key}: is in one of them only")
            continue
        name = key.partition("@")[0].removesuffix("_bpd")
        name = "nll" if name == "elbo" else name
        tolerance = METRICS.get(name).tolerance
        if not np.isclose(one.mean, other.mean, rtol=tolerance.rtol, atol=tolerance.atol):
            lines.append(f"{key}: {other.mean:.9g} in the result, {one.mean:.9g} when scored again")
    return lines


def require_same(found: Sequence[str], what: str) -> None:
    """Refuse where something was found.

    Raises:
        RejectedError: says how much and the first of it.
    """
    if found:
        raise RejectedError(f"{what}: {counted(len(found), 'problem')}: {' | '.join(found[:4])}")


def require_files(results: Path | None, weights: Sequence[Path], data: Path | None) -> None:
    """Refuse what a check of weights lacks, before anything is scored.

    Raises:
        UsageError: weights without data, or a file that is not there.
        DataError: no such folder of results.
    """
    if weights and data is None:
        raise UsageError("weights are scored again on the targets of the data set; name its folder with --data")
    if results is not None and not results.is_dir():
        raise DataError(f"{results}: no such results folder")
    for path in weights:
        if not path.is_file():
            raise UsageError(f"{path}: no such submission")
