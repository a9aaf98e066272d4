"""The chance of a coincidence: against counting by hand, exact probabilities and simulated inventions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.coincidence import LIKELY, Group, PrintedNumber, chances, tail


def test_a_number_keeps_its_digits() -> None:
    number = PrintedNumber.parse(" 46.00 ")
    assert (number.text, number.value, number.half) == ("46.00", 46.0, pytest.approx(0.005))
    assert number.agrees(46.0049) and number.agrees(45.995) and not number.agrees(46.0051)
    assert PrintedNumber.parse("1.2e-3").half == pytest.approx(5e-5)
    assert PrintedNumber.parse("7").half == 0.5 and PrintedNumber.parse(0.25).half == pytest.approx(0.005)
    for text, words in (("0,5", "not a number"), ("", "not a number"), ("inf", "finite"), ("nan", "finite")):
        with pytest.raises(UsageError, match=words):
            PrintedNumber.parse(text)


NO_FLOAT = {
    "a last digit that is too large": ("0e400", "-0e309", "1e99999999999", "0e" + 5000 * "9"),
    "a last digit that is too small": ("1e-400", "0e-400", "1e-324", "0." + 400 * "0", "0e-" + 5000 * "9"),
    "too many steps from zero": ("10000000000." + 305 * "0",),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", [text for texts in NO_FLOAT.values() for text in texts])
def test_digits_that_no_float_can_hold_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be explained; give a") as error:
        PrintedNumber.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["0e307", "1e307", "1e-323", "1.5e-300", "1." + 300 * "0"])
def test_numbers_at_the_ends_of_floats_have_a_chance(text: str) -> None:
    number = PrintedNumber.parse(text)
    assert 0 < number.chance([0.0, number.value, 1.0]) <= 1


def counted(number: float, step: float, values: list[float], part: float) -> float:
    """Share of the printed numbers within ``part`` of ``number`` that some value rounds to, one by one."""
    reach = max(10, math.floor(part * abs(number) / step))
    grid = [number + k * step for k in range(-reach, reach + 1) if number + k * step > -step / 2]
    return float(np.mean([any(abs(value - point) <= step / 2 + 1e-9 for value in values) for point in grid]))


@pytest.mark.parametrize("text", ["7.12", "1.03", "0.54", "0.02", "46.0", "0.0312"])
def test_the_chance_is_the_share_of_grid_points_that_are_matched(text: str) -> None:
    number = PrintedNumber.parse(text)
    rng = np.random.default_rng(7)
    values = [*(number.value * rng.uniform(0.6, 1.4, 12)), number.value + 0.3 * number.half]
    step = 2 * number.half
    expected = max(counted(number.value, step, values, part) for part in (0.05, 0.1, 0.25))
    assert number.chance(values) == pytest.approx(expected)
    assert number.match_rate(values) == pytest.approx(expected), "the last of the values matches the number itself"
    assert number.match_rate([number.value * 9]) == 0 < number.chance([]), "a chance is never zero"


def test_more_digits_and_fewer_definitions_make_a_coincidence_rarer() -> None:
    values = [0.31, 0.52, 0.535, 0.57, 0.61]
    assert PrintedNumber.parse("0.5352").chance([*values, 0.53521]) < PrintedNumber.parse("0.54").chance(values) / 10
    assert PrintedNumber.parse("0.54").chance(values[:3]) < PrintedNumber.parse("0.54").chance(values)


def test_the_tail_is_that_of_all_outcomes() -> None:
    rates = [0.1, 0.02, 0.5, 0.3]
    for count in range(6):
        exact = sum(
            math.prod(rate if happens else 1 - rate for rate, happens in zip(rates, outcome, strict=True))
            for outcome in itertools.product((0, 1), repeat=4)
            if sum(outcome) >= count
        )
        assert tail(rates, count) == pytest.approx(exact, abs=1e-15)
    assert tail([1e-9] * 3, 3) == pytest.approx(1e-27, rel=1e-6), "small tails are not lost to rounding"


def test_groups_pay_for_those_that_were_tried_beside_them() -> None:
    alone = Group(("a", ""), 0, (0, 1), (0.01, 0.02))
    assert chances([alone]) == [pytest.approx(2 * 0.0002)]
    same, other = Group(("b", ""), 0, (0, 1), (0.01, 0.02)), Group(("c", ""), 0, (), (0.0, 0.5))
    assert chances([alone, same]) == [pytest.approx(0.0004)] * 2, "two names for one thing are one"
    assert chances([alone, same, other])[0] == pytest.approx(0.0008)
    deep = Group(("", ""), 6, (0, 1), (0.01, 0.02))
    assert chances([alone, deep]) == [pytest.approx(0.0004), pytest.approx(0.0002 * 128)]


@pytest.mark.parametrize("law", ["uniform over ±25 %", "uniform over ±50 %", "normal, 10 %"])
def test_invented_numbers_are_explained_at_the_stated_rate_only(law: str) -> None:
    """Definitions of any density, by level: matches with a chance of at most 5 % are that rare."""
    rng = np.random.default_rng(3)
    draw = {
        "uniform over ±25 %": lambda: rng.uniform(0.75, 1.25),
        "uniform over ±50 %": lambda: rng.uniform(0.5, 1.5),
        "normal, 10 %": lambda: 1 + 0.1 * rng.normal(),
    }[law]
    explained = matched = 0
    tries = 1500
    for _ in range(tries):
        truth = float(10 ** rng.uniform(-0.7, 1.8))
        levels = [list(truth * rng.uniform(0.5, 1.6, count)) for count in (8, 16, 30)]
        number = PrintedNumber.parse(f"{truth * draw():.2f}")
        upto = [value for values in levels for value in values]
        hits = [k for k, values in enumerate(levels) if any(map(number.agrees, values))]
        if hits:
            matched += 1
            upto = [value for values in levels[: hits[0] + 1] for value in values]
            explained += number.chance(upto) <= LIKELY
    assert matched / tries > 0.1, "by itself a match says little"
    # three standard deviations above the stated rate
    assert explained / tries <= LIKELY + 3 * math.sqrt(LIKELY * (1 - LIKELY) / tries)
