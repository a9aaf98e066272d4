"""``[degrade]`` in recipes of pairs: which degradations of :mod:`fusionbench.synth.degradations` the samples have.

Stored ones are made when the data set is built, with the clean truth beside them; live ones are made of the stored
clean pairs while a model trains, other ones in every epoch. What is drawn for a sample follows from the recipe, the
sample's number and the epoch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.io import digest
from fusionbench.core.types import ImageSpec
from fusionbench.data.recipe_base import RecipeTable, RecipeValueError
from fusionbench.synth.arrays import Array, is_tensor
from fusionbench.synth.degradations import DEGRADATIONS, Degraded, degrade
from fusionbench.synth.degradations.draws import on
from fusionbench.synth.random import bounded, stream_key, uint16_outputs, uint64_outputs

if TYPE_CHECKING:
    from fusionbench.data.dataset import Dataset

ID = "degrade/1"
PARTS = 1000  # ``chance`` in whole thousandths
CLEAN = "clean"  # name of the array with the truth
CHOICE = "degradation"  # name of the array that says what was done
DEGRADED = ("views", CLEAN, CHOICE)  # the arrays of a degraded sample
FIELDS = ("family", "severity")

FamilyName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Severity = Annotated[int, msgspec.Meta(ge=1, le=5)]


class DegradeRule(RecipeTable, kw_only=True, frozen=True):
    """Which degradations, how strong, of how many samples, and when.

    ``families``: one is drawn for each sample, evenly, or as ``weights`` say. ``severity``: one for all, or a list of
    which one is drawn. ``chance``: that a sample is degraded at all. ``when``: ``stored`` at the build, beside the
    clean pairs; or ``live``, in training from epoch 1 on, where the stored pairs are clean.
    """

    families: Annotated[list[FamilyName], msgspec.Meta(min_length=1, max_length=64)]
    severity: Severity | Annotated[list[Severity], msgspec.Meta(min_length=1, max_length=5)]
    weights: list[Annotated[int, msgspec.Meta(ge=1, le=1000)]] | None = None
    chance: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    when: Literal["stored", "live"] = "stored"

    @property
    def severities(self) -> list[int]:
        """Those that are drawn from."""
        return [self.severity] if isinstance(self.severity, int) else self.severity

    def check(self, spec: ImageSpec | None) -> None:
        """Raise :class:`RecipeValueError` for values that are of the right type and cannot work.

        Args:
            spec: size of what is degraded, where all samples have one.
        """
        if len(set(self.families)) != len(self.families):
            raise RecipeValueError("degrade.families", "names a family twice; give it a weight")
        if len(set(self.severities)) != len(self.severities):
            raise RecipeValueError("degrade.severity", "names a severity twice")
        if self.weights is not None and len(self.weights) != len(self.families):
            raise RecipeValueError("degrade.weights", f"{len(self.weights)} for {len(self.families)} families")
        if abs(self.chance * PARTS - round(self.chance * PARTS)) > 1e-9 or self.chance * PARTS < 1:
            raise RecipeValueError("degrade.chance", f"{self.chance} is not in whole thousandths")
        for name in self.families:
            try:
                record = DEGRADATIONS.get(name)
            except UsageError as error:
                raise RecipeValueError("degrade.families", str(error)) from error
            reach = max(record.reach(record.levels[one - 1], *_sides(spec)) for one in self.severities)
            if spec is not None and reach >= min(spec.height, spec.width):
                size = f"{spec.height}×{spec.width}"
                raise RecipeValueError("degrade", f"{name} moves by up to {reach} pixels, and samples have {size}")


def seen_in_training(dataset: Dataset) -> str:
    """``Dataset.training_id``: sets with and without live degradations have the same bytes and so the same id."""
    rule = getattr(dataset.recipe, "degrade", None)
    if rule is None or rule.when != "live":
        return dataset.id
    decided_by = {"degrade": msgspec.to_builtins(rule), "name": dataset.name, "seed": dataset.recipe.seed}
    return digest({"id": dataset.id, **decided_by})


def _sides(spec: ImageSpec | None) -> tuple[int, int]:
    return (1, 1) if spec is None else (spec.height, spec.width)


@dataclass(frozen=True)
class Degrader:
    """Degrades the samples of a split as a rule says.

    Attributes:
        dataset, split, seed: with the families' names they determine the keys of the random streams.

    Example:
        >>> import numpy as np
        >>> from fusionbench.data.degrade_rules import Degrader, DegradeRule
        >>> rule = DegradeRule(families=["haze/1", "blur/1"], severity=[1, 3], chance=0.5)
        >>> degrader = Degrader(rule, "demo", "train", seed=0)
        >>> choice = degrader.choice(np.arange(1000))  # number of the family, or -1 for none; severity
        >>> np.unique(choice, axis=0).tolist()
        [[-1, 0], [0, 1], [0, 3], [1, 1], [1, 3]]
    """

    rule: DegradeRule
    dataset: str
    split: str
    seed: int

    def choice(self, samples: np.ndarray, epoch: int = 0) -> np.ndarray:
        """What happens to ``samples`` (n,) in ``epoch``: int64 (n, 2), number of the family in the rule and severity;
        -1 and 0 where nothing does."""
        key = stream_key(ID, self.dataset, self.split, self.seed)
        outputs = uint16_outputs(uint64_outputs(key, np.asarray(samples, np.int64), 1, epoch=epoch)).astype(np.int64)
        rule = self.rule
        happens = (outputs[:, 0] * PARTS >> 16) < round(rule.chance * PARTS)
        weights = np.array(rule.weights or [1] * len(rule.families), np.int64)
        family = np.searchsorted(np.cumsum(weights), outputs[:, 1] * int(weights.sum()) >> 16, side="right")
        severity = np.array(rule.severities, np.int64)[bounded(outputs[:, 2], 0, len(rule.severities) - 1)]
        return np.stack([np.where(happens, family, -1), np.where(happens, severity, 0)], 1)

    def apply(self, views: Array, samples: np.ndarray, epoch: int = 0) -> Array:
        """uint8 ``views`` (n, 2, h, w) of ``samples`` (n,), degraded: a copy.

        Raises:
            UsageError: a field that is larger than the picture.
        """
        return self.truth(views, samples, epoch, fields=False).views

    def apply_each(self, pairs: Sequence[np.ndarray], samples: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """Pairs of sizes of their own, n of uint8 (2, h, w), degraded.

        Raises:
            UsageError: a field that is larger than a picture, with the pair's name.
        """
        made = []
        for pair, sample, name in zip(pairs, samples.tolist(), names, strict=True):
            try:
                made.append(self.apply(pair[None], np.array([sample]))[0])
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from error
        return made

    def truth(self, clean: Array, samples: np.ndarray, epoch: int = 0, fields: bool = True) -> Degraded:
        """What was done to the samples whose clean views are ``clean`` (n, 2, h, w): views, field and what was lost.

        Args:
            fields: give the field and what was lost of all of them, zero where a degradation has none.
        """
        choice = self.choice(samples, epoch)
        views = clean.clone() if is_tensor(clean) else np.array(clean)
        field = _zeros(clean, "int32") if fields else None
        lost = _zeros(clean, "uint8") if fields else None
        if field is not None:
            field = field[:, :1].repeat(1, 2, 1, 1) if is_tensor(field) else np.repeat(field[:, :1], 2, axis=1)
        for number, severity in np.unique(choice[choice[:, 0] >= 0], axis=0).tolist():
            mine = np.flatnonzero((choice[:, 0] == number) & (choice[:, 1] == severity))
            where = on(mine, clean)
            made = degrade(
                clean[where],
                self.rule.families[number],
                severity,
                dataset=self.dataset,
                split=self.split,
                samples=samples[mine],
                seed=self.seed,
                epoch=epoch,
            )
            views[where] = made.views
            for out, found in ((field, made.field), (lost, made.lost)):
                if out is not None and found is not None:
                    out[where] = found
        return Degraded(views, field, lost)


def problem_of_degraded(degrader: Degrader, samples: np.ndarray, arrays: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with the stored arrays of ``samples`` (n,): name of the array and text; None where nothing is.

    Args:
        arrays: ``views``, ``clean`` and ``degradation`` of the samples; whole pairs are lists.
    """
    views, clean = arrays["views"], arrays[CLEAN]
    if not np.array_equal(np.asarray(arrays[CHOICE]), degrader.choice(samples)):
        return CHOICE, "not the degradations that follow from the recipe and the samples' numbers"
    if isinstance(clean, list):
        made: Any = degrader.apply_each(clean, samples, [f"pair {sample}" for sample in samples.tolist()])
    else:
        made = degrader.apply(clean, samples)
    wrong = [
        sample for sample, one, two in zip(samples.tolist(), views, made, strict=True) if not np.array_equal(one, two)
    ]
    if wrong:
        return "views", f"not what the recipe makes of the clean pairs: {len(wrong)} samples, the first {wrong[0]}"
    return None


def stored_truth(dataset: Dataset, split: str, indices: Sequence[int] | np.ndarray) -> list[Degraded]:
    """What ``[degrade]`` did to stored samples: of each its views, field and what was lost, made again.

    Views and lost are uint8 (1, 2, h, w), the field is int32 (1, 2, h, w) in 1/256 pixel, zero where nothing moved; see
    :class:`fusionbench.synth.degradations.Degraded`. The clean pairs are ``dataset.arrays(split).clean``.

    Raises:
        UsageError: the data set's samples are stored as they came.
    """
    degrader = dataset.recipe.stored_degrader(split)
    if degrader is None:
        raise UsageError(f"{dataset.name}: its samples are not degraded; its recipe has no [degrade] that is stored")
    clean = dataset.arrays(split).clean
    return [degrader.truth(clean[int(index)][None], np.array([int(index)])) for index in indices]


def _zeros(like: Array, dtype: str) -> Any:
    shape = tuple(like.shape)
    if not is_tensor(like):
        return np.zeros(shape, dtype)
    torch = sys.modules["torch"]
    return torch.zeros(shape, dtype=getattr(torch, dtype), device=like.device)
