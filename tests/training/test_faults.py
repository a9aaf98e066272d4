"""A full disk, a kill or SIGTERM at every write of a training: one line, and the same command goes on to the bit."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from fusionbench.core.errors import DataError, FusionbenchError, MeasurementError, UsageError
from fusionbench.core.types import Batch, ImageSpec, LossTerms, Preset
from fusionbench.models import MODELS, register_model
from fusionbench.training import checkpoints, log
from fusionbench.training.loop import train
from fusionbench.training.run import read_run
from tests.helpers.learning import MemoryDataset

DATA = MemoryDataset(ImageSpec(1, 8, 8, 2), train=8)


class Follows(nn.Module):
    """One number that follows the mean of the targets, with all that a checkpoint has to bring back."""

    title = reference = "test"
    version = "1"
    PRESETS: ClassVar = {"tiny": Preset({}, {"batch": 4, "epochs": 1, "ema": 0.5, "guard": 9.0}, "test")}
    nan_at = -1

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(spec.views))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"main": [self.weight]}

    def loss(self, batch: Batch, group: str, step: int) -> LossTerms:
        assert batch.target is not None
        loss = (self.weight * torch.rand(2) - batch.target.mean()).square().sum()
        return LossTerms(loss * float("nan") if step == self.nan_at else loss)


class Killed(BaseException):
    """What nothing expects: the process is gone."""


class Writes:
    """Counts the writes of a training, and lets something happen at one of them."""

    def __init__(self, at: int, happens: Callable[[], None]) -> None:
        self.at, self.happens, self.count = at, happens, 0

    def before(self, function: Callable[..., Any], path: Path | None = None) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self.happens()
            return function(*args, **kwargs)

        return call

    def half(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a function that writes a file: some of it is there then."""

        def call(tensors: Any, path: Path) -> None:
            self.count += 1
            if self.count == self.at:
                path.write_bytes(b"half of it")
                self.happens()
            function(tensors, path)

        return call

    def opened(self, path: Any, mode: str = "r", **more: Any) -> Any:
        stream = open(path, mode, **more)  # noqa: SIM115 - closed by who opens it
        return Stream(stream, self) if "a" in mode else stream


class Stream:
    """A file whose writes reach the disk when it is flushed."""

    def __init__(self, stream: Any, writes: Writes) -> None:
        self.stream, self.write, self.close = stream, stream.write, stream.close
        self.flush = writes.before(stream.flush)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill() -> None:
    raise Killed


def terminate() -> None:
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        raise Killed  # what the system does then
    signal.raise_signal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def model() -> Iterator[type[Follows]]:
    register_model("follows")(Follows)
    yield Follows
    MODELS._objects.pop("follows")
    Follows.nan_at = -1


def weights(run: Path) -> torch.Tensor:
    return checkpoints.read_tensors(run / "weights.safetensors")["weight"]


@pytest.mark.parametrize("happens", [full, kill, terminate])
def test_whatever_happens_at_a_write_the_same_command_ends_with_the_same_bits(
    happens: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusionbench.training.loop.CHECKPOINT_SECONDS", -1.0)  # at every step
    expected = weights(train("follows", DATA, out=tmp_path / "whole", device="cpu").folder)
    stopped = 0
    for at in range(1, 100):
        out, writes = tmp_path / str(at), Writes(at, happens)
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "save_file", writes.half(checkpoints.save_file))
            patch.setattr(log, "open", writes.opened, raising=False)
            for name in ("fsync", "replace", "rename"):
                patch.setattr(os, name, writes.before(getattr(os, name)))
            patch.setattr(Path, "write_text", writes.before(Path.write_text))
            try:
                train("follows", DATA, out=out, device="cpu")
            except FusionbenchError as error:
                assert happens is full and "No space left" in str(error) and str(out) in str(error)
                assert "\n" not in str(error) and error.exit_code == 2
                stopped += 1
            except (KeyboardInterrupt, Killed):
                assert happens is not full
                stopped += 1
        if writes.count < at:
            break
        kept = checkpoints.list_checkpoints(out / "checkpoint")
        for path in kept:  # nothing that is there is half of something
            assert checkpoints.read_tensors(path / "weights.safetensors").keys() == {"weight"}
        run = train("follows", DATA, out=out, device="cpu")
        assert run.info.finished and torch.equal(weights(out), expected), at
        assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")] or happens is not full
    assert 20 < stopped <= at < 99


def test_after_a_loss_that_is_not_finite_the_last_good_state_goes_on_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Follows]
) -> None:
    monkeypatch.setattr("fusionbench.training.loop.CHECKPOINT_SECONDS", -1.0)
    training = {"epochs": 2}
    expected = weights(train("follows", DATA, out=tmp_path / "whole", device="cpu", training=training).folder)
    model.nan_at = 2
    with pytest.raises(MeasurementError, match=r"^\S+/run: loss is nan at step 3; the last good state is \S+00000002;"):
        train("follows", DATA, out=tmp_path / "run", device="cpu", training=training)
    assert read_run(tmp_path / "run").info.steps == 2
    model.nan_at = -1
    train("follows", DATA, out=tmp_path / "run", device="cpu", training=training)
    assert torch.equal(weights(tmp_path / "run"), expected)


def test_data_of_another_shape_and_weights_of_another_model_are_refused_in_a_line(tmp_path: Path) -> None:
    run = train("follows", DATA, out=tmp_path / "run", device="cpu", at_most=1)
    state = checkpoints.list_checkpoints(run.folder / "checkpoint")[-1]
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    other = MemoryDataset(ImageSpec(1, 8, 8, 3), train=8)
    with pytest.raises(UsageError, match=r"holds another run .*dataset_id.*choose another folder") as caught:
        train("follows", other, out=run.folder, device="cpu")
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before, "nothing is lost"
    checkpoints.save_weights(nn.Linear(3, 1), state / "weights.safetensors")
    with pytest.raises(DataError, match=r"weights of another model or version: .*first") as wrong:
        train("follows", DATA, out=run.folder, device="cpu")
    assert "\n" not in str(wrong.value) and str(state) in str(wrong.value)
    (state / "weights.safetensors").write_bytes(before[state / "weights.safetensors"])
    assert train("follows", DATA, out=run.folder, device="cpu").info.finished
    with pytest.raises(DataError, match="another model") as shape:
        read_run(run.folder).load_model(other.spec)
    assert "\n" not in str(shape.value)
