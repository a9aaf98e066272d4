"""Ways to a value: each definition, slip and treatment once, with the values that the metrics themselves give."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.evaluation.definitions import Way, scored_metric, ways, whose
from fusionbench.evaluation.image_files import Triple
from fusionbench.metrics import get_metric
from fusionbench.metrics.dialects import DIALECTS
from tests.metrics.scenes import scene


@pytest.fixture
def rows(tmp_path: Path) -> list[Triple]:
    found = []
    for seed in range(2):
        paths = [tmp_path / f"{seed}-{name}.png" for name in ("fused", "a", "b")]
        for path, image in zip(paths, scene(seed), strict=True):
            Image.fromarray(image // 2 + 40).save(path)
        found.append(Triple(str(seed), *paths))
    return found


def plain(found: list[Way], **what: str) -> list[Way]:
    wanted = {"variant": "", "slip": "", "treatment": "", **what}
    return [way for way in found if all(getattr(way, key) == value for key, value in wanted.items())]


def test_values_are_the_means_of_the_metrics_themselves(rows: list[Triple]) -> None:
    found = ways(["mi", "ssim", "sd"], rows, Ranges())
    for dialect in ("standard/1", *(each.id for each in DIALECTS.values())):
        for metric in ("mi", "ssim", "sd"):
            if dialect != "standard/1" and metric not in DIALECTS[dialect.partition("/")[0]].metrics:
                assert not plain(found, asked=metric, metric=metric, dialect=dialect)
                continue
            record = get_metric(metric, dialect)
            images = [[np.asarray(Image.open(getattr(r, s)))[None] for s in ("fused", "a", "b")] for r in rows]
            values = [float(record.function(*(i[:1] if record.needs == "fused" else i))[0]) for i in images]
            (way,) = plain(found, asked=metric, metric=metric, dialect=dialect)
            assert way.value == pytest.approx(np.mean(values), rel=1e-12) and way.steps == 0


def test_slips_and_steps(rows: list[Triple]) -> None:
    found = ways(["mi"], rows, Ranges())
    (bits,) = plain(found, metric="mi", dialect="standard/1")
    slips = {way.slip: way for way in found if way.dialect == "standard/1" and way.metric == "mi" and not way.treatment}
    assert slips["in nats"].value == pytest.approx(bits.value * math.log(2)) and slips["in nats"].steps == 1
    assert slips["halved (mean for sum)"].value == bits.value / 2
    assert {way.steps for way in found if way.metric == "nmi" and not way.slip and not way.treatment} == {1}
    assert max(way.steps for way in found) == 3, "a namesake, halved, stretched"
    sd = ways(["sd"], rows, Ranges())
    (square,) = plain(sd, dialect="standard/1", slip="variance")
    assert square.value == pytest.approx(plain(sd, dialect="standard/1")[0].value ** 2)


def test_a_treatment_that_leaves_some_images_alone_counts_for_the_others(rows: list[Triple]) -> None:
    before = {way.treatment for way in ways(["sd"], rows, Ranges())}
    assert "images stretched to 0..255" in before and "green channel" not in before
    for side in ("fused", "a", "b"):
        image = np.asarray(Image.open(getattr(rows[0], side))).copy()
        image[0, :2] = 0, 255
        Image.fromarray(image).save(getattr(rows[0], side))
    found = ways(["sd"], rows, Ranges())
    (way,) = plain(found, dialect="standard/1", treatment="images stretched to 0..255")
    first, second = (np.asarray(Image.open(row.fused)).astype(float) for row in rows)
    stretched = np.rint((second - second.min()) * 255 / (second.max() - second.min()))
    assert way.value == pytest.approx((first.std() + stretched.std()) / 2)


def test_images_too_small_and_other_metrics_are_refused(rows: list[Triple]) -> None:
    with pytest.raises(DataError, match=r"ms_ssim|qcb"):
        for row in rows:
            for side in ("fused", "a", "b"):
                Image.open(getattr(row, side)).crop((0, 0, 20, 20)).save(getattr(row, side))
        ways(["sd", "qcb"], rows, Ranges())
    with pytest.raises(UsageError, match="needs target"):
        scored_metric("psnr_target")
    assert whose("gtf/1") == "GTF evaluation (MATLAB)"
