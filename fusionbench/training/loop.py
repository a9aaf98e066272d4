"""The training loop: one for likelihood models, for adversarial ones and for those that only take statistics.

Everything random in a step (order of the samples, number of views, noise) is a function of the seed and the step, so
that a killed run goes on to the bit. Schedules are functions of step / total, so that a budget compresses them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.core.crashes import crash_note
from fusionbench.core.errors import MeasurementError, UsageError
from fusionbench.core.interfaces import DatasetLike, StreamLike, Trainable, is_trainable
from fusionbench.core.interrupts import deferred_signals
from fusionbench.core.locks import lock
from fusionbench.core.progress import progress, say
from fusionbench.core.time_limit import parse_duration, time_is_up, time_limit
from fusionbench.core.types import Batch
from fusionbench.models import MODELS, create_model, get_preset
from fusionbench.training import checkpoints
from fusionbench.training.averaging import GradientGuard, WeightAverage, gradient_norm, reestimate_statistics
from fusionbench.training.batches import StepBatches, told_without_target
from fusionbench.training.log import RunLog
from fusionbench.training.named import trained_model, training_data
from fusionbench.training.run import Run, RunInfo, read_run
from fusionbench.training.runtime import Runtime, compile_blocks, derive_seed, launch, not_compiled, seed_everything
from fusionbench.training.safe_convolutions import to_training_layout
from fusionbench.training.schedule import (
    Budget,
    Training,
    check_groups,
    create_optimizer,
    create_training,
    learning_rate,
)

CHECKPOINT_SECONDS = 120.0
LOG_EVERY = 10  # steps between rows of the log, and between looks at the loss on a GPU
REPLAN_AT = (16, 64, 256, 1024, 4096)  # steps at which a budget in seconds is turned into steps
OVERTIME = 1.5  # a budget in seconds ends here whatever the plan says


def train(
    model: str,
    dataset: DatasetLike | str | Path,
    *,
    out: str | Path,
    preset: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    budget: str | None = None,
    seed: int = 0,
    params: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    tensorboard: bool = False,
    compile: bool = False,
    on_step: Callable[[int], None] | None = None,
    at_most: int | None = None,
    stop_after: str | None = None,
) -> Run:
    """Train the model ``model`` on the split ``train`` of ``dataset`` into the folder ``out``.

    A finished run with the same configuration is returned as it is; an unfinished one goes on where it stopped.

    Args:
        model: its name, or ``file.py:Class`` or ``file.py``, whose model has its name in this process from then on.
        dataset: a data set that is open, or its name, folder or URL as ``open_dataset`` takes them.
        preset: of the model; by default the one named like the data set, else ``tiny``.
        budget: cuts training short (``60s``, ``2000 steps``, ``5%``); the run is marked as cut.
        params, training: replace parameters of the preset.
        compile: compile the model's blocks; like ``precision`` it changes speed and rounding, and no identity.
        on_step: called after every step with the number of steps done.
        at_most: steps of this call; a run with more is left unfinished, and the next call continues to the same bits.
        stop_after: time of this call (``90s``, ``9m``), after which it stops likewise, at the end of a step. Unlike a
            budget it leaves the schedule as it is.

    Raises:
        UsageError: unknown names, or a folder that holds another run.
        DataError: no such data set.
        MeasurementError: the loss is not finite; the last good checkpoint remains.

    Example:
        >>> import tempfile
        >>> from fusionbench import build_dataset, open_dataset, train
        >>> from fusionbench.data.recipes import load_recipe
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dataset = open_dataset(build_dataset(load_recipe("fusiondigits"), out=folder))
        ...     run = train("fcn", dataset, out=f"{folder}/run", budget="2 steps", device="cpu")
        >>> run.info.steps, run.info.cut
        (2, True)
    """
    until = None if stop_after is None else time.time() + parse_duration(stop_after)
    out, cls = Path(out), MODELS.get(model := trained_model(model))
    dataset = training_data(dataset)
    if preset is None:
        preset = next((name for name in (dataset.name, "tiny", *cls.PRESETS) if name in cls.PRESETS), None)
    chosen = get_preset(model, preset)
    settings = create_training({**chosen.training, **(training or {})})
    limit = None if budget is None else Budget.parse(budget)
    info = RunInfo(
        model=model,
        version=cls.version,
        source=MODELS.origin(model),
        preset=preset,
        params=_as_written({**chosen.model, **(params or {})}),
        training=settings,
        dataset_name=dataset.name,
        dataset_version=dataset.version,
        dataset_id=getattr(dataset, "training_id", dataset.id),
        seed=seed,
        budget=budget,
    )
    runtime = launch(device, precision)
    with lock(out / ".lock", wait=False) if runtime.rank == 0 else contextlib.nullcontext(True) as held:
        if not held:
            raise UsageError(f"{out}: another process is training here; wait for it or choose another folder")
        known = runtime.rank == 0 and (out / "run.json").is_file()
        previous: Run | None = runtime.first(read_run(out) if known else None)  # all processes decide alike
        if previous is not None:
            previous.check_same(info)
            if previous.info.finished:
                return previous
            info.go_on_from(previous.info)
        with time_limit(until), crash_note(out) if runtime.rank == 0 else contextlib.nullcontext():
            return _Loop(info, dataset, out, runtime, limit, tensorboard, compile, on_step, at_most).run()


def _as_written(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as ``run.json`` gives them back (lists for tuples), so that a run knows itself again.

    Raises:
        UsageError: a value that JSON does not have.
    """
    try:
        result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(params))
        return result
    except (TypeError, msgspec.MsgspecError) as error:
        raise UsageError(f"Model parameters: {error}; use numbers, text, lists and true or false") from error


