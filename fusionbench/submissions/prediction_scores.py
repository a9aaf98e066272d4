"""Scores submitted predictions in a child process, under the rules of the data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core.errors import Rejected
from fusionbench.core.io import file_sha256
from fusionbench.results import schema
from fusionbench.results.input_means import averages
from fusionbench.submissions.predictions import (
    IMAGES,
    SAMPLES,
    Predictions,
    open_samples,
    pairs_of,
    read_prediction_record,
    sample_blocks,
)


def score_predictions_once(folder: str, data: str, suite: str, out: str) -> None:
    """In the child: score the unpacked predictions in ``folder`` into ``out``; ``suite`` is "" where none is needed."""
    from fusionbench.submissions.prediction_kinds import PREDICTION_KINDS

    record = read_prediction_record(Path(folder))
    PREDICTION_KINDS[record.kind].score(Path(folder), record, Path(data), suite, Path(out))


def score_samples(folder: Path, record: Predictions, data: Path, suite: str, out: Path) -> None:
    """Score the samples of a masked set as the suite says.

    Raises:
        Rejected: other images, another number of draws, or a suite of another protocol.
    """
    from fusionbench.evaluation.make_result import make_result
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.suites import load_suite
    from fusionbench.metrics.mse_min import METRIC, mse_min

    rules = load_suite(suite)
    options: Any = rules.protocol
    protocol = PROTOCOLS.get(options.name)
    if protocol.name != record.kind:
        raise Rejected(f"predictions for the protocol {record.kind}; the suite {suite} is scored under {protocol.key}")
    images = protocol.open(str(data), options, split=rules.split)
    dataset, count = images.dataset, len(images.ids)
    if (record.split, record.images) != (rules.split, count):
        raise Rejected(f"predictions for {record.images} images of {record.split}; {count} of {rules.split} are scored")
    spec, targets = dataset.spec, dataset.arrays(rules.split).targets
    columns: list[list[np.ndarray]] = [[] for _ in range(spec.views + 1)]
    with open_samples(folder / SAMPLES, count, spec) as samples:
        draws = samples.shape[2]
        if draws not in (1, options.draws):
            raise Rejected(f"{draws} draws; the protocol asks for {options.draws}, or 1 of a deterministic model")
        for begin, values in sample_blocks(samples):
            # without channels or with channels last: as one channel of wide rows every image has the same mean
            image = len(values), 1, spec.height, -1
            target = targets[begin : begin + len(values)].reshape(image) / 255.0
            for inputs, column in enumerate(columns):
                drawn = np.moveaxis(values[:, inputs], 1, 0).reshape(draws, *image)
                column.append(mse_min(drawn / 255.0, target))
    scored = {f"mse_min@{inputs}": np.concatenate(column) for inputs, column in enumerate(columns)}
    scored |= averages(scored, "mse_min", spec.views, options.paper_batch)
    table: dict[str, np.ndarray] = {"id": images.ids, **scored}
    content = {"predictions_sha256": file_sha256(folder / SAMPLES)}
    identity = schema.Identity(
        model=schema.ModelIdentity(name=record.model, version="1", params=content),
        dataset=images.identity,
        protocol=protocol.identity(options, images),
        metrics={METRIC.name: METRIC.version},
    )
    origin = schema.Origin(kind="submission")
    made = make_result(identity, title=record.title, status="scored", origin=origin, with_command=False)
    made.scores = {key: schema.summarise(values, "lower", "1", draws=draws) for key, values in scored.items()}
    schema.save(made, out, table)


def score_pair_images(folder: Path, record: Predictions, data: Path, suite: str, out: Path) -> None:
    """Score one image for every pair in ``data``; no suite is needed.

    Raises:
        DataError: images that lack, differ in size or cannot be read.
    """
    from fusionbench.evaluation.pairs import score_fused_images

    pairs = pairs_of(data, record.split)
    score_fused_images(folder / IMAGES, pairs, name=record.model, title=record.title, out=out)
