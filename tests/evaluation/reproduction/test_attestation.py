"""Attestations: what they say, to which bytes, and who signed."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, RejectedError
from fusionbench.evaluation.reproduction.attestation import (
    attest,
    check_attestation,
    read_attestation,
    signature_file,
    write_attestation,
)
from fusionbench.evaluation.reproduction.outcome import Reproduction
from fusionbench.evaluation.reproduction.reproduce import reproduce
from tests.helpers.reproduction import pair_result, shifted


def keys(folder: Path) -> tuple[Path, Path]:
    """A private and a public ed25519 key, by the library that openssl's files come from."""
    pytest.importorskip("securesystemslib")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    folder.mkdir(exist_ok=True)
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_written_read_and_checked(tmp_path: Path) -> None:
    folder = pair_result(tmp_path / "results")
    path = tmp_path / "a.json"
    assert write_attestation(path, attest(reproduce([folder]))) is None
    (one,) = read_attestation(path)[0].reproductions
    assert one.result_sha256 == hashlib.sha256((folder / "result.json").read_bytes()).hexdigest()
    assert one.table_sha256 == hashlib.sha256((folder / "images.csv").read_bytes()).hexdigest()
    checked = check_attestation(path, [tmp_path / "results"])
    assert checked.ok and checked.signer is None and checked.signed_by == []


def test_other_bytes_are_not_attested(tmp_path: Path) -> None:
    folder = pair_result(tmp_path / "results")
    path = tmp_path / "a.json"
    write_attestation(path, attest(reproduce([folder])))
    other = shifted(folder, "sd", 1e-6)
    (one,) = check_attestation(path, [other]).results
    assert one.outcome is None and "no result with these bytes" in one.reason
    (folder / "images.csv").write_text((folder / "images.csv").read_text() + " ")
    (one,) = check_attestation(path, [folder]).results
    assert one.outcome is None and "table" in one.reason


def test_what_is_different_is_attested_as_different(tmp_path: Path) -> None:
    other = shifted(pair_result(tmp_path / "results"), "sd", 1.0)
    path = tmp_path / "a.json"
    write_attestation(path, attest(reproduce([other])))
    checked = check_attestation(path, [other])
    assert not checked.ok and checked.results[0].outcome == "different"


def test_signed_by_one_key_and_not_by_another(tmp_path: Path) -> None:
    private, public = keys(tmp_path / "ours")
    _, theirs = keys(tmp_path / "theirs")
    folder = pair_result(tmp_path / "results")
    path = tmp_path / "a.json"
    attestation = attest(reproduce([folder]))
    key = write_attestation(path, attestation, private)
    assert check_attestation(path, [folder], public).signer == key
    assert check_attestation(path, [folder]).signed_by == [key]
    envelope = json.loads(signature_file(path).read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["digest"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert statement["subject"][1]["digest"]["sha256"] == attestation.reproductions[0].result_sha256
    with pytest.raises(RejectedError, match="not by"):
        check_attestation(path, [folder], theirs)
    first = signature_file(path).read_bytes()
    write_attestation(path, attestation, private)
    assert signature_file(path).read_bytes() == first, "the same key signs the same bytes"


def test_an_edited_attestation_is_found_by_its_signature(tmp_path: Path) -> None:
    private, public = keys(tmp_path / "ours")
    other = shifted(pair_result(tmp_path / "results"), "sd", 1.0)
    path = tmp_path / "a.json"
    write_attestation(path, attest(reproduce([other])), private)
    path.write_text(path.read_text().replace('"title": "average of the sources"', '"title": "best of the sources"'))
    for key in (public, None):
        with pytest.raises(RejectedError, match="another attestation"):
            check_attestation(path, [other], key)
    write_attestation(path, attest([]))  # not signed any more
    assert not signature_file(path).exists()
    with pytest.raises(RejectedError, match="not signed"):
        check_attestation(path, [other], public)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema": "fusionbench.attestation/1"}', '{"schema": "fusionbench.attestation/2"}', "[" * 9999],
)
def test_what_is_no_attestation_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"a\.json"):
        read_attestation(path)


def test_an_outcome_that_its_scores_do_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_attestation(path, attest([Reproduction(file="a", outcome="same")]))
    with pytest.raises(DataError, match="edited by hand"):
        read_attestation(path)