def planned_steps(training: Training, samples: int, budget: str | None = None) -> int:
    """Number of steps of a training on ``samples`` samples, which a budget in steps or a share may cut."""
    batch = min(training.batch, samples)
    planned = max(1, round(training.epochs * (samples // batch)))
    return planned if budget is None else Budget.parse(budget).steps(planned)


class _Loop:
    """One run on one process."""

    def __init__(
        self,
        info: RunInfo,
        dataset: DatasetLike,
        out: Path,
        runtime: Runtime,
        limit: Budget | None,
        tensorboard: bool,
        compile: bool,
        on_step: Callable[[int], None] | None,
        at_most: int | None,
    ) -> None:
        self.info, self.dataset, self.out, self.runtime = info, dataset, out, runtime
        self.limit, self.tensorboard, self.compile, self.on_step = limit, tensorboard, compile, on_step
        self.at_most = at_most
        self.training = info.training
        self.base_seed = derive_seed(info.seed, dataset.id, info.model)
        seed_everything(self.base_seed)
        self.model = create_model(info.model, dataset.spec, **info.params)
        info.parameters = sum(p.numel() for p in self.model.parameters())

    def run(self) -> Run:
        if not is_trainable(self.model):
            self._fit()
        elif not self._train(self.model):
            self.runtime.fabric.barrier()
            return Run(self.out, self.info)
        self.info.finished = True
        if self.runtime.rank == 0:
            checkpoints.save_weights(self.model, self.out / "weights.safetensors")
            self.info.write(self.out)
        self.runtime.fabric.barrier()  # the others may read what the first has written
        return Run(self.out, self.info)

    def _fit(self) -> None:
        """Models without a loss: one pass over the stored samples, or nothing at all."""
        self.info.total_steps = self.info.planned_steps = self.info.steps = 0
        if hasattr(self.model, "fit"):
            stream = self.dataset.stream("train", device="cpu", live=False)
            count = self.dataset.size("train")
            chunks = np.array_split(np.arange(count), max(1, -(-count // 512)))
            self.model.fit(stream.batch(chunk, epoch=0) for chunk in chunks)

    def _train(self, model: Trainable) -> bool:
        """Whether training has come to its end, or only to that of this call."""
        info, settings, device = self.info, self.training, self.runtime.device
        count = self.dataset.size("train")
        self.batches = StepBatches(settings, count, self.base_seed, self.runtime)
        self.batch, self.per_epoch = self.batches.batch, self.batches.per_epoch
        if self.batch % self.runtime.world_size:
            raise UsageError(f"A batch of {self.batch} cannot be shared equally by {self.runtime.world_size} processes")
        info.planned_steps = planned_steps(settings, count)
        self.total = info.total_steps or (self.limit.steps(info.planned_steps) if self.limit else info.planned_steps)
        to_training_layout(model, device)
        groups = model.parameter_groups()
        check_groups(settings, info.model, groups)
        self.settings = {name: settings.of_group(name) for name in groups}
        optimizers = {name: create_optimizer(params, self.settings[name]) for name, params in groups.items()}
        self.guards = {name: GradientGuard(settings.guard) for name in groups} if settings.guard > 0 else {}
        self.average = WeightAverage(self.model, settings.ema) if settings.ema > 0 else None
        start = self._restore(optimizers)
        self._plan()
        if self.compile:
            compile_blocks(self.model, device, static=settings.inputs != "per-image")
        stepper, *wrapped = self.runtime.fabric.setup(_Stepper(model), *optimizers.values())
        self.stepper, self.optimizers = stepper, dict(zip(optimizers, wrapped, strict=True))
        stream = self.dataset.stream("train", device=device, live=settings.live)
        self.model.train()
        with self._log(start) as log, deferred_signals() as stopped, self._bar(start) as bar:
            self.begun = self.saved = time.monotonic()
            self.earlier = info.seconds
            step = start
            while step < self.total:
                batch = self.batches.of_step(stream, step)
                terms = self._step(batch, step)
                step += 1
                info.steps, info.seconds = step, self.earlier + time.monotonic() - self.begun
                speed = (step - start) * self.batch / max(time.monotonic() - self.begun, 1e-9)
                shown = log.add(step, step / self.per_epoch, terms, speed, final=step == self.total)
                # several processes see the means of all of them, so that none waits for one that has given up
                self._check(shown if device.type == "cuda" or self.runtime.world_size > 1 else terms, step)
                loss = "" if log.latest is None else f"loss {log.latest:.4g}, "
                if self._replan(step):
                    bar.set_total(self.total)
                bar.advance(1, f"{loss}{speed:.0f} images/s")
                if self.on_step is not None:
                    self.on_step(step)
                stopping, late = self._agree((stopped(), time_is_up()), step)
                paused = (late or (self.at_most is not None and step - start >= self.at_most)) and step < self.total
                if time.monotonic() - self.saved > CHECKPOINT_SECONDS or stopping or paused:
                    self._save(step)
                if stopping:
                    raise KeyboardInterrupt
                if paused:
                    return False
            self._check(self.runtime.mean(terms) if start < self.total else {}, step)
        info.cut = self.total < info.planned_steps
        self._save(step)
        self._refine(model, stream, step)
        if not checkpoints.is_finite(self.model):
            raise MeasurementError(f"{self.out}: the weights are not finite at the end; {self._remedy()}")
        return True

    def _refine(self, model: Trainable, stream: StreamLike, step: int) -> None:
        """At the end: averaged weights take the place of the last ones, and their batch statistics are measured."""
        if self.average is not None:
            self.average.copy_to(self.model)
        group = next(iter(self.optimizers))

        def run(index: int) -> None:
            model.loss(self.batches.of_step(stream, step + index), group, step + index)

        # a training cut to a few steps is not to end with more passes than it had
        with not_compiled():
            reestimate_statistics(self.model, min(self.training.reestimate, self.total), run)

    def _step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One update of every parameter group; named scalars on the device."""
        terms: dict[str, Tensor] = {}
        for name, optimizer in self.optimizers.items():
            settings = self.settings[name]
            rate = learning_rate(settings, step, self.total)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            tensors = {"views": batch.views, "present": batch.present, "ids": batch.ids}
            more = {"target": batch.target, "clean": batch.clean}
            tensors |= {key: value for key, value in more.items() if value is not None}
            total, log = self.stepper(tensors, batch.present_count, name, step)
            self.runtime.fabric.backward(total)
            parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            if not (self.guards and self.guards[name].skips(gradient_norm(parameters))):
                if settings.clip > 0:
                    nn.utils.clip_grad_norm_(parameters, settings.clip)
                optimizer.step()
            prefix = "" if len(self.optimizers) == 1 else f"{name}/"
            terms[f"{prefix}loss"] = total.detach()
            terms |= {f"{prefix}{key}": torch.as_tensor(value) for key, value in log.items()}
            terms[f"{prefix}lr" if self.training.per_group else "lr"] = torch.tensor(rate)
        if self.average is not None:
            self.average.update(self.model)
        return terms

    def _check(self, terms: dict[str, Tensor], step: int) -> None:
        for name, value in terms.items():
            if name.endswith("loss") and not bool(torch.isfinite(value)):
                raise MeasurementError(f"{self.out}: {name} is {float(value)} at step {step}; {self._remedy()}")

    def _remedy(self) -> str:
        kept = checkpoints.list_checkpoints(self.out / "checkpoint")
        where = f"the last good state is {kept[-1]}" if kept else "no checkpoint had been written"
        return f"{where}; try a smaller lr, a larger batch or clip=200 (--set lr=...)"

    def _plan(self) -> None:
        if hasattr(self.model, "plan"):
            self.model.plan(self.total, self.base_seed)

    def _agree(self, wishes: tuple[bool, bool], step: int) -> tuple[bool, bool]:
        """Whether to stop after this step, for a signal or for the time: several processes stop at the same one."""
        if self.runtime.world_size == 1:
            return wishes
        asked, late = zip(*self.runtime.gather(wishes), strict=True) if step % LOG_EVERY == 0 else ((), ())
        return any(asked), any(late)

    def _replan(self, step: int) -> bool:
        """Turn a budget in seconds into steps, now that the speed is known; whether their number has changed."""
        if self.limit is None or self.limit.kind != "seconds":
            return False
        if step not in REPLAN_AT and step % LOG_EVERY:
            return False
        spent, total = self.info.seconds, self.total
        if step in REPLAN_AT:
            left = max(self.limit.value - spent, 0.0)
            total = max(step, min(self.info.planned_steps, step + int(left * step / max(spent, 1e-9))))
        elif spent > OVERTIME * self.limit.value:
            total = step
        total = int(self.runtime.first(total))
        if total == self.total:
            return False
        self.total = total
        self._plan()
        return True

    def _save(self, step: int) -> None:
        if self.runtime.rank == 0 and checkpoints.is_finite(self.model):
            self.info.total_steps = self.total
            optimizers = {
                name: getattr(optimizer, "optimizer", optimizer) for name, optimizer in self.optimizers.items()
            }
            state: dict[str, Any] = {"total": self.total, "seconds": self.info.seconds}
            state["guards"] = {name: guard.state() for name, guard in self.guards.items()}
            extra = {} if self.average is None else self.average.tensors()
            checkpoints.save_checkpoint(self.out / "checkpoint", step, self.model, optimizers, state, extra)
            self.info.write(self.out)
        self.saved = time.monotonic()

    def _restore(self, optimizers: dict[str, torch.optim.Optimizer]) -> int:
        """Load the newest checkpoint, if there is one; the number of steps done."""
        found = checkpoints.list_checkpoints(self.out / "checkpoint")
        if not found:
            self.info.steps, self.info.seconds = 0, 0.0
            self.info.total_steps = self.total
            if self.runtime.rank == 0:
                self.info.write(self.out)
            return 0
        state, extra = checkpoints.load_checkpoint(found[-1], self.model, optimizers, self.runtime.device)
        for name, guard in self.guards.items():
            guard.restore(state["guards"][name])
        if self.average is not None:
            self.average.restore(extra)
        self.total, self.info.seconds = state["total"], state["seconds"]
        say(f"{self.out}: going on from step {state['step']} of {self.total}")
        return int(state["step"])

    def _bar(self, start: int) -> Any:
        first = self.runtime.rank == 0
        return progress(f"train {self.info.model}", self.total, "steps", done=start) if first else progress("", 0)

    def _log(self, start: int) -> RunLog:
        return RunLog(self.out, start, LOG_EVERY, self.tensorboard, self.runtime.rank == 0, self.runtime.mean)


class _Stepper(nn.Module):
    """A model's loss as a forward pass, which is what distributed and mixed-precision wrappers understand."""

    def __init__(self, model: Trainable) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tensors: dict[str, Tensor], count: int | None, group: str, step: int
    ) -> tuple[Tensor, dict[str, Any]]:
        batch = Batch(tensors.get("target"), tensors["views"], tensors["present"], tensors["ids"], tensors.get("clean"))
        batch = batch.with_present(batch.present, count)
        with told_without_target(batch, type(self.model).__name__):
            terms = self.model.loss(batch, group, step)
        return terms.total, dict(terms.log)


__all__ = ["Run", "RunInfo", "Training", "read_run", "train"]
