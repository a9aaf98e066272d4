"""``manifest.json``: what a data set is, shard by shard. Written last; its presence makes the folder immutable.

Canonical JSON without times, hosts or versions of tools, so that equal data sets have equal manifests. ``id`` is the
sha256 over the ordered content digests: the data set's citable identity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.core.errors import DataError
from fusionbench.core.formats import read_json
from fusionbench.core.io import digest, read_bounded, write_json

FORMAT = "fusionbench.dataset/1"
FORMAT_STORED = "fusionbench.dataset/1.1"  # declared where a shard has ``stored``, and only there
FILE = "manifest.json"
MAX_BYTES = 64 << 20
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$")]  # never a path
LeftOut = dict[str, dict[str, str]]


class _Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    pass


class StoredEntry(_Part, frozen=True):
    """The file of a recipe shard: without the arrays that are made on arrival."""

    bytes: Annotated[int, msgspec.Meta(ge=1)]
    file_sha256: Sha256


class ShardEntry(_Part, frozen=True):
    """One shard: samples ``start`` .. ``start + n - 1`` of its split.

    With ``stored`` the file lacks ``views`` and ``params``; everything else here is of the whole shard, as it is made
    of the file (:mod:`fusionbench.data.recipe_shards`). Absent where the file is the whole shard.
    """

    file: FileName
    start: Annotated[int, msgspec.Meta(ge=0)]
    n: Annotated[int, msgspec.Meta(ge=1)]
    bytes: Annotated[int, msgspec.Meta(ge=1)]
    content_sha256: Sha256
    arrays: dict[str, Sha256]  # of the bytes of each array, to tell which one is damaged
    file_sha256: Sha256
    source_sha256: Sha256  # of the decoded source images of the shard
    stored: StoredEntry | msgspec.UnsetType = msgspec.UNSET  # since fusionbench.dataset/1.1

    @property
    def on_disk(self) -> tuple[int, str]:
        """Bytes and sha256 of the file as it lies beside the manifest."""
        here = self.stored if isinstance(self.stored, StoredEntry) else self
        return here.bytes, here.file_sha256


class SplitEntry(_Part, frozen=True):
    """``coverage[k]``: share of the targets' pixels seen in the first k+1 views; ``cutouts``: the bank of overlays."""

    n: Annotated[int, msgspec.Meta(ge=1)]
    shards: Annotated[list[ShardEntry], msgspec.Meta(min_length=1)]
    coverage: list[float] = []
    cutouts: ShardEntry | None = None
    cutouts_iou: float | None = None  # of the cut masks with those of the source, where it has some


class SourceEntry(_Part, frozen=True):
    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    redistributable: bool
    fingerprint: dict[str, Sha256]  # split of the data set -> sha256 over its shards' source digests


class Manifest(_Part, frozen=True):
    """``refused``: source split -> name -> why the file (or pair) is left out; absent when none is."""

    format: Literal["fusionbench.dataset/1", "fusionbench.dataset/1.1"]
    name: str
    version: str
    title: str
    id: Sha256
    recipe: dict[str, Any]
    recipe_sha256: Sha256
    seed: int
    source: SourceEntry
    splits: dict[str, SplitEntry]
    refused: LeftOut | msgspec.UnsetType = msgspec.UNSET

    @property
    def has_stored(self) -> bool:
        """Whether some shards are recipe shards, whose views are made on arrival."""
        return any(isinstance(shard.stored, StoredEntry) for split in self.splits.values() for shard in split.shards)

    @property
    def left_out(self) -> LeftOut:
        """``refused``, empty when nothing is left out."""
        return {} if isinstance(self.refused, msgspec.UnsetType) else self.refused


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
    """Write ``manifest.json`` into ``folder`` atomically."""
    write_json(folder / FILE, msgspec.to_builtins(manifest))


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
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"{path}: not a {FORMAT} manifest: {error}") from error
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
    return manifest
