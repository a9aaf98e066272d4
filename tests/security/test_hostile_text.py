"""Titles, names and bytes that are made to hurt, through the verbs that print, render or read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.data.recipes import load_recipe
from tests.cli.runner import run
from tests.data.forged import forge
from tests.data.test_build import DIGITS
from tests.helpers.results import made_up

TITLE = "ev\x1b[2Jil\x1b]0;t\x07\x9b\u202e<script>alert(1)</script><img src=x>![i](http://x)|`&lt;"
MOVES = {"\x1b", "\x07", "\x9b", "\u202e"}


def recipe_file(folder: Path, **changes: str) -> Path:
    text = DIGITS.partition("[expect]")[0]
    for key, value in changes.items():
        line = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
        text = text.replace(line, f"{key} = {json.dumps(value, ensure_ascii=True)}")
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def check_printed(printed: tuple[int, str, str], code: int = 0) -> str:
    assert printed[0] == code, printed
    assert not MOVES & {*printed[1], *printed[2]} and "Traceback" not in printed[2]
    return printed[1]


def test_a_data_set_with_a_hostile_title(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe_file(tmp_path, title=TITLE)
    assert load_recipe(path).title == TITLE
    folder = Path(check_printed(run(capsys, "generate", "--recipe", path, "--out", tmp_path / "data")).strip())
    card = (folder / "README.md").read_text("utf-8")
    assert not MOVES & {*card} and "<script" not in card and "<img" not in card and "![i]" not in card
    described = json.loads((folder / "croissant.json").read_text("utf-8"))
    assert not MOVES & {*json.dumps(described, ensure_ascii=False)} and "<" not in described["description"]
    check_printed(run(capsys, "verify", folder))
    check_printed(run(capsys, "status", tmp_path / "data"))
    for words in (("list", "datasets"), ("describe", "fusiondigits"), ("list", "recipes")):
        check_printed(run(capsys, *words, *(("--data", tmp_path / "data") if words[1] != "recipes" else ())))
    forge(folder, lambda raw: raw["source"].update(licence=TITLE, citation=TITLE))
    check_printed(run(capsys, "verify", folder), 1)
    check_printed(run(capsys, "verify", folder, "--json"), 1)


def test_results_with_a_hostile_title(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    made_up(results, "a", title=TITLE)
    made_up(results, "b", shift=0.2)
    for form in ((), ("--json",), ("--markdown",), ("--latex",), ("--csv",)):
        out = check_printed(run(capsys, "compare", results, *form, "--resamples", 100))
        assert "<script" not in out or form in ((), ("--json",), ("--csv",), ("--latex",)), form
    rows = json.loads(run(capsys, "compare", results, "--json", "--resamples", 100)[1])["rows"]
    assert TITLE in [row["title"] for row in rows]  # data stay what they are
    site = tmp_path / "site"
    check_printed(run(capsys, "board", results, "-o", site))
    pages = [path.read_text("utf-8") for path in site.rglob("*.html")]
    assert pages and any("ev" in page for page in pages)
    for page in pages:
        assert not MOVES & {*page} and "<script>alert" not in page and "<img src=x>" not in page
    for path in [*site.rglob("*.md"), *site.rglob("*.tex"), *site.rglob("*.csv")]:
        assert not MOVES & {*path.read_text("utf-8")}, path


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "att\n"), ("name", "a\0"), ("name", "a\u202e"), ("version", "1٣.0.0"), ("version", "1.0.0\n")],
)
def test_names_that_only_look_right(key: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe_file(tmp_path, **{key: value})
    for words in (("recipe", "check", path), ("generate", "--recipe", path, "--out", tmp_path / "data")):
        code, out, err = run(capsys, *words)
        assert (code, out) == (2, "") and f": {key}: " in err and len(err.splitlines()) == 1
    assert not (tmp_path / "data").exists()


BAD_BYTES = [b'{"format": "\xff"}', b"\xff\xfe", b"[" * 100_000, b'{"a": "\\ud800"}', b'{"format": 1e999}', b"", b"\0"]


@pytest.mark.parametrize("content", BAD_BYTES)
def test_documents_that_are_none(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each reader says in one line which file it is, and does not fall over its bytes."""
    data, runs, results = tmp_path / "data", tmp_path / "run", tmp_path / "results"
    files = [data / "manifest.json", runs / "run.json", results / "x" / "result.json", tmp_path / "baseline.json"]
    files += [tmp_path / "x.toml", tmp_path / "suite.toml", tmp_path / "record.json", tmp_path / "record.toml"]
    for file in files:
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(content)
    made_up(tmp_path / "good", "a")
    for words in (
        ("verify", data),
        ("diff", data, data),
        ("evaluate", runs, "--data", "fusiondigits", "-o", tmp_path / "out"),
        ("gate", results / "x", "--baseline", tmp_path / "baseline.json"),
        ("gate", tmp_path / "good", "--baseline", tmp_path / "baseline.json"),
        ("recipe", "check", tmp_path / "x.toml"),
        ("run", tmp_path / "suite.toml"),
        ("compare", results),
        ("check", tmp_path / "record.json"),
        ("check", tmp_path / "record.toml"),
    ):
        code, _, err = run(capsys, *words)
        assert "Traceback" not in err and code in (1, 2), (words, code, err)


def test_a_key_of_ten_thousand_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.toml"
    path.write_text(DIGITS + "\n" + "a." * 10_000 + "a = 1\n")
    for words in (("recipe", "check", path), ("generate", "--recipe", path), ("run", path)):
        code, _, err = run(capsys, *words)
        assert code == 2 and "has a key of more than 16 parts" in err and len(err.splitlines()) == 1
    code, out, _ = run(capsys, "check", path)
    assert code == 1 and "has a key of more than 16 parts" in out
    code, _, err = run(capsys, "evaluate", tmp_path, "--option", "draws={" + "a." * 10_000 + "a=1}")
    assert code == 2 and "Traceback" not in err


def test_a_long_line_beside_a_mistake_is_passed_over_at_once() -> None:
    """The line of a mistake is looked for in texts whose other lines are made to be searched for hours."""
    from fusionbench.core.errors import DataError
    from fusionbench.data.recipes import parse_recipe

    text = DIGITS.replace("shard_size = 1024", "shard_size = 0")
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("reference"))
    text = f"reference = '''\n[{' ' * 200_000}\n{' ' * 200_000}\n'''\n{text}"
    with pytest.raises(DataError, match=r"line \d+: shard_size"):
        parse_recipe(text.encode())
