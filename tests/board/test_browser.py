"""The pages in a real browser, opened from a folder: sort, search, permalink, comparison, and a silent console."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionbench.board import build_board
from tests.board.chrome import Chrome
from tests.board.test_explorer import with_pictures
from tests.helpers.results import made_up

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("board")
    mnist = {"dataset": {"name": "fusionmnist"}}
    for number, name in enumerate(("alpha", "beta", "gamma")):
        made_up(root / "results", name, shift=0.1 * number, title=f"{name.title()} <b>&</b>", **mnist)
    made_up(root / "results", "mean-image", family="trivial", shift=0.5, metrics={"mse_min": "1"}, **mnist)
    made_up(root / "results", "short", cut=True, shift=-0.3, **mnist)
    return build_board(root / "results", root / "site", resamples=200)


def opened(page: Path, tmp_path: Path, view: str = "") -> str:
    """The page's DOM after its script has run; anything on the console is an error."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri() + view]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert done.returncode == 0 and console == [], console
    assert 'data-ready="yes"' in done.stdout, "the script ran to its end"
    return done.stdout


def names(dom: str) -> list[str]:
    """Titles of the measured rows, in the order on the page, without those that are hidden."""
    found = dom[dom.index('<tbody class="ranked">') :].partition("</table>")[0]
    rows = re.findall(r'<tr id="([^>]*)><th(?:(?!</th>).)*?<a href="models[^>]*>([^<]*)</a>', found)
    return [name.split()[0] for attributes, name in rows if "hidden" not in attributes]


def slug(dom: str, name: str) -> str:
    found = re.search(rf'id="({name}-[0-9a-f]+)"', dom)
    assert found is not None
    return found[1]


def test_opening(site: Path, tmp_path: Path) -> None:
    dom = opened(site, tmp_path)
    assert names(dom) == ["Alpha", "Beta", "Gamma", "MEAN-IMAGE", "SHORT"]
    assert "<b>&amp;</b>" not in dom and "&lt;b&gt;&amp;&lt;/b&gt;" in dom
    assert dom.count("data-pick=") == 5 and dom.count('class="pin"') == 5 + 5 and '<div class="tools">' in dom
    for model in (site.parent / "models").glob("*.html"):
        text = model.read_text()
        assert "board.js" in text and "data-board" not in text, "a model's page has nothing to sort"


def test_permalink_sorts_by_direction(site: Path, tmp_path: Path) -> None:
    # trivial rows and a run cut short stay in their own parts of the table, however it is sorted
    down = names(opened(site, tmp_path, "#sort=mse_min@mean:descending"))
    assert down == ["Gamma", "Beta", "Alpha", "MEAN-IMAGE", "SHORT"]
    assert names(opened(site, tmp_path, "#sort=rank-mse_min:descending")) == down, "ranks had columns of their own"
    assert names(opened(site, tmp_path, "#sort=mse_min@avg4:descending")) == down, "the address of an older page"
    by_name = opened(site, tmp_path, "#sort=model:descending")
    assert names(by_name)[:2] == ["Gamma", "Beta"] and 'aria-sort="descending"' in by_name
    # no value comes last in both directions
    for direction in ("ascending", "descending"):
        assert names(opened(site, tmp_path, f"#sort=nll_bpd@mean:{direction}"))[3] == "MEAN-IMAGE"


def test_search_keeps_trivial_rows(site: Path, tmp_path: Path) -> None:
    dom = opened(site, tmp_path, "#q=BETA")
    assert names(dom) == ["Beta", "MEAN-IMAGE"] and "2 rows" in dom


def test_filters_and_pins(site: Path, tmp_path: Path) -> None:
    assert names(opened(site, tmp_path, "#family=trivial")) == ["MEAN-IMAGE"]
    assert names(opened(site, tmp_path, "#family=model&runs=full")) == ["Alpha", "Beta", "Gamma"]
    assert names(opened(site, tmp_path, "#has=nll_bpd")) == ["Alpha", "Beta", "Gamma", "SHORT"]
    gamma = slug(opened(site, tmp_path), "gamma")
    dom = opened(site, tmp_path, f"#family=trivial&pin={gamma}&sort=mse_min@mean:descending")
    assert names(dom) == ["Gamma", "MEAN-IMAGE"], "a pinned row is first and is never filtered out"


