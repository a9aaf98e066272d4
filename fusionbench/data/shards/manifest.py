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
FILE = "manifest.json"
MAX_BYTES = 64 << 20
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$")]  # never a path
LeftOut = dict[str, dict[str, str]]


class _Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    pass


class ShardEntry(_Part, frozen=True):
    """One shard: samples ``start`` .. ``start + n - 1`` of its split."""

    file: FileName
    start: Annotated[int, msgspec.Meta(ge=0)]
    n: Annotated[int, msgspec.Meta(ge=1)]
    bytes: Annotated[int, msgspec.Meta(ge=1)]
    content_sha256: Sha256
    arrays: dict[str, Sha256]  # of the bytes of each array, to tell which one is damaged
    file_sha256: Sha256
    source_sha256: Sha256  # of the decoded source images of the shard


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
    fingerprint: dict[str, Sha256]  # split of the data set -> sha256 over its shards' source digests


class Manifest(_Part, frozen=True):
    """``refused``: source split -> name -> why the file (or pair) is left out; absent when none is."""

    format: Literal["fusionbench.dataset/1"]
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
        manifest = read_json(read_bounded(path, MAX_BYTES, "manifest"), Manifest, path, (SplitEntry, ShardEntry))
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
    if identity(manifest.splits, manifest.left_out) != manifest.id:
        raise DataError(f"{path}: its id does not match its content digests; it was edited by hand or damaged")
    if digest(manifest.recipe) != manifest.recipe_sha256:
        raise DataError(f"{path}: its recipe does not match recipe_sha256; it was edited by hand or damaged")
    source = manifest.recipe.get("source")
    left_out = source.get("leave_out", {}) if isinstance(source, dict) else {}
    if {split: sorted(names) for split, names in manifest.left_out.items()} != left_out:
        raise DataError(f"{path}: its recipe leaves out other files than it lists; it was edited by hand or damaged")
    return manifest
