"""Errors for people: what is wrong, where, and what to do, in one line.

Every error that a user can cause derives from :class:`FusionbenchError`; the command
line prints its message and leaves with its ``exit_code``:

====  ==========================================
code  meaning
====  ==========================================
0     fine
1     regression or rejection
2     usage: bad input, unknown name, bad file
3     could not measure
4     not comparable
====  ==========================================
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FusionbenchError(Exception):
    """Base of all errors that are meant for a person. ``exit_code`` is the process's.

    Example:
        >>> from fusionbench import FusionbenchError, get_metric
        >>> try:
        ...     get_metric("vff")
        ... except FusionbenchError as error:
        ...     print(error.exit_code, error)
        2 Unknown metric 'vff'. Did you mean 'viff' or 'vif'? See `fusionbench list metrics`.
    """

    exit_code = 2


class UsageError(FusionbenchError):
    """A wrong argument, name or combination (exit code 2)."""


class DataError(FusionbenchError):
    """A file that is missing, damaged or not what it says it is (exit code 2)."""


class Rejected(FusionbenchError):
    """A check was made and failed: a regression, a refused submission, a failed verification (exit code 1)."""

    exit_code = 1


class CannotMeasure(FusionbenchError):
    """Nothing could be measured, for example because the loss is not finite (exit code 3)."""

    exit_code = 3


class NotComparable(FusionbenchError):
    """Two results that do not measure the same thing (exit code 4)."""

    exit_code = 4


def unknown_name(kind: str, name: str, known: Iterable[str], see: str | None = None) -> UsageError:
    """The error for a name that is not known, with the nearest known names as a suggestion.

    Example:
        >>> from fusionbench.errors import unknown_name
        >>> print(unknown_name("metric", "vff", ["vif", "viff", "en"], see="fusionbench list metrics"))
        Unknown metric 'vff'. Did you mean 'viff' or 'vif'? See `fusionbench list metrics`.
    """
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(repr(c) for c in close)}?" if close else f"Known: {', '.join(known) or 'none'}."
    return UsageError(f"Unknown {kind} {name!r}. {hint}" + (f" See `{see}`." if see else ""))
