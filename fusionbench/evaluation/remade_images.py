"""Images of single pairs made again from results and data, for pages that show them: only those that were scored.

A result says with which model, parameters and weights its pairs were fused, and its per-image table what each fused
image scored. What is fused here again is kept where its scores are those of the table; nothing is trained. The images
lie in a cache by the digests of data and result, whose names are anybody's, and are made once.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusionbench.core.errors import FusionbenchError, some
from fusionbench.core.images import FULL, encode_png, images_in, read_image
from fusionbench.core.interfaces import can_fuse
from fusionbench.core.io import digest, escaped, utf8_names, write_bytes
from fusionbench.core.progress import progress, say
from fusionbench.evaluation.pair_images import FUSED, SOURCES
from fusionbench.evaluation.pair_sets import PairSet
from fusionbench.evaluation.protocols import known_protocol
from fusionbench.evaluation.reproduction.find_data import open_recorded, recorded_options
from fusionbench.evaluation.reproduction.find_model import find_model
from fusionbench.evaluation.reproduction.foreign import is_foreign
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError
from fusionbench.evaluation.reproduction.places import Finder, Places
from fusionbench.metrics.engine import choose
from fusionbench.metrics.undefined import measure
from fusionbench.results.schema import Result, identity_id

CHECKED = ("en", "sd", "sf", "mi", "cc")  # scores that tell images apart at a millisecond or so each
CLOSE = 1e-4  # of a score: a grey level more in a few pixels, as other processors round, and nothing that can be seen
SLOW = 30.0  # seconds a pair by the result's own record, from which a row is left out
_SHOWN = 3

Values = Mapping[str, np.ndarray]  # score key -> a value for every image of a result
Maker = Callable[[int, np.ndarray], np.ndarray]  # index and pair, uint8 (2, h, w), to the fused uint8 (h, w)


@dataclass(frozen=True)
class RemadeFolder:
    """Where the images of one set of pairs lie: ``sources/a``, ``sources/b``, and a folder for each result."""

    folder: Path

    def fused(self, result: Result) -> Path:
        """The folder of a result's fused images."""
        return self.folder / identity_id(result.identity)[:16] / FUSED


