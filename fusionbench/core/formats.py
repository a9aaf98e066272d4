"""Versions and revisions of the file formats: what a file declares, and whether this fusionbench reads it.

``fusionbench.result/1`` is revision 0 of version 1, ``fusionbench.result/1.2`` its revision 2; see docs/formats.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from fusionbench.core.errors import DataError, some

T = TypeVar("T", bound=msgspec.Struct)
_DECLARED = re.compile(r"(fusionbench\.[a-z]{1,20})/([0-9]{1,4})(?:\.([0-9]{1,4}))?")
_RELEASE = re.compile(r"[0-9][0-9A-Za-z.+-]{0,30}")
_KEYS = ("schema", "format")  # the field that names the format


class _Head(msgspec.Struct):
    schema: Any = None
    format: Any = None


def declared_format(content: bytes) -> str | None:
    """What a JSON text declares to be (``fusionbench.result/1``); None where it is no JSON object that says so."""
    try:
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return next((name for name in (head.schema, head.format) if isinstance(name, str) and _parts(name)), None)


def require_format(declared: object, ours: str, path: str | Path, written_by: object = None) -> None:
    """Refuse another version, or a newer revision, of the format that this fusionbench reads.

    What declares no format, or another one, is left to the reader, which says what is wrong with it.

    Args:
        declared: what the file says, of any type.
        ours: the newest revision of the format that is read, ``fusionbench.recipe/1``.
        written_by: the version of fusionbench that the file says wrote it, of any type.

    Raises:
        DataError: names file, both versions, and which fusionbench reads it.
    """
    parts, known = _parts(declared), _parts(ours)
    assert known is not None
    if parts is None or parts[0] != known[0] or (parts[1] == known[1] and parts[2] <= known[2]):
        return
    from fusionbench import __version__

    version = f"{parts[0]}/{parts[1]}" + (f".{parts[2]}" if parts[2] else "")
    text = f"{path}: is a {version}, fusionbench {__version__} reads {ours}"
    if parts[1] < known[1]:
        raise DataError(f"{text}; no release wrote that: check the file")
    raise DataError(f"{text}; {_upgrade(written_by, __version__)}")


def _upgrade(written_by: object, now: str) -> str:
    if isinstance(written_by, str) and _RELEASE.fullmatch(written_by) and written_by != now:
        return f"fusionbench {written_by}, which wrote it, reads it: pip install 'fusionbench>={written_by}'"
    return "a newer fusionbench reads it: pip install --upgrade fusionbench"


def read_json(content: bytes, kind: type[T], path: str | Path, fixed: tuple[type, ...]) -> T:
    """Decode a JSON file strictly; of a newer revision, leave out fields that are not known here, with a note.

    Args:
        kind: a struct whose field ``schema`` or ``format`` has the format as its value, or its revisions.
        fixed: structs in which no field is ever left out, since a reader that ignored it would take the file for
            something else.

    Raises:
        DataError: another version, or a newer revision with a new field in a fixed struct.
        msgspec.DecodeError, RecursionError: anything else that is wrong.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError:
        raw = msgspec.json.decode(content)
        key, revisions = _format_of(kind)
        ours = revisions[-1]
        declared = raw.get(key) if isinstance(raw, dict) else None
        parts, known = _parts(declared), _parts(ours)
        assert known is not None
        provenance = raw.get("provenance") if isinstance(raw, dict) else None
        written_by = provenance.get("fusionbench") if isinstance(provenance, dict) else None
        if parts is None or parts[:2] != known[:2] or parts[2] <= known[2]:
            require_format(declared, ours, path, written_by)
            raise
        unknown = list(_unknown(raw, inspect.type_info(kind), ""))
        if any(issubclass(owner, fixed) for owner, _, _, _ in unknown):
            require_format(declared, ours, path, written_by)
        for _, table, name, _ in unknown:
            del table[name]
        try:
            found = msgspec.json.decode(msgspec.json.encode({**raw, key: revisions[0]}), type=kind)
        except msgspec.ValidationError:  # a value that is new, too
            require_format(declared, ours, path, written_by)
            raise
    from fusionbench import __version__
    from fusionbench.core.progress import say

    if unknown:
        names = some([place for _, _, _, place in unknown])
        say(f"note: {path}: {declared} is newer: {names} left out; {_upgrade(written_by, __version__)}")
    return found


def _parts(declared: object) -> tuple[str, int, int] | None:
    """Name, version and revision."""
    found = _DECLARED.fullmatch(declared) if isinstance(declared, str) else None
    return None if found is None else (found[1], int(found[2]), int(found[3] or 0))


def _format_of(kind: type[msgspec.Struct]) -> tuple[str, list[str]]:
    """The field of a struct that names its format, and the revisions that it knows, the newest last."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        if field.encode_name in _KEYS and isinstance(field.type, inspect.LiteralType):
            return field.encode_name, sorted(map(str, field.type.values), key=lambda name: _parts(name) or ("", 0, 0))
    raise TypeError(f"{kind.__name__} declares no format")


def _unknown(value: Any, info: inspect.Type, place: str) -> Iterator[tuple[type, dict[str, Any], str, str]]:
    """Fields of a JSON value that its type does not have: struct, the object that has it, its key, where it is."""
    if isinstance(info, inspect.UnionType):
        for option in info.types:
            if isinstance(option, inspect.StructType | inspect.DictType | inspect.ListType):
                yield from _unknown(value, option, place)
    elif isinstance(info, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in info.fields}
        for key, inner in value.items():
            where = f"{place}.{key}".lstrip(".")
            if key in fields:
                yield from _unknown(inner, fields[key], where)
            else:
                yield info.cls, value, key, where
    elif isinstance(info, inspect.DictType) and isinstance(value, dict):
        for key, inner in value.items():
            yield from _unknown(inner, info.value_type, f"{place}.{key}")
    elif isinstance(info, inspect.ListType) and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unknown(inner, info.item_type, f"{place}[{number}]")
