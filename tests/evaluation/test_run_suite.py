"""Suites, here of registered pairs: run, go on, train, draw; what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.run_suite import _choose
from fusionbench.evaluation.suites import RowsFailed, load_suite, run_suite
from fusionbench.models import MODELS
from tests.cli.runner import run
from tests.helpers.pair_suite import SMALL, small_suite
from tests.helpers.pairs import PairDataset
from tests.sources import folders


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return small_suite(tmp_path)


def test_run_draw_and_go_on(suite: Path) -> None:
    out = suite.parent / "results"
    first = run_suite(suite, source_dir=suite.parent / "set", out=out, device="cpu", sheets=True)
    assert [result.identity.model.name for result in first] == ["copy-b", "laplacian-pyramid"]
    assert first[1].identity.model.params == {"levels": 2} and first[1].family == "classical"
    assert all(result.identity.dataset.n == 2 for result in first)
    assert (out / "pairs" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    again = run_suite(suite, source_dir=suite.parent / "set", out=out, device="cpu")
    assert [result.provenance for result in again] == [result.provenance for result in first]


def test_what_a_suite_cannot_do_is_refused(suite: Path) -> None:
    with pytest.raises(UsageError, match="leave out the budget"):
        run_suite(suite, source_dir=suite.parent / "set", budget="5%")
    with pytest.raises(UsageError, match="leave out --samples"):
        run_suite(suite, source_dir=suite.parent / "set", draws=5)
    suite.write_text(SMALL.replace('"copy-b"', '"dae-fuse"'))
    with pytest.raises(UsageError, match=r"dae-fuse has to be trained.*add a line such as train"):
        run_suite(suite, source_dir=suite.parent / "set", out=suite.parent / "results")
    suite.write_text(SMALL.replace('"pairs/1"', '"masked/1"\nstretch = true'))
    with pytest.raises(DataError, match="stretch"):
        load_suite(suite)
    suite.write_text(SMALL.replace('"pairs/1"', '"masked/1"').replace("split =", 'train = "x"\nsplit ='))
    with pytest.raises(DataError, match="`train` belongs"):
        load_suite(suite)


def test_a_row_that_fails_stops_no_other_and_is_not_on_the_sheet(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {"source_dir": suite.parent / "set", "out": suite.parent / "results", "device": "cpu"}
    suite.write_text(SMALL + '[[models]]\nname = "average"\n[[models]]\nname = "copy-a"\nparams = {nothing = 1}\n')

    def fuse(self: object, batch: object) -> None:
        raise DataError("a flat image")

    monkeypatch.setattr(MODELS.get("laplacian-pyramid"), "fuse", fuse)
    with pytest.raises(RowsFailed) as caught:
        run_suite(suite, sheets=True, **where)
    assert [result.identity.model.name for result in caught.value.results] == ["copy-b", "average"]
    assert list(caught.value.failed) == [("laplacian-pyramid", 0), ("copy-a", 0)]
    assert caught.value.failed["laplacian-pyramid", 0] == "a flat image"
    assert "nothing" in caught.value.failed["copy-a", 0]
    sheet = suite.parent / "results/pairs/sheet.png"
    narrow = Image.open(sheet).width
    monkeypatch.undo()
    suite.write_text(SMALL + '[[models]]\nname = "average"\n')
    assert len(run_suite(suite, sheets=True, **where)) == 3 and Image.open(sheet).width > narrow


TRAINED = (
    SMALL.replace("split =", 'train = "small-patches"\nsplit =')
    + """
