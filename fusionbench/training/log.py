"""Curves of a run: ``log.csv`` (step, epoch, name, value), and TensorBoard when asked for."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import read_bounded, write_bytes

Mean = Callable[[dict[str, Tensor]], dict[str, Tensor]]
COLUMNS = ("step", "epoch", "name", "value")
MAX_BYTES = 64 << 20
_LONGEST_NAME = 80


class RunLog:
    """Averages scalars over windows of ``every`` steps and appends them to ``out/log.csv``.

    On entry the rows after step ``start`` are dropped: they belong to steps that a resumed run does again.

    Args:
        active: whether this process writes.
        mean: of named scalars over all processes, each of which has a log; None: there is one process.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
        DataError: the log cannot be written.
    """

    def __init__(
        self, out: Path, start: int, every: int, tensorboard: bool, active: bool = True, mean: Mean | None = None
    ) -> None:
        self.mean = mean
        self.path, self.start, self.every, self.active = out / "log.csv", start, every, active
        self.latest: float | None = None  # mean loss of the last window
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._writer = _tensorboard(out) if tensorboard and active else None

    def __enter__(self) -> RunLog:
        if self.active:
            rows = []
            if self.path.is_file() and self.start:
                with open(self.path, newline="") as stream:
                    rows = [r for r in csv.reader(stream) if r and r[0].isdecimal() and int(r[0]) <= self.start]
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows([COLUMNS, *rows])
            write_bytes(self.path, buffer.getvalue().encode())
            self._stream = open(self.path, "a", newline="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.active:
            with contextlib.suppress(OSError):  # every row has been flushed; what failed then fails again
                self._stream.close()
        if self._writer is not None:
            self._writer.close()

    def add(self, step: int, epoch: float, terms: dict[str, Tensor], speed: float, final: bool) -> dict[str, Tensor]:
        """Take a step's scalars; the window's means when one is full (they wait for the device), else nothing."""
        for name, value in terms.items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        if step % self.every and not final:
            return {}
        means = {name: (total / self._counts[name]).cpu() for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        if self.mean is not None:
            means = self.mean(means)
        losses = [float(value) for name, value in means.items() if name.endswith("loss")]
        self.latest = losses[-1] if losses else None
        if self.active:
            means["images_per_second"] = torch.tensor(speed)
            for name, value in means.items():
                csv.writer(self._stream, lineterminator="\n").writerow(
                    [step, f"{epoch:.4f}", name, f"{float(value):.9g}"]
                )
                if self._writer is not None:
                    self._writer.add_scalar(name, float(value), step)
            try:
                self._stream.flush()
            except OSError as error:
                reason = error.strerror or error
                raise DataError(f"{self.path}: cannot write: {reason}; free some space") from error
        return means


def _tensorboard(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("TensorBoard is not installed; pip install 'fusionbench[tensorboard]'") from error
    return SummaryWriter(str(out / "tensorboard"))


def read_log(folder: str | Path) -> dict[str, np.ndarray]:
    """The curves of a run: name -> float64 (n,3) with step, epoch and value in the order of steps.

    Raises:
        DataError: no log there, or a line that is none of one.
    """
    path = Path(folder) / "log.csv"
    text = read_bounded(path, MAX_BYTES, "log of a run (fusionbench train writes it)")
    found: dict[str, list[tuple[float, float, float]]] = {}
    try:
        lines = csv.reader(io.StringIO(text.decode()), strict=True)
        if tuple(next(lines, ())) != COLUMNS:
            raise DataError(f"{path}: not a log of a run: its first line is not {','.join(COLUMNS)}")
        for number, line in enumerate(lines, 2):
            if len(line) != len(COLUMNS) or not line[0].isdecimal() or len(line[2]) > _LONGEST_NAME:
                raise DataError(f"{path}: line {number} is no line of a log; remove it, or train again")
            found.setdefault(line[2], []).append((float(line[0]), float(line[1]), float(line[3])))
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DataError(f"{path}: not a log of a run: {' '.join(str(error).split())[:120]}") from error
    curves = {name: np.array(rows, np.float64) for name, rows in found.items()}
    for name, rows in curves.items():
        if not (np.diff(rows[:, 0]) > 0).all():
            raise DataError(f"{path}: the steps of {name!r} do not rise; it was edited, train again")
    return curves
