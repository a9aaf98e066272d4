"""The protocol ``pairs/1``: what it opens, its options, and what it tells of training pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import PairsProtocol, evaluate_pairs, score_fused_images
from fusionbench.evaluation.protocols import PROTOCOLS, protocol_for
from fusionbench.evaluation.protocols.pairs import PROTOCOL
from fusionbench.evaluation.suites import Suite, SuiteModel, load_suite
from fusionbench.models import create_model
from tests.helpers import pair_folders
from tests.sources import folders


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return pair_folders.write(tmp_path / "set")


def suite_of(source: str, split: str, **options: Any) -> Suite:
    return msgspec.structs.replace(
        load_suite("pairs-demo"), dataset=source, split=split, protocol=PROTOCOL.options(**options)
    )


def test_it_claims_sources_and_data_sets_of_pairs_and_folders_of_files(files: Path, tmp_path: Path) -> None:
    assert PROTOCOLS.get("pairs/1") is PROTOCOL
    assert PROTOCOL.claims("tno", None) and PROTOCOL.claims("whatever", files)
    assert not PROTOCOL.claims("fusiondigits", None) and not PROTOCOL.claims(str(tmp_path / "nothing"), None)
    stored = build_dataset(pair_folders.recipe(), files, tmp_path / "data")
    assert PROTOCOL.claims(str(stored), None) and protocol_for(str(stored)) is PROTOCOL


def test_options_reach_the_data(files: Path) -> None:
    pairs = PROTOCOL.open("pairs", PROTOCOL.options(limit=2, range_a="0:200"), source_dir=files)
    assert len(pairs) == 2 and pairs.ranges == Ranges.parse("0:200")
    plain = PROTOCOL.open(str(files), PROTOCOL.options())
    assert len(plain) == 5 and not np.array_equal(plain.pair(0)[0], pairs.pair(0)[0])
    assert np.array_equal(plain.pair(0)[1], pairs.pair(0)[1])
    spec = PROTOCOL.spec(plain)
    assert (spec.channels, spec.height, spec.width, spec.views) == (1, *pair_folders.SIZES[0], 2)


def test_identity_has_stretch_and_the_ranges(files: Path) -> None:
    options = PROTOCOL.options(stretch=True, range_b="0:200")
    identity = PROTOCOL.identity(options, PROTOCOL.open(str(files), options))
    assert identity.params["stretch"] is True and identity.params["dialects"] == ["standard/1", "cddfuse/1"]
    assert identity.params["range_b"] == "0:200" and "range_a" not in identity.params
    plain = PROTOCOL.identity(PROTOCOL.options(), PROTOCOL.open(str(files), PROTOCOL.options()))
    assert plain == PairsProtocol().identity()


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="wide"):
        PROTOCOL.options(range_a="wide")


def test_scores_are_those_of_the_function(files: Path) -> None:
    options = PROTOCOL.options(limit=2, stretch=True)
    pairs = PROTOCOL.open(str(files), options)
    model = create_model("laplacian-pyramid", PROTOCOL.spec(pairs))
    result = PROTOCOL.evaluate(model, pairs, options, out=None, device="cpu", title="mine")
    by_hand = evaluate_pairs(model, pairs, protocol=PairsProtocol(stretch=True), out=None, device="cpu")
    assert result.id == by_hand.id and result.title == "mine"
    assert {k: s.mean for k, s in result.scores.items()} == {k: s.mean for k, s in by_hand.scores.items()}


def test_a_data_set_below_the_root_is_what_a_suite_scores_without_files(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = pair_folders.TEXT.replace("small-pairs", "pairs").replace("splits.train", "splits.all")
    build_dataset(pair_folders.recipe(text), files, tmp_path / "elsewhere")
    suite = suite_of("pairs", "all", limit=3)
    stored = PROTOCOL.open_suite(suite, data_root=tmp_path / "elsewhere")
    given = PROTOCOL.open_suite(suite, data_root=tmp_path / "nothing", source_dir=files)
    assert stored.identity == given.identity and len(stored) == 3
    with pytest.raises(UsageError, match="--source-dir DIR"):
        PROTOCOL.open_suite(suite, data_root=tmp_path / "nothing")


def test_training_on_what_is_scored_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patches = build_dataset(load_recipe("pairs-demo-patches"), None, tmp_path)
    suite = msgspec.structs.replace(suite_of("pairs-demo", "all"), name="demo", train="pairs-demo-patches")
    PROTOCOL.before_training(suite, open_pairs("pairs-demo"), patches)
    assert "3 of the 3 pairs that demo scores are in pairs-demo-patches" in capsys.readouterr().err
    others = open_pairs("pairs", root=pair_folders.write(tmp_path / "set"))
    PROTOCOL.before_training(suite, others, patches)
    assert capsys.readouterr().err == "", "pairs of another source are other pairs"


def test_a_row_is_made_with_its_own_parameters(files: Path) -> None:
    pairs = PROTOCOL.open(str(files), PROTOCOL.options())
    row = SuiteModel(name="laplacian-pyramid", params={"levels": 2})
    four = PROTOCOL.create(SuiteModel(name="laplacian-pyramid"), pairs)
    options = PROTOCOL.options(limit=1)
    first, second = (
        PROTOCOL.evaluate(model, PROTOCOL.open(str(files), options), options, out=None, device="cpu")
        for model in (PROTOCOL.create(row, pairs), four)
    )
    assert first.scores["sf"].mean != second.scores["sf"].mean


def test_a_folder_of_fused_images_is_scored_as_the_function_does(files: Path, tmp_path: Path) -> None:
    suite = suite_of("pairs", "all", limit=2)
    pairs = PROTOCOL.open_images(suite, files / "a", files / "b")
    assert pairs.stems == ["scene 0", "scene 1"]
    for stem, pair in zip(pairs.stems, pairs, strict=True):
        folders.save(tmp_path / "fused" / f"{stem}.png", pair.mean(axis=0).astype(np.uint8))
    words: dict[str, Any] = {"name": "x", "title": "x", "out": None}
    result = PROTOCOL.score_images(tmp_path / "fused", pairs, suite.protocol, **words)
    assert result.status == "scored" and result.id == score_fused_images(tmp_path / "fused", pairs, **words).id
