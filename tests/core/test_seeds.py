"""Seeds and orders follow from words; oracle: hashlib and NumPy called by hand, and values of the first release."""

from __future__ import annotations

import hashlib

import numpy as np

from fusionbench.core.seeds import derive_seed, epoch_order
from fusionbench.training import runtime


def test_a_seed_is_the_start_of_a_digest() -> None:
    start = hashlib.sha256(b"7/order/2").digest()[:8]
    assert derive_seed(7, "order", 2) == int.from_bytes(start, "little") // 2 < 2**63
    assert runtime.derive_seed is derive_seed, "where the first release had it"


def test_an_order_is_the_one_that_trainings_had_before() -> None:
    expected = np.random.Generator(np.random.Philox(derive_seed(7, "order", 2))).permutation(11)
    assert np.array_equal(epoch_order(7, 2, 11), expected)
    assert epoch_order(0, 0, 6).tolist() == [1, 4, 3, 0, 5, 2]
    assert not np.array_equal(epoch_order(0, 1, 100), epoch_order(0, 2, 100))
