"""Which values are black and white: texts, limits, and percentiles against NumPy's."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Range, Ranges, Values, percentiles, to_eight_bits, to_unit_floats


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("full", "full"),
        ("auto", "auto"),
        ("set:auto", "auto"),
        ("image:auto", "image:auto"),
        ("14bit", "14bit"),
        (" 8bit ", "8bit"),
        ("0:16383", "0:16383"),
        ("-10.50:+40", "-10.5:40"),
        ("1e3:2.5e3", "1000:2500"),
        (".5:1", "0.5:1"),
        ("percentile:1,99", "percentile:1,99"),
        ("percentile:0.50,99.5", "percentile:0.5,99.5"),
        ("image:percentile:0,100", "percentile:0,100"),
        ("set:percentile:1,99", "set:percentile:1,99"),
    ],
)
def test_texts_have_one_form(text: str, canonical: str) -> None:
    found = Range.parse(text)
    assert str(found) == canonical and Range.parse(canonical) == found
    assert Range.of(text) == Range.of(found) == found


WRONG = """
14 7bit 33bit bit 5:5 9:1 1: nan:1 0:inf 0:1e999 percentile:99,1 percentile:-1,50 percentile:1,101 percentile:1
set:full set:14bit set:0:1 set:set:auto image:set:auto Auto 0x1:0x2 1:2:3 1_0:20
"""


@pytest.mark.parametrize("text", ["", *WRONG.split()])
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Range.parse(text)
    assert repr(text.strip()) in str(caught.value) or repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["set:" * 100_000 + "auto", "set:" * 240 + "auto", "set: set:auto", "1" * 5000 + ":2"])
def test_texts_without_end_are_one_short_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"set: and|letters are no range of values") as caught:
        Range.parse(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1300


def test_numbers_that_nothing_can_be_computed_from_are_refused() -> None:
    for text in ("-1e308:1e308", "0:1e306", "-1.7e308:-1.6e308"):
        with pytest.raises(UsageError, match="give smaller ones"):
            Range.parse(text)
    largest = Range.parse("-3e305:3e305")
    assert Range.parse(str(largest)) == largest
    pixels, _ = to_eight_bits(Values(np.array([[0, 255]], np.uint8), 255, 8), largest, "x", "")
    assert pixels.tolist() == [[128, 128]]  # 127.5, to even


def test_none_stays_none_and_ranges_know_what_was_given() -> None:
    assert Range.of(None) is None and not Ranges()
    ranges = Ranges.parse("full", None, "10:20")
    assert ranges.texts() == {"a": "full", "fused": "10:20"}
    assert ranges.params() == {"range_fused": "10:20"}  # full maps as nothing given does


def test_14_bits_of_an_8_bit_image_give_it_back() -> None:
    """Every level, encoded in 14 bits by an exact fraction."""
    wide = np.array([round(Fraction(v * 16383, 255)) for v in range(256)], np.uint16)[None]
    pixels, notes = to_eight_bits(Values(wide, 65535, 16), Range.parse("14bit"), "x", "--range-a")
    assert pixels.tolist() == [list(range(256))] and notes == ("16 bits mapped to 8 by 14bit",)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.float32])
@pytest.mark.parametrize(("low", "high"), [(10, 100), (0.5, 200.25), (0, 102), (0, 510)])
def test_mapping_is_the_exact_fraction_rounded_half_to_even(kind: type, low: float, high: float) -> None:
    values = np.arange(0, 120, dtype=kind).reshape(2, 60)
    full = 2 ** (8 * np.dtype(kind).itemsize) - 1 if np.dtype(kind).kind == "u" else None
    pixels, _ = to_eight_bits(Values(values, full, 8), Range.parse(f"{low}:{high}"), "x", "")
    for value, found in zip(values.reshape(-1).tolist(), pixels.reshape(-1).tolist(), strict=True):
        exact = (Fraction(value) - Fraction(low)) * 255 / (Fraction(high) - Fraction(low))
        assert found == round(min(max(exact, Fraction(0)), Fraction(255)))


@given(
    st.sampled_from([np.uint8, np.uint16, np.int8, np.int16, np.int32, np.uint32, np.float32]),
    st.lists(st.sampled_from([0, 0.5, 1, 2, 25, 50, 97.5, 99, 99.9, 100]), min_size=2, max_size=2),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_percentiles_are_numpys_over_all_images(kind: type, percents: list[float], data: st.DataObject) -> None:
    finite = {"allow_nan": False, "allow_infinity": False} if kind is np.float32 else {}
    shapes = arrays.array_shapes(min_dims=2, max_dims=3, max_side=6)
    images = data.draw(st.lists(arrays.arrays(kind, shapes, elements=finite), min_size=1, max_size=3))
    everything = np.concatenate([image.reshape(-1) for image in images])
    expected = [float(np.percentile(everything, percent, method="inverted_cdf")) for percent in percents]
    assert list(percentiles(lambda: iter(images), percents)) == expected


def named(*values: Values) -> Iterable[tuple[str, Values]]:
    return [(f"{k}.png", value) for k, value in enumerate(values)]


def deep(*tops: int) -> list[Values]:
    return [Values(np.array([[0, top]], np.uint16), 65535, 16) for top in tops]


@pytest.mark.parametrize(
    ("tops", "expected"),
    [([200], "8bit"), ([256], "10bit"), ([1023, 1024], "12bit"), ([5, 16383], "14bit"), ([16384], "full")],
)
def test_auto_is_the_depth_of_the_brightest_image_of_the_set(tops: list[int], expected: str) -> None:
    assert str(Range.parse("auto").fit(lambda: named(*deep(*tops)))) == expected


def test_auto_of_single_images_looks_at_each() -> None:
    wanted = Range.parse("image:auto")
    assert wanted.fit(lambda: named(*deep(200, 16383))) is wanted
    for values, top in zip(deep(200, 16383), (255, 16383), strict=True):
        assert wanted.limits(values, "x", "") == (0, top)


def test_sets_in_which_nothing_is_found() -> None:
    signed = Values(np.array([[-1, 5]], np.int16), None, 16)
    mixed = [*deep(9000), Values(np.zeros((2, 2), np.float32), None, 32)]
    for asked, values, said in (
        ("auto", [signed], r"0\.png: auto finds no depth for signed 16-bit values -1\.\.5; give LOW:HIGH"),
        ("auto", mixed, r"1\.png: auto finds no depth"),
        ("set:percentile:1,99", mixed, r"0\.png has uint16 values and 1\.png float32"),
        ("set:percentile:1,99", [Values(np.full((3, 3), 7, np.uint16), 65535, 16)], "one value, 7"),
    ):
        with pytest.raises(DataError, match=said):
            Range.parse(asked).fit(lambda values=values: named(*values))  # type: ignore[misc]


@pytest.mark.parametrize("text", [None, "full", "14bit", "100:9000", "percentile:1,99"])
def test_unit_floats_keep_the_depth(text: str | None) -> None:
    pixels = (
        np.random.default_rng(0).integers(0, 65536 if text in (None, "full") else 16384, (40, 50)).astype(np.uint16)
    )
    values, wanted = Values(pixels, 65535, 16), Range.of(text)
    low, high = (wanted or Range("full")).limits(values, "x", "")
    found, notes = to_unit_floats(values, wanted, "x", "--range-a")
    exact = np.clip((pixels.astype(np.float64) - low) / (high - low), 0, 1)
    assert found.dtype == np.float32 and np.abs(found - exact).max() < 1e-7
    assert len(np.unique(found)) > 300, "more than bytes have"
    assert bool(notes) == (text not in (None, "full")) and all("to 8" not in note for note in notes)
    eight, _ = to_eight_bits(values, wanted, "x", "--range-a")
    assert np.abs(found * 255 - eight).max() <= 0.5 + 1e-4, "the same mapping"


def test_unit_floats_refuse_what_eight_bits_refuse() -> None:
    for values in (
        Values(np.array([[0, 1]], np.uint8), 255, 8),
        Values(np.array([[0, 9000]], np.uint16), 65535, 16),
        Values(np.array([[0, 0.5]], np.float32), None, 32),
    ):
        messages = []
        for function in (to_eight_bits, to_unit_floats):
            with pytest.raises(DataError) as caught:
                function(values, None, "x.png", "--range-a")
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    eight = Values(np.array([[0, 51, 255]], np.uint8), 255, 8)
    assert to_unit_floats(eight, None, "x", "")[0].tolist() == [[0.0, np.float32(0.2), 1.0]]
