"""The first page: who wins each benchmark in words, a chart, a picture where one may be shown, or what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.board import build_board
from fusionbench.board.agreement import add_mean_ranks
from fusionbench.board.cards import LETTERS, PICTURE, SHOWN, WIDTH, _fitting, small_chart
from fusionbench.board.rendering import STATIC
from fusionbench.board.rows import benchmarks
from fusionbench.board.summary import summaries
from tests.board.test_explorer import with_pictures
from tests.helpers.results import made_up, saved
from tests.helpers.svg import circles


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Data set -> its card, of a board of three: with a winner and pictures, undecided, without a ranked model."""
    root = tmp_path_factory.mktemp("cards")
    results = with_pictures(root)
    for number, name in enumerate(("<b>one</b>", "two")):
        made_up(results, f"net{number}", title=name, ids=range(3), dataset={"name": "few"})
    made_up(results, "net", cut=True, dataset={"name": "cut"})
    made_up(results, "mean-image", family="trivial", metrics={"mse_min": "1"}, dataset={"name": "cut"})
    site = build_board(results, root / "site", resamples=100)
    found = re.findall(r'<article class="card".*?data-dataset="([^"]*)">(.*?)</article>', site.read_text(), re.S)
    (picture,) = (site.parent / "pictures").glob("*-card.png")
    with Image.open(picture) as shown:
        assert shown.size[0] <= PICTURE[0] and shown.size[1] <= PICTURE[1] and "fusiondigits" in picture.name
    return dict(found)


def test_every_card_says_who_wins_or_what_is_missing(cards: dict[str, str]) -> None:
    said = {name: re.search(r'<p class="who">(.*?)</p>', card) for name, card in cards.items()}
    assert {name: found and found[1] for name, found in said.items()} == {
        "fusiondigits": "Alpha is ahead, for sure.",
        "few": "Not decided: 3 images are too few for ranks.",
        "cut": "No model is ranked yet.",
    }
    assert "1 run stopped before the end of training and takes no rank" in cards["cut"]
    assert "fusionbench evaluate RUN --data cut" in cards["cut"] and "evaluate" not in cards["few"]
    assert "<b>one" not in cards["few"]


def test_pictures_are_of_what_may_be_shown(cards: dict[str, str]) -> None:
    assert {name for name, card in cards.items() if "<img" in card} == {"fusiondigits"}
    assert 'alt="source A, source B and Alpha"' in cards["fusiondigits"]


def test_the_chart_has_the_first_rows_and_the_best_trivial_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 12))
    for n in range(9):
        family = "trivial" if n in (7, 8) else "model"
        values = {"en": list(noise[0] - n), "sd": list(noise[1] - n)}
        saved(tmp_path, f"row-{n}", values, family=family)  # type: ignore[arg-type]
    (page,) = benchmarks(tmp_path, 100)
    add_mean_ranks(page, 100)
    chart = small_chart(page, summaries(page)[0])
    assert re.findall(r">(row-\d)</text>", chart) == ["row-0", "row-1", "row-2", "row-3", "row-4", "row-7"]
    places = [x for x, _ in circles(chart)]
    assert len(places) == SHOWN and places == sorted(places), "the best on the left"
    assert chart.count('class="grey"') == 1 and "mean rank" in chart


def test_names_that_begin_alike_are_told_apart() -> None:
    titles = [
        "gradient-domain fusion, natural",
        "gradient-domain fusion, for metrics",
        "joint sparse representation",
        "GTF",
    ]
    shown = [_fitting(title, [other for other in titles if other != title]) for title in titles]
    assert shown == ["gradient-d…on, natural", "gradient-d…for metrics", "joint sparse represen…", "GTF"]
    assert max(map(len, shown)) <= LETTERS


def test_letters_of_the_chart_are_readable_on_a_phone() -> None:
    """At least 12 pixels on a screen of 390: what the style sheet says, in the width that is left for a card there."""
    style = (STATIC / "board.css").read_text()
    size = re.search(r"\.strips \.tick \{ font-size: ([0-9.]+)px", style)
    page = re.search(r"@media \(max-width: 40rem\) \{.*?main, .*?padding-left: ([0-9.]+)rem", style, re.S)
    inner = re.search(r"\.card \{[^}]*padding: 1rem ([0-9.]+)rem", style)
    assert size and page and inner
    room = 390 - 2 * 16 * (float(page[1]) + float(inner[1])) - 2
    assert float(size[1]) * room / WIDTH >= 12
