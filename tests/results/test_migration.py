"""Migration: old files get the present form, say the same as before, and survive being stopped at any write."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.results import migration, schema
from fusionbench.results.gate import baseline_of, read_baseline, write_baseline
from fusionbench.results.migration import Migrated, migrate
from fusionbench.results.published import pack, read_published, template
from tests.cli.runner import run
from tests.helpers.results import made_up
from tests.results.test_baseline import as_revision_0

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a result of the first release: ``avg4`` among its scores, no averages in its table."""
    source = GOLDEN / "results" / "first-release" if request.param else GOLDEN / "formats" / "result-1"
    shutil.copytree(source, tmp_path / "old")
    return next((tmp_path / "old").rglob("result.json")).parent


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def state(found: list[Migrated]) -> list[tuple[str, str]]:
    return [(one.path.name, one.state) for one in found]


def test_an_old_result_gets_present_names_and_keeps_its_id(old: Path) -> None:
    before, table = schema.load(old), schema.load_per_image(old)
    files = sorted(content(old))
    assert state(list(migrate([old]))) == [("result.json", "migrated")]
    after = schema.load(old)
    assert sorted(content(old)) == files, "no file more, and the table as packed as it was"
    assert (after.id, after.identity, after.scores) == (before.id, before.identity, before.scores)
    raw = json.loads((old / "result.json").read_text())
    assert not [key for key in raw["scores"] if "avg4" in key] and "mse_min@mean" in raw["scores"]
    now = schema.load_per_image(old)
    assert {key: values.tobytes() for key, values in now.items()} == {key: v.tobytes() for key, v in table.items()}
    # by hand from the file: the mean of the columns beside it
    assert after.per_image is not None and after.per_image.columns == list(now)
    counts = [now[f"mse_min@{n}"] for n in range(64) if f"mse_min@{n}" in now]
    assert np.allclose(now["mse_min@mean"], np.mean(counts, axis=0), rtol=1e-14)
    assert state(list(migrate([old]))) == [("result.json", "current")]


def test_a_dry_run_says_what_and_writes_nothing(old: Path) -> None:
    before = content(old)
    (found,) = migrate([old], dry_run=True)
    assert found.state == "to migrate" and "mse_min@avg4 → mse_min@mean" in found.reason
    assert "mse_min@mean" in found.reason.partition("images.csv: ")[2]
    assert content(old) == before


