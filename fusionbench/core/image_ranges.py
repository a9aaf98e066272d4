"""From the values that a sensor writes to 8 bits: which value is black and which is white.

A 14-bit camera stores 0..16383 in files of 16 bits, a radiometric one degrees as floating point. What such values mean
is not in the file, so a person says it, as text:

=========================  ==========================================================================================
``full``                   all of the file's type: 0..65535 of 16 bits
``14bit``                  0..16383; likewise any depth from ``8bit`` to ``32bit``
``auto``                   the smallest of 8, 10, 12, 14 and 16 bits that holds every image of the set
``20:37.5``                these two values; what is beyond them is clipped
``percentile:1,99``        the values that 1 % and 99 % of the image's pixels do not exceed
``set:percentile:1,99``    the same over all pixels of all images of the set
``image:auto``             as ``auto``, for every image by itself
=========================  ==========================================================================================

v becomes (v - low) · 255 / (high - low), clipped to 0..255 and rounded half to even.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np

from fusionbench.core.errors import DataError, UsageError

DEPTHS = (8, 10, 12, 14, 16)  # bits that ``auto`` chooses from
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_VALUES = re.compile(rf"({_NUMBER}):({_NUMBER})")
_PERCENTILE = re.compile(rf"percentile:({_NUMBER}),({_NUMBER})")
_BITS = re.compile(r"([0-9]{1,2})bit")
_LONGEST = 1000  # letters: whole numbers are written out, in up to 309 digits
_BLOCK = 1 << 22  # pixels that are mapped at once in float64
_FORMS = "auto, full, 14bit, LOW:HIGH, percentile:1,99 or set:percentile:1,99"


@dataclass(frozen=True)
class Values:
    """An image as its file stores it.

    Attributes:
        pixels: (H,W) or (H,W,3): uint8, uint16, uint32, int8, int16, int32 or finite float32.
        full: the largest value of the type; None for signed and floating-point types, which have no white value.
        bits: of the type, a channel.
    """

    pixels: np.ndarray
    full: int | None
    bits: int

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return _plain(self.pixels.min()), _plain(self.pixels.max())


@dataclass(frozen=True)
class Range:
    """Which values are black and white; ``str`` gives the text that :meth:`parse` reads, in one form.

    Attributes:
        kind: "full", "auto", "bits", "values" or "percentile".
        low, high: two values, two percentages, or (0, number of bits).
        whole_set: whether the images of a set share what ``auto`` and ``percentile`` find.
    """

    kind: Literal["full", "auto", "bits", "values", "percentile"]
    low: float = 0
    high: float = 0
    whole_set: bool = False

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read the text of an option.

        Raises:
            UsageError: another form, or numbers that do not rise.
        """
        text = text.strip()
        if len(text) > _LONGEST:
            raise UsageError(f"{text[:20] + '…'!r}: {len(text)} letters are no range of values; give {_FORMS}")
        scope, colon, rest = text.partition(":")
        if not colon or scope not in ("set", "image"):
            return cls._without_scope(text)
        nested = rest.lstrip().startswith(("set:", "image:"))
        found = None if nested else cls._without_scope(rest.strip())
        if found is None or found.kind not in ("auto", "percentile"):
            raise UsageError(f"{text!r}: set: and image: go before auto and percentile")
        return cls(found.kind, found.low, found.high, scope == "set")

    @classmethod
    def _without_scope(cls, text: str) -> Range:
        if text in ("full", "auto"):
            return cls("full") if text == "full" else cls("auto", whole_set=True)
        if (match := _BITS.fullmatch(text)) and 8 <= int(match[1]) <= 32:
            return cls("bits", 0, int(match[1]))
        for kind, form in (("values", _VALUES), ("percentile", _PERCENTILE)):
            if match := form.fullmatch(text):
                low, high = float(match[1]), float(match[2])
                if not (math.isfinite(low) and math.isfinite(high) and low < high):
                    raise UsageError(f"{text!r}: the first number must be below the second")
                if kind == "percentile" and not 0 <= low < high <= 100:
                    raise UsageError(f"{text!r}: percentiles are from 0 to 100")
                if not math.isfinite((abs(low) + abs(high)) * 255):  # what a value becomes could not be computed
                    raise UsageError(f"{text!r}: numbers beyond what 8 bits can be computed from; give smaller ones")
                return cls(kind, _plain(low), _plain(high))  # type: ignore[arg-type]
        raise UsageError(f"{text!r} is no range of values: give {_FORMS}")

    @classmethod
    def of(cls, value: Range | str | None) -> Range | None:
        """A range, or its text; None stays None.

        Raises:
            UsageError: as :meth:`parse`.
        """
        return cls.parse(value) if isinstance(value, str) else value

    def __str__(self) -> str:
        if self.kind == "bits":
            return f"{self.high:g}bit"
        if self.kind == "values":
            return f"{self.low!r}:{self.high!r}"
        if self.kind == "percentile":
            return f"{'set:' if self.whole_set else ''}percentile:{self.low!r},{self.high!r}"
        return "image:auto" if self.kind == "auto" and not self.whole_set else self.kind

    def fit(self, images: Callable[[], Iterable[tuple[str, Values]]]) -> Range:
        """The range that a set of images shares: itself, unless ``auto`` or ``percentile`` look at the whole set.

        Args:
            images: gives the images with their names, from the start each time that it is called.

        Raises:
            DataError: types that do not go together, or values that leave nothing to choose.
        """
        if not self.whole_set:
            return self
        if self.kind == "auto":
            found = {(_depth(values, name), values.bits) for name, values in images()}
            bits = max(depth for depth, _ in found)
            return Range("full") if {of_type for _, of_type in found} == {bits} else Range("bits", 0, bits)
        kinds = {values.pixels.dtype: name for name, values in images()}
        if len(kinds) > 1:
            (one, first), (other, second) = list(kinds.items())[:2]
            raise DataError(f"{first} has {one} values and {second} {other}: no percentiles over both; give LOW:HIGH")
        low, high = percentiles(lambda: (values.pixels for _, values in images()), (self.low, self.high))
        if low == high:
            raise DataError(f"{next(iter(kinds.values()))}: {self} are one value, {low!r}; give LOW:HIGH")
        return Range("values", low, high)

    def limits(self, values: Values, name: str, option: str) -> tuple[float, float]:
        """The values of one image that become 0 and 255.

        Raises:
            DataError: the range does not fit the image.
        """
        if self.kind == "values":
            return self.low, self.high
        if self.kind == "percentile":
            low, high = percentiles(lambda: [values.pixels], (self.low, self.high))
            if low == high:
                raise DataError(f"{name}: {option} {self}: both are the value {low!r}; give LOW:HIGH or set:{self}")
            return low, high
        if self.kind == "full" and values.full is not None:
            return 0, values.full
        if self.kind == "full" or values.pixels.dtype.kind == "f":
            low, high = values.span
            raise DataError(
                f"{name}: {_type(values)} values {low!r}..{high!r} have no depth: {option} {self} says nothing; "
                f"give {option} LOW:HIGH or percentile:1,99"
            )
        bits = _depth(values, name) if self.kind == "auto" else int(self.high)
        low, high = values.span
        if bits > values.bits:
            raise DataError(f"{name}: {values.bits} bits a channel; {option} {self} is for deeper files")
        if low < 0 or high > 2**bits - 1:
            raise DataError(f"{name}: values {low!r}..{high!r} are beyond {option} {self}, 0..{2**bits - 1}")
        return 0, 2**bits - 1


