"""Where a result comes from: what was written before there were ids keeps its bytes, and ids are digests."""

from __future__ import annotations

import msgspec
import pytest

from fusionbench.results.origins import Origin, SubmittedRow


def test_what_has_no_submission_is_written_as_before() -> None:
    assert msgspec.json.encode(Origin()) == b'{"kind":"run","paper":null,"submitter":null,"note":""}'


def test_a_submission_is_read_strictly() -> None:
    row = SubmittedRow(id="a" * 64, group="three-seeds", seed=3, replaces="b" * 64)
    text = msgspec.json.encode(Origin(kind="submission", submitter="Ada", submission=row))
    assert msgspec.json.decode(text, type=Origin).submission == row and not row.confirmed
    for wrong in ({"id": "a" * 63}, {"id": "a" * 64, "replaces": "x"}, {"id": "a" * 64, "group": "No Name"}, {}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, SubmittedRow)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"id": "a" * 64, "verified": True}, SubmittedRow)
