"""``KEY=VALUE`` texts: TOML values, bare words, and what is neither."""

from __future__ import annotations

import pytest

from fusionbench.cli.setting_options import parse_settings
from fusionbench.core.errors import UsageError


def test_values_are_toml_or_words() -> None:
    texts = ["a=3", "b=0.5", "c=true", "d=[1, 2]", 'e="x"', "f=word", "g=a=b", "h="]
    assert parse_settings(texts, "--set") == {
        "a": 3,
        "b": 0.5,
        "c": True,
        "d": [1, 2],
        "e": "x",
        "f": "word",
        "g": "a=b",
        "h": "",
    }


@pytest.mark.parametrize("text", ["a", "=3", ""])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write KEY=VALUE, for example --set lr=1"):
        parse_settings([text], "--set", "--set lr=1")
