"""Every registered protocol keeps the contract. A new one adds its line to ``CASES``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.core.time_limit import UnfinishedError, time_limit
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation import pair_rows
from fusionbench.evaluation.protocols import PROTOCOLS, find_protocol, known_protocol, protocol_for
from fusionbench.evaluation.protocols.base import OPENS, BaseProtocol, others_options, read_options
from fusionbench.models import create_model
from fusionbench.results.comparison import matches
from fusionbench.results.schema import load, load_per_image
from tests.helpers import focus
from tests.helpers.stacks import TASKS, small_stacks

EVERYBODY = {
    "data",
    "device",
    "force",
    "limit",
    "name",
    "option",
    "out",
    "protocol",
    "runs",
    "split",
    "stop_after",
    "title",
}


@dataclass(frozen=True)
class Case:
    """What a protocol opens (None: FusionDigits, which is built), a model to score, other values of its options.

    ``needs``: the package that measuring needs, and which may not be installed here; ``few``: options with which a
    model is scored, where the defaults would take long.
    """

    data: str | None
    model: str
    options: dict[str, Any]
    claimed: bool = True
    needs: str | None = None
    few: dict[str, Any] = field(default_factory=dict)


TRAINED = {"detector": "resnet50", "steps": 1, "batch": 1, "rate": 0.1, "seeds": 2, "parts": (1, 0, 1), "colour": False}
CASES = {
    "detection/1": Case(
        "probe-demo", "average", TRAINED, claimed=False, needs="torchvision", few={"steps": 1, "batch": 1}
    ),
    "masked/1": Case(None, "max-view", {"draws": 3, "seed": 1, "paper_batch": 2}),
    "pairs/1": Case("pairs-demo", "average", {"stretch": True}),
    "multi-focus/1": Case("recipe:multi-focus", "average", {}),
    "multi-exposure/1": Case("recipe:multi-exposure", "average", {}),
    "soft-halves/1": Case("pairs-demo", "copy-a", {"blur": 1.0}, claimed=False),
    "pairs-robust/1": Case(
        "pairs-demo",
        "copy-a",
        {"families": ["shift/1"], "severities": [2], "metrics": ["qabf"], "seen": [], "seed": 1},
        claimed=False,
        few={"families": ["shift/1", "haze/1"], "severities": [3]},
    ),
    "probe/1": Case(
        "probe-demo",
        "average",
        {"classes": ("car",), "folds": 2, "colour": False} | {"unet": 5, "unet_seeds": 2},
        claimed=False,
    ),
}
NAMES = [*PROTOCOLS.names(), "soft-halves/1"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Small data sets of stacks, by the task."""
    return {task: str(small_stacks(task, tmp_path_factory.mktemp(task))) for task in TASKS}


