"""Pairs -> model, or a folder of fused images -> one score per pair -> result, under the protocol ``pairs/1``.

Every pair is fused at its own size. The fused luma in [0,1] is rounded to uint8 (halves to even) and scored against
both uint8 sources: EN, SD, SF, MI, SCD, VIF, Qabf, SSIM and CC in ``standard/1``, under keys without a column, which
are ranked; and in the dialect ``cddfuse``, under ``metric@cddfuse``, which are not: they stand beside published rows.

With ``stretch`` every fused image is first stretched so that it reaches from 0 to 1, as CDDFuse's script does. Such
rows are ranked among themselves, and :func:`evaluate_forms` fuses once and scores both forms. Colour stays outside: Y
is fused, Cb and Cr of the visible image are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.deprecation import renamed_parameter
from fusionbench.core.errors import CannotMeasure, DataError, SizesDiffer, UsageError, refuse_all, some
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import fit_ranges, images_in, read_image
from fusionbench.core.interfaces import Fuses, can_fuse
from fusionbench.core.io import digest, file_sha256, utf8_names
from fusionbench.core.pixel_cache import PixelCache
from fusionbench.core.progress import say
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.core.unit_range import to_unit
from fusionbench.evaluation.fused_values import problem_of_fused
from fusionbench.evaluation.make_result import make_result, saved_result
from fusionbench.evaluation.pair_images import keeps_images, save_fused, save_sources
from fusionbench.evaluation.pair_rows import score_rows, tell_remarks
from fusionbench.evaluation.pair_scores import DIALECT as DIALECT  # they were here, and are read from here
from fusionbench.evaluation.pair_scores import METRICS as METRICS
from fusionbench.evaluation.pair_scores import ScoredImage, records
from fusionbench.evaluation.pair_sets import CACHE_BYTES, PairSet
from fusionbench.evaluation.partial_scores import PartialScores
from fusionbench.evaluation.subject import EvaluatedModel, Scorable
from fusionbench.evaluation.watch_cost import CostWatch
from fusionbench.results.full_range import stretch_levels
from fusionbench.results.schema import (
    Identity,
    ModelIdentity,
    Origin,
    ProtocolIdentity,
    Result,
    TrainingIdentity,
    save,
)
from fusionbench.training.runtime import describe_host, launch

if TYPE_CHECKING:
    import torch

Maker = Callable[[int, np.ndarray], np.ndarray]  # index and pair, uint8 (2, h, w), to the fused uint8 (h, w)


@dataclass(frozen=True)
class PairsProtocol:
    """``pairs/1``. ``stretch``: every fused image is stretched to its full range before it is rounded."""

    stretch: bool = False

    def identity(self) -> ProtocolIdentity:
        """The part of a result's identity that says how it was measured."""
        params = {"stretch": self.stretch, "dialects": ["standard/1", f"{DIALECT}/1"]}
        return ProtocolIdentity(name="pairs", version="1", seed=0, params=params)


def to_luma(fused: torch.Tensor, stretch: bool) -> np.ndarray:
    """uint8 (h, w) of one fused image (1,1,h,w) in [0,1]; a flat image is not stretched.

    Raises:
        CannotMeasure: values that are not finite, or far from [0,1].
    """
    import torch

    if (problem := problem_of_fused(fused)) is not None:
        raise CannotMeasure(f"the fused image {problem}")
    image = fused[0, 0].detach().double().cpu()
    if stretch and (spread := float(image.max() - image.min())) > 0:
        image = (image - image.min()) / spread
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def to_batch(pair: np.ndarray, index: int, device: torch.device | str) -> Batch:
    """A batch of one pair, uint8 (2, h, w), without a target."""
    import torch

    views = to_unit(torch.from_numpy(pair).to(device))[None, :, None]
    return Batch(None, views, torch.ones(1, 2, dtype=torch.bool, device=device), torch.tensor([index], device=device))


def fuse_pair(model: Fuses, pair: np.ndarray, index: int, stretch: bool = False) -> np.ndarray:
    """What a model on the CPU makes of one pair, uint8 (2, h, w), as the protocol scores it: uint8 (h, w)."""
    import torch

    with torch.no_grad():
        return to_luma(model.fuse(to_batch(pair, index, "cpu")), stretch)


