"""``community.toml``: read strictly, with the field named that is wrong; where the data of a leaderboard are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.board.community.settings import Leaderboard, parse_community, protocol_of
from fusionbench.core.errors import DataError
from fusionbench.evaluation.suites import load_suite

HEAD = 'format = "fusionbench.community/1"\ntitle = "Ours"\ndata = "pairs-demo"\n'


def test_what_is_not_said_has_the_documented_value() -> None:
    found = parse_community(HEAD.encode(), "community.toml")
    assert (found.suite, found.branch, found.seconds, found.keep_archives) == ("suite.toml", "main", 3600, True)
    assert found.kinds == ["weights", "predictions", "published"]
    assert (found.limits.per_day, found.limits.total, found.limits.archive_mib) == (2, 20, 50)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEAD + "more = 1", "unknown field `more`"),
        (HEAD + "[limits]\nper_day = 0", r"per_day"),
        (HEAD + 'kinds = ["code"]', "kinds"),
        (HEAD + "kinds = []", "kinds"),
        (HEAD + 'suite = "../suite.toml"', "suite"),
        (HEAD + 'branch = "main --force"', "branch"),
        (HEAD.replace("Ours", "<b>"), "title"),
        (HEAD.replace("pairs-demo", "../data"), "data"),
        (HEAD.replace("community/1", "community/2"), "is a fusionbench.community/2"),
        ('title = "Ours"\ndata = "x"', "declares no format"),
        ("title =", "not a leaderboard's settings"),
    ],
)
def test_what_is_wrong_is_named(text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        parse_community(text.encode(), "community.toml")
    assert str(raised.value).startswith("community.toml: ") and "\n" not in str(raised.value)


def test_where_the_data_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="community init"):
        Leaderboard.read(tmp_path)
    (tmp_path / "community.toml").write_text(HEAD)
    embedded = Leaderboard.read(tmp_path)
    assert embedded.data == embedded.data_at_hand == Path("pairs-demo")
    (tmp_path / "community.toml").write_text(HEAD.replace("pairs-demo", "tno"))
    stored = Leaderboard.read(tmp_path)
    assert stored.data == tmp_path / ".data" / "tno" and stored.data_at_hand is None
    stored.data.mkdir(parents=True)
    assert stored.data_at_hand == stored.data


def test_protocols_without_their_versions() -> None:
    assert (protocol_of(load_suite("pairs-demo")), protocol_of(load_suite("quickstart"))) == ("pairs", "masked")
