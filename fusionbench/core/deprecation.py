"""The one way to deprecate a public name: it warns once and says what to use instead, and until when it works.

A parameter that is called otherwise now: :func:`renamed_parameter`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
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


def renamed_parameter(old: str, new: str, removed_in: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function whose keyword parameter ``old`` is called ``new`` now: both work, the former one warns.

    Raises:
        TypeError: by the function, when it gets both.

    Example:
        >>> import warnings
        >>> from fusionbench.core.deprecation import renamed_parameter
        >>> @renamed_parameter("colour", "color", removed_in="9.0")
        ... def paint(*, color: str) -> str:
        ...     return f"painted {color}"
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     paint(colour="red")
        'painted red'
        >>> str(caught[0].message)[:40]
        'paint(colour=) is deprecated and will be'
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            given: dict[str, Any] = kwargs
            if old in given:
                if new in given:
                    raise TypeError(f"{function.__name__}() got both {new} and {old}, its former name")
                name = function.__name__
                deprecated(f"{name}({old}=)", f"{name}({new}=)", removed_in=removed_in, stacklevel=2)
                given[new] = given.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
