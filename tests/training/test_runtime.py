"""Compiled blocks: the same training within rounding, the same names, and one line where there is no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.training.loop import train
from fusionbench.training.runtime import compile_blocks, torchrun_rank
from tests.helpers.learning import MemoryDataset

DATA = MemoryDataset(train=16, test=5)
SHORT: dict[str, Any] = {"preset": "tiny", "device": "cpu", "training": {"batch": 8, "epochs": 2, "reestimate": 2}}
CPU = torch.device("cpu")
COMPILES = hasattr(torch.compiler, "set_stance")  # from torch 2.6 on


@pytest.fixture
def captured_only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Graphs are captured and run as they are: what compiling costs is in the code generation."""
    compiled: list[str] = []
    original = nn.Module.compile

    def compile(self: nn.Module, **kwargs: Any) -> None:
        compiled.append(type(self).__name__)
        original(self, backend="eager", dynamic=kwargs["dynamic"], fullgraph=True)

    monkeypatch.setattr(nn.Module, "compile", compile)
    monkeypatch.setattr("fusionbench.training.runtime._compiler_problem", lambda device: "")
    yield compiled
    torch.compiler.reset()


@pytest.mark.skipif(not COMPILES, reason="this torch is too old to compile blocks")
@pytest.mark.parametrize("model", ["fusionvae"])
def test_compiled_blocks_train_and_score_alike(model: str, captured_only: list[str], tmp_path: Path) -> None:
    plain = train(model, DATA, out=tmp_path / "plain", **SHORT)
    assert not captured_only
    compiled = train(model, DATA, out=tmp_path / "compiled", compile=True, **SHORT)
    assert set(captured_only) == {"EncoderCell", "DecoderCell"}  # in whole graphs: a break would have been an error
    ours, theirs = (load_file(run.folder / "weights.safetensors") for run in (compiled, plain))
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-4)
    assert compiled.info.identity() == plain.info.identity()
    settings: dict[str, Any] = {"protocol": Protocol(draws=3), "device": "cpu", "out": None}
    one, two = evaluate(plain, DATA, **settings), evaluate(plain, DATA, compile=True, **settings)
    assert one.id == two.id
    assert "compiled" not in one.provenance and two.provenance["compiled"] is True
    for key, score in one.scores.items():
        assert two.scores[key].mean == pytest.approx(score.mean, rel=1e-4), key


def test_a_model_without_blocks_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert compile_blocks(nn.Linear(2, 2), CPU) is False
    assert "no blocks to compile" in capsys.readouterr().err


def test_a_torch_that_is_too_old_trains_without_compiling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delattr(torch.compiler, "set_stance", raising=False)
    run = train("fcn", DATA, out=tmp_path / "run", compile=True, **SHORT)
    assert run.info.finished
    assert "Nothing is compiled: torch " in capsys.readouterr().err


SCRIPT = """
import torch
from fusionbench.models.vae.cells import DecoderCell
from fusionbench.training.runtime import compile_blocks
block = DecoderCell(4, 3)
print(compile_blocks(block, torch.device("cpu")), block(torch.zeros(2, 4, 8, 8)).shape)
"""


@pytest.mark.slow
def test_without_a_compiler_one_line_says_so(tmp_path: Path) -> None:
    missing = {"CXX": str(tmp_path / "no-such-g++"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    environment = {**os.environ, **missing, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "False torch.Size([2, 4, 8, 8])", done.stderr[-2000:]
    [line] = [line for line in done.stderr.splitlines() if "ompile" in line]
    assert line.startswith("Nothing is compiled: ") and line.endswith("or leave out --compile")


COMPILED = """
import torch
from torch import nn
from fusionbench.models.vae.cells import DecoderCell
from fusionbench.training.runtime import compile_blocks
torch.manual_seed(0)
block, x = nn.Sequential(DecoderCell(4, 3)).eval(), torch.randn(2, 4, 8, 8)
with torch.no_grad():
    before = block(x)
    compiled = compile_blocks(block, torch.device("cpu"))
    print(compiled, f"{float((block(x) - before).abs().max()):.3g}", next(iter(block.state_dict())))
"""


@pytest.mark.slow
def test_a_block_is_really_compiled_and_two_processors_share_no_graph(tmp_path: Path) -> None:
    """It answers as before, and its parameters keep their names, in a process each.

    The second process finds what the first one compiled; with a processor's full width its numbers would be 1e18.
    """
    for capability in ({}, {"ATEN_CPU_CAPABILITY": "avx2"}):
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()} | capability
        done = subprocess.run(
            [sys.executable, "-c", COMPILED],
            env=environment | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        compiled, difference, name = done.stdout.split() or (done.stderr[-2000:], "nan", "")
        if compiled == "False":
            pytest.skip("no C++ compiler here")
        assert float(difference) < 1e-5, (capability, done.stderr[-2000:])
        assert name == "0.bn0.weight"


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK"])
def test_an_environment_that_names_no_number_is_told_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, "two")
    with pytest.raises(UsageError, match=f"{name}='two' in the environment is not a number; unset it"):
        torchrun_rank()