@dataclass(frozen=True)
class Ranges:
    """The ranges of both sources and of the fused images; None is the rule without an option."""

    a: Range | None = None
    b: Range | None = None
    fused: Range | None = None

    @classmethod
    def parse(
        cls, a: Range | str | None = None, b: Range | str | None = None, fused: Range | str | None = None
    ) -> Ranges:
        """From texts.

        Raises:
            UsageError: as :meth:`Range.parse`.
        """
        return cls(Range.of(a), Range.of(b), Range.of(fused))

    @property
    def given(self) -> dict[str, Range]:
        """Side -> range, of those that were given."""
        return {side: found for side in ("a", "b", "fused") if (found := getattr(self, side)) is not None}

    def __bool__(self) -> bool:
        return bool(self.given)

    def texts(self) -> dict[str, str]:
        """Side -> text, of those that were given."""
        return {side: str(found) for side, found in self.given.items()}

    def params(self) -> dict[str, str]:
        """What a protocol records: ``range_a`` and so on. ``full`` maps as nothing given does, and is not recorded."""
        return {f"range_{side}": text for side, text in self.texts().items() if text != "full"}


def to_eight_bits(values: Values, wanted: Range | None, name: str, option: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """uint8 pixels of the same shape, and notes of what was done to them.

    Without a range, 8 bits stay what they are and deeper integers are scaled by their type, where they fill it.

    Raises:
        DataError: a range that does not fit, or values that need one.
    """
    if wanted is None and values.full == 255 and values.pixels.max() > 1:
        return values.pixels, ()  # nearly every image, so no second look at its pixels
    if wanted is None:
        _refuse_unclear(values, name, option)
        wanted = Range("full")
    low, high = wanted.limits(values, name, option)
    if values.pixels.dtype == np.uint8 and (low, high) == (0, 255):
        return values.pixels, ()
    return _mapped(values.pixels, low, high), (_note(values, wanted, low, high),)


def to_unit_floats(values: Values, wanted: Range | None, name: str, option: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """float32 pixels in [0,1] of the same shape, in the full depth of the file, and notes of what was done to them.

    The same values are refused as by :func:`to_eight_bits`.

    Raises:
        DataError: a range that does not fit, or values that need one.
    """
    if wanted is None and not (values.full == 255 and values.pixels.max() > 1):
        _refuse_unclear(values, name, option)
    chosen = wanted or Range("full")
    low, high = chosen.limits(values, name, option)
    if low == 0 and values.pixels.dtype in (np.uint8, np.uint16) and values.full == high:
        return values.pixels.astype(np.float32) / np.float32(high), ()
    out = np.empty(values.pixels.shape, np.float32)
    flat, done = values.pixels.reshape(-1), out.reshape(-1)
    for at in range(0, flat.size, _BLOCK):
        block = flat[at : at + _BLOCK].astype(np.float64)
        done[at : at + _BLOCK] = np.clip((block - low) / (high - low), 0, 1)
    return out, (_note(values, chosen, low, high).replace(" mapped to 8 by ", " mapped by "),)


def _refuse_unclear(values: Values, name: str, option: str) -> None:
    """Refuse values whose black and white are unknown."""
    low, high = values.span
    if values.full is None:
        advice = "0:1" if low >= 0 and high <= 1 else "LOW:HIGH or percentile:1,99"
        what = f"{_type(values)} values {low!r}..{high!r}: which are black and white is not in the file"
    elif low < high <= 1:
        advice, what = "0:1", f"values 0..1 of {values.bits} bits would all be black"
    elif values.full > 255 and 4 * high < 3 * values.full:
        fits = next((f"{bits}bit, " for bits in DEPTHS if high < 2**bits and bits < values.bits), "")
        advice = f"{fits}LOW:HIGH, percentile:1,99 or full"
        what = f"values {low!r}..{high!r} of {values.bits} bits fill less than 3/4 of the range"
    elif values.full > 255 and low < high and 16 * (high - low) < values.full:
        advice = "LOW:HIGH, percentile:1,99 or full"
        what = f"uses only {low!r}..{high!r} of {values.bits} bits, of which 8 bits would keep hardly anything"
    else:
        return
    remedy = f"say what they mean with {option} {advice}" if option else "map them to 8 bits first"
    raise DataError(f"{name}: {what}; {remedy} (docs/images.md)")


def _note(values: Values, wanted: Range, low: float, high: float) -> str:
    depth = f"{values.bits} bits" if values.full is not None else f"{_type(values)} values"
    if wanted.kind == "full":
        return f"{depth} scaled to 8"
    text = f"{depth} mapped to 8 by {wanted}"
    if wanted.kind == "auto":
        text += f" ({int(high).bit_length()}bit)"
    first, last = values.span
    return f"{text}, what is beyond clipped" if wanted.kind == "values" and (first < low or last > high) else text


def _mapped(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    if pixels.dtype in (np.uint8, np.uint16):
        return _table(low, high, 256**pixels.dtype.itemsize).take(pixels)
    out = np.empty(pixels.shape, np.uint8)
    flat, done = pixels.reshape(-1), out.reshape(-1)
    for at in range(0, flat.size, _BLOCK):
        done[at : at + _BLOCK] = _eighth(flat[at : at + _BLOCK].astype(np.float64), low, high)
    return out


@lru_cache(maxsize=4)
def _table(low: float, high: float, length: int) -> np.ndarray:
    """What every unsigned value becomes: looking up is faster than computing, and the images of a set share it."""
    return _eighth(np.arange(length, dtype=np.float64), low, high)


def _eighth(values: np.ndarray, low: float, high: float) -> np.ndarray:
    # Multiplied first, so that whole numbers stay exact up to the one division and halves are seen as halves.
    return np.rint(np.clip((values - low) * 255 / (high - low), 0, 255)).astype(np.uint8)


def percentiles(images: Callable[[], Iterable[np.ndarray]], percents: Iterable[float]) -> tuple[float, ...]:
    """The smallest values that at least so many percent of all pixels do not exceed, exactly.

    Values are counted, in two passes where they have 32 bits, so that no set is too large.

    Args:
        images: gives arrays of one type, from the start each time that it is called.
    """
    pixels, counts, kind = 0, np.zeros(1 << 16, np.int64), np.dtype(np.uint8)
    for image in images():
        kind, pixels = image.dtype, pixels + image.size
        counts += np.bincount((_ordered(image) >> _shift(kind)).reshape(-1), minlength=1 << 16)
    ranks = [max(1, math.ceil(Fraction(repr(percent)) * pixels / 100)) for percent in percents]
    tops = np.searchsorted(counts.cumsum(), ranks)  # the first value whose count from below reaches the rank
    if _shift(kind) == 0:
        return tuple(_unordered(int(top), kind) for top in tops)
    below = {int(top): np.zeros(1 << 16, np.int64) for top in tops}
    for image in images():
        keys = _ordered(image).reshape(-1)
        for top, lower in below.items():
            lower += np.bincount(keys[keys >> 16 == top] & 0xFFFF, minlength=1 << 16)
    found = []
    for rank, top in zip(ranks, tops.tolist(), strict=True):
        rest = rank - int(counts[:top].sum())
        found.append(_unordered((top << 16) + int(np.searchsorted(below[top].cumsum(), rest)), kind))
    return tuple(found)


def _shift(kind: np.dtype) -> int:
    return 16 if kind.itemsize == 4 else 0


def _ordered(image: np.ndarray) -> np.ndarray:
    """int64 numbers from 0 that are in the order of the values."""
    if image.dtype.kind == "u":
        return image.astype(np.int64)
    if image.dtype.kind == "i":
        return image.astype(np.int64) + (1 << 8 * image.dtype.itemsize - 1)
    bits = (image + np.float32(0)).view(np.uint32).astype(np.int64)  # -0 becomes 0
    return np.where(bits >> 31, 0xFFFFFFFF - bits, bits + 0x80000000)


def _unordered(key: int, kind: np.dtype) -> float:
    if kind.kind == "u":
        return key
    if kind.kind == "i":
        return key - (1 << 8 * kind.itemsize - 1)
    bits = key - 0x80000000 if key >= 0x80000000 else 0xFFFFFFFF - key
    return _plain(np.array(bits, np.uint32).view(np.float32))


def _depth(values: Values, name: str) -> int:
    """The smallest of :data:`DEPTHS` that holds the image."""
    low, high = values.span
    found = next((bits for bits in DEPTHS if high < 2**bits), None)
    if found is None or low < 0 or values.pixels.dtype.kind == "f":
        raise DataError(f"{name}: auto finds no depth for {_type(values)} values {low!r}..{high!r}; give LOW:HIGH")
    return min(found, values.bits)


def _type(values: Values) -> str:
    kind = {"f": "floating-point", "i": "signed", "u": "unsigned"}[values.pixels.dtype.kind]
    return kind if values.pixels.dtype.kind == "f" else f"{kind} {values.bits}-bit"


def _plain(value: object) -> float:
    """A Python number, an int where it is whole, so that its text is short and the same everywhere."""
    number = float(value)  # type: ignore[arg-type]
    return int(number) if number.is_integer() else number


__all__ = ["DEPTHS", "Range", "Ranges", "Values", "percentiles", "to_eight_bits", "to_unit_floats"]
