"""Philox4x64-10: random integers as a pure function of (key, sample, view, epoch, purpose).

The key is the first 16 bytes of the sha256 over the canonical JSON {algorithm, dataset, split, seed}.
The counter is [sample·S + block, view, epoch, purpose] with S blocks of four 64-bit outputs per sample and
view, so that a run of samples is one draw and a sample is a slice of it. There is no state.

On the CPU the outputs come from the C code behind ``numpy.random.Philox`` or from :mod:`fusionbench.synth.compiled`; on
tensors, and for few outputs of scattered samples, from the integer code below. Tests compare all of them with the
Random123 known answers and with each other.

Reference: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np

from fusionbench.synth import kernel
from fusionbench.synth.arrays import Array, arange, cast, is_tensor, stack, uncompiled

Key = tuple[int, int]
UINT64_PER_BLOCK = 4  # 64-bit outputs of a block
UINT16_PER_BLOCK = 16  # 16-bit outputs of a block

_M0, _M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157  # multipliers
_W0, _W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B  # key increments
_U64 = (1 << 64) - 1
_FEW = 8


def stream_key(algorithm: str, dataset: str, split: str, seed: int) -> Key:
    """The two 64-bit key words (little-endian) of an algorithm's stream on a split of a data set.

    Example:
        >>> from fusionbench.synth.random import stream_key
        >>> train, test = (stream_key("ellipse/1", "fusiondigits", split, seed=0) for split in ("train", "test"))
        >>> len(train), train == test
        (2, False)
    """
    identity = {"algorithm": algorithm, "dataset": dataset, "split": split, "seed": seed}
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    digest = hashlib.sha256(text).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


@uncompiled
def uint64_outputs(key: Key, samples: Array, blocks: int, *, view: int = 0, epoch: int = 0, purpose: int = 0) -> Array:
    """Random 64-bit outputs of ``samples`` (n,): uint64 (n, 4·blocks), or int64 with the same bits for a tensor.

    ``blocks`` is the fixed number S of blocks per sample and view of the stream: another S is another stream.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.random import stream_key, uint64_outputs
        >>> key = stream_key("noise/1", "demo", "train", seed=0)
        >>> run = uint64_outputs(key, np.arange(100), blocks=2)
        >>> alone = uint64_outputs(key, np.array([42]), blocks=2)  # a sample is a slice of a run
        >>> run.shape, bool((run[42] == alone[0]).all())
        ((100, 8), True)
    """
    if is_tensor(samples):
        return _outputs_by_rounds(key, samples, blocks, view, epoch, purpose)
    samples = np.asarray(samples, np.int64)
    if fast := kernel.compiled(len(samples) * blocks * UINT16_PER_BLOCK):
        made = np.empty((len(samples), blocks * UINT64_PER_BLOCK), np.uint64)
        fast.words(made, kernel.whole(samples), *words_of(view, epoch, purpose, *key))
        return made
    # one draw per run of consecutive samples
    breaks = np.flatnonzero(np.diff(samples) != 1) + 1
    if blocks <= _FEW and len(breaks) >= _FEW:  # a few words each of scattered samples: drawn together
        drawn = _outputs_by_rounds(key, samples, blocks, view, epoch, purpose)
        return np.ascontiguousarray(drawn).view(np.uint64)
    out = np.empty((len(samples), blocks * UINT64_PER_BLOCK), np.uint64)
    if not len(samples):
        return out
    starts = [0, *breaks.tolist()]
    stops = [*starts[1:], len(samples)]
    upper = (view << 64) | (epoch << 128) | (purpose << 192)
    counter = np.array([0, view, epoch, purpose], np.uint64)
    state: Any = {
        "bit_generator": "Philox",
        "state": {"counter": counter, "key": np.array(key, np.uint64)},
        "buffer": np.zeros(4, np.uint64),
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }
    generator = np.random.Philox(key=0, counter=0)
    for start, stop, first in zip(starts, stops, (samples[starts] * blocks).tolist(), strict=True):
        # NumPy steps the 256-bit counter before the first block, so it starts one below
        if first > 0:
            counter[0] = first - 1
            generator.state = state  # setting the state is five times cheaper than a new object
        else:
            borrowed = (upper + first - 1) % (1 << 256)
            words_below = np.array([(borrowed >> shift) & _U64 for shift in (0, 64, 128, 192)], np.uint64)
            below: Any = {**state, "state": {"counter": words_below, "key": np.array(key, np.uint64)}}
            generator.state = below
        count = (stop - start) * blocks * UINT64_PER_BLOCK
        out[start:stop] = generator.random_raw(count).reshape(stop - start, -1)
    return out


def words_of(*numbers: int) -> tuple[np.uint64, ...]:
    """Numbers below 2^64 as the words that compiled functions take.

    Example:
        >>> from fusionbench.synth.random import words_of
        >>> [hex(word) for word in words_of(1, (1 << 64) - 1)]
        ['0x1', '0xffffffffffffffff']
    """
    return tuple(np.uint64(number & _U64) for number in numbers)


def uint16_outputs(drawn: Array) -> Array:
    """The 16-bit outputs in 64-bit ones (..., w), lowest first: uint16 (..., 4·w), or int32 for a tensor.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.random import uint16_outputs
        >>> [hex(output) for output in uint16_outputs(np.array([0x0123456789ABCDEF], np.uint64)).tolist()]
        ['0xcdef', '0x89ab', '0x4567', '0x123']
    """
    if is_tensor(drawn):
        torch = sys.modules["torch"]
        return drawn.contiguous().view(torch.int16).to(torch.int32) & 0xFFFF
    return drawn.astype("<u8", copy=False).view("<u2")


def bounded(outputs: Array, low: int, high: int) -> Array:
    """Integers low..high (both included) from 16-bit outputs by multiply and shift, int32.

    The range may have up to 32768 values; each has a probability within 2^-16 of 1/range.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.random import bounded
        >>> bounded(np.array([0, 32767, 32768, 65535], np.uint16), 5, 8).tolist()
        [5, 6, 7, 8]
    """
    count = high - low + 1
    if not 1 <= count <= 1 << 15:
        raise ValueError(f"{count} values do not fit a 16-bit multiply-shift")
    wide = outputs.to(sys.modules["torch"].int32) if is_tensor(outputs) else outputs.astype(np.int32)
    return ((wide * count) >> 16) + low


def _outputs_by_rounds(key: Key, samples: Array, blocks: int, view: int, epoch: int, purpose: int) -> Array:
    """The outputs of ``samples`` by the integer code below: int64 with the bits of uint64."""
    lowest = cast(samples, "int64")[:, None] * blocks + arange(blocks, samples, "int64")
    full = [lowest * 0 + _signed(word) for word in (view, epoch, purpose)]
    return stack(philox([lowest, *full], key), -1).reshape(len(samples), blocks * UINT64_PER_BLOCK)


def philox(counter: list[Array], key: Key) -> list[Array]:
    """Ten rounds over four int64 arrays or tensors of counter words (bits of uint64); returns four more.

    Example:
        >>> import numpy as np
        >>> from fusionbench.synth.random import philox
        >>> block = philox([np.zeros(1, np.int64)] * 4, key=(0, 0))
        >>> hex(int(block[0][0]) & 0xFFFFFFFFFFFFFFFF)  # the known answer of Random123
        '0x16554d9eca36314c'
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = _multiply(c0, _M0)
        high1, low1 = _multiply(c2, _M1)
        c0, c1, c2, c3 = high1 ^ c1 ^ _signed(k0), low1, high0 ^ c3 ^ _signed(k1), low0
        k0, k1 = (k0 + _W0) & _U64, (k1 + _W1) & _U64
    return [c0, c1, c2, c3]


def _multiply(a: Array, b: int) -> tuple[Array, Array]:
    """High and low 64 bits of the product of unsigned 64-bit numbers held in int64, by 32-bit halves."""
    mask = 0xFFFFFFFF
    a_high, a_low = (a >> 32) & mask, a & mask
    b_high, b_low = b >> 32, b & mask
    # every sum below stays under 2^64, so the wrapped int64 has the right bits
    middle = a_high * b_low + ((a_low * b_low >> 32) & mask)
    cross = a_low * b_high + (middle & mask)
    high = a_high * b_high + ((middle >> 32) & mask) + ((cross >> 32) & mask)
    return high, a * _signed(b)


def _signed(word: int) -> int:
    """The int64 with the bits of an unsigned 64-bit word."""
    word &= _U64
    return word - (1 << 64) if word >> 63 else word
