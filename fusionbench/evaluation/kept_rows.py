"""Rows of work that is done item by item, kept on disk while it goes on: a call that comes after a stop begins there.

    kept = partial.rows("pairs", stems, PairRow, watch)      # of fusionbench.evaluation.partial_scores.PartialScores
    for index in range(len(kept.rows), len(stems)):
        kept.stop_in_time("guided filter on tno")            # --stop-after: everything so far is on disk
        kept.add([score(index)])

Rows are written when some seconds of work have come together, so that what is done in less leaves nothing on disk.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.images import decode_image, encode_png
from fusionbench.core.time_limit import UnfinishedError, note_progress, time_is_up

if TYPE_CHECKING:
    from fusionbench.evaluation.partial_scores import PartialScores
    from fusionbench.evaluation.watch_cost import CostWatch

Row = TypeVar("Row")
SECONDS = 10.0  # of work that a killed process may lose
MOST = 32  # rows of a file
MAX_BYTES = 64 << 20  # of a file


class _Stretch(msgspec.Struct, Generic[Row]):
    """Rows of the items ``names``, one after the other, and what was measured while they were made."""

    names: list[str]
    rows: list[Row]
    seconds: list[float]
    peaks: list[float]
    largest: int


@dataclass
class _NoWatch:
    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    largest: int = 0


class KeptRows(Generic[Row]):
    """Rows of ``names`` in their order. ``rows`` has those that an earlier call finished, then those of this one.

    Args:
        partial: where they are kept.
        what: name of the files.
        names: of all items.
        kind: of a row; what msgspec reads, and images: uint8 (h, w) or (h, w, 3).
        watch: what measures the items goes on where it was, too.

    Example:
        >>> import tempfile
        >>> from fusionbench.evaluation import kept_rows
        >>> from fusionbench.evaluation.partial_scores import PartialScores
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = PartialScores(folder, "key").rows("pairs", ["p1", "p2"], dict[str, float])
        ...     first.add([{"sd": 1.5}])
        ...     first.write()
        ...     PartialScores(folder, "key").rows("pairs", ["p1", "p2"], dict[str, float]).rows
        [{'sd': 1.5}]
    """

    def __init__(
        self, partial: PartialScores, what: str, names: Sequence[str], kind: Any, watch: CostWatch | None = None
    ) -> None:
        self.partial, self.what, self.names = partial, what, list(names)
        self.watch = _NoWatch() if watch is None else watch
        self.rows: list[Row] = []
        decoder = msgspec.msgpack.Decoder(_Stretch[kind], dec_hook=_image)
        while len(self.rows) < len(self.names) and (kept := self._read(decoder)) is not None:
            self.rows += kept.rows
            self.watch.seconds += kept.seconds
            self.watch.peaks += kept.peaks
            self.watch.largest = max(self.watch.largest, kept.largest)
        self._start_here(len(self.rows))
        self._begun = False

    def _start_here(self, count: int) -> None:
        """Everything so far is on disk."""
        self._kept, self._since = count, time.monotonic()
        self._measured = len(self.watch.seconds), len(self.watch.peaks)

    def _read(self, decoder: msgspec.msgpack.Decoder[_Stretch[Row]]) -> _Stretch[Row] | None:
        """The rows that follow; None where there are none, or a damaged file: those items are done again."""
        begin = len(self.rows)
        content = self.partial.read(f"{self.what}-{begin}")
        if content is None:
            return None
        try:
            found = decoder.decode(content)
        except (msgspec.DecodeError, DataError, UnicodeDecodeError, RecursionError):
            return None
        alike = found.names == self.names[begin : begin + len(found.names)]
        return found if found.rows and len(found.rows) == len(found.names) and alike else None

    def forget(self) -> None:
        """Begin again from the first item: what belongs to the rows is no longer there."""
        self.watch.seconds, self.watch.peaks, self.watch.largest = [], [], 0
        self.cut(0)

    def cut(self, count: int) -> None:
        """Keep the first ``count`` rows alone; they are written again with those that come."""
        self.rows = self.rows[:count]
        self._start_here(0)

    def add(self, rows: Sequence[Row]) -> None:
        """Rows of the next items."""
        self.rows += rows
        self._begun = True
        note_progress()
        if time.monotonic() - self._since >= SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is not on disk yet."""
        for begin in range(self._kept, len(self.rows), MOST):
            self._write(begin, min(begin + MOST, len(self.rows)))
        self._start_here(len(self.rows))

    def _write(self, begin: int, end: int) -> None:
        """Write rows into a file, or into several where one could not be read again at once."""
        stretch = _Stretch(self.names[begin:end], self.rows[begin:end], [], [], self.watch.largest)
        if begin == self._kept:  # of several files the first one has what was measured
            stretch.seconds = self.watch.seconds[self._measured[0] :]
            stretch.peaks = self.watch.peaks[self._measured[1] :]
        content = msgspec.msgpack.encode(stretch, enc_hook=_png)
        if len(content) > MAX_BYTES and end - begin > 1:
            middle = (begin + end) // 2
            self._write(begin, middle)
            self._write(middle, end)
        else:
            self.partial.write(f"{self.what}-{begin}", content)

    def stop_in_time(self, label: str) -> None:
        """Stop before the next item where the time is over; every call does some, however little time it has.

        Raises:
            UnfinishedError: it is over.
        """
        if self._begun and time_is_up() and len(self.rows) < len(self.names):
            self.write()
            done = f"{len(self.rows)} of {len(self.names)} done"
            raise UnfinishedError(f"{label}: {done}; the same command goes on")


def _png(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        return encode_png(value)
    raise NotImplementedError(f"a row with {type(value).__name__}")


def _image(kind: type, content: Any) -> np.ndarray:
    if kind is not np.ndarray or not isinstance(content, bytes):
        raise DataError("no image")
    return decode_image(content, "a kept image").pixels
