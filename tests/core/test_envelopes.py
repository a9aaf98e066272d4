"""Signed statements: what one key signs, any tool can check, and an edit of either side is noticed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from fusionbench.core.envelopes import STATEMENT_TYPE, check_statement, sign_statement, statement_signers
from fusionbench.core.errors import RejectedError, UsageError
from tests.data.test_signatures import new_key

pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")
SAID = {"_type": STATEMENT_TYPE, "subject": [{"name": "x", "digest": {"sha256": "0" * 64}}]}
ABOUT, REMEDY = "another thing", "sign again"


def check(path: Path, statement: dict, public: Path) -> str:
    return check_statement(path, statement, public, "the thing", ABOUT, REMEDY)


def test_what_is_signed_is_checked_by_another_library(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    private, public = new_key(tmp_path, "a")
    path = tmp_path / "x.intoto.jsonl"
    key = sign_statement(path, SAID, private, REMEDY)
    envelope = json.loads(path.read_text())
    payload = base64.b64decode(envelope["payload"])
    assert json.loads(payload) == SAID and statement_signers(path, SAID, ABOUT, REMEDY) == [key]
    # DSSE's pre-authentication encoding, written out
    kind = envelope["payloadType"]
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    load_pem_public_key(public.read_bytes()).verify(signature, message)  # type: ignore[union-attr, call-arg]
    assert check(path, SAID, public) == key


def test_other_statements_keys_and_edits(tmp_path: Path) -> None:
    (private, public), (second, other) = new_key(tmp_path, "a"), new_key(tmp_path, "b")
    path = tmp_path / "x.intoto.jsonl"
    with pytest.raises(RejectedError, match="missing: the thing is not signed"):
        check(path, SAID, public)
    sign_statement(path, SAID, private, REMEDY)
    with pytest.raises(RejectedError, match="it is about another thing; sign again"):
        check(path, {**SAID, "subject": []}, public)
    with pytest.raises(RejectedError, match=r"signed by .*, not by"):
        check(path, SAID, other)
    sign_statement(path, SAID, second, REMEDY)
    assert len(statement_signers(path, SAID, ABOUT, REMEDY)) == 2 and check(path, SAID, other)
    envelope = json.loads(path.read_text())
    envelope["signatures"][0]["sig"], envelope["signatures"][1]["sig"] = (
        envelope["signatures"][1]["sig"],
        envelope["signatures"][0]["sig"],
    )
    path.write_bytes(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    with pytest.raises(RejectedError, match="is wrong: the envelope was edited"):
        check(path, SAID, public)


def test_another_statement_begins_again(tmp_path: Path) -> None:
    private, public = new_key(tmp_path, "a")
    path = tmp_path / "x.intoto.jsonl"
    sign_statement(path, SAID, private, REMEDY)
    later = {**SAID, "predicate": {}}
    sign_statement(path, later, private, REMEDY)
    assert check(path, later, public) and len(statement_signers(path, later, ABOUT, REMEDY)) == 1


def test_no_more_keys_than_a_reader_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionbench.core import envelopes

    monkeypatch.setattr(envelopes, "MAX_SIGNATURES", 1)
    path = tmp_path / "x.intoto.jsonl"
    sign_statement(path, SAID, new_key(tmp_path, "a")[0], REMEDY)
    with pytest.raises(UsageError, match="1 keys have signed"):
        sign_statement(path, SAID, new_key(tmp_path, "b")[0], REMEDY)