def test_mean_rank_is_off_until_asked_for(site: Path, tmp_path: Path) -> None:
    assert '<p class="warning" hidden="">' in opened(site, tmp_path)
    dom = opened(site, tmp_path, "#show=mean-rank,mse_min")
    assert '<p class="warning">' in dom and re.search(r'<td class="(on)?">1.00 \(1.00–1.00\)', dom)
    assert re.search(r'<th[^>]*class="k[^"]* off"[^>]*data-of="nll_bpd"', dom), "what is not asked for is hidden"


def test_comparison(site: Path, tmp_path: Path) -> None:
    dom = opened(site, tmp_path)
    picked = ",".join(slug(dom, name) for name in ("alpha", "beta", "gamma"))
    dom = opened(site, tmp_path, f"#compare={picked}&score=mse_min@mean")
    assert dom.count('class="scatter"') == 2 and dom.count('class="forest"') == 1
    assert dom.count('class="point"') == 2 * 40
    assert dom.count('class="dot bad"') == 2, "0.1 and 0.2 worse, far beyond the noise"
    assert len(re.findall(r"<li><a href=.[^>]*images.html#image=\d+&amp;score=[^>]*>image ", dom)) == 2 * 20
    said = re.findall(r'<span class="(good|bad|unsure)">([^<]*)</span>', dom)
    assert said == [("bad", "worse")] * 4, "two other models on two metrics, in words"
    mean = re.findall(r'class="dot bad"><title>([-0-9.]+), 95', dom)
    assert [float(value) for value in mean] == pytest.approx([0.1, 0.2], abs=0.02)


def test_addresses_that_make_no_sense(site: Path, tmp_path: Path) -> None:
    for view in ("#compare=nobody,constructor&sort=__proto__:x&show=nothing", "#sort=:&q=%22%3E%3Cscript%3E", "#%"):
        assert len(names(opened(site, tmp_path, view))) in (1, 5)


def test_explorer_shows_one_image(tmp_path: Path) -> None:
    page = build_board(with_pictures(tmp_path), tmp_path / "site", resamples=100)
    picked = ",".join(slug(opened(page, tmp_path), name) for name in ("alpha", "beta"))
    dom = opened(page, tmp_path, f"#compare={picked}&image=2")
    explorer = dom[dom.index('class="explorer"') :].partition("</section>")[0]
    assert "Image 2</h3>" in explorer and explorer.count("<figure") == 2 + 2 + 1 + 1 + 4
    sources = re.findall(r'<img[^>]*src="([^"]+)"', explorer)
    assert len(sources) == 2 + 2 + 2 + 2 + 4
    assert all((page.parent / source).is_file() for source in sources)
    assert dom.count("point known") == 3, "images without pictures cannot be opened"
    assert "<section" not in opened(page, tmp_path, f"#compare={picked}&image=nobody").partition("Image nobody")[2]


CLICKS = """
addEventListener("load", () => {
  const row = document.querySelector("tbody.ranked tr:nth-of-type(3)");
  const pin = row.querySelector(".pin");
  pin.focus();
  pin.click();
  document.body.dataset.focused = document.activeElement.className;
  for (const box of [...document.querySelectorAll("input[data-pick]")].slice(0, 2)) box.click();
  document.querySelector("[data-key='mse_min@mean'] button").click();
  const filter = document.querySelector("[data-filter=family]");
  filter.value = "model";
  filter.dispatchEvent(new Event("change"));
});
"""


def test_clicks(site: Path, tmp_path: Path) -> None:
    (site.parent / "static" / "clicks.js").write_text(CLICKS)
    page = site.with_name("clicked.html")
    page.write_text(site.read_text().replace("</head>", '<script defer src="static/clicks.js"></script></head>'))
    dom = opened(page, tmp_path)
    assert names(dom) == ["Gamma", "Alpha", "Beta", "SHORT"], "pinned first, then by score; the trivial row is filtered"
    assert 'data-focused="pin"' in dom, "the keyboard stays where it was"
    assert dom.count('class="scatter"') == 1 and dom.count('class="dot good"') == 1, "Alpha beside Gamma"
    assert 'aria-sort="ascending"' in dom and 'aria-pressed="true"' in dom


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    browser = Chrome(CHROMIUM, tmp_path / "profile")
    yield browser
    browser.close()


FOCUSED = "document.activeElement"
CELL = "document.querySelector('tbody.ranked td:not(.off)')"


