"""Folders of pairs, or two files, to files of fused images: paired by stem, resumed, and no pair stops the others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from fusionbench.core.colour import ColourRule, to_levels
from fusionbench.core.cpus import core_count
from fusionbench.core.errors import DataError, FusionbenchError, MeasurementError, UsageError
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.image_writer import SUFFIX, ImageFormat, encode_pixels, format_of
from fusionbench.core.images import MAX_BYTES, FullDepthImage, decode_full_depth, fit_ranges
from fusionbench.core.io import read_bounded, require_folder, utf8, write_bytes
from fusionbench.core.progress import progress
from fusionbench.evaluation.fusing.fuse import FusingOptions, fuse_pixels
from fusionbench.evaluation.fusing.methods import (
    DEFAULT_METHOD,
    NOMINAL_SIZE,
    LoadedMethod,
    Method,
    Tile,
    load_method,
)
from fusionbench.evaluation.fusing.record import (
    RECORD,
    FusedLine,
    FusedRecord,
    FusedSettings,
    only_fuser,
    open_record,
)
from fusionbench.evaluation.fusing.sheet import write_sheet
from fusionbench.evaluation.image_files import note_lines
from fusionbench.evaluation.image_rows import missing_text, pair_by_stem

_PROFILE = "embedded colour profile not applied"  # it goes into the fused image


@dataclass(frozen=True)
class FusedFile:
    """A fused image: where it is and what it is.

    Attributes:
        kept: it was there already, from the same command.
        channels, bits: of what was written now; 0 where it was kept.
        notes: file -> remark, of what a reader of the image should know.
    """

    id: str
    file: Path
    kept: bool = False
    channels: int = 0
    bits: int = 0
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FusedFiles:
    """What became of all pairs.

    Attributes:
        method: the method's name.
        outputs: fused images in the order of their stems.
        problems: stem -> why this pair was not fused, in one line.
        missing: stem -> the sides that lack it; these were not fused.
        warnings: what the reader should know about the files.
        sheet: the sheet of sources and fused images, where one was asked for and there was something to draw.
    """

    method: str
    outputs: list[FusedFile] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    sheet: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; names that are not UTF-8 are escaped."""
        outputs = []
        for found in self.outputs:
            made: dict[str, Any] = {"id": found.id, "file": utf8(str(found.file))}
            made |= (
                {"status": "kept"}
                if found.kept
                else {"status": "fused", "channels": found.channels, "bits": found.bits}
            )
            outputs.append(made)
        return {
            "method": utf8(self.method),
            "outputs": outputs,
            "problems": [{"id": name, "problem": utf8(text)} for name, text in self.problems.items()],
            "missing": self.missing,
            "warnings": [utf8(text) for text in self.warnings],
            "sheet": None if self.sheet is None else utf8(str(self.sheet)),
        }


@dataclass(frozen=True)
class _Row:
    id: str
    a: Path
    b: Path
    output: Path


@dataclass(frozen=True)
class _Plan:
    """Everything that does not depend on the pair. ``record``: None where one file is written."""

    method: LoadedMethod
    options: FusingOptions
    ranges: Ranges
    kind: ImageFormat
    quality: int
    record: FusedRecord | None
    force: bool
    writing: Lock = field(default_factory=Lock)


class _WriteError(Exception):
    """The output cannot be written: every further pair would fail in the same way."""


