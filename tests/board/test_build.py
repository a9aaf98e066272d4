"""The pages: complete without script, escaped, closed to everything from elsewhere, a pure function of the results."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fusionbench.board import build_board
from fusionbench.core.errors import DataError, NotComparable, UsageError
from fusionbench.core.figures import contact_sheet
from fusionbench.results import schema
from fusionbench.results.published import accept_record, pack, shipped, template
from tests.helpers.results import made_up, without_means

HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"
MNIST = {"dataset": {"name": "fusionmnist"}}


class Page(HTMLParser):
    """Tags with attributes, links, and the rows of the board as lists of cell texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[str, list[str]]] = []
        self._cell, self._body = False, "head"
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "thead":
            self._body = "head"
        if tag == "tbody":
            self._body = dict(attrs).get("class") or ""
        if tag == "tr":
            self.rows.append((f"{self._body} {dict(attrs).get('class') or 'model'}", []))
        if tag in ("td", "th") and self.rows:
            self._cell = True
            self.rows[-1][1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "table"):  # the rows of a board leave out closing tags
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][1][-1] += " " + data.strip()

    def addresses(self) -> list[str]:
        return [value for _, attrs in self.tags for name in ("href", "src") if (value := attrs.get(name))]


def place_of(page: Page, head: str) -> int:
    """The place of the column whose head begins so, in the board's own table."""
    heads = next(cells for kind, cells in page.rows if kind.startswith("head") and "Model" in cells[0])
    return next(n for n, text in enumerate(heads) if " ".join(text.split()).startswith(head))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    made_up(root, "fusionvae", title="FusionVAE", **MNIST)
    made_up(root, "cvae", title=HOSTILE, shift=0.1, **MNIST)
    made_up(root, "mean-image", family="trivial", title="Mean image", shift=0.4, metrics={"mse_min": "1"}, **MNIST)
    made_up(root, "fcn", cut=True, shift=-0.2, **MNIST)
    rng = np.random.default_rng(0)
    sheet = contact_sheet(*(rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((2, 8, 8), (2, 3, 8, 8))))
    (root / "fusionmnist" / "contact-sheet.png").write_bytes(sheet)
    return root


def test_rows_ranks_and_kinds(results: Path, tmp_path: Path) -> None:
    page = Page(build_board(results, tmp_path / "site", resamples=300))
    rows = [(kind, [cell.strip() for cell in cells]) for kind, cells in page.rows if kind[:4] != "head"]
    rows = [(kind, cells) for kind, cells in rows if "heading" not in kind and kind[0] != " "]
    measured = [(kind, cells) for kind, cells in rows if not kind.endswith("published")]
    assert [cells[0].split()[0] for _, cells in measured] == ["FusionVAE", HOSTILE.split()[0], "Mean", "FCN"]
    vae, cvae, mean_image, cut = measured
    nll, mse, beats = place_of(page, "NLL ↓"), place_of(page, "MSE_min ↓"), place_of(page, "beats")
    assert vae[1][nll].endswith(" first") and cvae[1][nll].endswith(" 2")
    assert cut[1][nll].replace(".", "").isdecimal(), "a run cut short takes no rank, however good"
    assert mean_image[0] == "ranked base trivial" and mean_image[1][nll] == "–" and mean_image[1][mse].endswith(" 3")
    assert vae[1][beats] == "1 of 1", "the trivial row has one of the two metrics"
    theirs = [(kind, cells) for kind, cells in rows if kind.endswith("published")]
    assert len(theirs) == 5 and {kind for kind, _ in theirs} == {"ranked published"}, "in place, among the models"
    assert all("as published" in cells[0] and " " not in cells[nll] for _, cells in theirs), "without a rank"
    assert "Training cut short: not ranked" in page.text


def test_published_values_are_the_papers(results: Path, tmp_path: Path) -> None:
    page = Page(build_board(results, tmp_path / "site", resamples=100))
    row = next(cells for kind, cells in page.rows if kind == "ranked published" and "FusionVAE" in cells[0])
    places = [place_of(page, f"NLL N={views}") for views in range(4)]
    assert [row[place].strip() for place in places] == ["0.1593", "0.1417", "0.1370", "0.1348"]
    assert "https://arxiv.org/abs/2209.11277" in page.addresses()


def test_nothing_from_elsewhere_and_nothing_unescaped(results: Path, tmp_path: Path) -> None:
    build_board(results, tmp_path / "site", title=HOSTILE, resamples=100)
    pages = list((tmp_path / "site").glob("**/*.html"))
    assert len(pages) == 1 + 3 + 4, "the table, the metrics, the cost, single images, and a page a model"
    for path in pages:
        page = Page(path)
        assert "<script>alert" not in page.text and "<img src=x" not in page.text
        policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
        assert policy is not None and policy.startswith("default-src 'none'") and "unsafe" not in policy
        assert not any(name.startswith("on") or name == "style" for _, attrs in page.tags for name in attrs)
        for address in page.addresses():
            if "://" in address:
                assert address.startswith("https://arxiv.org/"), address
            elif not address.startswith("#"):
                name, _, anchor = address.partition("#")
                assert (path.parent / name).is_file(), f"{path.name} links to {address}"
                assert not anchor or f'id="{anchor}"' in (path.parent / name).read_text(), address


