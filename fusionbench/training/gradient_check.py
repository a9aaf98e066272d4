"""Whether gradients are right on this processor: one training step in the training layout against float64.

The numerical libraries below torch choose their kernels by processor, layout, shape and number of threads, and a wrong
one may give wrong numbers, hang, or damage memory. So cases run in a child process, which writes a line for every
verdict: a crash has the name of a model, and costs no other case.

    model, float32, channels_last, oneDNN, threads ──► gradients ─┐
    the same without oneDNN, and contiguous        ──► gradients ─┼─► error of every parameter's gradient
    model, float64, contiguous, without oneDNN     ──► gradients ─┘

The second line says what rounding alone does (sums in channels_last lose up to four digits); the first must not be much
worse. Where rounding alone does much, a value of the batch lies on a kink of the loss (a maximum of two equal values):
another batch is drawn then, so that the threshold means something.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.core.interfaces import Model, Trainable
    from fusionbench.core.types import Batch, ImageSpec
    from fusionbench.models.checks import CheckRow

RELATIVE = 3e-4  # of the norm of a parameter's gradient; wrong kernels are off by 1e-3 to 1, rounding mostly by 1e-6
ROUNDING = 5.0  # times the error of the same step in float32 without oneDNN
CAP = 5e-3  # but never more than this
NO_SCALE = 1e-2  # of the largest gradient: what is smaller than this (a bias before a norm) has no scale of its own
SECONDS = 300.0  # for one case; a wrong kernel may also hang
KINK = CAP / ROUNDING  # what rounding may do before another batch is drawn
SEEDS = (7, 8, 9, 10)  # of batches; the last is used whatever rounding does
STEPS = (0, 7)  # of 8: models whose phases differ by step are looked at in the first and in the last


@dataclass(frozen=True)
class GradientCase:
    """A registered model, or ``file.py:Class``, with one of its presets, on a number of threads."""

    model: str
    preset: str | None = None
    threads: int = 1

    def __str__(self) -> str:
        preset = "" if self.preset is None else f" {self.preset}"
        return f"{self.model}{preset} on {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        problem: nothing where all is well, else one line with the remedy.
        layer: the parameter with the largest error.
        error: that error, in units of the norm of the parameter's gradient.
    """

    case: GradientCase
    problem: str = ""
    layer: str = ""
    error: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the gradients are right."""
        return not self.problem


def tiny_cases(threads: Sequence[int] = (1, 2)) -> list[GradientCase]:
    """Every registered model that learns, with its preset ``tiny``, or its first one."""
    from fusionbench.models import MODELS

    cases: list[GradientCase] = []
    for name in MODELS.names():
        cls = MODELS.get(name)
        if hasattr(cls, "loss"):
            preset = "tiny" if "tiny" in cls.PRESETS else next(iter(cls.PRESETS), None)
            cases.extend(GradientCase(name, preset, count) for count in threads)
    return cases


def gradient_verdicts(cases: Iterable[GradientCase], seconds: float = SECONDS) -> Iterator[Verdict]:
    """A verdict for every case, in order, computed in child processes: one that dies loses only its own case."""
    left = list(cases)
    while left:
        answered = 0
        for verdict in _in_child(left, seconds):
            answered += 1
            yield verdict
        left = left[answered:]


def gradient_row(where: str, cls: type) -> CheckRow:
    """The check of gradients as one more row of a contract report.

    Args:
        where: ``file.py:Class``, which child processes load again.
        cls: the class itself.
    """
    from fusionbench.models.checks import CheckRow

    name, about = "gradients_are_right_on_this_processor", "a training step agrees with float64, on one thread and two"
    if not hasattr(cls, "loss"):
        return CheckRow(name, about, "does not apply", "no loss")
    cases = [GradientCase(where), GradientCase(where, threads=2)]
    wrong = [verdict for verdict in gradient_verdicts(cases) if not verdict.ok]
    return CheckRow(name, about, "fails" if wrong else "passes", wrong[0].problem if wrong else "")


def _in_child(cases: list[GradientCase], seconds: float) -> Iterator[Verdict]:
    """Verdicts of one child until it ends; the last one says how it died, if it did."""
    command = [sys.executable, "-c", "from fusionbench.training.gradient_check import answer_cases; answer_cases()"]
    # threads that wait must not take a core from those that work: with a busy machine this is most of the time
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
    child = subprocess.Popen(
        command,
        env={**os.environ, **waiting},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    noise: list[str] = []
    reader = threading.Thread(target=lambda: noise.extend(child.stderr or ()), daemon=True)
    reader.start()
    timed_out: list[bool] = []

    def kill() -> None:
        timed_out.append(True)
        child.kill()

    answered, last = 0, None
    timer = threading.Timer(seconds, kill)
    try:
        timer.start()
        with contextlib.suppress(BrokenPipeError):  # it has ended before it could read: its exit code says how
            child.stdin.write(json.dumps([asdict(case) for case in cases]))
            child.stdin.close()
        for line in child.stdout:
            timer.cancel()
            timer = threading.Timer(seconds, kill)
            timer.start()
            body = json.loads(line)
            if last is not None:
                yield last
            last = Verdict(GradientCase(**body.pop("case")), **body)
            answered += 1
        code = child.wait()
    finally:
        timer.cancel()
        if child.poll() is None:
            child.kill()
            child.wait()
        reader.join(timeout=5)
        child.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        child.stderr.close()
    if last is not None:
        # damaged memory may show only when the process ends: then no verdict before it is to be trusted, least the last
        damaged = answered == len(cases) and code != 0 and last.ok
        yield replace(last, problem=_death("the process", code, bool(timed_out), seconds, noise)) if damaged else last
    if answered < len(cases):
        yield Verdict(cases[answered], _death("the training step", code, bool(timed_out), seconds, noise))


def _death(what: str, code: int, timed_out: bool, seconds: float, noise: Sequence[str]) -> str:
    if timed_out:
        end = f"did not end within {seconds:.0f} s"
    elif code < 0:
        end = f"crashed ({signal.Signals(-code).name})"
    else:
        said = "".join(noise).strip().splitlines()[-1:] or ["no message"]
        end = f"ended with exit code {code}: {said[0]}"
    return f"{what} {end}; {remedy()}"


def remedy() -> str:
    """What a user can do about a wrong kernel."""
    level = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    older = {
        "SSE41": "",
        "AVX2": "ONEDNN_MAX_CPU_ISA=SSE41 set, or with ",
        "AVX": "ONEDNN_MAX_CPU_ISA=SSE41 set, or with ",
    }
    first = older.get(level, "ONEDNN_MAX_CPU_ISA=AVX2 set, or with ")
    return f"train with {first}another release of torch, and check again with `fusionbench doctor`"


def answer_cases() -> None:
    """The child: cases as JSON on stdin, one verdict a line on stdout."""
    import faulthandler

    faulthandler.enable()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a model prints is not a verdict
    for body in json.loads(sys.stdin.read()):
        verdict = asdict(examine_gradients(GradientCase(**body)))
        out.write(json.dumps(verdict) + "\n")
        out.flush()


def examine_gradients(case: GradientCase) -> Verdict:
    """Compare the gradients of one case, in this process.

    Raises:
        UsageError: the model takes neither masked views nor pairs.
    """
    errors = gradient_errors(_references(case.model, case.preset), case.threads)
    layer, (error, allowed) = max(errors.items(), key=lambda item: _excess(*item[1]))
    if _excess(error, allowed) <= 1:
        return Verdict(case, layer=layer, error=error)
    problem = f"the gradient of {layer} is wrong by {error:.2g} of its norm ({allowed:.1g} is rounding); {remedy()}"
    return Verdict(case, problem, layer, error)


def _excess(error: float, allowed: float) -> float:
    return error / allowed if error == error else float("inf")  # a gradient that is not a number is wrong


def _build(name: str, preset: str | None, seed: int = SEEDS[0]) -> tuple[Trainable, Batch]:
    """A new model in training mode on the CPU, and a batch that it takes."""
    import torch

    from fusionbench.core.errors import UsageError
    from fusionbench.core.interfaces import is_trainable
    from fusionbench.core.types import ImageSpec
    from fusionbench.models import MODELS, create_model
    from fusionbench.models.checks import candidate_of, load_class

    torch.manual_seed(0)
    crop = (28, 28)
    masked = ImageSpec(channels=1, height=32, width=32, views=3, crop=crop)
    coloured = ImageSpec(channels=3, height=64, width=64, views=3)
    pairs = ImageSpec(channels=1, height=32, width=32, views=2)
    shapes = [(masked, 10), (pairs, 4)]
    if name in MODELS.names():
        if preset in ("fusionceleba", "small"):
            shapes.insert(0, (coloured, 2))

        build: Callable[[ImageSpec], Model] = partial(create_model, name, preset=preset)
    else:
        build = candidate_of(load_class(name)).build
    refused: UsageError | None = None
    for spec, count in shapes:
        try:
            model = build(spec)
        except UsageError as error:
            refused = error
            continue
        batch = _noise_batch(count, spec, spec.views > 2, seed)
        if spec.views > 2:
            given = torch.arange(count)[:, None] % 4
            batch = replace(batch, present=torch.arange(3) < given)
        if hasattr(model, "plan"):
            model.plan(8, 0)
        assert is_trainable(model)
        return model.train(), batch
    assert refused is not None
    raise refused


def _noise_batch(count: int, spec: ImageSpec, target: bool, seed: int) -> Batch:
    """Independent values everywhere: flat areas have ties, which rounding breaks one way or the other."""
    import torch

    from fusionbench.core.types import Batch

    generator = torch.Generator().manual_seed(seed)
    size = (spec.channels, spec.height, spec.width)
    targets = torch.rand((count, *size), generator=generator)
    views = (targets[:, None] + 0.2 * torch.randn((count, spec.views, *size), generator=generator)).clamp(0.01, 0.99)
    present = torch.ones(count, spec.views, dtype=torch.bool)
    return Batch(targets if target else None, views, present, torch.arange(count))


@dataclass(frozen=True)
class Reference:
    """A step of a group: the exact gradients of its parameters, with their scale and what rounding does to each."""

    group: str
    step: int
    exact: dict[str, Tensor]
    scale: dict[str, float]
    rounding: dict[str, float]


@dataclass(frozen=True)
class GradientReference:
    """A model with a batch, and the steps that it is compared in."""

    model: Trainable
    batch: Batch
    references: list[Reference]


@lru_cache(maxsize=1)
def _references(model: str, preset: str | None) -> GradientReference:
    for seed in SEEDS:
        subject = make_references(*_build(model, preset, seed))
        if max((error for reference in subject.references for error in reference.rounding.values()), default=0) <= KINK:
            break
    return subject


def make_references(model: Trainable, batch: Batch) -> GradientReference:
    """Exact gradients, and what rounding alone does to them in the plain and the training layout, on one thread.

    Args:
        model: a torch module with ``loss`` and ``parameter_groups``, on the CPU in training mode; it is not changed.
        batch: a :class:`fusionbench.core.types.Batch` of float32 tensors that it takes.
    """
    from fusionbench.training.safe_convolutions import to_training_layout

    names = {id(p): name for name, p in model.named_parameters()}
    references = []
    for group, parameters in model.parameter_groups().items():
        chosen = [names[id(p)] for p in parameters]
        for step in STEPS:
            exact = _gradients(copy.deepcopy(model).double(), _doubled(batch), group, step, chosen)
            plain = _gradients(copy.deepcopy(model), batch, group, step, chosen)
            turned = _gradients(to_training_layout(copy.deepcopy(model), "cpu"), batch, group, step, chosen)
            largest = max((float(g.norm()) / g.numel() ** 0.5 for g in exact.values()), default=0.0)
            scale, rounding = {}, {}
            for name, truth in exact.items():
                scale[name] = max(float(truth.norm()), NO_SCALE * largest * truth.numel() ** 0.5, 1e-30)
                rounding[name] = max(_error(found[name], truth, scale[name]) for found in (plain, turned))
            references.append(Reference(group, step, exact, scale, rounding))
    return GradientReference(model, batch, references)


def gradient_errors(subject: GradientReference, threads: int = 1) -> dict[str, tuple[float, float]]:
    """Errors of the gradients in the training layout with oneDNN: error of the worst step, and what is allowed.

    Both are in units of the gradient's norm.
    """
    from fusionbench.training.safe_convolutions import to_training_layout

    found: dict[str, tuple[float, float]] = {}
    for reference in subject.references:
        step = (subject.batch, reference.group, reference.step, list(reference.exact))
        model = to_training_layout(copy.deepcopy(subject.model), "cpu")
        trained = _gradients(model, *step, onednn=True, threads=threads)
        for name, truth in reference.exact.items():
            allowed = min(RELATIVE + ROUNDING * reference.rounding[name], CAP)
            row = (_error(trained[name], truth, reference.scale[name]), allowed)
            if name not in found or _excess(*row) > _excess(*found[name]):
                found[name] = row
    return found


def _error(gradient: Tensor, truth: Tensor, scale: float) -> float:
    return float((gradient.double() - truth).norm()) / scale


def _doubled(batch: Batch) -> Batch:
    target = None if batch.target is None else batch.target.double()
    return replace(batch, target=target, views=batch.views.double())


def _gradients(
    model: Trainable, batch: Batch, group: str, step: int, chosen: list[str], onednn: bool = False, threads: int = 1
) -> dict[str, Tensor]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    try:
        with torch.backends.mkldnn.flags(enabled=onednn):
            model.loss(batch, group, step).total.backward()
    finally:
        torch.set_num_threads(before)
    parameters = dict(model.named_parameters())
    gradients = {name: parameters[name].grad for name in chosen}
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}
