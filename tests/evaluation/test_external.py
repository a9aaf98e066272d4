"""A method's folder of pictures as a row of a suite, from the command line: its table, its result, bad input."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.board import build_board
from fusionbench.core import images
from fusionbench.core.errors import DataError
from fusionbench.evaluation import pair_sets, pairs
from fusionbench.evaluation.external import score_outputs
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import fuse_pair
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.suites import SuiteModel, run_suite
from fusionbench.results.schema import load, load_folder
from tests.cli.runner import run
from tests.sources import folders

SUITE = """
format = "fusionbench.suite/1"
name = "small"
title = "small"
dataset = "pairs"
split = "all"
[protocol]
name = "pairs/1"
[[models]]
name = "average"
[[models]]
name = "copy-a"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three pairs below set/, the average of each below fused/, a suite; texture, so that no score is undefined."""
    rng = np.random.default_rng(3)
    for stem, shape in (("1", (48, 50)), ("2", (45, 61)), ("3", (48, 50))):
        for side in "ab":
            folders.save(tmp_path / f"set/{side}/{stem}.png", rng.integers(0, 256, shape, np.uint8))
    (tmp_path / "small.toml").write_text(SUITE)
    found = open_pairs("pairs", "all", tmp_path / "set")
    model = PROTOCOLS.get("pairs/1").create(SuiteModel(name="average"), found)
    for index, pair in enumerate(found):
        folders.save(tmp_path / f"fused/{found.stems[index]}.bmp", fuse_pair(model, pair, index))
    return tmp_path


def words(place: Path, *more: object) -> list[object]:
    places = ["--a", place / "set/a", "--b", place / "set/b", "--fused", place / "fused"]
    return ["score", *places, "--suite", place / "small.toml", "--out", place / "results", *more]


def test_pictures_stand_beside_what_was_run(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    run_suite(place / "small.toml", source_dir=place / "set", out=place / "results", device="cpu")
    code, out, err = run(capsys, *words(place, "--name", "theirs", "--title", "Their method", "--note", "by mail"))
    assert code == 0 and "result: " in err
    head, second = (line for line in out.splitlines() if "images" in line)
    assert head == "3 images, standard/1 (ranked)" and "cddfuse/1" in second
    results = {result.identity.model.name: result for result in load_folder(place / "results")}
    ours, theirs = results["average"], results["theirs"]
    assert (theirs.status, theirs.title, theirs.origin.note) == ("scored", "Their method", "by mail")
    assert theirs.identity.dataset == ours.identity.dataset and theirs.identity.protocol == ours.identity.protocol
    for key, score in ours.scores.items():
        assert theirs.scores[key].mean == pytest.approx(score.mean, rel=1e-12), key
        assert score.mean is None or f"{score.mean:.4f}" in out
    build_board(place / "results", place / "site")
    page = (place / "site/index.html").read_text()
    assert "Their method" in page and "average of the sources" in page


def test_json_has_the_result_and_its_folder(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    code, out, _ = run(capsys, "-q", *words(place, "--name", "theirs", "--json"))
    found = json.loads(out)
    assert code == 0 and found["title"] == "theirs"
    assert load(found["folder"]).id == found["id"]


def test_pictures_of_no_pair_are_named_or_refused(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    folders.save(place / "fused/stray.png", np.zeros((4, 4), np.uint8))
    code, _, err = run(capsys, *words(place, "--name", "theirs"))
    assert code == 0 and "1 images belong to no pair" in err and "stray" in err
    code, out, err = run(capsys, "-q", *words(place, "--name", "theirs", "--strict"))
    assert code == 2 and out == "" and "stray" in err and len(err.splitlines()) == 1
    (place / "fused/stray.png").unlink()
    (place / "set/a/2.png").unlink()
    code, _, err = run(capsys, "-q", *words(place, "--name", "theirs", "--strict"))
    assert code == 2 and "2 (not in a)" in err and len(err.splitlines()) == 1
    result = score_outputs(
        place / "small.toml", place / "set/a", place / "set/b", place / "fused", name="x", out=place / "results"
    )
    assert result.identity.dataset.n == 2 and result.provenance["left_out"] == {"2": "a"}


def test_all_that_is_wrong_is_in_one_line(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    folders.save(place / "fused/2.bmp", np.zeros((4, 4), np.uint8))
    whole = (place / "fused/3.bmp").read_bytes()
    (place / "fused/3.bmp").write_bytes(whole[:200])
    code, out, err = run(capsys, "-q", *words(place, "--name", "theirs"))
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert "2 of 3 images" in err and "2.bmp: 4×4 pixels" in err and "3.bmp: not a readable" in err
    folders.save(place / "set/a/1.png", np.zeros((48, 50, 4), np.uint8))  # all of it transparent
    folders.save(place / "set/b/2.png", np.zeros((45, 60), np.uint8))
    code, _, err = run(capsys, "-q", *words(place, "--name", "theirs"))
    assert code == 2 and len(err.splitlines()) == 1
    assert "2 of 3 pairs" in err and "1.png: has translucent" in err and "2.png is 45×60" in err
    assert not (place / "results").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "needs a name"),
        (["--name", "Their Method"], "small letters"),
        (["--name", "../up"], "small letters"),
        (["--name", "x", "--dialect", "cddfuse"], "leave out --metrics"),
        (["--name", "x", "--csv", "x.csv"], "leave out --metrics"),
        (["--name", "x", "--jobs", "0"], "at least 1"),
        (["--name", "x", "--suite", "quickstart"], "no suite of registered pairs"),
        (["--name", "x", "--suite", "ivif-tnoo"], "Did you mean"),
        (["--name", "x", "--a", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], place: Path, more: list[str], said: str) -> None:
    code, out, err = run(capsys, "-q", *words(place, *more))
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1


def test_options_of_a_result_need_a_suite(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    code, _, err = run(capsys, "-q", "score", *words(place)[1:7], "--name", "x")
    assert code == 2 and "add --suite" in err


def test_other_pictures_of_the_name_are_told_apart(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    run(capsys, *words(place, "--name", "theirs"))
    folders.save(place / "set/a/1.png", np.random.default_rng(9).integers(0, 256, (48, 50), np.uint8))
    _, _, err = run(capsys, *words(place, "--name", "theirs"))
    assert "1 results" in err and "a table of their own" in err


def test_the_demo_is_scored_from_the_pictures_that_its_run_keeps(tmp_path: Path) -> None:
    run_suite("pairs-demo", out=tmp_path, device="cpu", models=["average"])
    kept = tmp_path / "pairs-demo"
    (ours,) = load_folder(tmp_path)
    given = ("pairs-demo", kept / "sources/a", kept / "sources/b", ours.folder(tmp_path) / "fused")
    theirs = score_outputs(*given, name="theirs", out=tmp_path / "more")
    assert theirs.identity.dataset == ours.identity.dataset and theirs.scores == ours.scores
    folders.save(kept / "sources/a/coffee.png", np.zeros((256, 256), np.uint8))
    with pytest.raises(DataError, match="coffee: other pixels"):
        score_outputs(*given, name="theirs", out=None)
    (kept / "sources/a/coffee.png").unlink()
    with pytest.raises(DataError, match="coffee: not in both folders"):
        score_outputs(*given, name="theirs", out=None)


def test_pictures_are_scored_stretched_as_the_protocol_says(place: Path) -> None:
    """As if each had been stretched by hand; with both forms the plain result is returned, and both are saved."""
    (place / "small.toml").write_text(SUITE.replace('"pairs/1"', '"pairs/1"\nstretch = "both"'))
    plain = score_outputs(*given(place), name="x", out=place / "results")
    found = {one.identity.protocol.params["stretch"]: one for one in load_folder(place / "results")}
    assert plain.id == found[False].id and not plain.stretched and found[True].stretched
    for path in (place / "fused").iterdir():
        image = images.read_image(path).grey().astype(float)
        by_hand = np.rint(255 * (image - image.min()) / (image.max() - image.min()))
        folders.save(path.with_suffix(".bmp"), by_hand.astype(np.uint8))
    (place / "small.toml").write_text(SUITE)
    again = score_outputs(*given(place), name="by-hand", out=place / "results")
    assert again.scores == found[True].scores and again.scores["sd"].mean > plain.scores["sd"].mean  # type: ignore[operator]


def test_real_outputs_of_a_method_from_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, real_data: Path
) -> None:
    """Five of the TNO pictures under a suite that scores five: the kept row's values and its kind of identity."""
    text = SUITE.replace('dataset = "pairs"', 'dataset = "tno"').replace('"all"', '"test"')
    (tmp_path / "five.toml").write_text(text.replace('"pairs/1"', '"pairs/1"\nlimit = 5'))
    places = ["--a", real_data / "tno/ir", "--b", real_data / "tno/vi", "--fused", real_data / "fused/CDDFuse/tno"]
    more = ["--suite", tmp_path / "five.toml", "--name", "cddfuse", "--out", tmp_path / "out", "--json"]
    code, out, err = run(capsys, "score", *places, *more)
    assert code == 0 and "belong to no pair" not in err
    (kept,) = Path(__file__).parents[2].glob("benchmarks/results/tno/cddfuse/*/images.csv")
    lines = [line.split(",") for line in kept.read_text().splitlines()[:6]]
    facts = {"id", "full_range@fused", "full_range@sources", "clipped"}  # no scores
    for place, key in [(place, key) for place, key in enumerate(lines[0]) if key not in facts]:
        mean = np.mean([float(line[place]) for line in lines[1:]])
        assert json.loads(out)["scores"][key]["mean"] == pytest.approx(mean, rel=1e-9)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    found: Counter[str] = Counter()
    decode = images.decode_stored

    def counted(content: bytes, name: str, *more: Any) -> Any:
        found[name] += 1
        return decode(content, name, *more)

    monkeypatch.setattr(images, "decode_stored", counted)
    return found


