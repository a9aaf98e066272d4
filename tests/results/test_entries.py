"""Rows that can be compared: same images, protocol, versions and directions in all results, not in the first alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError, NotComparableError
from fusionbench.results.comparison import compare_entries
from fusionbench.results.entries import Entry, read_entries, require_comparable, table_protocol
from fusionbench.results.schema import (
    Origin,
    ProtocolIdentity,
    SubmittedRow,
    identity_id,
    load,
    load_per_image,
    save,
)
from fusionbench.results.tables import as_tables
from tests.helpers.results import saved
from tests.results.test_row_keys import submitted


def test_versions_are_compared_where_the_first_result_lacks_the_metric(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"ssim": [1.0, 2.0]})
    saved(tmp_path, "b", {"vif": [1.0, 2.0]})
    third = load(saved(tmp_path / "draft", "c", {"vif": [1.0, 2.0]}))
    assert len(read_entries([tmp_path])) == 3
    third.identity.metrics["vif"] = "2"
    third.id = identity_id(third.identity)
    folder = save(third, tmp_path / "new", load_per_image(tmp_path / "draft" / "pairs-demo" / "c" / load_id(tmp_path)))
    with pytest.raises(NotComparableError) as caught:
        read_entries([tmp_path / "pairs-demo", folder])
    line = str(caught.value)
    assert "versions 2 and 1 of vif" in line and str(folder / "result.json") in line
    assert str(tmp_path / "pairs-demo" / "b") in line and "\n" not in line


def load_id(root: Path) -> str:
    (folder,) = (root / "draft" / "pairs-demo" / "c").iterdir()
    return folder.name


@pytest.mark.parametrize("numbers", [(784, 1024), (1024, 784)])
def test_bits_per_value_of_another_number_of_values(tmp_path: Path, numbers: tuple[int, int]) -> None:
    """Bits over 784 and over 1,024 values are different units; what is no such score may differ in its extras."""
    folders = [saved(tmp_path, name, {"nll_bpd@0": [1.0, 2.0], "mse@0": [1.0, 2.0]}, better="lower") for name in "ab"]
    for key in ("mse@0", "nll_bpd@0"):
        assert len(read_entries([tmp_path])) == 2
        for folder, dims in zip(folders, numbers, strict=True):
            made = load(folder)
            made.scores[key].extra["dims"] = dims
            save(made, tmp_path, load_per_image(folder))
    first, second = numbers
    line = rf"/b/.* and .*/a/.* differ in the number of values that nll_bpd@0 is over: {second} and {first};"
    with pytest.raises(NotComparableError, match=line):
        read_entries([tmp_path])


def test_a_row_is_as_clipped_as_its_worst_run(tmp_path: Path) -> None:
    for seed, shares in enumerate([[0.01, 0.03], [0.0, 0.1], None]):
        folder = saved(tmp_path, "clipping", {"vif": [1.0, 2.0]}, seed=seed)
        if shares is not None:
            save(load(folder), tmp_path, {**load_per_image(folder), "clipped": np.array(shares)})
    saved(tmp_path, "unknown", {"vif": [1.0, 2.0]})
    found = {entry.title: entry.clipped for entry in read_entries([tmp_path])}
    assert found == {"clipping": pytest.approx(0.05), "unknown": None}


def test_directions_and_units_that_differ(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"ssim": [1.0, 2.0]})
    saved(tmp_path, "b", {"mine": [1.0, 2.0]}, better="higher")  # of a metric that nobody knows here
    folder = saved(tmp_path, "c", {"mine": [1.0, 2.0]}, better="lower")
    with pytest.raises(NotComparableError, match=r"c/.*and .*b/.*differ in the direction of mine: lower and higher"):
        read_entries([tmp_path])
    made = load(folder)
    made.scores["mine"].better, made.scores["mine"].unit = "higher", "bits"
    save(made, tmp_path, load_per_image(folder))
    with pytest.raises(NotComparableError, match=r"differ in the unit of mine: 'bits' and '1'"):
        read_entries([tmp_path])


@pytest.mark.parametrize("ids", [["x", "y", "x"], [3, 3, 4]])
def test_an_image_counts_once(tmp_path: Path, ids: list[int | str]) -> None:
    saved(tmp_path, "a", {"vif": [1.0, 2.0, 3.0]}, ids=ids)
    with pytest.raises(DataError, match=r"a/.*result\.json: images\.csv: an image stands in it twice"):
        read_entries([tmp_path])


def test_what_is_required_of_results_without_files(tmp_path: Path) -> None:
    require_comparable([])
    one = load(saved(tmp_path, "a", {"vif": [1.0]}))
    other = load(saved(tmp_path, "b", {"vif": [1.0]}, dataset={"version": "2.0.0"}))
    with pytest.raises(
        NotComparableError, match=r"^b \(\w+\) and a \(\w+\) differ in dataset version: '2.0.0' and '1.0.0'"
    ):
        require_comparable([one, other])


def test_a_row_says_whose_it_is_and_what_it_replaces(tmp_path: Path) -> None:
    old = submitted(tmp_path, "a", "Ada")
    new = submitted(tmp_path, "b", "Ada", seed=1, replaces="a" * 64)
    (entry,) = read_entries([old, new])
    assert (entry.submitter, entry.signature) == ("Ada", "Ada bbbbbbbb")
    assert entry.about == ["replaces submission aaaaaaaa, not ranked any more"]
    assert entry.provenance["submissions"] == ["b" * 64] and entry.provenance["replaces"] == ["a" * 64]
    assert entry.provenance["declared"] == [{}] and not entry.provenance["submitter_confirmed"]
    assert np.array_equal(entry.values["vif"], [[1.0, 2.0]])


def test_a_title_or_submitter_is_one_line_of_a_table(tmp_path: Path) -> None:
    """Else a title could carry a row of its own, with any rank."""
    folder = saved(tmp_path, "a", {"vif": [0.1, 0.2]})
    made = load(folder)
    made.title = "Mine\nBest   1  9.99*"
    made.origin = Origin(kind="submission", submitter="Eve\r\tX", submission=SubmittedRow(id="a" * 64))
    save(made, tmp_path, load_per_image(folder))
    (entry,) = read_entries([tmp_path])
    assert (entry.title, entry.signature) == ("Mine\nBest   1  9.99*", "Eve X aaaaaaaa")
    table = as_tables(compare_entries([entry], resamples=100), 200)[0]
    assert table.row_count == 1 and "\n" not in next(iter(table.columns[0].cells))


def test_an_entry_names_its_images_in_order(tmp_path: Path) -> None:
    saved(tmp_path, "a", {"vif": [1.0, 2.0, 3.0]}, ids=["z", "x", "y"])
    (entry,) = read_entries([tmp_path])
    assert entry.ids == ["x", "y", "z"] and entry.values["vif"].tolist() == [[2.0, 3.0, 1.0]]


def test_stretching_makes_another_group_of_one_table_and_not_another_table(tmp_path: Path) -> None:
    plain, stretched = load(saved(tmp_path, "a", {"vif": [1.0]})), load(saved(tmp_path, "b", {"vif": [1.0]}))
    stretched.identity.protocol.params["stretch"] = True
    require_comparable([plain, stretched])
    for one in (plain, stretched):
        one.identity.dataset.name = "pairs"  # anybody can call a data set so
    require_comparable([plain, stretched])
    stretched.identity.protocol.params["crop"] = 3
    with pytest.raises(NotComparableError, match="differ in protocol params"):
        require_comparable([plain, stretched])


@pytest.mark.parametrize("name", ["masked", "other", "z"])
def test_only_the_protocol_of_pairs_has_a_parameter_that_does_not_count(name: str) -> None:
    protocol = ProtocolIdentity(name=name, version="1", seed=0, params={"stretch": True})
    assert table_protocol(protocol).params == {"stretch": True}


def test_provenance_names_the_group_and_who_is_confirmed(tmp_path: Path) -> None:
    both = [submitted(tmp_path, name, "Ada", seed=i, group="two", confirmed=True) for i, name in enumerate("ab")]
    (entry,) = read_entries(both)
    assert entry.signature == "Ada aaaaaaaa", "of the first one: a row has one signature"
    assert entry.provenance["group"] == "two" and entry.provenance["submitter_confirmed"] is True
    assert entry.provenance["submissions"] == ["a" * 64, "b" * 64]
    (own,) = read_entries([saved(tmp_path / "own", "mine", {"vif": [1.0]})])
    assert own.provenance["group"] is None and own.provenance["submitter_confirmed"] is False


@pytest.mark.parametrize(("family", "trivial"), [("trivial", True), ("classical", False), ("model", False)])
def test_trivial_rows_are_known_by_their_family(family: Any, trivial: bool, tmp_path: Path) -> None:
    (entry,) = read_entries([saved(tmp_path, "a", {"vif": [1.0]}, family=family)])
    assert entry.trivial is trivial and entry.cut is False


def test_one_cut_run_makes_the_row_a_cut_one(tmp_path: Path) -> None:
    entry = Entry([load(saved(tmp_path, "a", {"vif": [1.0]}, seed=seed, cut=seed == 1)) for seed in range(3)])
    assert entry.cut is True and Entry(entry.results[:1]).cut is False


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_run_without_a_score_is_not_left_out_of_its_row(seed: int, tmp_path: Path) -> None:
    """Else the run that is worst at a metric could leave it out, and the row be ranked by the others."""
    for run in range(3):
        made = load(saved(tmp_path / "drafts", "mine", {"vif": [1.0, 2.0], "ssim": [3.0, 4.0]}, seed=run))
        table = {"id": [0, 1], "vif": [1.0, 2.0], "ssim": [3.0, 4.0]}
        if run == seed:
            del made.scores["vif"], table["vif"]
        save(made, tmp_path / "runs", table)
    (entry,) = read_entries([tmp_path / "runs"])
    assert entry.lacking == {"vif": "1 of its 3 runs have no such score"}
    assert {key: values.shape for key, values in entry.values.items()} == {"ssim": (3, 2)}
    found = compare_entries([entry], resamples=10)
    assert found.scores["vif"] == [None] and found.not_ranked["vif"] == {0: entry.lacking["vif"]}
    assert (found.better["vif"], found.unit["vif"]) == ("higher", "1")


def test_numbers_of_papers_take_no_part_beside_measured_ones(tmp_path: Path) -> None:
    saved(tmp_path, "measured", {"vif": [1.0, 2.0]})
    paper = load(saved(tmp_path / "drafts", "printed", {"vif": [1.0, 2.0]}))
    paper.status, paper.per_image, paper.origin = "published", None, Origin(kind="paper")
    folder = save(paper, tmp_path / "papers")
    assert [entry.title for entry in read_entries([tmp_path / "papers", tmp_path / "pairs-demo"])] == ["measured"]
    with pytest.raises(NotComparableError, match=rf"printed \({paper.id[:12]}\) has no per-image values"):
        read_entries([folder])
