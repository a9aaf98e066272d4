"""``manifest.json``: what a data set is, shard by shard. Written last; its presence makes the folder immutable.

Canonical JSON without times, hosts or versions of tools, so that equal data sets have equal manifests. ``id`` is the
sha256 over the ordered content digests: the data set's citable identity. ``manifest_sha256``, the digest of the file,
covers what the manifest says beside; it stands in ``manifest.sha256``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.core.errors import DataError
from fusionbench.core.formats import read_json
from fusionbench.core.io import canonical_json, digest, read_bounded, write_bytes
from fusionbench.core.text import Digest, RecipeName, Version

FORMAT = "fusionbench.dataset/1"
FORMAT_STORED = "fusionbench.dataset/1.1"  # declared where a shard has ``stored``, and only there
FILE = "manifest.json"
MAX_BYTES = 64 << 20
DIGEST_FILE = "manifest.sha256"
FileName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z")]  # never a path
LeftOut = dict[str, dict[str, str]]


class _Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    pass


class StoredEntry(_Part, frozen=True):
    """The file of a recipe shard: without the arrays that are made on arrival."""

    bytes: Annotated[int, msgspec.Meta(ge=1)]
    file_sha256: Digest


class ShardEntry(_Part, frozen=True):
    """One shard: samples ``start`` .. ``start + n - 1`` of its split.

    With ``stored`` the file lacks ``views`` and ``params``; everything else here is of the whole shard, as it is made
    of the file (:mod:`fusionbench.data.recipe_shards`). Absent where the file is the whole shard.
    """

    file: FileName
    start: Annotated[int, msgspec.Meta(ge=0)]
    n: Annotated[int, msgspec.Meta(ge=1)]
    bytes: Annotated[int, msgspec.Meta(ge=1)]
    content_sha256: Digest
    arrays: dict[str, Digest]  # of the bytes of each array, to tell which one is damaged
    file_sha256: Digest
    source_sha256: Digest  # of the decoded source images of the shard
    stored: StoredEntry | msgspec.UnsetType = msgspec.UNSET  # since fusionbench.dataset/1.1

    @property
    def on_disk(self) -> tuple[int, str]:
        """Bytes and sha256 of the file as it lies beside the manifest."""
        here = self.stored if isinstance(self.stored, StoredEntry) else self
        return here.bytes, here.file_sha256


class CutoutGate(_Part, frozen=True):
    """What the gate of ``canny-cut/2`` did: cut-outs that passed, that were repaired, and dropped ones, name -> why."""

    kept: Annotated[int, msgspec.Meta(ge=0)]
    repaired: Annotated[int, msgspec.Meta(ge=0)]
    dropped: dict[str, str] = {}


class SplitEntry(_Part, frozen=True):
    """``coverage[k]``: share of the targets' pixels seen in the first k+1 views; ``cutouts``: the bank of overlays;
    ``cutouts_gate``: absent where they passed none."""

    n: Annotated[int, msgspec.Meta(ge=1)]
    shards: Annotated[list[ShardEntry], msgspec.Meta(min_length=1)]
    coverage: list[float] = []
    cutouts: ShardEntry | None = None
    cutouts_iou: float | None = None  # of the cut masks with those of the source, where it has some
    cutouts_gate: CutoutGate | msgspec.UnsetType = msgspec.UNSET


class SourceEntry(_Part, frozen=True):
    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    redistributable: bool
    fingerprint: dict[str, Digest]  # split of the data set -> sha256 over its shards' source digests


class Manifest(_Part, frozen=True):
    """``refused``: source split -> name -> why the file (or pair) is left out; absent when none is."""

    format: Literal["fusionbench.dataset/1", "fusionbench.dataset/1.1"]
    name: RecipeName
    version: Version
    title: str
    id: Digest
    recipe: dict[str, Any]
    recipe_sha256: Digest
    seed: int
    source: SourceEntry
    splits: Annotated[dict[RecipeName, SplitEntry], msgspec.Meta(min_length=1, max_length=16)]
    refused: LeftOut | msgspec.UnsetType = msgspec.UNSET

    @property
    def has_stored(self) -> bool:
        """Whether some shards are recipe shards, whose views are made on arrival."""
        return any(isinstance(shard.stored, StoredEntry) for split in self.splits.values() for shard in split.shards)

    @property
    def left_out(self) -> LeftOut:
        """``refused``, empty when nothing is left out."""
        return {} if isinstance(self.refused, msgspec.UnsetType) else self.refused

    @property
    def canonical(self) -> bytes:
        """The bytes of ``manifest.json``, which follow from what the manifest says."""
        return canonical_json(msgspec.to_builtins(self))

    @property
    def manifest_sha256(self) -> str:
        """Hex sha256 of ``manifest.json``: the citable identity that covers everything in it.

        ``id`` covers the samples alone; this one licence, citation, title, coverage and the digests of files as well.
        It is computed, and so cannot contradict the manifest.
        """
        return hashlib.sha256(self.canonical).hexdigest()


def identity(splits: dict[str, SplitEntry], left_out: LeftOut | None = None) -> str:
    """The data set's id: sha256 over {split: content digests in order}.

    Where files were left out it is over {"splits": these digests, "left_out": {source split: names in order}}: another
    data set, for any pixels. The reasons do not enter it, because libraries word them differently.
    """
    digests = {
        name: [shard.content_sha256 for shard in (*split.shards, *([split.cutouts] if split.cutouts else []))]
        for name, split in splits.items()
    }
    if not left_out:
        return digest(digests)
    return digest({"splits": digests, "left_out": {split: sorted(names) for split, names in left_out.items()}})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.sha256`` and then ``manifest.json`` into ``folder``, each atomically."""
    write_bytes(folder / DIGEST_FILE, digest_line(manifest))
    write_bytes(folder / FILE, manifest.canonical)


