"""Which curves of which runs a plot shows: values of ``log.csv`` by name, one colour a model or title."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.evaluation.paper.plots import Curve
from fusionbench.models import MODELS
from fusionbench.training.log import read_log
from fusionbench.training.run import read_run

Across = Literal["step", "epoch"]
HEADS = {"step": "Step", "epoch": "Epoch"}
MAX_RUNS = 60
_SPEED = "images_per_second"


def learning_curves(
    runs: Sequence[str], values: Sequence[str] = (), *, across: Across = "step", smooth: int = 1
) -> list[tuple[str, list[Curve]]]:
    """A panel for each value: its name, and a curve of every run that logged it.

    Args:
        runs: run folders, ``FOLDER`` or ``TITLE=FOLDER``; runs of one title, as training seeds are, have one colour.
        values: names in the logs; without, the first loss that all runs have.
        smooth: mean over so many lines of the log, centred, fewer at both ends.

    Raises:
        UsageError: a name that no log has, too many runs, or no loss that all have.
        DataError: no run there, or a damaged log.
    """
    if not 1 <= len(runs) <= MAX_RUNS:
        raise UsageError(f"{len(runs)} runs: give 1 to {MAX_RUNS}")
    if across not in get_args(Across):
        raise UsageError(f"--x {across!r}: give step or epoch")
    if not 1 <= smooth <= 10_000:
        raise UsageError(f"--smooth {smooth}: give 1 to 10,000 lines")
    logs = [(_title(text), read_log(_folder(text))) for text in runs]
    every = list(dict.fromkeys(name for _, log in logs for name in log))
    names = list(values) or _usual(logs, every)
    panels = []
    for name in names:
        if name not in every:
            raise unknown_name("value of these logs", name, every)
        column = 0 if across == "step" else 1
        curves = [
            Curve(title, log[name][:, column], _smoothed(log[name][:, 2], smooth)) for title, log in logs if name in log
        ]
        panels.append((name, curves))
    return panels


def _usual(logs: Sequence[tuple[str, dict[str, np.ndarray]]], every: Sequence[str]) -> list[str]:
    losses = [name for name in every if name.endswith("loss") and all(name in log for _, log in logs)]
    if not losses:
        shown = ", ".join(name for name in every if name != _SPEED) or "nothing"
        raise UsageError(f"no loss is in all of these logs; name a value with --value (there are {shown})")
    return losses[:1]


def _folder(text: str) -> Path:
    return Path(text if Path(text).exists() or "=" not in text else text.partition("=")[2])


def _title(text: str) -> str:
    """What the legend calls a run: the title that is given, or its model's."""
    title, equals, folder = text.partition("=")
    if equals and not Path(text).exists():
        if not title or not folder:
            raise UsageError(f"{text!r}: give RUN, or TITLE=RUN")
        return title
    name = read_run(text).info.model
    return MODELS.get(name).title if name in MODELS.names() else name


def _smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Centred means over ``window`` values (one more where it is even), over fewer at the ends.

    Values that are not finite leave a gap where they are, and count in no mean.
    """
    half = window // 2
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.where(finite, values, 0.0).cumsum()])
    counts = np.concatenate([[0], finite.cumsum()])
    places = np.arange(len(values))
    low, high = np.maximum(0, places - half), np.minimum(len(values), places + half + 1)
    with np.errstate(invalid="ignore"):
        means = (sums[high] - sums[low]) / (counts[high] - counts[low])
    return np.where(finite, means, np.nan)
