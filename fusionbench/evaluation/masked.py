"""Data -> model -> one score per image -> result, under the protocol ``masked/1``.

Every image of a split is scored at every number of inputs N = 0..V (the first N views are given):

* ``nll`` (nats and bits per dimension) and the plain negative ELBO ``elbo``, from K importance weights, where the model
  has a likelihood;
* ``mse_min`` over K draws from the prior path, or of the one image of a deterministic model (then K = 1).

``mean`` is the plain mean over N and the key for ranks. ``avg_paper`` weights the columns as the FusionVAE paper's
loader does (its tables' ``avg``; there each column covers a disjoint share of the images, here all of them). Both are
defined in :mod:`fusionbench.results.input_means` and stored image by image.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import CannotMeasure, UsageError
from fusionbench.core.interfaces import DatasetLike, Model, can_fuse, can_sample, has_likelihood
from fusionbench.core.io import digest
from fusionbench.core.progress import progress
from fusionbench.core.time_limit import UnfinishedError, note_progress, time_is_up
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.evaluation.curves import steps_to
from fusionbench.evaluation.latent_usage import latent_usage
from fusionbench.evaluation.make_result import make_result, saved_result
from fusionbench.evaluation.partial_scores import PartialScores
from fusionbench.evaluation.subject import EvaluatedModel, Scorable, loaded
from fusionbench.metrics.mse_min import METRIC as MSE_MIN
from fusionbench.metrics.mse_min import squared_errors
from fusionbench.metrics.nll import METRIC as NLL
from fusionbench.metrics.nll import bits_per_dimension, effective_samples, entropy_floor, negative_elbo, nll
from fusionbench.results.input_means import AVERAGES, averages, paper_weights
from fusionbench.results.schema import (
    DatasetIdentity,
    Identity,
    ProtocolIdentity,
    Result,
    Score,
    save,
    summarise,
)
from fusionbench.training.runtime import Runtime, compile_blocks, describe_host, launch

if TYPE_CHECKING:
    import torch

_SAMPLE_BYTES = {"cpu": 128 << 20, "cuda": 4 << 30}  # memory for the drawn images of one batch
_MAX_BATCH = 512
_CURVE = "#nll of "  # columns that are not per-image scores: the NLL of the first so many draws
_USAGE_IMAGES = 1000


@dataclass(frozen=True)
class Protocol:
    """``masked/1``. ``draws`` is K; ``paper_batch`` the batch size of the paper's loader, for ``avg_paper``."""

    draws: int = 100
    seed: int = 0
    paper_batch: int = 32
    name: str = "masked"
    version: str = "1"

    def identity(self, spec: ImageSpec) -> ProtocolIdentity:
        """The part of a result's identity that says how it was measured."""
        params = {
            "draws": self.draws,
            "paper_batch": self.paper_batch,
            "inputs": list(range(spec.views + 1)),
            "likelihood_crop": list(spec.crop or (spec.height, spec.width)),
            "likelihood_dims": spec.likelihood_dims,
            "temperature": 1.0,
        }
        return ProtocolIdentity(name=self.name, version=self.version, seed=self.seed, params=params)

    def paper_weights(self, images: int, views: int) -> np.ndarray:
        """Share of the images that the paper's loader gave 0..V inputs: (V+1,)."""
        return paper_weights(images, views, self.paper_batch)


@dataclass(frozen=True)
class MaskedImages:
    """The first ``limit`` images of a split of a data set of masked views (all for None)."""

    dataset: DatasetLike
    split: str = "test"
    limit: int | None = None

    @property
    def ids(self) -> np.ndarray:
        """Indices of the images: (n,)."""
        size = self.dataset.size(self.split)
        return np.arange(size if self.limit is None else min(self.limit, size))

    @property
    def identity(self) -> DatasetIdentity:
        """What a result says about its data."""
        return DatasetIdentity(
            name=self.dataset.name,
            version=self.dataset.version,
            split=self.split,
            id=self.dataset.id,
            n=len(self.ids),
            ids_sha256=digest(self.ids.tolist()),
        )


