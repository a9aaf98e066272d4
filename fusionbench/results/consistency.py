"""Statements of a result that contradict each other: the file was edited by hand, and takes no part.

Identity and per-image table have digests. What else a ``result.json`` says (status, origin, which scores it has) has
none, so it is held against both as far as they tell. Who changes what they do not tell, such as a title, is found by
the digests of a board's index only (:mod:`fusionbench.board.verify`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.results.registered import metric_of, registered_direction, registered_unit, registered_version
from fusionbench.results.schema import Result

_PICTURES = "pictures"  # version of a "model" that is a folder of fused images
_PREDICTIONS = "predictions_sha256"  # parameter of one whose samples were submitted


def check_statements(result: Result) -> None:
    """Refuse a status or an origin that is not the one of what was measured, and a direction or unit of no metric.

    Raises:
        DataError: names the statement, and what it contradicts.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.results.consistency import check_statements
        >>> from fusionbench.results.schema import DatasetIdentity, Identity, ModelIdentity
        >>> from fusionbench.results.schema import ProtocolIdentity, Result
        >>> identity = Identity(
        ...     model=ModelIdentity(name="mine", version="pictures", weights_sha256="0" * 64),
        ...     dataset=DatasetIdentity(name="tno", version="1.0.0", split="test", id="", n=1, ids_sha256=""),
        ...     protocol=ProtocolIdentity(name="pairs", version="1", seed=0),
        ...     metrics={},
        ... )
        >>> try:
        ...     check_statements(Result(id="", status="verified", identity=identity, scores={}))
        ... except FusionbenchError as error:
        ...     print(error)
        its status is verified, but it is of submitted images, not of weights; it was edited by hand: score again
    """
    model, origin = result.identity.model, result.origin
    images = model.version == _PICTURES or _PREDICTIONS in model.params
    again = "it was edited by hand: score again"
    if result.status == "verified" and images:
        raise DataError(f"its status is verified, but it is of submitted images, not of weights; {again}")
    if (result.status == "published") != (origin.kind == "paper"):
        raise DataError(f"its status is {result.status}, but its origin is a {origin.kind}; {again}")
    if result.status == "published" and result.per_image is not None:
        raise DataError(
            f"its status is published, but it has values image by image, which papers do not print; {again}"
        )
    if origin.kind == "run":
        added = {"submission": origin.submission, "declared": result.declared}
        stated = [name for name, value in added.items() if value is not msgspec.UNSET]
        if origin.submitter is not None:
            stated.append("submitter")
        if images and result.status == "scored":
            stated.append("submitted images")
        if stated:
            raise DataError(f"its origin is a run, but it has {stated[0]}, as submissions have; {again}")
    _check_directions(result)


def _check_directions(result: Result) -> None:
    """Hold direction and unit of every score against the metric, where its version here is the one that was measured.

    No digest covers them, and rows that differ in them cannot be compared: one edited file would stop all the others.
    """
    for key, score in result.scores.items():
        try:
            known = registered_version(key)
        except FusionbenchError:  # the metric of a package or file that is broken here: no fault of the result
            continue
        if known is None or result.identity.metrics.get(metric_of(key), known) != known:
            continue
        for name, stated, found in (
            ("direction", score.better, registered_direction(key)),
            ("unit", score.unit, registered_unit(key)),
        ):
            if stated != found:
                raise DataError(
                    f"score {key}: its {name} is stated as {stated!r}, but is {found!r} by the metric; it was edited "
                    "by hand: score again"
                )


def check_scores(result: Result, table: Mapping[str, np.ndarray]) -> None:
    """Refuse a result that hides scores which its per-image table has.

    Args:
        table: per-image columns (n,), as :func:`fusionbench.results.image_tables.read_table` gives them.

    Raises:
        DataError: names the score.

    Example:
        >>> import numpy as np
        >>> from fusionbench import FusionbenchError, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.results.consistency import check_scores
        >>> model = create_model("copy-a", ImageSpec(channels=1, height=256, width=256, views=2))
        >>> result = evaluate_pairs(model, open_pairs("pairs-demo", "all", None, limit=1), out=None, device="cpu")
        >>> del result.scores["sd"]
        >>> try:
        ...     check_scores(result, {"id": np.array(["a"]), "sd": np.array([1.0])})
        ... except FusionbenchError as error:
        ...     print(error)
        score sd: is missing, but is in its per-image table; it was edited by hand: score again
    """
    metrics = result.identity.metrics
    for name in table:
        if name not in metrics and name.partition("@")[0] not in metrics:
            continue  # the id, or what is no score, such as effective sample sizes
        if name not in result.scores:
            raise DataError(
                f"score {name}: is missing, but is in its per-image table; it was edited by hand: score again"
            )
