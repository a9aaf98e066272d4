"""Every registered network with published weights says what they are."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import file_sha256
from fusionbench.models import MODELS, create_model
from fusionbench.models.pairs.ifcnn import IFCNN
from fusionbench.models.published_weights import (
    PUBLISHED_SPEC,
    PublishedWeights,
    networks_with_published_weights,
    published_weights_of,
    released_state_sha256,
)
from fusionbench.submissions.pickled_weights import read_weights

NETWORKS = [name for name in MODELS.names() if hasattr(MODELS.get(name), "PUBLISHED")]


def test_a_record_names_a_digest_for_every_file() -> None:
    record = PublishedWeights(("weights",), ("0" * 64,), "https://example.org", "none stated")
    assert record.params == {} and record.checked == "" and record.ours_alone == () and record.state_sha256 == ""


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_says_what_its_authors_published(name: str) -> None:
    record = MODELS.get(name).PUBLISHED  # type: ignore[attr-defined]
    assert len(record.files) == len(record.sha256) == len(set(record.files)) > 0
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in record.sha256)
    assert record.homepage.startswith("https://") and record.licence and record.checked
    assert re.fullmatch(r"[0-9a-f]{64}", record.state_sha256), "weights import prints it; see docs/published-weights.md"
    own = create_model(name, PUBLISHED_SPEC, **record.params).state_dict()
    assert all(any(tensor.startswith(prefix) for tensor in own) for prefix in record.ours_alone)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_release_becomes_the_stated_tensors(name: str) -> None:
    """Needs the authors' files, which nobody may ship."""
    root = Path(os.environ.get("FUSIONBENCH_DATA", "")) / "weights"
    if "FUSIONBENCH_DATA" not in os.environ or not root.is_dir():
        pytest.skip("set FUSIONBENCH_DATA to a folder with weights/")
    cls: Any = MODELS.get(name)
    held = {file_sha256(path): path for path in root.rglob("*") if path.is_file()}
    if not held.keys() >= {*cls.PUBLISHED.sha256}:
        pytest.skip(f"the files of {name} are not in {root}")
    state = cls.from_published([read_weights(held[digest]) for digest in cls.PUBLISHED.sha256])
    assert released_state_sha256(state, cls.PUBLISHED.ours_alone) == cls.PUBLISHED.state_sha256


def test_every_part_of_a_tensor_counts() -> None:
    state = {"a.w": torch.arange(6.0).reshape(2, 3), "critic.b": torch.ones(2), "a.n": torch.tensor(3)}
    total = hashlib.sha256()
    total.update(b'["a.n","int64",[]]' + struct.pack("<q", 3))
    total.update(b'["a.w","float32",[2,3]]' + struct.pack("<6f", *range(6)))
    assert released_state_sha256(state, ("critic.",)) == total.hexdigest()
    changed = [
        {**state, "a.w": state["a.w"].reshape(3, 2)},
        {**state, "a.w": state["a.w"].double()},
        {**state, "a.w": torch.where(state["a.w"] == 4, 4.0000005, state["a.w"])},
        {"a.v": state["a.w"], "a.n": state["a.n"]},
        {"a.w": state["a.w"]},
    ]
    digests = {released_state_sha256(one, ("critic.",)) for one in (state, *changed)}
    assert len(digests) == len(changed) + 1
    assert released_state_sha256({**state, "critic.b": torch.zeros(2)}, ("critic.",)) == total.hexdigest()
    wide = torch.rand(2, 3, 4, 4)
    lasting = wide.to(memory_format=torch.channels_last)
    assert released_state_sha256({"a": wide}) == released_state_sha256({"a": lasting})


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
    rows = ["| network | files, in order | licence | `state_sha256` | compared |", "|---|---|---|---|---|"]
    for name, record in networks_with_published_weights().items():
        files = ", ".join(record.files)
        state = record.state_sha256[:12]
        rows.append(f"| [`{name}`]({record.homepage}) | {files} | {record.licence} | `{state}` | {record.checked} |")
    text = page.read_text(encoding="utf-8")
    begin, end = (
        text.index("writes this table -->\n") + len("writes this table -->\n"),
        text.index("<!-- end of networks"),
    )
    if regen:
        page.write_text(text[:begin] + "\n" + "\n".join(rows) + "\n\n" + text[end:], encoding="utf-8")
        return
    assert text[begin:end].strip().splitlines() == rows, "pytest --regen tests/models/test_published_weights.py"
