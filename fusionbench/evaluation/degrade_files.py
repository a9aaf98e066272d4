"""A user's own pairs, degraded: two folders of images, or two files, to folders with the truth about them beside.

A picture's three channels are planes of one view: they are harmed alike, with noise of their own. What is drawn for a
pair follows from its stem and the seed: it does not change when other files come or go.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench import __version__
from fusionbench.core.errors import DataError, SizeMismatchError, UsageError, refuse_all
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.images import encode_png, fit_ranges, read_image
from fusionbench.core.inline_images import reduced
from fusionbench.core.io import digest, file_sha256, require_folder, utf8, write_bytes, write_json
from fusionbench.core.progress import progress
from fusionbench.evaluation.degrade_cutouts import with_cutouts
from fusionbench.evaluation.image_rows import missing_text, pair_by_stem
from fusionbench.evaluation.unfinished_pairs import PairsToWrite, UnfinishedPairs, WrittenPair, has_begun
from fusionbench.synth.degradations import (
    DEGRADATIONS,
    SEVERITIES,
    Degradation,
    Degraded,
    degrade,
    list_degradations,
)
from fusionbench.synth.degradations.base import Level
from fusionbench.synth.degradations.run import require_room

RECORD = "degraded.json"
DATASET, SPLIT = "files", "all"  # of the random streams
_Row = tuple[str, dict[str, Path]]  # stem, and side -> file
SHOWN = 128  # pixels of a side in a sheet


@dataclass(frozen=True)
class Pair:
    """Two decoded images, as planes of pixels: uint8 (P, h, w); view ``a`` has the first of them.

    Attributes:
        channels: how many planes a and b have, 1 or 3 each; equal channels of a grey image are one.
        written: how many channels their files have.
    """

    stem: str
    planes: np.ndarray
    channels: tuple[int, int]
    written: tuple[int, int]

    @property
    def sample(self) -> int:
        """The pair's number in the random streams: 31 bits of the digest of its stem."""
        return int.from_bytes(hashlib.sha256(self.stem.encode()).digest()[:4], "little") >> 1

    def degraded(self, family: str, severity: int, seed: int = 0) -> Degraded:
        """The pair at a severity of a family; views are uint8 (1, P, h, w).

        Raises:
            UsageError: an unknown family or severity, or a field that is larger than the picture.
        """
        owners = [0] * self.channels[0] + [1] * self.channels[1]
        samples = np.array([self.sample])
        try:
            return degrade(
                self.planes[None],
                family,
                severity,
                samples=samples,
                seed=seed,
                planes=owners,
                dataset=DATASET,
                split=SPLIT,
            )
        except UsageError as error:
            raise UsageError(f"{self.stem}: {error}") from error

    def images(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images a and b of planes (P, h, w): uint8 (h, w) or (h, w, 3), as their files are."""
        parts = planes[: self.channels[0]], planes[self.channels[0] :]
        made = []
        for part, count in zip(parts, self.written, strict=True):
            whole = part if len(part) == count else np.repeat(part, count, axis=0)
            made.append(np.ascontiguousarray(whole[0] if count == 1 else whole.transpose(1, 2, 0)))
        return made[0], made[1]


@dataclass
class DegradedFiles:
    """What was written: folders by family and severity, the number of pairs, and the sheet."""

    pairs: int
    folders: dict[str, Path] = field(default_factory=dict)
    sheet: Path | None = None
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        folders = {name: utf8(str(path)) for name, path in self.folders.items()}
        sheet = None if self.sheet is None else utf8(str(self.sheet))
        return {"pairs": self.pairs, "folders": folders, "sheet": sheet, "warnings": self.warnings}


def degrade_files(
    a: str | Path,
    b: str | Path,
    out: str | Path | None,
    families: Sequence[str] = (),
    severities: Sequence[int] = SEVERITIES,
    *,
    seed: int = 0,
    strict: bool = False,
    force: bool = False,
    sheet: str | Path | None = None,
    range_a: str | Range | None = None,
    range_b: str | Range | None = None,
    objects: str | Path | None = None,
) -> DegradedFiles:
    """Degrade pairs of image files.

    All of them are read before the first is written. A call that was stopped goes on when it is made again.

    Args:
        a, b: thermal and visible: two folders paired by stem, or two files. 16 bits are brought to 8.
        out: folder of the degraded pairs: ``a`` and ``b`` in it, or with several families or severities those in
            ``shift-1/3`` and so on, with ``field`` (int32 (2,h,w) in 1/256 pixel, ``.npy``) where a view was moved,
            ``lost_a`` and ``lost_b`` (255 where a view says nothing any more), and ``degraded.json``. None: no files.
        families: names; none: all.
        severities: 1 to 5.
        seed: of the random streams.
        strict: refuse instead of leaving out what has no partner.
        force: write into a folder that has something in it, and make anew what an earlier call left.
        sheet: a PNG of the first pair at all of these severities.
        range_a, range_b: which values are black and white (docs/images.md).
        objects: a folder of pictures whose objects ``occlude/2`` shows, in the place of its own.

    Raises:
        UsageError: unknown families or severities, nothing to write, an output among the sources, or a folder with
            other pairs, also unfinished ones.
        DataError: no pairs, images that cannot be read, have different sizes or too few pixels, all of them in one
            line, or an output that cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from fusionbench.evaluation.degrade_files import degrade_files
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for place, colour in (("ir/one.png", 200), ("vis/one.png", (90, 60, 30))):
        ...         (Path(root) / place).parent.mkdir()
        ...         Image.new("L" if place[0] == "i" else "RGB", (16, 12), colour).save(Path(root) / place)
        ...     done = degrade_files(f"{root}/ir", f"{root}/vis", f"{root}/out", ["shift/1"], [2])
        ...     sorted(path.relative_to(root).as_posix() for path in Path(root).glob("out/*/*"))
        ['out/a/one.png', 'out/b/one.png', 'out/field/one.npy', 'out/lost_a/one.png']
    """
    names = list(dict.fromkeys(families)) or list_degradations()
    chosen = list(dict.fromkeys(severities))
    if objects is not None:
        names = with_cutouts(names, objects)
    for name in names:
        DEGRADATIONS.get(name)
    if wrong := [one for one in chosen if one not in SEVERITIES]:
        raise UsageError(f"no severity {wrong[0]}; it is a whole number from 1 to {SEVERITIES[-1]}")
    if not chosen or (out is None and sheet is None):
        raise UsageError("nothing to write: name an output folder or a sheet, and a severity")
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise UsageError(f"{sheet}: a sheet is a PNG; choose such a name")
    places = {"a": Path(a), "b": Path(b)}
    rows, missing = pair_by_stem(places)
    if missing and strict:
        raise DataError(f"{missing_text(missing, 'degraded')}; add them, or leave out --strict")
    ranges = fit_ranges(
        Ranges.parse(range_a, range_b), {side: [files[side] for _, files in rows] for side in ("a", "b")}
    )
    done = DegradedFiles(len(rows))
    if missing:
        done.warnings.append(missing_text(missing, "degraded"))
    targets = {}
    if out is not None:
        targets = _folders(Path(out), names, chosen)
        _spare(Path(out), [*targets.values()], [path for _, files in rows for path in files.values()], force)
    if sheet is not None:
        _spare_sheet(Path(sheet), [path for _, files in rows for path in files.values()])
    begun: UnfinishedPairs | None = None
    if out is not None:
        wanted = PairsToWrite(
            folders={key: folder.relative_to(out).as_posix() for key, folder in targets.items()},
            seed=seed,
            ranges=ranges.texts(),
            sources_sha256=digest(_check(rows, ranges, targets)),
        )
        begun = UnfinishedPairs.begin(Path(out), wanted, force)
        _write_all(begun, rows, ranges, targets)
        done.folders.update(targets)
    if sheet is not None:
        stem, files = rows[0]
        write_bytes(sheet, draw_sheet(read_pair(stem, files["a"], files["b"], ranges), names, chosen, seed))
        done.sheet = Path(sheet)
    if begun is not None:
        begun.finish()
    return done


def read_pair(stem: str, a: Path, b: Path, ranges: Ranges | None = None) -> Pair:
    """Two image files of one size.

    Raises:
        DataError: files that cannot be read, or sizes that differ.
    """
    ranges = ranges or Ranges()
    planes, channels, written = [], [], []
    for path, wanted, option in ((a, ranges.a, "--range-a"), (b, ranges.b, "--range-b")):
        pixels = read_image(path, wanted, option=option).pixels
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        grey = pixels.shape[2] == 1 or bool((pixels == pixels[..., :1]).all())
        planes.append(pixels[..., :1] if grey else pixels)
        channels.append(planes[-1].shape[2])
        written.append(pixels.shape[2])
    (height, width), (tall, wide) = (one.shape[:2] for one in planes)
    if (height, width) != (tall, wide):
        raise SizeMismatchError(f"{a} is {height}×{width} and {b} is {tall}×{wide} pixels")
    whole = np.ascontiguousarray(np.concatenate(planes, axis=2).transpose(2, 0, 1))
    return Pair(stem, whole, (channels[0], channels[1]), (written[0], written[1]))


def _check(rows: Sequence[_Row], ranges: Ranges, keys: Collection[str]) -> list[list[str]]:
    """Read all pairs, before one is written; stems and digests of their files.

    Raises:
        DataError: all pairs that cannot be degraded, in one line.
    """
    problems: list[DataError] = []
    sources = []
    with progress("reading", len(rows), "pairs") as task:
        for stem, files in rows:
            try:
                pair = read_pair(stem, files["a"], files["b"], ranges)
                sources.append([stem, *(file_sha256(files[side]) for side in "ab")])
                for key in keys:
                    record, level = _family(key)
                    require_room(record, level, *pair.planes.shape[1:])
            except UsageError as error:
                problems.append(DataError(f"{stem}: {error}"))
            except DataError as error:
                problems.append(error)
            task.advance()
    refuse_all(problems, f"{len(problems)} of {len(rows)} pairs cannot be degraded")
    return sources


def _family(key: str) -> tuple[Degradation, Level]:
    """The family and the level of ``FAMILY SEVERITY``."""
    family, _, severity = key.rpartition(" ")
    record = DEGRADATIONS.get(family)
    return record, record.levels[int(severity) - 1]


def draw_sheet(pair: Pair, families: Sequence[str], severities: Sequence[int], seed: int = 0) -> bytes:
    """PNG of the middle of a pair, a beside b: a line for each family, the clean pair first, then its severities.

    Raises:
        UsageError: an unknown family, or a severity that is not from 1 to 5.
    """
    from fusionbench.core.figures import labelled_sheet

    lines: list[list[np.ndarray | None]] = []
    labels = []
    for family in families:
        record = DEGRADATIONS.get(family)
        line: list[np.ndarray | None] = [_shown(pair, pair.planes, record.scale)]
        for severity in severities:
            try:
                line.append(_shown(pair, pair.degraded(family, severity, seed).views[0], record.scale))
            except UsageError:  # a picture that is too small for the field: an empty frame
                line.append(None)
        lines.append(line)
        labels.append((family, {"a": "thermal", "b": "visible", "both": "both views"}[record.views]))
    names = ["clean", *(f"severity {severity}" for severity in severities)]
    caption = f"thermal beside visible: the middle of the pair in its own pixels, or all of it reduced · seed {seed}"
    return labelled_sheet(lines, names, labels, title=f"Degradations of {utf8(pair.stem)}", caption=caption)


def _shown(pair: Pair, planes: np.ndarray, scale: str) -> np.ndarray:
    """A pair as one image, uint8 (h, w) or (h, w, 3): its middle, or all of it at a whole fraction of its size."""
    if scale == "picture":
        return _beside([reduced(image, SHOWN) for image in pair.images(planes)])
    height, width = planes.shape[1:]
    top, left = max(0, height - SHOWN) // 2, max(0, width - SHOWN) // 2
    return _beside(pair.images(planes[:, top : top + SHOWN, left : left + SHOWN]))


def _beside(images: Sequence[np.ndarray]) -> np.ndarray:
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
    return np.concatenate(images, axis=1)


def _folders(out: Path, families: Sequence[str], severities: Sequence[int]) -> dict[str, Path]:
    """``FAMILY SEVERITY`` -> folder."""
    if len(families) == len(severities) == 1:
        return {f"{families[0]} {severities[0]}": out}
    return {
        f"{family} {severity}": out / family.replace("/", "-") / str(severity)
        for family in families
        for severity in severities
    }


def _spare(out: Path, folders: Sequence[Path], sources: Sequence[Path], force: bool) -> None:
    """Refuse an output folder with the sources in it, or with something else.

    Raises:
        UsageError: names the folder.
        DataError: it cannot be a folder.
    """
    if out.is_file():
        raise UsageError(f"{out}: is a file, and degraded pairs are folders; choose another name")
    require_folder(out)
    held = {os.path.realpath(path.parent) for path in sources}
    written = {os.path.realpath(folder / side) for folder in folders for side in ("a", "b", "lost_a", "lost_b")}
    if held & written:
        raise UsageError(f"{out}: has the sources in it, which are never replaced; choose another folder")
    if out.is_dir() and not has_begun(out) and not force:
        raise UsageError(f"{out}: is not empty; choose another folder, or write into it with --force")


def _spare_sheet(sheet: Path, sources: Sequence[Path]) -> None:
    if sheet.exists() and any(os.path.samefile(sheet, source) for source in sources):
        raise UsageError(f"{sheet}: is one of the sources, which are never replaced; choose another name")


def _write_all(begun: UnfinishedPairs, rows: Sequence[_Row], ranges: Ranges, targets: Mapping[str, Path]) -> None:
    """Write all pairs that an earlier call did not, and then the records."""
    seed = begun.wanted.seed
    for folder in targets.values():
        with suppress(OSError):  # the record of what was there before, which is replaced pair by pair
            (folder / RECORD).unlink()
    entries: dict[str, list[dict[str, Any]]] = {key: [] for key in targets}
    with progress("degrading", len(rows), "pairs") as task:
        for stem, files in rows:
            pair: Pair | None = None
            for key, folder in targets.items():
                one = begun.find(key, stem, folder)
                if one is None:
                    pair = pair or read_pair(stem, files["a"], files["b"], ranges)
                    one = _write(pair, key, seed, folder)
                    begun.add(one)
                entries[key].append(one.entry)
            task.advance()
    for key, folder in targets.items():
        record, level = _family(key)
        severity = int(key.rpartition(" ")[2])
        named = dict(zip(record.fields, level, strict=True))
        about = {"family": record.name, "severity": severity, "level": named, "seed": seed, "fusionbench": __version__}
        write_json(folder / RECORD, {**about, "pairs": entries[key]}, indent=1)


def _write(pair: Pair, key: str, seed: int, folder: Path) -> WrittenPair:
    """Write one pair, degraded as ``FAMILY SEVERITY`` says, with its truth; what the record says of it."""
    family, _, severity = key.rpartition(" ")
    made = pair.degraded(family, int(severity), seed)
    views = np.asarray(made.views)[0]
    contents = {
        f"{side}/{pair.stem}.png": encode_png(image) for side, image in zip("ab", pair.images(views), strict=True)
    }
    if made.field is not None:
        stream = io.BytesIO()
        np.save(stream, np.asarray(made.field)[0], allow_pickle=False)
        contents[f"field/{pair.stem}.npy"] = stream.getvalue()
    if made.lost is not None:
        lost = np.asarray(made.lost)[0]
        for side, plane in (("a", 0), ("b", pair.channels[0])):
            if lost[plane].any():
                contents[f"lost_{side}/{pair.stem}.png"] = encode_png(255 * lost[plane], small=True)
    for name in (f"field/{pair.stem}.npy", f"lost_a/{pair.stem}.png", f"lost_b/{pair.stem}.png"):
        if name not in contents:  # of what was here before: it would be taken for the truth of this one
            (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, content, durable=False)
    files: dict[Any, str] = {
        name.partition("/")[0]: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    return WrittenPair(done=key, stem=pair.stem, sample=pair.sample, sha256=files)
