"""The documentation site: builds strictly, loads nothing from elsewhere, has no broken link, covers what there is."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from fusionbench.cli import VERBS
from fusionbench.metrics import METRICS

ROOT = Path(__file__).parents[2]
NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocs_gen_files", "mkdocs_literate_nav")
LACKING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_mkdocs = pytest.mark.skipif(bool(LACKING), reason=f"the extra `docs` is not installed: no {', '.join(LACKING)}")
pytestmark = pytest.mark.docs


class Page(HTMLParser):
    """What a page links to, what it loads, and the ids that links can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe", "source", "embed", "video", "audio", "object"):
            self.loads += [values[name] for name in ("src", "data", "srcset") if name in values]
        if tag == "link" and values.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loads.append(values.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, in a process of its own, by the command of `make docs`."""
    out = tmp_path_factory.mktemp("site")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "NO_MKDOCS_2_WARNING": "1",
        "DISABLE_MKDOCS_2_WARNING": "true",
    }
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.glob("**/*.html"))}


@needs_mkdocs
def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert len(pages) > 100
    for path, page in pages.items():
        for target in page.loads:
            assert not re.match(r"(?:[a-z]+:)?//", target), f"{path.name} loads {target}"
    for style in site.glob("**/*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), style.name


@needs_mkdocs
def test_every_link_leads_to_a_page_and_to_a_place_on_it(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its links start at the root of a server
        for link in [*page.links, *page.loads]:
            if re.match(r"[a-z]+:|$", link):
                continue
            target, _, fragment = link.partition("#")
            file = (path.parent / unquote(target)).resolve() if target else path
            assert file.is_file(), f"{path.relative_to(site)} links to {link}"
            if fragment and file in pages and not fragment.startswith("__"):
                assert unquote(fragment) in pages[file].ids, f"{path.relative_to(site)}: no such place: {link}"


@needs_mkdocs
def test_the_handbook_has_every_metric_with_values(site: Path) -> None:
    for name in METRICS.names():
        metric = METRICS.get(name)
        text = Text(site / "reference" / "metrics" / f"{name}.html").text
        for what in (metric.formula, metric.reference, metric.exploits, metric.edge_cases, *metric.choices):
            assert words(what) in text, f"{name}: {what}"
        if metric.needs in ("pair", "fused", "target"):
            assert "What raises and what lowers it" in text and "step of strength" in text, name
    # noise raises the spatial frequency, which fools it, and blur lowers it
    overview = Text(site / "reference" / "metrics" / "index.html").text
    assert re.search(r"\bsf ↑ ↓ ", overview)
    # what a copied source scores, computed apart from the generator of the pages
    import numpy as np
    from skimage.metrics import structural_similarity

    from fusionbench.evaluation.pair_sets import open_pairs

    pairs = list(open_pairs("pairs-demo", None, None))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    between = []
    for a, b in pairs:  # the mean of SSIM(A,A) = 1 and SSIM(B,A), over the places where the window fits
        _, image = structural_similarity(a.astype(float), b.astype(float), full=True, **options)
        between.append((1 + image[5:-5, 5:-5].mean()) / 2)
    assert f"copy-a {np.mean(between):.4g}" in Text(site / "reference" / "metrics" / "ssim.html").text


@needs_mkdocs
def test_the_example_of_a_metric_shows_what_it_prints(site: Path) -> None:
    text = Text(site / "reference" / "metrics" / "nll.html").text
    assert "[1.6094]" in text  # −ln 0.2
    assert "[0.01]" in Text(site / "reference" / "metrics" / "mse_min.html").text


@needs_mkdocs
def test_the_command_line_reference_has_every_verb_and_option(site: Path) -> None:
    from click import Context, Group, Option

    from fusionbench.cli import cli
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.protocols.flags import command_flags

    page = Page(site / "reference" / "command-line.html")
    text = Text(site / "reference" / "command-line.html").text
    for verb in VERBS:
        assert verb in page.ids, verb
        command = cli.get_command(Context(cli), verb)
        inner = list(command.commands.values()) if isinstance(command, Group) else [command]
        for each in inner:
            for option in each.params:
                if isinstance(option, Option) and not option.hidden:
                    assert option.opts[0] in text, f"{verb} {option.opts[0]}"
    for name in ("masked/1", "pairs/1"):
        for flag in command_flags(PROTOCOLS.get(name)).values():
            assert flag.name in text.partition(f"With --protocol {name}:")[2], f"{name} {flag.name}"


def public_modules() -> Iterator[str]:
    """Dotted names of what a reader can import, from the files alone."""
    for path in sorted((ROOT / "fusionbench").glob("**/*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts) and parts[:2] != ("fusionbench", "cli"):
            yield ".".join(parts)


@needs_mkdocs
def test_the_python_reference_has_every_public_module(site: Path, pages: dict[Path, Page]) -> None:
    ids = set().union(*(page.ids for path, page in pages.items() if "api" in path.parts))
    missing = [name for name in public_modules() if name != "fusionbench" and name not in ids]
    assert missing == []
    import fusionbench

    text = Text(site / "reference" / "api" / "index.html").text
    assert [name for name in fusionbench.__all__ if name != "__version__" and name not in text] == []


@needs_mkdocs
def test_the_search_index_is_local_and_knows_the_reference(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"reference/metrics/vif.html", "reference/command-line.html", "tutorials/score-my-method.html"} <= places


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""


@needs_mkdocs
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_pages_open_from_the_folder_and_the_search_works_there(site: Path, tmp_path: Path) -> None:
    from tests.board.chrome import Chrome

    browser = Chrome(CHROMIUM, tmp_path / "profile")
    try:
        browser.load((site / "reference" / "index.html").as_uri())
        field = "document.querySelector('input.md-search__input')"
        browser.value("document.querySelector('[data-md-toggle=search]').click()")
        browser.value(f"{field}.focus(), {field}.value = 'spatial frequency', 0")
        browser.value(f"{field}.dispatchEvent(new KeyboardEvent('keyup', {{bubbles: true}})), 0")
        browser.until("document.querySelector('.md-search-result__link')")
        assert browser.value("document.querySelector('.md-search-result__link').href").endswith(
            ("metrics/sf.html", "metrics/qsf.html")
        )
        assert not browser.problems
        assert [address for address in browser.requests if not address.startswith(("file:", "data:", "about:"))] == []
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        browser.ask("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        for page in ("index.html", "pairs.html", "reference/metrics/ssim.html", "reference/command-line.html"):
            browser.load((site / page).as_uri())
            assert browser.value(wide) is False, f"{page} is wider than a telephone"
    finally:
        browser.close()


ENTRY = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*): ", re.MULTILINE)


def described(node: ast.AST) -> list[str]:
    """Names below ``Args:`` of a docstring; one entry may name several: ``a, b: …``."""
    text = ast.get_docstring(node) or ""  # type: ignore[arg-type]
    section = re.search(r"^Args:\n((?:(?: {4}.*)?\n?)*)", text, re.MULTILINE)
    entries = ENTRY.findall(section[1]) if section else []
    return [name.strip(" *") for entry in entries for name in entry.split(",")]


def parameters(node: ast.AST) -> set[str] | None:
    """Names that a function, or the constructor of a class, takes; None where they are not in this file."""
    if isinstance(node, ast.ClassDef):
        found = next((each for each in node.body if getattr(each, "name", "") == "__init__"), None)
        return None if found is None else parameters(found)
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if node.args.kwarg is not None:
        return None
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {each.arg for each in (*named, *([node.args.vararg] if node.args.vararg else []))}


def test_docstrings_describe_parameters_that_exist() -> None:
    seen = 0
    for path in sorted((ROOT / "fusionbench").glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names, known = described(node), parameters(node)
                seen += len(names)
                if known is not None:
                    unknown = [name for name in names if name not in known]
                    assert unknown == [], f"{path.relative_to(ROOT)}: {node.name} has no parameter {unknown[0]}"
    assert seen > 100


class Text(HTMLParser):
    """The words that a page's main part shows, with single blanks."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._words: list[str] = []
        self._skip = 0
        self.feed(path.read_text(encoding="utf-8"))
        self.text = words("".join(self._words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skip += tag in ("script", "style")
        if tag in ("td", "th", "p", "li", "h1", "h2", "h3", "pre"):
            self._words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._skip -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self._words.append(data)


def words(text: str) -> str:
    return " ".join(text.split())
