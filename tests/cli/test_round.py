"""``fusionbench round`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from tests.cli.runner import run


def test_new_reveal_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, secret = tmp_path / "round.json", tmp_path / "keys" / "secret.json"
    data = build_dataset(load_recipe("fusiondigits"), out=tmp_path / "data")
    code, out, err = run(capsys, "round", "new", "quickstart", "-o", record, "--secret", secret, "-d", data)
    assert code == 0 and out.strip() == str(record) and secret.stat().st_mode & 0o777 == 0o600
    key = json.loads(secret.read_text())
    assert json.loads(record.read_text())["n"] == 296 and "secret" not in json.loads(record.read_text())
    code, _, more = run(capsys, "round", "new", "quickstart", "-o", record, "--secret", tmp_path / "second")
    assert code == 2 and "never written over" in more and not (tmp_path / "second").exists()
    code, _, more = run(capsys, "round", "new", "quickstart", "-o", tmp_path / "two.json", "--secret", secret)
    assert code == 2 and "never written over" in more and not (tmp_path / "two.json").exists()
    code, _, more = run(capsys, "round", "verify", record)
    assert code == 2 and "is not revealed" in more
    assert key["secret"] not in err + out
    code, out, _ = run(capsys, "round", "reveal", record, "--secret", secret)
    assert code == 0 and json.loads(record.read_text())["secret"] == key["secret"]
    code, out, _ = run(capsys, "round", "verify", record, "--json")
    assert code == 0 and json.loads(out)["ok"] is True and json.loads(out)["problems"] == []
    record.write_text(record.read_text().replace('"n": 296', '"n": 295'))
    code, out, err = run(capsys, "round", "verify", record)
    assert code == 1 and "not the one that round" in err and "Traceback" not in err


def test_a_round_of_other_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = build_dataset(load_recipe("fusiondigits"), out=tmp_path / "data")
    where = ("-o", tmp_path / "round.json", "--secret", tmp_path / "secret.json", "-d", data)
    code, _, err = run(capsys, "round", "new", "fusionmnist", *where)
    assert code == 2 and "is fusiondigits, the suite fusionmnist is about fusionmnist" in err
    assert not (tmp_path / "secret.json").exists()
