"""Which frames show the same scene, by their names, so that no scene is on both sides of a split.

A name is read as text, number, text (``00123N``: nothing, 123, ``N``; the last number counts). Frames with the same
texts are one recording, sorted by number. A recording is cut into stretches of at most ``LENGTH`` numbers, and each is
a scene; a name without a number is a scene of its own. Where a stretch ends, frames on both sides still look alike:
:func:`are_near` names those, and whoever tests on one of them does not train on the other. There only the text before
the number counts: recordings that are numbered together may have been made one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LENGTH = 50  # numbers of a recording that make a scene
GUARD = 20  # frames with numbers this close may show the same things (measured on MSRS, docs/downstream.md)
_NUMBERED = re.compile(r"(.*?)([0-9]{1,15})([^0-9]*)", re.DOTALL)


def number_of(stem: str) -> tuple[str, int, str] | None:
    """Text, number and text of a frame's name; None where it has no number.

    Example:
        >>> from fusionbench.sources.frame_names import number_of
        >>> number_of("00123N"), number_of("set1_0007"), number_of("astronaut")
        (('', 123, 'N'), ('set1_', 7, ''), None)
    """
    found = _NUMBERED.fullmatch(stem)
    return None if found is None else (found[1], int(found[2]), found[3])


def scenes_of(stems: Sequence[str], length: int = LENGTH) -> list[str]:
    """The scene of every frame, in the order of ``stems``; it is called after its first and last frame.

    Example:
        >>> from fusionbench.sources.frame_names import scenes_of
        >>> scenes_of(["0001D", "0040D", "0060D", "0002N", "cat"])
        ['0001D-0040D', '0001D-0040D', '0060D', '0002N', 'cat']
    """
    parts = {stem: number_of(stem) for stem in stems}
    numbered = sorted((found[0], found[2], found[1], stem) for stem, found in parts.items() if found is not None)
    groups: list[list[str]] = [[stem] for stem, found in parts.items() if found is None]
    recording: tuple[str, str] | None = None
    first = 0
    for before, after, number, stem in numbered:
        if (before, after) != recording or number - first >= length:
            recording, first = (before, after), number
            groups.append([])
        groups[-1].append(stem)
    names = {stem: group[0] if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups for stem in group}
    return [names[stem] for stem in stems]


def are_near(stem: str, other: str, guard: int = GUARD) -> bool:
    """Whether two frames may show the same things, whatever their scenes: names alike but for numbers this close.

    Example:
        >>> from fusionbench.sources.frame_names import are_near
        >>> are_near("0049D", "0062D"), are_near("0049D", "0062N"), are_near("0049D", "0075D"), are_near("a", "b")
        (True, True, False, False)
    """
    one, two = number_of(stem), number_of(other)
    if one is None or two is None:
        return stem == other
    return one[0] == two[0] and abs(one[1] - two[1]) <= guard
