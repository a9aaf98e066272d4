"""What protocols of stacks have in common: several pictures of one scene are fused and compared with the truth.

A task is a class with its names, the rule of recipes that makes its views (``views``), and its ``metrics_used``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fusionbench.core.errors import DataError
from fusionbench.evaluation.protocols.base import Options, ScoredRow, SimpleProtocol, Table
from fusionbench.results.schema import Score

if TYPE_CHECKING:
    from fusionbench.core.interfaces import Model
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.stack_sets import StackSet, Views
    from fusionbench.evaluation.suites import Suite


class StackProtocol(SimpleProtocol):
    """A protocol of stacks; ``open`` takes a data set of them, a source, or a folder of pictures."""

    takes = frozenset({"source_dir", "strict"})
    lacks = "scores one luma a stack against its truth and its sources"
    views: ClassVar[Views]
    metrics_used: ClassVar[tuple[str, ...]]
    most: ClassVar[int] = 64  # pictures of a stack

    def claims(self, data: str, source_dir: Path | None) -> bool:
        """Whether a data set is called so whose views are made for this task."""
        from fusionbench.evaluation.stack_sets import stored_stacks

        return source_dir is None and stored_stacks(data, self.views) is not None

    def open(
        self,
        data: str,
        options: Options,
        *,
        split: str | None = None,
        source_dir: Path | None = None,
        strict: bool = False,
    ) -> StackSet:
        """As :func:`fusionbench.evaluation.stack_sets.open_stacks`."""
        from fusionbench.evaluation.stack_sets import open_stacks

        found = open_stacks(data, self.views, split, source_dir, limit=options.limit, strict=strict)
        if (count := found.spec.views) > self.most:
            raise DataError(f"{data}: stacks of {count} pictures; {self.key} scores 2 to {self.most}")
        return found

    def open_suite(
        self, suite: Suite, *, data_root: Path, source_dir: Path | None = None, strict: bool = False
    ) -> StackSet:
        """The data set of the suite's recipe, built when missing; or the source that it names."""
        from fusionbench.sources import is_stack_source

        if is_stack_source(suite.dataset):
            return self.open(suite.dataset, suite.protocol, split=suite.split, source_dir=source_dir, strict=strict)
        from fusionbench.data.build import build_dataset
        from fusionbench.data.recipes import load_recipe

        folder = build_dataset(load_recipe(suite.dataset), source_dir, data_root)
        return self.open(str(folder), suite.protocol, split=suite.split)

    def spec(self, data: StackSet) -> ImageSpec:
        """Grey views, of the size of the first stack: those of a source may have any."""
        return data.spec

    def metrics(self, model: Model) -> dict[str, str]:
        from fusionbench.metrics import get_metric

        return {name: get_metric(name).version for name in self.metrics_used}

    def metrics_on(self, model: Model, data: StackSet) -> dict[str, str]:
        """Without those that need a truth where none is known, and those of two sources where there are more."""
        from fusionbench.evaluation.stack_scores import lacks

        first = data.stack(0)
        return {name: version for name, version in self.metrics(model).items() if lacks(name, first) is None}

    def measure(self, model: Model, data: StackSet, options: Options) -> tuple[dict[str, Score], Table]:
        from fusionbench.evaluation.stack_scores import measure_stacks

        return measure_stacks(model, data, list(self.metrics_on(model, data)))

    def draw_suite(self, suite: Suite, rows: Sequence[ScoredRow], data: StackSet, out: Path, *, whole: bool) -> None:
        """The sheet of a few stacks with what every row makes of them."""
        from fusionbench.evaluation.stack_sheet import draw_stack_sheet

        draw_stack_sheet(rows, data, out / data.identity.name, title=suite.title, whole=whole)
