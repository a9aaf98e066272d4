"""Numbers from papers (tier 0): a small JSON of what a table prints, checked, and kept as results without a rank.

A record holds one paper's numbers on one data set. Values stand as they are printed, as text, so that places are kept
and nothing that is no plain number can be written. What a record says is checked against the metrics, dialects and data
sets that are known here; the status ``published`` is assigned here and is no field of it. The records that ship with
the package are in ``board/data`` and are handled like submitted ones.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.core.documents import parse_toml
from fusionbench.core.errors import DataError, FusionbenchError, Problem, RejectedError
from fusionbench.core.formats import require_format
from fusionbench.core.io import read_bounded, write_bytes
from fusionbench.core.text import Line, Link, Plain, counted
from fusionbench.results import schema
from fusionbench.results.bootstrap import Better
from fusionbench.results.input_means import current_keys
from fusionbench.results.tracks import TRACKS, UNNAMED, Track

SCHEMA = "fusionbench.published/1"
MAX_BYTES = 256 << 10
TEMPLATE = "published-template.toml"

Number = Annotated[str, msgspec.Meta(pattern=r"\A-?[0-9]{1,7}(\.[0-9]{1,9})?\Z")]
Key = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,39}(@[a-z0-9_]{1,20})?\Z")]
Long = Annotated[str, msgspec.Meta(min_length=1, max_length=250, pattern=r"\A[\w .,:;+()'&/@×–?!-]*\Z")]
_NO_CONTROLS = r"\A[^<>\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*\Z"
Caveat = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=_NO_CONTROLS)]


class Paper(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    title: Long
    authors: Long  # "A. One, B. Two"
    venue: Line
    url: Link


class PrintedMetric(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a metric is printed: times ``scale`` it is in ``unit``, the unit used here.

    ``better`` is the direction of the printed number; a likelihood that a paper prints without the minus sign is better
    when higher, and its scale is negative. ``table`` has the values, ``runs_table`` mean and sd over training runs.
    """

    unit: Line
    better: Literal["higher", "lower"]
    table: Line
    scale: Number = "1"
    runs_table: Line | None = None


class Printed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A value with mean and standard deviation over the paper's training runs, as printed."""

    value: Number
    mean: Number
    sd: Number