@renamed_parameter("keep_pictures", "keep_images", removed_in="0.3")
def evaluate_pairs(
    model: Scorable,
    pairs: PairSet,
    *,
    protocol: PairsProtocol | None = None,
    params: dict[str, Any] | None = None,
    out: str | Path | None = "results",
    device: str = "auto",
    title: str | None = None,
    force: bool = False,
    keep_images: bool | None = None,
) -> Result:
    """Score a model object, or a run (its folder, or a :class:`Run`), and save the result below ``out``.

    A result with the same identity that lies there already is returned as it is, unless ``force``.

    Args:
        params: parameters that a model object was built with; part of the identity (a run knows its own).
        keep_images: write sources and fused images for the board's pages; None: where the source may be passed on.

    Raises:
        UsageError: a model that fuses nothing, or not pairs.
        DataError: a pair that cannot be read or scored.
    """
    settings: dict[str, Any] = {"params": params, "out": out, "device": device, "title": title, "force": force}
    [result] = evaluate_forms(model, pairs, [protocol or PairsProtocol()], keep_images=keep_images, **settings)
    return result


@renamed_parameter("keep_pictures", "keep_images", removed_in="0.3")
def evaluate_forms(
    model: Scorable,
    pairs: PairSet,
    protocols: Sequence[PairsProtocol] = (PairsProtocol(), PairsProtocol(stretch=True)),
    *,
    params: dict[str, Any] | None = None,
    out: str | Path | None = "results",
    device: str = "auto",
    title: str | None = None,
    force: bool = False,
    keep_images: bool | None = None,
) -> list[Result]:
    """As :func:`evaluate_pairs`, in several forms at once, by default plain and stretched: every pair is fused once.

    Returns a result for each of ``protocols``, in their order.

    Raises:
        UsageError, DataError: as :func:`evaluate_pairs`.
    """
    import torch

    runtime = launch(device, "fp32")
    _ = pairs.identity  # looks at every pair: one line says what is wrong with all of them
    height, width = pairs.pair(0).shape[1:]
    subject = EvaluatedModel.of(model, ImageSpec(1, height, width, 2), runtime.device, params)
    model = subject.model
    if not can_fuse(model):
        raise UsageError(f"{subject.title} has no fuse: the protocol pairs/1 scores one fused image a pair")
    about: dict[str, Any] = {"title": title or subject.title, "family": subject.family, "model_code": subject.code}
    keep = out if keeps_images(pairs, keep_images) else None
    watch = CostWatch(runtime.device)

    def fuse(index: int, pair: np.ndarray) -> torch.Tensor:
        batch = to_batch(pair, index, runtime.device)
        with torch.no_grad(), watch.image(pair[0].size):
            return model.fuse(batch)

    def luma(form: PairsProtocol, index: int, pair: np.ndarray) -> np.ndarray:
        return to_luma(fuse(index, pair), form.stretch)

    def lumas(forms: Sequence[PairsProtocol], index: int, pair: np.ndarray) -> list[np.ndarray]:
        fused = fuse(index, pair)
        return [to_luma(fused, form.stretch) for form in forms]

    made = [_result(pairs, one, subject.identity, training=subject.training, **about) for one in protocols]
    missing = []
    for place, (one, result) in enumerate(zip(protocols, made, strict=True)):
        if (found := saved_result(result, out, force or subject.unknown)) is None:
            missing.append(place)
        else:
            made[place] = _again(found, pairs, partial(luma, one), keep)
    if not missing:
        return made
    maker = partial(lumas, [protocols[place] for place in missing])
    results = [made[place] for place in missing]
    partial_scores = PartialScores.of(results, out, subject, host=describe_host(runtime.device))
    kept = partial_scores.rows("pairs", pairs.stems, list[ScoredImage], watch)
    tables = score_rows(results, pairs, maker, keep, torch.get_num_threads(), kept)
    for place, table in zip(missing, tables, strict=True):
        made[place].cost = subject.cost() | watch.cost()
        made[place].provenance |= {"host": describe_host(runtime.device), "precision": runtime.precision}
        made[place].provenance |= subject.provenance
        if out is not None:
            save(made[place], out, table)
        else:
            made[place].remember(table=table)
    partial_scores.remove()
    return made


