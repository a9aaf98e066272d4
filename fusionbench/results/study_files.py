"""The file of a study, ``fusionbench.study/1``: how far metrics agree with people, written, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from fusionbench.core.errors import DataError
from fusionbench.core.formats import read_json, require_format
from fusionbench.core.io import read_bounded, readable_json

FORMAT = "fusionbench.study/1"
MAX_STUDY = 16 << 20
Level = Literal["within_image", "pooled", "within_method", "means"]
LEVELS: tuple[Level, ...] = ("within_image", "pooled", "within_method", "means")


class Correlation(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A correlation and its 95 % interval; None where there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Agreeing(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How far a metric agrees with people on one level: ``groups`` correlations were averaged, of ``cells`` images."""

    srcc: Correlation
    krcc: Correlation
    plcc: Correlation
    groups: int
    cells: int
    reason: str = ""  # why there is no correlation


class StudiedMetric(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A metric in a dialect. ``methods`` has the SRCC over the images of each method.

    ``tied``: not separable from the metric that agrees best within images; None where that was not asked.
    """

    key: str
    better: Literal["higher", "lower"]
    cells: int
    images: int
    within_image: Agreeing
    pooled: Agreeing
    within_method: Agreeing
    means: Agreeing
    methods: dict[str, float | None]
    tied: bool | None = None


class Study(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A study: what was compared, and every metric, the best first.

    ``zscore``: single opinions were z-scores of their subject; ``screened``: subjects whom BT.500's screening left out,
    None without a screening. Both are written where they were asked for.
    """

    schema: Literal["fusionbench.study/1"] = "fusionbench.study/1"
    title: str
    opinions: int
    subjects: int | None
    opinions_sha256: str
    opinions_better: Literal["higher", "lower"]
    images: int
    methods: list[str]
    fit: Literal["none", "logistic"]
    resamples: int
    seed: int
    metrics: list[StudiedMetric]
    warnings: list[str]
    zscore: bool = False
    screened: list[str] | None = None


def study_bytes(study: Study) -> bytes:
    """The file of a study, JSON."""
    found = msgspec.to_builtins(study)
    for key, usual in (("zscore", False), ("screened", None)):
        if found[key] == usual:
            del found[key]  # what other releases read
    return readable_json(found)


def read_study(path: Path) -> Study:
    """Read and check a study.

    Raises:
        DataError: no such file, no study, or numbers that no study has.
    """
    content = read_bounded(path, MAX_STUDY, "study")
    try:
        study = read_json(content, Study, path, (Study, StudiedMetric, Agreeing, Correlation))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        try:
            raw = msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raw = None
        require_format(raw.get("schema") if isinstance(raw, dict) else None, FORMAT, path)
        raise DataError(f"{path}: is not what `study -o` writes: {' '.join(str(error).split())}") from error
    for row in study.metrics:
        for level in LEVELS:
            agreeing: Agreeing = getattr(row, level)
            for found in (agreeing.srcc, agreeing.krcc, agreeing.plcc):
                ends = [end for end in (found.low, found.value, found.high) if end is not None]
                if any(not -1 <= end <= 1 for end in ends) or ends != sorted(ends):
                    raise DataError(f"{path}: {row.key}: a correlation is not on -1..1, or outside its own interval")
    if len({row.key for row in study.metrics}) < len(study.metrics):
        raise DataError(f"{path}: has a metric twice")
    return study
