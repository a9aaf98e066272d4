"""Looking for things by their digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.core.errors import DataError
from fusionbench.evaluation.reproduction import places as module
from fusionbench.evaluation.reproduction.places import Finder, Places, files_below


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_weights_by_digest_in_files_folders_and_archives(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a" / "b").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "b" / "weights.safetensors").write_bytes(b"one")
    (tmp_path / "alone.safetensors").write_bytes(b"two")
    (tmp_path / "archive.zip").write_bytes(b"zip")
    (tmp_path / "broken.zip").write_bytes(b"broken")

    def read(path: Path, folder: Path) -> Path | None:
        if path.name == "broken.zip":
            raise DataError("broken")
        assert not list(folder.iterdir())
        (folder / "weights.safetensors").write_bytes(b"three")
        return folder / "weights.safetensors"

    weights = [tmp_path / "broken.zip", tmp_path / "runs", tmp_path / "alone.safetensors", tmp_path / "archive.zip"]
    finder = Finder(Places(weights=weights, read_archive=read), tmp_path / "scratch")
    for content in (b"one", b"two", b"three"):
        found = finder.weights(sha256(content))
        assert found is not None and found.read_bytes() == content
    assert finder.weights(sha256(b"four")) is None
    without = Finder(Places(weights=weights), tmp_path / "other")
    assert without.weights(sha256(b"three")) is None, "archives are passed over"
    assert Finder(Places(weights=[tmp_path / "nothing"]), tmp_path).weights(sha256(b"one")) is None


def test_links_are_not_followed_and_the_search_ends(tmp_path: Path, monkeypatch: object) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.zip").write_bytes(b"")
    (inside / "link.zip").symlink_to(tmp_path / "secret.zip")
    (inside / "loop").symlink_to(inside)
    (inside / "real.zip").write_bytes(b"")
    assert [path.name for path in files_below(inside, lambda name: True)] == ["real.zip"]


def test_the_number_of_files_and_the_depth_are_bounded(tmp_path: Path, monkeypatch: object) -> None:
    deep = tmp_path
    for number in range(module.MAX_DEPTH + 2):
        deep = deep / str(number)
    deep.mkdir(parents=True)
    (deep / "far.zip").write_bytes(b"")
    assert list(files_below(tmp_path, lambda name: True)) == []


def test_fused_images_by_the_digest_of_names_and_contents(tmp_path: Path) -> None:
    made: list[list[str]] = []
    for method in ("mine", "theirs"):
        (tmp_path / method / "out").mkdir(parents=True)
        for number, stem in enumerate(("a", "b")):
            path = tmp_path / method / "out" / f"{stem}.png"
            Image.fromarray(np.full((4, 4), number + 7 * (method == "mine"), np.uint8)).save(path)
            if method == "mine":
                made.append([stem, sha256(path.read_bytes())])
    wanted = sha256(json.dumps(made, separators=(",", ":")).encode())
    finder = Finder(Places(weights=[tmp_path]), tmp_path / "scratch")
    assert finder.fused_images(wanted, ["a", "b"]) == tmp_path / "mine" / "out"
    assert finder.fused_images("0" * 64, ["a", "b"]) is None
    assert finder.fused_images(wanted, ["a", "b", "c"]) is None


def test_damaged_manifests_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text("{}")
    assert Finder(Places(data=[tmp_path / "data"]), tmp_path).manifests() == []
