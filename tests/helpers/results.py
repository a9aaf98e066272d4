"""Results made up for tests: every field is filled as a real evaluation fills it, the numbers are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fusionbench.results import schema
from fusionbench.results.registered import registered_direction, registered_unit

METRICS = {"nll_bpd": "bits/dim", "mse_min": "1"}


def made_up(
    root: Path,
    name: str = "cvae",
    *,
    shift: float = 0.0,
    ids: Sequence[int] = range(40),
    seed: int = 0,
    metrics: Mapping[str, str] = METRICS,
    family: str = "model",
    title: str | None = None,
    cut: bool = False,
    dataset: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    version: str = "1",
    views: int = 3,
) -> Path:
    """Save a result whose per-image scores are common noise + ``shift`` + a little of its own; returns its folder."""
    drawn = 100_000 if views == 3 else max(ids) + 1
    common = np.random.default_rng(99).gamma(4.0, 0.1, size=(len(METRICS), views + 1, drawn))
    own = np.random.default_rng([seed, *name.encode()]).normal(0, 0.01, size=(*common.shape[:2], len(ids)))
    table: dict[str, Any] = {"id": list(ids)}
    scores: dict[str, schema.Score] = {}
    for m, metric in enumerate(METRICS):
        if metric not in metrics:
            continue
        columns = {f"{metric}@{n}": common[m, n][list(ids)] + own[m, n] + shift - 0.02 * n for n in range(views + 1)}
        columns[f"{metric}@mean"] = np.mean(list(columns.values()), axis=0)
        table |= columns
        scores |= {key: schema.summarise(values, "lower", metrics[metric]) for key, values in columns.items()}
    identity = schema.Identity(
        model=schema.ModelIdentity(name=name, version="1", weights_sha256=f"{seed:064x}", source="fusionbench 0.1.0"),
        dataset=schema.DatasetIdentity(
            **{"name": "fusiondigits", "version": "1.0.0", "split": "test", "id": "d" * 64, "n": len(ids)}
            | {"ids_sha256": "e" * 64}
            | dict(dataset or {})
        ),
        protocol=schema.ProtocolIdentity(**{"name": "masked", "version": "1", "seed": 0} | dict(protocol or {})),
        metrics=dict.fromkeys(metrics, version),
        training=None
        if family == "trivial"
        else schema.TrainingIdentity(preset="tiny", seed=seed, steps=100 if cut else 400, planned_steps=400, cut=cut),
    )
    made = schema.Result(
        id=schema.identity_id(identity),
        status="verified",
        family=family,  # type: ignore[arg-type]
        title=name.upper() if title is None else title,
        identity=identity,
        scores=scores,
        cost={"parameters": 0 if family == "trivial" else 12345, "train_seconds": 61.5},
        provenance={"fusionbench": "0.1.0"},
    )
    return schema.save(made, root, table)


def saved(
    root: Path,
    name: str,
    values: Mapping[str, Sequence[float]],
    *,
    ids: Sequence[int | str] | None = None,
    better: Literal["higher", "lower"] = "higher",
    seed: int = 0,
    family: Literal["trivial", "classical", "model"] = "model",
    cut: bool = False,
    dataset: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
) -> Path:
    """Save a result with exactly these per-image values by score key, the rows in the order of ``ids``.

    Units are those of the metrics. With another direction than that of its metric a score is of a version 0 of it.
    """
    n = len(next(iter(values.values())))
    ids = list(range(n)) if ids is None else list(ids)
    table = {"id": ids, **{key: np.asarray(column, float) for key, column in values.items()}}
    training = schema.TrainingIdentity(preset="tiny", seed=seed, steps=5, planned_steps=50 if cut else 5, cut=cut)
    identity = schema.Identity(
        model=schema.ModelIdentity(name=name, version="1", weights_sha256=f"{seed:064x}", source="fusionbench 0.1.0"),
        dataset=schema.DatasetIdentity(
            **{"name": "pairs-demo", "version": "1.0.0", "split": "test", "id": "d" * 64, "n": n}
            | {"ids_sha256": "e" * 64}
            | dict(dataset or {})
        ),
        protocol=schema.ProtocolIdentity(**{"name": "pairs", "version": "1", "seed": 0} | dict(protocol or {})),
        metrics={key.partition("@")[0]: "1" if registered_direction(key) in (None, better) else "0" for key in values},
        training=None if family == "trivial" else training,
    )
    made = schema.Result(
        id=schema.identity_id(identity),
        status="verified",
        family=family,
        title=name,
        identity=identity,
        scores={
            key: schema.summarise(np.asarray(column, float), better, registered_unit(key) or "1")
            for key, column in values.items()
        },
    )
    return schema.save(made, root, table)


def without_means(folder: Path, *keys: str) -> schema.Result:
    """Take the first image's value out of columns of a saved result, whose scores then have no mean."""
    made, table = schema.load(folder), schema.load_per_image(folder)
    for key in keys:
        table[key][0] = np.nan
        made.scores[key] = schema.summarise(table[key], made.scores[key].better, made.scores[key].unit)
    schema.save(made, folder.parents[2], table)
    return made
