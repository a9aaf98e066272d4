"""Every law of the generator on both kernels: the same bytes, from any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.synth import Ellipses, MaskedViews, Noise, kernel
from fusionbench.synth.random import uint64_outputs
from tests.synth.test_masked import MAKERS, some_targets
from tests.synth.test_overlay import maker as overlay_maker

pytestmark = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")


def by(name: str, function, *arguments, **options):  # type: ignore[no-untyped-def]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(kernel.VARIABLE, name)
        assert (kernel.compiled(0) is not None) == (name == "numba")
        return function(*arguments, **options)


@given(
    st.lists(st.integers(0, (1 << 50) - 1), max_size=20),
    st.integers(1, 20),
    st.tuples(*[st.integers(0, (1 << 31) - 1)] * 3),
    st.tuples(*[st.integers(0, (1 << 64) - 1)] * 2),
)
@settings(max_examples=60, deadline=None)
def test_words(samples: list[int], blocks: int, counters: tuple[int, int, int], key: tuple[int, int]) -> None:
    view, epoch, purpose = counters
    options = {"view": view, "epoch": epoch, "purpose": purpose}
    both = [by(name, uint64_outputs, key, np.array(samples, int), blocks, **options) for name in ("numpy", "numba")]
    assert both[0].dtype == both[1].dtype and np.array_equal(*both)


@pytest.mark.parametrize("maker", [*MAKERS.values(), MaskedViews("one", "a", 1, 7, 5, 1, 1, Ellipses(1, (0, 2)))])
def test_masked_views(maker: MaskedViews) -> None:
    targets, samples = some_targets(maker, 9), np.array([0, 1, 2, 90, 91, 7, 1 << 40, 3, 4])
    params = maker.params(samples)
    for function, arguments in (
        (maker.make_views, (targets, samples, 3)),
        (maker.make_views, (targets[:0], samples[:0])),
        (maker.make_views, (np.ascontiguousarray(targets[::-1])[::-1], samples, 0)),
        (maker.masks, (params,)),
        (maker.params, (samples, 5)),
    ):
        both = [by(name, function, *arguments) for name in ("numpy", "numba")]
        assert both[0].dtype == both[1].dtype and np.array_equal(*both)
    assert by("numpy", maker.covered, params) == by("numba", maker.covered, params)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_masks_of_any_law(data: st.DataObject) -> None:
    low = data.draw(st.integers(0, 30))
    e_low = data.draw(st.integers(1, 400))
    law = Ellipses(
        data.draw(st.integers(1, 3)),
        (low, low + data.draw(st.integers(0, 40))),
        ellipticity=(e_low, e_low + data.draw(st.integers(0, 400))),
        algorithm=data.draw(st.sampled_from(["ellipse/1", "ellipse/2"])),
    )
    height, width = data.draw(st.integers(4, 24)), data.draw(st.integers(4, 24))
    params = law.params((1, 2), np.arange(6), height, width)
    assert np.array_equal(*(by(name, law.mask, params, height, width) for name in ("numpy", "numba")))


@pytest.mark.parametrize("values", [1, 16, 17, 1000])
def test_noise(values: int) -> None:
    law, samples = Noise.of(0.25), np.array([3, 4, 5, 99])
    both = [by(name, law.draw, (5, 6), samples, values, view=2, epoch=7) for name in ("numpy", "numba")]
    assert both[0].dtype == both[1].dtype == np.int16 and np.array_equal(*both)


def test_noise_beyond_16_bits_wraps_alike() -> None:
    """A standard deviation that no recipe allows: the sum of noise and target leaves 16 bits."""
    maker = MaskedViews("loud", "a", 0, 16, 16, 1, 2, Ellipses(2, (3, 8)), Noise(7600 * 256))
    targets, samples = some_targets(maker, 50), np.arange(50)
    assert np.array_equal(*(by(name, maker.make_views, targets, samples) for name in ("numpy", "numba")))


@pytest.mark.parametrize("channels", [1, 3])
def test_overlays(channels: int) -> None:
    maker = overlay_maker(channels)
    targets = some_targets(maker, 9)  # type: ignore[arg-type]
    samples = np.arange(50, 59)
    for count in (9, 0):
        both = [by(name, maker.make_views, targets[:count], samples[:count], 2) for name in ("numpy", "numba")]
        assert both[0].shape == both[1].shape and np.array_equal(*both)


def test_threads_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    maker = MAKERS["mnist"]
    targets = some_targets(maker, 64)
    expected = [maker.make_views(targets, np.arange(64), epoch) for epoch in range(8)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda epoch: maker.make_views(targets, np.arange(64), epoch), range(8)))
    assert all(map(np.array_equal, made, expected))