def fuse_files(
    a: str | Path,
    b: str | Path,
    out: str | Path,
    method: Method = DEFAULT_METHOD,
    *,
    weights: str | Path | None = None,
    preset: str | None = None,
    params: Mapping[str, Any] | None = None,
    colour: ColourRule = "visible",
    bits: int | None = None,
    tile: Tile = "auto",
    memory: int | None = None,
    device: str = "auto",
    file_format: ImageFormat | None = None,
    quality: int = 95,
    jobs: int | None = None,
    strict: bool = False,
    force: bool = False,
    sheet: str | Path | None = None,
    range_a: Range | str | None = None,
    range_b: Range | str | None = None,
) -> FusedFiles:
    """Fuse two folders whose images are paired by stem, or two files.

    A folder of outputs has a record ``fuse.jsonl``. Fused images that it knows, of the same sources, are kept; the same
    command goes on where it was stopped.

    Args:
        a, b: sources, each a file or a folder; b is the visible one.
        out: a folder; or for two files a file, whose name says its format.
        method, weights, preset, params, device: see :func:`fusionbench.evaluation.fusing.methods.load_method`.
        colour, bits, tile, memory: see :func:`fusionbench.evaluation.fusing.fuse.fuse`.
        file_format, quality: of the outputs; PNG in a folder.
        jobs: pairs at a time; None takes the processors at hand. It changes no image.
        strict: refuse instead of leaving out what has no partner.
        force: replace what is there, also what was not made by this command; never a source.
        sheet: a PNG with sources and fused images of the first pairs.
        range_a, range_b: which values are black and white, as text or a range (docs/images.md).

    Raises:
        UsageError: unknown names, or an output that would lie among the sources, or among images of other settings.
        DataError: no pairs, with ``strict`` missing partners, or an output that cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from fusionbench.evaluation.fusing.folders import fuse_files
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for place, colour in (("ir/one.png", 200), ("vis/one.png", (90, 60, 30))):
        ...         (Path(root) / place).parent.mkdir()
        ...         Image.new("L" if place[0] == "i" else "RGB", (6, 4), colour).save(Path(root) / place)
        ...     done = fuse_files(f"{root}/ir", f"{root}/vis", f"{root}/fused", "average", jobs=1)
        ...     [(found.id, found.file.name, found.channels, found.bits) for found in done.outputs]
        [('one', 'one.png', 3, 8)]
    """
    options = FusingOptions(colour, bits, tile, memory)
    ranges = Ranges.parse(range_a, range_b)
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise UsageError(f"{sheet}: a sheet is a PNG; choose such a name")
    rows, missing, kind, is_folder = _rows(Path(a), Path(b), Path(out), file_format)
    if kind == "jpeg" and bits == 16:
        raise UsageError("a JPEG has 8 bits a channel: leave out --bits 16, or choose --format png or tiff")
    if missing and strict:
        raise DataError(f"{missing_text(missing, 'fused')}; add them, or leave out --strict")
    _spare_sources(rows, sheet)
    require_folder(Path(out) if is_folder else Path(out).parent)
    ranges = fit_ranges(ranges, {"a": [row.a for row in rows], "b": [row.b for row in rows]})
    size = _first_size(rows, ranges)
    loaded = load_method(method, weights=weights, preset=preset, params=params, device=device, size=size)
    done = FusedFiles(loaded.name, missing=missing)
    with only_fuser(Path(out)) if is_folder else nullcontext():
        record = None
        if is_folder:
            of_files = {"format": kind} | ({"quality": quality} if kind == "jpeg" else {})
            settings = FusedSettings(
                method=loaded.identity(),
                colour=colour,
                bits=bits,
                tile=tile if memory is None else f"{tile} in {memory} bytes",  # tiles of another size, other pixels
                file=of_files,
                ranges=ranges.texts(),
            )
            record = open_record(Path(out), settings, force)
        elif rows[0].output.exists() and not force:
            raise UsageError(f"{out}: is there already; choose another name, or replace it with --force")
        _run(_Plan(loaded, options, ranges, kind, quality, record, force), rows, jobs, done)
    if missing:
        done.warnings.append(missing_text(missing, "fused"))
    if os.path.samefile(a, b):
        done.warnings.append(f"{a}: is given as --a and as --b, so that there was nothing to fuse")
    if sheet is not None and done.outputs:
        by_id = {row.id: row for row in rows}
        lines = [(by_id[found.id].a, by_id[found.id].b, found.file) for found in done.outputs]
        write_sheet(Path(sheet), lines, ranges, loaded.name, _names_of_sources(Path(a), Path(b)))
        done.sheet = Path(sheet)
    return done


def _rows(
    a: Path, b: Path, out: Path, wanted: ImageFormat | None
) -> tuple[list[_Row], dict[str, list[str]], ImageFormat, bool]:
    """Pairs with their outputs, what lacks a partner, the format of the outputs, and whether ``out`` is a folder."""
    found, missing = pair_by_stem({"a": a, "b": b})
    is_folder = a.is_dir() or out.is_dir() or not out.suffix
    if not is_folder:
        kind = format_of(out)
        if wanted not in (None, kind):
            raise UsageError(f"{out}: --format {wanted} is another format than its name says; leave out one of them")
        return [_Row(found[0][0], a, b, out)], missing, kind, False
    if out.is_file():
        raise UsageError(f"{out}: is a file, and the outputs are many; choose a folder")
    if a.is_dir() and any(out.exists() and os.path.samefile(out, place) for place in (a, b)):
        raise UsageError(f"{out}: is a folder of sources; choose another one for the fused images")
    kind = wanted or "png"
    rows = []
    for stem, files in found:
        name = files["b"].stem + SUFFIX[kind]  # as the file system has it, also where that is not UTF-8
        rows.append(_Row(stem, files["a"], files["b"], out / name))
    return rows, missing, kind, True


def _names_of_sources(a: Path, b: Path) -> tuple[str, str]:
    """What the sheet calls them: two folders by their names, where these differ."""
    names = utf8(a.resolve().name), utf8(b.resolve().name)
    return names if a.is_dir() and names[0] != names[1] and all(names) else ("a", "b")


def _spare_sources(rows: Sequence[_Row], sheet: str | Path | None) -> None:
    """Refuse outputs that are sources, by whatever name, link or spelling.

    Raises:
        UsageError: names the file.
    """

    def key(path: Path) -> tuple[int, int] | None:
        try:
            found = path.stat()
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino

    sources = {key(path) for row in rows for path in (row.a, row.b)} - {None}
    outputs = [row.output for row in rows]
    for output in (*outputs, *(() if sheet is None else (Path(sheet),))):
        if key(output) in sources:
            raise UsageError(
                f"{output}: is one of the sources, which are never replaced; choose another name or folder"
            )
    if sheet is not None and Path(sheet).absolute() in {output.absolute() for output in outputs}:
        raise UsageError(f"{sheet}: the sheet and a fused image would be one file; choose another name")


