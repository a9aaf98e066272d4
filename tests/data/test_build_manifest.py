"""From notes to a manifest: entries in order, coverage over all shards, and nothing without the last step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import RejectedError
from fusionbench.core.io import digest
from fusionbench.data import build_manifest
from fusionbench.data.build import build_dataset
from fusionbench.data.build_shards import JOURNAL
from fusionbench.data.shards.manifest import FILE, read_manifest
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.source_record import RECORD
from tests.data.test_build import small_recipe
from tests.data.test_refused import recipe, write_good


def test_the_manifest_follows_from_the_shards(tmp_path: Path) -> None:
    folder = build_dataset(small_recipe(500), out=tmp_path)
    manifest = read_manifest(folder)
    for split, entry in manifest.splits.items():
        shards = [open_shard(folder / shard.file) for shard in entry.shards]
        assert [shard.start for shard in entry.shards] == list(np.cumsum([0] + [len(shard) for shard in shards[:-1]]))
        assert entry.n == sum(map(len, shards))
        # the views' noise hides the masks; the share of pixels is that of the targets' ellipses, as notes count them
        notes = [json.loads((folder / JOURNAL / f"{shard.file}.json").read_bytes()) for shard in entry.shards]
        seen = np.sum([note["covered"] for note in notes], axis=0) / (entry.n * 32 * 32)
        assert entry.coverage == pytest.approx(seen, abs=1e-6) and (np.diff(entry.coverage) > 0).all()
        assert manifest.source.fingerprint[split] == digest([shard.source_sha256 for shard in entry.shards])


def test_an_unexpected_id_is_rejected_before_anything_is_described(tmp_path: Path) -> None:
    chosen = small_recipe(1024, f'[expect]\nid = "{"0" * 64}"\n')
    with pytest.raises(RejectedError, match="not as 000000000000"):
        build_dataset(chosen, out=tmp_path)
    assert not {path.name for path in chosen.folder(tmp_path).iterdir()} & {FILE, "README.md", "croissant.json"}


def test_the_manifest_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = []

    def stop(folder: Path, manifest: object) -> None:
        there.extend(str(path.relative_to(folder)) for path in folder.rglob("*"))
        raise KeyboardInterrupt

    monkeypatch.setattr(build_manifest, "write_manifest", stop)
    root = write_good(tmp_path / "files")
    with pytest.raises(KeyboardInterrupt):
        build_dataset(recipe(), root, tmp_path / "out")
    assert {"README.md", "croissant.json", "preview.png", f"{JOURNAL}/{RECORD}", f"{JOURNAL}/digests.json"} <= set(
        there
    )
    assert FILE not in there
    monkeypatch.undo()
    assert (build_dataset(recipe(), root, tmp_path / "out") / FILE).is_file()
