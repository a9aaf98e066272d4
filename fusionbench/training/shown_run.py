"""A run as a researcher looks at it: one line, a table in a notebook, its curves as a data frame or a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.notebook import html_table, need_pandas
from fusionbench.core.text import one_line

if TYPE_CHECKING:
    import pandas

    from fusionbench.training.run import Run

_TOLD = ("model", "version", "preset", "params", "training", "dataset_id", "seed", "budget", "steps", "parameters")


class ShownRun:
    """What :class:`fusionbench.training.run.Run` offers in a notebook."""

    def __repr__(self) -> str:
        run = cast("Run", self)
        info = run.info
        data = f" on {info.dataset_name} {info.dataset_version}" if info.dataset_name else ""
        state = ("cut short" if info.cut else "finished") if info.finished else "unfinished"
        text = f"Run({info.model}{data}, {info.steps:,} steps, seed {info.seed}, {state}, in {str(run.folder)!r})"
        return one_line(text)

    def _repr_html_(self) -> str:
        """How it was trained; every text is escaped."""
        told = msgspec.to_builtins(cast("Run", self).info)
        rows = [[name, told[name]] for name in _TOLD if told.get(name) not in (None, {}, "")]
        return html_table([], rows, title=repr(self))

    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """What was logged while it was trained: name -> steps (m,) and values (m,), ``loss`` among them.

        Raises:
            UsageError: there is no log, as of a model that learns no weights.
            DataError: a damaged log.
        """
        path = cast("Run", self).folder / "log.csv"
        if not path.is_file():
            raise UsageError(f"{path}: no log here: nothing was trained step by step")
        from fusionbench.training.log import read_log

        return {name: (rows[:, 0], rows[:, 2]) for name, rows in read_log(path.parent).items()}

    def to_pandas(self) -> pandas.DataFrame:
        """The log: a row for each logged step and a column for each name.

        Raises:
            UsageError: pandas is not installed, or there is no log.
            DataError: a damaged log.
        """
        frame = need_pandas()
        columns = {name: frame.Series(values, index=steps) for name, (steps, values) in self.curves().items()}
        found: pandas.DataFrame = frame.DataFrame(columns).rename_axis("step")
        return found

    def plot(self, names: str | tuple[str, ...] = ("loss",), ax: Any = None) -> np.ndarray:
        """Curves of the training.

        Args:
            names: which of :meth:`curves`.
            ax: axes to draw on, one for each.

        Returns:
            The axes, an array of one for each name.

        Raises:
            UsageError, DataError: as :meth:`curves`, or no such curve.
        """
        from fusionbench.core.errors import unknown_name
        from fusionbench.results.plots import axes_for, plain, tidy

        chosen, curves = [names] if isinstance(names, str) else [*names], self.curves()
        for name in chosen:
            if name not in curves:
                raise unknown_name("curve", name, curves)
        found = axes_for(len(chosen), 4.0, 2.6, ax)
        for axes, name in zip(found, chosen, strict=True):
            axes.plot(*curves[name])
            axes.set_xlabel("step")
            axes.set_ylabel(plain(name))
            tidy(axes)
        return found