def test_intervals_by_pointer_by_tap_and_by_keyboard(site: Path, chrome: Chrome) -> None:
    """What a cell tells is the same however it is asked, with whiskers, and goes with Escape."""
    chrome.open(site.as_uri())
    said = "document.querySelector('.whisker:not([hidden])')?.textContent ?? ''"
    for kind in ("touch", "mouse"):
        event = f"new PointerEvent('pointerover', {{bubbles: true, pointerType: '{kind}'}})"
        chrome.value(f"{CELL}.dispatchEvent({event})")
        chrome.until(said)
        text = chrome.value(said)
        assert "Alpha" in text and "95 %: 0." in text and "40 images" in text and "rank 1" in text
        assert chrome.value("document.querySelectorAll('.whisker .own').length") == 1
        assert chrome.value("document.querySelectorAll('.whisker .other').length") == 3, "the other rows with NLL"
        chrome.press("Escape")
        chrome.until(f"!({said})")
    chrome.value(f"{CELL}.focus()")
    assert chrome.value(said) == text
    chrome.press("ArrowDown")
    assert "Beta" in chrome.value(said) or "as published" in chrome.value(f"{FOCUSED}.parentElement.textContent")
    chrome.press("ArrowUp")
    assert chrome.value(said) == text and chrome.problems == []


