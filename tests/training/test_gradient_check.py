"""Gradients of every registered model in the training layout, against float64 without oneDNN; the check itself, by
models whose gradients are wrong, that crash, and that hang.

Oracle: the same step in float64, contiguous, without oneDNN. Tolerance: five times what float32 does there; the module
says why.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

from fusionbench.models import MODELS
from fusionbench.training.gradient_check import GradientCase, Verdict, gradient_verdicts, remedy, tiny_cases

# Float64 without oneDNN is slow: larger presets take seconds to minutes each, so all of them only where they are asked
# for (make test-isa FULL=1); always the published FusionMNIST ones, whose channels are as few as those that went wrong,
# of networks that differ in convolutions: those with skips (+s) have the same ones, and their preset `tiny` above.
ALWAYS = {"fusionmnist"}
FULL = bool(os.environ.get("FUSIONBENCH_FULL_GRADIENTS"))
# One thread here; `make test-isa` has both (FUSIONBENCH_TEST_THREADS). Two threads of the model that was wrong always.
COUNTS = (1, 2) if FULL else (int(os.environ.get("FUSIONBENCH_TEST_THREADS", "1")),)
LEARNING = [name for name in MODELS.names() if hasattr(MODELS.get(name), "loss")]
CASES = list(dict.fromkeys([*tiny_cases(COUNTS), GradientCase("cvae", "tiny", 2)])) + [
    GradientCase(name, preset, threads)
    for name in LEARNING
    for preset in MODELS.get(name).PRESETS
    for threads in COUNTS
    if preset != "tiny" and (FULL or (preset in ALWAYS and not name.endswith("+s")))
]


@lru_cache(maxsize=1)
def verdicts() -> dict[GradientCase, Verdict]:
    return {verdict.case: verdict for verdict in gradient_verdicts(CASES)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_training_step_of_every_model_is_right_on_this_processor(case: GradientCase) -> None:
    verdict = verdicts()[case]
    assert verdict.ok, verdict.problem
    assert 0 < verdict.error < 5e-3, "an error of nothing at all: was anything compared?"


NET = """
import os, signal, time
import torch
from fusionbench.core.types import LossTerms, Preset


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * (FACTOR if gradient.dtype == torch.float32 else 1.0)


class Net(torch.nn.Module):
    title, reference, version = "A net", "nobody, nowhere", "1"
    PRESETS = {"tiny": Preset(note="for the test")}

    def __init__(self, spec):
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 1, 1)

    def parameter_groups(self):
        return {"main": list(self.parameters())}

    def loss(self, batch, group, step):
        weight = self.first.weight
        if torch.backends.mkldnn.enabled:
            ACTION
        hidden = torch.nn.functional.conv2d(batch.views[:, :, 0], weight, self.first.bias, padding=1)
        return LossTerms((self.last(torch.tanh(hidden)) - batch.target).square().mean())
"""


def written(folder: Path, name: str, action: str = "pass", factor: float = 1.0) -> str:
    path = folder / f"{name}.py"
    path.write_text(NET.replace("ACTION", action).replace("FACTOR", repr(factor)))
    return f"{path}:Net"


def test_one_wrong_gradient_is_named(tmp_path: Path) -> None:
    good = GradientCase(written(tmp_path, "good"))
    bad = GradientCase(written(tmp_path, "bad", "weight = Scaled.apply(weight)", 1.005))
    found = {verdict.case: verdict for verdict in gradient_verdicts([good, bad])}
    assert found[good].ok
    assert not found[bad].ok and found[bad].layer == "first.weight"
    assert found[bad].error == pytest.approx(0.005, rel=0.01)
    assert "first.weight is wrong by 0.005 of its norm" in found[bad].problem and remedy() in found[bad].problem


def test_what_crashes_or_hangs_costs_no_other_case(tmp_path: Path) -> None:
    good = GradientCase(written(tmp_path, "good"))
    crash = GradientCase(written(tmp_path, "crash", "os.kill(os.getpid(), signal.SIGSEGV)"))
    leave = GradientCase(written(tmp_path, "leave", "os._exit(7)"))
    raises = GradientCase(written(tmp_path, "raises", "raise ZeroDivisionError('of its own')"))
    loud = GradientCase(written(tmp_path, "loud", "print('not a verdict')"))
    order = [crash, good, leave, raises, loud]
    found = list(gradient_verdicts(order))
    assert [verdict.case for verdict in found] == order
    assert "crashed (SIGSEGV)" in found[0].problem and remedy() in found[0].problem
    assert found[1].ok and found[4].ok
    assert "exit code 7" in found[2].problem
    assert "ZeroDivisionError: of its own" in found[3].problem


def test_memory_that_is_damaged_shows_when_the_process_ends(tmp_path: Path) -> None:
    good = GradientCase(written(tmp_path, "good"))
    late = GradientCase(written(tmp_path, "late", "import atexit; atexit.register(os.abort)"))
    first, last = gradient_verdicts([good, late])
    assert first.ok and "the process crashed (SIGABRT)" in last.problem and remedy() in last.problem


@pytest.mark.parametrize(
    ("level", "words"), [("AVX2", "SSE41 set"), ("SSE41", "train with another"), (None, "AVX2 set")]
)
def test_the_remedy_is_not_what_is_set_already(level: str | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if level is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", level)
    assert words in remedy()


def test_a_step_that_does_not_end_is_ended(tmp_path: Path) -> None:
    case = GradientCase(written(tmp_path, "hang", "time.sleep(3600)"))
    (verdict,) = gradient_verdicts([case], seconds=15)
    assert "did not end within 15 s" in verdict.problem
