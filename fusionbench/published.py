"""Numbers from papers, to stand beside our own runs: hollow and without a rank.

They are kept as the paper prints them, with the table they stand in, in ``board/data/published.json``.
"""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class PublishedScore:
    """``value``: best of the paper's runs, printed with ``places`` after the point (in our unit).

    ``mean`` and ``sd`` over the runs where they are printed; ``table`` says where.
    """

    value: float
    places: int
    mean: float | None
    sd: float | None
    table: str


@dataclass(frozen=True)
class Paper:
    title: str
    authors: str
    venue: str
    url: str


@dataclass(frozen=True)
class PublishedRow:
    """One row of a paper's table in plain units (bits per dimension, mean squared error of pixels in [0,1])."""

    dataset: str
    title: str
    model: str  # our name of the model
    paper: Paper
    scores: Mapping[str, PublishedScore]  # keys as in results: metric@column
    images: int
    likelihood_dims: int | None  # None where the table has no likelihoods
    caveats: tuple[str, ...]


@lru_cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All rows, in the papers' order."""
    text = importlib.resources.files("fusionbench.board").joinpath("data/published.json").read_text("utf-8")
    data = json.loads(text)
    rows = []
    for table in data["tables"]:
        paper, scale = Paper(**data["papers"][table["paper"]]), table["scale"]
        shift = -round(math.log10(scale))
        for row in table["rows"]:
            scores = {}
            for key, printed in row["scores"].items():
                metric, where = key.partition("@")[0], table["best_in"]
                if "mean" in printed:
                    where += f" (best of runs), {table['mean_in'][metric]} (mean)"
                scores[key] = PublishedScore(
                    value=_scaled(printed["best"], scale),
                    places=table["places"][metric] + shift,
                    mean=_scaled(printed["mean"], scale) if "mean" in printed else None,
                    sd=_scaled(printed["sd"], scale) if "sd" in printed else None,
                    table=where,
                )
            rows.append(
                PublishedRow(
                    dataset=table["dataset"],
                    title=row["title"],
                    model=row["model"],
                    paper=paper,
                    scores=scores,
                    images=table["images"],
                    likelihood_dims=table["likelihood_dims"],
                    caveats=tuple(table["caveats"]),
                )
            )
    return tuple(rows)


def _scaled(printed: float, scale: float) -> float:
    return round(printed * scale, 12)  # 15.93 × 0.01 is 0.1593, not 0.15930000000000002
