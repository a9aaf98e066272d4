"""A limit in time: durations, the earlier of two limits, and what is raised where it is over."""

from __future__ import annotations

import time

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.time_limit import (
    UnfinishedError,
    check_time,
    limit_now,
    note_progress,
    parse_duration,
    stop_before,
    time_is_up,
    time_limit,
)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), (" 9m ", 540), ("1.5h", 5400), ("0.25 s", 0.25)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "9", "m", "-1s", "0m", "9 parsecs", "1e9s", "nan s", "inf h", "٣m", "9m9s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not understood; write 90s, 9m or 1\.5h"):
        parse_duration(text)


def test_the_earlier_limit_holds_and_ends_with_its_body() -> None:
    assert limit_now() is None and not time_is_up()
    later, now = time.time() + 3600, time.time()
    with time_limit(later):
        assert limit_now() == later and not time_is_up()
        with time_limit(now):
            assert limit_now() == now and time_is_up()
            with time_limit(later), time_limit(None):
                assert limit_now() == now, "an inner limit cannot lengthen an outer one"
        assert limit_now() == later
        with pytest.raises(ZeroDivisionError), time_limit(now):
            raise ZeroDivisionError
        assert limit_now() == later
    assert limit_now() is None


def test_nothing_is_begun_when_it_is_over() -> None:
    check_time("the row fcn")
    with time_limit(time.time() - 1), pytest.raises(UnfinishedError, match="the row fcn: not begun") as caught:
        check_time("the row fcn")
    assert caught.value.exit_code == 75


def test_a_call_without_time_does_the_least_that_it_can() -> None:
    stop_before("a row")  # without a limit
    with time_limit(time.time() - 1):
        stop_before("the first row")
        with time_limit(None):  # that of a row
            note_progress()
        with pytest.raises(UnfinishedError, match="the second row: not begun"):
            stop_before("the second row")
    with time_limit(time.time() - 1):
        stop_before("the first row of the next call")
    with time_limit(time.time() + 3600):
        note_progress()
        stop_before("a row in time")