@pytest.mark.parametrize("writes", range(4))
def test_stopped_at_any_write_nothing_is_lost_and_it_goes_on(
    old: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, table, files = schema.load(old), schema.load_per_image(old), sorted(content(old))
    done = []

    def stopping(path: Path, data: bytes) -> None:
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(path)
        path.write_bytes(data)

    with monkeypatch.context() as patched:
        patched.setattr(migration, "write_bytes", stopping)
        with pytest.raises(KeyboardInterrupt):
            list(migrate([old]))
    assert len(done) == writes
    between = schema.load(old)
    assert (between.id, between.scores) == (result.id, result.scores)
    found = schema.load_per_image(old)
    assert {key: values.tobytes() for key, values in found.items()} == {key: v.tobytes() for key, v in table.items()}
    assert state(list(migrate([old]))) == [("result.json", "migrated")]
    assert sorted(content(old)) == files and state(list(migrate([old]))) == [("result.json", "current")]


def test_a_table_with_the_former_name(tmp_path: Path) -> None:
    folder = made_up(tmp_path, ids=range(5))
    table = schema.load_per_image(folder)
    result = schema.load(folder)
    schema.save(result, tmp_path, {key.replace("@mean", "@avg4"): values for key, values in table.items()})
    (found,) = migrate([folder / "result.json"])
    assert found.state == "migrated" and "mse_min@avg4 → mse_min@mean" in found.reason and "added" not in found.reason
    with (folder / "images.csv").open(newline="") as stream:
        header = next(csv.reader(stream))
    assert header == list(table)


def old_baseline(path: Path, root: Path) -> Path:
    made_up(root)
    write_baseline(path, baseline_of([root]))
    content = as_revision_0(json.loads(path.read_text()))
    path.write_text(json.dumps(content).replace('@mean":', '@avg4":'))
    return path


def test_a_baseline(tmp_path: Path) -> None:
    path = old_baseline(tmp_path / "base.json", tmp_path / "results")
    before = read_baseline(path)
    (found,) = migrate([path])
    assert (found.state, found.format) == ("migrated", "fusionbench.baseline/1")
    assert "avg4" not in path.read_text() and read_baseline(path) == before
    assert state(list(migrate([path]))) == [("base.json", "current")]


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_record_of_a_paper_keeps_its_text(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "numbers.toml").write_text(template())
    path = tmp_path / f"numbers{suffix}"
    if suffix == ".json":
        pack(tmp_path / "numbers.toml", path)
    new = path.read_text().replace('@avg_paper"', '@mean"')
    path.write_text(new.replace('@mean"', '@avg4"') + ("\n# a note on @avg4\n" if suffix == ".toml" else ""))
    before, problems = read_published(path)
    assert problems == []
    (found,) = migrate([path])
    assert found.state == "migrated" and read_published(path)[0] == before
    assert path.read_text() == new + ("\n# a note on @avg4\n" if suffix == ".toml" else "")


def test_a_record_that_says_avg4_elsewhere_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text(template().replace("three training runs.", "three runs @avg4'"))
    before = path.read_bytes()
    (found,) = migrate([path])
    assert found.state == "failed" and "by hand" in found.reason and path.read_bytes() == before


def test_what_is_immutable_or_newer_is_left_alone_with_its_reason(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "formats", tmp_path / "formats")
    newer = made_up(tmp_path / "newer") / "result.json"
    newer.write_text(
        newer.read_text().replace("fusionbench.result/1", "fusionbench.result/1.9").replace("@mean", "@avg4")
    )
    before = content(tmp_path)
    found = {one.path.relative_to(tmp_path).as_posix(): one for one in migrate([tmp_path], dry_run=True)}
    states = {name: one.state for name, one in found.items()}
    assert states == {
        "formats/attestation-1.json": "current",
        "formats/baseline-1.1.json": "current",
        "formats/baseline-1.json": "current",
        "formats/board-1.json": "current",
        "formats/community-1.toml": "current",
        "formats/dataset-1/manifest.json": "left alone",
        "formats/dataset-1.1/manifest.json": "left alone",
        "formats/fingerprint-1.json": "current",
        "formats/predictions-1.zip": "left alone",
        "formats/predictions-1.1.zip": "left alone",
        "formats/published-1.json": "current",
        "formats/recipe-1.toml": "current",
        "formats/result-1/result.json": "to migrate",
        "formats/result-1.1/result.json": "current",
        "formats/result-1.2/result.json": "current",
        "formats/round-1.json": "current",
        "formats/run-1/run.json": "current",
        "formats/run-1.1/run.json": "current",
        "formats/secret-1.json": "current",
        "formats/submission-1.zip": "left alone",
        "formats/submission-1.1.zip": "left alone",
        "formats/submission-1.2.zip": "left alone",
        "formats/submission-1.3.zip": "left alone",
        "formats/run-1.2/run.json": "current",
        "formats/study-1.json": "current",
        "formats/suite-1.toml": "current",
        newer.relative_to(tmp_path).as_posix(): "left alone",
    }
    assert "id of a data set" in found["formats/dataset-1/manifest.json"].reason
    assert "newer fusionbench" in found[newer.relative_to(tmp_path).as_posix()].reason
    list(migrate([tmp_path / "formats" / "dataset-1", newer]))
    assert content(tmp_path) == before


def test_damaged_files_are_named_and_the_others_done(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = made_up(tmp_path / "old", ids=range(3))
    (damaged / "images.csv").write_bytes(b"id\n")
    (tmp_path / "old" / "notes.json").write_text('{"mine": 1}')
    code, out, err = run(capsys, "migrate", tmp_path / "old", "--json")
    rows: dict[str, Any] = {row["path"]: row for row in json.loads(out)}
    assert code == 2 and err.splitlines()[-1].endswith(
        "1 of 2 files could not be read or written; they are as they were"
    )
    assert rows[str(old / "result.json")]["state"] == "migrated"
    bad = rows[str(damaged / "result.json")]
    assert bad["state"] == "failed" and "sha256 differs" in bad["reason"]
    assert len(rows) == 2, "files of others are passed over"


def test_links_are_not_replaced(old: Path, tmp_path: Path) -> None:
    link = tmp_path / "linked" / "result.json"
    link.parent.mkdir()
    link.symlink_to(old / "result.json")
    shutil.copy(next(old.glob("images.csv*")), link.parent)
    (found,) = migrate([link.parent])
    assert found.state == "left alone" and "a link" in found.reason and link.is_symlink()


def test_command_line(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = old / "result.json"
    code, out, err = run(capsys, "migrate", old, "--dry-run")
    assert code == 0 and out.startswith(f"to migrate  {file}  (") and err == "1 files: 1 to migrate\n"
    code, out, err = run(capsys, "migrate", old)
    assert code == 0 and out.startswith(f"migrated    {file}  (")
    code, out, err = run(capsys, "migrate", old)
    assert (code, out, err) == (0, "", "1 files: 1 current\n")
    assert json.loads(run(capsys, "migrate", old, "--json")[1]) == [
        {"path": str(file), "format": "fusionbench.result/1", "state": "current", "reason": ""}
    ]
    for path, said in ((tmp_path / "none", "no such file or folder"), (tmp_path / "a.json", "declares no format")):
        (tmp_path / "a.json").write_text("{}")
        code, out, err = run(capsys, "migrate", path)
        assert (code, out) == (2, "") and said in err and err.count("\n") == 1
    with pytest.raises(DataError, match="no such file"):
        list(migrate([old, tmp_path / "none"]))