def test_the_same_results_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    build_board(results, tmp_path / "one", resamples=100)
    shutil.copytree(results, tmp_path / "again")
    build_board(tmp_path / "again", tmp_path / "two", resamples=100)
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").glob("**/*") if path.is_file()}
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_stale_pages_go_and_foreign_files_stay(results: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_board(results, site, resamples=100)
    (site / "models" / "mine.txt").write_text("kept")
    shutil.rmtree(results / "fusionmnist" / "fcn")
    before = set(site.glob("models/*.html"))
    build_board(results, site, resamples=100)
    gone = before - set(site.glob("models/*.html"))
    assert len(gone) == 1 and "fcn" in gone.pop().name and (site / "models" / "mine.txt").read_text() == "kept"


def test_a_strangers_index_is_not_overwritten(results: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "index.html").write_text("my home page")
    with pytest.raises(UsageError, match="not a fusionbench board"):
        build_board(results, tmp_path / "home")
    assert (tmp_path / "home" / "index.html").read_text() == "my home page"


def test_two_data_sets_get_two_pages_and_an_index(results: Path, tmp_path: Path) -> None:
    made_up(results, "cvae")
    made_up(results, "cvae", protocol={"seed": 5})
    index = Page(build_board(results, tmp_path / "site", resamples=100))
    links = [address for address in index.addresses() if re.match(r"fusion.*\.html", address)]
    assert len(set(links)) == 3 and "fusionmnist-1-0-0-test.html" in links


def test_versions_never_share_a_table(results: Path, tmp_path: Path) -> None:
    made_up(results, "other", version="2", **MNIST)
    with pytest.raises(NotComparable, match=r"versions (2 and 1|1 and 2) of"):
        build_board(results, tmp_path / "site", strict=True)
    assert not (tmp_path / "site").exists()


def test_bad_folders_and_pictures(results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no result"):
        build_board(tmp_path / "empty", tmp_path / "site")
    with pytest.raises(DataError, match="no such results folder"):
        build_board(tmp_path / "nowhere", tmp_path / "site")
    (results / "fusionmnist" / "samples.png").write_text("<svg onload=alert(1)>")
    with pytest.raises(DataError, match="not a PNG"):
        build_board(results, tmp_path / "site", resamples=100, strict=True)
    assert "samples.png" not in [name.name for name in (tmp_path / "site").glob("pictures/*")]
    text = build_board(results, tmp_path / "site", resamples=100).read_text()
    assert "<code>fusionmnist/samples.png</code>: not a PNG; left out" in text and "FusionVAE" in text


def test_a_picture_outside_the_result_is_refused(results: Path, tmp_path: Path) -> None:
    path = next(results.glob("fusionmnist/fusionvae/*/result.json"))
    made = schema.load(path)
    made.pictures = {"secret": "../../../secret.png"}
    table = schema.load_per_image(path)
    schema.save(made, results, table)
    with pytest.raises(DataError, match="outside the result's folder"):
        build_board(results, tmp_path / "site", resamples=100, strict=True)
    build_board(results, tmp_path / "site", resamples=100)
    assert not list((tmp_path / "site").glob("**/*secret*"))


def test_anonymous_pages_name_nobody(results: Path, tmp_path: Path) -> None:
    path = next(results.glob("fusionmnist/fusionvae/*/result.json"))
    made = schema.load(path)
    made.origin = schema.Origin(kind="submission", submitter="Ada Lovelace")
    made.title, made.provenance = "Ada's network", {"host": {"name": "analytical-engine"}}
    schema.save(made, results, schema.load_per_image(path))
    for anonymous in (False, True):
        build_board(results, tmp_path / "site", anonymous=anonymous, resamples=100)
        texts = (path.read_text() for path in (tmp_path / "site").glob("**/*") if path.suffix not in ("", ".png"))
        text = "".join(texts)
        for secret in ("Ada Lovelace", "Ada&#39;s network", "Ada's network", "analytical-engine"):
            assert (secret in text) != anonymous, secret


def test_metric_cards(results: Path, tmp_path: Path) -> None:
    index = build_board(results, tmp_path / "site", resamples=100)
    page = Page(index.with_name("fusionmnist-1-0-0-test-metrics.html"))
    assert page.text.count("<details ") == 2 and "<dd>Mean image 0." in page.text


def test_only_what_ranked_rows_have_can_be_weighed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name in ("mean-image", "first-view"):
        made_up(results, name, family="trivial", metrics={"mse_min": "1"}, **MNIST)
    made_up(results, "cvae", cut=True, **MNIST)
    assert "weights.js" not in build_board(results, tmp_path / "site", resamples=50).read_text()
    for name in ("cvae", "fcn"):
        made_up(results, name, seed=1, **MNIST)
    page = build_board(results, tmp_path / "site", resamples=50).read_text()
    assert 'data-metrics="nll_bpd mse_min"' in page


