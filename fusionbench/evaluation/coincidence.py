"""How often a number that nobody measured would be matched by some definition: the chance of a coincidence.

A printed number stands on a grid: 1.03 could as well have been 1.02 or 1.04. The model of an invented number: each grid
point within a window around the number is as likely as any other. The chance of a match is then the share of grid
points of the window that some definition's value rounds to, the number itself among them, so that it is never zero.
It is taken over the windows of ±5 %, ±10 % and ±25 % (at least ten grid points to each side), and the largest share
counts: definitions may crowd around the true value, and inventions may, too. Only definitions that take no more
assumptions than the one that matched are counted, so that a plain match is worth more than one by three slips; the
chance is a p-value of "some definition at least as plain matches".

For a row of numbers the columns are independent inventions. A group of definitions that belong together (one dialect,
one treatment of the images) matches k of its columns by chance with the probability of a Poisson binomial tail. Groups
are sorted into levels by what they assume; level l has the weight 2^-(l+1), which its groups share evenly, and the
chance of a group is divided by its weight (the Bonferroni rule with weights), so that trying many groups is paid for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.core.errors import UsageError

WINDOWS = (0.05, 0.10, 0.25)  # each way, as a part of the number
LEAST = 10  # grid points to each side of it
LIKELY = 0.05  # a match with a larger chance is called a possible coincidence


@dataclass(frozen=True)
class PrintedNumber:
    """A number with the digits that it was printed with: ``half`` is half a unit of the last one.

    Example:
        >>> from fusionbench.evaluation.coincidence import PrintedNumber
        >>> number = PrintedNumber.parse("0.54")
        >>> number.agrees(0.5352), number.agrees(0.5349)
        (True, False)
        >>> number.chance([0.5352]) == 1 / 21, number.chance([0.5352, 0.5441, 0.61]) == 2 / 21  # 0.44, 0.45, … 0.64
        (True, True)
    """

    text: str
    value: float
    half: float

    @classmethod
    def parse(cls, number: str | float) -> PrintedNumber:
        """From text, which keeps its digits, or a float.

        Raises:
            UsageError: no number, not finite, or with a last digit that is too large or too small for a float.
        """
        text = number.strip() if isinstance(number, str) else repr(float(number))
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"{text!r} is not a number; give the value as it is printed, for example 0.54") from None
        if not math.isfinite(value):
            raise UsageError(f"{text} cannot be explained; give a finite number")
        mantissa, _, exponent = text.lower().partition("e")
        digits = len(mantissa.partition(".")[2])
        try:
            half = 0.5 * 10.0 ** (int(exponent or 0) - digits)
        except (OverflowError, ValueError):  # int() takes 4,300 digits at most
            half = math.inf
        step = 2 * half  # grid points are counted in it
        if not (half and math.isfinite(step) and math.isfinite(value / step)):
            raise UsageError(f"{text} cannot be explained; give a number whose digits a float can hold")
        return cls(text, value, half)

    def agrees(self, value: float) -> bool:
        """Whether a value rounds to the number."""
        return abs(value - self.value) <= self.half * (1 + 1e-9)

    def chance(self, values: Iterable[float]) -> float:
        """Share of invented numbers like this one that some of ``values`` would round to; at least one grid point."""
        return self._largest_share(self._places(values) | {0})

    def match_rate(self, values: Iterable[float]) -> float:
        """The same, where the number itself counts only if it is matched: 0 where no value lies near."""
        return self._largest_share(self._places(values))

    def _places(self, values: Iterable[float]) -> set[int]:
        """Grid points that values round to, counted from the number away from zero."""
        away = math.copysign(2 * self.half, self.value)
        with np.errstate(over="ignore"):  # steps that no float can count are far off
            steps = (np.fromiter(values, np.float64) - self.value) / away
        return set(np.rint(steps[np.abs(steps) < 2**52]).astype(np.int64).tolist())

    def _largest_share(self, places: set[int]) -> float:
        to_zero = round(abs(self.value) / (2 * self.half))
        shares = []
        for part in WINDOWS:
            reach = max(LEAST, math.floor(part * abs(self.value) / (2 * self.half)))
            low = min(reach, to_zero)  # an invention has the sign that the quantity has
            shares.append(sum(-low <= place <= reach for place in places) / (low + reach + 1))
        return max(shares)


@dataclass(frozen=True)
class Group:
    """Definitions that belong together, and what they do to the columns of a row.

    Attributes:
        name: dialect and treatment; "" where any is allowed.
        level: how much is assumed, 0 the least.
        matched: places of the columns that it matches.
        rates: for every column the share of invented numbers that it would match.
    """

    name: tuple[str, str]
    level: int
    matched: tuple[int, ...]
    rates: tuple[float, ...]

    @property
    def alone(self) -> float:
        """The chance of as many matches when no other group is tried."""
        return tail(self.rates, len(self.matched))


def tail(rates: Sequence[float], count: int) -> float:
    """Probability that at least ``count`` of independent events happen, each with its own rate.

    Example:
        >>> from fusionbench.evaluation.coincidence import tail
        >>> tail([0.1, 0.2], 2), round(tail([0.1, 0.2], 1), 6), tail([0.1, 0.2], 0)
        (0.020000000000000004, 0.28, 1.0)
    """
    if count <= 0:
        return 1.0
    exactly = [1.0]  # probability of 0, 1, … events so far
    for rate in rates:
        before = [*exactly, 0.0]
        exactly = [before[k] * (1 - rate) + (before[k - 1] * rate if k else 0.0) for k in range(len(before))]
    return min(1.0, math.fsum(exactly[count:]))


def chances(groups: Sequence[Group]) -> list[float]:
    """The chance of each group's matches with all groups tried: its own by the weight that its level and rivals leave.

    Groups of a level that do the same to every column are one.
    """
    distinct: dict[int, set[tuple[tuple[int, ...], tuple[float, ...]]]] = {}
    for group in groups:
        distinct.setdefault(group.level, set()).add((group.matched, group.rates))
    return [min(1.0, group.alone * len(distinct[group.level]) * 2 ** (group.level + 1)) for group in groups]
