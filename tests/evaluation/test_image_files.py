"""Scoring picture files: pairing, refusing, warning, and the published row of CDDFuse on TNO."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats as scipy_stats

from fusionbench.core.errors import CannotMeasure, DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.images import read_image
from fusionbench.evaluation import image_files as score
from fusionbench.evaluation.definitions import ways
from fusionbench.evaluation.image_files import pair_files, score_files
from fusionbench.metrics import get_metric
from fusionbench.metrics.engine import TABLE, score_images
from tests.metrics.scenes import scene


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Three triples in ir/ (PNG), vi/ (BMP, in colour) and out/ (PNG)."""
    places = {name: tmp_path / name for name in ("ir", "vi", "out")}
    for place in places.values():
        place.mkdir()
    for seed in range(3):
        fused, a, b = scene(seed)
        Image.fromarray(fused).save(places["out"] / f"n{seed}.png")
        Image.fromarray(a).save(places["ir"] / f"n{seed}.png")
        Image.fromarray(np.dstack([b, b, b])).save(places["vi"] / f"n{seed}.bmp")
    return places


def test_folders_equal_arrays(folders: dict[str, Path]) -> None:
    scores = score_files(folders["ir"], folders["vi"], folders["out"], jobs=1)
    expected = score_images(*(np.stack(images) for images in zip(*(scene(seed) for seed in range(3)), strict=True)))
    assert scores.ids == ["n0", "n1", "n2"] and list(scores.values) == list(TABLE)
    for name in TABLE:
        assert scores.values[name].tolist() == expected[name].tolist()
        assert scores.summary[name].mean == pytest.approx(expected[name].mean(), rel=1e-15)
        assert scores.summary[name].n == 3
        student = scipy_stats.t.interval(0.95, 2, expected[name].mean(), scipy_stats.sem(expected[name]))
        assert scores.to_json()["ci95"][name] == pytest.approx(student, rel=1e-9)
    assert scores.warnings == [] and scores.missing == {} and scores.dialect == "standard/1"


def test_jobs_and_single_files_do_not_move_a_value(folders: dict[str, Path]) -> None:
    one = score_files(folders["ir"], folders["vi"], folders["out"], ["vif", "en"], jobs=1)
    three = score_files(folders["ir"], folders["vi"], folders["out"], ["vif", "en"], jobs=3)
    assert {k: v.tolist() for k, v in one.values.items()} == {k: v.tolist() for k, v in three.values.items()}
    single = score_files(folders["ir"] / "n1.png", folders["vi"] / "n1.bmp", folders["out"] / "n1.png", ["vif"])
    assert single.ids == ["n1"] and single.values["vif"].tolist() == [one.values["vif"][1]]
    assert single.interval("vif") is None and single.to_json()["ci95"] == {"vif": None}


def test_json_form(folders: dict[str, Path]) -> None:
    scores = score_files(folders["ir"], folders["vi"], folders["out"], ["en", "vif"], "cddfuse", jobs=1)
    found = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert found["dialect"] == "cddfuse/1" and found["versions"] == {"en": "1", "vif": "1"}
    assert found["images"][2]["id"] == "n2" and found["images"][2]["vif"] == scores.values["vif"][2]
    assert found["mean"]["en"] == scores.summary["en"].mean


def test_colour_is_made_grey_as_the_dialect_says(folders: dict[str, Path]) -> None:
    """CDDFuse's evaluator gives OpenCV float32: of colours exactly between two levels some fall to the other side."""
    import cv2

    r, g, b = np.meshgrid(np.arange(256), np.arange(256), np.arange(256), indexing="ij", sparse=True)
    r, g, b = (side[: 61 * 74].reshape(61, 74) for side in np.nonzero((299 * r + 587 * g + 114 * b) % 1000 == 500))
    colour = np.dstack([r, g, b]).astype(np.uint8)
    for stem in ("n0", "n1", "n2"):
        Image.fromarray(colour).save(folders["vi"] / f"{stem}.bmp")
    scores = score_files(folders["ir"], folders["vi"], folders["out"], dialect="cddfuse", jobs=1)
    usual = score_files(folders["ir"], folders["vi"], folders["out"], jobs=1)
    assert (scores.grey, usual.grey, scores.to_json()["grey"]) == ("opencv-float32", "bt601", "opencv-float32")
    theirs = np.round(cv2.cvtColor(colour[..., ::-1].astype(np.float32), cv2.COLOR_BGR2GRAY)).astype(np.uint8)
    exact = read_image(folders["vi"] / "n0.bmp").grey()
    if cv2.checkHardwareSupport(11) or cv2.checkHardwareSupport(100):  # AVX2, NEON: OpenCV fuses there only
        for grey, same in ((theirs, True), (exact, False)):
            f, a = (np.stack([scene(seed)[side] for seed in range(3)]) for side in (0, 1))
            expected = score_images(f, a, np.stack([grey] * 3), dialect="cddfuse")
            assert np.allclose(scores.values["mi"], expected["mi"], rtol=1e-12, atol=0) is same
            assert np.allclose(scores.values["ssim"], expected["ssim"], rtol=1e-12, atol=0) is same
    mixed = score_files(
        folders["ir"], folders["vi"], folders["out"], [get_metric("mi", "cddfuse"), get_metric("en")], jobs=1
    )
    assert mixed.values["mi"].tolist() == scores.values["mi"].tolist() and list(mixed.values) == ["mi", "en"]
    rows = pair_files(folders["ir"], folders["vi"], folders["out"])[0]
    plain = [way for way in ways(["mi"], rows, Ranges()) if way.metric == "mi" and way.steps == 0]
    explained = {way.dialect: way.value for way in plain}
    assert explained["cddfuse/1"] == pytest.approx(scores.summary["mi"].mean, rel=1e-12), "explain takes grey as score"
    assert explained["standard/1"] == pytest.approx(usual.summary["mi"].mean, rel=1e-12)


