"""Oracle: scikit-learn's own arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fusionbench.core.errors import UsageError
from fusionbench.sources import digits
from fusionbench.sources.digits import Digits


def test_levels_become_grey_levels() -> None:
    images = Digits().read("all", np.arange(1797))
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.uint8
    assert np.abs(images[..., 0] - load_digits().images * 255 / 16).max() <= 0.5
    assert images.min() == 0 and images.max() == 255


def test_a_release_that_keeps_the_table_elsewhere_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Digits()
    fingerprint = plain.fingerprint("all")
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: None)
    asked = Digits()
    assert asked.fingerprint("all") == fingerprint
    assert np.array_equal(asked.labels("all"), plain.labels("all"))  # type: ignore[arg-type]


def test_labels_are_those_of_the_images() -> None:
    labels = Digits().labels("all")
    assert labels is not None and np.array_equal(labels, load_digits().target)


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(UsageError, match="'train'"):
        Digits().length("train")
