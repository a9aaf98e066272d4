"""The table of threats in ``docs/submissions.md``: every row names tests, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_threat_has_tests() -> None:
    _, _, table = (ROOT / "docs" / "submissions.md").read_text().partition("## Threats and their tests")
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) == 26
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    for threat, _, tests in rows:
        named = re.findall(r"`(test_\w+)`", tests)
        assert named and set(named) <= known, (threat, set(named) - known)