def test_each_metric_names_the_definition_that_was_used(folders: dict[str, Path]) -> None:
    """NIQE is another library's, whatever dialect the others are in."""
    niqe = replace(get_metric("niqe"), function=lambda fused: fused.mean(axis=(1, 2)), min_side=1)
    scores = score_files(folders["ir"], folders["vi"], folders["out"], [get_metric("en"), niqe], jobs=1)
    assert scores.to_json()["dialects"] == {"en": "standard/1", "niqe": "library/1"}
    assert scores.measured_by == "standard/1, library/1 (niqe)" and scores.measured_by in repr(scores)
    assert "standard/1, library/1 (niqe)" in scores._repr_html_()
    plain = score_files(folders["ir"], folders["vi"], folders["out"], ["en"], jobs=1)
    assert plain.measured_by == "standard/1" and "standard" not in repr(plain)
    params = [found.stored().result.identity.protocol.params for found in (plain, scores)]
    assert "dialects" not in params[0] and params[1]["dialects"] == {"niqe": "library/1"}


def test_target_and_further_sources(folders: dict[str, Path]) -> None:
    ir, vi, out = folders["ir"], folders["vi"], folders["out"]
    scores = score_files(None, None, out, target=ir, jobs=1)
    assert scores.inputs == ("fused", "target") and list(scores.values) == ["mse_target", "psnr_target", "ssim_target"]
    f, a = (np.stack([scene(seed)[side] for seed in range(3)]).astype(float) for side in (0, 1))
    assert scores.values["mse_target"] == pytest.approx(((f - a) ** 2).mean((1, 2)), rel=1e-12)
    many = score_files(ir, vi, out, ["mse"], more=[ir], jobs=2)
    b = np.stack([scene(seed)[2] for seed in range(3)]).astype(float)
    expected = (2 * ((f - a) ** 2).mean((1, 2)) + ((f - b) ** 2).mean((1, 2))) / 3
    assert many.values["mse"] == pytest.approx(expected, rel=1e-12) and many.to_json()["inputs"] == ["fused", *"abc"]
    both = score_files(ir, vi, out, target=ir, jobs=1)
    assert list(both.values) == [*TABLE, "mse_target", "psnr_target", "ssim_target"]
    assert both.values["vif"].tolist() == score_files(ir, vi, out, ["vif"], jobs=1).values["vif"].tolist()
    copy = score_files(None, None, ir, target=ir, jobs=1)
    assert copy.summary["psnr_target"].mean is None
    assert copy.not_available["n0"]["psnr_target"].reason == "infinite where the fused image equals the target"


