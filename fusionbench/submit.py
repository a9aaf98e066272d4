"""Submissions of trained models: pack, check, accept. Nothing of a submission is ever executed.

A submission is a zip of ``submission.json`` (who, what, how it was trained) and ``weights.safetensors`` for a
**registered** model. The author and the maintainer run the same check, offline and without a GPU; accepting scores the
weights again. The status of a result is assigned here and is not a field of a submission.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.archive import Problem, extract, inspect
from fusionbench.errors import DataError, FusionbenchError, Rejected
from fusionbench.files import atomic_write, file_sha256
from fusionbench.run import Run, RunInfo, read_run

SCHEMA = "fusionbench.submission/1"
META, WEIGHTS = "submission.json", "weights.safetensors"
LIMITS = {META: 64 << 10, WEIGHTS: 1 << 30}
MAX_HEADER = 1 << 20  # bytes of the header of a safetensors file
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the same run gives the same archive

# Letters of any script, digits and ordinary punctuation; no markup, no control characters, no line ends.
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"\A[\w .,:;+()'&/@×–-]*\Z")]
Link = Annotated[str, msgspec.Meta(max_length=300, pattern=r"\Ahttps://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Content of ``submission.json``. ``run`` is the training run's own record."""

    schema: Literal["fusionbench.submission/1"] = "fusionbench.submission/1"
    title: Line
    submitter: Line
    link: Link | None = None
    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    weights_sha256: Digest
    run: RunInfo


@dataclass
class Report:
    """What a check found. ``ok`` when there are no problems."""

    path: str
    problems: list[Problem] = field(default_factory=list)
    submission: Submission | None = None

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        problems = [vars(problem) for problem in self.problems]
        facts = None if self.submission is None else msgspec.to_builtins(self.submission)
        return {"ok": self.ok, "file": self.path, "problems": problems, "submission": facts}


def pack(run_folder: Path, out: Path, *, title: str, submitter: str, link: str | None = None, note: str = "") -> Path:
    """Write a submission of a finished run to ``out``; it passes :func:`check` or is not written.

    Raises:
        DataError: no finished run.
        Rejected: the submission would be refused; names the first reason.
    """
    run = read_run(run_folder)
    weights = run.folder / WEIGHTS
    if not run.info.finished or not weights.is_file():
        raise DataError(f"{run_folder}: training has not finished; run the same train command again to go on")
    made = Submission(
        title=title, submitter=submitter, link=link, note=note, weights_sha256=file_sha256(weights), run=run.info
    )
    meta = msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=1)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "submission.zip"
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_member(META), meta)
            with archive.open(_member(WEIGHTS), "w") as stream:
                stream.write(weights.read_bytes())
        report = check(draft)
        if not report.ok:
            raise Rejected(f"{run_folder}: cannot be submitted: {report.problems[0]}")
        with atomic_write(out) as stream:
            stream.write(draft.read_bytes())
    return out


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIXED_TIME)
    info.external_attr = 0o100644 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def check(path: Path, unpacked: Path | None = None) -> Report:
    """Everything that is wrong with a submission; with ``unpacked``, an existing folder, its files stay there.

    Raises:
        DataError: there is no such file.
    """
    report = Report(str(path), inspect(path, LIMITS))
    if not report.ok:
        return report
    with tempfile.TemporaryDirectory() as temporary:
        folder = unpacked or Path(temporary)
        for name, limit in LIMITS.items():
            report.problems += extract(path, name, limit, folder / name)
        if report.ok:
            report.submission = _read_meta(folder / META, report.problems)
            report.problems += _header_problems(folder / WEIGHTS)
        if report.submission is not None and report.ok:
            report.problems += _content_problems(report.submission, folder / WEIGHTS)
    return report


def _read_meta(path: Path, problems: list[Problem]) -> Submission | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Submission)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problems.append(Problem(META, f"not a {SCHEMA} record: {error}", "make it again with `fusionbench pack`"))
        return None


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    data_offsets: tuple[int, int]


