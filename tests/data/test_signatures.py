"""Signatures, against openssl and the written formats of in-toto, SLSA and DSSE."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, RejectedError, UsageError
from fusionbench.data import signatures
from fusionbench.data.build import build_dataset
from fusionbench.data.shards.manifest import Manifest, read_manifest
from fusionbench.data.verify import verify_dataset
from tests.cli.runner import run
from tests.data.forged import forge
from tests.data.test_build import small_recipe
from tests.helpers.keys import new_key

pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")
FILE = "provenance.intoto.jsonl"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("keys")
    return new_key(folder, "mine"), new_key(folder, "other")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(small_recipe(1024), out=tmp_path_factory.mktemp("built"))


@pytest.fixture
def signed(built: Path, keys: tuple[tuple[Path, Path], tuple[Path, Path]], tmp_path: Path) -> tuple[Path, Manifest]:
    folder = Path(shutil.copytree(built, tmp_path / "signed"))
    manifest = read_manifest(folder)
    signatures.sign(folder, manifest, keys[0][0])
    return folder, manifest


def test_the_statement_says_what_its_formats_ask_for(signed: tuple[Path, Manifest]) -> None:
    folder, manifest = signed
    envelope = json.loads((folder / FILE).read_text())
    assert envelope.keys() == {"payload", "payloadType", "signatures"}
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    said = json.loads(base64.b64decode(envelope["payload"]))
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    files = ["manifest.json", *sorted(path.name for path in folder.glob("*.h5"))]
    digests = {one["name"]: one["digest"]["sha256"] for one in said["subject"]}
    assert digests == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    definition, details = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert definition["buildType"] and details["builder"]["id"]  # all that SLSA requires, and no time
    assert details.keys() == {"builder"} and definition["externalParameters"] == {"recipe": manifest.recipe}
    assert {one["digest"]["sha256"] for one in definition["resolvedDependencies"]} == {
        *manifest.source.fingerprint.values()
    }
    text = base64.b64decode(envelope["payload"]).decode()
    assert str(folder) not in text and "signed" not in text


def test_openssl_agrees(signed: tuple[Path, Manifest], keys: tuple, tmp_path: Path) -> None:
    """The signature is over DSSE's pre-authentication encoding, and the key's id is a digest of its DER form."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    public = keys[0][1]
    envelope = json.loads((signed[0] / FILE).read_text())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    (tmp_path / "message").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", "message"]
    command += ["-sigfile", "signature"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(public), "-outform", "DER"], capture_output=True
    ).stdout
    assert envelope["signatures"][0]["keyid"] == hashlib.sha256(der).hexdigest()


def test_the_same_key_signs_with_the_same_bytes(signed: tuple[Path, Manifest], keys: tuple, built: Path) -> None:
    folder, manifest = signed
    before = (folder / FILE).read_bytes()
    name = signatures.sign(folder, manifest, keys[0][0])
    assert (folder / FILE).read_bytes() == before and signatures.signers(folder, manifest) == [name]
    assert signatures.check_signature(folder, manifest, keys[0][1]) == name
    assert signatures.signers(built, manifest) == []


def test_two_keys(signed: tuple[Path, Manifest], keys: tuple) -> None:
    folder, manifest = signed
    with pytest.raises(RejectedError, match=r"signed by .*, not by"):
        signatures.check_signature(folder, manifest, keys[1][1])
    signatures.sign(folder, manifest, keys[1][0])
    found = {signatures.check_signature(folder, manifest, public) for _, public in keys}
    assert sorted(found) == signatures.signers(folder, manifest) and len(found) == 2


