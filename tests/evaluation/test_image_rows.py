"""Image files that belong together: pairing by stem of two to eight folders, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.image_rows import Triple, missing_text, pair_by_stem, pair_files, pair_sides


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Five folders with the stems 1 and 2, each in a format of its own."""
    places = {}
    for side, suffix in (("a", "png"), ("b", "bmp"), ("c", "tif"), ("target", "pgm"), ("fused", "png")):
        (tmp_path / side).mkdir()
        for stem in "12":
            Image.fromarray(np.full((2, 3), 9, np.uint8)).save(tmp_path / side / f"{stem}.{suffix}")
        places[side] = tmp_path / side
    return places


def test_rows_of_any_sides(folders: dict[str, Path]) -> None:
    rows, missing = pair_sides(folders)
    assert [row.id for row in rows] == ["1", "2"] and missing == {}
    assert list(rows[1].files) == ["fused", "a", "b", "c", "target"]
    assert {side: path.parent.name for side, path in rows[1].files.items()} == {side: side for side in rows[1].files}
    assert rows[1].more == (folders["c"] / "2.tif",) and rows[1].target == folders["target"] / "2.pgm"
    (pair, _), _ = pair_files(folders["a"], folders["b"], folders["fused"])
    assert list(pair.files) == ["fused", "a", "b"] and pair.target is None
    (alone, _), _ = pair_sides({"target": folders["target"], "fused": folders["fused"]})
    assert list(alone.files) == ["fused", "target"] and alone.a is None


def test_absolute_names(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders["a"].parent)
    row = Triple("1", Path("fused/1.png"), Path("a/1.png"), Path("b/1.bmp"), (Path("c/1.tif"),), Path("target/1.pgm"))
    assert row.absolute() == pair_sides(folders)[0][0]


def test_what_lacks_a_partner(folders: dict[str, Path]) -> None:
    (folders["target"] / "1.pgm").unlink()
    (folders["c"] / "extra.png").write_bytes(b"")
    rows, missing = pair_by_stem(folders)
    assert [stem for stem, _ in rows] == ["2"]
    assert missing == {"1": ["target"], "extra": ["a", "b", "target", "fused"]}
    assert missing_text(missing, "fused").startswith("2 stems lack a partner and were not fused: 1 (not in target)")
    (folders["target"] / "2.pgm").rename(folders["target"] / "3.pgm")
    with pytest.raises(DataError, match=r"No stem is in all five folders \(a: 1\.png"):
        pair_by_stem(folders)


def test_files_and_folders_are_not_mixed(folders: dict[str, Path]) -> None:
    folders["c"] = folders["c"] / "1.tif"
    with pytest.raises(UsageError, match=r"--a, --b, --c, --target and --fused must be five files or five folders"):
        pair_by_stem(folders)
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        pair_sides({"target": Path("nowhere"), "fused": folders["fused"]})


def test_stems_that_differ_in_how_accents_are_encoded_are_explained() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    assert "only in how accents are encoded" in missing_text({composed: ["a"], apart: ["b"]})
    assert "accents" not in missing_text({composed: ["a"], "tea": ["b"]})
