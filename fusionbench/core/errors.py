"""Errors for users: what is wrong, where, and what to do, on one line.

Every error that a user can cause derives from :class:`FusionbenchError`; the command
line prints its message and exits with its ``exit_code``:

====  ==========================================
code  meaning
====  ==========================================
0     fine
1     regression or rejection
2     usage: bad input, unknown name, bad file
3     could not measure
4     not comparable
75    the time given with --stop-after is over
====  ==========================================
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FEW = 8  # names that are all listed when none is near
_LONG = 120  # letters of a name that a message repeats
REGISTER = "resize or register them, fusionbench does not"


class FusionbenchError(Exception):
    """Base of all errors that are meant for a person. ``exit_code`` is the process's; ``details`` are further lines.

    Example:
        >>> from fusionbench import FusionbenchError, get_metric
        >>> try:
        ...     get_metric("vff")
        ... except FusionbenchError as error:
        ...     print(error.exit_code, error)
        2 Unknown metric 'vff'. Did you mean 'viff' or 'vif'? See `fusionbench list metrics`.
    """

    exit_code = 2
    details: Sequence[str] = ()


class UsageError(FusionbenchError):
    """A wrong argument, name or combination (exit code 2)."""


class DataError(FusionbenchError):
    """A file that is missing, damaged or not what it says it is (exit code 2)."""


class RejectedError(FusionbenchError):
    """A check failed: a regression, a refused submission, a failed verification (exit code 1)."""

    exit_code = 1


class MeasurementError(FusionbenchError):
    """Nothing could be measured, for example because the loss is not finite (exit code 3)."""

    exit_code = 3


class NotComparableError(FusionbenchError):
    """Two results that do not measure the same thing (exit code 4)."""

    exit_code = 4


def unknown_name(kind: str, name: str, known: Iterable[str], see: str | None = None) -> UsageError:
    """The error for a name that is not known, with the nearest known names as a suggestion.

    Example:
        >>> from fusionbench.core.errors import unknown_name
        >>> print(unknown_name("metric", "vff", ["vif", "viff", "en"], see="fusionbench list metrics"))
        Unknown metric 'vff'. Did you mean 'viff' or 'vif'? See `fusionbench list metrics`.
    """
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        hint = f"Did you mean {' or '.join(repr(one) for one in close)}?"
    elif len(known) <= _FEW:
        hint = f"Known: {', '.join(known) or 'none'}."
    else:
        nearest = sorted(known, key=lambda one: _distance(name, one))[:3]
        hint = f"The nearest of {len(known)}: {', '.join(nearest)}."
    return UsageError(f"Unknown {kind} {name[:_LONG]!r}. {hint}" + (f" See `{see}`." if see else ""))


def _distance(name: str, known: str) -> float:
    """How unlike two names are; one that holds the other, or begins alike, is near."""
    name, other = name.casefold()[:_LONG], known.casefold()
    alike = difflib.SequenceMatcher(None, name, other).ratio()
    return -alike - (0.5 if name and (name in other or other in name) else 0.0)


def some(names: Sequence[str], between: str = ", ", shown: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return between.join(names[:shown]) + more


class SizeMismatchError(DataError):
    """Images that belong together have different sizes; :func:`refuse_all` gives the remedy for all of them once."""

    def __init__(self, sizes: str) -> None:
        super().__init__(f"{sizes}; {REGISTER}")
        self.sizes = sizes


def refuse_all(problems: Sequence[DataError], head: str) -> None:
    """Raise one error that names all problems on one line; a single problem is raised as it is.

    Raises:
        DataError: there is a problem.
    """
    if len(problems) == 1:
        raise problems[0]
    if problems:
        sizes = sorted(problem.sizes for problem in problems if isinstance(problem, SizeMismatchError))
        parts = sorted(str(problem) for problem in problems if not isinstance(problem, SizeMismatchError))
        texts = [some(parts, "; ")] if parts else []
        texts += [f"{len(sizes)} of different sizes ({some(sizes, '; ')}): {REGISTER}"] if sizes else []
        raise DataError(f"{head}: {'; '.join(texts)}")


# Names of the first release, which plugins catch; they are the same classes.
Rejected = RejectedError
CannotMeasure = MeasurementError
NotComparable = NotComparableError
SizesDiffer = SizeMismatchError


@dataclass(frozen=True)
class Problem:
    """Something that is not allowed: in which file, which rule, and what to do."""

    file: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}; {self.remedy}"
