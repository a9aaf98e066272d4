"""The index of a built board, ``board-index.json``: digests of the results that it was made from and of every page.

Whoever has the results can build the pages again and compare (:mod:`fusionbench.board.verify`). Who put the results
together is told by a signature of the index, ``board-index.intoto.jsonl``, in the form of those of data sets.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from fusionbench.core.envelopes import STATEMENT_TYPE, check_statement, sign_statement, statement_signers
from fusionbench.core.errors import DataError
from fusionbench.core.formats import require_format
from fusionbench.core.io import read_bounded, readable_json
from fusionbench.core.text import Digest
from fusionbench.results.schema import Status

FILE, SIGNATURE = "board-index.json", "board-index.intoto.jsonl"
SCHEMA = "fusionbench.board/1"
MAX_BYTES = 256 << 20
PREDICATE_TYPE = "tag:fusionbench,2026:board-index/1"  # a name of ours by RFC 4151
_ABOUT = f"another board than {FILE} describes"
_REMEDY = "sign it again with `fusionbench board … --sign KEY`"


Pictures = Literal["", "free", "all"]  # made again: none, of sources that may be passed on, of all


class IndexedTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``sha256``: of the table's content, unpacked where it is packed."""

    file: str
    sha256: Digest


class IndexedResult(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A result that takes part; ``file`` is relative to the folder of results, ``sha256`` of the bytes of that file."""

    file: str
    sha256: Digest
    id: str
    status: Status
    title: str
    table: IndexedTable | None = None


class IndexedFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A file that takes no part, and why."""

    file: str
    reason: str


class BoardIndex(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a board was built (``title``, ``anonymous``, ``resamples``), from what, and the sha256 of every file.

    ``pictures``: whether images were made again from data that are not among the results; written where they were.
    """

    schema: Literal["fusionbench.board/1"] = "fusionbench.board/1"
    fusionbench: str
    title: str
    anonymous: bool
    resamples: int
    results: list[IndexedResult]
    set_aside: list[IndexedFile]
    files: dict[str, Digest]
    pictures: Pictures = ""


def index_bytes(index: BoardIndex) -> bytes:
    """The content of ``board-index.json``.

    Example:
        >>> from fusionbench.board.site_index import BoardIndex, index_bytes
        >>> about = {"fusionbench": "0.1.0", "title": "t", "anonymous": False, "resamples": 100}
        >>> index_bytes(BoardIndex(**about, results=[], set_aside=[], files={})).splitlines()[1]
        b' "anonymous": false,'
    """
    found = msgspec.to_builtins(index)
    if not index.pictures:
        del found["pictures"]  # what a release that makes none reads
    return readable_json(found)


def read_index(site: Path) -> tuple[BoardIndex, bytes]:
    """The index of the board in ``site``, read strictly, and its bytes.

    Raises:
        DataError: missing, too large, of another format, or a name in it that leads out of ``site``.
    """
    path = site / FILE
    content = read_bounded(path, MAX_BYTES, "index of a board; build it with `fusionbench board`")
    try:
        head = msgspec.json.decode(content)
        if isinstance(head, dict):
            require_format(head.get("schema"), SCHEMA, path, head.get("fusionbench"))
        index = msgspec.json.decode(content, type=BoardIndex)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a {SCHEMA} file: {error}; build the board again") from error
    root = site.resolve()
    for name in index.files:
        if "\0" in name or not (root / name).resolve().is_relative_to(root) or Path(name).is_absolute():
            raise DataError(f"{path}: names {name!r}, which is not in the board's folder; build the board again")
    return index, content


def statement_of_index(content: bytes) -> dict[str, Any]:
    """The in-toto Statement about the index with this content; the index has the digests of everything else."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": FILE, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }


def sign_index(site: Path, content: bytes, private_key: Path) -> str:
    """Sign the index with this content beside it; the key's id.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: not an unencrypted ed25519 key in PEM, or the folder cannot be written.
    """
    return sign_statement(site / SIGNATURE, statement_of_index(content), private_key, _REMEDY)


def index_signers(site: Path, content: bytes) -> list[str]:
    """Ids of the keys that are said to have signed the index with this content; none where it is not signed.

    Raises:
        RejectedError: not an envelope, or one about another index.
    """
    return statement_signers(site / SIGNATURE, statement_of_index(content), _ABOUT, _REMEDY)


def check_index_signature(site: Path, content: bytes, public_key: Path) -> str:
    """The id of ``public_key``, which has signed the index with this content.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: not an ed25519 public key in PEM.
        RejectedError: not signed, signed by other keys only, or envelope or index were changed since.
    """
    statement = statement_of_index(content)
    return check_statement(site / SIGNATURE, statement, public_key, "the board", _ABOUT, _REMEDY)
