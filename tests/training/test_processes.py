"""Two processes with half a batch each are one process with the whole batch, within the rounding of float32."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

CASES = [("fusionvae", "per-batch"), ("fusionvae-plus", "per-image")]
SCRIPT = """
import json, sys
import torch
torch.set_num_threads(1)
from fusionbench.core.time_limit import UnfinishedError, time_limit
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.training import loop
from fusionbench.training.loop import train
from fusionbench.training.run import read_run
from tests.helpers.learning import MemoryDataset

folder, reference, cases = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
data = MemoryDataset(train=24, test=7)
loop.LOG_EVERY = 1
for model, inputs in cases:
    out = f"{folder}/{model}"
    training = {"batch": 8, "epochs": 1, "inputs": inputs}
    run = train(model, data, out=out, preset="tiny", device="cpu", training=training)
    result = evaluate(run, data, protocol=Protocol(draws=2), out=out + "-results", device="cpu")
    scores = {key: score.mean for key, score in result.scores.items()}
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    with open(f"{out}-{rank}.json", "w") as stream:
        json.dump(scores, stream)
    for _ in range(2):
        train(model, data, out=out + "-parts", preset="tiny", device="cpu", training=training, at_most=2)
    first = read_run(f"{reference}/{model}")
    again = evaluate(first, data, protocol=Protocol(draws=2), out=None, device="cpu", batch=2)
    with open(f"{out}-same-{rank}.json", "w") as stream:
        json.dump({key: [score.mean, score.sd] for key, score in again.scores.items()}, stream)

said = []
while len(said) < 99:
    try:
        with time_limit(0.0):
            settings = {"protocol": Protocol(draws=2), "out": f"{folder}/slices", "device": "cpu", "batch": 2}
            sliced = evaluate(read_run(f"{reference}/{cases[0][0]}"), data, **settings)
        break
    except UnfinishedError as error:
        said.append(str(error))
with open(f"{folder}/slices-{rank}.json", "w") as stream:
    json.dump([said, {key: [score.mean, score.sd] for key, score in sliced.scores.items()}], stream)
"""


def launch(processes: int, folder: Path, reference: Path) -> Path:
    """All cases, one after the other, in as many processes; scores of the runs in ``reference``, too."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    command += [str(folder), str(reference), json.dumps(CASES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What one process leaves, and what two leave."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    return launch(1, one, reference=one), launch(2, two, reference=one)


def curves(folder: Path) -> dict[tuple[int, str], float]:
    """Step and name -> value, of a run's log."""
    with open(folder / "log.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["name"] != "images_per_second"]
    return {(int(row["step"]), row["name"]): float(row["value"]) for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model, _ in CASES])
def test_two_processes_are_one(model: str, folders: tuple[Path, Path]) -> None:
    one, two = (load_file(folder / model / "weights.safetensors") for folder in folders)
    assert one.keys() == two.keys()
    for name in one:
        if one[name].is_floating_point():
            # three AdaMax steps: a gradient that is zero up to rounding can still move a weight by a step of lr
            far = (one[name] - two[name]).abs() > 5e-3 + 5e-3 * one[name].abs()
            assert far.float().mean() < 0.01, (name, (one[name] - two[name]).abs().max())
    alone = json.loads((folders[0] / f"{model}-0.json").read_text())
    together = json.loads((folders[1] / f"{model}-0.json").read_text())
    assert together == json.loads((folders[1] / f"{model}-1.json").read_text())
    assert alone.keys() == together.keys()
    for key, value in alone.items():
        assert together[key] == pytest.approx(value, rel=2e-3), key


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model, _ in CASES])
def test_two_processes_have_the_loss_curve_of_one(model: str, folders: tuple[Path, Path]) -> None:
    """Every row of the log is of the whole batch, not of the part of the process that writes it."""
    one, two = (curves(folder / model) for folder in folders)
    assert one.keys() == two.keys() and {step for step, _ in one} == {1, 2, 3}
    # before the first update only the order of sums differs, afterwards weights whose gradient is zero up to rounding
    for (step, name), value in one.items():
        assert two[step, name] == pytest.approx(value, rel=1e-4 if step == 1 else 5e-3, abs=1e-4), (step, name)


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model, _ in CASES])
def test_two_processes_resume_together_to_the_bit(model: str, folders: tuple[Path, Path]) -> None:
    whole, parts = (load_file(folders[1] / name / "weights.safetensors") for name in (model, f"{model}-parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[key], parts[key]) for key in whole)
    steps = {path.name for path in (folders[1] / f"{model}-parts/checkpoint").iterdir()}
    assert steps == {"00000002", "00000003"}, "stopped, and at the end"


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model, _ in CASES])
def test_scores_of_two_processes_are_those_of_one_to_the_bit(model: str, folders: tuple[Path, Path]) -> None:
    one = (folders[0] / f"{model}-same-0.json").read_text()
    assert len(json.loads(one)) > 20
    assert [(folders[1] / f"{model}-same-{rank}.json").read_text() for rank in range(2)] == [one, one]


@pytest.mark.slow
def test_a_scoring_in_slices_stops_in_all_processes_and_ends_with_the_same_scores(folders: tuple[Path, Path]) -> None:
    scores = json.loads((folders[0] / f"{CASES[0][0]}-same-0.json").read_text())
    alone = json.loads((folders[0] / "slices-0.json").read_text())
    first, second = (json.loads((folders[1] / f"slices-{rank}.json").read_text()) for rank in range(2))
    assert first == second and alone[1] == first[1] == scores
    assert len(alone[0]) == 15 and len(first[0]) == 7, "of 16 chunks each process scores one a call"
    assert f"scored {2 * (2 + 2)} of 28 images" in first[0][1]


def test_statistics_of_no_rows() -> None:
    from fusionbench.models.vae.cells import SplitBatchNorm

    norm = SplitBatchNorm(3).train()
    norm.views = 0
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(norm(x), torch.nn.functional.batch_norm(x, None, None, training=True))
    assert torch.equal(norm.running_mean, torch.zeros(3))
    norm.views = 4
    assert norm(x).shape == x.shape