def test_unmeasured_scores_say_why(results: Path, tmp_path: Path) -> None:
    path = next(results.glob("fusionmnist/fusionvae/*/result.json"))
    without_means(path.parent, "mse_min@0", "mse_min@mean")
    page = Page(build_board(results, tmp_path / "site", resamples=100))
    row = next(cells for kind, cells in page.rows if kind == "ranked model" and "FusionVAE" in cells[0])
    assert row[place_of(page, "MSE_min N=0")].strip() == "n/a" and "1 of 40 images have no finite value" in page.text


def test_published_data_keep_the_papers_averages() -> None:
    rows = {(row.identity.dataset.name, row.title): row.scores for row in shipped()}
    assert len(rows) == 15 + 8 + 8  # FusionVAE, DAE-Fuse, CDDFuse
    dae_fuse = rows["tno", "DAE-Fuse"]
    assert dae_fuse["mi@cddfuse"].mean == 2.21 and dae_fuse["mi@cddfuse"].unit == "nats"
    fusionvae = rows["fusionmnist", "FusionVAE"]
    assert fusionvae["nll_bpd@avg_paper"].mean == 0.1439 and fusionvae["mse_min@avg_paper"].mean == 0.0145
    assert fusionvae["mse_min@3"].extra["table"] == "Table 1 (best of runs), Table 8 (mean)"
    assert fusionvae["nll_bpd@0"].extra["dims"] == 784
    # the paper's average weighs the columns 28 : 24 : 24 : 24 on FusionMNIST; its columns are rounded to 1e-4
    for (dataset, title), scores in rows.items():
        weights = {"fusionmnist": (0.28, 0.24, 0.24, 0.24), "fusiontless": (164, 160, 160, 160)}.get(dataset)
        weights = weights or (4987, 4960, 4960, 4960)
        for metric in ("nll_bpd", "mse_min"):
            if f"{metric}@0" in scores:
                columns = [scores[f"{metric}@{n}"].mean for n in range(4)]
                unit = 10.0 ** -scores[f"{metric}@0"].extra["places"]
                expected = np.average(columns, weights=weights)
                assert scores[f"{metric}@avg_paper"].mean == pytest.approx(expected, abs=1.01 * unit), title


def test_an_accepted_record_stands_beside_our_run_with_the_gap(results: Path, tmp_path: Path) -> None:
    (tmp_path / "numbers.toml").write_text(template().replace('title = "FusionVAE" ', 'title = "Theirs" '))
    accept_record(pack(tmp_path / "numbers.toml", tmp_path / "numbers.json"), results)
    page = Page(build_board(results, tmp_path / "site", resamples=100))
    row = next(cells for kind, cells in page.rows if kind == "ranked published" and "Theirs" in cells[0])
    first, second = place_of(page, "NLL N=0"), place_of(page, "NLL N=1")
    assert row[first].strip() == "0.1593", "hollow: a value, and no rank"
    assert row[second].strip() == "–", "a column that the record does not have"
    ours = next(cells for kind, cells in page.rows if kind == "ranked model" and "FusionVAE" in cells[0])[first].strip()
    (notes,) = (tmp_path / "site" / "data").glob("*/notes.js")
    assert f"ours (FusionVAE) {ours}, gap +" in notes.read_text()
    assert "Entered by A. Reader" in page.text
    assert "A. Reader" not in Page(build_board(results, tmp_path / "site", resamples=100, anonymous=True)).text


def test_a_papers_address_is_checked_again_before_it_is_a_link(results: Path, tmp_path: Path) -> None:
    (tmp_path / "numbers.toml").write_text(template().replace('title = "FusionVAE" ', 'title = "Theirs" '))
    (folder,) = accept_record(pack(tmp_path / "numbers.toml", tmp_path / "numbers.json"), results)
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace('"url": "https://arxiv.org/', '"url": "javascript:'))
    assert (folder / "result.json").read_text() != text
    with pytest.raises(DataError, match="paper cannot be shown"):
        build_board(results, tmp_path / "site", resamples=100, strict=True)
    text = build_board(results, tmp_path / "site", resamples=100).read_text()
    assert "javascript:" not in text and "paper cannot be shown" in text and "Theirs" not in text


def test_a_row_costs_few_bytes_in_the_first_view(tmp_path: Path) -> None:
    sizes = []
    for models in (2, 22):
        for number in range(models):
            made_up(tmp_path / "results", f"model-{number:02d}", shift=0.01 * number)
        sizes.append(build_board(tmp_path / "results", tmp_path / "site", resamples=50).stat().st_size)
    row = (sizes[1] - sizes[0]) / 20
    style = sum(path.stat().st_size for path in (tmp_path / "site" / "static").glob("board.*"))
    assert sizes[0] + style + 198 * row < 150_000, "200 models"