def test_targets_that_do_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    ir, vi, out = folders["ir"], folders["vi"], folders["out"]
    (ir / "n1.png").unlink()
    scores = score_files(None, None, out, target=ir, jobs=1)
    assert scores.ids == ["n0", "n2"] and scores.missing == {"n1": ["target"]}
    with pytest.raises(DataError, match=r"n1 \(not in target\).*--strict"):
        score_files(None, None, out, target=ir, strict=True)
    Image.fromarray(scene(0)[0][:-1]).save(ir / "n0.png")
    with pytest.raises(DataError, match=r"n0: sizes differ \(fused 61×74, target 60×74\)"):
        score_files(None, None, out, target=ir, jobs=1)
    (ir / "n0.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"n0\.png: not a readable"):
        score_files(None, None, out, target=ir, jobs=1)
    for given in ({}, {"more": [ir]}, {"target": ir, "more": [vi]}):
        with pytest.raises(UsageError, match="--a and --b, against --target"):
            score_files(None, None, out, **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at most 6 are scored together"):
        score_files(ir, vi, out, more=[ir] * 5)


def test_a_value_that_is_not_finite_stays_visible(folders: dict[str, Path]) -> None:
    Image.fromarray(np.full((61, 74), 8, np.uint8)).save(folders["out"] / "n1.png")
    scores = score_files(folders["ir"], folders["vi"], folders["out"], ["cc", "sd"], jobs=1)
    assert np.isnan(scores.values["cc"][1]) and scores.summary["cc"].mean is None
    reason = "undefined where the fused image is constant"
    assert scores.summary["cc"].reason == f"1 of 3 images have no value (n1: {reason})"
    assert scores.not_available["n1"]["cc"].reason == reason and list(scores.not_available) == ["n1"]
    found = scores.to_json()
    assert found["images"][1]["cc"] is None and found["mean"]["sd"] is not None and found["mean"]["cc"] is None
    assert found["images"][1]["not_available"] == {"cc": reason} and found["images"][0]["not_available"] == {}
    assert found["not_available"]["cc"] == [{"reason": reason, "cause": "fused", "n": 1, "images": ["n1"]}]
    assert found["n_by_metric"] == {"cc": 2, "sd": 3}


def small(folders: dict[str, Path], stem: str, rows: int) -> None:
    """Cut one triple to its first rows."""
    for place, name in (("ir", f"{stem}.png"), ("vi", f"{stem}.bmp"), ("out", f"{stem}.png")):
        image = Image.open(folders[place] / name)
        image.crop((0, 0, image.width, rows)).save(folders[place] / name)


def test_small_images_are_scored_by_what_can_score_them(folders: dict[str, Path]) -> None:
    """28 rows are enough for seven of the eight metrics; vif keeps its mean over the two images that it can score."""
    whole = score_files(folders["ir"], folders["vi"], folders["out"], jobs=1)
    small(folders, "n1", 28)
    scores = score_files(folders["ir"], folders["vi"], folders["out"], jobs=2)
    assert np.isfinite([scores.values[name] for name in TABLE if name != "vif"]).all()
    assert np.isnan(scores.values["vif"]).tolist() == [False, True, False]
    expected = (whole.values["vif"][0] + whole.values["vif"][2]) / 2
    assert scores.summary["vif"].mean == pytest.approx(expected, rel=1e-15) and scores.summary["vif"].n == 2
    assert scores.summary["en"].n == 3 and scores.to_json()["n_by_metric"]["vif"] == 2
    why = scores.not_available["n1"]["vif"]
    assert why.cause == "size" and why.reason.startswith("needs images of at least 41×41 pixels")
    for stem in ("n0", "n2"):
        small(folders, stem, 28)
    none = score_files(folders["ir"], folders["vi"], folders["out"], jobs=1).summary["vif"]
    assert none.mean is None and none.n == 0 and "3 of 3 images have no value" in none.reason


def test_copies_constants_and_black_images_are_told(folders: dict[str, Path]) -> None:
    Image.fromarray(scene(0)[1]).save(folders["out"] / "n0.png")
    Image.fromarray(np.zeros((61, 74), np.uint8)).save(folders["out"] / "n1.png")
    Image.fromarray(np.full((61, 74), 9, np.uint8)).save(folders["out"] / "n2.png")
    warnings = score_files(folders["ir"], folders["vi"], folders["out"], ["sd"], jobs=1).warnings
    told = [warning.partition(":")[0] for warning in warnings]
    assert told == [
        "the fused image is black in 1 of 3 images (n1)",
        "the fused image is constant in 1 of 3 images (n2)",
        "the fused image is identical to --a in 1 of 3 images (n0)",
    ]
    assert all(": " in warning for warning in warnings)
    same = score_files(folders["ir"], folders["ir"], folders["out"], ["sd"], jobs=1).warnings
    assert any(line.startswith("both sources are the same image in 3 of 3 images (n0, n1, n2)") for line in same)


def test_sizes_that_differ_are_told_once(folders: dict[str, Path]) -> None:
    for stem in ("n0", "n2"):
        Image.fromarray(scene(0)[0][:-1]).save(folders["out"] / f"{stem}.png")
    with pytest.raises(DataError) as caught:
        score_files(folders["ir"], folders["vi"], folders["out"], jobs=1)
    text = str(caught.value)
    assert "2 of 3 rows cannot be scored: 2 of different sizes (n0: sizes differ (fused 60×74, a 61×74" in text
    assert text.count("resize or register them, fusionbench does not") == 1 and "\n" not in text
    (folders["out"] / "n1.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"3 of 3 rows.*n1\.png: not a readable.*2 of different sizes.*register them"):
        score_files(folders["ir"], folders["vi"], folders["out"], jobs=1)


def test_missing_partners_are_listed_and_strict_refuses(folders: dict[str, Path]) -> None:
    (folders["vi"] / "n1.bmp").unlink()
    Image.fromarray(scene()[0]).save(folders["out"] / "extra.png")
    scores = score_files(folders["ir"], folders["vi"], folders["out"], ["en"], jobs=1)
    assert scores.ids == ["n0", "n2"] and scores.missing == {"extra": ["a", "b"], "n1": ["b"]}
    assert "2 stems lack a partner" in scores.warnings[0] and "n1 (not in b)" in scores.warnings[0]
    with pytest.raises(DataError, match=r"2 stems lack a partner.*--strict"):
        score_files(folders["ir"], folders["vi"], folders["out"], ["en"], strict=True)


def test_jpeg_results_are_warned_about(folders: dict[str, Path]) -> None:
    (folders["out"] / "n0.png").unlink()
    Image.fromarray(scene()[0]).save(folders["out"] / "n0.jpg", quality=75)
    scores = score_files(folders["ir"], folders["vi"], folders["out"], ["en"], jobs=1)
    assert scores.warnings == ["1 fused files are JPEG (n0.jpg): compression changes EN, SF and VIF; save PNG"]


def test_sixteen_bit_sources_are_noted(folders: dict[str, Path]) -> None:
    deep = scene(0)[1].astype(np.uint16) * 257
    Image.fromarray(deep).save(folders["ir"] / "n0.png")
    scores = score_files(folders["ir"], folders["vi"], folders["out"], ["mi"], jobs=1)
    assert scores.warnings == ["1 files: 16 bits scaled to 8 (n0.png)"]
    expected = score_images(*(image[None] for image in scene(0)), ["mi"])["mi"][0]
    assert scores.values["mi"][0] == expected


def test_refusals_are_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    ir, vi, out = folders["ir"], folders["vi"], folders["out"]
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        score_files(tmp_path / "nowhere", vi, out)
    with pytest.raises(UsageError, match="three files or three folders"):
        score_files(ir / "n0.png", vi, out)
    with pytest.raises(UsageError, match="Unknown metric 'viv'"):
        score_files(ir, vi, out, ["viv"])
    with pytest.raises(UsageError, match="--jobs must be at least 1"):
        score_files(ir, vi, out, jobs=0)
    Image.fromarray(scene(0)[0][:-1]).save(out / "n0.png")
    with pytest.raises(DataError, match=r"n0: sizes differ \(fused 60×74, a 61×74, b 61×74\)"):
        score_files(ir, vi, out, jobs=2)
    (out / "n0.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"n0\.png: not a readable"):
        score_files(ir, vi, out, jobs=1)
    for path in vi.iterdir():
        path.rename(path.with_stem(f"vi_{path.stem}"))
    with pytest.raises(DataError, match="No stem is in all three folders"):
        pair_files(ir, vi, out)


@pytest.mark.parametrize("jobs", [1, 3])
def test_memory_that_runs_out_in_a_thread_is_one_line(
    jobs: int, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = score.read_row

    def read(row: score.Triple, ranges: Ranges) -> object:
        if row.id == "n1":
            np.empty(1 << 60, np.uint8)
        return real(row, ranges)

    monkeypatch.setattr(score, "read_row", read)
    with pytest.raises(CannotMeasure, match=r"n1: out of memory while scoring it; try --jobs 1"):
        score_files(folders["ir"], folders["vi"], folders["out"], ["en"], jobs=jobs)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_metric_that_ends_the_process_has_no_value(
    jobs: int, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "measure_row", lambda *_, **__: sys.exit(0))
    with pytest.raises(CannotMeasure, match=r"ended the work with sys.exit\(0\): that is no value of a metric"):
        score_files(folders["ir"], folders["vi"], folders["out"], ["en"], jobs=jobs)


@pytest.mark.data
def test_the_published_row_of_cddfuse_on_tno(real_data: Path) -> None:
    """CDDFuse, CVPR 2023, Table 1, TNO: all printed digits."""
    fused = real_data / "fused" / "CDDFuse" / "tno"
    scores = score_files(real_data / "tno" / "ir", real_data / "tno" / "vi", fused, dialect="cddfuse", strict=True)
    assert len(scores.ids) == 25
    row = {name: f"{scores.summary[name].mean:.2f}" for name in TABLE}
    assert row == {
        "en": "7.12", "sd": "46.00", "sf": "13.15", "mi": "2.19", "scd": "1.76", "vif": "0.77", "qabf": "0.54",
        "ssim": "1.03",
    }  # fmt: skip