@pytest.fixture(scope="module", autouse=True)
def third(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with focus.installed(tmp_path_factory.mktemp("package")):
        yield


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    found = str(request.param)
    assert found in CASES, f"say in CASES what the protocol {found!r} opens"
    return found


@pytest.fixture
def protocol(name: str) -> BaseProtocol:
    return PROTOCOLS.get(name)


@pytest.fixture
def data(name: str, digits: str, stacks: dict[str, str]) -> str:
    where = CASES[name].data or digits
    return stacks[where.removeprefix("recipe:")] if where.startswith("recipe:") else where


def test_it_says_what_it_is(name: str, protocol: BaseProtocol) -> None:
    assert isinstance(protocol, BaseProtocol) and protocol.key == name
    assert known_protocol(name) is protocol and find_protocol(protocol.name) is protocol
    for text in (protocol.title, protocol.about, protocol.lacks, protocol.no_images):
        assert text and text == text.strip() and "\n" not in text
    assert protocol.columns and len(set(protocol.columns)) == len(protocol.columns)


def test_its_options_are_its_own_and_have_defaults(protocol: BaseProtocol) -> None:
    assert not (protocol.own_options.keys() | protocol.takes) & EVERYBODY
    assert msgspec.NODEFAULT not in protocol.own_options.values()
    assert read_options({"name": protocol.key}, Path("x.toml")) == protocol.options()
    assert protocol.options(limit=3).limit == 3
    with pytest.raises(UsageError, match="Unknown option"):
        protocol.options(nothing=1)
    with pytest.raises(UsageError, match="limit"):
        protocol.options(limit=0)
    assert others_options(protocol, {*protocol.own_options, *protocol.takes, *EVERYBODY}) == {}


def test_every_option_changes_the_identity(name: str, protocol: BaseProtocol, data: str) -> None:
    options = CASES[name].options
    untried = protocol.own_options.keys() - options.keys() - {"range_a", "range_b"}  # these need image files
    assert not untried, f"say in CASES another value of {sorted(untried)}"
    found = [protocol.options(), *(protocol.options(**{key: value}) for key, value in options.items())]
    identities = [protocol.identity(one, protocol.open(data, one)) for one in found]
    assert len({msgspec.json.encode(one) for one in identities}) == len(found)
    assert {(one.name, one.version) for one in identities} == {(protocol.name, protocol.version)}


def test_data_that_nobody_gave_a_protocol_for(name: str, protocol: BaseProtocol, data: str) -> None:
    assert (protocol_for(data) is protocol) == CASES[name].claimed


def test_a_limit_scores_the_first_images_only(protocol: BaseProtocol, data: str) -> None:
    whole, few = (protocol.open(data, protocol.options(limit=limit)).identity for limit in (None, 2))
    assert few.n == 2 < whole.n and (few.name, few.split, few.id) == (whole.name, whole.split, whole.id)
    assert few.ids_sha256 != whole.ids_sha256


def test_a_model_is_scored_saved_and_found_again(name: str, protocol: BaseProtocol, data: str, tmp_path: Path) -> None:
    if (needs := CASES[name].needs) is not None:
        pytest.importorskip(needs)
    options = protocol.options(limit=2, **CASES[name].few)
    opened = protocol.open(data, options)
    model = create_model(CASES[name].model, protocol.spec(opened))
    result = protocol.evaluate(model, opened, options, out=tmp_path, device="cpu", title="mine")
    saved = load(result.folder(tmp_path))
    assert (saved.id, saved.title, saved.status, saved.family) == (result.id, "mine", "verified", model.family)
    assert saved.identity.dataset == opened.identity
    assert saved.identity.protocol == protocol.identity(options, opened)
    table = load_per_image(result.folder(tmp_path))
    for key, score in saved.scores.items():
        assert score.n == 2 and score.mean == pytest.approx(np.mean(table[key]), abs=1e-12)
    for pattern in protocol.columns:  # of scores that this model can have
        if pattern.partition("@")[0] in saved.identity.metrics:
            assert any(matches(key, pattern) for key in saved.scores), pattern
    again = protocol.evaluate(model, opened, options, out=tmp_path, device="cpu", title="another")
    assert again.title == "mine" and again.provenance == saved.provenance
    forced = protocol.evaluate(model, opened, options, out=tmp_path, device="cpu", title="another", force=True)
    assert forced.title == "another" and forced.id == saved.id
    assert {key: score.mean for key, score in forced.scores.items()} == {k: s.mean for k, s in saved.scores.items()}
    assert protocol.evaluate(model, opened, options, out=None, device="cpu", params={"x": 1}).id != saved.id


def test_a_call_that_is_stopped_goes_on_to_the_same_scores(
    name: str, protocol: BaseProtocol, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (needs := CASES[name].needs) is not None:
        pytest.importorskip(needs)
    monkeypatch.setattr(pair_rows, "AT_ONCE", 1)
    options = protocol.options(limit=2, **CASES[name].few)
    opened = protocol.open(data, options)
    model = create_model(CASES[name].model, protocol.spec(opened))
    whole = protocol.evaluate(model, opened, options, out=tmp_path / "whole", device="cpu")
    stops = 0
    while True:
        try:
            with time_limit(time.time() - 1):  # every call does what it can in no time
                found = protocol.evaluate(model, opened, options, out=tmp_path / "parts", device="cpu")
            break
        except UnfinishedError as error:
            assert "the same command goes on" in str(error)
            stops += 1
            assert stops < 50
    assert stops
    assert found.scores == whole.scores and found.full_range == whole.full_range
    tables = [load_per_image(one.folder(tmp_path / place)) for one, place in ((whole, "whole"), (found, "parts"))]
    assert list(tables[0]) == list(tables[1])
    for key in tables[0]:
        np.testing.assert_array_equal(tables[0][key], tables[1][key])
    files = [sorted(p.relative_to(tmp_path / at) for p in (tmp_path / at).rglob("*")) for at in ("whole", "parts")]
    assert files[0] == files[1]  # the images that are kept, and nothing unfinished


def test_data_that_are_not_there_are_an_error_in_one_line(protocol: BaseProtocol, tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError) as caught:
        protocol.open(str(tmp_path / "nothing"), protocol.options())
    assert "nothing" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FusionbenchError):
        protocol.open("pairs-demo", protocol.options(), split="no-such-split")


def test_it_opens_with_what_it_takes(protocol: BaseProtocol) -> None:
    import inspect

    evaluates = inspect.signature(protocol.evaluate).parameters
    assert protocol.takes - OPENS <= evaluates.keys()
    assert protocol.takes & OPENS <= inspect.signature(protocol.open).parameters.keys()