[[models]]
name = "mfeif"
label = "mfeif-small"
title = "MFEIF, small"
preset = "tiny"
params = {widths = [4, 6, 8, 10], attention_widths = [4, 6, 8], attention_maps = 10, critic_widths = [4, 8]}
training = {epochs = 2, batch = 4}
seeds = [3, 4]
"""
)


def test_rows_that_learn_are_trained_and_scored_and_go_on(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(TRAINED)
    opened: list[str] = []
    monkeypatch.setattr(
        "fusionbench.evaluation.run_suite.training_folder", lambda suite, root: Path(root) / suite.train
    )
    monkeypatch.setattr("fusionbench.evaluation.protocols.pairs.RegisteredPairs.before_training", lambda *given: None)
    monkeypatch.setattr("fusionbench.data.dataset.open_dataset", lambda folder: opened.append(folder) or PairDataset())
    place, out = suite.parent, suite.parent / "results"
    where: dict[str, Any] = {"source_dir": place / "set", "data_root": place / "data", "out": out, "device": "cpu"}
    results = run_suite(suite, sheets=True, jobs=1, **where)
    assert opened and set(opened) == {str(place / "data/small-patches")}
    titles = ["copy of source B", "Laplacian pyramid", "MFEIF, small", "MFEIF, small"]
    assert [result.title for result in results] == titles
    trained = results[2:]
    assert [result.identity.training.seed for result in trained] == [3, 4]  # type: ignore[union-attr]
    assert len({result.id for result in results}) == 4 and not any(result.cut for result in results)
    assert results[0].identity.training is None
    for result in trained:
        assert result.identity.training.steps == 4 and result.identity.training.dataset_id == PairDataset.id  # type: ignore[union-attr]
        assert result.cost["train_hours"] > 0 and result.scores["sf"].mean > 0  # type: ignore[operator]
        assert len({s.mean for s in (results[1].scores["sf"], result.scores["sf"])}) == 2
    assert (place / "runs/small-patches/mfeif-small-seed3/weights.safetensors").is_file()
    sheet = out / "pairs/sheet.png"
    drawn = sheet.stat().st_mtime_ns

    monkeypatch.setattr("fusionbench.evaluation.pairs.score_rows", None)  # nothing is scored again,
    monkeypatch.setattr("fusionbench.training.loop._Loop", None)  # and nothing is trained again
    again = run_suite(suite, sheets=True, jobs=1, **where)
    assert [result.id for result in again] == [result.id for result in results]
    assert sheet.stat().st_mtime_ns == drawn
    monkeypatch.undo()

    monkeypatch.setattr(
        "fusionbench.evaluation.run_suite.training_folder", lambda suite, root: Path(root) / suite.train
    )
    monkeypatch.setattr("fusionbench.evaluation.protocols.pairs.RegisteredPairs.before_training", lambda *given: None)
    monkeypatch.setattr("fusionbench.data.dataset.open_dataset", lambda folder: PairDataset())
    cut = run_suite(suite, models=["mfeif-small", "copy-b"], budget="1 step", jobs=1, sheets=True, **where)
    assert [result.cut for result in cut] == [True, True, False] and cut[2].id == results[0].id
    assert sheet.stat().st_mtime_ns == drawn  # a part of the suite does not take the place of the whole

    # the run is scored from the command line too, to the same result
    run_folder = place / "runs/small-patches/mfeif-small-seed3"
    capsys.readouterr()
    words = ["evaluate", run_folder, "--data", place / "set", "--protocol", "pairs", "--limit", 2, "--out", out]
    code, said, err = run(capsys, *words)
    assert code == 0, err
    assert Path(said.strip()) == results[2].folder(out)

    # and several seeds of one model are told together
    words[2:2] = [place / "runs/small-patches/mfeif-small-seed4"]
    code, said, err = run(capsys, *words)
    assert code == 0 and len(said.splitlines()) == 2
    (line,) = (line for line in err.splitlines() if line.split()[:1] == ["sf"])
    mean = (results[2].scores["sf"].mean + results[3].scores["sf"].mean) / 2  # type: ignore[operator]
    assert float(line.split()[1]) == pytest.approx(mean, rel=5e-3) and "±" in line


def test_files_that_cannot_be_used_are_one_line_that_names_all(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = suite.parent / "set"
    whole = (files / "a/0.png").read_bytes()
    (files / "a/0.png").write_bytes(whole[: len(whole) // 2])
    folders.save(files / "b/1.png", folders.picture(1, 40, 50, grey=True))
    folders.save(files / "a/2.png", np.full((50, 50), 9000, np.uint16))  # 16 bits, one value
    words = ["run", suite, "--source-dir", files, "--out", suite.parent / "results", "--device", "cpu"]
    code, out, err = run(capsys, "-q", *words)
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert "3 of 3 pairs" in err
    for words_of_one in ("a/0.png: not a readable", "a/1.png is 49×50 and", "a/2.png: values 9000..9000 of 16 bits"):
        assert words_of_one in err


def test_missing_partners_are_listed_kept_with_the_result_and_refused_when_asked(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, out = suite.parent / "set", suite.parent / "results"
    (files / "a/1.png").unlink()
    folders.save(files / "a/2.png", np.linspace(0, 65535, 50 * 50).reshape(50, 50).astype(np.uint16))
    words = ["run", suite, "--source-dir", files, "--out", out, "--device", "cpu", "--models", "copy-b", "--json"]
    code, said, err = run(capsys, *words)
    assert code == 0 and "1 images of 'all' lack a partner: 1 (not in a)" in err
    assert "1 files: 16 bits scaled to 8 (2.png)" in err
    assert json.loads(said)["provenance"]["left_out"] == {"1": "a"}
    code, said, err = run(capsys, "-q", *words, "--strict")
    assert code == 2 and "lack a partner" in json.loads(said)["error"]["message"]
    assert "lack a partner" in err and len(err.splitlines()) == 1


def test_a_set_to_train_on_that_lacks_is_one_line(suite: Path) -> None:
    suite.write_text(TRAINED.replace("small-patches", "fusionmnist"))  # any recipe that needs somebody's files
    files = {"source_dir": suite.parent / "set", "data_root": suite.parent / "data", "out": suite.parent / "results"}
    with pytest.raises(DataError, match=r"fusionbench generate fusionmnist --source-dir DIR"):
        run_suite(suite, **files)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"Budget .soon. is not understood"):
        run_suite(suite, budget="soon", **files)  # type: ignore[arg-type]
    assert not (suite.parent / "results").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "pairs-demo", "--samples", 5], "--samples: for --protocol masked only"),
        (["--data", "fusiondigits", "--strict"], "--strict: for --protocol pairs only"),
        (["--data", "tno"], "--source-dir DIR"),
        (["--data", "tnoo", "--protocol", "pairs"], "Did you mean 'tno'"),
        (["--data", "pairs-demo", "--split", "tets"], "split of pairs-demo"),
        (["--data", "pairs-demo"], "no such run"),
    ],
)
def test_evaluate_says_in_one_line_what_it_cannot_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[Any], said: str
) -> None:
    code, out, err = run(capsys, "-q", "evaluate", tmp_path / "run", *words)
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1


def test_patches_of_an_embedded_source_are_made_and_two_processes_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real way from recipe to row, in processes as on the command line; a budget of one step."""
    text = SMALL.replace('"pairs"', '"pairs-demo"').replace("limit = 2", "limit = 1")
    rows = ""
    for label in ("one", "two"):
        rows += f'\n[[models]]\nname = "mfeif"\nlabel = "{label}"\npreset = "tiny"\ntraining = {{batch = 2}}\n'
    path = tmp_path / "demo.toml"
    path.write_text(text.replace("split =", 'train = "pairs-demo-patches"\nsplit =') + rows)
    words = ["--data", tmp_path / "data", "--out", tmp_path / "results", "--budget", "1 step", "--jobs", 2]
    code, out, err = run(capsys, "run", path, "--models", "one,two", "--device", "cpu", *words, "--json")
    assert code == 0, err
    assert "1 of the 1 pairs that small scores are in pairs-demo-patches" in err and "in 2 processes" in err
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["identity"]["training"]["cut"] and first["identity"]["training"]["steps"] == 1
    assert first["id"] == second["id"]  # the same model, data and seed: the same weights, whatever the row is called
    assert list((tmp_path / "data/pairs-demo-patches").glob("*/*/manifest.json"))
    assert len(list((tmp_path / "runs/pairs-demo-patches").glob("*/weights.safetensors"))) == 2
    assert len(list((tmp_path / "results/pairs-demo/mfeif").glob("*/fused/astronaut.png"))) == 1


def test_rows_and_seeds_are_chosen() -> None:
    """Work is split over machines by ``--models`` and ``--seeds``: every row and seed is in exactly one part."""
    suite = load_suite("fusionmnist-cpu")
    whole = {(row.key, seed) for row in suite.models for seed in row.seeds or suite.seeds}
    parts = [{(row.key, seed) for row in _choose(suite, None, [n]) for seed in row.seeds or []} for n in range(3)]
    assert set.union(*parts) == whole and sum(map(len, parts)) == len(whole)
    assert {key for key, _ in parts[0]} - {key for key, _ in parts[1]} == {"mean-image", "first-view", "max-view"}
    assert [row.key for row in _choose(suite, ["cvae", "fcn"], [1, 2])] == ["cvae", "fcn"]
    assert _choose(suite, None, None) == suite.models
    with pytest.raises(UsageError, match="no row of these has the seed 7; they have 0, 1, 2"):
        _choose(suite, None, [0, 7])
    with pytest.raises(UsageError, match="no row of these has the seed 1; they have 0"):
        _choose(suite, ["mean-image"], [1])
