"""Deprecations warn once, at the caller's line, and none is due in this version."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from fusionbench.core import deprecation
from fusionbench.core.deprecation import deprecated, renamed_parameter

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "_WARNED", set())


def old_function() -> int:
    deprecated("old_function", "new_function", removed_in="9.0")
    return 1


def outer() -> int:
    return inner()


def inner() -> int:
    deprecated("outer", "new_function", removed_in="9.0", stacklevel=3)
    return 1


def test_it_says_what_until_when_and_what_instead() -> None:
    with pytest.warns(FutureWarning) as caught:
        assert old_function() == 1
    (warning,) = caught
    assert str(warning.message) == (
        "old_function is deprecated and will be removed in fusionbench 9.0; use new_function instead"
    )


@pytest.mark.parametrize("call", [old_function, outer])
def test_it_points_at_the_line_of_the_caller(call: object) -> None:
    source = "def user(call):\n    x = 1\n    call()\n"
    namespace: dict[str, object] = {}
    exec(compile(source, "user_code.py", "exec"), namespace)
    with pytest.warns(FutureWarning) as caught:
        namespace["user"](call)  # type: ignore[operator]
    assert (caught[0].filename, caught[0].lineno) == ("user_code.py", 3)


def test_it_warns_once_for_each_name() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old_function()
        old_function()
        deprecated("another", "new_function", removed_in="9.0")
    assert [str(warning.message).split()[0] for warning in caught] == ["old_function", "another"]


def test_users_see_it_without_a_switch() -> None:
    code = "from fusionbench.core.deprecation import deprecated\ndeprecated('--keep', '--cache', removed_in='9.0')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "FutureWarning: --keep is deprecated" in done.stderr


@renamed_parameter("colour", "color", removed_in="9.0")
def paint(surface: str, *, color: str = "red") -> str:
    return f"{surface} {color}"


def test_a_renamed_parameter_works_by_both_names_and_warns_by_the_former_once_at_the_callers_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [paint("wall"), paint("wall", color="blue"), paint("wall", colour="green"), paint("x", colour="grey")]  # type: ignore[call-arg]
    assert found == ["wall red", "wall blue", "wall green", "x grey"]
    assert [str(one.message) for one in caught] == [
        "paint(colour=) is deprecated and will be removed in fusionbench 9.0; use paint(color=) instead"
    ]
    assert caught[0].filename == __file__
    with pytest.raises(TypeError, match="both color and colour"):
        paint("wall", color="blue", colour="green")  # type: ignore[call-arg]
    assert inspect.signature(paint).parameters.keys() == {"surface", "color"}


@pytest.mark.parametrize(
    "place",
    [
        "pairs:evaluate_pairs",
        "pairs:evaluate_forms",
        "pairs:score_fused_images",
        "run_suite:run_suite",
        "external:score_outputs",
    ],
)
def test_functions_of_the_first_release_take_keep_pictures(place: str) -> None:
    module, name = place.split(":")
    function = getattr(importlib.import_module(f"fusionbench.evaluation.{module}"), name)
    message = rf"{name}\(keep_pictures=\) .* use {name}\(keep_images=\)"
    with pytest.warns(FutureWarning, match=message), pytest.raises(TypeError, match="missing"):
        function(keep_pictures=True)


def test_the_former_name_of_scoring_fused_images_is_the_same_function() -> None:
    from fusionbench.evaluation import pairs

    with pytest.warns(FutureWarning, match=r"pairs\.score_pictures is deprecated .* use score_fused_images"):
        assert pairs.score_pictures is pairs.score_fused_images
    with pytest.raises(AttributeError, match="no attribute 'score_picture'"):
        _ = pairs.score_picture
