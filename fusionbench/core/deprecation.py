"""The one way to deprecate a public name: it warns once and says what to use instead, and until when it works."""

from __future__ import annotations

import warnings

_WARNED: set[str] = set()


def deprecated(old: str, new: str, removed_in: str, *, stacklevel: int = 2) -> None:
    """Warn, once in this process for each ``old``, that it will be removed.

    Call it first in what is deprecated; the warning points at the line that called that. It is a ``FutureWarning``,
    which Python shows by default, since those who have to act are users.

    Args:
        old: what is deprecated, as users write it: ``"fusionbench.data.dataset.open_sets"``, ``"--keep"``.
        new: what to use instead, written likewise.
        removed_in: the first version without it, a literal such as ``"0.4"``, so that a search finds what is due.
        stacklevel: 2 where the deprecated function calls this; one more for every function between them.
    """
    if old in _WARNED:
        return
    _WARNED.add(old)
    text = f"{old} is deprecated and will be removed in fusionbench {removed_in}; use {new} instead"
    warnings.warn(text, FutureWarning, stacklevel=stacklevel + 1)
