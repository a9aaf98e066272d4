"""explain: the definition behind a number is found, also through slips and treatments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.coincidence import PrintedNumber
from fusionbench.evaluation.explain import explain, verdict
from fusionbench.evaluation.image_files import Triple
from fusionbench.metrics import get_metric
from fusionbench.metrics.dialects import DIALECTS
from tests.metrics.scenes import scene


@pytest.fixture
def row(tmp_path: Path) -> Triple:
    paths = []
    for name, image in zip(("fused", "a", "b"), scene(1), strict=True):
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(image // 2 + 40).save(paths[-1])
    return Triple("x", *paths)


def value(row: Triple, metric: str, dialect: str = "standard/1") -> float:
    record = get_metric(metric, dialect)
    images = [np.asarray(Image.open(path))[None] for path in (row.fused, row.a, row.b)]
    return float(record.function(*(images[:1] if record.needs == "fused" else images))[0])


@pytest.mark.parametrize(
    ("dialect", "metric"), [(d.name, m) for d in DIALECTS.values() for m in d.metrics if d.metrics[m].parameters]
)
def test_every_dialect_is_recognised(row: Triple, dialect: str, metric: str) -> None:
    if metric == "ms_ssim":
        pytest.skip("the pictures here are too small for it")
    number = value(row, metric, dialect)
    best = explain(metric, number, [row])[0]
    assert best.agrees and best.value == pytest.approx(number, rel=1e-9)


def test_slips(row: Triple) -> None:
    halved = explain("vif", f"{value(row, 'vif') / 2:.6f}", [row])[0]
    assert halved.dialect == "standard/1" and halved.slip == "halved (mean for sum)"
    nats = explain("en", f"{value(row, 'en') * np.log(2):.6f}", [row])[0]
    assert nats.slip == "in nats"
    namesake = explain("vif", f"{value(row, 'viff'):.8f}", [row])[0]
    assert namesake.metric == "viff"


def test_treatments(row: Triple) -> None:
    grey = np.asarray(Image.open(row.fused)).astype(float)
    stretched = np.rint((grey - grey.min()) * 255 / (grey.max() - grey.min()))
    best = explain("sd", f"{stretched.std():.5f}", [row])[0]
    assert best.agrees and best.slip == "images stretched to 0..255"
    Image.open(row.fused).save(row.fused.with_suffix(".jpg"), quality=75)
    found = explain("en", 0.0, [row])
    assert any("JPEG" in candidate.slip for candidate in found)


@pytest.fixture
def colour(row: Triple) -> Triple:
    grey = np.asarray(Image.open(row.fused)).astype(int)
    pixels = np.stack([grey, grey // 2 + 60, 255 - grey], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(row.fused)
    return row


def entropy(grey: np.ndarray) -> float:
    return float(get_metric("en").function(grey.astype(np.uint8)[None])[0])


def test_treatments_of_colour(colour: Triple) -> None:
    pixels = np.asarray(Image.open(colour.fused)).astype(float)
    luma = pixels @ [0.299, 0.587, 0.114]
    asked = {
        "luma truncated, not rounded": entropy(np.floor(luma + 1e-9)),
        "luma on 16..235": entropy(np.rint(16 + pixels @ np.array([65.481, 128.553, 24.966]) / 255)),
        "grey by the channels' mean": entropy(np.rint(pixels.mean(-1))),
        "channel by channel (RGB for luma)": float(np.mean([entropy(pixels[..., k]) for k in range(3)])),
    }
    assert len({round(number, 6) for number in asked.values()}) == 4
    for slip, number in asked.items():
        best = explain("en", f"{number:.7f}", [colour])[0]
        assert best.agrees and best.slip == slip, best


def test_grey_pictures_have_no_treatments_of_colour(row: Triple) -> None:
    assert not any("luma" in candidate.slip or "channel" in candidate.slip for candidate in explain("en", 0.0, [row]))


def test_windows_and_ranges_of_ssim(row: Triple) -> None:
    from skimage.metrics import structural_similarity

    fused, a, b = (np.asarray(Image.open(path)) for path in (row.fused, row.a, row.b))
    number = np.mean([structural_similarity(source, fused, data_range=255) for source in (a, b)])
    best = explain("ssim", f"{number:.7f}", [row])[0]
    assert best.agrees and best.slip == "7×7 box"


def test_ranking_is_by_distance_and_values_are_distinct(row: Triple) -> None:
    found = explain("ssim", 123.0, [row])
    assert not any(candidate.agrees for candidate in found)
    distances = [abs(candidate.difference) for candidate in found]
    assert distances == sorted(distances)
    assert len({round(candidate.value, 9) for candidate in found}) == len(found)


def test_digits_decide_what_agrees(row: Triple) -> None:
    exact = value(row, "en")
    assert explain("en", f"{exact:.2f}", [row])[0].agrees
    far = explain("en", f"{exact + 0.011:.2f}", [row])
    assert not any(candidate.agrees and candidate.slip == "" for candidate in far)


def test_a_match_comes_with_its_chance(row: Triple) -> None:
    """Two digits of a small number say little, eight say much; what does not agree has no chance."""
    exact = value(row, "ssim", "cddfuse")
    (coarse, *_), (fine, *others) = explain("ssim", f"{exact:.1f}", [row]), explain("ssim", f"{exact:.8f}", [row])
    assert coarse.chance is not None and fine.chance is not None
    assert fine.chance < 1e-5 < 0.05 < coarse.chance <= 1
    assert all(candidate.chance is None for candidate in others if not candidate.agrees)
    said = verdict(PrintedNumber.parse(f"{exact:.8f}"), [fine, *others], 99)
    assert said.startswith("ssim in cddfuse/1 gives") and "invented numbers would be matched" in said
    assert "may be a coincidence" in verdict(PrintedNumber.parse(f"{exact:.1f}"), [coarse], 99)
    assert verdict(PrintedNumber.parse("9"), [], 99).startswith("no known definition gives 9: 99 values")


def test_refusals(row: Triple) -> None:
    with pytest.raises(UsageError, match="is not a number"):
        explain("vif", "0,54", [row])
    with pytest.raises(UsageError, match="finite"):
        explain("vif", "nan", [row])
    with pytest.raises(UsageError, match="needs log_weights"):
        explain("nll", "1", [row])
    with pytest.raises(UsageError, match="Did you mean"):
        explain("vfi", "1", [row])


def test_images_that_are_too_small(row: Triple) -> None:
    """28×28: definitions that take them are tried, and a metric that has none says why."""
    for path in (row.fused, row.a, row.b):
        Image.open(path).crop((0, 0, 28, 28)).save(path)
    number = value(row, "vif", "ivif-zoo")
    (best, *_) = explain("vif", number, [row])
    assert best.agrees and best.dialect == "ivif-zoo/1"
    assert {candidate.metric for candidate in explain("ms_ssim", "0.5", [row])} == {"ssim"}, (
        "what papers confuse with it"
    )
    with pytest.raises(DataError, match=r"qcb needs images of at least 31×31 pixels.*x has 28×28"):
        explain("qcb", "0.5", [row])


@pytest.mark.data
def test_cddfuse_published_ssim_is_recognised(real_data: Path) -> None:
    from fusionbench.evaluation.image_files import pair_files

    rows, _ = pair_files(real_data / "tno" / "ir", real_data / "tno" / "vi", real_data / "fused" / "CDDFuse" / "tno")
    # six of the pairs, and their number as the evaluator's library gives it: floats of 0..255 taken for a range of 2
    rows, values = rows[::5], []
    for row in rows:
        fused, a, b = (np.asarray(Image.open(path).convert("L"), float) for path in (row.fused, row.a, row.b))
        values.append(sum(structural_similarity(fused, source, data_range=2.0) for source in (a, b)))
    best = explain("ssim", f"{np.mean(values):.2f}", rows)[0]
    assert best.agrees and best.dialect == "cddfuse/1" and best.slip == ""
