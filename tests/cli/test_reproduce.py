"""``fusionbench reproduce`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.cli.reproduce import counted_outcomes
from fusionbench.evaluation.reproduction.outcome import Reproduction
from tests.cli.runner import run
from tests.evaluation.reproduction.test_attestation import keys
from tests.helpers.reproduction import changed, edited_json, pair_result, printed, shifted, trained_result

ROOT = Path(__file__).parents[2]


def test_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pair_result(tmp_path / "results")
    code, out, _ = run(capsys, "reproduce", folder)
    assert code == 0 and out.startswith("same ") and "3 images, 18 scores, bit-identical" in out
    assert "  vif@cddfuse" in out and "tolerance 0.002" in out
    code, out, _ = run(capsys, "reproduce", folder / "result.json", "--limit", 2, "--json")
    body = json.loads(out)
    assert code == 0 and body["outcome"] == "same" and body["reproductions"][0]["images"] == 2


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pair_result(tmp_path / "a")
    code, out, err = run(capsys, "reproduce", shifted(folder, "sd", 1.0))
    assert code == 1 and "DIFFERENT" in out and "(astronaut)" in out and "different" in err
    code, _, err = run(capsys, "reproduce", changed(folder, lambda r, t: r.identity.protocol.params.update(x=1)))
    assert code == 4 and "does not know x" in err
    code, _, err = run(capsys, "reproduce", changed(folder, lambda r, t: r.identity.metrics.update(vif="0")))
    assert code == 3 and "vif has version 1 here" in err
    code, _, err = run(capsys, "reproduce", edited_json(folder, lambda body: body.update(id="0" * 64)))
    assert code == 2 and "edited by hand" in err
    assert run(capsys, "reproduce", tmp_path / "nothing")[0] == 2


def test_missing_weights_and_what_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = trained_result(tmp_path)
    pair_result(tmp_path / "results")
    where = ("--data-root", made.data, "--runs", tmp_path / "again")
    code, out, err = run(capsys, "reproduce", tmp_path / "results", *where)
    assert code == 3 and out.count("same ") == 1 and "2 results: 1 same, of which 1 bit-identical; 1 could not" in err
    assert run(capsys, "reproduce", tmp_path / "results", *where, "--skip-missing")[0] == 0
    assert run(capsys, "reproduce", made.result, *where, "--skip-missing")[0] == 3, "nothing was made again"
    code, out, _ = run(capsys, "reproduce", made.result, *where, "--weights", made.run)
    assert code == 0 and "6 images" in out
    code, out, _ = run(capsys, "reproduce", made.result, *where, "--retrain")
    assert code == 0 and "trained again have the same bits" in out


def test_attestations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private, public = keys(tmp_path / "keys")
    folder, path = pair_result(tmp_path / "results"), tmp_path / "a.json"
    code, _, err = run(capsys, "reproduce", folder, "-o", path, "--sign", private)
    assert code == 0 and "signed by key" in err and (tmp_path / "a.intoto.jsonl").is_file()
    code, out, _ = run(capsys, "reproduce", "--check", path, folder, "--signer", public)
    assert code == 0 and "attested: same" in out and "signed by key" in out
    code, out, _ = run(capsys, "reproduce", "--check", path, folder, "--json")
    assert code == 0 and json.loads(out)["ok"]
    other = shifted(folder, "sd", 1e-6)
    code, out, err = run(capsys, "reproduce", "--check", path, other)
    assert code == 1 and "not attested" in out and "1 of 1" in err
    _, theirs = keys(tmp_path / "theirs")
    assert run(capsys, "reproduce", "--check", path, folder, "--signer", theirs)[0] == 1


def test_an_attestation_is_written_of_what_is_different_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, path = shifted(pair_result(tmp_path / "results"), "sd", 1.0), tmp_path / "a.json"
    assert run(capsys, "reproduce", other, "-o", path)[0] == 1
    assert json.loads(path.read_text())["reproductions"][0]["outcome"] == "different"


@pytest.mark.parametrize(
    "words",
    [["--sign", "k"], ["--signer", "k"], ["--check", "a", "-o", "b"], ["--check", "a", "--limit", "2"]],
)
def test_options_that_do_not_belong_together(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "reproduce", "x", *words)[0] == 2


def test_published_numbers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = printed(pair_result(tmp_path / "results"))
    code, _, err = run(capsys, "reproduce", folder)
    assert code == 3 and "a paper printed" in err


def test_summary_counts_every_outcome() -> None:
    outcomes = ["same", "different", "could not", "damaged", "other protocol", "same"]
    found = [Reproduction(file="a", outcome=outcome) for outcome in outcomes]  # type: ignore[arg-type]
    assert counted_outcomes(found) == "6 results: 2 same; 1 different; 1 other protocol; 1 damaged; 1 could not"
