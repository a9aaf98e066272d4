"""Oracle: the Random123 known answers in tests/golden/philox4x64.txt, and a Philox in Python's big integers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.synth.random import _signed, bounded, philox, stream_key, uint16_outputs, uint64_outputs

U64 = (1 << 64) - 1
GOLDEN = Path(__file__).parents[1] / "golden" / "philox4x64.txt"
word = st.integers(0, U64)


def known_answers() -> list[list[int]]:
    lines = [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
    return [[int(value, 16) for value in line.split()] for line in lines]


def philox_by_the_paper(counter: list[int], key: list[int]) -> list[int]:
    """Ten rounds in unbounded integers, after figure 2 and table 2 of the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [(p1 >> 64) ^ c[1] ^ k[0], p1 & U64, (p0 >> 64) ^ c[3] ^ k[1], p0 & U64]
        k = [(k[0] + 0x9E3779B97F4A7C15) & U64, (k[1] + 0xBB67AE8584CAA73B) & U64]
    return c


def on_tensors(counter: list[int], key: list[int]) -> list[int]:
    out = philox([torch.tensor([_signed(value)]) for value in counter], (key[0], key[1]))
    return [int(value) & U64 for value in out]


@pytest.mark.parametrize("row", known_answers(), ids=lambda row: f"{row[0]:x}")
def test_known_answers(row: list[int]) -> None:
    counter, key, expected = row[:4], row[4:6], row[6:]
    assert on_tensors(counter, key) == expected
    assert philox_by_the_paper(counter, key) == expected
    sample, view, epoch, purpose = counter
    if sample < 1 << 63:  # as an index
        drawn = uint64_outputs((key[0], key[1]), np.array([sample]), 1, view=view, epoch=epoch, purpose=purpose)
        assert drawn[0].tolist() == expected


@given(st.lists(word, min_size=4, max_size=4), st.lists(word, min_size=2, max_size=2))
@settings(max_examples=50, deadline=None)
def test_tensors_agree_with_big_integers(counter: list[int], key: list[int]) -> None:
    assert on_tensors(counter, key) == philox_by_the_paper(counter, key)


@given(
    st.lists(st.integers(0, 1 << 40), max_size=12),
    st.integers(1, 5),
    st.tuples(word, word),
    st.integers(0, 63),
    st.integers(0, 1 << 40),
)
@settings(max_examples=50, deadline=None)
def test_numpy_tensors_and_single_samples_agree(
    samples: list[int], blocks: int, key: tuple[int, int], view: int, epoch: int
) -> None:
    index = np.array(samples, np.int64)
    whole = uint64_outputs(key, index, blocks, view=view, epoch=epoch, purpose=3)
    assert whole.shape == (len(samples), 4 * blocks)
    tensor = uint64_outputs(key, torch.from_numpy(index), blocks, view=view, epoch=epoch, purpose=3)
    assert np.array_equal(tensor.numpy().view(np.uint64), whole)
    assert np.array_equal(uint16_outputs(tensor).numpy(), uint16_outputs(whole))
    for i in range(len(samples)):
        assert np.array_equal(
            uint64_outputs(key, index[i : i + 1], blocks, view=view, epoch=epoch, purpose=3)[0], whole[i]
        )


def test_scattered_and_consecutive_samples_agree() -> None:
    scattered = np.random.default_rng(0).permutation(500)
    for blocks in (1, 8, 9):
        run = uint64_outputs((5, 6), np.arange(500), blocks, view=2, epoch=9)
        assert np.array_equal(uint64_outputs((5, 6), scattered, blocks, view=2, epoch=9), run[scattered])


def test_a_run_of_samples_is_one_draw_and_a_sample_its_slice() -> None:
    key = (1, 2)
    run = uint64_outputs(key, np.arange(1000), 3)
    raw = np.random.Philox(key=np.array(key, np.uint64), counter=(1 << 256) - 1).random_raw(1000 * 12)
    assert np.array_equal(run.reshape(-1), raw)


def test_streams_are_apart() -> None:
    keys = [
        stream_key("noise/1", "fusionmnist", "train", 0),
        stream_key("ellipse/1", "fusionmnist", "train", 0),
        stream_key("noise/1", "fusiondigits", "train", 0),
        stream_key("noise/1", "fusionmnist", "test", 0),
        stream_key("noise/1", "fusionmnist", "train", 1),
    ]
    assert len(set(keys)) == len(keys)
    index = np.arange(50)
    draws = [
        uint64_outputs(keys[0], index, 1, view=v, epoch=e, purpose=p) for v in (0, 1) for e in (0, 1) for p in (0, 1)
    ]
    flat = np.concatenate(draws).reshape(-1)
    assert len(np.unique(flat)) == flat.size
    # pinned: sha256 of {"algorithm":"noise/1","dataset":"fusionmnist","seed":0,"split":"train"}
    assert [f"{k:016x}" for k in keys[0]] == ["a91a74f53923289e", "8b85440015a9b0cc"]


@given(st.integers(-300, 300), st.integers(0, 32767))
def test_bounded_integers_cover_their_range(low: int, extra: int) -> None:
    outputs = np.array([0, 1, 32768, 65535], np.uint16)
    drawn = bounded(outputs, low, low + extra)
    assert drawn[0] == low and drawn[-1] == low + extra
    assert np.array_equal(drawn, bounded(torch.tensor(outputs.astype(np.int32)), low, low + extra).numpy())


def test_bounded_integers_are_even() -> None:
    drawn = bounded(np.arange(65536, dtype=np.uint16), 1, 29)
    counts = np.bincount(drawn)[1:]
    assert len(counts) == 29 and counts.max() - counts.min() <= 1


def test_bounded_refuses_a_range_that_it_cannot_cover() -> None:
    with pytest.raises(ValueError, match="16-bit"):
        bounded(np.zeros(1, np.uint16), 0, 40000)


@pytest.mark.parametrize("name", ["fusiondigits", "größe", "\u6570\u5b57"])
def test_a_key_is_the_digest_of_its_identity_in_utf8(name: str) -> None:
    """Keys in the order of the alphabet, no spaces, letters as they are: written out here."""
    text = '{"algorithm":"ellipse/1","dataset":"' + name + '","seed":7,"split":"train"}'
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    words = [int.from_bytes(bytes.fromhex(digest[at : at + 16]), "little") for at in (0, 16)]
    assert list(stream_key("ellipse/1", name, "train", 7)) == words
