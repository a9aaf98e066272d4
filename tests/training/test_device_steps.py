"""A training step on a device: nothing in it waits for the device, and everything in it is there.

There need not be a GPU: the loop itself runs on torch's ``meta`` device, whose tensors have a shape and no values. Like
on a GPU, what is made on the host has to be sent there; and what would wait for a value (``item``, ``tolist``, ``cpu``,
``nonzero``, ``if tensor``) raises. Left out are what is known to wait, and why:

* the log, every ten steps, and the check of the loss with it: somebody wants to see them;
* ``guard``, which decides on the host whether to take a step (no published preset has it);
* constants (tables of masks and noise, the targets): sent once, in the first step;
* several processes, checkpoints and the end.
"""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fusionbench.core.types import Batch, ImageSpec, LossTerms
from fusionbench.core.uploads import upload
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.models import MODELS
from fusionbench.models.vae import base, regularization
from fusionbench.models.vae.encoder import Encoder, Shape
from fusionbench.training import loop
from fusionbench.training.batches import StepBatches
from fusionbench.training.runtime import Runtime
from fusionbench.training.schedule import create_training
from tests.data.test_build import small_recipe

META, CPU = torch.device("meta"), torch.device("cpu")
STEPS = 2
QUICK = ("fusionvae-plus", "dae-fuse", "tardal")  # a second each; the others have the same parts, and are slow tests
TRAINED = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in MODELS.names()
    if hasattr(MODELS.get(name), "loss")
]
MADE_OF_VALUES = ("tensor", "as_tensor", "new_tensor")


class PairsOnDevice:
    """A data set of pairs that are on the device already."""

    name, version, id, splits, spec = "pairs", "1.0.0", "pairs-on-device", ("train",), ImageSpec(1, 64, 64, 2)

    def size(self, split: str) -> int:
        return 16

    def stream(self, split: str, device: Any = "cpu", live: bool = True) -> PairsOnDevice:
        return self

    def batch(self, indices: Any, epoch: int = 0) -> Batch:
        n = len(indices)
        present = torch.ones(n, 2, dtype=torch.bool, device=META)
        batch = Batch(None, torch.rand(n, 2, 1, 64, 64, device=META), present, torch.arange(n, device=META))
        return batch.with_present(present, 2 * n)


class Fabric:
    global_rank, world_size = 0, 1

    def setup(self, *parts: Any) -> tuple[Any, ...]:
        return parts

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def barrier(self) -> None:
        pass


class Transfers(TorchDispatchMode):
    """Notes what goes from the host to the device: step, shape, whether the host waits, and from where."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.seen = -1, []  # type: ignore[var-annotated]

    def note(self, shape: Any, waits: bool) -> None:
        frames = [frame for frame in traceback.extract_stack() if "/fusionbench/" in frame.filename]
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[:-4:-1])
        self.seen.append((self.step, tuple(shape), waits, where))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu" and result.device == META:
            self.note(result.shape, not kwargs.get("non_blocking", False))
        if func is torch.ops.aten.copy_.default and result.device == META and args[1].device.type == "cpu":
            self.note(result.shape, True)
        return result


class ValuesToDevice(TorchFunctionMode):
    """Notes tensors that are made on the device from Python's values: sent there, and waited for."""

    def __init__(self, transfers: Transfers) -> None:
        super().__init__()
        self.transfers = transfers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if (
            name in MADE_OF_VALUES
            and result.device == META
            and (name == "new_tensor" or not isinstance(args[0], torch.Tensor))
        ):
            self.transfers.note(result.shape, True)
        return result