def evaluate_masked(
    model: Scorable,
    dataset: DatasetLike,
    *,
    split: str = "test",
    protocol: Protocol | None = None,
    out: str | Path | None = "results",
    device: str = "auto",
    precision: str = "fp32",
    limit: int | None = None,
    batch: int | None = None,
    title: str | None = None,
    force: bool = False,
    compile: bool = False,
    params: dict[str, Any] | None = None,
) -> Result:
    """Score a run (its folder, or a :class:`Run`) or a model object on a split, and save the result below ``out``.

    A result with the same identity that lies there already is returned as it is, unless ``force``.

    Args:
        limit: only the first ``limit`` images; part of the identity.
        batch: images at a time; chosen by memory when None. It changes no draw.
        title: what tables call the row; the model's title when None.
        params: parameters that a model object was built with; part of the identity (a run knows its own).
        compile: compile the model's blocks; as ``precision``, in the provenance and not in the identity.

    Raises:
        UsageError: a model without any ability to score, or a data set without targets.
        CannotMeasure: scores that are not finite.

    Example:
        >>> import tempfile
        >>> from fusionbench import build_dataset, create_model, evaluate, open_dataset
        >>> from fusionbench.data.recipes import load_recipe
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dataset = open_dataset(build_dataset(load_recipe("fusiondigits"), out=folder))
        ...     model = create_model("max-view", dataset.spec)  # not fitted: grey where there is no view
        ...     scores = evaluate(model, dataset, out=f"{folder}/results", limit=50, device="cpu").scores
        >>> [round(scores[f"mse_min@{inputs}"].mean, 4) for inputs in range(4)]  # of 0, 1, 2 and 3 views
        [0.1711, 0.1114, 0.0926, 0.0851]
    """
    protocol = protocol or Protocol()
    if protocol.draws < 1:
        raise UsageError(f"{protocol.draws} draws: at least one is needed")
    clock = time.monotonic()
    runtime = launch(device, precision)
    subject = EvaluatedModel.of(model, dataset.spec, runtime.device, params)
    images = MaskedImages(dataset, split, limit)
    identity = Identity(
        model=subject.identity,
        dataset=images.identity,
        protocol=protocol.identity(dataset.spec),
        metrics={m.name: m.version for m in (NLL, MSE_MIN) if m.name in subject.metrics},
        training=subject.training,
    )
    result = make_result(identity, title=title or subject.title, family=subject.family, model_code=subject.code)
    if (found := saved_result(result, out, force or subject.unknown)) is not None:
        return found
    compiled = compile and compile_blocks(subject.model, runtime.device)
    how: dict[str, Any] = {"precision": runtime.precision, "processes": runtime.world_size, "compiled": compiled}
    partial = PartialScores.of([result], out, subject, host=describe_host(runtime.device), **how)
    table, seconds = _measure(subject, dataset, split, images.ids, protocol, runtime, batch, partial)
    views = dataset.spec.views
    curves = {count: _pop_curve(table, str(count), protocol.draws) for count in range(views + 1)}
    result.scores = _summarise(table, protocol, dataset.spec, subject)
    stream = dataset.stream(split, device=runtime.device, live=False)
    for count, curve in curves.items():
        if curve:
            usage = latent_usage(subject.model, stream, images.ids[:_USAGE_IMAGES], count)
            result.scores[f"nll@{count}"].extra |= {"k_curve": curve, **usage}
    result.cost = subject.cost() | {
        "seconds": round(time.monotonic() - clock, 3),
        "ms_per_image": 1000 * seconds / (len(images.ids) * (views + 1)),
    }
    result.provenance |= {
        "host": describe_host(runtime.device),
        "precision": runtime.precision,
        "world_size": runtime.world_size,
        **subject.provenance,
        **({"compiled": True} if compiled else {}),
    }
    bad = [key for key, score in result.scores.items() if score.mean is None]
    if bad:
        raise CannotMeasure(f"{subject.title} on {dataset.name}: {bad[0]}: {result.scores[bad[0]].reason}")
    if out is not None and runtime.rank == 0:
        save(result, out, table)
        partial.remove()
    else:
        result.remember(table=table)
    runtime.fabric.barrier()
    return result


evaluate = evaluate_masked  # what it was called when there was no other protocol


