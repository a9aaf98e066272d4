"""The main job on embedded digits: generate, verify, train, score, fuse pairs, show. Stopped, every step goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.board import build_board
from fusionbench.core.errors import DataError, Rejected
from fusionbench.core.figures import reconstruction_sheet, sample_sheet
from fusionbench.core.io import write_bytes
from fusionbench.core.progress import progress, say
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.preview import draw_preview
from fusionbench.data.recipes import load_recipe
from fusionbench.data.verify import verify_dataset
from fusionbench.evaluation.fusing.demo import write_demo
from fusionbench.evaluation.fusing.folders import FusedFiles, fuse_files
from fusionbench.evaluation.jobs import learns
from fusionbench.evaluation.masked import sample_grid
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.evaluation.sheets import reconstruction_grid, spread
from fusionbench.evaluation.suites import RowsFailed, Suite, SuiteModel, load_suite, run_folder
from fusionbench.results.input_means import inputs_text
from fusionbench.results.schema import Result
from fusionbench.training.schedule import Budget

REGENERATED = 100  # samples that are made again from their index and compared
SHOWN = 3  # samples on the sheet of draws
RECONSTRUCTED = 8  # samples on the sheet of reconstructions
CONTACT = 24  # samples on the contact sheet


@dataclass(frozen=True)
class Quickstart:
    """What was made and where it lies: folders, and the sheets as PNG files.

    ``failed``: which rows are missing on the pages and why.
    """

    data: Path
    contact_sheet: Path
    sample_sheet: Path
    fused_pairs: Path
    runs: Path
    results: Path
    site: Path
    rows: list[Result]
    failed: RowsFailed | None = None


def quickstart(
    out: Path, *, suite_name: str = "quickstart", device: str = "auto", budget: str | None = None, jobs: int = 0
) -> Quickstart:
    """Run all steps below ``out``, telling on stderr what happens.

    A row that fails does not stop the others: the pages show those, and ``failed`` of what is returned says the rest.

    Args:
        jobs: processes, as for :func:`fusionbench.evaluation.run_suite.run_suite`.

    Raises:
        Rejected: the data set on disk is damaged.
        RowsFailed: no row is finished.
        UsageError, DataError, CannotMeasure: as the steps do; what is finished is found again by the next call.
    """
    suite = load_suite(suite_name)
    if budget is not None:
        Budget.parse(budget)  # a wrong one is told before anything is made
    recipe = load_recipe(suite.dataset)
    sheets, results = out / "sheets", out / "results"

    say(f"1/6  Generate {recipe.title}")
    folder = build_dataset(recipe, None, out / "data")
    dataset = open_dataset(folder)
    sizes = ", ".join(f"{dataset.size(split):,} {split}" for split in dataset.splits)
    say(f"     {sizes} samples with {dataset.spec.views} views each in {folder}")

    say(f"2/6  Verify: hash every byte, make {REGENERATED} samples again from their index")
    report = verify_dataset(folder, regenerate=REGENERATED)
    if not report.ok:
        raise Rejected(f"{folder}: {report.problems[0]}; remove the folder and run again")
    contact = sheets / "contact-sheet.png"
    write_bytes(contact, draw_preview(dataset, suite.split, spread(dataset.size(suite.split), CONTACT)))
    say(f"     id {dataset.id[:16]}, the same on every machine; a look at it: {contact}")

    say(f"3/6  Train and score {', '.join(row.key for row in suite.models)}")
    failed = None
    where: dict[str, Any] = {"data_root": out / "data", "out": results, "runs": out / "runs"}
    try:
        rows = run_suite(suite_name, device=device, budget=budget, jobs=jobs, **where)
    except RowsFailed as error:
        if not error.results:
            raise
        failed, rows = error, error.results
    shown = [row for row in suite.models if failed is None or (row.key, _seed(suite, row)) not in failed.failed]
    suite = msgspec.structs.replace(suite, models=shown)

    say(f"4/6  Draw what the models make of {inputs_text(dataset.spec.views)}")
    samples, again, drawn = sheets / "samples.png", sheets / "reconstructions.png", [contact]
    if suite.models:
        write_bytes(samples, draw_samples(suite, dataset, out / "runs", budget))
        drawn.append(samples)
    if any(learns(row) for row in suite.models):
        write_bytes(again, draw_reconstructions(suite, dataset, out / "runs", budget))
        drawn.append(again)

    say("5/6  Fuse three embedded pairs in colour")
    pairs, done = fuse_demo(out / "fused-pairs")
    drawn.append(pairs)
    say(f"     {len(done.outputs)} fused by {done.method}; a look at them: {pairs}")

    say("6/6  Build the pages")
    for sheet in drawn:  # beside the results, so that the pages can be built again from them alone
        name = "fused-pairs.png" if sheet == pairs else sheet.name
        write_bytes(results / dataset.name / name, sheet.read_bytes())
    site = build_board(results, out / "site")
    return Quickstart(folder, contact, samples, pairs, out / "runs", results, site, rows, failed)


def fuse_demo(out: Path) -> tuple[Path, FusedFiles]:
    """Fuse the embedded pairs below ``out`` as ``fuse --demo`` does; the sheet, and what became of the pairs.

    Raises:
        UsageError: other images are in its folders.
    """
    files = write_demo(out)
    # a folder of the quick start's own: images of another version of the method are replaced
    done = fuse_files(files.a, files.b, files.fused, device="cpu", force=True, sheet=files.sheet)
    if done.problems:
        raise DataError("; ".join(done.problems.values()))
    return files.sheet, done


def draw_samples(suite: Suite, dataset: Dataset, runs: Path, budget: str | None = None) -> bytes:
    """The sample sheet of every model of a suite that was trained below ``runs``, with the first seed."""
    indices = spread(dataset.size(suite.split), SHOWN)
    draws, grid = {}, None
    with progress("draw samples", len(suite.models), "models") as bar:
        for row in suite.models:
            run = run_folder(suite, row, _seed(suite, row), runs, budget)
            grid = sample_grid(run, dataset, indices, split=suite.split)
            draws[row.label or title(row.name)] = grid["draws"]
            bar.advance()
    assert grid is not None, "a suite has at least one model"
    return sample_sheet(
        grid["views"],
        grid["targets"],
        draws,
        title=f"What the models make of N views of {load_recipe(dataset.name).title.partition(':')[0]}",
        caption=f"{suite.split} split · id {dataset.id[:16]} · suite {suite.name} · N: number of views given",
        labels=[f"sample {index}" for index in indices],
    )


def draw_reconstructions(suite: Suite, dataset: Dataset, runs: Path, budget: str | None = None) -> bytes:
    """The reconstruction sheet of the models of a suite that learn, with the first seed."""
    indices = spread(dataset.size(suite.split), RECONSTRUCTED)
    made, targets = {}, dataset.arrays(suite.split).targets[indices]
    for row in suite.models:
        if learns(row):
            run = run_folder(suite, row, _seed(suite, row), runs, budget)
            made[row.label or title(row.name)] = reconstruction_grid(run, dataset, indices, split=suite.split)["made"]
    return reconstruction_sheet(
        targets,
        made,
        title="What the models keep of a target that they are given",
        caption=f"{suite.split} split · id {dataset.id[:16]} · suite {suite.name}",
        labels=[str(index) for index in indices],
    )


def _seed(suite: Suite, row: SuiteModel) -> int:
    """The first seed of a row, which the sheets show."""
    return (row.seeds or suite.seeds)[0]


def title(model: str) -> str:
    """What tables call a registered model."""
    from fusionbench.models import MODELS

    return str(MODELS.get(model).title)
