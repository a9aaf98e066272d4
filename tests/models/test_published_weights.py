"""Every registered network with published weights says what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.models import MODELS
from fusionbench.models.pairs.ifcnn import IFCNN
from fusionbench.models.published_weights import (
    PublishedWeights,
    networks_with_published_weights,
    published_weights_of,
)

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


def test_networks_are_found_by_their_record() -> None:
    assert set(networks_with_published_weights()) == set(NETWORKS) >= {"ifcnn", "seafusion"}
    assert published_weights_of("ifcnn") is IFCNN.PUBLISHED
    with pytest.raises(UsageError, match="no published weights of average are known"):
        published_weights_of("average")
    with pytest.raises(UsageError, match="Did you mean 'ifcnn'"):
        published_weights_of("ifcn")


def test_the_page_lists_every_network(regen: bool) -> None:
    page = Path(__file__).parents[2] / "docs" / "published-weights.md"
    rows = ["| network | files, in order | licence | compared |", "|---|---|---|---|"]
    for name, record in networks_with_published_weights().items():
        files = ", ".join(record.files)
        rows.append(f"| [`{name}`]({record.homepage}) | {files} | {record.licence} | {record.checked} |")
    text = page.read_text(encoding="utf-8")
    begin, end = (
        text.index("writes this table -->\n") + len("writes this table -->\n"),
        text.index("<!-- end of networks"),
    )
    if regen:
        page.write_text(text[:begin] + "\n" + "\n".join(rows) + "\n\n" + text[end:], encoding="utf-8")
        return
    assert text[begin:end].strip().splitlines() == rows, "pytest --regen tests/models/test_published_weights.py"