def _measure(
    subject: EvaluatedModel,
    dataset: DatasetLike,
    split: str,
    ids: np.ndarray,
    protocol: Protocol,
    runtime: Runtime,
    batch: int | None,
    partial: PartialScores,
) -> tuple[dict[str, np.ndarray], float]:
    """Per-image columns (``id``, ``floor``, ``nll@0``, …) in the order of ``ids``; the seconds that the model took."""
    from fusionbench.models.vae.outputs import centre_crop

    spec, device = dataset.spec, runtime.device
    stream = dataset.stream(split, device=device, live=False)
    pixels = spec.channels * spec.height * spec.width
    fitting = _SAMPLE_BYTES[device.type] // (4 * pixels * protocol.draws)
    size = batch or max(1, min(_MAX_BATCH, fitting))
    # processes share whole batches, so that each is computed as by one process, to the bit
    chunks = [ids[begin : begin + size] for begin in range(0, len(ids), size)]
    units = [(place, count) for place in range(len(chunks)) for count in range(spec.views + 1)]
    mine = units[runtime.rank :: runtime.world_size]
    rows: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    seconds, here, begun_here = 0.0, -1, False  # every process scores a chunk, however little time it has
    scored, late = 0, False
    with progress(f"score {subject.title}", sum(len(chunks[place]) for place, _ in mine), "images") as bar:
        for place, count in mine:
            chunk = chunks[place]
            if place != here:
                full, here = stream.batch(chunk, epoch=0), place
            if full.target is None:
                raise UsageError(f"{dataset.name} has no targets; the protocol masked/1 needs them")
            part = f"{count}-{chunk[0]}-{len(chunk)}"
            begun, found = time.monotonic(), partial.find(part, chunk)
            if found is None:
                if begun_here and time_is_up():
                    late = True
                    break
                begun_here = True
                columns = _scores(subject.model, full.with_inputs(count), protocol)
                found = columns, time.monotonic() - begun
                partial.add(part, chunk, *found)
                note_progress()
            seconds += found[1]
            rows[place, count] = {}
            if count == 0:
                rows[place, count]["floor"] = entropy_floor(centre_crop(full.target, spec.crop).cpu().numpy())
            rows[place, count] |= {f"{name}@{count}": values for name, values in found[0].items()}
            scored += len(chunk)
            bar.advance(len(chunk), f"N = {count}")
    parts = runtime.gather((rows, scored, late))
    if any(late for _, _, late in parts):  # known to all of several processes, of which none may wait for another
        so_far = f"scored {sum(scored for _, scored, _ in parts)} of {len(ids) * (spec.views + 1)} images"
        raise UnfinishedError(f"{subject.title} on {dataset.name}: {so_far}; the same command goes on")
    done = {unit: columns for part, _, _ in parts for unit, columns in part.items()}
    if done.keys() != set(units):
        raise CannotMeasure(f"{subject.title} on {dataset.name}: the processes did not score every image exactly once")
    table = {"id": ids}
    for count in range(spec.views + 1):
        for name in done[0, count]:
            table[name] = np.concatenate([done[place, count][name] for place in range(len(chunks))])
    return table, sum(runtime.gather(seconds))


def _scores(model: Model, batch: Batch, protocol: Protocol) -> dict[str, np.ndarray]:
    """Per-image scores of one batch with a fixed number of inputs."""
    import torch

    found: dict[str, np.ndarray] = {}
    with torch.no_grad():
        if has_likelihood(model):
            weights = model.log_weights(batch, protocol.draws, protocol.seed).cpu().numpy()
            found["nll"], found["elbo"] = nll(weights), negative_elbo(weights)
            found["ess"] = effective_samples(weights)
            if can_sample(model):
                found |= {f"{_CURVE}{k}": nll(weights[:k]) for k in steps_to(protocol.draws)[:-1]}
        samples = _images(model, batch, protocol.draws, protocol.seed)
    found["mse_min"] = squared_errors(samples, batch.target).min(axis=0)
    return found


def _pop_curve(table: dict[str, np.ndarray], column: str, draws: int) -> list[list[float]]:
    """Take the NLL of the first 1, 2, 4, … draws out of ``table``: (k, mean nats), the last one of all draws."""
    names = {k: f"{_CURVE}{k}@{column}" for k in steps_to(draws)[:-1]}
    curve: list[list[float]] = [[k, float(table.pop(name).mean())] for k, name in names.items() if name in table]
    return [*curve, [draws, float(table[f"nll@{column}"].mean())]] if curve else []


