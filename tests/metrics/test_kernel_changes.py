"""Compiled loops are loaded one after the other, each when it is worth it: any of them may be compiled while others are
not, and the sources of a pair may be computed before and a fused image after. The values are the same."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from fusionbench.metrics._kernel import Loops
from fusionbench.metrics.dialects import DIALECTS, STANDARD
from fusionbench.metrics.engine import SourcePair, available
from fusionbench.synth import kernel
from tests.metrics.test_kernel import MODULES

pytestmark = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
ALL = [place.LOOPS for place in MODULES]
SCORED = [(STANDARD, name) for name in available(STANDARD)]
SCORED += [(dialect, name) for dialect in DIALECTS for name in available(dialect)]


def image(seed: int) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(size=(180, 177))
    return np.clip(np.cumsum(np.cumsum(steps, 0), 1) + 128, 0, 255).astype(np.uint8)[None]


A, B, FIRST, SECOND = map(image, range(4))


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[set[Loops], set[Loops]]]:
    """Which loops are compiled, and which were asked for."""
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    modules = {loops: loops.compiled(0.0) for loops in ALL}
    compiled: set[Loops] = set()
    asked: set[Loops] = set()

    def which(self: Loops, seconds: float) -> ModuleType | None:
        asked.add(self)
        return modules[self] if self in compiled else None

    monkeypatch.setattr(Loops, "compiled", which)
    yield compiled, asked


@pytest.mark.parametrize(("dialect", "name"), SCORED)
def test_any_loops_may_be_compiled_at_any_time(dialect: str, name: str, chosen: tuple[set[Loops], set[Loops]]) -> None:
    compiled, asked = chosen

    def values(at_first: set[Loops], then: set[Loops]) -> np.ndarray:
        """Of a second fused image, when ``then`` are compiled, the first having been scored ``at_first``."""
        compiled.clear()
        compiled.update(at_first)
        pair = SourcePair(A, B, [name], dialect)
        pair.score(FIRST)
        compiled.clear()
        compiled.update(then)
        return np.asarray(pair.score(SECOND)[name])

    expected = values(set(), set())
    every = set(asked)
    states = [(every, every), (set(), every), (every, set())]
    for one in every:
        states += [({one}, {one}), (every - {one}, every - {one}), (every - {one}, every)]
    for at_first, then in states:
        np.testing.assert_array_equal(values(at_first, then), expected)