class NoLog:
    latest = None

    def __enter__(self) -> NoLog:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def add(self, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        return {}


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return open_dataset(build_dataset(small_recipe(), out=tmp_path_factory.mktemp("data")))


@pytest.fixture
def on_device(views: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains a model for a few steps on the meta device; what was sent there, and the batches that its loss saw."""
    monkeypatch.setattr(loop, "launch", lambda *_: Runtime(Fabric(), META, "fp32"))
    monkeypatch.setattr(loop._Loop, "_log", lambda *_: NoLog())
    monkeypatch.setattr(loop._Loop, "_save", lambda *_: None)
    monkeypatch.setattr(loop._Loop, "_check", lambda *_: None)
    files = {"list_checkpoints": lambda _: [], "is_finite": lambda _: True, "save_weights": lambda *_: None}
    monkeypatch.setattr(loop, "checkpoints", SimpleNamespace(**files))
    monkeypatch.setattr(base, "PENALTY_EVERY", 1)  # in the second step, too
    monkeypatch.setattr(regularization, "FIRST_ITERATIONS", 1)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # meta knows none

    def run(name: str, **training: Any) -> tuple[Transfers, list[Batch]]:
        model, transfers, batches = MODELS.get(name), Transfers(), []  # type: ignore[var-annotated]
        loss = model.loss

        def watched(self: Any, batch: Batch, *arguments: Any) -> LossTerms:
            batches.append(batch)
            terms: LossTerms = loss(self, batch, *arguments)
            return terms

        monkeypatch.setattr(model, "loss", watched)
        preset = "tiny" if "tiny" in model.PRESETS else next(iter(model.PRESETS))
        data = views if ".vae." in model.__module__ else PairsOnDevice()
        params = {"groups": [1], "blocks": 1} if ".vae." in model.__module__ else {}  # one scale has all parts
        settings = {"batch": 4, "guard": 0, "reestimate": 0, "ema": 0.9, "clip": 1.0, **training}
        transfers.step = 0

        def on_step(step: int) -> None:
            transfers.step = step

        with transfers, ValuesToDevice(transfers):
            how: dict[str, Any] = {"preset": preset, "params": params, "training": settings}
            loop.train(name, data, out=tmp_path, budget=f"{STEPS} steps", on_step=on_step, **how)
        return transfers, batches

    return run


@pytest.mark.parametrize("name", TRAINED)
def test_no_step_waits_for_the_device(name: str, on_device: Any) -> None:
    inputs = "per-image" if ".vae." in MODELS.get(name).__module__ else "all"
    transfers, batches = on_device(name, inputs=inputs)
    later = [seen for seen in transfers.seen if seen[0] > 0]
    assert [seen for seen in later if seen[2]] == []
    assert max((sum(size for size in shape) for _, shape, _, _ in later), default=0) < 1000, (
        "only small things are sent"
    )
    for batch in batches:
        held = [batch.views, batch.present, batch.ids] + ([] if batch.target is None else [batch.target])
        assert {value.device for value in held} == {META} and batch.present.dtype == torch.bool
        assert {value.dtype for value in (batch.views, batch.target) if value is not None} == {torch.float32}
        assert batch.present_count is not None, "or the model would have to count"


@pytest.mark.parametrize(
    ("inputs", "live"),
    [("per-batch", False), ("per-image", False), ("per-image", True), ("stratified", False), ("all", False)],
)
def test_the_host_knows_how_many_views_a_batch_has(inputs: str, live: bool, views: Any) -> None:
    made = StepBatches(
        create_training({"batch": 8, "inputs": inputs}), views.size("train"), 5, Runtime(Fabric(), META, "")
    )
    here = StepBatches(
        create_training({"batch": 8, "inputs": inputs}), views.size("train"), 5, Runtime(Fabric(), CPU, "")
    )
    there, stream = views.stream("train", device=META, live=live), views.stream("train", live=live)
    counts = []
    for step in range(4):
        batch = made.of_step(there, step)
        assert batch.views.device == batch.present.device == batch.ids.device == META
        counts.append((batch.present_count, int(here.of_step(stream, step).present.sum())))
    assert [known for known, _ in counts] == [counted for _, counted in counts]
    assert len(set(counts)) == 1 if inputs in ("all", "stratified") else len(set(counts)) > 1


BATCH = Batch(None, torch.empty(2, 3, 1, 4, 4, device=META), torch.empty(2, 3, device=META).bool(), torch.arange(2))


@pytest.mark.parametrize(
    "wait",
    [
        lambda batch: float(batch.views.sum()),
        lambda batch: bool((batch.views > 0.5).any()),
        lambda batch: batch.present.nonzero(),
        lambda batch: batch.views[batch.present],
        lambda batch: batch.present.tolist(),
        lambda batch: batch.views.cpu(),
        Encoder(1, Shape(4, (1,), 1, 1, 1)).to(META),  # a batch whose views nobody has counted
    ],
)
def test_what_waits_is_found(wait: Any) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)), Transfers():
        wait(BATCH) if not isinstance(wait, Encoder) else wait(BATCH, with_target=False)


@pytest.mark.parametrize(
    "sent",
    [
        lambda batch: torch.tensor([1.0, 2.0], device=batch.views.device),
        lambda batch: torch.as_tensor([1.0, 2.0], device=batch.views.device),
        lambda batch: torch.zeros(2).to(batch.views.device),
        lambda batch: batch.views.new_tensor([1.0]),
        lambda batch: torch.zeros(2, device=batch.views.device).copy_(torch.ones(2)),
    ],
)
def test_what_is_sent_and_waited_for_is_found(sent: Any) -> None:
    transfers = Transfers()
    with transfers, ValuesToDevice(transfers):
        sent(BATCH)
        assert [waits for _, _, waits, _ in transfers.seen] == [True]
        upload([1, 2], META)
    assert [waits for _, _, waits, _ in transfers.seen] == [True, False]
