"""Options of protocols in suites and on the command line: whose they are, and what is said of others."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.base import flag, others_options, read_options
from fusionbench.evaluation.suites import load_suite

MASKED, PAIRS = PROTOCOLS.get("masked/1"), PROTOCOLS.get("pairs/1")
SUITE = Path("own.toml")


def test_a_table_without_a_name_is_masked_views() -> None:
    options = read_options({"draws": 7}, SUITE)
    assert (options.name, options.draws, options.seed, options.paper_batch, options.limit) == (
        "masked/1",
        7,
        0,
        32,
        None,
    )
    assert pickle.loads(pickle.dumps(options)) == options  # workers get it


def test_options_that_the_first_release_ignored_are_ignored_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    options = read_options({"name": "pairs/1", "draws": 5, "paper_batch": 2, "stretch": True}, SUITE)
    assert options == PAIRS.options(stretch=True)
    assert "own.toml: `protocol.draws` changes nothing under pairs/1" in capsys.readouterr().err


def test_an_option_of_another_protocol_at_its_default_says_nothing() -> None:
    assert read_options({"stretch": False}, SUITE) == MASKED.options()
    with pytest.raises(DataError, match=r"own\.toml: not a suite: `protocol\.stretch` belongs to the protocol pairs/1"):
        read_options({"stretch": True}, SUITE)


@pytest.mark.parametrize("name", ["mask/1", "masked", "", 1, [], None])
def test_a_name_that_is_none_is_one_line(name: object) -> None:
    with pytest.raises(DataError, match=r"own\.toml: not a suite: `protocol\.name`: Unknown protocol") as caught:
        read_options({"name": name}, SUITE)
    assert "\n" not in str(caught.value)


def test_a_protocol_that_is_no_table_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'format = "fusionbench.suite/1"\nname = "own"\ntitle = "own"\ndataset = "fusiondigits"\nprotocol = "pairs/1"\n'
        '[[models]]\nname = "average"\n'
    )
    with pytest.raises(DataError, match=r"own\.toml: not a suite: `protocol` is a table"):
        load_suite(path)


def test_a_wrong_range_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"own\.toml.*no range of values"):
        read_options({"name": "pairs/1", "range_a": "14"}, SUITE)
    with pytest.raises(UsageError, match="no range of values"):
        PAIRS.options(range_a="14")


def test_whose_an_option_is() -> None:
    assert others_options(MASKED, {"strict", "stretch", "draws", "limit", "out"}) == {
        "strict": "pairs",
        "stretch": "pairs",
    }
    assert others_options(PAIRS, {"curves", "seed", "strict"}) == {"curves": "masked", "seed": "masked"}
    assert [flag(option) for option in ("draws", "range_a")] == ["--samples", "--range-a"]
