"""Places are URLs or folders; secrets of an URL are not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.urls import join_url, shown_url, url_of


@pytest.mark.parametrize(
    "url", ["s3://bucket/data", "memory://x", "https://host:8/a/b?c=d", "file:///tmp/x", "abfs://c@a/b"]
)
def test_an_url_stays_one_also_as_a_path(url: str) -> None:
    assert url_of(url) == url
    expected = url if url != "file:///tmp/x" else None  # three slashes become one, and that is ambiguous
    assert url_of(Path(url)) == (expected or url_of(Path(url)))


@pytest.mark.parametrize(
    "place", ["data", "/a:b/c", "C:/data", "s3:", "a://", "", "1s3://x", "data/s3://x", Path("C:/data"), Path("a:/b")]
)
def test_what_is_a_folder_or_a_name(place: str | Path) -> None:
    assert url_of(place) is None


def test_a_folder_that_is_called_like_a_protocol_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert url_of(Path("s3:/data")) == "s3://data"
    (tmp_path / "s3:").mkdir()
    assert url_of(Path("s3:/data")) is None


def test_names_are_put_before_a_query() -> None:
    assert join_url("https://host/a/?sig=x%2Fy", "manifest.json") == "https://host/a/manifest.json?sig=x%2Fy"
    assert join_url("s3://bucket/what?", "b") == "s3://bucket/what?/b"  # a question mark can be in a name there
    assert join_url("s3://bucket/a/", "") == "s3://bucket/a/"


def test_secrets_and_control_characters_are_not_shown() -> None:
    assert shown_url("https://user:secret@host:8/a/?sig=hidden#x") == "https://host:8/a"
    assert shown_url("s3://bucket/data/") == "s3://bucket/data"
    assert "\x1b" not in shown_url("s3://bucket/\x1b[31m") and "\n" not in shown_url("s3://bucket/a\nb")
    assert "secret" not in shown_url("https://user:secret@[::1/a?sig=secret")
