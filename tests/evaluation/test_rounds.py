"""Rounds: commitment, seed, files. Oracles: the formulas of docs/rounds.md, written out with hashlib and hmac."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from pathlib import Path

import msgspec
import pytest

from fusionbench.core.errors import DataError, RejectedError, UsageError
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.rounds import (
    check_round,
    make_round,
    read_round,
    read_secret,
    revealed_round,
    seed_of_round,
    write_round,
    write_secret,
)


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_commitment_and_seed_are_those_of_the_documentation() -> None:
    made, secret = make_round("quickstart", 296)
    said = {"suite": "quickstart", "dataset": "fusiondigits", "split": "test", "n": 296, "created": made.created}
    said |= {"recipe": load_recipe("fusiondigits").hash, "secret": secret.secret, "salt": secret.salt}
    text = canonical(said | {"domain": "fusionbench.round/1 commitment"})
    assert made.commitment == hashlib.sha256(text).hexdigest() and made.id == made.commitment[:16]
    about = {"domain": "fusionbench.round/1 seed", "recipe": said["recipe"], "split": "test", "round": made.id}
    digest = hmac.new(bytes.fromhex(secret.secret), canonical(about), hashlib.sha256).hexdigest()
    assert seed_of_round(made, secret) == int(digest, 16)


def test_every_secret_is_another() -> None:
    made = [make_round("quickstart") for _ in range(5)]
    assert len({secret.secret for _, secret in made} | {secret.salt for _, secret in made}) == 10
    assert all(re.fullmatch("[0-9a-f]{64}", secret.secret) for _, secret in made)
    assert len({seed_of_round(*one) for one in made}) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "other"},
        {"dataset": "other"},
        {"split": "train"},
        {"recipe": "0" * 64},
        {"n": 295},
        {"created": "2020-01-01T00:00:00+00:00"},
        {"commitment": "0" * 64, "id": "0" * 16},
    ],
)
def test_an_edited_record_is_not_that_of_the_secret(change: dict[str, object]) -> None:
    made, secret = make_round("quickstart", 296)
    assert check_round(made, secret) is made
    with pytest.raises(RejectedError, match="not the one that round"):
        check_round(msgspec.structs.replace(made, **change), secret)


def test_another_secret_reveals_nothing() -> None:
    (made, _), (_, other) = make_round("quickstart"), make_round("quickstart")
    with pytest.raises(RejectedError, match="not the one that round"):
        revealed_round(made, msgspec.structs.replace(other, round=made.id))


def test_the_secret_is_private_and_never_shown(tmp_path: Path) -> None:
    made, secret = make_round("quickstart")
    path = tmp_path / "keys" / "secret.json"
    write_secret(path, secret)
    assert path.stat().st_mode & 0o777 == 0o600 and read_secret(path) == secret
    assert secret.secret not in f"{secret!r} {secret}" and secret.salt not in repr(secret)
    with pytest.raises(UsageError, match="never written over"):
        write_secret(path, secret)
    path.chmod(0o640)
    if os.name == "posix":
        with pytest.raises(UsageError, match="chmod 600") as caught:
            read_secret(path)
        assert secret.secret not in str(caught.value)
    damaged = tmp_path / "damaged"
    damaged.touch(0o600)
    damaged.write_text(path.read_text().replace("salt", "pepper"))
    with pytest.raises(DataError, match=r"not a fusionbench\.secret/1 file") as found:
        read_secret(damaged)
    assert secret.secret not in str(found.value)
    assert made.public_secret is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"commitment": "', '"commitment": "0', "not a fusionbench.round/1 record"),
        ('"id": "', '"id": "0', "not a fusionbench.round/1 record"),
        ('"suite"', '"suit"', "not a fusionbench.round/1 record"),
        ("{", "[", "not a fusionbench.round/1 record"),
        ('"split": "test"', '"split": "../x"', "not a fusionbench.round/1 record"),
        ('"n": 7', '"n": 7, "revealed": "2026-01-01T00:00:00+00:00"', "a revealed round has"),
    ],
)
def test_records_that_are_none(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "round.json"
    write_round(path, make_round("quickstart", 7)[0])
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=re.escape(reason)):
        read_round(path)


def test_an_id_that_is_not_of_its_commitment(tmp_path: Path) -> None:
    write_round(tmp_path / "round.json", msgspec.structs.replace(make_round("quickstart")[0], id="0" * 16))
    with pytest.raises(DataError, match="its id is not that of its commitment"):
        read_round(tmp_path / "round.json")


def test_suites_without_views_that_are_made() -> None:
    with pytest.raises(UsageError, match="scores no views that are made from a seed"):
        make_round("ivif-tno")
    with pytest.raises(UsageError, match="quickstart"):
        make_round("quickstar")
