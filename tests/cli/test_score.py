"""``fusionbench score`` as a user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import run
from tests.metrics.scenes import scene


@pytest.fixture
def places(tmp_path: Path) -> list[object]:
    for name in ("ir", "vi", "out"):
        (tmp_path / name).mkdir()
    for seed in range(2):
        for name, image in zip(("out", "ir", "vi"), scene(seed), strict=True):
            Image.fromarray(image).save(tmp_path / name / f"{seed}.png")
    return ["--a", tmp_path / "ir", "--b", tmp_path / "vi", "--fused", tmp_path / "out"]


def test_table(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    code, out, err = run(capsys, "score", *places, "--metrics", "en, vif", "--jobs", 1)
    lines = out.splitlines()
    assert code == 0 and lines[0] == "2 images, standard/1"
    assert lines[1].split() == ["en", "vif"] and lines[2].split() == ["[bits]", "[1]"]
    assert [line.split()[0] for line in lines[3:]] == ["0", "1", "mean", "±"]
    assert "scoring" in err


def test_json_and_csv_have_full_values(
    capsys: pytest.CaptureFixture[str], places: list[object], tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "values.csv"
    code, out, _ = run(capsys, "--quiet", "score", *places, "--dialect", "cddfuse", "--json", "-o", target)
    found = json.loads(out)
    assert code == 0 and found["dialect"] == "cddfuse/1" and set(found) >= {"versions", "images", "mean"}
    rows = list(csv.DictReader(target.open()))
    for row, image in zip(rows, found["images"], strict=True):
        assert row["id"] == image["id"]
        assert all(float(row[name]) == image[name] for name in found["versions"])


def test_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    Image.fromarray(scene(0)[0]).save(Path(str(places[5])) / "9.jpg")
    code, out, err = run(capsys, "score", *places, "--metrics", "en")
    assert code == 0 and "9 (not in a, b)" in err and "warning" not in out
    code, _, err = run(capsys, "score", *places, "--metrics", "en", "--strict")
    assert code == 2 and "--strict" in err


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--metrics", "vff"], "Did you mean"),
        (["--dialect", "cdfuse"], "Did you mean 'cddfuse'"),
        (["--dialect", "cddfuse", "--metrics", "qp"], "has no 'qp'"),
        (["--jobs", "0"], "at least 1"),
        (["--metrics", ""], "No metric"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], places: list[object], extra: list[str], words: str
) -> None:
    code, out, err = run(capsys, "score", *places, *extra)
    assert code == 2 and out == "" and words in err and len(err.strip().splitlines()) == 1


@pytest.fixture
def sides(places: list[object], tmp_path: Path) -> dict[str, list[object]]:
    """Options of the fixture ``places`` by side, and of a third source and a target."""
    for name in ("uv", "truth"):
        (tmp_path / name).mkdir()
    for seed in range(2):
        Image.fromarray(scene(seed + 5)[1]).save(tmp_path / "uv" / f"{seed}.png")
        Image.fromarray(scene(seed)[0] // 2 + 9).save(tmp_path / "truth" / f"{seed}.png")
    found = {str(places[i])[2:]: places[i : i + 2] for i in (0, 2, 4)}
    return found | {"c": ["--c", tmp_path / "uv"], "target": ["--target", tmp_path / "truth"]}


def test_against_a_target(capsys: pytest.CaptureFixture[str], sides: dict[str, list[object]], tmp_path: Path) -> None:
    alone = [*sides["fused"], *sides["target"]]
    code, out, _ = run(capsys, "-q", "score", *alone, "--json", "-o", tmp_path / "v.csv")
    found = json.loads(out)
    assert code == 0 and set(found["versions"]) == {"mse_target", "psnr_target", "ssim_target"}
    errors = [((scene(seed)[0].astype(float) - scene(seed)[0] // 2 - 9) ** 2).mean() for seed in range(2)]
    assert [image["mse_target"] for image in found["images"]] == pytest.approx(errors, rel=1e-12)
    rows = list(csv.DictReader((tmp_path / "v.csv").open()))
    assert [float(row["psnr_target"]) for row in rows] == [image["psnr_target"] for image in found["images"]]
    code, out, _ = run(capsys, "-q", "score", *alone, *sides["a"], *sides["b"], "--metrics", "en,vif,ssim_target")
    assert code == 0 and out.splitlines()[1].split() == ["en", "vif", "ssim_target"]
    code, out, _ = run(capsys, "-q", "score", "--fused", tmp_path / "out" / "1.png", "--target", tmp_path / "ir/1.png")
    assert code == 0 and out.startswith("1 image, standard/1")
    (tmp_path / "truth" / "1.png").unlink()
    code, out, err = run(capsys, "score", *alone)
    assert code == 0 and "1 (not in target)" in err and out.startswith("1 image,")


def test_three_sources(capsys: pytest.CaptureFixture[str], sides: dict[str, list[object]]) -> None:
    three = [*sides["a"], *sides["b"], *sides["c"], *sides["fused"]]
    code, out, _ = run(capsys, "-q", "score", *three, "--json")
    found = json.loads(out)
    assert code == 0 and list(found["versions"]) == ["en", "sd", "sf", "mi", "vif", "qabf", "ssim"]
    assert found["inputs"] == ["fused", "a", "b", "c"]
    pairs = []
    for one in "abc":
        twice = ["--a", sides[one][1], "--b", sides[one][1], *sides["fused"]]
        pairs.append(json.loads(run(capsys, "-q", "score", *twice, "--json", "--metrics", "mi,ssim")[1])["mean"])
    assert found["mean"]["mi"] == pytest.approx(sum(pair["mi"] for pair in pairs) / 2, rel=1e-12)
    assert found["mean"]["ssim"] == pytest.approx(sum(pair["ssim"] for pair in pairs) / 3, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "extra", "words"),
    [
        ("fused", [], "Give the sources with --a and --b, or the known truth with --target"),
        ("fused a", [], "Missing --b: "),
        ("fused b", [], "Missing --a: "),
        ("fused c target", [], "Missing --a and --b: "),
        ("fused a b", ["--metrics", "psnr_target"], "compares with the known truth: add --target"),
        ("fused target", ["--metrics", "vif"], "compares with the sources: add --a and --b"),
        ("fused a b c", ["--metrics", "scd"], "'scd' is defined for two sources, not for 3"),
        ("fused a b c", ["--dialect", "cddfuse"], "not defined for 3 sources: leave --dialect out"),
        ("fused target", ["--dialect", "cddfuse"], "not defined for a target: leave --dialect out"),
        ("fused a b target", ["--suite", "ivif-tno", "--name", "x"], "--suite is a table of pairs"),
        ("fused target", ["--target", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_images_that_are_missing_are_named(
    capsys: pytest.CaptureFixture[str], sides: dict[str, list[object]], given: str, extra: list[str], words: str
) -> None:
    options = [word for side in given.split() for word in sides[side]]
    code, out, err = run(capsys, "score", *options, *extra)
    assert code == 2 and out == "" and words in err and len(err.strip().splitlines()) == 1


def test_a_misspelt_option_has_the_right_hint(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    code, _, err = run(capsys, "score", *places, "--traget", "truth")
    assert code == 2 and "--target" in err


def test_all_metrics_of_a_dialect(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    code, out, _ = run(capsys, "-q", "score", *places, "--metrics", "all", "--dialect", "rfn-nest", "--json")
    assert code == 0 and set(json.loads(out)["versions"]) == {"en", "mi", "nabf", "scd", "sd"}


def test_a_flat_result_has_no_value_and_no_mean(
    capsys: pytest.CaptureFixture[str], places: list[object], tmp_path: Path
) -> None:
    Image.fromarray(np.full((61, 74), 3, np.uint8)).save(Path(str(places[5])) / "1.png")
    code, out, err = run(capsys, "score", *places, "--metrics", "cc,sd", "-o", tmp_path / "v.csv")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines()[3:]}
    assert code == 0 and lines["1"] == ["n/a", "0.0000"] and lines["mean"][0] == "n/a" and lines["images"] == ["1", "2"]
    assert "n/a: cc of 1: undefined where the fused image is constant; no mean" in out and "nan" not in out
    assert "warning: the fused image is constant in 1 of 2 images (1)" in err
    rows = list(csv.DictReader((tmp_path / "v.csv").open()))
    assert rows[1]["cc"] == "" and rows[1]["not_available"] == "cc: undefined where the fused image is constant"
    assert rows[0]["not_available"] == "" and float(rows[0]["cc"]) == float(f"{float(rows[0]['cc'])!r}")


def test_small_images_print_what_can_be_scored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, image in zip(("f", "a", "b"), scene(0, (28, 28)), strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    files = ["--a", tmp_path / "a.png", "--b", tmp_path / "b.png", "--fused", tmp_path / "f.png"]
    code, out, err = run(capsys, "-q", "score", *files)
    heads, values = out.splitlines()[1].split(), out.splitlines()[3].split()[1:]
    assert code == 0 and err == "" and [h for h, v in zip(heads, values, strict=True) if v == "n/a"] == ["vif"]
    assert out.splitlines()[-1] == (
        "n/a: vif of f: needs images of at least 41×41 pixels: the coarsest of its four scales has no window left"
    )
    code, out, _ = run(capsys, "-q", "score", *files, "--json", "--metrics", "all")
    (image,) = json.loads(out)["images"]
    larger = {"mef_ms_ssim", "ms_ssim", "qcb", "vif", "vif_wavelet", "viff"}
    assert code == 0 and {name for name, value in image.items() if value is None} == larger
    assert set(image["not_available"]) == larger


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "score", "--help")
    assert code == 0 and "Example: fusionbench score" in out


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--device", "gpu"], "Unknown device 'gpu'"),
        (["--device", "mps"], "'mps' is not supported"),
        (["--device", "xpu"], "not supported"),
        (["--device", "cuda:99"], "'cuda:99'"),
        (["--device", "cuda", "--suite", "ivif-tno", "--name", "x"], "--suite is scored on the CPU"),
    ],
)
def test_a_device_that_cannot_score_is_one_line(
    capsys: pytest.CaptureFixture[str], places: list[object], extra: list[object], words: str
) -> None:
    code, out, err = run(capsys, "score", *places, *extra)
    assert code == 2 and words in err and not out and err.strip().count("\n") == 0


def test_auto_and_cpu_give_the_same_numbers(capsys: pytest.CaptureFixture[str], places: list[object]) -> None:
    import torch

    found = []
    for device in ("cpu", "auto"):
        code, out, _ = run(capsys, "--quiet", "score", *places, "--metrics", "vif,fmi", "--json", "--device", device)
        assert code == 0
        found.append([image[name] for image in json.loads(out)["images"] for name in ("vif", "fmi")])
    assert found[1] == (pytest.approx(found[0], rel=1e-9) if torch.cuda.is_available() else found[0])
