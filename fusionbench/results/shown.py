"""Results and comparisons as a researcher looks at them: one line, a table in a notebook, a data frame, a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.notebook import html_table, in_html, need_pandas, short_text, shortened
from fusionbench.core.text import counted, one_line
from fusionbench.metrics import label_of

if TYPE_CHECKING:
    import pandas

    from fusionbench.results.comparison import Comparison
    from fusionbench.results.result_set import StoredResult
    from fusionbench.results.schema import Result, Score

_ARROWS = {"higher": "↑", "lower": "↓"}


class ShownResult:
    """What :class:`fusionbench.results.schema.Result` offers in a notebook.

    Where it was saved or read is remembered beside its fields (``place``), and so is the table of a result that was not
    saved: neither is a part of the result.
    """

    def __repr__(self) -> str:
        return one_line(one_line_of(cast("Result", self)))

    def _repr_html_(self) -> str:
        """Scores as a table; every text is escaped."""
        result = cast("Result", self)
        head = ["score", "", "mean", "sd", "n", "unit"]
        rows = [
            [
                key,
                _ARROWS[one.better],
                one.mean,
                one.sd,
                one.n,
                ("" if one.unit == "1" else one.unit) if one.mean is not None else one.reason,
            ]
            for key, one in ((key, result.scores[key]) for key in shown_scores(result, everything=True))
        ]
        notes = [f"{result.status}, id {result.id[:12]}" + (f", in {self.place}" if self.place else "")]
        return html_table(head, rows, title=_head(result), notes=notes)

    def __getitem__(self, key: str) -> Score:
        """The score of a key; ``result["vif"].mean``.

        Raises:
            UsageError: there is none.
        """
        scores = cast("Result", self).scores
        if key not in scores:
            raise unknown_name("score", str(key), scores)
        return scores[key]

    def __iter__(self) -> Iterator[str]:
        return iter(cast("Result", self).scores)

    def __contains__(self, key: object) -> bool:
        return key in cast("Result", self).scores

    @property
    def place(self) -> Path | None:
        """The folder that it was saved in or read from; None where it was not saved."""
        found: Path | None = self.__dict__.get("_place")
        return found

    @property
    def images(self) -> Mapping[str, np.ndarray]:
        """The values image by image: column -> (n,), the first of which is ``id``.

        Raises:
            UsageError: they are not at hand.
            DataError: the table beside the result is damaged.
        """
        return self.stored().per_image

    def remember(self, place: Path | None = None, table: Mapping[str, Any] | None = None) -> None:
        """Where it lies, or the per-image table of a result that lies nowhere; no part of the result."""
        self.__dict__["_place"] = place
        if table is not None:
            self.__dict__["_table"] = {
                name: np.asarray(column, None if name == "id" else np.float64) for name, column in table.items()
            }

    def stored(self, title: str | None = None) -> StoredResult:
        """The result with its per-image values, as comparisons take it.

        Args:
            title: what tables are to call it instead.

        Raises:
            UsageError: its per-image values are not at hand.
        """
        import msgspec

        from fusionbench.results.result_set import StoredResult
        from fusionbench.results.schema import PerImage

        result, file = cast("Result", self), (self.place or Path()) / "result.json"
        table = self.__dict__.get("_table")
        if table is None and (self.place is None or result.per_image is None):
            raise UsageError(
                f"{_head(result)}: its per-image values are not at hand; read it with fusionbench.results.schema.load, "
                "or name the folder of results"
            )
        shown = result if title is None else msgspec.structs.replace(result, title=title)
        if table is None:
            return StoredResult(file, shown, named=True)
        shown = msgspec.structs.replace(shown, per_image=PerImage(file="images.csv", sha256="", columns=[*table]))
        one = StoredResult(Path("in memory"), shown, named=True)
        one.__dict__["per_image"] = table  # where cached_property keeps what it has read
        return one

    def to_pandas(self, means: bool = False) -> pandas.DataFrame:
        """A row for each image, named by it; or with ``means`` a row for each score: mean, sd, n, unit, direction.

        Raises:
            UsageError: pandas is not installed, or the per-image values are not at hand.
        """
        if means:
            return means_frame(cast("Result", self).scores)
        found: pandas.DataFrame = need_pandas().DataFrame(dict(self.images)).set_index("id")
        return found

    def plot(self, scores: Sequence[str] | None = None, ax: Any = None) -> np.ndarray:
        """Means against the number of inputs where scores have those, else the values of all images as dots.

        Args:
            scores: which metrics or scores; None takes those of the tables.
            ax: axes to draw on, one for each score.

        Returns:
            The axes, an array of one for each score.

        Raises:
            UsageError: no such score, or the per-image values are not at hand.
        """
        from fusionbench.results.image_tables import per_image
        from fusionbench.results.plots import plot_by_inputs, plot_dots

        result, table = cast("Result", self), self.images
        chosen = [*scores] if scores is not None else shown_scores(result)
        counted: dict[str, dict[int, np.ndarray]] = {}
        for metric in dict.fromkeys(key.partition("@")[0] for key in chosen):
            for key, score in result.scores.items():
                name, _, column = key.partition("@")
                if name == metric and column.isdecimal() and (values := per_image(table, key, score)) is not None:
                    counted.setdefault(metric, {})[int(column)] = values
        if counted:
            units = {key.partition("@")[0]: score for key, score in result.scores.items()}
            return plot_by_inputs(counted, {name: _with_unit(name, units[name]) for name in counted}, ax)
        columns = {key: values for key in chosen if (values := per_image(table, key, self[key])) is not None}
        return plot_dots(columns, {key: self[key].better for key in columns}, ax)


def one_line_of(result: Result) -> str:
    """A result on one line: model, data, protocol, the scores of the tables, id."""
    keys = shown_scores(result)
    texts = [f"{_label(key)} {short_text(result.scores[key].mean)}" for key in keys]
    return f"Result({_head(result)}: {shortened(texts)}; n={result.identity.dataset.n:,}, id {result.id[:12]})"


def _label(key: str) -> str:
    """A score as papers write it: ``Qabf``, ``MSE_min@mean``; another dialect's keeps its mark."""
    name, at, column = key.partition("@")
    return label_of(name) + at + column


