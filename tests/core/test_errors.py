"""Messages that name the first of many things."""

from __future__ import annotations

from fusionbench.core.errors import some


def test_the_first_names_and_how_many_more() -> None:
    assert some(["a", "b"]) == "a, b" and some([]) == ""
    assert some(list("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert some(list("abcdefghi")) == "a, b, c, d, e, f, g, h and 1 more"
    assert some([str(number) for number in range(2000)], "; ", shown=2) == "0; 1 and 1,998 more"
