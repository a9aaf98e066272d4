"""``masked/1``: every image of a data set of masked views, scored at every number of inputs N = 0..V.

How images are scored stands in :mod:`fusionbench.evaluation.masked`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fusionbench.core.errors import UsageError
from fusionbench.core.progress import say
from fusionbench.evaluation.protocols.base import BaseProtocol, Count
from fusionbench.evaluation.protocols.base import Options as BaseOptions
from fusionbench.evaluation.protocols.flags import Flag
from fusionbench.results.schema import ProtocolIdentity, Result

if TYPE_CHECKING:
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.masked import MaskedImages
    from fusionbench.evaluation.masked import Protocol as Settings
    from fusionbench.evaluation.subject import Scorable
    from fusionbench.evaluation.suites import Suite


class MaskedOptions(BaseOptions, kw_only=True, frozen=True):
    """``draws`` is K, ``seed`` that of the draws, ``paper_batch`` the batch size of the paper's loader."""

    draws: Count = 100
    seed: int = 0
    paper_batch: Count = 32


class MaskedProtocol(BaseProtocol):
    """The protocol ``masked/1``; ``open`` takes a data set, its folder or name."""

    name, version, title = "masked", "1", "masked views"
    about = "A model gets the first N of V masked views, N = 0..V; its likelihood and the best of K draws are scored."
    columns = ("nll@*", "nll_bpd@*", "mse_min@*")
    Options = MaskedOptions
    takes = frozenset({"precision", "compile", "curves", "sheets"})
    flags = {  # noqa: RUF012 - a constant
        "draws": Flag("Draws per image, K.", ("-k", "--samples")),
        "seed": Flag("Of the draws."),
        "paper_batch": Flag("Batch size of the paper's loader, for avg_paper."),
        "precision": Flag("fp32, tf32 or bf16."),
        "compile": Flag("Compile the model's blocks first: minutes, then faster draws."),
        "curves": Flag("Also write curves.csv: scores of the first 1, 2, 4, ... K draws."),
        "sheets": Flag("Also draw samples.png and reconstructions.png, for the pages too."),
    }
    lacks = "has no registered pairs"
    no_images = "is no suite of registered pairs; see docs/submissions.md for its samples"
    trains_on_dataset = True
    seeded_views = True

    def settings(self, options: MaskedOptions) -> Settings:
        """The options as :func:`fusionbench.evaluation.masked.evaluate_masked` takes them."""
        from fusionbench.evaluation.masked import Protocol

        return Protocol(options.draws, options.seed, options.paper_batch)

    def identity(self, options: MaskedOptions, data: MaskedImages) -> ProtocolIdentity:
        """The options, and the numbers of inputs and the crop that follow from the data set."""
        return self.settings(options).identity(data.dataset.spec)

    def open(
        self,
        data: str,
        options: MaskedOptions,
        *,
        split: str | None = None,
        source_dir: Path | None = None,
        strict: bool = False,
    ) -> MaskedImages:
        """A split of a data set; ``test`` when None. It has no upstream files."""
        from fusionbench.data.dataset import open_dataset
        from fusionbench.evaluation.masked import MaskedImages

        return MaskedImages(open_dataset(data), split or "test", options.limit)

    def open_suite(
        self, suite: Suite, *, data_root: Path, source_dir: Path | None = None, strict: bool = False
    ) -> MaskedImages:
        """The data set of the suite's recipe, built when missing (a finished one is found, not made again)."""
        from fusionbench.data.build import build_dataset
        from fusionbench.data.recipes import load_recipe

        folder = build_dataset(load_recipe(suite.dataset), source_dir, data_root)
        return self.open(str(folder), cast(MaskedOptions, suite.protocol), split=suite.split)

    def dataset_folder(self, data: MaskedImages) -> Path:
        """Where the data set lies."""
        from fusionbench.data.dataset import Dataset

        if not isinstance(data.dataset, Dataset):
            raise UsageError(f"{data.dataset.name} is not on disk; rows are trained on a data set that is")
        return data.dataset.folder

    def spec(self, data: MaskedImages) -> ImageSpec:
        """The shape of a sample."""
        found: ImageSpec = data.dataset.spec
        return found

    def evaluate(
        self,
        model: Scorable,
        data: MaskedImages,
        options: MaskedOptions,
        *,
        out: str | Path | None = "results",
        device: str = "auto",
        title: str | None = None,
        params: dict[str, Any] | None = None,
        force: bool = False,
        precision: str = "fp32",
        compile: bool = False,
        curves: bool = False,
        sheets: bool = False,
    ) -> Result:
        """As :func:`fusionbench.evaluation.masked.evaluate_masked`, which it calls.

        Args:
            curves: write ``curves.csv`` beside the result: scores of the first 1, 2, 4, … K draws.
            sheets: draw the sheets of the model.
        """
        from fusionbench.evaluation.masked import evaluate_masked

        settings: dict[str, Any] = {"out": out, "device": device, "title": title, "params": params, "force": force}
        settings |= {"precision": precision, "compile": compile, "limit": data.limit}
        result = evaluate_masked(model, data.dataset, split=data.split, protocol=self.settings(options), **settings)
        if curves and out is not None:
            self._save_curves(model, data, options, device, result.folder(out) / "curves.csv")
        if sheets and out is not None:
            from fusionbench.evaluation.sheets import save_sheets

            save_sheets(model, data.dataset, result, out)
        return result

    def _save_curves(self, model: Any, data: MaskedImages, options: MaskedOptions, device: str, path: Path) -> None:
        from fusionbench.evaluation.curves import draw_curves, save_curves

        how: dict[str, Any] = {"draws": options.draws, "seed": options.seed, "split": data.split}
        try:
            save_curves(draw_curves(model, data.dataset, device=device, limit=data.limit, **how), path)
        except UsageError as error:  # a model without draws: its scores stand nevertheless
            say(f"No curves: {error}")

    def draw_row(self, model: Scorable, data: MaskedImages, result: Result, out: Path) -> None:
        """Both sheets of a row that is not trivial, where they are missing."""
        from fusionbench.evaluation.sheets import has_sheets, save_sheets

        if result.family != "trivial" and not has_sheets(result, out):
            save_sheets(model, data.dataset, result, out)


PROTOCOL = MaskedProtocol()