def _head(result: Result) -> str:
    data, protocol = result.identity.dataset, result.identity.protocol
    title = result.title or result.identity.model.name
    return f"{title} on {data.name} {data.version} {data.split}, {protocol.name}/{protocol.version}"


def _with_unit(name: str, score: Score) -> str:
    return f"{name} {_ARROWS[score.better]}" + (f" ({score.unit})" if score.unit not in ("", "1") else "")


def shown_scores(result: Result, everything: bool = False) -> list[str]:
    """Keys of the scores that tables show, in their order: without columns, or the mean over the numbers of inputs."""
    from fusionbench.metrics.engine import TABLE
    from fusionbench.results.comparison import SECONDARY, metric_order
    from fusionbench.results.input_means import MEAN

    def place(key: str) -> tuple[int, Any]:
        return TABLE.index(key) if key in TABLE else len(TABLE), metric_order(key)

    metrics = {key.partition("@")[0] for key in result.scores}
    keys = sorted(result.scores, key=place)
    if everything:
        return keys
    return [
        key
        for key in keys
        if key.partition("@")[2] in ("", MEAN) and SECONDARY.get(key.partition("@")[0]) not in metrics
    ]


def means_frame(scores: Mapping[str, Score]) -> pandas.DataFrame:
    """Scores as a table: a row for each, with mean, sd, n, unit and direction.

    Raises:
        UsageError: pandas is not installed.
    """
    rows = [
        {"score": key, "mean": one.mean, "sd": one.sd, "n": one.n, "unit": one.unit, "better": one.better}
        for key, one in scores.items()
    ]
    columns = ["score", "mean", "sd", "n", "unit", "better"]
    found: pandas.DataFrame = need_pandas().DataFrame(rows, columns=columns).set_index("score")
    return found


class ShownComparison:
    """What :class:`fusionbench.results.comparison.Comparison` offers in a notebook."""

    def __repr__(self) -> str:
        from fusionbench.results.tables import order

        comparison = cast("Comparison", self)
        keys = shortened([*comparison.scores], 4)
        titles = shortened([comparison.entries[place].title for place in order(comparison)], 4)
        models, images = counted(len(comparison.entries), "model"), comparison.images
        data = f"{comparison.dataset}, {comparison.protocol.replace(' ', '/')}"
        return one_line(f"Comparison({models} on {data}: {titles}; by {keys}; n={images:,})")

    def _repr_html_(self) -> str:
        """The table of ``fusionbench compare``; every text is escaped."""
        from fusionbench.results.html_tables import as_html

        comparison = cast("Comparison", self)
        return f"<div>{as_html(comparison)}</div>" if comparison.entries else in_html(repr(self))

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each model and score: mean, interval, rank, whether it is tied with the best, and so on.

        Raises:
            UsageError: pandas is not installed.
        """
        from fusionbench.results.tables import as_data

        data = as_data(cast("Comparison", self))
        rows = [
            {"model": row["title"], "name": row["name"], "score": key, **values}
            for row in data["rows"]
            for key, values in row["scores"].items()
        ]
        found: pandas.DataFrame = need_pandas().DataFrame(rows)
        return found

    def plot(self, scores: Sequence[str] | None = None, ax: Any = None) -> np.ndarray:
        """Means with their intervals, a line for each model, best first; filled where it is tied with the best.

        Args:
            scores: which of the scores; None takes all.
            ax: axes to draw on, one for each score.

        Returns:
            The axes, an array of one for each score.

        Raises:
            UsageError: a score that was not compared.
        """
        from fusionbench.results.plots import plot_ranked

        comparison = cast("Comparison", self)
        chosen = [*comparison.scores] if scores is None else [*scores]
        for key in chosen:
            if key not in comparison.scores:
                raise unknown_name("score of this comparison", key, comparison.scores)
        return plot_ranked(comparison, chosen, ax)