def test_a_phone_shows_one_metric_that_is_picked(site: Path, chrome: Chrome) -> None:
    chrome.ask("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    chrome.open(site.as_uri())
    shown = "[...document.querySelectorAll('.heat thead th')].filter((h) => h.getClientRects().length)"
    shown += ".map((h) => h.dataset.key).join()"
    assert chrome.value(shown) == "model,nll_bpd@mean"
    pick = "const s = document.querySelector('[data-metric]'); "
    pick += "s.value = [...s.options].find((o) => o.text === 'MSE_min').value; s.dispatchEvent(new Event('change'))"
    chrome.value(pick)
    assert chrome.value(shown) == "model,mse_min@mean"
    assert "sort=mse_min%40mean%3Aascending" in chrome.value("location.hash"), "and is what the rows are sorted by"
    chrome.value(
        "for (const a of document.querySelectorAll('.heat tbody th a')) a.textContent = 'a long name '.repeat(3)"
    )
    chrome.value("for (const box of [...document.querySelectorAll('input[data-pick]')].slice(0, 2)) box.click()")
    chrome.until("document.querySelector('.compare .forest')")
    left = "const edge = document.querySelector('.compare .forest').getBoundingClientRect().left - 3; "
    left += "[...document.querySelectorAll('.forest .label')].every((one) => one.getBoundingClientRect().left >= edge)"
    assert chrome.value(left), "names are not cut off"


def test_the_drawer_opens_where_it_is_asked_for_and_gives_the_focus_back(site: Path, chrome: Chrome) -> None:
    chrome.open(site.as_uri())
    chrome.value("for (const box of [...document.querySelectorAll('input[data-pick]')].slice(0, 2)) box.click()")
    chrome.until("document.querySelector('.compare svg')")
    box = chrome.value("JSON.stringify(document.querySelector('.compare').getBoundingClientRect())")
    assert json.loads(box)["top"] == 0 and json.loads(box)["bottom"] == chrome.value("innerHeight"), "no scrolling"
    chrome.press("Escape")
    assert chrome.value("document.querySelector('.compare').hidden")
    assert chrome.value(f"Boolean({FOCUSED}.dataset.pick)") and "compare" not in chrome.value("location.hash")


def test_definitions_and_costs_are_folded_away_and_come_without_a_script(site: Path, chrome: Chrome) -> None:
    chrome.ask("Emulation.setScriptExecutionDisabled", value=True)
    chrome.load(site.as_uri())
    shown = "[...document.querySelectorAll('.heat thead th')].filter((h) => h.getClientRects().length).length"
    assert chrome.value(shown) == 4, "model, two metrics and what beats trivial rows"
    chrome.value("document.querySelector('#definitions').click()")
    assert chrome.value(shown) > 10
    assert chrome.value("document.querySelectorAll('.heat tbody tr:not(.heading)').length") == 5 + 5


def test_the_keyboard_is_enough(site: Path, chrome: Chrome) -> None:
    """Skip link first, then the tools, then the heads: Enter sorts, and what has the focus is seen."""
    chrome.open(site.as_uri())
    chrome.press("Tab")
    assert chrome.value(f"{FOCUSED}.className") == "skip"
    assert chrome.value(f"{FOCUSED}.getBoundingClientRect().left") >= 0, "the skip link comes into view"
    for _ in range(60):
        chrome.press("Tab")
        seen = chrome.value(f"getComputedStyle({FOCUSED}).outlineStyle")
        assert seen != "none", chrome.value(f"{FOCUSED}.outerHTML")
        if chrome.value(f"{FOCUSED}.closest('th')?.dataset.key ?? ''") == "mse_min@mean":
            break
    else:
        raise AssertionError("the head was never reached")
    chrome.press("Enter")
    chrome.press("Enter")
    assert chrome.value(f"{FOCUSED}.closest('th').getAttribute('aria-sort')") == "descending"
    assert "sort=mse_min%40mean%3Adescending" in chrome.value("location.hash")
    assert chrome.value("document.querySelector('tbody.ranked tr th a').textContent").startswith("Gamma")
    chrome.press("Tab")
    while not chrome.value(f"{FOCUSED}.dataset.pick ?? ''"):
        chrome.press("Tab")
    chrome.press(" ")
    assert chrome.value(f"{FOCUSED}.checked") and "compare=" in chrome.value("location.hash")


def test_nothing_leaves_the_page_whatever_is_pressed(site: Path, chrome: Chrome) -> None:
    chrome.open(site.as_uri())
    chrome.value("for (const box of [...document.querySelectorAll('input[data-pick]')].slice(0, 3)) box.click()")
    chrome.until("document.querySelectorAll('.compare svg').length >= 3")
    chrome.value("for (const head of document.querySelectorAll('thead button')) head.click()")
    chrome.value(f"{CELL}.dispatchEvent(new Event('pointerover', {{bubbles: true}}))")
    chrome.until(f"{CELL}.getAttribute('aria-describedby')")
    assert chrome.requests and all(address.startswith("file://") for address in chrome.requests), chrome.requests
    assert chrome.problems == []


def test_filters_of_the_table(site: Path, chrome: Chrome) -> None:
    shown = "[...document.querySelectorAll('table.heat tbody tr:not(.heading, .published, [hidden]) th a')]"
    shown += ".map((a) => a.textContent.split(' ')[0]).join()"
    chrome.open(site.as_uri() + "#needs=nothing")
    assert chrome.value(shown) == "MEAN-IMAGE"
    assert chrome.value("document.querySelector('tbody.cut .heading').hidden"), "no heading without rows"
    chrome.value("Object.assign(document.querySelector('[data-filter=needs]'), {value: 'training'})")
    chrome.value("document.querySelector('[data-filter=needs]').dispatchEvent(new Event('change'))")
    assert chrome.value(shown) == "Alpha,Beta,Gamma,SHORT" and "needs=training" in chrome.value("location.hash")


def test_filters_of_the_first_page(tmp_path: Path, chrome: Chrome) -> None:
    """Track, data set and rows; the links lead to tables that show the same rows."""
    results = tmp_path / "results"
    made_up(results, "alpha", dataset={"name": "fusionmnist"})
    made_up(results, "beta", dataset={"name": "fusionceleba"})
    made_up(results, "mean-image", dataset={"name": "fusionceleba"}, family="trivial")
    made_up(results, "alpha", dataset={"name": "tno"}, protocol={"name": "pairs"})
    chrome.open(build_board(results, tmp_path / "site", resamples=50).as_uri() + "#track=masked")
    shown = "[...document.querySelectorAll('.card:not([hidden]) h2 a')].map((a) => a.getAttribute('href')).join()"
    assert chrome.value(shown) == "fusionceleba-1-0-0-test.html,fusionmnist-1-0-0-test.html"
    chrome.value("Object.assign(document.querySelector('[data-filter=family]'), {value: 'trivial'})")
    chrome.value("document.querySelector('[data-filter=family]').dispatchEvent(new Event('change'))")
    assert chrome.value("document.querySelector('.card:not([hidden]) h2 a').hash") == "#family=trivial"
    assert chrome.value("document.querySelectorAll('.card:not([hidden])').length") == 1
    assert chrome.value("document.querySelector('.tools output').textContent") == "1 of 3 benchmarks"
    assert chrome.problems == []


def test_no_page_is_wider_than_a_phone(site: Path, chrome: Chrome) -> None:
    chrome.ask("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    for page in sorted(site.parent.glob("**/*.html")):
        chrome.load(page.as_uri())
        assert chrome.value("document.documentElement.scrollWidth") <= 390, page.name


def test_weights_of_the_metrics(site: Path, chrome: Chrome) -> None:
    """The order follows the reader's weights, the address keeps them, and rows without a metric are left out."""
    lines = "[...document.querySelectorAll('.weights tbody tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    chrome.open(site.as_uri())
    assert chrome.value(f"{lines}.length") == 0, "nothing is loaded before it is asked for"
    chrome.value("document.querySelector('.weights summary').click()")
    chrome.until(f"{lines}.length")
    found = chrome.value(lines)
    assert [line[0].split()[0] for line in found] == ["Alpha", "Beta", "Gamma"]
    assert [line[1:] for line in found][:2] == [["1", "1.00", "1", "100 %"], ["2", "2.00", "2", "never"]]
    assert "1 without one of these metrics left out" in chrome.value("document.querySelector('.weights p').textContent")
    chrome.open(site.as_uri() + "#weights=nll_bpd:0,mse_min:3")
    chrome.until(f"{lines}.length")
    assert [line[0].split()[0] for line in chrome.value(lines)] == ["Alpha", "Beta", "Gamma", "MEAN-IMAGE"]
    slide = "const s = document.querySelector('.sliders [data-metric=mse_min]'); s.value = 0; "
    chrome.value(slide + "s.dispatchEvent(new Event('input'))")
    assert chrome.value("document.querySelector('.weights p').textContent") == "Give at least one metric a weight."
    assert "mse_min%3A0" in chrome.value("location.hash") and chrome.problems == []


def test_weights_that_make_no_sense(site: Path, chrome: Chrome) -> None:
    for view in ("#weights=nll_bpd:1e99,mse_min:-4", "#weights=:,x:y,nll_bpd:%3Cscript%3E", "#weights=constructor:2"):
        chrome.open(site.as_uri() + view)
        chrome.until("document.querySelector('.weights p')?.textContent")
    assert chrome.problems == []


def test_pictures_by_keyboard(tmp_path: Path, chrome: Chrome) -> None:
    """Arrows go from image to image; any two pictures may be laid over each other, and the choice stays."""
    page = build_board(with_pictures(tmp_path), tmp_path / "site", resamples=100)
    chrome.open(page.as_uri())
    chrome.value("for (const box of [...document.querySelectorAll('input[data-pick]')].slice(0, 2)) box.click()")
    chrome.until("document.querySelector('.point.known')")
    chrome.until("document.querySelector('.explorer img')")  # of the image where they disagree most
    chrome.value("document.querySelector('.compare ol button').click()")
    first = chrome.value("document.querySelector('.explorer h3').textContent")
    assert chrome.value("document.activeElement.textContent") == first
    selects = "[...document.querySelectorAll('.explorer .wide select')]"
    assert chrome.value(f"{selects}.map((s) => s.options.length).join()") == "4,4", "both sources and both models"
    change = "s.selectedIndex = 0; s.dispatchEvent(new Event('change'))"
    chrome.value(f"for (const s of {selects}.slice(0, 1)) {{ {change} }}")
    chrome.press("ArrowRight")
    assert chrome.value("document.querySelector('.explorer h3').textContent") != first
    assert chrome.value(f"{selects}[0].selectedOptions[0].textContent") == "Source A"
    shown = "document.querySelector('.explorer .wide img').getAttribute('src')"
    assert re.fullmatch(r"pictures/.*/a/[0-9]+\.png", chrome.value(shown))
    chrome.until("[...document.querySelectorAll('.explorer img')].every((image) => image.naturalWidth > 0)")
    assert chrome.problems == []


CONTRAST = """(() => {
  const part = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parts(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = light(parts(element instanceof SVGElement ? style.fill : style.color));
    const paper = light(ground(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) faint.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)}`);
  }
  return faint;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(site: Path, chrome: Chrome, scheme: str) -> None:
    """Every text has the contrast of 4.5 that WCAG 2 asks for (level AA), on light paper and on dark."""
    chrome.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    for page in sorted(site.parent.glob("**/*.html")):
        chrome.load(page.as_uri())
        assert chrome.value(CONTRAST) == [], page.name
