"""Files of an older fusionbench rewritten in the form that this one writes, each atomically and in its place.

There is one older form so far: scores that are called ``@avg4``, which are ``@mean`` now, in results, baselines and
records of published numbers. Identities do not change, so a migrated result has the same ``id``. All other formats have
never had another form; what is immutable stays as it is, and so does what a newer fusionbench wrote.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.core.formats import declared_format
from fusionbench.core.io import read_bounded, write_bytes
from fusionbench.results.gate import read_baseline, write_baseline
from fusionbench.results.image_tables import packed_path, read_table, table_bytes, table_content, table_path
from fusionbench.results.input_means import FORMER_MEAN, MEAN, current_key
from fusionbench.results.published import read_published
from fusionbench.results.schema import PerImage, Result, load, result_bytes

MAX_BYTES = 64 << 20
State = Literal["migrated", "to migrate", "current", "left alone", "failed"]
_FORMER_TEXT = re.compile(rb"@" + FORMER_MEAN.encode() + rb"(?=[\"'])")
_REVISIONS = (
    "fusionbench.baseline/1.1",
    "fusionbench.result/1.1",
    "fusionbench.result/1.2",
    "fusionbench.run/1.1",
    "fusionbench.run/1.2",
)
_BETWEEN = re.compile(r"images\.[0-9a-f]{12}\.csv")  # a table while it is rewritten


@dataclass(frozen=True)
class Migrated:
    """What became of a file. ``reason``: what is changed, why it is left alone, or what is wrong with it."""

    path: Path
    format: str
    state: State
    reason: str = ""


@dataclass(frozen=True)
class _Change:
    """What has to be done to a file, in words, and how."""

    text: str
    apply: Callable[[], None]


def migrate(paths: Iterable[str | Path], *, dry_run: bool = False) -> Iterator[Migrated]:
    """Rewrite files, and all below folders, that are in an older form; what became of each, as it is done.

    Args:
        dry_run: write nothing; what would be rewritten has the state ``to migrate``.

    Raises:
        DataError: no such file or folder, or a named file that is none of fusionbench's.
    """
    named = [Path(path) for path in paths]
    for path in named:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
    for path in named:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix in (".json", ".toml", ".zip") and file.is_file() and not file.name.startswith("."):
                    yield from _migrate(file, dry_run, named=False)
        else:
            yield from _migrate(path, dry_run, named=True)


def _migrate(path: Path, dry_run: bool, named: bool) -> Iterator[Migrated]:
    if path.suffix == ".zip":
        reason = "an archive is what its author packed; pack it again where a check refuses it"
        yield Migrated(path, "", "left alone", reason)
        return
    format_name = ""
    try:
        content = read_bounded(path, MAX_BYTES, "file of fusionbench")
        format_name = (declared_format(content) if path.suffix != ".toml" else _declared_toml(content)) or ""
        if not format_name:
            if named:
                raise DataError(f"{path}: declares no format of fusionbench; see docs/formats.md")
            return
        kind, _, version = format_name.partition("/")
        if kind == "fusionbench.dataset":
            reason = "the id of a data set is cited and names these files; `fusionbench generate` makes the same again"
            yield Migrated(path, format_name, "left alone", reason)
        elif version != "1" and format_name not in _REVISIONS:
            yield Migrated(path, format_name, "left alone", "a newer fusionbench wrote it and knows more of it")
        elif (change := _FORMS[kind](path, content) if kind in _FORMS else None) is None:
            yield Migrated(path, format_name, "current")
        elif path.is_symlink():
            yield Migrated(path, format_name, "left alone", "a link; name the file that it leads to")
        else:
            if not dry_run:
                change.apply()
            yield Migrated(path, format_name, "to migrate" if dry_run else "migrated", change.text)
    except FusionbenchError as error:
        if named and not format_name:
            raise
        yield Migrated(path, format_name, "failed", str(error).removeprefix(f"{path}: "))


def _declared_toml(content: bytes) -> str | None:
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = {key: value for key, value in table.items() if key in ("schema", "format") and isinstance(value, str)}
    return declared_format(msgspec.json.encode(found))


# The forms, one function each: what has to be done to a file, or None


class _Scores(msgspec.Struct):
    scores: dict[str, msgspec.Raw] = {}


class _Baseline(msgspec.Struct):
    entries: list[_Scores] = []


def _former(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if current_key(key) != key]


def _renamed(keys: Iterable[str]) -> str:
    return ", ".join(f"{key} → {current_key(key)}" for key in dict.fromkeys(keys))


def _result(path: Path, content: bytes) -> _Change | None:
    former = _former(msgspec.json.decode(content, type=_Scores).scores)
    result = load(path)  # with the present names
    texts = [_renamed(former)] if former else []
    if result.per_image is None or path.name != "result.json":
        return _Change("; ".join(texts), lambda: write_bytes(path, result_bytes(result))) if texts else None
    table = read_table(result, path)  # with the present names and all averages
    columns = result.per_image.columns
    if list(table) != columns:
        added = [name for name in table if name not in map(current_key, columns)]
        texts += [f"images.csv: {_renamed(_former(columns))}"] if _former(columns) else []
        texts += [f"images.csv: {', '.join(added)} added"] if added else []
    elif _BETWEEN.fullmatch(result.per_image.file):
        texts.append(f"{result.per_image.file}: a migration was stopped here")
    else:
        return _Change("; ".join(texts), lambda: write_bytes(path, result_bytes(result))) if texts else None
    return _Change("; ".join(texts), lambda: _rewrite(path, result, table))


def _rewrite(path: Path, result: Result, table: dict[str, Any]) -> None:
    """Write result and table anew. Stopped anywhere, ``result.json`` names a table that is there and whole."""
    assert result.per_image is not None
    before = table_path(result, path)
    packed = packed_path(before) is not None
    stopped = _BETWEEN.fullmatch(before.name) is not None  # and the table is in its present form already
    content = table_content(before) if stopped else table_bytes(table)
    sha256 = hashlib.sha256(content).hexdigest()
    between = f"images.{sha256[:12]}.csv"
    names = [between, "images.csv" if stopped else before.name]
    for name in names:
        file = path.parent / (f"{name}.gz" if packed else name)
        write_bytes(file, gzip.compress(content, mtime=0) if packed else content)
        result.per_image = PerImage(file=name, sha256=sha256, columns=list(table))
        write_bytes(path, result_bytes(result))
    (path.parent / (f"{between}.gz" if packed else between)).unlink(missing_ok=True)


def _baseline(path: Path, content: bytes) -> _Change | None:
    entries = msgspec.json.decode(content, type=_Baseline).entries
    former = _former(key for entry in entries for key in entry.scores)
    baseline = read_baseline(path)
    return _Change(_renamed(former), lambda: write_baseline(path, baseline)) if former else None


def _published(path: Path, content: bytes) -> _Change | None:
    """The text is kept with its comments and its order; it must say the same as before."""
    text = _FORMER_TEXT.sub(f"@{MEAN}".encode(), content)
    before, problems = read_published(path)
    if before is None:
        raise DataError(f"{path}: {problems[0]}")
    if text == content:
        return None
    decode = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
    if decode(text, type=type(before)) != before:
        raise DataError(f"{path}: @{FORMER_MEAN} is in other places than its scores; write @{MEAN} by hand")
    return _Change(f"@{FORMER_MEAN} → @{MEAN}", lambda: write_bytes(path, text))


_FORMS: dict[str, Callable[[Path, bytes], _Change | None]] = {
    "fusionbench.result": _result,
    "fusionbench.baseline": _baseline,
    "fusionbench.published": _published,
}
