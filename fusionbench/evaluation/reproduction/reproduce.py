"""Makes a result again from what it says about itself, and compares every value.

    result.json -> protocol with all recorded parameters -> data by identity -> model by digest -> scores -> differences

Results, tables and data sets that are built on the way lie in a folder that is removed at the end; nothing is written
beside the result. A result comes from anybody: what it names is looked up in registries and by digest, never opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.core import progress
from fusionbench.core.errors import DataError, FusionbenchError, NotComparableError, UsageError
from fusionbench.core.io import read_bounded
from fusionbench.evaluation.protocols import known_protocol
from fusionbench.evaluation.protocols.base import BaseProtocol
from fusionbench.evaluation.reproduction.differences import environment_differences, score_differences
from fusionbench.evaluation.reproduction.find_data import (
    check_protocol,
    first_images,
    open_recorded,
    recorded_options,
    same_record,
)
from fusionbench.evaluation.reproduction.find_model import FoundModel, find_model
from fusionbench.evaluation.reproduction.foreign import Isolation, is_foreign
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError, Outcome, Reproduction
from fusionbench.evaluation.reproduction.places import Finder, Places
from fusionbench.results.consistency import check_statements
from fusionbench.results.image_tables import table_content, table_path
from fusionbench.results.recomputed import recompute
from fusionbench.results.schema import MAX_BYTES, Identity, Result, load, load_per_image

IMAGES = "pictures"  # version of a "model" that is a folder of fused images, see pairs.score_fused_images
OnDone = Callable[[Reproduction], None]


@dataclass(frozen=True)
class HowToReproduce:
    """Options. ``limit``: only the first images. ``device``: ``auto`` is the class of device that is recorded.

    ``training_tolerance``: how far, relatively, a mean may be off where weights were trained again and are others.
    ``isolation``: measures what needs weights or parameters of somebody else; None measures them in this process.
    """

    places: Places = field(default_factory=Places)
    retrain: bool = False
    limit: int | None = None
    device: str = "auto"
    training_tolerance: float = 0.05
    isolation: Isolation | None = None


def result_files(paths: Sequence[str | Path]) -> list[tuple[Path, str]]:
    """Every ``result.json`` that is meant by files and folders, and how it is called: from the named folder's name on.

    Raises:
        DataError: nothing there.
    """
    found: dict[Path, str] = {}
    for path in map(Path, paths):
        if path.is_dir() and not (path / "result.json").is_file():
            below = sorted(path.glob("**/result.json"))
            if not below:
                raise DataError(f"{path}: no result.json in it or below it")
            found |= {one: f"{path.absolute().name}/{one.relative_to(path).as_posix()}" for one in below}
        elif path.is_dir() or path.is_file():
            file = path / "result.json" if path.is_dir() else path
            found.setdefault(file, f"{file.absolute().parent.name}/{file.name}")
        else:
            raise DataError(f"{path}: no such result; name a result.json, or a folder with results")
    return list(found.items())


def reproduce(
    paths: Sequence[str | Path], how: HowToReproduce | None = None, on_done: OnDone | None = None
) -> list[Reproduction]:
    """Make every result at ``paths`` again and compare; one that cannot be does not stop the others.

    Args:
        on_done: called after each.

    Raises:
        DataError: nothing there.
        UsageError: a limit or tolerance that is none.

    Example:
        >>> import tempfile
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.evaluation.reproduction.reproduce import reproduce
        >>> model = create_model("average", ImageSpec(channels=1, height=256, width=256, views=2))
        >>> with tempfile.TemporaryDirectory() as results:
        ...     _ = evaluate_pairs(model, open_pairs("pairs-demo", "all", None), out=results, device="cpu")
        ...     (found,) = reproduce([results])
        >>> found.outcome, found.identical, found.images, len(found.scores)
        ('same', True, 3, 18)
    """
    how = how or HowToReproduce()
    if how.limit is not None and how.limit < 1:
        raise UsageError(f"a limit of {how.limit} images leaves nothing to score")
    if not 0 <= how.training_tolerance < 1:
        raise UsageError(f"a training tolerance of {how.training_tolerance:g} is not a share from 0 to 1")
    files = result_files(paths)
    done: list[Reproduction] = []
    with tempfile.TemporaryDirectory(prefix="fusionbench-reproduce-") as scratch:
        workshop = _Workshop(how, Finder(how.places, Path(scratch)), Path(scratch))
        for path, name in files:
            done.append(workshop.reproduce(path, name))
            if on_done is not None:
                on_done(done[-1])
    return done


@dataclass
class _Record:
    """A result as it was read, and its table."""

    result: Result
    table: dict[str, np.ndarray] | None
    wanted: Identity

    @property
    def images(self) -> int:
        return self.wanted.dataset.n


@dataclass
class _Workshop:
    """One call of :func:`reproduce`; holds the data that were opened last: results of a data set are neighbours."""

    how: HowToReproduce
    finder: Finder
    scratch: Path
    opened: tuple[object, Any] | None = None

    def reproduce(self, path: Path, name: str) -> Reproduction:
        """What became of the result in ``path``."""
        found = Reproduction(file=name, outcome="could not")
        try:
            record = self._read(path, found)
            found.outcome = self._compare(record, found, path)
        except _DamagedError as error:
            found.outcome, found.reason = "damaged", str(error)
        except NotReproducibleError as error:
            found.outcome, found.cause, found.reason = "could not", error.cause, str(error)
        except NotComparableError as error:
            found.outcome, found.reason = "other protocol", str(error)
        except FusionbenchError as error:
            found.outcome, found.cause, found.reason = "could not", "failed", str(error)
        return found

    def _read(self, path: Path, found: Reproduction) -> _Record:
        try:
            found.result_sha256 = hashlib.sha256(read_bounded(path, MAX_BYTES, "result")).hexdigest()
            result = load(path)
            found.id, found.title, found.of = result.id, result.title, result.identity.dataset.n
            check_statements(result)
            if result.status == "published":
                raise NotReproducibleError("published", "numbers that a paper printed: there is nothing to run here")
            table = None
            if result.per_image is not None:
                found.table_sha256 = hashlib.sha256(table_content(table_path(result, path))).hexdigest()
                table = load_per_image(path)
                recompute(result, table)
        except DataError as error:
            raise _DamagedError(str(error)) from error
        return _Record(result, table, result.identity)

    def _compare(self, record: _Record, found: Reproduction, path: Path) -> Outcome:
        wanted = record.wanted
        protocol = known_protocol(f"{wanted.protocol.name}/{wanted.protocol.version}")
        if protocol is None:
            raise NotComparableError(f"the protocol {wanted.protocol.name}/{wanted.protocol.version} is not here")
        if self.how.limit is not None and self.how.limit < record.images and record.table is None:
            raise NotReproducibleError("table", "the result has no values of single images: leave out --limit")
        check_metrics(wanted)
        images_given = wanted.model.version == IMAGES and wanted.training is None
        isolation = self.how.isolation
        if isolation is not None and not images_given and is_foreign(wanted, self.finder):
            return _take(found, isolation.reproduce(path, self.how.places, self.how.limit))
        options = recorded_options(protocol, wanted)
        data = self._data(protocol, options, wanted)
        check_protocol(protocol, options, data, wanted, frozenset({"range_fused"} if images_given else ()))
        device = self._device(record.result, found)
        make = self._images(record, protocol, data, options) if images_given else None
        model = None
        if make is None:
            spec, retrain = protocol.spec(data), self.how.retrain
            model = find_model(record.result, spec, data, self.finder, retrain, device, isolation)
            make = self._scoring(record, protocol, model, options, device)
        retrained = model is not None and model.trained and wanted.training is not None and bool(wanted.training.steps)
        found.retrained = retrained
        with _silence():  # what there is to say is said when all images are scored
            trial, _ = make(self._first(protocol, options, data, protocol.fewest, wanted))
        others = check_identity(trial.identity, wanted)  # before hours are spent on all images
        if others and not retrained:
            raise NotReproducibleError(
                "weights", f"the weights that are made here are not the recorded ones: {', '.join(others)} differs"
            )
        count = min(self.how.limit or record.images, record.images)
        chosen = data if count == record.images else self._first(protocol, options, data, count, wanted)
        now, made = make(chosen)
        found.images = count
        self._differences(record, now, made, found, bool(others))
        if found.outcome == "different" and not others:
            with _silence():
                again, table = make(chosen)
            moved = score_differences(now, made, again, table, partial=count < record.images)
            if not all(one.identical for one in moved.values()):
                key = next(key for key, one in moved.items() if not one.identical)
                text = f"not deterministic: two runs here differ in {key}, by {moved[key].largest}"
                raise NotReproducibleError("not deterministic", text)
        return found.outcome

    def _differences(self, record: _Record, now: Result, made: Any, found: Reproduction, others: bool) -> None:
        """Compare values and environments, and note both."""
        partial, table = found.images < record.images, record.table
        if table is not None:
            table = {name: column[: found.images] for name, column in table.items()}
            if list(map(str, table["id"])) != list(map(str, made["id"])):
                raise NotReproducibleError(
                    "table", "its images have other names, or another order, than they have here"
                )
        tolerance = self.how.training_tolerance if others else None
        if partial and tolerance is not None:
            text = "the weights that were trained again are others, so that means of all images are compared"
            raise NotReproducibleError("training", f"{text}: leave out --limit")
        found.scores = score_differences(record.result, table, now, made, partial=partial, training=tolerance)
        found.environment = environment_differences(record.result, now)
        if not found.scores:
            raise NotReproducibleError("table", "the result has no score that can be compared")
        found.identical = all(one.identical for one in found.scores.values())
        found.outcome = "same" if all(one.same for one in found.scores.values()) else "different"
        if others:
            found.remarks.append(
                f"the weights are others than the recorded ones: means are compared, within "
                f"{100 * self.how.training_tolerance:g} %"
            )
        elif found.retrained:
            found.remarks.append("the weights that were trained again have the same bits")

    def _data(self, protocol: BaseProtocol, options: Any, wanted: Identity) -> Any:
        key = (wanted.dataset, wanted.protocol)
        if self.opened is None or self.opened[0] != key:
            self.opened = None  # let go of its images first
            self.opened = (key, open_recorded(protocol, options, wanted.dataset, self.finder))
        return self.opened[1]

    def _first(self, protocol: BaseProtocol, options: Any, data: Any, count: int, wanted: Identity) -> Any:
        def reopen(limit: int) -> Any:
            fewer = replace_limit(protocol, options, limit)
            return open_recorded(protocol, fewer, wanted.dataset, self.finder)

        return first_images(data, count, reopen)

    def _device(self, result: Result, found: Reproduction) -> str:
        """The device to score on: what was asked for, else one of the class that is recorded."""
        if self.how.device != "auto":
            return self.how.device
        host = result.provenance.get("host")
        recorded = host.get("device") if isinstance(host, dict) else None
        if recorded == "cuda":
            import torch

            if torch.cuda.is_available():
                return "cuda"
            found.remarks.append("was scored on a GPU; there is none here")
        return "cpu"

    def _scoring(
        self, record: _Record, protocol: BaseProtocol, found: FoundModel, options: Any, device: str
    ) -> Callable[[Any], tuple[Result, dict[str, np.ndarray]]]:
        """Scores data with the model, and gives result and table."""
        given: dict[str, Any] = {"device": device, "title": record.result.title or None, "force": True}
        if "keep_images" in protocol.takes:
            given["keep_images"] = False
        precision = record.result.provenance.get("precision")
        if "precision" in protocol.takes and precision in ("fp32", "tf32", "bf16") and device != "cpu":
            given["precision"] = precision

        def score(data: Any) -> tuple[Result, dict[str, np.ndarray]]:
            with self._folder() as out:
                now = protocol.evaluate(found.model, data, options, out=out, params=found.params, **given)
                return now, load_per_image(now.folder(out))

        return score

    def _images(
        self, record: _Record, protocol: BaseProtocol, data: Any, options: Any
    ) -> Callable[[Any], tuple[Result, dict[str, np.ndarray]]]:
        """Scores a folder of fused images that has the recorded digest."""
        made_of = record.wanted.model.weights_sha256 or ""
        folder = self.finder.fused_images(made_of, data.stems)
        if folder is None:
            text = f"no folder of fused images with the digest {made_of[:12]} here: name it with --weights"
            raise NotReproducibleError("weights", text)
        wanted = record.wanted
        about = {"name": wanted.model.name, "title": record.result.title, "keep_images": False}

        def score(chosen: Any) -> tuple[Result, dict[str, np.ndarray]]:
            with self._folder() as out:
                ranges = {"range_fused": wanted.protocol.params.get("range_fused")}
                now = protocol.score_images(folder, chosen, options, out=out, **about, **ranges)
                table = load_per_image(now.folder(out))
            if len(chosen) < len(data):  # the digest is of the images that are scored; those of all were compared
                now.identity.model.weights_sha256 = made_of
            return now, table

        return score

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            yield Path(folder)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    was, progress.QUIET = progress.QUIET, True
    try:
        yield
    finally:
        progress.QUIET = was


def _take(found: Reproduction, apart: Reproduction) -> Outcome:
    """Note what a process that is not trusted found; whose result it is stays as it was read here."""
    own = ("file", "id", "title", "result_sha256", "table_sha256", "of", "outcome")
    for name in found.__struct_fields__:
        if name not in own:
            setattr(found, name, getattr(apart, name))
    if apart.outcome == "same" and not (apart.scores and all(score.same for score in apart.scores.values())):
        raise NotReproducibleError("failed", "measuring it left an outcome that its scores do not have")
    return apart.outcome


class _DamagedError(Exception):
    """The result itself is not whole."""


def replace_limit(protocol: BaseProtocol, options: Any, limit: int) -> Any:
    """The same options for the first ``limit`` images."""
    return protocol.options(**{key: getattr(options, key) for key in protocol.own_options}, limit=limit)


def check_metrics(identity: Identity) -> None:
    """Refuse a result with a metric that is not here any more in the version that it was measured with.

    Raises:
        NotReproducibleError: names metric and both versions.
    """
    from fusionbench.metrics import METRICS, get_metric

    for key, version in identity.metrics.items():
        name, _, dialect = key.partition("@")
        if name not in METRICS.names():
            continue  # a metric of its protocol, which says its version when it scores
        try:
            now = get_metric(name, dialect or "standard/1").version
        except FusionbenchError as error:
            raise NotReproducibleError("metric", f"{key} cannot be computed here: {error}") from error
        if now != version:
            raise NotReproducibleError("metric", f"{key} has version {now} here, the result is of version {version}")


def check_identity(now: Identity, then: Identity) -> list[str]:
    """What of the model differs because of its weights; everything else has to be equal.

    Raises:
        NotReproducibleError: a metric is not measured any more.
        NotComparableError: names what else differs.
    """
    for key, version in then.metrics.items():
        if now.metrics.get(key) != version:
            there = f"has version {now.metrics[key]}" if key in now.metrics else "is not measured"
            raise NotReproducibleError("metric", f"{key} {there} here, the result is of version {version}")
    for part in ("name", "version", "params"):
        one, other = getattr(then.model, part), getattr(now.model, part)
        if not same_record(one, other):
            raise NotComparableError(f"the model's {part} is {other!r} here, {one!r} in the result")
    if not same_record(then.protocol, now.protocol):
        raise NotComparableError(f"the protocol is {now.protocol} here, {then.protocol} in the result")
    if not same_record(then.training, now.training):
        raise NotComparableError("its training is recorded otherwise than a run of this fusionbench records it")
    return ["weights_sha256"] if then.model.weights_sha256 != now.model.weights_sha256 else []