def _header_problems(path: Path) -> list[Problem]:
    """A safetensors file whose header is short, and whose tensors cover the rest of the file without gap or overlap."""
    remedy = "save the weights with safetensors; pickled weights are never read"
    size = path.stat().st_size
    with open(path, "rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            return [Problem(WEIGHTS, "not a safetensors file", remedy)]
        header = stream.read(length)
    try:
        tensors = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        tensors.pop("__metadata__", None)
        spans = sorted(msgspec.json.decode(raw, type=_Tensor).data_offsets for raw in tensors.values())
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return [Problem(WEIGHTS, f"not a safetensors header: {error}", remedy)]
    at = 0
    for begin, end in spans:
        if begin != at or end < begin:
            return [Problem(WEIGHTS, "its tensors overlap or leave gaps", remedy)]
        at = end
    if at != size - 8 - length:
        return [Problem(WEIGHTS, "its tensors do not cover the file to its end", remedy)]
    return []


def _content_problems(submission: Submission, weights: Path) -> list[Problem]:
    """Does the record describe a finished run of a model that we know, and do the weights fit it?"""
    from fusionbench.models import MODELS

    info, problems = submission.run, []
    if file_sha256(weights) != submission.weights_sha256:
        problems.append(Problem(WEIGHTS, "its sha256 is not the one of submission.json", "pack the run again"))
    if not info.finished:
        problems.append(Problem(META, "the run has not finished", "finish training and pack again"))
    if info.model not in MODELS.names():
        message = f"the model {info.model!r} is not registered"
        problems.append(Problem(META, message, "new models come with code, as a pull request"))
    elif MODELS.get(info.model).version != info.version:
        now = MODELS.get(info.model).version
        problems.append(Problem(META, f"version {info.version} of {info.model}, here {now}", "train with this version"))
    return problems or _load_problems(submission, weights)


def _load_problems(submission: Submission, weights: Path) -> list[Problem]:
    """Build the model and load the weights in a child process with limits, since parameters are a stranger's."""
    from fusionbench.sandbox import run_limited

    done = run_limited("fusionbench.submit:load_once", [str(weights.parent)], seconds=120)
    return [] if done.ok else [Problem(WEIGHTS, done.message, "pack the run again with this version of fusionbench")]


def as_run(folder: Path) -> Run:
    """The unpacked submission in ``folder`` as a run; the origin of its code is ours to say, not the record's."""
    from fusionbench.models import MODELS

    submission = msgspec.json.decode((folder / META).read_bytes(), type=Submission)
    submission.run.source = MODELS.origin(submission.run.model)
    return Run(folder, submission.run)


def load_once(folder: str) -> None:
    """In the child: build the model for its data set's shape and load the weights, strictly."""
    from fusionbench.recipes import load_recipe

    run = as_run(Path(folder))
    run.load_model(load_recipe(run.info.dataset_name).image_spec)


def score_once(folder: str, data: str, suite: str, out: str) -> None:
    """In the child: score the unpacked submission in ``folder`` as the suite says, into ``out``."""
    from fusionbench.data import open_dataset
    from fusionbench.evaluate import Protocol, evaluate
    from fusionbench.suites import load_suite

    rules = load_suite(suite)
    protocol = Protocol(rules.protocol.draws, rules.protocol.seed, rules.protocol.paper_batch)
    dataset = open_dataset(data)
    evaluate(
        as_run(Path(folder)),
        dataset,
        split=rules.split,
        protocol=protocol,
        out=out,
        device="cpu",
        limit=rules.protocol.limit,
    )


def accept(path: Path, *, data: Path, suite: str, results: Path, seconds: int = 3600) -> Path:
    """Check a submission again, score its weights in a child process with limits, and save the result; its folder.

    Raises:
        Rejected: the check found problems, the data set is another one, or scoring failed or took too long.
        UsageError, DataError: the suite, the data set or the file is not there.
    """
    from fusionbench import result as schema
    from fusionbench.data import open_dataset
    from fusionbench.sandbox import run_limited
    from fusionbench.suites import load_suite

    rules, dataset = load_suite(suite), open_dataset(data)
    if dataset.name != rules.dataset:
        raise Rejected(f"{data}: is {dataset.name}, the suite {suite} is about {rules.dataset}")
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary) / "submission", Path(temporary) / "results"
        folder.mkdir()
        report = check(path, folder)
        if not report.ok or report.submission is None:
            raise Rejected(f"{path}: {len(report.problems)} problems: " + " | ".join(map(str, report.problems)))
        if report.submission.run.dataset_id != dataset.id:
            theirs = report.submission.run.dataset_id[:12]
            raise Rejected(f"{path}: trained on data set {theirs}, this one is {dataset.id[:12]}")
        arguments = [str(folder), str(Path(data).resolve()), suite, str(out)]
        done = run_limited("fusionbench.submit:score_once", arguments, seconds=seconds)
        if not done.ok:
            raise Rejected(f"{path}: could not be scored: {done.message}")
        try:
            (scored,) = out.glob("**/result.json")
            result, table = schema.load(scored), schema.load_per_image(scored)
        except (ValueError, FusionbenchError) as error:
            raise Rejected(f"{path}: scoring left no valid result: {error}") from error
        result.status = "verified"
        result.title = report.submission.title
        result.origin = schema.Origin(kind="submission", submitter=report.submission.submitter)
        return schema.save(result, results, table)
