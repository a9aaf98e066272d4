"""The result of one evaluation: schema ``fusionbench.result/1``.

Identity (what was measured) and provenance (where and when) are apart; the result's
``id`` and its folder are the hash of identity alone, so running the same thing again
finds the same place. Results are read strictly: unknown keys, NaN and wrong types are
refused.

Example:
    >>> import tempfile
    >>> from fusionbench import create_model
    >>> from fusionbench.core.types import ImageSpec
    >>> from fusionbench.evaluation.pairs import evaluate_pairs
    >>> from fusionbench.evaluation.pair_sets import open_pairs
    >>> from fusionbench.results.schema import load, load_folder, load_per_image, save
    >>> model = create_model("copy-a", ImageSpec(channels=1, height=256, width=256, views=2))
    >>> result = evaluate_pairs(model, open_pairs("pairs-demo", "all", None), out=None, device="cpu")
    >>> with tempfile.TemporaryDirectory() as root:
    ...     folder = save(result, root, {"id": ["a", "b"], "sd": [40.5, 60.25]})
    ...     print(load(folder) == result, len(load_folder(root)), load_per_image(folder)["sd"].tolist())
    True 1 [40.5, 60.25]
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from fusionbench.core.errors import DataError, some
from fusionbench.core.formats import read_json
from fusionbench.core.io import digest, read_bounded, write_bytes
from fusionbench.core.text import ResultName
from fusionbench.metrics.undefined import NotAvailable
from fusionbench.results.full_range import FullRange as FullRange
from fusionbench.results.image_tables import read_table, table_bytes
from fusionbench.results.input_means import current_keys
from fusionbench.results.origins import Origin as Origin  # they are parts of the schema, read from here
from fusionbench.results.origins import SubmittedRow as SubmittedRow
from fusionbench.results.shown import ShownResult

SCHEMA = "fusionbench.result/1"
MAX_BYTES = 4 << 20
_NAMED = 8  # images named beside the reason why they have no value
Status = Literal["verified", "scored", "published"]


class ModelIdentity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: ResultName
    version: str
    params: dict[str, Any] = {}
    weights_sha256: str | None = None
    source: str = ""  # distribution that offers the model


class DatasetIdentity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: ResultName
    version: str
    split: str
    id: str  # the data set's citable identity, from its manifest
    n: int
    ids_sha256: str


class ProtocolIdentity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: ResultName
    version: str
    seed: int
    params: dict[str, Any] = {}  # everything that changes a score: draws, crop, temperature, …


class TrainingIdentity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How the weights came to be. ``cut``: stopped before its planned end, so never ranked beside full runs.

    Of imported weights nothing is recorded.
    """

    preset: str | None = None
    seed: int | None = None
    steps: int | None = None
    planned_steps: int | None = None
    cut: bool = False
    dataset_id: str | None = None
    params: dict[str, Any] = {}

    @property
    def unknown(self) -> bool:
        """Whether nothing is recorded: the weights were imported, and are fixed."""
        return self == TrainingIdentity()


class Identity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    model: ModelIdentity
    dataset: DatasetIdentity
    protocol: ProtocolIdentity
    metrics: dict[str, str]  # name -> version
    training: TrainingIdentity | None = None


IDENTITIES = (Identity, ModelIdentity, DatasetIdentity, ProtocolIdentity, TrainingIdentity)


