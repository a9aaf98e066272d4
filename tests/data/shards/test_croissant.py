"""Oracle: the validator of mlcroissant, where it is installed; hashlib over the files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fusionbench.data.build import build_dataset
from tests.data.test_build import small_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(small_recipe(512), out=tmp_path_factory.mktemp("data"))


def test_it_describes_every_shard(folder: Path) -> None:
    described = json.loads((folder / "croissant.json").read_text())
    files = {entry["contentUrl"]: entry for entry in described["distribution"]}
    assert set(files) == {path.name for path in folder.glob("*.h5")}
    for name, entry in files.items():
        content = (folder / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest() and entry["contentSize"] == f"{len(content)} B"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert described["license"] == manifest["source"]["licence"] and manifest["id"] in described["citeAs"]
    assert described["prov:wasDerivedFrom"]["@id"].startswith("https://")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlcroissant_accepts_it(folder: Path) -> None:
    croissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    dataset = croissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert dataset.metadata.name == "fusiondigits" and not dataset.metadata.issues.errors