def digest_line(manifest: Manifest) -> bytes:
    """What ``manifest.sha256`` holds: one line as ``sha256sum`` writes and checks it."""
    return f"{manifest.manifest_sha256}  {FILE}\n".encode()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the data set in ``folder``, checked.

    Raises:
        DataError: missing, too large, not a manifest, or not consistent in itself.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise DataError(f"{folder}: no {FILE}: not a finished data set; run `fusionbench generate` again")
    try:
        content = read_bounded(path, MAX_BYTES, "manifest")
        manifest = read_json(content, Manifest, path, (SplitEntry, ShardEntry, StoredEntry))
        _check(path, manifest)
    except (
        msgspec.DecodeError,
        RecursionError,
        UnicodeError,
    ) as error:  # UnicodeError: bytes, or half a surrogate pair
        raise DataError(f"{path}: not a {FORMAT} manifest: {' '.join(str(error).split())}") from error
    return manifest


def _check(path: Path, manifest: Manifest) -> None:
    """Raise DataError for what contradicts itself."""
    for name, split in manifest.splits.items():
        at = 0
        for shard in split.shards:
            if shard.start != at:
                raise DataError(f"{path}: shard {shard.file} of {name!r} starts at {shard.start}, not at {at}")
            at += shard.n
        if at != split.n:
            raise DataError(f"{path}: the shards of {name!r} hold {at} samples, not {split.n}")
    if manifest.has_stored != (manifest.format == FORMAT_STORED):
        raise DataError(f"{path}: it declares {manifest.format}, which its shards contradict; it was edited or damaged")
    if identity(manifest.splits, manifest.left_out) != manifest.id:
        raise DataError(f"{path}: its id does not match its content digests; it was edited by hand or damaged")
    if digest(manifest.recipe) != manifest.recipe_sha256:
        raise DataError(f"{path}: its recipe does not match recipe_sha256; it was edited by hand or damaged")
    source = manifest.recipe.get("source")
    left_out = source.get("leave_out", {}) if isinstance(source, dict) else {}
    if {split: sorted(names) for split, names in manifest.left_out.items()} != left_out:
        raise DataError(f"{path}: its recipe leaves out other files than it lists; it was edited by hand or damaged")
