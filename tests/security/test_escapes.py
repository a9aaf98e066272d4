"""Every writer of CSV, Markdown, LaTeX and JUnit, with names that are made to be formulas, links and commands."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fusionbench.core.images import encode_png
from fusionbench.results import schema
from tests.cli.runner import run
from tests.helpers.results import made_up, without_means

HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "\t=1+1",
    "\r=1+1",
    "+1+cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(A1)",
    " =1+1",
    "＝1+1",
    "'=1+1",
    "a|b`c`[l](http://x)![i](javascript:x)<script>x</script>**b**\n# h www.example.org https://example.org",
    r"\input{/etc/passwd}^^5cinput{x}$x$%&_#~{}",
    "[2cm]after a line",
    "*star",
    "\x1b[31mred\u202e",
]
FORMULA = re.compile(r"[\s=+\-@＝＋－＠|%]")
NUMBER = re.compile(r"[+-]?[0-9.]+(e-?[0-9]+)?")
COMMANDS = {  # all that a table of ours has
    *("begin", "end", "toprule", "midrule", "bottomrule", "textcolor", "mathbf", "pm", "sigma", "uparrow", "downarrow"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"),
}


def check_csv(text: str) -> None:
    rows = list(csv.reader(text.splitlines()))
    assert len({len(row) for row in rows}) == 1, "no name breaks a line"
    for cell in (cell for row in rows for cell in row):
        assert not FORMULA.match(cell) or NUMBER.fullmatch(cell), cell
        assert not {*cell} & {"\x1b", "\u202e", "\t", "\r"}


def check_markdown(text: str) -> None:
    plain = re.sub(r"\\[\\`*_\[\]|:.]", "", text)  # without what is escaped
    assert not re.search(r"[`\[\]]\(|!\[|<script|\*\*b|`c|://|www\.", plain), plain
    assert "\x1b" not in text and "\u202e" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\\\", "").replace("\\|", "").count("|") for line in table}) <= 2


def check_latex(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    for line in lines:
        assert {*re.findall(r"\\([a-zA-Z]+)", line)} <= COMMANDS, line
        plain = re.sub(r"\{[\[\]*]\}|\$[^$]*\$", "", re.sub(r"\\(?:[a-zA-Z]+|.)", "", line))
        assert not {*plain} & {*"%#~^"}, plain
        assert not line.startswith(("[", "*")) and plain.count("{") == plain.count("}")
    cells = [re.sub(r"\\&", "", line).count("&") for line in lines if line.endswith(" \\\\")]
    assert len(cells) == 1 + len(HOSTILE) and len({*cells}) == 1, "no name is two cells"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results whose models, titles, units, data set and reasons are hostile texts."""
    root = tmp_path_factory.mktemp("hostile")
    dataset = {"name": "fusiondigits", "version": HOSTILE[9][:60], "split": HOSTILE[0]}
    for number, text in enumerate(HOSTILE):
        folder = made_up(root / "results", f"m{number}", shift=0.01 * number, title=text, dataset=dataset)
        without_means(folder, "mse_min@0", "mse_min@mean")
        if number % 2:
            without_means(folder, "nll_bpd@0", "nll_bpd@mean")
        result, table = schema.load(folder), schema.load_per_image(folder)
        result.identity.model.name = text
        result.identity.metrics = dict.fromkeys(["mse_min", "nll"], "99")  # units of versions here are known
        result.id = schema.identity_id(result.identity)
        for score in result.scores.values():
            score.unit = HOSTILE[9]
        result.scores["mse_min@mean"].reason = text
        target = root / "hostile" / f"{number}"
        target.mkdir(parents=True)
        (target / "images.csv").write_bytes((folder / "images.csv").read_bytes())
        assert result.per_image is not None and table
        (target / "result.json").write_bytes(schema.result_bytes(result))
    return root


def compared(place: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code, out, err = run(capsys, "compare", place / "hostile", "--resamples", 100, *words)
    assert code == 0 and "\x1b[31m" not in out + err and "\u202e" not in out + err, err
    return out


def test_compare(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_csv(compared(place, capsys, "--csv"))
    check_markdown(compared(place, capsys, "--markdown"))
    check_latex(compared(place, capsys, "--latex"))
    compared(place, capsys)
    rows = json.loads(compared(place, capsys, "--json"))["rows"]
    assert {row["title"] for row in rows} == {*HOSTILE}, "data stay what they are"


def test_the_downloads_of_a_board(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "board", place / "hostile", "-o", tmp_path / "site")[0] == 0
    (exports,) = (tmp_path / "site").glob("data/*/exports.js")
    texts = json.loads(exports.read_text().removeprefix("fusionbenchData(").removesuffix(");\n"))
    checks = {"csv": check_csv, "md": check_markdown, "tex": check_latex}
    assert len(texts) == 4
    for name, text in texts.items():  # what the buttons copy, and the files
        assert (tmp_path / "site" / name).read_text() == text
        checks.get(name.rpartition(".")[2], lambda _: None)(text)
        assert "\x1b" not in text


def test_gate(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base.json"
    assert run(capsys, "gate", place / "hostile", "-b", base, "--update-baseline")[0] == 0
    files = ("--junit", tmp_path / "gate.xml", "--summary", tmp_path / "gate.md", "--all")
    code, out, err = run(capsys, "gate", place / "hostile", "-b", base, *files)
    assert code == 0 and "\x1b[31m" not in out + err and "\u202e" not in out + err
    check_markdown((tmp_path / "gate.md").read_text())
    names = [case.get("classname") or "" for case in ElementTree.parse(tmp_path / "gate.xml").iter("testcase")]
    assert names and not any({*name} & {"\x1b", "\u202e"} for name in names)


def image_names() -> Iterator[str]:
    yield from ("=1+1", "+1", "-1+1", "@SUM(A1)", " =1", "\t=1", "＝1", "a;b,c")


def test_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    image = encode_png(np.random.default_rng(0).integers(0, 255, (48, 48), dtype=np.uint8))
    for folder in ("a", "b", "f"):
        (tmp_path / folder).mkdir()
        for name in image_names():
            (tmp_path / folder / f"{name}.png").write_bytes(image)
    words = ("--a", tmp_path / "a", "--b", tmp_path / "b", "--fused", tmp_path / "f", "--metrics", "en,sd,scd")
    code, out, _ = run(capsys, "score", *words, "-o", tmp_path / "out.csv")
    assert code == 0 and "\t" not in out
    text = (tmp_path / "out.csv").read_text()
    check_csv(text)
    assert len(text.splitlines()) == 1 + len(list(image_names()))


def test_negative_numbers_stay_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shift in (("a", -5.0), ("b", -4.0)):
        made_up(tmp_path, name, shift=shift)
    rows = list(csv.DictReader(run(capsys, "compare", tmp_path, "--csv", "--resamples", 100)[1].splitlines()))
    assert rows and all(float(row["mean"]) < -3 for row in rows)
