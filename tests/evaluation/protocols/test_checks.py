"""The checks that users run on protocols of their own hold for ``pairs/1``, and find what is wrong."""

from __future__ import annotations

import pytest

from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.checks import check_own_protocol


def test_a_built_in_protocol_passes() -> None:
    report = check_own_protocol(PROTOCOLS.get("pairs/1"))
    assert report.ok, report.as_markdown()


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"title": ""}, "protocol_has_its_texts"),
        ({"takes": frozenset({"device"})}, "options_have_defaults"),
        ({"columns": ("no_such_score", "en", "en")}, "protocol_has_its_texts"),
        ({"takes": frozenset({"no_keyword"})}, "opens_with_what_it_takes"),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, object], check: str) -> None:
    wrong = type("Wrong", (type(PROTOCOLS.get("pairs/1")),), changes)()
    assert check in [row.check for row in check_own_protocol(wrong).rows if row.verdict == "fails"]