def _first_size(rows: Sequence[_Row], ranges: Ranges) -> tuple[int, int]:
    """Height and width of the first image that can be read."""
    for row in rows:
        try:
            pixels = _read(row.b, ranges.b, "b")[0].pixels
        except DataError:
            continue
        return pixels.shape[0], pixels.shape[1]
    return NOMINAL_SIZE


def _read(path: Path, wanted: Range | None, side: str) -> tuple[FullDepthImage, str]:
    """One source and the digest of its file."""
    content = read_bounded(path, MAX_BYTES, "image")
    option = f"--range-{side}"
    image = decode_full_depth(content, str(path), wanted, option=option, metadata=side == "b")
    return image, hashlib.sha256(content).hexdigest()


def _run(plan: _Plan, rows: Sequence[_Row], jobs: int | None, done: FusedFiles) -> None:
    import cv2  # noqa: F401 - before there are threads: its loader takes its module away for a moment
    from joblib import Parallel, delayed

    def attempt(row: _Row) -> FusedFile | FusionbenchError:
        try:
            return _fuse_row(plan, row)
        except FusionbenchError as error:
            return error
        except MemoryError:
            return MeasurementError(f"{row.id}: out of memory; try --jobs 1")

    count = max(1, min(jobs or core_count(), len(rows)))
    notes: dict[str, str] = {}
    # Threads: decoders, NumPy, torch and zlib drop the interpreter's lock, and nothing is copied between processes.
    pool = Parallel(n_jobs=count, prefer="threads", return_as="generator")
    with _torch_threads(count if plan.method.shared else 1), progress("fusing", len(rows), "pairs") as task:
        try:
            for row, found in zip(rows, pool(delayed(attempt)(row) for row in rows), strict=True):
                if isinstance(found, FusedFile):
                    done.outputs.append(found)
                    notes.update(found.notes)
                else:
                    done.problems[row.id] = str(found)
                task.advance()
        except _WriteError as error:
            raise DataError(str(error)) from error
        except KeyboardInterrupt:
            plan.writing.acquire()  # for good: threads that still fuse begin no file that the end would cut off
            raise
    done.warnings += note_lines(notes)


@contextmanager
def _torch_threads(callers: int) -> Iterator[None]:
    """Share the processors between threads that call torch at once."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // callers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fuse_row(plan: _Plan, row: _Row) -> FusedFile:
    """Read, fuse and write one pair.

    Raises:
        FusionbenchError: what is wrong with this pair.
        _WriteError: what would be wrong with the others, too.
    """
    if not plan.force and plan.record is not None and row.output.exists():
        digests = (hashlib.sha256(read_bounded(path, MAX_BYTES, "image")).hexdigest() for path in (row.a, row.b))
        if plan.record.has(row.output, *digests):
            return FusedFile(row.id, row.output, kept=True)
    (a, a_sha256), (b, b_sha256) = _read(row.a, plan.ranges.a, "a"), _read(row.b, plan.ranges.b, "b")
    fused = fuse_pixels(plan.method, a.pixels, b.pixels, plan.options, (str(row.a), str(row.b)))
    bits = plan.options.bits or b.bits
    notes = _notes(plan, row, a, b)
    if plan.kind == "jpeg" and bits == 16:
        bits = 8
        notes.append((row.output, "fused in 16 bits, written with the 8 that a JPEG has"))
    content = encode_pixels(to_levels(fused, bits), plan.kind, metadata=b.metadata, quality=plan.quality)
    digest = hashlib.sha256(content).hexdigest()
    try:
        with plan.writing:
            if plan.record is not None:
                plan.record.add(FusedLine(name=utf8(row.output.name), sha256=digest, a=a_sha256, b=b_sha256))
            # Not waited for: an image that a power cut takes is fused again, because its digest is another one then.
            write_bytes(row.output, content, durable=plan.record is None)
    except DataError as error:
        raise _WriteError(str(error)) from error
    by_file: dict[str, list[str]] = {}
    for path, note in notes:
        by_file.setdefault(str(path), []).append(note)
    joined = {path: ", ".join(found) for path, found in by_file.items()}
    return FusedFile(row.id, row.output, False, 1 if fused.ndim == 2 else 3, bits, joined)


def _notes(plan: _Plan, row: _Row, a: FullDepthImage, b: FullDepthImage) -> list[tuple[Path, str]]:
    notes = [(row.a, note) for note in a.notes] + [(row.b, note) for note in b.notes if note != _PROFILE]
    if plan.options.colour == "visible" and a.pixels.ndim == 3 and b.pixels.ndim == 2:
        notes.append(
            (row.a, "has colour and its partner has none: --colour weighted takes it, or exchange --a and --b")
        )
    return notes


__all__ = ["RECORD", "FusedFile", "FusedFiles", "fuse_files"]