class Score(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Mean over images. ``mean`` is None when it could not be measured; ``reason`` then says why.

    ``ci95`` is mean ± 1.96 sd / √n, which is too short for few images. It is written for readers of earlier releases
    and deprecated: what is shown is :func:`fusionbench.results.bootstrap.mean_interval` of the per-image values.
    """

    mean: float | None
    sd: float | None = None
    n: Annotated[int, msgspec.Meta(ge=0)]
    ci95: tuple[float, float] | None = None
    better: Literal["higher", "lower"]
    unit: str
    extra: dict[str, Any] = {}
    reason: str = ""


class PerImage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    file: str
    sha256: str
    columns: list[str]


class Result(ShownResult, msgspec.Struct, forbid_unknown_fields=True, kw_only=True, dict=True):
    """One row of a board. Score keys are ``metric`` or ``metric@column`` (``nll_bpd@3``, ``mse_min@mean``).

    There are two kinds of provenance. ``provenance`` and ``cost`` were measured by the process that made the scores.
    ``declared`` has what the author of a submission says and nobody measured: how the weights were trained, for how
    long, what the predictions are from. Where it has ``training``, ``identity.training`` is the author's statement too.

    Example:
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> model = create_model("copy-a", ImageSpec(channels=1, height=256, width=256, views=2))
        >>> pairs = open_pairs("pairs-demo", "all", None, limit=1)
        >>> result = evaluate_pairs(model, pairs, out=None, device="cpu")
        >>> result.identity.model.name, result.family, result.cut
        ('copy-a', 'trivial', False)
        >>> round(result.scores["sd"].mean, 2), result.scores["sd"].unit
        (58.15, 'grey levels')
    """

    schema: Literal["fusionbench.result/1", "fusionbench.result/1.1", "fusionbench.result/1.2"] = "fusionbench.result/1"
    id: str
    status: Status
    family: Literal["trivial", "classical", "model"] = "model"
    title: str = ""  # shown on tables, e.g. "FusionVAE"
    identity: Identity
    scores: dict[str, Score]
    per_image: PerImage | None = None
    cost: dict[str, float | int | None] = {}
    provenance: dict[str, Any] = {}
    origin: Origin = msgspec.field(default_factory=Origin)
    pictures: dict[str, str] = {}  # caption -> file beside the result
    declared: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET  # since fusionbench.result/1.1
    full_range: FullRange | msgspec.UnsetType = msgspec.UNSET  # of fused images of pairs, since fusionbench.result/1.2

    @property
    def cut(self) -> bool:
        """Whether training was cut short; as the author declares it where ``declared`` has ``training``."""
        return self.identity.training is not None and self.identity.training.cut

    @property
    def submission(self) -> SubmittedRow | None:
        """Which submission it is of; None for own runs, papers, and what was accepted before ids were assigned."""
        return self.origin.submission if isinstance(self.origin.submission, SubmittedRow) else None

    @property
    def statements(self) -> dict[str, Any]:
        """What the author declares; empty where everything was measured."""
        return self.declared if isinstance(self.declared, dict) else {}

    @property
    def stretched(self) -> bool:
        """Whether fused images were stretched image by image: by the protocol, or as their ranges show."""
        from fusionbench.results.tracks import ranking_parameter

        protocol = self.identity.protocol
        if protocol.params.get(ranking_parameter(protocol.name) or "") is True:
            return True
        return isinstance(self.full_range, FullRange) and self.full_range.stretched

    def folder(self, root: str | Path) -> Path:
        """``<root>/<dataset>/<model>/<id12>``: where the result belongs."""
        return Path(root) / self.identity.dataset.name / self.identity.model.name / self.id[:12]


def identity_id(identity: Identity) -> str:
    """Hex sha256 over the canonical JSON of identity: the cache key and the result's ``id``.

    Example:
        >>> from fusionbench.results.schema import DatasetIdentity, Identity, ModelIdentity
        >>> from fusionbench.results.schema import ProtocolIdentity, identity_id
        >>> identity = Identity(
        ...     model=ModelIdentity(name="average", version="1"),
        ...     dataset=DatasetIdentity(name="tno", version="1.0.0", split="test", id="", n=25, ids_sha256=""),
        ...     protocol=ProtocolIdentity(name="pairs", version="1", seed=0),
        ...     metrics={"vif": "1"},
        ... )
        >>> identity_id(identity)[:12]
        '033801db3433'
        >>> identity.metrics["vif"] = "2"
        >>> identity_id(identity)[:12]  # another version of a metric is another result
        '5dd03e7312e8'
    """
    return digest(msgspec.to_builtins(identity))


def summarise(
    values: np.ndarray,
    better: Literal["higher", "lower"],
    unit: str,
    missing: Mapping[NotAvailable, Sequence[str]] | None = None,
    **extra: Any,
) -> Score:
    """Score of per-image values (n,): mean, sample sd, and the normal 95 % interval of the mean.

    A value that is not finite makes the score unmeasured: it says how many there are instead of a mean. Only images
    that lack a value for their size or their sources, and so for every method, are left out of the mean: ``n`` counts
    the others, and ``extra`` has the number of all ``images`` and what is ``not_available``: reason, cause, number and
    first names.

    Args:
        missing: why images have no value -> their names, as :func:`fusionbench.metrics.undefined.grouped` gives it.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.schema import summarise
        >>> score = summarise(np.array([1.0, 2.0, 3.0]), "lower", "nats")
        >>> score.mean, score.sd, [round(end, 3) for end in score.ci95]
        (2.0, 1.0, [0.868, 3.132])
        >>> summarise(np.array([1.0, np.nan]), "lower", "nats").reason
        '1 of 2 images have no finite value'
    """
    values = np.asarray(values, np.float64)
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if missing:
        listed = [
            {"reason": why.reason, "cause": why.cause, "n": len(names), "images": list(names[:_NAMED])}
            for why, names in missing.items()
        ]
        extra |= {"images": len(values), "not_available": listed}
        if len(values) - bad > 0 and bad == sum(len(names) for why, names in missing.items() if why.fair):
            values, bad = values[np.isfinite(values)], 0
    if bad or not len(values):
        reason = f"{bad} of {len(values)} images have no finite value" if len(values) else "no images"
        if missing:
            told = (f"{some(list(names))}: {why.reason}" for why, names in missing.items())
            reason = f"{bad} of {len(values)} images have no value ({'; '.join(told)})"
        n = len(values) - bad if missing else len(values)
        return Score(mean=None, n=n, better=better, unit=unit, extra=extra, reason=reason)
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Score(mean=mean, n=len(values), better=better, unit=unit, extra=extra)
    sd = float(values.std(ddof=1))
    half = 1.959963984540054 * sd / math.sqrt(len(values))
    ci95 = (mean - half, mean + half)
    return Score(mean=mean, sd=sd, n=len(values), ci95=ci95, better=better, unit=unit, extra=extra)


def left_out(score: Score) -> list[NotAvailable]:
    """Why images are left out of a score's mean for every method, as :func:`summarise` noted it.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.undefined import NotAvailable
        >>> from fusionbench.results.schema import left_out, summarise
        >>> missing = {NotAvailable("needs images of at least 41×41", "size"): ["small.png"]}
        >>> score = summarise(np.array([0.5, np.nan, 0.7]), "higher", "1", missing)
        >>> round(score.mean, 3), score.n, [why.cause for why in left_out(score)]
        (0.6, 2, ['size'])
    """
    return [
        NotAvailable(found["reason"], found["cause"]) for found in not_available(score) if found["cause"] != "fused"
    ]


def not_available(score: Score) -> list[dict[str, Any]]:
    """What :func:`summarise` noted about images without a value: dicts of ``reason``, ``cause``, ``n``, ``images``.

    A file says it, so what does not look like that is passed over.

    Example:
        >>> import numpy as np
        >>> from fusionbench.metrics.undefined import NotAvailable
        >>> from fusionbench.results.schema import not_available, summarise
        >>> missing = {NotAvailable("a source is constant", "sources"): ["night.png"]}
        >>> [entry["images"] for entry in not_available(summarise(np.array([1.0, np.nan]), "higher", "1", missing))]
        [['night.png']]
    """
    listed = score.extra.get("not_available")
    shape = {"reason": str, "cause": str, "n": int, "images": list}
    return [
        found
        for found in (listed if isinstance(listed, list) else [])
        if isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in shape.items())
    ]


def save(result: Result, root: str | Path, per_image: Mapping[str, Any] | None = None) -> Path:
    """Write ``result.json`` (last) and ``images.csv`` into the result's folder and return the folder.

    ``per_image`` maps columns, the first of which is ``id``, to equally long sequences.
    """
    folder = result.folder(root)
    if per_image is not None:
        content = table_bytes(per_image)
        result.per_image = PerImage(
            file="images.csv", sha256=hashlib.sha256(content).hexdigest(), columns=list(per_image)
        )
        write_bytes(folder / "images.csv", content)
    write_bytes(folder / "result.json", result_bytes(result))
    result.remember(folder)
    return folder


def result_bytes(result: Result) -> bytes:
    """The content of ``result.json``, which declares the lowest revision that has all of its fields.

    Example:
        >>> from fusionbench.results.schema import DatasetIdentity, Identity, ModelIdentity
        >>> from fusionbench.results.schema import ProtocolIdentity, Result, identity_id, result_bytes
        >>> identity = Identity(
        ...     model=ModelIdentity(name="average", version="1"),
        ...     dataset=DatasetIdentity(name="tno", version="1.0.0", split="test", id="", n=25, ids_sha256=""),
        ...     protocol=ProtocolIdentity(name="pairs", version="1", seed=0),
        ...     metrics={"vif": "1"},
        ... )
        >>> result = Result(id=identity_id(identity), status="verified", identity=identity, scores={})
        >>> result_bytes(result).decode().splitlines()[:3]
        ['{', ' "cost": {},', ' "family": "model",']
    """
    added = result.origin.submission is not msgspec.UNSET or result.declared is not msgspec.UNSET
    result.schema = "fusionbench.result/1.1" if added else "fusionbench.result/1"
    if result.full_range is not msgspec.UNSET:
        result.schema = "fusionbench.result/1.2"
    return msgspec.json.format(msgspec.json.encode(result, order="sorted"), indent=1) + b"\n"


def load(path: str | Path) -> Result:
    """Read a ``result.json`` (or the folder that holds it) strictly; scores get the names that they have now.

    Raises:
        DataError: missing, too large, not the schema, an ``id`` that its identity does not hash to, or a score under
            two names.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "result.json"
    try:
        result = read_json(read_bounded(path, MAX_BYTES, "result"), Result, path, IDENTITIES)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a {SCHEMA} result: {error}") from error
    if result.id != identity_id(result.identity):
        raise DataError(f"{path}: its id does not match its identity; it was edited by hand or damaged")
    try:
        result.scores = current_keys(result.scores)
    except ValueError as error:
        raise DataError(f"{path}: {error}; remove one of them or score again") from error
    result.remember(path.parent)
    return result


def load_per_image(result_path: str | Path) -> dict[str, np.ndarray]:
    """The per-image table beside a result, sha256 checked: column -> float64 (n,), and ``id`` as int64 or str.

    The table may have been packed with gzip to save space (``images.csv.gz``); the digest is of what is in it.
    Averages over inputs that are scores and that an older version did not store are added.

    Raises:
        DataError: none there, not the one that the result names, or with averages that are not those of its columns.
    """
    path = Path(result_path)
    return read_table(load(path), path / "result.json" if path.is_dir() else path)


def load_folder(root: str | Path) -> list[Result]:
    """Every ``result.json`` below ``root``, in a stable order.

    Raises:
        DataError: ``root`` is not a folder, or a result in it is damaged.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such results folder")
    return [load(path) for path in sorted(root.glob("**/result.json"))]
