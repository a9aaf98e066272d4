"""The page of single images in a real browser, and every page under the rules of axe-core where that is at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionbench.board import build_board
from tests.board.chrome import Chrome
from tests.board.test_browser import CHROMIUM
from tests.board.test_explorer import with_pictures
from tests.helpers.results import made_up

AXE = os.environ.get("FUSIONBENCH_AXE", "")  # axe.min.js of the npm package axe-core
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    results = with_pictures(root)
    made_up(results, "first-view", family="trivial", shift=0.4, metrics={"mse_min": "1"})
    made_up(results, "short", cut=True, shift=-0.3)
    return build_board(results, root / "site", resamples=100).parent


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    browser = Chrome(CHROMIUM, tmp_path / "profile")
    yield browser
    browser.close()


def test_one_image_with_the_scores_of_every_row_and_its_pictures(site: Path, chrome: Chrome) -> None:
    (page,) = site.glob("*-images.html")
    lines = "[...document.querySelectorAll('.one tbody tr:not(.heading)')].map((row) => [...row.cells]"
    lines += ".map((cell) => (cell.querySelector('a') ?? cell).textContent))"
    chrome.open(page.as_uri() + "#image=2&score=mse_min@mean")
    found = chrome.value(lines)
    assert [line[0] for line in found] == ["Alpha", "Beta", "FIRST-VIEW", "SHORT"], "what was cut short stands apart"
    assert [line[1] for line in found] == ["1", "2", "3", "1"] and found[2][2] == "–", "it has no NLL"
    values = [float(line[3]) for line in found[:3]]
    assert values == sorted(values), "a lower error is first"
    assert chrome.value("document.querySelectorAll('.pictures figure').length") == 2 + 1 + 2
    chrome.until("[...document.querySelectorAll('.pictures img')].every((image) => image.naturalWidth > 0)")
    chrome.value("document.querySelector('[data-step=\"1\"]').click()")
    assert "image=3" in chrome.value("location.hash")
    assert chrome.value("document.querySelectorAll('.pictures figure').length") == 0, "none is kept of this one"
    chrome.value("document.querySelector('.disputed tbody a').click()")
    wanted = chrome.value("document.querySelector('.disputed tbody a').textContent")
    chrome.until(f"document.querySelector('.single output').textContent.startsWith('image {wanted}:')")
    assert chrome.problems == [] and all(address.startswith("file://") for address in chrome.requests)


def test_addresses_that_make_no_sense(site: Path, chrome: Chrome) -> None:
    (page,) = site.glob("*-images.html")
    for view in ("#image=nobody&score=__proto__", "#image=%3Cscript%3E", "#%"):
        chrome.open(page.as_uri() + view)
        assert chrome.value("document.querySelectorAll('.one tbody tr').length") == 4 + 2, view
    assert chrome.problems == []


def test_a_head_leads_to_what_its_metric_is(site: Path, chrome: Chrome) -> None:
    chrome.load((site / "index.html").as_uri())
    address = chrome.value("document.querySelectorAll('.heat thead a')[1].href")
    chrome.load(address)
    assert address.endswith("-metrics.html#mse_min") and chrome.value("document.querySelector('#mse_min').open")


@pytest.mark.skipif(not Path(AXE).is_file(), reason="FUSIONBENCH_AXE names no axe.min.js")
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_axe_is_broken(site: Path, chrome: Chrome, scheme: str, width: int) -> None:
    """With everything open that opens: panels, intervals, the comparison."""
    chrome.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    chrome.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    for page in sorted(site.glob("**/*.html")):
        chrome.load(page.as_uri())
        chrome.value("for (const one of document.querySelectorAll('details')) one.open = true")
        chrome.value("for (const box of [...document.querySelectorAll('input[data-pick]')].slice(0, 2)) box.click()")
        if chrome.value("Boolean(document.querySelector('.heat'))"):
            event = "new PointerEvent('pointerover', {bubbles: true, pointerType: 'touch'})"
            chrome.value(f"document.querySelector('tbody.ranked td:not(.off)').dispatchEvent({event})")
            chrome.until("document.querySelector('.whisker:not([hidden])') && document.querySelector('.compare svg')")
        chrome.ask("Runtime.evaluate", expression=Path(AXE).read_text())
        found = "axe.run(document, {resultTypes: ['violations']})"
        found += ".then((said) => JSON.stringify(said.violations.map((one) => [one.id, one.nodes.map((n) => n.html)])))"
        assert json.loads(chrome.value(found)) == [], page.name
