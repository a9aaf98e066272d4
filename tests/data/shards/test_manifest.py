"""A manifest is read strictly: what contradicts itself, or could lead out of the folder, is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import canonical_json, digest
from fusionbench.data.shards.manifest import Manifest, ShardEntry, SourceEntry, SplitEntry, identity, read_manifest
from fusionbench.data.shards.manifest import write_manifest as write

SHA = "0123456789abcdef" * 4


def entry(start: int, n: int) -> ShardEntry:
    return ShardEntry(
        file=f"x-{start}.h5",
        start=start,
        n=n,
        bytes=100,
        content_sha256=SHA,
        arrays={"views": SHA},
        file_sha256=SHA,
        source_sha256=SHA,
    )


def manifest() -> Manifest:
    splits = {"train": SplitEntry(n=7, shards=[entry(0, 4), entry(4, 3)], coverage=[0.25])}
    source = SourceEntry(
        name="s", title="t", licence="l", citation="c", homepage="h", redistributable=True, fingerprint={"train": SHA}
    )
    return Manifest(
        format="fusionbench.dataset/1",
        name="x",
        version="1.0.0",
        title="X",
        id=identity(splits),
        recipe={"a": 1},
        recipe_sha256=digest({"a": 1}),
        seed=0,
        source=source,
        splits=splits,
    )


def test_it_reads_what_it_writes_canonically(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    assert read_manifest(tmp_path) == manifest()
    content = (tmp_path / "manifest.json").read_bytes()
    assert canonical_json(json.loads(content)) == content


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(raw: dict[str, Any]) -> None:
        *parents, last = key.split(".")
        for parent in parents:
            raw = raw[int(parent)] if isinstance(raw, list) else raw[parent]
        raw[last] = value

    return apply


CHANGES = {
    "another id": change("id", "f" * 64),
    "another digest": change("splits.train.shards.0.content_sha256", "f" * 64),
    "another recipe": change("recipe.a", 2),
    "a gap": change("splits.train.shards.1.start", 5),
    "a wrong count": change("splits.train.n", 8),
    "a path": change("splits.train.shards.0.file", "../../etc/passwd"),
    "a hidden file": change("splits.train.shards.0.file", ".bashrc"),
    "an unknown key": change("extra", 1),
    "another format": change("format", "fusionbench.dataset/2"),
    "an empty shard": change("splits.train.shards.1.n", 0),
}


@pytest.mark.parametrize("apply", CHANGES.values(), ids=CHANGES)
def test_a_manifest_that_was_changed_is_refused(apply: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    write(tmp_path, manifest())
    raw = json.loads((tmp_path / "manifest.json").read_bytes())
    apply(raw)
    (tmp_path / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match=r"manifest\.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 50_000, b'{"format": NaN}', b"\xff"])
def test_what_is_no_manifest_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_an_unfinished_data_set_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a finished data set"):
        read_manifest(tmp_path)