@dataclass
class RemadeImages:
    """Makes images of results again, below ``cache``.

    Args:
        cache: where they are kept, beside the pages and not among the results.
        places: folders of data, of weights and runs, and of fused images that were scored.
        private: also images of sources that may not be passed on.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench import create_model, open_pairs
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.evaluation.remade_images import RemadeImages
        >>> pairs, model = open_pairs("pairs-demo"), create_model("average", ImageSpec(1, 256, 256, 2))
        >>> result = evaluate_pairs(model, pairs, out=None, device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder, RemadeImages(Path(folder)) as images:
        ...     found = images.remake("pairs-demo", [(result, result.images)], ["chelsea"])
        ...     [path.name for path in found.fused(result).iterdir()]
        ['chelsea.png']
    """

    cache: Path
    places: Places = field(default_factory=Places)
    private: bool = False
    _open: ExitStack = field(default_factory=ExitStack, init=False)
    _found: Finder | None = field(default=None, init=False)

    def __enter__(self) -> RemadeImages:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._found = None

    @property
    def _finder(self) -> Finder:
        if self._found is None:
            scratch = self._open.enter_context(tempfile.TemporaryDirectory(prefix="fusionbench-pictures-"))
            self._found = Finder(self.places, Path(scratch))
        return self._found

    def remake(
        self, title: str, rows: Sequence[tuple[Result, Values]], stems: Sequence[int | str]
    ) -> RemadeFolder | None:
        """Make the images of these pairs for every row that can be made again, where they are not there yet.

        What is left out is said, a line each benchmark. Gives where they are, None where none may be shown.

        Args:
            title: of the benchmark, for what is said.
            rows: results of the same pairs and protocol, stretched or not, with what each image scored.
            stems: the names of the pairs.

        Raises:
            DataError: a cache that cannot be written.
        """
        pairs = self._pairs(title, rows[0][0]) if rows else None
        if pairs is None:
            return None
        made = RemadeFolder(self.cache / digest([pairs.identity.id, pairs.name, pairs.split])[:16])
        known = {stem: place for place, stem in enumerate(pairs.stems)}
        chosen = [known[str(stem)] for stem in stems if str(stem) in known]
        for index in chosen:
            paths = [made.folder / SOURCES / side / f"{pairs.stems[index]}.png" for side in "ab"]
            if not all(path.is_file() for path in paths):
                for path, pixels in zip(paths, pairs.pair(index), strict=True):
                    write_bytes(path, encode_png(pixels, small=True))
        left: dict[str, list[str]] = {}
        with progress(f"pictures of {title}", len(rows), "rows") as bar:
            for result, values in rows:
                try:
                    self._remake(pairs, result, values, chosen, made.fused(result))
                except (
                    FusionbenchError,
                    RuntimeError,
                    ValueError,
                    LookupError,
                    MemoryError,
                ) as error:
                    left.setdefault(_short(error), []).append(result.title)
                bar.advance(note=result.title)
        if left:
            several = len({name for names in left.values() for name in names})
            reasons = "; ".join(f"{some(sorted(set(names)), ', ', _SHOWN)}: {reason}" for reason, names in left.items())
            say(escaped(f"pictures of {title}: {several} of {len(rows)} rows left out: {reasons}"))
        return made

    def _pairs(self, title: str, result: Result) -> PairSet | None:
        """The pairs that a result was scored on, where they are at hand and may be shown."""
        wanted = result.identity
        protocol = known_protocol(f"{wanted.protocol.name}/{wanted.protocol.version}")
        if protocol is None or "keep_images" not in protocol.takes:  # one that has no fused images of pairs
            return None
        try:
            found = open_recorded(protocol, recorded_options(protocol, wanted), wanted.dataset, self._finder)
        except FusionbenchError as error:
            say(f"no pictures of {title}: {_short(error)}")
            return None
        if not isinstance(found, PairSet):  # another protocol's images of pairs
            return None
        if not found.source.redistributable:
            if not self.private:
                say(
                    f"no pictures of {title}: images of {found.source.name} may not be passed on by its terms; "
                    "--private-pictures shows them on pages that stay with you"
                )
                return None
            say(f"note: pages with images of {title}, which may not be passed on by their terms: keep them to yourself")
        return found

    def _remake(self, pairs: PairSet, result: Result, values: Values, chosen: Sequence[int], folder: Path) -> None:
        missing = [index for index in chosen if not (folder / f"{pairs.stems[index]}.png").is_file()]
        if not missing:
            return
        seconds = float(result.cost.get("ms_per_image") or 0.0) / 1000
        if seconds > SLOW:
            raise _LeftOutError(f"takes more than {SLOW:.0f} s a pair")
        keys = [key for key in CHECKED if key in values]
        if not keys:
            raise _LeftOutError("no scores of single images to know a picture by")
        make = self._maker(pairs, result)
        others = 0
        for index in missing:
            pair = pairs.pair(index)
            fused = make(index, pair)
            if is_scored_one(fused, pair, {key: float(values[key][index]) for key in keys}):
                write_bytes(folder / f"{pairs.stems[index]}.png", encode_png(fused, small=True))
            else:
                others += 1
        if others:
            raise _LeftOutError(f"{others} of {len(missing)} pictures made here are not those that were scored")

    def _maker(self, pairs: PairSet, result: Result) -> Maker:
        """What gives the fused images of a result again.

        Raises:
            FusionbenchError: nothing here does.
        """
        from fusionbench.evaluation.pair_sheet import pair_spec
        from fusionbench.evaluation.pairs import fuse_pair
        from fusionbench.evaluation.subject import loaded
        from fusionbench.results.full_range import stretch_levels

        identity = result.identity
        stretch = identity.protocol.params.get("stretch") is True
        if result.status == "scored":
            if identity.protocol.params.get("range_fused") is not None:
                raise _LeftOutError("scored with a range of its own")
            folder = self._finder.fused_images(identity.model.weights_sha256 or "", pairs.stems)
            if folder is None:
                raise _LeftOutError("its images are not at hand")
            files = utf8_names(images_in(folder))

            def read(index: int, pair: np.ndarray) -> np.ndarray:
                pixels = read_image(files[pairs.stems[index]], FULL).grey()
                return stretch_levels(pixels) if stretch else pixels

            return read
        if is_foreign(identity, self._finder):
            raise _LeftOutError("parameters or weights of somebody's own, which only `fusionbench reproduce` runs")
        spec = pair_spec(pairs)
        try:
            found = find_model(result, spec, pairs, self._finder, False, "cpu")
        except NotReproducibleError as error:
            raise _LeftOutError("its weights are not at hand" if error.cause == "weights" else _short(error)) from error
        model = loaded(found.model, spec)[0].eval()
        if not can_fuse(model):
            raise _LeftOutError("it fuses no pairs")
        fuser = model
        return lambda index, pair: fuse_pair(fuser, pair, index, stretch)


class _LeftOutError(FusionbenchError):
    """Why images of a row are not shown."""


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def is_scored_one(fused: np.ndarray, pair: np.ndarray, scored: Mapping[str, float]) -> bool:
    """Whether a fused image scores what is recorded of it: uint8 (h, w), its pair (2, h, w), score key -> value.

    Images are told apart by metrics of :data:`CHECKED`; where one has no value, none must be recorded.

    Example:
        >>> import numpy as np
        >>> from fusionbench.evaluation.remade_images import is_scored_one
        >>> pair = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
        >>> scored = {"sd": float(pair[0].std())}
        >>> is_scored_one(pair[0], pair, scored), is_scored_one(pair[0] // 2, pair, scored)
        (True, False)
    """
    if fused.shape != pair.shape[1:]:
        return False
    found, _ = measure(fused, pair[0], pair[1], choose(list(scored)), "picture")
    return all(_same(found[key], wanted) for key, wanted in scored.items())


def _same(found: float, wanted: float) -> bool:
    if not (math.isfinite(found) and math.isfinite(wanted)):
        return math.isfinite(found) == math.isfinite(wanted)
    return abs(found - wanted) <= CLOSE * max(abs(wanted), CLOSE)