def given(place: Path) -> tuple[Path, Path, Path, Path]:
    return place / "small.toml", place / "set/a", place / "set/b", place / "fused"


def files_of(place: Path) -> set[str]:
    return {str(path) for _, folder in zip("abf", given(place)[1:], strict=True) for path in folder.iterdir()}


@pytest.mark.parametrize("keep", [False, True])
def test_each_file_is_decoded_once(place: Path, decoded: Counter[str], keep: bool) -> None:
    for _ in ("scored", "found again"):
        decoded.clear()
        score_outputs(*given(place), name="x", out=place / "results", keep_images=keep)
        assert decoded == dict.fromkeys(files_of(place), 1)


def test_rows_of_a_suite_decode_each_source_once_for_all(place: Path, decoded: Counter[str]) -> None:
    where: dict[str, Any] = {"source_dir": place / "set", "out": place / "results", "device": "cpu"}
    assert len(run_suite(place / "small.toml", keep_images=True, **where)) == 2
    assert decoded == {name: 1 for name in files_of(place) if "/fused/" not in name}


def test_beyond_the_memory_for_pixels_a_file_is_decoded_to_look_and_to_score(
    place: Path, decoded: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score_outputs(*given(place), name="x", out=None)
    decoded.clear()
    room = 2 * 48 * 50  # of one pair of three
    for module in (pair_sets, pairs):
        monkeypatch.setattr(module, "CACHE_BYTES", room)
    again = score_outputs(*given(place), name="x", out=place / "results", keep_images=True)
    assert again.scores == whole.scores
    # the sources once more: it is measured whether they are displaced
    often = {name: 2 if Path(name).parent.name == "fused" else 3 for name in files_of(place)}
    assert decoded == {name: 1 if Path(name).stem == "1" else count for name, count in often.items()}
