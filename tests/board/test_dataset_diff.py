"""The page of two data sets: its images are the stored pixels and their differences, its texts are text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fusionbench.board.dataset_diff import MAX_SHOWN, render_diff
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.diff import compare_datasets
from fusionbench.data.recipes import parse_recipe
from tests.board.chrome import Chrome
from tests.cli.runner import run
from tests.core.test_inline_images import decoded
from tests.helpers import pair_folders

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
TEXT = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text().partition("[expect]")[0]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"


def built(out: Path, *changes: tuple[str, str]) -> Dataset:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return open_dataset(build_dataset(parse_recipe(text.encode(), "changed.toml"), out=out, jobs=1))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return built(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    title = ('title = "', f'title = "{HOSTILE}\\u202e')
    return built(tmp_path_factory.mktemp("noisy"), ("sigma = 0.25", "sigma = 0.2"), title)


@pytest.fixture(scope="module")
def page(base: Dataset, noisy: Dataset) -> str:
    return render_diff(base, noisy, compare_datasets(base, noisy)).decode()


class Reader(HTMLParser):
    """Tags, attributes and texts as a browser has them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def images_of(page: str, sample: str) -> dict[str, np.ndarray]:
    """What an image is of -> its pixels, of the images of one sample."""
    (figure,) = (part for part in page.split("<figure")[1:] if f"<figcaption>{sample}<" in part)
    found = {}
    for number, (uri, alt) in enumerate(re.findall(r'<img src="([^"]+)" alt="([^"]+)"', figure)):
        found[f"{number} {alt}" if alt.startswith("difference") else alt] = decoded(uri)
    return found


def test_the_worst_samples_come_first_with_their_pixels(base: Dataset, noisy: Dataset, page: str) -> None:
    one, two = (each.arrays("train").views[:].astype(int) for each in (base, noisy))
    means = np.abs(one - two).mean((1, 2, 3, 4) if one.ndim == 5 else (1, 2, 3))
    worst = np.argsort(-means, kind="stable")[: MAX_SHOWN // 2]
    shown = [int(number) for number in re.findall(r"<figcaption>train (\d+)<", page)]
    assert shown == worst.tolist()
    number = shown[0]
    images = images_of(page, f"train {number}")
    assert np.array_equal(images[f"target of train {number} in A"], base.arrays("train").targets[number])
    for view in range(3):
        assert np.array_equal(images[f"view {view} of train {number} in A"], one[number, view])
        assert np.array_equal(images[f"view {view} of train {number} in B"], two[number, view])
    gap = np.abs(one[number] - two[number])
    assert np.array_equal(images["10 difference of the view 1s"], gap[1] * 255 // gap.max())
    assert images["8 difference of the targets"].max() == 0
    assert f"mean difference {means[number]:.3g} grey levels; white is {gap.max()}<" in page


def test_facts_and_counts_are_on_the_page(base: Dataset, noisy: Dataset, page: str) -> None:
    texts = Reader(page).texts
    for text in (base.id, noisy.id, "recipe.views.noise.sigma", "0.25", "0.2", "1,501", "samples of test", "CC BY 4.0"):
        assert text in texts
    assert any("2 arrays differ in values" in text for text in texts)


def test_hostile_titles_are_text(page: str) -> None:
    reader = Reader(page)
    assert f"{HOSTILE}\\u202eFusionDigits: small handwritten digits behind noisy elliptic windows" in reader.texts
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "iframe", "object", "link", "base", "form"})
    assert not [attributes for _, attributes in reader.tags if any(name.startswith("on") for name in attributes)]
    assert "49" not in reader.texts


def test_nothing_is_fetched(page: str) -> None:
    reader = Reader(page)
    sources = [attributes["src"] or "" for tag, attributes in reader.tags if tag == "img"]
    assert len(sources) == MAX_SHOWN * 4 * 3 and all(src.startswith("data:image/png;base64,") for src in sources)
    links = [attributes.get("href") for _, attributes in reader.tags if "href" in attributes]
    assert links == ["#main"] and "url(" not in page and "@import" not in page


def test_other_shapes_are_listed_and_not_compared(base: Dataset, tmp_path: Path) -> None:
    other = built(tmp_path, ("count = 3", "count = 2"))
    text = render_diff(base, other, compare_datasets(base, other)).decode()
    assert "uint8 (296, 3, 32, 32)" in text and "uint8 (296, 2, 32, 32)" in text and "4 cannot be compared" in text
    assert "train targets" not in text and "<img" not in text


def test_equal_sets_say_so(base: Dataset) -> None:
    text = render_diff(base, base, compare_datasets(base, base)).decode()
    assert "The stored data are the same." in text and "differs" not in text and "<img" not in text


def test_pairs_of_other_sizes_have_no_difference(tmp_path: Path) -> None:
    sizes = list(pair_folders.SIZES)
    sets = []
    for name, changed in (("a", sizes), ("b", [sizes[0], (300, 200), *sizes[2:]])):
        images = pair_folders.write(tmp_path / name, tuple(changed))
        sets.append(open_dataset(build_dataset(pair_folders.recipe(), images, tmp_path / f"{name}-out", jobs=1)))
    text = render_diff(*sets, compare_datasets(*sets)).decode()  # type: ignore[call-arg]
    figure = next(part for part in text.split("<figure")[1:] if "train 1 · scene 1" in part)
    assert "images of different sizes have no difference" in figure and figure.count("<img") == 4
    assert max(decoded(uri).shape[0] for uri in re.findall(r'src="([^"]+)"', figure)) <= 160
    assert text.count("<figure") >= 2, "later pairs were drawn from another state, so they differ, too"


def test_few_samples_can_be_asked_for(base: Dataset, noisy: Dataset) -> None:
    text = render_diff(base, noisy, compare_datasets(base, noisy), shown=3).decode()
    assert re.findall(r"<figcaption>(\w+)", text) == ["train", "test"]


def test_the_command_writes_the_page(
    base: Dataset, noisy: Dataset, page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "diff.html"
    code, said, err = run(capsys, "diff", base.folder, noisy.folder, "-o", out)
    assert code == 1 and "samples differ" in said and f"wrote {out}" in err
    assert out.read_text() == page
    code, _, err = run(capsys, "diff", base.folder, base.folder, "-o", tmp_path)
    assert code == 2 and "cannot write" in err and err.count("\n") == 1


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    browser = Chrome(CHROMIUM, tmp_path / "profile")
    yield browser
    browser.close()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_a_browser_shows_it_in_the_style_of_the_board(page: str, tmp_path: Path, chrome: Chrome) -> None:
    (tmp_path / "diff.html").write_text(page)
    chrome.load((tmp_path / "diff.html").as_uri())
    widths = "[...document.querySelectorAll('img')].map(image => image.complete && image.naturalWidth)"
    assert set(chrome.value(widths)) == {32}
    assert chrome.value("getComputedStyle(document.querySelector('.sample')).display") == "block"
    assert chrome.value("getComputedStyle(document.querySelector('.samples')).display") == "grid", "the style applies"
    assert chrome.value("document.documentElement.scrollWidth <= window.innerWidth")
    assert chrome.problems == [] and not [
        url for url in chrome.requests if not url.startswith(("file:", "data:", "about:"))
    ]