@renamed_parameter("keep_pictures", "keep_images", removed_in="0.3")
def score_fused_images(
    fused: str | Path,
    pairs: PairSet,
    *,
    name: str,
    title: str,
    note: str = "",
    protocol: PairsProtocol | None = None,
    out: str | Path | None = "results",
    keep_images: bool | None = None,
    strict: bool = False,
    jobs: int | None = None,
    range_fused: Range | str | None = None,
) -> Result:
    """Score a method's output folder, paired by stem, as if the method had been run here; status ``scored``.

    An image that belongs to no pair is named and passed over. A protocol that stretches does so to the images'
    8-bit luma; those that reach from black to white already stay as they are.

    Args:
        name, title: what the method is called in folders and on tables.
        note: where the images are from.
        strict: refuse an image that belongs to no pair.
        jobs: pairs at a time; None takes the number of cores that this process may use.
        keep_images: as for :func:`evaluate_pairs`.
        range_fused: which values of the fused images are black and white; part of the identity, as the pairs' ranges.

    Raises:
        DataError: pairs without their images, unreadable images, or such of another size; all in one line.
    """
    import joblib

    protocol = protocol or PairsProtocol()
    wanted, files = Range.of(range_fused), utf8_names(images_in(fused))
    lacking = [stem for stem in pairs.stems if stem not in files]
    if lacking:
        raise DataError(f"{fused}: {len(lacking)} of {len(pairs)} pairs have no image here: {some(lacking)}")
    if extra := sorted(files.keys() - set(pairs.source.stems(pairs.split))):
        text = f"{fused}: {len(extra)} images belong to no pair of {pairs.name}: {some(extra)}"
        if strict:
            raise DataError(f"{text}; take them away, or leave out --strict")
        say(f"warning: {text}; they are passed over")
    ranges = fit_ranges(replace(pairs.ranges, fused=wanted), {"fused": [files[stem] for stem in pairs.stems]})
    made_of = digest([[stem, file_sha256(files[stem])] for stem in pairs.stems])
    identity = ModelIdentity(name=name, version="pictures", weights_sha256=made_of)
    about: dict[str, Any] = {"title": title, "status": "scored", "origin": Origin(kind="submission", note=note)}
    result = _result(pairs, protocol, identity, wanted, ranges, **about)  # looks at every pair

    decoded: PixelCache[int] = PixelCache(CACHE_BYTES // 2)  # a fused image has half the pixels of its pair

    def read(index: int) -> np.ndarray:
        if (pixels := decoded.get(index)) is None:
            path = files[pairs.stems[index]]
            pixels = read_image(path, ranges.fused, option="--range-fused").grey()
            if pixels.shape != pairs.size(index):
                (h, w), (k, m) = pixels.shape, pairs.size(index)
                raise SizesDiffer(f"{path}: {h}×{w} pixels, its sources are {k}×{m}")
            decoded.add(index, pixels)
        return pixels

    _check_images(fused, len(pairs), read)
    keep = out if keeps_images(pairs, keep_images) else None

    def luma(index: int, pair: np.ndarray) -> np.ndarray:
        return stretch_levels(read(index)) if protocol.stretch else read(index)

    if (found := saved_result(result, out)) is not None:
        return _again(found, pairs, luma, keep)
    partial_scores = PartialScores.of([result], out)
    kept = partial_scores.rows("pairs", pairs.stems, list[ScoredImage])
    count = jobs or joblib.cpu_count()
    [table] = score_rows([result], pairs, lambda index, pair: [luma(index, pair)], keep, count, kept)
    if out is not None:
        save(result, out, table)
    else:
        result.remember(table=table)
    partial_scores.remove()
    return result


def _check_images(folder: str | Path, count: int, read: Callable[[int], np.ndarray]) -> None:
    """Read every fused image before the first one is scored, so that one line can name all that is wrong."""
    problems: list[DataError] = []
    for index in range(count):
        try:
            read(index)
        except DataError as error:
            problems.append(error)
    refuse_all(problems, f"{folder}: {len(problems)} of {count} images cannot be scored")


def _result(
    pairs: PairSet,
    protocol: PairsProtocol,
    model: ModelIdentity,
    wanted: Range | None = None,
    ranges: Ranges | None = None,
    training: TrainingIdentity | None = None,
    **about: Any,
) -> Result:
    """A result without scores. ``wanted``: the range asked for fused files; ``ranges``: what became of all ranges."""
    metrics = {key: metric.version for key, metric in records().items()}
    rules, asked = protocol.identity(), getattr(pairs.source, "ranges", Ranges())
    rules.params |= (pairs.ranges if ranges is None else ranges).params()
    result = make_result(
        Identity(model=model, dataset=pairs.identity, protocol=rules, metrics=metrics, training=training), **about
    )
    if pairs.missing:
        result.provenance["left_out"] = pairs.missing
    if asked := replace(asked, fused=wanted).texts():
        result.provenance["ranges"] = asked  # as they were given: the protocol has what `auto` found
    if pairs.alignment is not None:
        result.provenance["alignment"] = pairs.alignment.to_json()
    return result


def _again(found: Result, pairs: PairSet, make: Maker, keep: str | Path | None) -> Result:
    """A result that lies there already, with the images that are to lie beside it."""
    if keep is not None:
        save_sources(pairs, keep)
        save_fused(found, pairs, keep, make)
    tell_remarks(found)
    return found


def __getattr__(name: str) -> Any:
    """The name of the first release, until version 0.3."""
    if name != "score_pictures":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fusionbench.core.deprecation import deprecated

    deprecated(f"{__name__}.score_pictures", "score_fused_images", removed_in="0.3")
    return score_fused_images
