"""Images of a figure are those that ``fuse`` writes, and their scores those that ``score`` gives the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.evaluation.fusing.folders import fuse_files
from fusionbench.evaluation.image_files import score_files
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.paper.pictures import PairFiles, open_methods, score_named, shown_pairs, used_files
from tests.evaluation.fusing.scenes import folders, pixels

NO_RANGES = Ranges()


def test_they_are_what_fuse_writes_and_score_says(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    done = fuse_files(ir, vis, tmp_path / "out", "average", device="cpu", jobs=1)
    scored = score_files(ir, vis, tmp_path / "out", metrics=["en", "ssim"], jobs=1)
    methods = open_methods(["average", f"Files={tmp_path}/out"], "cpu")
    metrics = [score_named("EN"), score_named("SSIM")]
    found = shown_pairs(PairFiles.of_places(ir, vis, NO_RANGES), ["two", "wide"], methods, scores=metrics)
    for pair in found:
        here, file = pair.fused
        assert np.array_equal(here.pixels, pixels(tmp_path / "out" / f"{pair.stem}.png"))
        assert np.array_equal(file.pixels, here.pixels) and here.title == "average of the sources"
        row = scored.ids.index(pair.stem)
        for picture in (here, file):
            assert picture.scores["en"] == pytest.approx(scored.values["en"][row], abs=1e-12)
            assert np.array_equal(picture.scores["ssim"], scored.values["ssim"][row], equal_nan=True)
    assert [one.title for one in found[0].pictures[:2]] == ["Source A", "Source B"] and found[1].size == (9, 30)
    assert [method.kind for method in methods] == ["fused here", "images"] and len(done.outputs) == 3


def test_grey_images_of_a_folder_get_the_colour_of_the_source(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path, stems=("one",))
    (tmp_path / "grey").mkdir()
    Image.open(vis / "one.png").convert("L").save(tmp_path / "grey" / "one.png")
    pairs, methods = PairFiles.of_places(ir, vis, NO_RANGES), open_methods([f"{tmp_path}/grey"])
    (pair,) = shown_pairs(pairs, ["one"], methods)
    difference = pair.fused[0].pixels.astype(int) - pixels(vis / "one.png").astype(int)
    assert np.abs(difference).max() <= 2, "the luminance of the visible image, in its own colours"
    (grey,) = shown_pairs(pairs, ["one"], methods, colour="none")
    assert all(picture.pixels.ndim == 2 for picture in grey.pictures)
    # colour of the first source, where the second has none
    (other,) = shown_pairs(PairFiles.of_places(vis, ir, NO_RANGES), ["one"], open_methods(["average"], "cpu"))
    assert other.fused[0].pixels.ndim == 3


def test_three_equal_channels_are_grey(tmp_path: Path) -> None:
    ir, _ = folders(tmp_path, stems=("one",))
    (tmp_path / "rgb").mkdir()
    Image.open(ir / "one.png").convert("RGB").save(tmp_path / "rgb" / "one.png")
    pairs = PairFiles.of_places(ir, tmp_path / "rgb", NO_RANGES)
    (pair,) = shown_pairs(pairs, ["one"], open_methods(["average"], "cpu"))
    assert all(picture.pixels.ndim == 2 for picture in pair.pictures)
    assert np.array_equal(pair.fused[0].pixels, pixels(ir / "one.png"))


def test_folders_of_results_and_embedded_pairs(tmp_path: Path) -> None:
    pairs = open_pairs("pairs-demo", "all", None, limit=1)
    data = PairFiles.of_data("pairs-demo", None, None, NO_RANGES)
    assert data.choose([]) == ["astronaut"] and data.files_of("astronaut") == ()
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(DataError, match="were not kept"):
        open_methods([str(tmp_path)])
    (tmp_path / "fused").mkdir()
    Image.fromarray(pairs.pair(0)[1]).save(tmp_path / "fused" / "astronaut.png")
    methods = open_methods([f"Kept={tmp_path}", "copy-b"], "cpu")
    assert used_files(methods, ["astronaut"]) == [tmp_path / "fused" / "astronaut.png"]
    (pair,) = shown_pairs(data, ["astronaut"], methods)
    assert all(np.array_equal(picture.grey, pairs.pair(0)[1]) for picture in pair.fused)
    assert np.array_equal(pair.pictures[0].grey, pairs.pair(0)[0])


def test_presets_and_metrics_by_name() -> None:
    (method,) = open_methods(["gradient-domain@metrics"], "cpu")
    assert method.method is not None and method.given == "gradient-domain@metrics"
    assert score_named("Q^{AB/F}").name == "qabf" and score_named("mi@cddfuse").unit == "nats"


def test_published_images_of_a_real_pair(real_data: Path) -> None:
    """By the source's name; scores are those of the three files."""
    pairs = PairFiles.of_data("tno", None, real_data / "tno", NO_RANGES)
    folder = real_data / "fused" / "CDDFuse" / "tno"
    metrics = [score_named(name) for name in ("EN", "Qabf")]
    (pair,) = shown_pairs(pairs, ["17"], open_methods([f"CDDFuse={folder}"]), scores=metrics)
    files = pairs.files_of("17")
    scored = score_files(*files, folder / "17.png", metrics=["en", "qabf"], jobs=1)
    assert pair.fused[0].scores == {name: scored.values[name][0] for name in ("en", "qabf")}
    assert all(picture.pixels.ndim == 2 for picture in pair.pictures), "three equal channels are one"


def test_what_is_refused(tmp_path: Path) -> None:
    ir, vis = folders(tmp_path)
    pairs = PairFiles.of_places(ir, vis, NO_RANGES)
    for stems, words in ((["three"], "Unknown pair"), (["one", "one"], "twice"), (["one"] * 25, "twice")):
        with pytest.raises(UsageError, match=words):
            pairs.choose(stems)
    for names, words in (
        ([], "shows 1 to"),
        (["average", "average"], "two methods are called"),
        (["="], "TITLE=NAME"),
        (["densefuse"], "name the run folder"),
        (["mse"], "Unknown method"),
    ):
        with pytest.raises(UsageError, match=words):
            open_methods(names, "cpu")
    for name, words in (("nll", "needs"), ("psnr_target", "add --target"), ("xyz", "Unknown metric")):
        with pytest.raises(UsageError, match=words):
            score_named(name)
    (tmp_path / "small").mkdir()
    Image.new("L", (5, 5)).save(tmp_path / "small" / "one.png")
    with pytest.raises(DataError, match=r"one\.png: 5×5 pixels, and the sources 12×17"):
        shown_pairs(pairs, ["one"], open_methods([f"{tmp_path}/small"]))
    with pytest.raises(DataError, match="no image of two"):
        shown_pairs(pairs, ["one", "two"], open_methods([f"{tmp_path}/small"]))
    Image.new("L", (5, 5)).save(ir / "one.png")
    with pytest.raises(DataError, match="a is 5×5 and b is 12×17"):
        shown_pairs(pairs, ["one"], open_methods(["average"], "cpu"))
