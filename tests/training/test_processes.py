"""Two processes with half a batch each are one process with the whole batch, within the rounding of float32."""

from __future__ import annotations

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
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.training.loop import train
from tests.helpers.learning import MemoryDataset

folder, cases = sys.argv[1], json.loads(sys.argv[2])
data = MemoryDataset(train=24, test=7)
for model, inputs in cases:
    out = f"{folder}/{model}"
    training = {"batch": 8, "epochs": 1, "inputs": inputs}
    run = train(model, data, out=out, preset="tiny", device="cpu", training=training)
    result = evaluate(run, data, protocol=Protocol(draws=2), out=out + "-results", device="cpu")
    scores = {key: score.mean for key, score in result.scores.items()}
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    with open(f"{out}-{rank}.json", "w") as stream:
        json.dump(scores, stream)
"""


def launch(processes: int, folder: Path) -> Path:
    """All cases, one after the other, in as many processes."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    command += [str(folder), json.dumps(CASES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What one process leaves, and what two leave."""
    return launch(1, tmp_path_factory.mktemp("one")), launch(2, tmp_path_factory.mktemp("two"))


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


def test_statistics_of_no_rows() -> None:
    from fusionbench.models.vae.cells import SplitBatchNorm

    norm = SplitBatchNorm(3).train()
    norm.views = 0
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(norm(x), torch.nn.functional.batch_norm(x, None, None, training=True))
    assert torch.equal(norm.running_mean, torch.zeros(3))
    norm.views = 4
    assert norm(x).shape == x.shape
