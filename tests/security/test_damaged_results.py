"""One result that is damaged or edited, beside two that are not: nobody else's numbers wait for it, and it shows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fusionbench.results import schema
from tests.cli.runner import run
from tests.helpers.results import made_up


def table(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Change the table and state its new digest, as an author would who builds the file on purpose."""

    def apply(folder: Path) -> None:
        result = schema.load(folder)
        content = change((folder / "images.csv").read_text()).encode()
        (folder / "images.csv").write_bytes(content)
        assert result.per_image is not None
        result.per_image.sha256 = hashlib.sha256(content).hexdigest()
        (folder / "result.json").write_bytes(schema.result_bytes(result))

    return apply


def text(change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "result.json"
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before

    return apply


def folder_named_so(folder: Path) -> None:
    (folder / "result.json").unlink()
    (folder / "result.json").mkdir()


def stated_mean(raw: str) -> str:
    data = json.loads(raw)
    data["scores"]["mse_min@mean"]["mean"] = 0.001
    return json.dumps(data)


def without(key: str, raw: str) -> str:
    data = json.loads(raw)
    del data[key]
    return json.dumps(data)


def cost_without_end(raw: str) -> str:
    return raw.replace('"parameters": 12345', f'"parameters": 1{"0" * 400}')


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "an edited mean": (text(stated_mean), "score mse_min@mean: its mean is stated as 0.001, but is"),
    "an empty table": (table(lambda raw: ""), r"columns \[\] are not those of result.json"),
    "a head alone": (table(lambda raw: raw.splitlines()[0] + "\n"), "has no rows"),
    "ragged rows": (table(lambda raw: raw + "40,1\n"), "row 41 has 2 cells, the header 11"),
    "a cell of 200 kB": (
        table(lambda raw: raw.replace("\n1,", f"\n{'1' * 200_000},")),
        "too large for per-image table",
    ),
    "a word for a number": (
        table(lambda raw: re.sub(r"\n1,[^,]+", "\n1,zero", raw)),
        "could not convert string to float",
    ),
    "an image twice": (table(lambda raw: raw.replace("\n1,", "\n2,")), "an image stands in it twice"),
    "a value changed": (table(lambda raw: re.sub(r"\n1,[^,]+", "\n1,0.001", raw)), "is stated as|is not the average"),
    "another digest": (lambda folder: (folder / "images.csv").write_text("id\n"), "sha256 differs"),
    "no table": (lambda folder: (folder / "images.csv").unlink(), "no such per-image table"),
    "truncated": (text(lambda raw: raw[: len(raw) // 2]), "not a fusionbench.result/1 result"),
    "merge markers": (text(lambda raw: f"<<<<<<< HEAD\n{raw}=======\n{raw}>>>>>>> theirs\n"), "JSON is malformed"),
    "NaN": (text(lambda raw: re.sub(r'"mean": [0-9.]+', '"mean": NaN', raw, count=1)), "JSON is malformed"),
    "nothing": (text(lambda raw: ""), "not a fusionbench.result/1 result"),
    "no UTF-8": (lambda folder: (folder / "result.json").write_bytes(b"\xff\xfe"), "not a fusionbench.result/1 result"),
    "nested without end": (text(lambda raw: "[" * 200_000), "not a fusionbench.result/1 result"),
    "no identity": (text(lambda raw: without("identity", raw)), "required field `identity`"),
    "another identity": (text(lambda raw: raw.replace('"preset": "tiny"', '"preset": "huge"')), "does not match"),
    "a number without end": (text(cost_without_end), "cost parameters is not finite|OverflowError"),
    "a folder of this name": (folder_named_so, "is a folder"),
}


@pytest.fixture
def results(tmp_path: Path) -> tuple[Path, Path]:
    root = tmp_path / "results"
    made_up(root, "good")
    made_up(root, "better", shift=-0.2)
    return root, made_up(root, "hurt", shift=-0.4)


@pytest.mark.parametrize("name", DAMAGE)
def test_the_others_go_on(
    name: str, results: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, folder = results
    assert run(capsys, "gate", root, "-b", tmp_path / "base.json", "--update-baseline")[0] == 0
    hurt, said = DAMAGE[name]
    hurt(folder)
    place = f"{folder.relative_to(root).as_posix()}/result.json"
    code, out, err = run(capsys, "compare", root, "--json", "--resamples", 100)
    data = json.loads(out)
    assert (code, [row["name"] for row in data["rows"]]) == (0, ["better", "good"])
    (aside,) = data["set_aside"]
    assert aside["file"] == f"{root}/{place}" and re.search(said, aside["reason"]), aside
    assert err.startswith(f"set aside: {root}/{place}: ") and "Traceback" not in err
    code, _, err = run(capsys, "compare", root, "--strict")
    assert code == 2 and "1 of 3 results cannot be used" in err and len(err.splitlines()) == 1
    code, out, err = run(capsys, "board", root, "-o", tmp_path / "site", "--json")
    assert code == 0 and [one["file"] for one in json.loads(out)["set_aside"]] == [place], err
    page = (tmp_path / "site" / "index.html").read_text()
    assert f"<code>{place}</code>" in page and "GOOD" in page and "HURT" not in page
    assert run(capsys, "board", root, "-o", tmp_path / "strict", "--strict")[0] == 2
    assert not (tmp_path / "strict").exists()
    code, out, _ = run(capsys, "gate", root, "-b", tmp_path / "base.json", "--json")
    cases = json.loads(out)["cases"]
    assert code == 3 and {case["verdict"] for case in cases if case["model"] == "hurt"} == {"not measured"}
    assert {case["verdict"] for case in cases if case["model"] != "hurt"} == {"ok"}
    before = (tmp_path / "base.json").read_bytes()
    assert run(capsys, "gate", root, "-b", tmp_path / "base.json", "--update-baseline")[0] == 2
    assert (tmp_path / "base.json").read_bytes() == before, "a new baseline forgets no model"


@pytest.mark.parametrize("name", DAMAGE)
def test_nothing_but_damaged_results(
    name: str, results: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = results
    DAMAGE[name][0](folder)
    for words in (("compare", folder), ("board", folder, "-o", tmp_path / "site")):
        code, out, err = run(capsys, *words)
        assert (code, out) == (2, "") and "Traceback" not in err and len(err.splitlines()) == 1, err


def test_a_seed_that_is_lost_is_not_left_out_of_the_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "results"
    folders = [made_up(root, "cvae", seed=seed) for seed in range(3)]
    assert run(capsys, "gate", root, "-b", tmp_path / "base.json", "--update-baseline")[0] == 0
    (folders[1] / "images.csv").unlink()
    code, out, _ = run(capsys, "gate", root, "-b", tmp_path / "base.json", "--json")
    assert code == 3 and {case["verdict"] for case in json.loads(out)["cases"]} == {"not measured"}
    assert "images.csv: no such per-image table" in json.loads(out)["cases"][0]["reason"]


def test_a_file_that_is_not_there_is_a_mistake_of_the_command(
    results: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "compare", results[0], results[0] / "typo.json")
    assert code == 2 and "typo.json: no such result" in err


def test_two_results_with_one_id(results: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The copy that sorts first is not the one that lies where its identity says."""
    root, folder = results
    copy = root / "aaa" / "x" / "y"
    copy.mkdir(parents=True)
    made = made_up(root.parent / "other", "hurt", shift=-0.9)
    for name in ("result.json", "images.csv"):
        (copy / name).write_bytes((made / name).read_bytes())
    assert schema.load(copy).id == schema.load(folder).id
    data = json.loads(run(capsys, "compare", root, "--json", "--resamples", 100)[1])
    assert [one["file"] for one in data["set_aside"]] == [str(copy / "result.json")]
    means = {row["name"]: row["scores"]["mse_min@mean"]["mean"] for row in data["rows"]}
    assert means["hurt"] == schema.load(folder).scores["mse_min@mean"].mean


def test_a_score_without_a_column_is_stated_and_not_ranked(
    results: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, folder = results
    made, values = schema.load(folder), schema.load_per_image(folder)
    values = {key: column for key, column in values.items() if not key.startswith("mse_min")}
    for key, score in made.scores.items():
        if key.startswith("mse_min"):
            score.mean = 0.00001
    schema.save(made, root, values)
    data = json.loads(run(capsys, "compare", root, "--json", "--resamples", 100)[1])
    rows = {row["name"]: row for row in data["rows"]}
    assert (
        "mse_min@mean" not in rows["hurt"]["scores"] and "stated only" in rows["hurt"]["not_available"]["mse_min@mean"]
    )
    assert rows["better"]["scores"]["mse_min@mean"]["rank"] == 1, "nor does it take the others' ranks away"
    assert run(capsys, "board", root, "-o", tmp_path / "site")[0] == 0
    page = (tmp_path / "site" / "index.html").read_text()
    cells = re.findall(r"<td[^>]*>(?:<[^>]+>)?([^<]*stated)", page)
    assert cells and all(text.startswith("0.000") for text in cells)
    assert "<b>0.000" not in page and 'title="stated only: the result has no per-image values for it"' in page


def test_a_result_without_a_table(
    results: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, folder = results
    (folder / "result.json").write_text(without("per_image", (folder / "result.json").read_text()))
    data = json.loads(run(capsys, "compare", root, "--json", "--resamples", 100)[1])
    assert len(data["rows"]) == 2 and "no per-image values" in data["set_aside"][0]["reason"]
    assert run(capsys, "compare", root, folder / "result.json")[0] == 4, "named by itself, it cannot be compared"
    assert run(capsys, "board", root, "-o", tmp_path / "site")[0] == 0
    page = (tmp_path / "site" / "index.html").read_text()
    assert page.index("BETTER") < page.index("GOOD") < page.index("HURT") and "stated" in page


def test_many_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path, "good")
    for number in range(25):
        (tmp_path / f"x{number:02d}").mkdir()
        (tmp_path / f"x{number:02d}" / "result.json").write_text("{}")
    code, out, err = run(capsys, "compare", tmp_path, "--json", "--resamples", 100)
    assert code == 0 and len(json.loads(out)["set_aside"]) == 25
    lines = [line for line in err.splitlines() if line.startswith("set aside: ")]
    assert len(lines) == 21 and lines[-1].startswith("set aside: 5 more")