class PrintedRow(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``title``: the method as the paper writes it; ``model``: as folders of results do, to find our own run.

    Scores under a former name (``nll@avg4``) get the present one.
    """

    title: Line
    model: Plain
    scores: Annotated[dict[Key, Number | Printed], msgspec.Meta(min_length=1, max_length=200)]

    def __post_init__(self) -> None:
        self.scores = current_keys(self.scores)  # a ValueError here is reported as an invalid part of the record


class Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One paper's numbers on one data set. ``dims``: the values an image has, where bits per dimension are printed."""

    schema: Literal["fusionbench.published/1"] = "fusionbench.published/1"
    entered_by: Line
    paper: Paper
    dataset: Plain
    track: Plain  # the protocol whose results the numbers stand beside
    dialect: Annotated[str, msgspec.Meta(max_length=40)] | None = None  # whose evaluator, or "unnamed"
    images: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
    dims: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None
    caveats: Annotated[list[Caveat], msgspec.Meta(max_length=20)] = []
    metrics: Annotated[dict[Plain, PrintedMetric], msgspec.Meta(min_length=1, max_length=40)]
    rows: Annotated[list[PrintedRow], msgspec.Meta(min_length=1, max_length=200)]


def read_published(path: Path) -> tuple[Record | None, list[Problem]]:
    """A record from a ``.json`` or ``.toml`` file and everything that is wrong with it; None when it is no record.

    Raises:
        DataError: there is no such file.
    """
    remedy = "see the template of `fusionbench pack --template`"
    if not path.is_file():
        raise DataError(f"{path}: no such submission")
    try:
        text = read_bounded(path, MAX_BYTES, "record")
    except DataError as error:
        return None, [Problem(path.name, str(error).removeprefix(f"{path}: "), "split the table into several records")]
    try:
        if path.suffix == ".toml":
            record = msgspec.convert(parse_toml(text, path.name, f"{SCHEMA} record", MAX_BYTES), Record)
        else:
            record = msgspec.json.decode(text, type=Record)
    except DataError as error:
        return None, [Problem(path.name, str(error).removeprefix(f"{path.name}: "), remedy)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if (problem := _newer(text, path)) is not None:
            return None, [problem]
        return None, [Problem(path.name, f"not a {SCHEMA} record: {' '.join(str(error).split())}", remedy)]
    return record, [Problem(path.name, rule, fix) for rule, fix in _problems(record)]


def _newer(text: bytes, path: Path) -> Problem | None:
    """That a record is of another version, or a newer revision; None where it is not."""
    try:
        whole = (msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode)(text)
        require_format(whole.get("schema") if isinstance(whole, dict) else None, SCHEMA, path.name)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    except DataError as error:
        rule, _, fix = str(error).removeprefix(f"{path.name}: ").partition("; ")
        return Problem(path.name, rule, fix)
    return None


def is_record(path: Path) -> bool:
    """Whether a submission is a record of published numbers, by its name: every other one is a zip."""
    return path.suffix in (".json", ".toml")


def _problems(record: Record) -> list[tuple[str, str]]:
    """(rule, remedy) of everything that a well-formed record may still have wrong."""
    found: list[tuple[str, str]] = []
    if not any(map(str.isalpha, re.split(r",| and ", record.paper.authors)[0])):  # citations are called by that name
        found.append((f"authors {record.paper.authors!r} begin with no name", 'write them as "A. One, B. Two"'))
    if record.track not in TRACKS.names():
        return [*found, (f"there is no track {record.track!r}", f"write one of {', '.join(TRACKS.names())}")]
    track = TRACKS.get(record.track)()
    columns = track.columns(record.dataset)
    if columns is None:
        found.append(track.unknown(record.dataset))
    found += track.dialect_problems(record.dialect)
    for name, printed in record.metrics.items():
        found += _metric_problems(record, track, name, printed)
    known = [name for name in record.metrics if _known(record, track, name) is not None]
    for row in record.rows:
        for key, score in row.scores.items():
            where = f"{row.title}, {key}"
            if (metric := key.partition("@")[0]) not in record.metrics:
                fix = "say its unit, direction and table there"
                found.append((f"{where}: {metric!r} is not described under `metrics`", fix))
            elif metric in known:  # else it is reported already
                found += _score_problems(record, track, columns, where, key, score)
    for what, names in (("title", [row.title for row in record.rows]), ("model", [row.model for row in record.rows])):
        twice = sorted({name for name in names if names.count(name) > 1})
        found += [(f"two rows have the {what} {name!r}", "give each method one row") for name in twice]
    return found


def _known(record: Record, track: Track, name: str) -> tuple[str, Better, tuple[float, float]] | None:
    """(unit, direction, range) of a metric in the record's dialect; None where there is no such metric."""
    from fusionbench.metrics import METRICS, get_metric

    base = name.removesuffix("_bpd")
    if base not in METRICS.names():
        return None
    metric = METRICS.get(base)
    if metric.needs not in track.needs or (name != base and metric.needs != "log_weights"):
        return None
    if name != base:
        return "bits/dim", metric.better, metric.range
    if record.dialect not in (None, UNNAMED):
        try:
            metric = get_metric(base, str(record.dialect).partition("/")[0])
        except FusionbenchError:
            return None
    return metric.unit, metric.better, metric.range


def _metric_problems(record: Record, track: Track, name: str, printed: PrintedMetric) -> list[tuple[str, str]]:
    known = _known(record, track, name)
    if known is None:
        return [(f"{name!r} is no metric of {track.definitions(record.dialect)}", "see `fusionbench list metrics`")]
    unit, better, _ = known
    units = {unit} | ({"bits", "nats"} if (name, record.dialect) == ("mi", UNNAMED) else set())
    scale = Decimal(printed.scale)
    found = []
    if printed.unit not in units:
        fix = f"give the `scale` that turns the printed numbers into {' or '.join(sorted(units))!s}"
        found.append((f"{name} in {printed.unit!r}, here it is in {' or '.join(sorted(units))}", fix))
    if not scale:
        found.append((f"{name} is scaled by 0", "give the factor that turns the printed numbers into the unit"))
    elif (scale < 0) != (printed.better != better):
        fix = f"here {better} is better: turn the sign with a negative `scale`, or correct `better`"
        found.append((f"{name}: printed {printed.better} is better, with the scale {printed.scale}", fix))
    return found


def _score_problems(
    record: Record, track: Track, columns: Sequence[str] | None, where: str, key: str, score: str | Printed
) -> list[tuple[str, str]]:
    """What is wrong with a score of a metric that is known."""
    name, _, column = key.partition("@")
    if columns is not None and column not in columns:
        rule, fix = track.other_column(name, column, columns)
        return [(f"{where}: {rule}", fix)]
    known = _known(record, track, name)
    assert known is not None
    low, high = known[2]
    several = isinstance(score, Printed)
    value = Decimal(score.value if isinstance(score, Printed) else score) * Decimal(record.metrics[name].scale)
    found = []
    if record.dialect != UNNAMED and not Decimal(low) <= value <= Decimal(high):
        found.append((f"{where}: {value} is outside {low:g} to {high:g}", "check the number and the `scale`"))
    if several and not record.metrics[name].runs_table:
        found.append((f"{where}: mean and sd without a `runs_table`", "say which table prints them"))
    return found


def pack(numbers: Path, out: Path) -> Path:
    """Write the record in ``numbers`` (TOML or JSON) as JSON; it passes the check or is not written.

    Raises:
        DataError: there is no such file.
        RejectedError: names everything that is wrong.
    """
    record, problems = read_published(numbers)
    if record is None or problems:
        raise RejectedError(f"{numbers}: cannot be submitted: " + " | ".join(map(str, problems)))
    write_bytes(out, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    return out


def accept_record(path: Path, results: Path) -> list[Path]:
    """Check a record again and save its rows as results of status ``published``; their folders.

    Raises:
        DataError: there is no such file.
        RejectedError: the check found problems, or a row is there already with other numbers.
    """
    record, problems = read_published(path)
    if record is None or problems:
        raise RejectedError(f"{path}: {counted(len(problems), 'problem')}: " + " | ".join(map(str, problems)))
    made = results_of(record)
    ours = {result.id for result in shipped()}
    for result in made:
        if result.id in ours:
            raise RejectedError(f"{path}: {result.title}: this row of this paper comes with fusionbench; leave it out")
        folder = result.folder(results)
        if (folder / "result.json").exists() and schema.load(folder).scores != result.scores:
            raise RejectedError(
                f"{path}: {result.title}: entered before with other numbers; remove {folder} to replace it"
            )
    return [schema.save(result, results) for result in made]


def results_of(record: Record) -> list[schema.Result]:
    """A result of status ``published`` for every row. Its id says which row of which paper, so corrections replace."""
    return [_result(record, row) for row in record.rows]


def _result(record: Record, row: PrintedRow) -> schema.Result:
    where = {"paper": record.paper.url, "row": row.title, "track": record.track, "dialect": record.dialect or ""}
    identity = schema.Identity(
        model=schema.ModelIdentity(name=row.model, version="published", source="paper"),
        dataset=schema.DatasetIdentity(
            name=record.dataset, version="published", split="test", id="", n=record.images, ids_sha256=""
        ),
        protocol=schema.ProtocolIdentity(name="published", version="1", seed=0, params=where),
        metrics={name: "published" for name in sorted({key.partition("@")[0] for key in row.scores})},
    )
    suffix = "" if record.dialect in (None, "standard", "standard/1") else "@" + str(record.dialect).partition("/")[0]
    return schema.Result(
        id=schema.identity_id(identity),
        status="published",
        title=row.title,
        identity=identity,
        scores={key + suffix: _score(record, key, score) for key, score in row.scores.items()},
        origin=schema.Origin(
            kind="paper",
            paper=dict(msgspec.structs.asdict(record.paper)),
            submitter=record.entered_by,
            note="\n".join(record.caveats),
        ),
    )


def _score(record: Record, key: str, score: str | Printed) -> schema.Score:
    name = key.partition("@")[0]
    printed = record.metrics[name]
    scale = Decimal(printed.scale)
    text = score.value if isinstance(score, Printed) else score
    value, table = Decimal(text) * scale, printed.table
    extra: dict[str, Any] = {"printed": text, "places": max(0, -int(value.as_tuple().exponent))}
    if isinstance(score, Printed):
        table += f" (best of runs), {printed.runs_table} (mean)"
        extra |= {"runs_mean": float(Decimal(score.mean) * scale), "runs_sd": float(abs(Decimal(score.sd) * scale))}
    if name.endswith("_bpd") and record.dims is not None:
        extra["dims"] = record.dims
    known = _known(record, TRACKS.get(record.track)(), name)
    assert known is not None, "a record that was checked"
    extra["table"] = table
    return schema.Score(mean=float(value), n=record.images, better=known[1], unit=printed.unit, extra=extra)


@lru_cache
def shipped() -> tuple[schema.Result, ...]:
    """The published rows that come with the package, in the papers' order."""
    results: list[schema.Result] = []
    for file in sorted(importlib.resources.files("fusionbench.board").joinpath("data").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".json"):
            results += results_of(msgspec.json.decode(file.read_bytes(), type=Record))
    return tuple(results)


def beside(published: schema.Result, first: schema.Result) -> bool:
    """Whether a published row is about the data set and the track of the measured ones; no paper saw secret views."""
    if "round" in first.identity.protocol.params:
        return False
    dataset, track = published.identity.dataset.name, published.identity.protocol.params.get("track")
    return plain_name(dataset) == plain_name(first.identity.dataset.name) and track == first.identity.protocol.name


def plain_name(dataset: str) -> str:
    """``fusiont-less`` and ``fusion_tless`` name the same data set as ``fusiontless``."""
    return re.sub("[^a-z0-9]", "", dataset.lower())


def template() -> str:
    """A record to fill in, as TOML: the numbers in it are those of one row of the FusionVAE paper."""
    return importlib.resources.files("fusionbench.board").joinpath("data", TEMPLATE).read_text("utf-8")


def paper_of(result: schema.Result) -> Paper:
    """The paper of a published result.

    Raises:
        DataError: it names none, or not as a record does (a link that is no https address, markup).
    """
    try:
        return msgspec.convert(result.origin.paper, Paper)
    except msgspec.ValidationError as error:
        raise DataError(f"published result {result.id[:12]}: its paper cannot be shown: {error}") from error
