"""Rows of a table: read as people paste them, explained together, and not explained where nothing gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.evaluation.coincidence import LIKELY, PrintedNumber
from fusionbench.evaluation.definitions import Way, ways
from fusionbench.evaluation.explain_row import RowFound, _joint, explain_row, parse_row
from fusionbench.evaluation.image_files import Triple
from fusionbench.metrics import get_metric
from tests.metrics.scenes import scene

NAMES = ("en", "sd", "sf", "mi", "ssim")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Triple]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{name}.png" for name in ("fused", "a", "b")]
    for path, image in zip(paths, scene(1), strict=True):
        Image.fromarray(image // 2 + 40).save(path)
    return [Triple("x", *paths)]


def printed(rows: list[Triple], dialect: str, digits: int = 2) -> dict[str, PrintedNumber]:
    images = [np.asarray(Image.open(path))[None] for path in (rows[0].fused, rows[0].a, rows[0].b)]
    found = {}
    for name in NAMES:
        record = get_metric(name, dialect)
        value = float(record.function(*(images[:1] if record.needs == "fused" else images))[0])
        found[name] = PrintedNumber.parse(f"{value:.{digits}f}")
    return found


def test_rows_as_people_paste_them() -> None:
    expected = {"en": "7.12", "sd": "46.00", "ms_ssim": "0.9"}
    for text in ("EN=7.12,SD=46.00,MS-SSIM=0.9", "en=7.12 sd=46.00; ms_ssim=0.9", "EN=7.12|SD=46.00|msssim=**0.9**"):
        assert {name: number.text for name, number in parse_row([text]).items()} == expected
    row = r"7.12 & \textbf{46.00} & \underline{13.15} & 2.19 & 1.76 & 0.77 & 0.54 & 1.03 \\"
    assert list(parse_row([row])) == ["en", "sd", "sf", "mi", "scd", "vif", "qabf", "ssim"]
    assert parse_row([row])["sd"].text == "46.00"
    assert list(parse_row(["2.1", "n/a", "0.5"], ["mi", "vif", "Q^{AB/F}"])) == ["mi", "qabf"]


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("EN=7.1,EN=7.2", None, "twice"),
        ("EN=7.1,7.2", None, "has no name"),
        ("7.1,7.2", None, "2 numbers for 8 columns"),
        ("7.1,7.2", ["en"], "2 numbers for 1 columns"),
        ("EN=7.1", ["en"], "--columns"),
        ("EM=7.1", None, "Unknown metric 'EM'"),
        ("EN=x", None, "'x' is not a number"),
        ("EN=inf", None, "finite"),
        ("NLL=1", None, "needs log_weights"),
        ("", None, "no number to explain"),
        ("EN=-", None, "every column is empty"),
        (",".join(f"a{k}=1" for k in range(60)), None, "more than 40"),
    ],
)
def test_rows_that_are_refused(text: str, columns: list[str] | None, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_row([text], columns)
    assert "\n" not in str(caught.value)


def test_one_dialect_beats_a_patchwork(rows: list[Triple]) -> None:
    found = explain_row(printed(rows, "cddfuse"), rows)
    best = found.joint[0]
    assert (best.dialect, best.treatment, best.kind, best.matched) == ("cddfuse/1", "", "one dialect", NAMES)
    assert best.chance < 1e-5 and found.verdict.startswith("cddfuse/1") and "all 5 numbers" in found.verdict
    patchwork = next(one for one in found.joint if one.kind == "a patchwork of definitions")
    assert patchwork.matched == NAMES and patchwork.chance > 2 * best.chance
    assert [column.candidates[0].agrees for column in found.columns] == [True] * 5


def test_what_one_column_does_not_share_is_named(rows: list[Triple]) -> None:
    numbers = printed(rows, "cddfuse")
    numbers["sd"] = PrintedNumber.parse(f"{numbers['sd'].value * 1.137:.2f}")
    found = explain_row(numbers, rows)
    assert found.joint[0].dialect == "cddfuse/1" and found.joint[0].matched == ("en", "sf", "mi", "ssim")
    assert found.verdict.endswith("not sd") and "4 of 5" in found.verdict
    (sd,) = [column for column in found.columns if column.metric == "sd"]
    assert sd.verdict.startswith("no known definition gives")


def test_a_row_of_treated_images_is_recognised(rows: list[Triple], tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("fused", "a", "b")]
    for path, source in zip(paths, (rows[0].fused, rows[0].a, rows[0].b), strict=True):
        image = np.asarray(Image.open(source)).astype(float)
        Image.fromarray(np.rint((image - image.min()) * 255 / np.ptp(image)).astype(np.uint8)).save(path)
    found = explain_row(printed([Triple("x", *paths)], "cddfuse", 3), rows)
    assert (found.joint[0].dialect, found.joint[0].treatment) == ("cddfuse/1", "images stretched to 0..255")
    assert found.joint[0].matched == NAMES


def test_a_row_that_nothing_gives(rows: list[Triple]) -> None:
    numbers = {
        name: PrintedNumber.parse(f"{n.value * 1.7 + 0.013:.4f}") for name, n in printed(rows, "cddfuse").items()
    }
    found: RowFound = explain_row(numbers, rows)
    assert found.joint == [] and found.verdict.startswith("no known definition gives any of these 5 numbers")
    assert all(not column.candidates[0].agrees for column in found.columns) and found.tried > 200


def test_invented_rows_are_explained_at_the_stated_rate_only(rows: list[Triple]) -> None:
    every: list[Way] = ways(NAMES, rows, Ranges())
    by_metric = {name: [way for way in every if way.asked == name] for name in NAMES}
    truth = {name: number.value for name, number in printed(rows, "cddfuse").items()}
    rng = np.random.default_rng(1)
    explained = with_a_match = 0
    tries = 60
    for _ in range(tries):
        numbers = {name: PrintedNumber.parse(f"{value * rng.uniform(0.75, 1.25):.2f}") for name, value in truth.items()}
        joint = _joint(numbers, by_metric)
        with_a_match += bool(joint)
        explained += bool(joint) and joint[0].chance <= LIKELY
    assert with_a_match / tries > 0.5 and explained / tries <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tries)
