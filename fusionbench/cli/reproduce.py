"""``fusionbench reproduce``: make results again and compare, and check who did so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.options import data_root_option, device_option, json_option, option, out_option
from fusionbench.core.errors import DataError, MeasurementError, NotComparableError, RejectedError, UsageError

if TYPE_CHECKING:
    from fusionbench.evaluation.reproduction.outcome import Reproduction

_PATH = click.Path(path_type=Path)
_ERRORS = {
    "different": RejectedError,
    "damaged": DataError,
    "other protocol": NotComparableError,
    "could not": MeasurementError,
}


def _roots(ctx: click.Context, param: click.Parameter, value: object) -> object:
    """Several roots of the command line, or the one that the user has set."""
    return (Path(value),) if isinstance(value, str) else value


@click.command("reproduce", short_help="Make results again from what they record, and compare every value.")
@click.argument("results", nargs=-1, required=True, type=_PATH)
@data_root_option(
    "Where data sets lie; repeatable [data].", "data", ["-d", "--data"], multiple=True, default=None, callback=_roots
)
@click.option(
    "--source-dir", multiple=True, type=_PATH, metavar="DIR", help="Upstream files, or a folder with one per source."
)
@click.option(
    "--weights",
    multiple=True,
    type=_PATH,
    metavar="PATH",
    help="Weights, runs, submissions, fused images; searched by digest [runs].",
)
@click.option("--retrain", is_flag=True, help="Train again, as recorded, where the weights are not found.")
@option(
    "--runs",
    type=_PATH,
    default=Path("runs"),
    show_default=True,
    setting="runs_root",
    metavar="DIR",
    help="Root of training runs, where --retrain trains and resumes.",
)
@click.option(
    "--training-tolerance",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.05,
    show_default=True,
    help="Relative tolerance of means where trained weights have other bits.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first images: a partial check.")
@device_option("auto, cpu, cuda or cuda:1 [auto: the class that is recorded].", setting=None)
@click.option("--trust", is_flag=True, help="Measure what is of others in this process too, on any device.")
@click.option(
    "--seconds",
    default=3600,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Most time for one of those.",
)
@click.option(
    "--memory", default=8, show_default=True, type=click.IntRange(1, 4096), metavar="N", help="Most GiB for that."
)
@click.option("--skip-missing", is_flag=True, help="Exit code 0 though data or weights of some results are not here.")
@click.option("--scores", "all_scores", is_flag=True, help="List the scores of every result, not of one alone.")
@out_option("Write an attestation of what came out (JSON).")
@click.option("--sign", "key", metavar="KEY", type=_PATH, help="With -o: sign it with KEY (PEM).")
@click.option("--check", "attestation", metavar="FILE", type=_PATH, help="See what an attestation says of RESULTS.")
@click.option("--signer", metavar="PUBLIC_KEY", type=_PATH, help="With --check: the key that must have signed.")
@json_option("Print what came out as JSON.")
def reproduce_command(
    results: tuple[Path, ...],
    data: tuple[Path, ...],
    source_dir: tuple[Path, ...],
    weights: tuple[Path, ...],
    retrain: bool,
    runs: Path,
    training_tolerance: float,
    limit: int | None,
    device: str,
    trust: bool,
    seconds: int,
    memory: int,
    skip_missing: bool,
    all_scores: bool,
    out: Path | None,
    key: Path | None,
    attestation: Path | None,
    signer: Path | None,
    as_json: bool,
) -> None:
    """Make RESULTS (files, or folders with results) again and compare every image and mean.

    Data and weights are found by their digests, the protocol by what the result records; nothing is written beside the
    results. Exit code 0: the same within the tolerance of each metric, 1: different, 3: could not (data or weights are
    not here, a metric has another version, two runs here differ), 4: another protocol, 2: a damaged result.

    Weights that do not lie in a run's folder of the recorded parameters, and parameters that are no preset's, are
    taken to be from elsewhere: they are measured in a process with limits, as `accept` does, on the CPU.

    Example: fusionbench reproduce results/pairs-demo

    Example: fusionbench reproduce results --source-dir tno/ -o attestation.json --sign key.pem

    Example: fusionbench reproduce results --check attestation.json --signer public.pem
    """
    if key is not None and out is None:
        raise UsageError("--sign signs an attestation: name its file with -o")
    if attestation is not None:
        if out is not None or retrain or limit is not None:
            raise UsageError("--check measures nothing: leave out -o, --sign, --retrain and --limit")
        return _check(attestation, results, signer, as_json)
    if signer is not None:
        raise UsageError("--signer belongs to --check; to sign use --sign KEY")
    from fusionbench.core.progress import say
    from fusionbench.evaluation.reproduction.attestation import attest, write_attestation
    from fusionbench.evaluation.reproduction.outcome import worst_outcome
    from fusionbench.evaluation.reproduction.places import Places
    from fusionbench.evaluation.reproduction.reproduce import HowToReproduce, reproduce, result_files
    from fusionbench.submissions.kept_weights import weights_in_archive
    from fusionbench.submissions.reproducing import LimitedReproduction

    places = Places(
        data=data or (Path("data"),),
        sources=source_dir,
        weights=weights or (runs,),
        runs=runs,
        read_archive=weights_in_archive,
    )
    isolation = None if trust else LimitedReproduction(seconds, memory)
    how = HowToReproduce(places, retrain, limit, device, training_tolerance, isolation)
    alone = len(result_files(results)) == 1

    def show(one: Reproduction) -> None:
        if not as_json:
            for line in _lines(one, alone or all_scores or one.outcome == "different", alone):
                click.echo(line)

    found = reproduce(results, how, show)
    if out is not None:
        signed = write_attestation(out, attest(found), key)
        say(f"{out}" + (f", signed by key {signed}" if signed else ""))
    counted = [one for one in found if not (skip_missing and one.missing)] or found
    worst = worst_outcome(counted)
    if as_json:
        import msgspec

        body = {"outcome": worst, "reproductions": msgspec.to_builtins(found)}
        click.echo(json.dumps(body, ensure_ascii=False))
    if len(found) > 1:
        say(counted_outcomes(found))
    if worst != "same":
        first = next(one for one in counted if one.outcome == worst)
        many = sum(one.outcome == worst for one in counted)
        more = f" (and {many - 1} more)" if many > 1 else ""
        raise _ERRORS[worst](f"{first.file}: {worst}: {first.reason or _headline(first)}{more}")


def counted_outcomes(found: list[Reproduction]) -> str:
    """How many results had which outcome, in one line.

    Example:
        >>> from fusionbench.cli.reproduce import counted_outcomes
        >>> from fusionbench.evaluation.reproduction.outcome import Reproduction
        >>> found = [Reproduction(file="a", outcome="same", identical=True), Reproduction(file="b", outcome="same")]
        >>> counted_outcomes(found)
        '2 results: 2 same, of which 1 bit-identical'
    """
    parts = []
    for outcome in ("same", "different", "other protocol", "damaged", "could not"):
        count = sum(one.outcome == outcome for one in found)
        if count:
            same = sum(one.identical for one in found if one.outcome == outcome)
            parts.append(f"{count} {outcome}" + (f", of which {same} bit-identical" if same else ""))
    return f"{len(found)} results: {'; '.join(parts)}"


def _headline(one: Reproduction) -> str:
    """What came out, without the score lines."""
    from fusionbench.evaluation.reproduction.differences import largest_difference

    if one.outcome not in ("same", "different"):
        return one.reason
    images = f"{one.images} of {one.of} images (partial)" if one.partial else f"{one.images} images"
    text = f"{images}, {len(one.scores)} scores"
    if one.identical:
        return f"{text}, bit-identical"
    beyond = sum(not score.same for score in one.scores.values())
    text += f", {beyond} beyond the tolerance" if beyond else ", within the tolerance"
    moved = largest_difference(one.scores)
    return text + (f", largest difference {_moved(*moved)}" if moved is not None else "")


def _moved(name: str, score: Any) -> str:
    size = "a value on one side only" if score.largest is None else f"{score.largest:.3g}"
    return f"{name} {size}" + (f" ({score.image})" if score.image else "")


def _lines(one: Reproduction, scores: bool, environment: bool) -> list[str]:
    from fusionbench.core.text import printable

    lines = [f"{one.outcome:10} {one.file}: {_headline(one)}"]
    if scores:
        width = max(map(len, one.scores), default=0)
        for name, score in one.scores.items():
            said = "bit-identical" if score.identical else f"largest difference {_moved('', score).strip()}"
            allowed = f"tolerance {score.atol:g}" + (f" + {score.rtol:g}·|value|" if score.rtol else "")
            lines.append(f"  {name:{width}}  {'same' if score.same else 'DIFFERENT':9}  {said}; {allowed}")
    if environment:
        lines += [f"  {name}: {then} then, {now} now" for name, (then, now) in one.environment.items()]
    lines += [f"  note: {remark}" for remark in one.remarks]
    return [printable(line) for line in lines]


def _check(attestation: Path, results: tuple[Path, ...], signer: Path | None, as_json: bool) -> None:
    from fusionbench.core.text import printable
    from fusionbench.evaluation.reproduction.attestation import check_attestation

    checked = check_attestation(attestation, results, signer)
    if as_json:
        body = {"ok": checked.ok, "signer": checked.signer, "results": [vars(one) for one in checked.results]}
        click.echo(json.dumps(body, ensure_ascii=False))
    else:
        for one in checked.results:
            said = f"attested: {one.outcome}" if one.outcome else one.reason
            click.echo(printable(f"{one.file}: {said}{', of the first images only' if one.partial else ''}"))
        if checked.signer is not None:
            click.echo(f"  signed by key {checked.signer}")
        elif checked.signed_by:
            shown = ", ".join(name[:12] for name in checked.signed_by)
            click.echo(f"  signed by {shown}, which was not checked; --signer KEY does")
        else:
            click.echo("  not signed: whoever has the file can write what it says")
    if not checked.ok:
        wrong = [one for one in checked.results if one.outcome != "same"]
        raise RejectedError(
            f"{attestation}: {len(wrong)} of {len(checked.results)} results are not attested as the same"
        )
