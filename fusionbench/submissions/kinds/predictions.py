"""Predictions of any model as a submission, scored here; see :mod:`fusionbench.submissions.predictions`."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from fusionbench.core.errors import DataError, Problem, UsageError
from fusionbench.submissions.archive import MAX_META, META, member_names, open_regular
from fusionbench.submissions.kinds.archives import ArchiveKind
from fusionbench.submissions.kinds.base import PackRequest, SubmissionReport, named_data, resolve_data
from fusionbench.submissions.prediction_drafts import write_prediction_draft
from fusionbench.submissions.prediction_kinds import PREDICTION_KINDS
from fusionbench.submissions.predictions import (
    FINDINGS,
    MAX_FINDINGS,
    PredictionFindings,
    Predictions,
    read_prediction_record,
)


class PredictionsKind(ArchiveKind[Predictions]):
    """Samples of a masked set, or one fused image for every pair."""

    title: ClassVar[str] = "predictions"
    status: ClassVar[Literal["verified", "scored", "published"]] = "scored"
    scorer: ClassVar[str] = "fusionbench.submissions.prediction_scores:score_predictions_once"

    def claims(self, path: Path) -> bool:
        """An archive with samples or images."""
        names = member_names(path)
        return any(kind.is_in(names) for kind in PREDICTION_KINDS.values())

    def packs(self, request: PackRequest) -> bool:
        """Whatever was predicted on data, or by a model, that had to be named."""
        return request.model is not None or request.data is not None

    def contents(self, names: list[str]) -> tuple[dict[str, int], bool]:
        """The record, and what the kind of predictions consists of."""
        kinds = list(PREDICTION_KINDS.values())
        kind = next((kind for kind in kinds if kind.is_in(names)), kinds[0])
        return {META: MAX_META, **kind.limits}, kind.images

    def write_draft(self, request: PackRequest, draft: Path) -> None:
        """What was predicted, with a record of the data that it was predicted on."""
        author = request.author
        if request.model is None or request.data is None:
            raise UsageError("predictions need both --model NAME and --data FOLDER; a run needs neither")
        seed = {} if request.seed is None else {"seed": request.seed}
        words = author | {"model": request.model} | seed
        try:
            write_prediction_draft(request.made, named_data(request.data), draft, words)
        except ValueError as error:
            raise UsageError(f"{request.made}: {error}") from error

    def examine(self, folder: Path, data: Path | None, report: SubmissionReport) -> None:
        """Let a child process with limits look at files that are not ours; its findings join ``report``."""
        from fusionbench.submissions.sandbox import run_limited

        place = None if data is None else resolve_data(data)
        places = [place] if place is not None and place.is_absolute() else []
        looks = "fusionbench.submissions.predictions:examine_once"
        with tempfile.TemporaryDirectory() as out:  # what was submitted stays as it is
            arguments = [str(folder), "" if place is None else str(place), out]
            done = run_limited(looks, arguments, seconds=900, readable=[folder, *places], writable=[Path(out)])
            try:
                found = _findings(Path(out)) if done.ok else None
            except (DataError, msgspec.DecodeError, RecursionError) as error:
                found, done = None, replace(done, message=f"no findings of its check: {error}")
        if found is None:
            problem = Problem(Path(report.path).name, done.message, "make it again with `fusionbench pack`")
            report.problems.append(problem)
            return
        report.problems += found.problems
        report.notes += found.notes
        report.content = found.content
        if report.ok:
            record = self.read(folder)
            report.submission = record
            report.about = f"{record.title}, predictions of {record.model} on {record.dataset}"

    def read(self, folder: Path) -> Predictions:
        """The record of an unpacked submission."""
        return read_prediction_record(folder)

    def declared(self, record: Predictions) -> dict[str, Any]:
        """What made the predictions, which nobody saw here."""
        seed = {"seed": record.seed} if isinstance(record.seed, int) else {}
        return super().declared(record) | {"model": record.model} | seed

    def needs_suite(self, record: Predictions) -> bool:
        """As the kind of predictions says: images of pairs are scored without one."""
        return PREDICTION_KINDS[record.kind].needs_suite


def _findings(out: Path) -> PredictionFindings:
    """What the process that looked at predictions found; it is not trusted to have left a file of sensible size."""
    with open_regular(out / FINDINGS, "findings") as stream:
        return msgspec.json.decode(stream.read(MAX_FINDINGS), type=PredictionFindings)


PREDICTIONS = PredictionsKind()
