"""Results that were really measured: rows of pairs that need no files, and a short training on drawn digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.types import ImageSpec
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import evaluate_pairs
from fusionbench.models import create_model
from fusionbench.results.schema import Origin, Result, identity_id, load, load_per_image, save, summarise
from fusionbench.training.loop import train


def pair_result(out: Path, name: str = "average", limit: int | None = None, **params: Any) -> Path:
    """The folder of a result of pairs-demo that was measured just now."""
    model = create_model(name, ImageSpec(channels=1, height=256, width=256, views=2), **params)
    pairs = open_pairs("pairs-demo", "all", None, limit=limit)
    return evaluate_pairs(model, pairs, out=out, device="cpu", params=params).folder(out)


@dataclass(frozen=True)
class Trained:
    """A data set ``data/fusiondigits``, a run of two steps on it, and the folder of its result on 6 images."""

    data: Path
    run: Path
    result: Path


def trained_result(root: Path, name: str = "fcn", limit: int = 6) -> Trained:
    """Build, train (cut after two steps) and score."""
    data = root / "data"
    dataset = open_dataset(build_dataset(load_recipe("fusiondigits"), out=data))
    run = train(name, dataset, out=root / "runs" / name, budget="2 steps", device="cpu").folder
    out = root / "results"
    made = evaluate(run, dataset, protocol=Protocol(draws=2), out=out, device="cpu", limit=limit)
    return Trained(data, run, made.folder(out))


def changed(folder: Path, change: Callable[[Result, dict[str, np.ndarray]], None]) -> Path:
    """Save a result again with a change, its id and table as they belong to it; the new folder of the result."""
    result, table = load(folder), load_per_image(folder)
    change(result, table)
    result.id = identity_id(result.identity)
    return save(result, folder.parents[2] / "changed", table)


def printed(folder: Path) -> Path:
    """A result as numbers of a paper: without values for each image."""
    result = load(folder)
    result.status, result.origin, result.per_image = "published", Origin(kind="paper"), None
    return save(result, folder.parents[2] / "printed")


def shifted(folder: Path, key: str, by: float, image: int = 0) -> Path:
    """The same result with other values for one image, in ``key`` or all ``key@…``, and the means that follow."""

    def change(result: Result, table: dict[str, np.ndarray]) -> None:
        for name in [name for name in table if name == key or name.startswith(f"{key}@")]:
            table[name] = table[name].copy()
            table[name][image] += by
            score = result.scores[name]
            result.scores[name] = summarise(table[name], score.better, score.unit, **score.extra)

    return changed(folder, change)


def edited_json(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same files with a change in ``result.json`` that nobody made consistent."""
    path = folder / "result.json"
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))
    return folder
