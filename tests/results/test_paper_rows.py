"""Rows by the names that people give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import UsageError
from fusionbench.results.comparison import read_entries
from fusionbench.results.paper_rows import choose_rows, printed_rows
from fusionbench.results.schema import identity_id, load, load_per_image, save
from tests.helpers.results import saved


def test_names_titles_and_ids(tmp_path: Path) -> None:
    values = {"en": [1.0, 2.0]}
    for name, seed in (("GTF", 0), ("net", 0)):
        saved(tmp_path, name, values, dataset={"name": "tno"}, seed=seed)
    saved(tmp_path, "net", values, dataset={"name": "tno"}, family="trivial")
    entries = read_entries(tmp_path)
    printed = printed_rows(entries, [])
    assert {"DAE-Fuse", "U2Fusion"} <= {result.title for result in printed}
    titles = [row.title for row in choose_rows(["dae-fuse=Theirs", "gtf = Ours"], entries, printed, usual=())]
    assert titles == ["Theirs", "Ours"]
    both = choose_rows(["net", "GTF"], entries, printed, usual=())
    assert [row.entry.title for row in both if row.entry] == ["net", "net", "GTF"]
    saved(tmp_path, "gtf", values, dataset={"name": "tno"})
    more = read_entries(tmp_path)
    assert [row.title for row in choose_rows(["GTF"], more, [], usual=())] == ["GTF"], "exactly this title"
    assert [row.title for row in choose_rows(["Gtf"], more, [], usual=())] == ["GTF", "gtf"]
    net = next(entry for entry in entries if entry.trivial)
    (row,) = choose_rows([f"{net.results[0].id[:8]}=Mine"], entries, printed, usual=())
    assert row.title == "Mine" and row.entry is net
    every = choose_rows([], entries, printed, usual=[2, 0, 1])
    assert [row.entry for row in every[:3]] == [entries[2], entries[0], entries[1]]
    assert all(row.printed is not None for row in every[3:])


def test_a_variant_by_its_title_and_all_of_them_by_the_common_one(tmp_path: Path) -> None:
    for w in (0.2, 0.7):
        folder = saved(tmp_path / "made", "mix", {"en": [1.0, 2.0]}, family="trivial")
        result, table = load(folder), load_per_image(folder)
        result.identity.model.params = {"w": w}
        result.id = identity_id(result.identity)
        save(result, tmp_path / "results", table)
    entries = read_entries(tmp_path / "results")
    assert {row.title for row in choose_rows(["mix"], entries, [], usual=())} == {"mix w=0.2", "mix w=0.7"}
    (row,) = choose_rows(["mix w=0.7"], entries, [], usual=())
    assert row.title == "mix w=0.7"
    (row,) = choose_rows(["mix w=0.7 = Ours"], entries, [], usual=())
    assert row.entry is not None and (row.title, row.entry.title) == ("Ours", "mix w=0.7")


def test_what_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "net", {"en": [1.0, 2.0]}, dataset={"name": "tno"})
    saved(tmp_path, "net", {"en": [1.0, 2.0]}, dataset={"name": "tno"}, family="trivial")
    entries = read_entries(tmp_path)
    printed = printed_rows(entries, [])
    for names, words in (
        (["nett"], "Did you mean 'net'"),
        (["net=Ours"], "2 rows are called 'net'"),
        (["net", "net"], "named before"),
        (["net="], "NAME=TITLE"),
        (["=x"], "NAME=TITLE"),
        (["dae-fuse"], "no measured row"),
    ):
        with pytest.raises(UsageError, match=words):
            choose_rows(names, entries, printed, usual=())
