"""Every registered network with published weights says what they are."""

from __future__ import annotations

import re

import pytest
import torch

from fusionbench.core.errors import DataError
from fusionbench.models import MODELS
from fusionbench.models.published_weights import PublishedWeights

NETWORKS = [name for name in MODELS.names() if hasattr(MODELS.get(name), "PUBLISHED")]


def test_a_record_names_a_digest_for_every_file() -> None:
    record = PublishedWeights(("weights",), ("0" * 64,), "https://example.org", "none stated")
    assert record.params == {} and record.checked == ""


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_says_what_its_authors_published(name: str) -> None:
    record = MODELS.get(name).PUBLISHED  # type: ignore[attr-defined]
    assert len(record.files) == len(record.sha256) == len(set(record.files)) > 0
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in record.sha256)
    assert record.homepage.startswith("https://") and record.licence and record.checked


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_another_network_are_refused(name: str) -> None:
    cls = MODELS.get(name)
    for state in ({}, {"conv.weight": torch.zeros(2, 2)}):
        with pytest.raises(DataError, match="published"):
            cls.from_published([state for _ in cls.PUBLISHED.files])  # type: ignore[attr-defined]
