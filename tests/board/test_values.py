"""Images beside results: PNG of a size that may be, and what is damaged is left out of the pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.board import build_board
from fusionbench.board.values import png_bytes
from fusionbench.core.errors import DataError
from fusionbench.core.images import encode_png
from tests.helpers.results import saved

IDS = ["p0", "p1", "p2"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    rng = np.random.default_rng(0)
    folders = [root / "pairs-demo" / "sources" / name for name in ("a", "b")]
    for name, value in (("one", 0.1), ("two", 0.2)):
        folders.append(saved(root, name, {"vif": [value, 0.3, 0.4]}, ids=IDS) / "fused")
    for folder in folders:
        folder.mkdir(parents=True)
        for name in IDS:
            (folder / f"{name}.png").write_bytes(encode_png(rng.integers(0, 255, (16, 16), dtype=np.uint8)))
    return root


def shown(site: Path, model: str) -> dict[str, list[int]]:
    (path,) = site.glob(f"data/*/{model}-*.js")
    data = json.loads(path.read_text().removeprefix("fusionbenchData(").removesuffix(");\n"))
    return {key: data[key] for key in ("fused", "ssim", "qabf")}


def test_images_and_maps_of_every_row(results: Path, tmp_path: Path) -> None:
    build_board(results, tmp_path / "site", resamples=100)
    assert shown(tmp_path / "site", "one") == {"fused": [0, 1, 2], "ssim": [0, 1, 2], "qabf": [0, 1, 2]}


@pytest.mark.parametrize("damage", [b"no PNG", None, "size"])
def test_a_damaged_output_is_left_out_of_its_row(damage: bytes | str | None, results: Path, tmp_path: Path) -> None:
    path = next(results.glob("*/one/*/fused/p1.png"))
    whole = path.read_bytes()
    other = encode_png(np.zeros((8, 8), np.uint8))
    path.write_bytes(other if damage == "size" else damage if isinstance(damage, bytes) else whole[: len(whole) // 2])
    page = build_board(results, tmp_path / "site", resamples=100).read_text()
    assert shown(tmp_path / "site", "one")["fused"] == [0, 2] and shown(tmp_path / "site", "two")["fused"] == [0, 1, 2]
    assert f"<code>{path.relative_to(results).as_posix()}</code>" in page
    with pytest.raises(DataError, match=r"p1\.png"):
        build_board(results, tmp_path / "strict", resamples=100, strict=True)


def test_a_damaged_source_is_left_out_of_all(results: Path, tmp_path: Path) -> None:
    (results / "pairs-demo" / "sources" / "b" / "p0.png").write_bytes(b"")
    build_board(results, tmp_path / "site", resamples=100)
    assert shown(tmp_path / "site", "one")["fused"] == shown(tmp_path / "site", "two")["fused"] == [1, 2]


def test_what_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(DataError, match="no such image"):
        png_bytes(path)
    path.write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="not a PNG"):
        png_bytes(path)
    with path.open("wb") as stream:
        stream.truncate((32 << 20) + 1)
    with pytest.raises(DataError, match="too large"):
        png_bytes(path)
