"""A suite of two classical methods and three drawn pairs, of which its protocol takes two."""

from __future__ import annotations

from pathlib import Path

from tests.sources import folders

SMALL = """
format = "fusionbench.suite/1"
name = "small"
title = "small"
dataset = "pairs"
split = "all"
[protocol]
name = "pairs/1"
limit = 2
[[models]]
name = "copy-b"
[[models]]
name = "laplacian-pyramid"
params = {levels = 2}
"""


def small_suite(root: Path) -> Path:
    """The file of the suite in ``root``; its pairs lie in ``root/set``."""
    for side in ("a", "b"):
        for number in range(3):
            folders.save(root / f"set/{side}/{number}.png", folders.picture(number, 48 + number, 50, grey=True))
    path = root / "small.toml"
    path.write_text(SMALL)
    return path
