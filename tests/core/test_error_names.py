"""Exceptions keep the names of the first release, which plugins catch, beside those of PEP 8."""

from __future__ import annotations

import importlib

import pytest

from fusionbench.core import errors


@pytest.mark.parametrize(
    ("module", "old", "new", "code"),
    [
        ("core.errors", "Rejected", "RejectedError", 1),
        ("core.errors", "CannotMeasure", "MeasurementError", 3),
        ("core.errors", "NotComparable", "NotComparableError", 4),
        ("core.errors", "SizesDiffer", "SizeMismatchError", 2),
        ("core.parallel", "WorkerLost", "WorkerLostError", None),
        ("core.worker_process", "WorkerFault", "WorkerFaultError", None),
        ("models.checks", "NotApplicable", "NotApplicableError", None),
    ],
)
def test_the_old_name_catches_the_error(module: str, old: str, new: str, code: int | None) -> None:
    found = importlib.import_module(f"fusionbench.{module}")
    with pytest.raises(getattr(found, old)) as caught:
        raise getattr(found, new)("a.png is 3×4 and b.png 4×3")
    assert type(caught.value).__name__ == new
    assert getattr(caught.value, "exit_code", None) == code


def test_plugins_catch_them_from_the_module_of_the_first_release() -> None:
    old = importlib.import_module("fusionbench.errors")
    with pytest.raises(old.Rejected):
        raise errors.RejectedError("refused")