def _images(model: Model, batch: Batch, draws: int, seed: int) -> torch.Tensor:
    """Draws (n,N,C,H,W) of a model that samples, else the one image that it makes: n = 1."""
    if can_sample(model):
        return model.sample(batch, draws, seed)
    if can_fuse(model):
        return model.fuse(batch)[None]
    raise UsageError(f"{model.title} has neither sample nor fuse: it makes no images")


def _summarise(
    table: dict[str, np.ndarray], protocol: Protocol, spec: ImageSpec, subject: EvaluatedModel
) -> dict[str, Score]:
    """Columns N = 0..V, ``mean`` and ``avg_paper`` of every score; the averages join ``table`` per image."""
    counts = [str(count) for count in range(spec.views + 1)]
    draws = protocol.draws if can_sample(subject.model) else 1
    scores: dict[str, Score] = {}
    for name in ("nll", "elbo", "mse_min"):
        if f"{name}@0" not in table:
            continue
        table |= averages(table, name, spec.views, protocol.paper_batch)
        for column in (*counts, *AVERAGES):
            values = table[f"{name}@{column}"]
            if name == "mse_min":
                scores[f"mse_min@{column}"] = summarise(values, "lower", "1", draws=draws)
                continue
            extra: dict[str, Any] = {"draws": protocol.draws}
            if name == "nll" and column in counts:
                extra["ess_median"] = float(np.median(table[f"ess@{column}"]))
                extra["bernoulli_floor"] = float(table["floor"].mean())  # no Bernoulli output can come below
            scores[f"{name}@{column}"] = summarise(values, "lower", "nats", **extra)
            bits = bits_per_dimension(values, spec.likelihood_dims)
            scores[f"{name}_bpd@{column}"] = summarise(bits, "lower", "bits/dim", dims=spec.likelihood_dims, **extra)
    return scores


def target_entropy(dataset: DatasetLike, split: str = "test") -> float:
    """The NLL's floor: mean entropy of the targets read as Bernoulli pixels, nats per image over the crop.

    Raises:
        UsageError: a data set without targets.
    """
    from fusionbench.models.vae.outputs import centre_crop

    stream = dataset.stream(split, device="cpu", live=False)
    floors = []
    for chunk in np.array_split(np.arange(dataset.size(split)), max(1, dataset.size(split) // 1000)):
        target = stream.batch(chunk, epoch=0).target
        if target is None:
            raise UsageError(f"{dataset.name} has no targets")
        floors.append(entropy_floor(centre_crop(target, dataset.spec.crop).numpy()))
    return float(np.concatenate(floors).mean())


def sample_grid(
    model: Scorable, dataset: DatasetLike, ids: Sequence[int], *, split: str = "test", draws: int = 3, seed: int = 0
) -> dict[str, np.ndarray]:
    """Images of what a model makes of 0..V inputs: uint8 arrays for a sample sheet.

    Returns ``views`` (n,V,H,W[,C]), ``targets`` (n,H,W[,C]) and ``draws`` (n,V+1,D,H,W[,C]); a model that gives one
    image has D = 1. ``model`` is a model object, a run or its folder.
    """
    import torch

    model, _ = loaded(model, dataset.spec)
    device = next((value.device for value in model.state_dict().values()), torch.device("cpu"))
    batch = dataset.stream(split, device=device, live=False).batch(np.asarray(ids), epoch=0)
    made = []
    with torch.no_grad():
        for count in range(dataset.spec.views + 1):
            given = batch.with_inputs(count)
            made.append(_images(model, given, draws, seed).transpose(0, 1))
    return {
        "views": _to_uint8(batch.views),
        "targets": _to_uint8(batch.target),
        "draws": _to_uint8(torch.stack(made, dim=1)),
    }


def _to_uint8(images: Any) -> np.ndarray:
    """(…,C,H,W) in [0,1] -> uint8 (…,H,W) for grey, (…,H,W,C) for colour."""
    import torch

    values = (images.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return values[..., 0, :, :] if values.shape[-3] == 1 else np.moveaxis(values, -3, -1)
