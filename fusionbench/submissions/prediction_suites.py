"""What a suite means for predictions: the scores that they get, the data they are about, and the files of an upload.

One class for each kind of predictions; :mod:`fusionbench.submissions.prediction_kinds` says which kind has which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from fusionbench.core.errors import RejectedError, UsageError
from fusionbench.evaluation.suites import Suite


class ScoreColumn(NamedTuple):
    """A score that predictions get: its key in results, the head of its column, and ``higher`` or ``lower``.

    Example:
        >>> from fusionbench.submissions.prediction_suites import ScoreColumn
        >>> ScoreColumn("mse_min@0", "MSE_min, N = 0", "lower").score
        'mse_min@0'
    """

    score: str
    title: str
    better: str


class SuitePredictions(ABC):
    """What a suite says about one kind of predictions."""

    @abstractmethod
    def columns(self, suite: Suite) -> list[ScoreColumn]:
        """The scores that predictions get under the suite's protocol, the one that ranks first."""

    @abstractmethod
    def uploaded(self, files: Mapping[str, Path]) -> Path:
        """What `pack` takes of the plain files of an upload, by their path in it: a folder, or the one file.

        Raises:
            RejectedError: the upload has something else.
        """

    @abstractmethod
    def check_data(self, suite: Suite, data: Path) -> None:
        """See whether a folder has the data of the suite.

        Raises:
            UsageError, DataError: other data, or damaged ones.
        """

    def is_embedded(self, suite: Suite) -> bool:
        """Whether fusionbench itself has the data, so that their name is enough; False unless overridden."""
        return False

    def build_data(self, suite: Suite, folder: Path) -> bool:
        """Make the data of the suite below a folder where that asks for no files; whether they were made."""
        return False


class SuiteSamples(SuitePredictions):
    """Samples for masked views, scored by their best draw."""

    def columns(self, suite: Suite) -> list[ScoreColumn]:
        """MSE_min at every number of inputs, after its mean over all of them."""
        from fusionbench.data.recipes import load_recipe
        from fusionbench.metrics import METRICS

        metric = METRICS.get("mse_min")
        label = metric.label or metric.name
        found = [ScoreColumn("mse_min@mean", f"{label}, mean", metric.better)]
        for inputs in range(load_recipe(suite.dataset).image_spec.views + 1):
            found.append(ScoreColumn(f"mse_min@{inputs}", f"{label}, N = {inputs}", metric.better))
        return found

    def uploaded(self, files: Mapping[str, Path]) -> Path:
        """The one file of samples."""
        if len(files) != 1 or not next(iter(files)).endswith((".npy", ".h5")):
            raise RejectedError("the upload is not one file samples.npy; see the page on submissions")
        return next(iter(files.values()))

    def check_data(self, suite: Suite, data: Path) -> None:
        """The data set is the suite's, by its name."""
        from fusionbench.data.dataset import open_dataset

        if (found := open_dataset(data).name) != (name := suite.dataset.partition("@")[0]):
            raise UsageError(f"{data}: is {found}, the suite {suite.name} is about {name}")

    def build_data(self, suite: Suite, folder: Path) -> bool:
        """The data set of the suite's recipe, where its source has no files."""
        from fusionbench.data.build import build_dataset
        from fusionbench.data.recipes import list_recipes, load_recipe
        from fusionbench.sources import SOURCES

        if suite.dataset.partition("@")[0] not in list_recipes():
            return False
        recipe = load_recipe(suite.dataset)
        try:
            cast(Any, SOURCES.get(recipe.source.name))(None)
        except UsageError:  # it asks for files
            return False
        build_dataset(recipe, source_dir=None, out=folder, jobs=1)
        return True


class SuiteImages(SuitePredictions):
    """Fused images of registered pairs, scored against both sources."""

    def columns(self, suite: Suite) -> list[ScoreColumn]:
        """The metrics of the table of pairs."""
        from fusionbench.metrics import METRICS
        from fusionbench.metrics.engine import TABLE

        metrics = [METRICS.get(name) for name in (*TABLE, "cc")]
        return [ScoreColumn(metric.name, metric.label or metric.name, metric.better) for metric in metrics]

    def uploaded(self, files: Mapping[str, Path]) -> Path:
        """The folder of PNG files."""
        folders = {path.parent for name, path in files.items() if name.endswith(".png")}
        if len(folders) != 1 or not all(name.endswith(".png") for name in files):
            raise RejectedError("the upload is not a folder of PNG files and nothing else; see the page on submissions")
        return folders.pop()

    def check_data(self, suite: Suite, data: Path) -> None:
        """Every image of the suite's split has its partner."""
        from fusionbench.evaluation.pair_sets import open_pairs

        open_pairs(str(data), suite.split, strict=True)

    def is_embedded(self, suite: Suite) -> bool:
        """Whether the suite's source of pairs has no files."""
        from fusionbench.core.interfaces import has_files
        from fusionbench.sources import SOURCES, is_pair_source

        name = suite.dataset.partition("@")[0]
        return is_pair_source(name) and not has_files(SOURCES.get(name))
