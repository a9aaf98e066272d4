"""The index of a board: what it lists, and what is not taken for one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fusionbench.board import build_board
from fusionbench.board.site_index import FILE, SIGNATURE, check_index_signature, index_signers, read_index, sign_index
from fusionbench.core.errors import DataError, RejectedError
from tests.helpers.results import made_up


@pytest.fixture
def site(tmp_path: Path) -> Path:
    results = tmp_path / "results"
    made_up(results, "a", title="First")
    made_up(results, "b", shift=0.1)
    (results / "x").mkdir()
    (results / "x" / "result.json").write_text("{")
    build_board(results, tmp_path / "site", title="Mine", resamples=100)
    return tmp_path / "site"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_lists_every_result_and_every_file(site: Path) -> None:
    data = json.loads((site / FILE).read_bytes())
    results = site.parent / "results"
    assert (data["schema"], data["title"], data["anonymous"], data["resamples"]) == (
        "fusionbench.board/1",
        "Mine",
        False,
        100,
    )
    files = sorted(results.glob("fusiondigits/**/result.json"))
    assert [one["file"] for one in data["results"]] == [file.relative_to(results).as_posix() for file in files]
    for one, file in zip(data["results"], files, strict=True):
        made = json.loads(file.read_bytes())
        assert one == {
            "file": one["file"],
            "sha256": sha256(file),
            "id": made["id"],
            "status": "verified",
            "title": made["title"],
            "table": {"file": "images.csv", "sha256": sha256(file.with_name("images.csv"))},
        }
    assert [one["file"] for one in data["set_aside"]] == ["x/result.json"]
    there = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()} - {FILE}
    assert data["files"] == {name: sha256(site / name) for name in there}


def test_what_is_no_index(site: Path) -> None:
    content = (site / FILE).read_bytes()
    for changed, said in (
        (b"", "not a fusionbench.board/1"),
        (b"[" * 100_000, "not a fusionbench.board/1"),
        (content.replace(b"board/1", b"board/2"), r"is a fusionbench\.board/2"),
        (content.replace(b'"static/board.css"', b'"../static/board.css"'), "not in the board's folder"),
        (content.replace(b'"static/board.css"', b'"/etc/passwd"'), "not in the board's folder"),
        (content.replace(b'"anonymous"', b'"unknown": 1, "anonymous"'), "unknown"),
    ):
        (site / FILE).write_bytes(changed)
        with pytest.raises(DataError, match=said):
            read_index(site)
    (site / FILE).unlink()
    with pytest.raises(DataError, match="build it with `fusionbench board`"):
        read_index(site)


def test_a_signature_is_of_these_bytes(site: Path, tmp_path: Path) -> None:
    pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")
    from tests.data.test_signatures import new_key

    private, public = new_key(tmp_path, "mine")
    _, content = read_index(site)
    assert index_signers(site, content) == []
    key = sign_index(site, content, private)
    assert index_signers(site, content) == [key] == [check_index_signature(site, content, public)]
    with pytest.raises(RejectedError, match="another board"):
        check_index_signature(site, content + b"\n", public)
    build_board(tmp_path / "results", site, title="Mine", resamples=100)
    assert (site / SIGNATURE).exists(), "the same index again"
    build_board(tmp_path / "results", site, title="Other", resamples=100)
    assert not (site / SIGNATURE).exists(), "a signature of what is no longer there goes"


def test_a_board_of_the_first_release_is_taken_over(site: Path) -> None:
    (site / "models" / "old.html").write_text("old")
    (site / FILE).unlink()
    (site / "board-files.json").write_text(json.dumps({"fusionbench": "0.1.0", "files": ["models/old.html"]}))
    build_board(site.parent / "results", site, resamples=100)
    assert not (site / "models" / "old.html").exists() and not (site / "board-files.json").exists()
