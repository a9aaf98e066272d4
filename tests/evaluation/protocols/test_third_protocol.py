"""A protocol of another package: suites, evaluate, compare, board and the listings work without an edit here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.evaluation.external import score_outputs
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.protocols import PROTOCOLS, find_protocol, known_protocol
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.evaluation.suites import load_suite
from tests.cli.runner import run
from tests.helpers import focus

SUITE = focus.files()["focus.toml"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "focus.toml").write_text(SUITE)
    with focus.installed(tmp_path / "package"):
        yield tmp_path


def test_a_suite_runs_and_goes_on(place: Path) -> None:
    where: dict[str, Any] = {"out": place / "results", "data_root": place / "data", "device": "cpu", "sheets": True}
    results = run_suite(place / "focus.toml", **where)
    assert [result.identity.model.name for result in results] == ["copy-a", "average", "laplacian-pyramid"]
    assert len({result.id for result in results}) == 3
    for result in results:
        protocol = result.identity.protocol
        assert (protocol.name, protocol.version, protocol.params) == ("soft-halves", "1", {"blur": 3.0})
        assert result.status == "verified" and list(result.scores) == ["psnr_target", "ssim_target"]
    # the copy of view 0, by hand: only its blurred half differs from the scene
    from scipy.ndimage import gaussian_filter

    expected = []
    for _, scene in open_pairs("pairs-demo", "all", None):
        half = scene.shape[1] // 2
        error = gaussian_filter(scene.astype(float), 3.0).round()[:, :half] - scene[:, :half]
        expected.append(10 * np.log10(255**2 / ((error**2).sum() / scene.size)))
    assert results[0].scores["psnr_target"].mean == pytest.approx(np.mean(expected), rel=1e-9)
    again = run_suite(place / "focus.toml", **where)
    assert [result.provenance for result in again] == [result.provenance for result in results]
    [less] = run_suite(place / "focus.toml", models=["average"], limit=1, **where)
    assert less.identity.dataset.n == 1 and less.id != results[1].id


def test_the_command_line_evaluates_compares_and_builds_pages(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    code, _, err = run(capsys, "run", "focus.toml", "--device", "cpu")
    assert code == 0, err
    assert run(capsys, "generate", "pairs-demo-patches")[0] == 0
    assert run(capsys, "train", "average", "--data", "pairs-demo-patches", "--out", "run", "--device", "cpu")[0] == 0
    words = ["evaluate", "run", "--data", "pairs-demo", "--protocol", "soft-halves", "--device", "cpu"]
    code, out, err = run(capsys, *words, "--option", "blur=3.0", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["identity"]["protocol"]["params"] == {"blur": 3.0} and found["identity"]["training"] is not None
    code, out, err = run(capsys, "-q", *words, "--blur", "3", "--json")
    assert code == 0 and json.loads(out)["id"] == found["id"], err
    code, out, err = run(capsys, "-q", *words, "--samples", 5)
    assert code == 2 and out == "" and err.strip().endswith("--samples: for --protocol masked only")
    code, out, err = run(capsys, "-q", *words, "--option", "blurr=2")
    assert code == 2 and "Did you mean 'blur'" in err
    code, out, err = run(capsys, "-q", *words, "--option", "blur=much")
    assert code == 2 and "soft-halves/1" in err and "blur" in err
    code, out, err = run(capsys, "-q", "run", "focus.toml", "--samples", 5)
    assert code == 2 and "focus has one image a pair and no draws: leave out --samples" in err

    code, out, err = run(capsys, "compare", "results/pairs-demo-focus", "--json")
    assert code == 0, err
    assert json.loads(out)["protocol"] == "soft-halves 1"
    code, out, err = run(capsys, "board", "results", "--out", "site")
    assert code == 0, err
    pages = "".join(path.read_text(encoding="utf-8") for path in Path("site").glob("*.html"))
    assert "Pairs with a soft half each: " in pages and "PSNR to the target" in pages


def test_results_are_shown_where_the_package_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "focus.toml").write_text(SUITE)
    with focus.installed(tmp_path / "package"):
        run_suite(tmp_path / "focus.toml", out=tmp_path / "results", device="cpu")
    assert known_protocol("soft-halves/1") is None
    code, _, err = run(capsys, "board", tmp_path / "results", "--out", tmp_path / "site")
    assert code == 0, err
    assert "Soft-halves: " in "".join(path.read_text("utf-8") for path in (tmp_path / "site").glob("*.html"))
    with pytest.raises(
        DataError, match=r"focus\.toml: not a suite: `protocol\.name`: Unknown protocol 'soft-halves/1'"
    ):
        load_suite(tmp_path / "focus.toml")


def test_the_listings_name_it_and_where_it_is_from(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "protocols", "--json")
    cards = {card["name"]: card for card in json.loads(out)}
    assert code == 0 and list(cards) == [
        "detection/1",
        "masked/1",
        "multi-exposure/1",
        "multi-focus/1",
        "pairs-robust/1",
        "pairs/1",
        "probe/1",
        "soft-halves/1",
    ]
    assert cards["soft-halves/1"]["origin"] == "my-focus 0.1.0"
    code, out, _ = run(capsys, "describe", "soft-halves/1")
    assert code == 0 and "blur: 2.0" in out and "psnr_target" in out
    assert find_protocol("soft-halves") is PROTOCOLS.get("soft-halves/1")


def test_what_a_suite_says_wrongly_is_one_line_that_names_the_file(place: Path) -> None:
    path = place / "focus.toml"
    for old, new, said in (
        ("soft-halves/1", "soft-halvse/1", "Did you mean 'soft-halves/1'"),
        ("blur = 3.0", "blur = 'much'", r"protocol\.blur"),
        ("blur = 3.0", "draws = 5", r"`protocol\.draws` belongs to the protocol masked/1"),
        ("blur = 3.0", "bluur = 3.0", r"bluur"),
        ("blur = 3.0", "limit = 0", r"protocol\.limit"),
    ):
        path.write_text(SUITE.replace(old, new))
        with pytest.raises(DataError, match=rf"focus\.toml: not a suite: .*{said}"):
            load_suite(path)
    path.write_text(SUITE.replace('"soft-halves/1"\nblur = 3.0', '"masked/1"\nblur = 3.0'))
    with pytest.raises(DataError, match=r"`protocol\.blur` belongs to the protocol soft-halves/1"):
        load_suite(path)


def test_a_package_that_cannot_be_imported_stops_only_its_own_suites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "focus.toml").write_text(SUITE)
    with focus.installed(tmp_path / "package", target="my_focus:NOTHING"):
        with pytest.raises(DataError, match=r"soft-halves/1' of my-focus 0\.1\.0 cannot be loaded"):
            load_suite(tmp_path / "focus.toml")
        assert load_suite("pairs-demo").protocol.name == "pairs/1"
        code, out, _ = run(capsys, "list", "protocols", "--json")
        cards = {card["name"]: card for card in json.loads(out)}
        assert code == 0 and "cannot be loaded" in cards["soft-halves/1"]["error"]


def test_folders_of_images_are_refused_where_the_protocol_cannot_score_them(place: Path) -> None:
    from fusionbench.core.errors import UsageError

    with pytest.raises(UsageError, match="focus does not score folders of images"):
        score_outputs(place / "focus.toml", place, place, place, name="theirs", out=None)
