"""Train and score FusionMNIST at the published size on a machine with a GPU, in slices of a few minutes.

    python benchmarks/gpu_campaign.py --mnist IDX --state STATE [--minutes 9] [--at-once 6] [--scratch DIR]
                                      [--pairs ROADSCENE] [--tno TNO] [--compile] [--dry-run]

The same command again goes on where the last slice stopped, on any machine that STATE was copied to: it holds the runs,
results, figures and the report, and is all that has to come home. The data set is built in ``--scratch`` and needs not.
A slice changes no schedule. Stages, in this order: digests of the generator on the device, throughput, FusionVAE and
CVAE+S, the other published models, FusionVAE+, the other seeds, tables of K = 1000 draws, DAE-Fuse and MFEIF on pairs
where ``--pairs`` has RoadScene, and the kernels' figures. docs/gpu-campaign.md says how to use it.

Leaves with 0 when all is done, 75 when another slice is needed, 1 when the device makes other masks than NumPy, 3 when
something failed that will not be tried again, and 2 for bad arguments.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from campaign_report import expected_minutes, make_report, markdown
from campaign_scripts import load_script, printed_by

from fusionbench.core.errors import FusionbenchError, RejectedError, UsageError
from fusionbench.core.io import read_bounded, write_bytes, write_json
from fusionbench.core.progress import say
from fusionbench.core.time_limit import UnfinishedError, check_time, time_limit
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.jobs import RowsUnfinishedError, learns, run_folder, run_rows, run_settings, train_row
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.evaluation.suites import Suite, SuiteModel, load_suite
from fusionbench.models import create_model
from fusionbench.training.checkpoints import compact_checkpoints
from fusionbench.training.run import read_run
from fusionbench.training.runtime import describe_host, find_device

PERF = Path(__file__).resolve().parent / "perf"
FIRST, OTHERS, PLUS, SEEDS = ("fusionvae", "cvae+s"), ("cvae", "fcn", "fcn+s"), ("fusionvae-plus",), (0, 1, 2)
RESERVE = 25.0  # s at the end of a slice: checkpoints are written and made small
TRIES = 2  # of a row that fails
SKIPPED = "skipped"
Job = tuple[str, int]  # key of a row, and seed


class Stage(msgspec.Struct):
    """What is known of a stage: seconds spent, and whether it is done."""

    seconds: float = 0.0
    done: bool = False
    expected: float | None = None


class State(msgspec.Struct):
    """``campaign.json``: all that a slice has to know of the earlier ones besides runs and results."""

    stages: dict[str, Stage] = {}
    slices: list[dict[str, Any]] = []
    throughput: dict[str, Any] = {}
    failed: dict[str, list[str]] = {}


@dataclass
class Campaign:
    """The stages, and where everything lies."""

    mnist: Path | None
    state_folder: Path
    scratch: Path
    minutes: float = 9.0
    at_once: int = 6
    limit_mb: float = 60.0
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    pairs: Path | None = None
    tno: Path | None = None
    dry: bool = False
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        if self.mnist is None and not self.dry:
            raise UsageError("--mnist: the folder of MNIST's four IDX files is needed, or --dry-run")
        if not (self.minutes > 0 and self.at_once > 0 and self.limit_mb > 0):
            raise UsageError("--minutes, --at-once and --limit-mb have to be positive")
        self.chosen = find_device(self.device)
        path = self.state_folder / "campaign.json"
        if path.is_file():
            try:
                self.state = msgspec.json.decode(read_bounded(path, 1 << 24, "state of a campaign"), type=State)
            except msgspec.DecodeError as error:
                raise UsageError(f"{path}: not the state of a campaign ({error}); choose another --state") from error

    @cached_property
    def suite(self) -> Suite:
        """The suite with all seeds; in a dry run the same rows at ``tiny`` for a few steps, on embedded digits."""
        suite = load_suite("fusionmnist")
        wanted = {*FIRST, *OTHERS, *PLUS}
        rows = [row for row in suite.models if row.key in wanted or not learns(row)]
        rows = [row if learns(row) else msgspec.structs.replace(row, seeds=[0]) for row in rows]
        seeds = list(SEEDS)
        if self.dry:
            small: dict[str, Any] = {"preset": "tiny", "params": {"groups": [1], "blocks": 1}}
            small["training"] = {"epochs": 0.05, "batch": 16, "reestimate": 1}
            rows = [msgspec.structs.replace(row, **small) if learns(row) else row for row in rows]
            options = msgspec.structs.replace(suite.protocol, draws=2, limit=4)
            suite, seeds = msgspec.structs.replace(suite, dataset="fusiondigits", protocol=options), [0, 1]
        return msgspec.structs.replace(suite, models=rows, seeds=seeds)

    @cached_property
    def rows(self) -> dict[str, SuiteModel]:
        return {row.key: row for row in self.suite.models}

    @property
    def runs(self) -> Path:
        return self.state_folder / "runs"

    @property
    def results(self) -> Path:
        return self.state_folder / "results"

    # the slice

    def run(self) -> None:
        """One slice.

        Raises:
            UnfinishedError: there is more to do.
            RejectedError: the device makes other masks than NumPy.
        """
        begun = time.time()
        self.state.slices.append({"begun": round(begun), "seconds": 0.0, **describe_host(self.chosen)})
        stages = {
            "digests": self.check_digests,
            "throughput": self.measure_throughput,
            "first": lambda: self.train([(key, self.suite.seeds[0]) for key in FIRST]),
            "others": lambda: self.train([(key, self.suite.seeds[0]) for key in OTHERS]),
            "plus": lambda: self.train([(key, self.suite.seeds[0]) for key in PLUS]),
            "seeds": lambda: self.train([(k, s) for s in self.suite.seeds[1:] for k in (*FIRST, *OTHERS, *PLUS)]),
            "tables": self.score,
            "pairs": self.train_pairs,
            "figures": self.measure_kernels,
        }
        reserve = min(RESERVE, 6 * self.minutes)  # a tenth of a slice that is too short for it
        try:
            with time_limit(begun + 60 * self.minutes - reserve):
                self.folder = build_dataset(load_recipe(self.suite.dataset), self.mnist, self.scratch)
                for name, work in stages.items():
                    stage = self.state.stages.setdefault(name, Stage())
                    if stage.done:
                        continue
                    check_time(f"the stage {name}")
                    self.spend(stage, work)
        finally:
            self.state.slices[-1]["seconds"] = round(time.time() - begun, 1)
            self.write()

    def spend(self, stage: Stage, work: Any) -> None:
        """Run a stage, and add its time; it is done unless it raises or says that it was left out."""
        begun = time.time()
        try:
            stage.done = work() is not SKIPPED
        finally:
            stage.seconds += time.time() - begun

    # stages

    def check_digests(self) -> None:
        """The generator's bits on the device, by ``perf/device_bits.py``."""
        bits = load_script(PERF / "device_bits.py")
        if self.dry:
            bits.SAMPLES = 64
        place = "cuda" if self.chosen.type == "cuda" else "cpu"
        rows = []
        for law, maker in bits.laws().items():
            here, there = bits.digest(maker, None), bits.digest(maker, place)
            rate = None if self.dry else bits.rate(maker, place)
            rows.append({"law": law, "numpy": here, "device": there, "same": here == there, "views_per_second": rate})
        write_json(self.state_folder / "figures/device_bits.json", rows, indent=1)
        wrong = [row["law"] for row in rows if not row["same"]]
        if wrong:
            raise RejectedError(f"{self.chosen}: makes other views than NumPy ({wrong[0]}); nothing is trained on them")

    def measure_throughput(self) -> None:
        """Images/s of FusionVAE alone, and of the six models side by side, over the first steps."""
        steps = "2 steps" if self.dry else "100 steps"
        several = [*FIRST, *OTHERS, *PLUS][: self.at_once]
        for name, keys in {"alone": list(FIRST[:1]), "together": several}.items():
            if name in self.state.throughput:
                continue
            runs = Path(tempfile.mkdtemp(dir=self.scratch, prefix="throughput-"))
            settings = self.settings(runs=runs, budget=steps)
            try:
                work = [(self.rows[key], 0) for key in keys]
                done = run_rows(self.suite, work, settings, len(work), train_row)
                if done.unfinished:
                    raise RowsUnfinishedError(self.suite.name, done.unfinished)
                rates = [_rate(Path(folder)) for folder in done.made.values()]
                measured = {"models": [key for key, _ in done.made], "images_per_second": round(sum(rates), 1)}
                self.state.throughput[name] = measured
            finally:
                shutil.rmtree(runs, ignore_errors=True)

    def train(self, jobs: Sequence[Job]) -> None:
        """Train jobs, as many at once as the device and what may come home allow.

        Raises:
            UnfinishedError: the time is over.
        """
        while waiting := [job for job in jobs if not self.finished(job) and not self.given_up(job)]:
            check_time("training")
            wave = waiting[: self.room(waiting[0])]
            settings = self.settings()
            try:
                self.run_rows(wave, settings)
            finally:
                for job in wave:
                    self.tidy(job)

    def run_rows(self, wave: Sequence[Job], settings: dict[str, Any]) -> None:
        work = [(self.rows[key], seed) for key, seed in wave]
        done = run_rows(self.suite, work, settings, min(self.at_once, len(wave)), train_row)
        for (key, seed), text in done.failed.items():
            self.state.failed.setdefault(f"{key}-seed{seed}", []).append(text)
        if done.unfinished:
            raise RowsUnfinishedError(self.suite.name, done.unfinished)

    def score(self) -> None:
        """All four columns of every finished run, K draws an image; goes on within a run."""
        problems = list(self.state.failed)
        for seed in self.suite.seeds:
            keys = [k for k, row in self.rows.items() if self.finished((k, seed)) or (not learns(row) and seed == 0)]
            if not keys:
                continue
            check_time(f"scores of seed {seed}")
            run_suite(
                self.suite,
                data_root=self.scratch,
                source_dir=self.mnist,
                out=self.results,
                runs=self.runs,
                device=self.device,
                models=keys,
                seeds=[seed],
                jobs=min(self.at_once, len(keys)),
            )
        if problems:
            say(f"no scores of {', '.join(problems)}, whose training failed")

    def train_pairs(self) -> str | None:
        """DAE-Fuse and MFEIF as their papers train them, on RoadScene, and their scores where TNO is at hand."""
        if self.pairs is None:
            say("pairs: skipped; --pairs ROADSCENE trains DAE-Fuse and MFEIF, too")
            return SKIPPED  # and not done: a later slice may have them
        suite = load_suite("ivif-tno")
        preset, training = ("tiny", {"epochs": 0.01, "batch": 2}) if self.dry else ("paper", {})
        rows = [SuiteModel(name=n, label=f"{n}-paper", preset=preset, training=training) for n in ("dae-fuse", "mfeif")]
        suite = msgspec.structs.replace(suite, models=rows)
        assert suite.train is not None
        folder = build_dataset(load_recipe(suite.train), self.pairs, self.scratch)
        work = [(row, seed) for row in rows for seed in row.seeds or suite.seeds]
        settings = {**self.settings(), "folder": str(folder)}
        done = run_rows(suite, work, settings, min(self.at_once, len(work)), train_row)
        for row, seed in work:
            _tidy(run_folder(suite, row, seed, self.runs))
        done.finish([])
        if self.tno is not None:
            where = {"source_dir": self.tno, "out": self.results, "runs": self.runs}
            run_suite(suite, data_root=self.scratch, device=self.device, keep_images=False, **where)  # type: ignore[arg-type]
        return None

    def measure_kernels(self) -> None:
        """Times of steps and of pairs, by the scripts in ``perf/``; what one has printed is not measured again."""
        small = ["--presets", "tiny", "--models", "fcn", "--batch", "2", "--repeats", "1"]
        scripts = {
            "train": small if self.dry else ["--presets", "fusionmnist", "--batch", "1600"],
            "pair_models": ["--models", "seafusion tiny", "--repeats", "1"] if self.dry else [],  # ms per pair
        }
        for name, arguments in scripts.items():
            path = self.state_folder / "figures" / f"{name}.txt"
            if not path.is_file():
                check_time(f"figures of {name}")
                device = ["--device", "cuda" if self.chosen.type == "cuda" else "cpu"]
                write_bytes(path, printed_by(PERF / f"{name}.py", [*device, *arguments]).encode())

    # runs

    def settings(self, runs: Path | None = None, budget: str | None = None) -> dict[str, Any]:
        return run_settings(
            self.folder, self.results, runs or self.runs, self.device, budget, self.precision, self.compile
        )

    def place(self, job: Job) -> Path:
        return run_folder(self.suite, self.rows[job[0]], job[1], self.runs)

    def finished(self, job: Job) -> bool:
        folder = self.place(job)
        return (folder / "run.json").is_file() and read_run(folder).info.finished

    def given_up(self, job: Job) -> bool:
        return len(self.state.failed.get(f"{job[0]}-seed{job[1]}", ())) >= TRIES

    def room(self, job: Job) -> int:
        """How many models may be trained at once: what they leave behind has to fit into ``limit_mb``."""
        weights = self.runs.rglob("weights.safetensors")
        free = self.limit_mb * 1e6 - sum(file.stat().st_size for file in weights)
        row, spec = self.rows[job[0]], open_dataset(self.folder).spec
        model = create_model(row.name, spec, **row.model_parameters)
        one = 4 * sum(p.numel() for p in model.parameters()) * 3  # weights, their average, and two moments in two bytes
        return max(1, min(self.at_once, int(free // one)))

    def tidy(self, job: Job) -> None:
        _tidy(self.place(job))

    # the report

    def write(self) -> None:
        """``campaign.json``, and for people ``report.json`` and ``report.md``."""
        write_json(self.state_folder / "campaign.json", msgspec.to_builtins(self.state), indent=1)
        counts = {"first": len(FIRST), "others": len(OTHERS), "plus": len(PLUS)}
        counts["seeds"] = sum(counts.values()) * (len(SEEDS) - 1)
        expected = {} if self.dry else expected_minutes(counts, self.at_once)
        report = make_report(msgspec.to_builtins(self.state), self.state_folder, expected)
        write_json(self.state_folder / "report.json", report, indent=1)
        write_bytes(self.state_folder / "report.md", markdown(report).encode())


def _tidy(folder: Path) -> None:
    """What a run leaves behind: its weights when it is finished, else one small checkpoint."""
    if not (folder / "run.json").is_file():
        return
    if read_run(folder).info.finished:
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    else:
        compact_checkpoints(folder / "checkpoint")


def _rate(folder: Path) -> float:
    """The last images/s in the log of a run."""
    with open(folder / "log.csv", newline="") as stream:
        rates = [float(row["value"]) for row in csv.DictReader(stream) if row["name"] == "images_per_second"]
    return rates[-1]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's four IDX files")
    parser.add_argument("--state", type=Path, required=True, help="what is kept and comes home")
    parser.add_argument("--minutes", type=float, default=9.0, help="of this slice [9]")
    parser.add_argument("--at-once", type=int, default=6, help="models side by side, as processes [6]")
    parser.add_argument("--limit-mb", type=float, default=60.0, help="weights and checkpoints together [60]")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "fusionbench-campaign")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu [auto]")
    parser.add_argument("--precision", default="auto", help="fp32, tf32 or bf16 [auto: tf32 on a GPU]")
    parser.add_argument("--compile", action="store_true", help="compile the models' blocks (CUDA graphs)")
    parser.add_argument("--pairs", type=Path, help="RoadScene, to train DAE-Fuse and MFEIF")
    parser.add_argument("--tno", type=Path, help="TNO, to score them")
    parser.add_argument("--dry-run", dest="dry", action="store_true", help="a few steps at preset tiny")
    given = vars(parser.parse_args(arguments))
    given["state_folder"] = given.pop("state")
    try:
        given["scratch"].mkdir(parents=True, exist_ok=True)
        campaign = Campaign(**given)
        campaign.run()
    except UnfinishedError as error:
        print(f"{error}\n" + "\n".join(getattr(error, "details", ())), file=sys.stderr)
        return UnfinishedError.exit_code
    except FusionbenchError as error:
        print("\n".join([str(error), *error.details]), file=sys.stderr)
        return error.exit_code
    return 3 if campaign.state.failed else 0


if __name__ == "__main__":
    sys.exit(main())
