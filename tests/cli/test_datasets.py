"""``plan``, ``status``, ``sample``, ``diff`` and ``recipe`` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.core.io import file_sha256
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import parse_recipe
from tests.cli.runner import run
from tests.data.test_refused import BAD, TEXT, write
from tests.sources import folders


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sample_from_its_index_is_the_row_of_the_shard(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "sample", "fusiondigits", "test", 123, "-o", "o")
    assert code == 0 and out.split() == ["o/fusiondigits-test-123.npz", "o/fusiondigits-test-123.png"]
    code, out, _ = run(capsys, "-q", "generate", "fusiondigits")
    arrays = open_dataset(out.strip()).arrays("test")
    with np.load("o/fusiondigits-test-123.npz", allow_pickle=False) as made:
        assert set(made.files) == set(arrays.columns)
        for name in made.files:
            assert np.array_equal(made[name], arrays.columns[name][123])
    strip = cv2.imread("o/fusiondigits-test-123.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(strip[:, 32:64], arrays.views[123, 0])


def test_plan_and_status(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", "fusiondigits")
    assert code == 0 and "train 1,501, test 296" in out and "3 shards are missing" in out
    run(capsys, "-q", "generate", "fusiondigits")
    code, out, _ = run(capsys, "plan", "fusiondigits", "--json")
    assert code == 0 and json.loads(out)["finished"] is True
    code, out, _ = run(capsys, "status")
    assert code == 0 and "fusiondigits 1.0.0: finished, 3 shards" in out
    assert json.loads(run(capsys, "status", "data", "--json")[1])[0]["state"] == "finished"


def test_pictures_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        folders.save(here / "pictures" / f"{i:02d}.png", folders.picture(i, 90 + i, 120))
    code, template, _ = run(capsys, "recipe", "new", "mine")
    assert code == 0
    Path("mine.toml").write_text(template)
    code, out, _ = run(capsys, "recipe", "check", "mine.toml")
    assert code == 0 and "3 views of 64×64×3" in out
    code, out, _ = run(capsys, "recipe", "check", "mine.toml", "--source-dir", "pictures", "--json")
    assert json.loads(out)["plan"]["splits"] == {"train": 11, "test": 1}
    code, first, _ = run(capsys, "-q", "generate", "--recipe", "mine.toml", "--source-dir", "pictures")
    assert code == 0 and open_dataset(first.strip()).size("train") == 11
    Path("noisy.toml").write_text(template + '[views.noise]\nalgorithm = "noise/1"\nsigma = 0.1\n')
    code, second, _ = run(capsys, "-q", "generate", "--recipe", "noisy.toml", "--source-dir", "pictures")
    code, out, err = run(capsys, "diff", first.strip(), second.strip())
    assert code == 1 and "test views: 1 of 1 samples differ (0)" in out and "different data" in err
    code, out, _ = run(capsys, "diff", first.strip(), first.strip())
    assert code == 0 and "the same" in out


def test_check_reads_every_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "files")
    for i in range(4):
        (here / "files" / f"x{i}.png").write_bytes(b"")
    Path("mine.toml").write_text(TEXT)
    args = ("recipe", "check", "mine.toml", "--source-dir", "files")
    code, out, err = run(capsys, *args)
    assert code == 2 and "mine.toml: a valid recipe" in out and "  10 of 24 files are refused:" in out
    named = [line.split(":")[0].strip() for line in out.splitlines() if line.startswith("    ")]
    assert named == [*sorted([*BAD, "x0.png", "x1.png"]), "and 2 more; --json lists all"]
    assert "without them: train 11, test 3" in out  # of every third place, 02, 08 and 17 can be used
    assert err.splitlines()[-1] == (
        "fusionbench: files: 10 of 24 files are refused; repair them, or leave them out with `generate --skip-refused`"
    )
    code, out, err = run(capsys, *args, "--json")
    facts = json.loads(out)
    assert code == 2 and facts["looked_at"] == 24 and "plan" not in facts
    assert [one["name"] for one in facts["refused"]] == sorted([*BAD, *(f"x{i}.png" for i in range(4))])
    assert all(one["reason"] and one["split"] == "all" and one["used"] for one in facts["refused"])
    code, out, _ = run(capsys, "-q", "generate", "--recipe", "mine.toml", "--source-dir", "files", "--skip-refused")
    dataset = open_dataset(out.strip())
    assert {split: dataset.size(split) for split in dataset.splits} == facts["plan_without"]["splits"]
    run(capsys, "sample", "mine.toml", "test", "1", "-o", "o", "--source-dir", "files", "--skip-refused")
    with np.load("o/mine-test-1.npz", allow_pickle=False) as made:
        assert np.array_equal(made["targets"], dataset.arrays("test").targets[1])


def test_check_forgives_what_is_not_used(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "files")
    only = TEXT.replace('part = "rest"', 'part = "rest"\nfirst = 2').replace(
        'part = "held-out"', 'part = "held-out"\nfirst = 1'
    )
    Path("mine.toml").write_text(only)  # 00 and 01; 02
    code, out, err = run(capsys, "recipe", "check", "mine.toml", "--source-dir", "files")
    assert code == 0 and "5 of 20 files are refused" in out and "(the recipe does not use it)" in out
    assert "train 2, test 1" in out and "fusionbench:" not in err


def test_check_of_a_named_recipe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "recipe", "check", "pairs-demo", "--json")
    assert code == 0 and json.loads(out)["looked_at"] == 3 and json.loads(out)["refused"] == []
    folders.pairs(here / "p", "ir", "vi")
    (here / "p" / "vi" / "02.bmp").write_bytes(b"")
    code, out, err = run(capsys, "recipe", "check", "roadscene", "--source-dir", "p")
    assert code == 2 and "1 of 3 pairs is refused:" in out and "  02: vi/02.bmp: " in out
    assert err.endswith("1 of 3 pairs is refused; fetch them again\n")  # a published data set
    code, _, err = run(capsys, "recipe", "check", "roadscen")
    assert code == 2 and "Did you mean 'roadscene'" in err


def test_mistakes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.toml").write_text("name = 3\n")
    for args, message in {
        ("sample", "fusiondigits", "tset", "3"): "Did you mean 'test'",
        ("sample", "fusiondigits", "test", "296"): "samples 0 to 295",
        ("plan",): "Name one data set",
        ("status", "none"): "no such folder",
        ("diff", "none", "none"): "no such data set",
        ("recipe", "new", "My Data"): "regex",
        ("recipe", "check", "bad.toml"): "bad.toml",
        ("recipe", "check", "bad.json"): "a recipe is a .toml file",
    }.items():
        code, out, err = run(capsys, *args)
        assert code == 2 and message in err and out == "" and len(err.strip().splitlines()) == 1, (args, err)


def test_a_new_recipe_can_keep_groups_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "recipe", "new", "mine", "--group-before", '"', "--group-parts", 2)
    rule = parse_recipe(out.encode()).source.group_by
    assert code == 0 and rule is not None and (rule.before, rule.parts) == ('"', 2)
    table = tmp_path / "groups.csv"
    table.write_text("file,group\n" + "".join(f"{n:02d}.png,{n % 6}\n" for n in range(12)))
    code, out, _ = run(capsys, "recipe", "new", "mine", "--group-csv", table)
    rule = parse_recipe(out.encode()).source.group_by
    assert rule is not None and rule.csv == "groups.csv" and rule.sha256 == file_sha256(table)
    for number in range(12):
        folders.save(tmp_path / f"{number:02d}.png", folders.picture(number, 80, 80))
    (tmp_path / "mine.toml").write_text(out.replace("every = 10", "every = 2"))
    code, out, _ = run(capsys, "recipe", "check", tmp_path / "mine.toml", "--source-dir", tmp_path, "--json")
    facts = json.loads(out)
    assert code == 0 and sum(facts["groups"].values()) == 6 and min(facts["groups"].values()) > 0
    assert facts["plan"]["splits"] == {split: 2 * count for split, count in facts["groups"].items()}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--group-before", "_", "--group-csv", "x.csv"), "give one"),
        (("--group-parts", 2), "--group-before"),
        (("--of-pairs", "--from", "tno"), "give one"),
        (("--group-csv", "none.csv"), "none.csv: no such CSV of groups"),
        (("--group-before", "a long text before which"), "length <= 16"),
    ],
)
def test_wrong_groups_for_a_new_recipe(options: tuple, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "recipe", "new", "mine", *options)
    assert code == 2 and out == "" and reason in err and len(err.strip().splitlines()) == 1


def test_a_new_recipe_of_pairs_makes_patches_to_train_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        for side in ("ir", "vi"):
            folders.save(here / "p" / side / f"{number:02d}.png", folders.picture(number + ord(side[0]), 140, 200))
    code, out, _ = run(capsys, "recipe", "new", "mine", "--of-pairs")
    assert code == 0
    Path("mine.toml").write_text(out)
    code, out, _ = run(capsys, "-q", "generate", "--recipe", "mine.toml", "--source-dir", "p")
    dataset = open_dataset(out.strip())
    assert code == 0 and dataset.kind == "pairs" and dataset.spec.height == 128
    # two corners a pair of 140×200; the tenth pair is held out
    names = {split: {name.partition("@")[0] for name in dataset.names(split) or []} for split in dataset.splits}
    assert names["train"].isdisjoint(names["validation"]) and names["validation"] == {"09"}
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 22, "validation": 2}
