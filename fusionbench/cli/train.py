"""``fusionbench train`` and ``run``: learn, and both learn and score for a whole suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.cluster_options import cluster_options
from fusionbench.cli.console import print_results
from fusionbench.cli.names import Names
from fusionbench.cli.options import (
    data_option,
    data_root_option,
    device_option,
    jobs_option,
    json_option,
    option,
    out_option,
    results_option,
    setting,
    stop_option,
)
from fusionbench.cli.range_options import range_options
from fusionbench.cli.renamed_options import keep_images_option
from fusionbench.cli.setting_options import parse_settings
from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.time_limit import UnfinishedError

if TYPE_CHECKING:
    from fusionbench.core.image_ranges import Range

_DEVICE = device_option()
_PRECISION = option(
    "--precision",
    default="auto",
    setting="precision",
    metavar="FORM",
    help="fp32, tf32 or bf16 [auto: tf32 on a GPU, else fp32].",
)
_COMPILE = click.option(
    "--compile", is_flag=True, help="Compile the model's blocks first: minutes, then faster steps on a GPU."
)
_STRICT = click.option("--strict", is_flag=True, help="Pairs: refuse images without a partner.")
_KEEP = keep_images_option(
    "Pairs: keep sources and fused images for the board's pages [where the licence allows redistribution]."
)


@click.command("train")
@click.argument("model", type=Names("models", files=True, plugin="models"), metavar="MODEL|FILE.py:CLASS")
@data_option("A data set: its folder, its URL, or its name below --data-root.", required=True)
@click.option(
    "-p", "--preset", metavar="PRESET", help="Preset of the model [the one named like the data set, else tiny]."
)
@out_option("Run folder [runs/DATA/MODEL-seedS].")
@click.option(
    "--budget", metavar="BUDGET", help="Cut training short: 60s, 10m, 2000 steps or 5%. The run is marked as cut."
)
@_DEVICE
@_PRECISION
@_COMPILE
@stop_option()
@click.option("-s", "--seed", type=int, metavar="N", default=0, show_default=True, help="Of training.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Model or training parameter; repeatable.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard scalars too.")
@json_option("Print what was trained as JSON.")
def train_command(
    model: str,
    data: str,
    preset: str | None,
    out: Path | None,
    budget: str | None,
    device: str,
    precision: str,
    compile: bool,
    stop_after: str | None,
    seed: int,
    settings: tuple[str, ...],
    tensorboard: bool,
    as_json: bool,
) -> None:
    """Train MODEL on a data set. Prints the run folder; the same command goes on with a stopped run.

    MODEL is a name of `fusionbench list models`, or a class in a Python file of your own, which is run; `evaluate` and
    `fuse` take such a run with --plugin FILE.py.

    The exit code is 75 where --stop-after ended it before its last step.

    Example: fusionbench train fusionvae --data fusiondigits --budget 60s

    Example: fusionbench train my_model.py:Net --data roadscene-patches

    Several processes or GPUs share each batch:

    Example: torchrun --nproc-per-node 4 -m fusionbench train fusionvae --data fusionmnist
    """
    from fusionbench.core import progress
    from fusionbench.data.dataset import open_dataset
    from fusionbench.training.loop import train
    from fusionbench.training.runtime import torchrun_rank

    progress.QUIET = progress.QUIET or torchrun_rank() > 0
    dataset = open_dataset(data)
    params, training = _split(model, settings)
    run = train(
        model,
        dataset,
        out=out or Path(setting("runs_root")) / dataset.name / f"{model}-seed{seed}",
        preset=preset,
        device=device,
        precision=precision,
        budget=budget,
        seed=seed,
        params=params,
        training=training,
        tensorboard=tensorboard,
        compile=compile,
        stop_after=stop_after,
    )
    if torchrun_rank() > 0:
        return
    if as_json:
        import msgspec

        click.echo(json.dumps({"folder": str(run.folder), **msgspec.to_builtins(run.info)}))
    else:
        click.echo(str(run.folder))
    if not run.info.finished:
        where = f"step {run.info.steps} of {run.info.total_steps}"
        raise UnfinishedError(f"{run.folder}: stopped at {where} after {stop_after}; the same command goes on")


@click.command("run")
@click.argument("suite", type=Names("suites", files=True))
@data_root_option(former=["--data"])
@click.option("--source-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the upstream files.")
@results_option()
@option(
    "--runs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    setting="runs_root",
    help="Root of training runs [runs, beside the results].",
)
@_DEVICE
@_PRECISION
@_COMPILE
@stop_option()
@click.option("--budget", metavar="BUDGET", help="Cut every training short: 60s, 10m, 2000 steps or 5%.")
@click.option(
    "-m",
    "--models",
    type=Names("models", several=True, files=True, plugin="models"),
    metavar="NAMES",
    help="Only these rows or models, separated by commas; FILE.py:CLASS adds yours as a row.",
)
@click.option("--seeds", metavar="SEEDS", help="Only these training seeds, separated by commas.")
@click.option(
    "-k", "--samples", type=click.IntRange(min=1), metavar="N", help="Draws per image instead of the suite's."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Score only the first images of the split.")
@jobs_option("Processes [0: one a core; 1 on a GPU].")
@cluster_options("Train and score rows that learn")
@click.option("--sheets/--no-sheets", default=True, show_default=True, help="Draw each model's sheets.")
@range_options("a", "b", head="Pairs: ")
@_STRICT
@_KEEP
@json_option("Print the results as JSON, a line each.")
def run_command(
    suite: str,
    data_root: Path,
    source_dir: Path | None,
    out: Path,
    runs: Path | None,
    device: str,
    precision: str,
    compile: bool,
    stop_after: str | None,
    budget: str | None,
    models: str | None,
    seeds: str | None,
    samples: int | None,
    limit: int | None,
    jobs: int,
    scheduler: str | None,
    sheets: bool,
    range_a: Range | None,
    range_b: Range | None,
    strict: bool,
    keep_images: bool | None,
    as_json: bool,
) -> None:
    """Run a SUITE (a name or a .toml file): make its data, train and score its models. Goes on where it stopped.

    Prints one result folder a row. A row that fails does not stop the others; the exit code is 3 then. It is 75 where
    --stop-after ended it before all was done.

    Example: fusionbench run fusionmnist --source-dir mnist/ --models fcn,fusionvae --budget 1%

    Example: fusionbench run fusionmnist --backend dask --scheduler tcp://host:8786
    """
    from fusionbench.evaluation.jobs import RowsFailed, RowsUnfinishedError
    from fusionbench.evaluation.run_suite import run_suite

    try:
        results = run_suite(
            suite,
            data_root=data_root,
            source_dir=source_dir,
            out=out,
            runs=runs,
            device=device,
            budget=budget,
            jobs=jobs,
            models=[name.strip() for name in models.split(",")] if models else None,
            seeds=_whole_numbers(seeds) if seeds else None,
            draws=samples,
            limit=limit,
            sheets=sheets,
            strict=strict,
            keep_images=keep_images,
            range_a=range_a,
            range_b=range_b,
            scheduler=scheduler,
            precision=precision,
            compile=compile,
            stop_after=stop_after,
        )
    except (RowsFailed, RowsUnfinishedError) as ended:
        print_results(ended.results, out, as_json)
        raise
    print_results(results, out, as_json)


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: whole numbers separated by commas, such as 0,1") from None


def _split(model: str, settings: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``--set`` values, read as TOML, into model and training parameters.

    Raises:
        UsageError: a name that is neither, with a suggestion from both, or a value of another kind than the default.
    """
    from fusionbench.models import MODELS, check_kinds, parameters_of
    from fusionbench.training.schedule import Training

    own, general = parameters_of(MODELS.get(model)), Training.__struct_fields__
    params: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for key, value in parse_settings(settings, "--set", "--set lr=0.003").items():
        if key not in own and key not in general:
            see = f"fusionbench describe {model}"
            raise unknown_name(f"parameter of {model} and of training", key, [*own, *general], see)
        (training if key in Training.__struct_fields__ else params)[key] = value
    check_kinds(model, params)
    return params, training
