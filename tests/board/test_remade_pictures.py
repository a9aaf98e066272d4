"""A board with pictures that are made again: beside the site, on its pages, and in its index."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionbench import create_model, open_pairs
from fusionbench.board import build_board
from fusionbench.board.remade_pictures import PicturesAgain, picture_cache
from fusionbench.board.site_index import read_index
from fusionbench.board.verify import verify_board
from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.pairs import evaluate_pairs
from tests.cli.runner import run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, pairs = tmp_path_factory.mktemp("remade") / "results", open_pairs("pairs-demo", limit=2)
    how: dict[str, Any] = {"out": folder, "device": "cpu", "keep_images": False}
    for name in ("copy-a", "average"):
        evaluate_pairs(create_model(name, ImageSpec(1, 256, 256, views=2)), pairs, **how)
    return folder


def test_pictures_are_on_the_pages_and_kept_beside_them(results: Path, tmp_path: Path) -> None:
    site, again = tmp_path / "site", PicturesAgain([tmp_path], most=1)
    build_board(results, site, resamples=50, pictures=again)
    shown = sorted(path.relative_to(site).as_posix() for path in site.glob("pictures/**/*.png"))
    assert len(shown) == 2 + 2 * 3, "sources, and of each row the picture and two maps"
    fused = [name for name in shown if "/fused/" in name]
    assert len(fused) == 2 and len({Path(name).name for name in shown}) == 1, "one pair, of both rows"
    assert len(list(picture_cache(site).rglob("*.png"))) == 4 and picture_cache(site).parent == tmp_path
    assert not list(results.rglob("*.png")), "results stay as they are"
    assert "with its picture" in next(site.glob("*-images.html")).read_text()
    assert json.loads((site / "board-index.json").read_text())["pictures"] == "free"
    assert verify_board(results, site, pictures=again).ok
    with pytest.raises(UsageError, match="pictures of these pages were made again; name their data"):
        verify_board(results, site)
    build_board(results, site, resamples=50)  # the cache is not looked at unless it is asked for
    assert not list(site.glob("pictures/**/*.png"))
    assert "pictures" not in json.loads((site / "board-index.json").read_text()), "as other releases read it"
    assert verify_board(results, site).ok
    with pytest.raises(UsageError, match="no picture of these pages was made again"):
        verify_board(results, site, pictures=again)


def test_reduced_pictures_beside_results_do_not_mix_with_whole_ones(results: Path, tmp_path: Path) -> None:
    """As of results that come with a repository: what is made again has its sources' size, the rest is not shown."""
    mine, again = tmp_path / "results", PicturesAgain([tmp_path], most=1)
    shutil.copytree(results, mine)
    fused = [path.parent / "fused" for path in mine.rglob("result.json")]
    for folder in (mine / "pairs-demo/sources/a", mine / "pairs-demo/sources/b", *fused):
        for stem in ("astronaut", "chelsea"):
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("L", (128, 128)).save(folder / f"{stem}.png")
    page = build_board(mine, tmp_path / "site", resamples=50, pictures=again)
    assert read_index(page.parent)[0].set_aside == []
    sizes = sorted(Image.open(path).size for path in page.parent.glob("pictures/**/*.png") if "card" not in path.name)
    assert sizes == [(128, 128)] * 8 + [(256, 256)] * 8, "one pair is made again, the other is as it lies there"


def test_the_command_line(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("board", results, "-o", tmp_path / "site")
    code, _, said = run(capsys, *words, "--private-pictures")
    assert code == 2 and "belong to --pictures-from DIR" in said
    code, _, said = run(capsys, *words, "--pictures-from", tmp_path / "none")
    assert code == 2 and "none: no such folder; name one of pairs" in said
    assert not (tmp_path / "site").exists()
