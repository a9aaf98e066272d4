"""``fusionbench study``: which metric agrees with people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import json_option, out_option
from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.results.study_files import Correlation, Study

_PLACE = click.Path(path_type=Path)


@click.command("study", short_help="Correlate metrics and dialects with what people say about fused images.")
@click.argument("values", nargs=-1, required=True, metavar="METRICS...")
@click.option(
    "--opinions",
    required=True,
    type=_PLACE,
    metavar="FILE",
    help="CSV with columns image, method, score (and subject).",
)
@click.option("--opinions-better", type=click.Choice(["higher", "lower"]), default="higher", show_default=True,
              help="What a good opinion is; lower for differential scores (DMOS).")  # fmt: skip
@click.option(
    "--metrics",
    type=Names("metrics", several=True),
    metavar="NAMES",
    help="Comma-separated names, such as vif,vif@cddfuse. [default: all that are there]",
)
@click.option("--fit", type=click.Choice(["none", "logistic"]), default="none", show_default=True,
              help="Fit each metric to the opinions before the PLCC, by a monotone logistic.")  # fmt: skip
@click.option(
    "--zscore", is_flag=True, help="Each opinion as the distance from its subject's mean, in their deviations."
)
@click.option("--screen", is_flag=True, help="Leave out subjects first whom the screening of ITU-R BT.500 rejects.")
@click.option("--title", help="What pages call the study. [default: the name of the CSV]")
@out_option("Write the study to this file, for `board --study`.")
@json_option("Print the study as JSON.")
def study_command(
    values: tuple[str, ...],
    opinions: Path,
    opinions_better: str,
    metrics: str | None,
    fit: str,
    zscore: bool,
    screen: bool,
    title: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say which metrics agree with people, from metric values of several methods and opinions on their images.

    METRICS are folders of results, or files that `score --json` wrote, one a method: NAME=FILE, or the method is the
    file's stem. The same method may come in several dialects. A correlation is positive where the metric agrees,
    whatever its direction; intervals (95 %) are over images.

    Example: fusionbench study results/tno --opinions scores.csv -o study.json

    Example: fusionbench study CDDFuse=cdd.json U2Fusion=u2.json GTF=gtf.json --opinions scores.csv
    """
    from fusionbench.core.io import write_bytes
    from fusionbench.core.progress import say
    from fusionbench.core.text import one_line
    from fusionbench.results.opinions import MAX_NAME, read_opinions
    from fusionbench.results.study import make_study
    from fusionbench.results.study_files import study_bytes
    from fusionbench.results.study_values import read_metric_values

    title = opinions.stem if title is None else title
    if not title.strip() or len(title) > MAX_NAME or one_line(title) != title:
        raise UsageError(f"--title takes one line of 1 to {MAX_NAME} letters")
    chosen = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    study = make_study(
        read_metric_values(values),
        read_opinions(opinions, zscore=zscore, screen=screen),
        title=title,
        metrics=chosen,
        opinions_better="lower" if opinions_better == "lower" else "higher",
        fit="logistic" if fit == "logistic" else "none",
    )
    for warning in study.warnings:
        say(f"warning: {warning}")
    content = study_bytes(study)
    if out is not None:
        write_bytes(out, content)
        say(f"study: {out}")
    click.echo(content.decode().rstrip("\n") if as_json else _table(study))


def _table(study: Study) -> str:
    from fusionbench.core.io import escaped
    from fusionbench.core.text import counted

    people = f" of {study.subjects} people" if study.subjects is not None else ""
    how = " as z-scores" if study.zscore else ""
    how += f", {counted(len(study.screened), 'subject')} screened out" if study.screened is not None else ""
    head = f"{study.opinions:,} opinions{people}{how} on {study.images} images × {len(study.methods)} methods; + agrees"
    plcc = "PLCC fitted" if study.fit == "logistic" else "PLCC"
    rows = [["", "within image", "", "pooled SRCC", "", "KRCC", plcc, "within method", "means"]]
    for row in study.metrics:
        mark = "" if row.tied is None else "=" if row.tied else " "
        rows.append(
            [
                f"{mark} {escaped(row.key)}" if mark else escaped(row.key),
                _number(row.within_image.srcc),
                _limits(row.within_image.srcc),
                _number(row.pooled.srcc),
                _limits(row.pooled.srcc),
                _number(row.pooled.krcc),
                _number(row.pooled.plcc),
                _number(row.within_method.srcc),
                _number(row.means.srcc),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
    notes = ["= not separable from the metric that agrees best within images"] if rows[1][0].startswith("=") else []
    notes += sorted({row.within_image.reason for row in study.metrics if row.within_image.reason})
    return "\n".join([head, *lines, *notes])


def _number(found: Correlation) -> str:
    return "–" if found.value is None else f"{found.value:+.3f}"


def _limits(found: Correlation) -> str:
    return "" if found.low is None or found.high is None else f"[{found.low:+.2f}, {found.high:+.2f}]"