def test_every_flipped_bit_of_an_envelope_is_noticed(signed: tuple[Path, Manifest], keys: tuple) -> None:
    folder, manifest = signed
    content = (folder / FILE).read_bytes()
    rest = range(0, 8 * len(content), 41)
    for bit in [*rest, *range(8 * (len(content) - 240), 8 * len(content), 3)]:  # the signature stands at the end
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        (folder / FILE).write_bytes(changed)
        with pytest.raises(RejectedError, match=FILE):
            signatures.check_signature(folder, manifest, keys[0][1])


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 50_000, b"\xff", b"null\n", b'{"payload": 1}'])
def test_what_is_no_envelope(content: bytes, signed: tuple[Path, Manifest], keys: tuple) -> None:
    folder, manifest = signed
    (folder / FILE).write_bytes(content)
    for public in (None, keys[0][1]):
        report = verify_dataset(folder, signer=public)
        assert [problem.file for problem in report.problems] == [FILE] and "\n" not in str(report.problems[0])
    signatures.sign(folder, manifest, keys[0][0])  # a damaged one is written anew
    assert verify_dataset(folder, signer=keys[0][1]).ok


def test_a_signature_of_another_data_set(signed: tuple[Path, Manifest], keys: tuple) -> None:
    """Everything is redone for the edit but the signature, which only the key can make."""
    folder, _ = signed
    forge(folder, lambda raw: raw["source"].update(licence="CC0"))
    for public in (None, keys[0][1]):
        assert any(problem.file == FILE for problem in verify_dataset(folder, signer=public).problems)


def test_keys_that_are_none(signed: tuple[Path, Manifest], keys: tuple, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    folder, manifest = signed
    (private, public), pem = keys[0], serialization.Encoding.PEM
    other = rsa.generate_private_key(65537, 2048)
    locked = serialization.BestAvailableEncryption(b"secret")
    key = serialization.load_pem_private_key(private.read_bytes(), None)
    files = {
        "rsa.pem": other.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        "rsa.pub": other.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo),
        "locked.pem": key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked),
        "text": b"no key",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for path, said in {
        public: "not a private key",
        tmp_path / "rsa.pem": "not an ed25519 key",
        tmp_path / "locked.pem": "encrypted",
        tmp_path / "text": "not a private key",
        tmp_path / "none": "no such private key",
    }.items():
        with pytest.raises(DataError, match=said):
            signatures.sign(folder, manifest, path)
    for path in (private, tmp_path / "rsa.pub", tmp_path / "text", tmp_path / "none"):
        with pytest.raises(DataError, match="key"):
            signatures.check_signature(folder, manifest, path)


def test_without_the_library(signed: tuple[Path, Manifest], keys: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, manifest = signed
    monkeypatch.setitem(sys.modules, "securesystemslib.signer", None)
    for call in (signatures.sign, signatures.check_signature):
        with pytest.raises(UsageError, match=r"pip install 'fusionbench\[sign\]'"):
            call(folder, manifest, keys[0][0])
    assert len(signatures.signers(folder, manifest)) == 1 and verify_dataset(folder).ok


def test_on_the_command_line(keys: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine, public), (_, other) = keys
    code, out, err = run(capsys, "generate", "fusiondigits", "--out", tmp_path, "--sign", mine)
    folder = Path(out.strip())
    assert code == 0 and "signed by key" in err and (folder / FILE).is_file()
    code, out, _ = run(capsys, "verify", folder)
    assert code == 0 and "(not checked; " in out
    code, out, _ = run(capsys, "verify", folder, "--signer", public, "--files")
    assert code == 0 and "signed by key" in out and "not checked" not in out
    code, out, _ = run(capsys, "verify", folder, "--signer", other)
    assert code == 1 and len(out.splitlines()) == 1 and out.startswith(FILE)
    (folder / FILE).unlink()
    code, out, _ = run(capsys, "verify", folder, "--signer", public)
    assert code == 1 and "not signed" in out
    assert run(capsys, "verify", folder, "--signer", mine)[0] == 2
    forge(folder, lambda raw: raw["splits"]["test"].update(coverage=[0.1, 0.2, 0.3]))
    code, _, err = run(capsys, "generate", "fusiondigits", "--out", tmp_path, "--sign", mine)
    assert code == 1 and "not signed: manifest.json: coverage" in err and not (folder / FILE).exists()
    code, _, err = run(capsys, "generate", "fusiondigits", "--out", "memory://x", "--sign", mine)
    assert code == 2 and "--sign does not go with a URL" in err
