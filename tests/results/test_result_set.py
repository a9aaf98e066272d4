"""Results of one command: read once each, in order, with their tables on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.board import build_board
from fusionbench.core import io
from fusionbench.core.errors import DataError, UsageError
from fusionbench.results import image_tables, schema
from fusionbench.results.comparison import compare_results
from fusionbench.results.gate import baseline_of, gate, write_baseline
from fusionbench.results.published import accept_record, pack, template
from fusionbench.results.result_set import ResultSet, read_results
from tests.cli.runner import run
from tests.helpers.results import made_up


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each file of a result was opened, by its path; both readers of such files are watched."""
    found: Counter[str] = Counter()

    def counted(path: Any, limit: int, what: str) -> bytes:
        found[str(path)] += 1
        return io.read_bounded(path, limit, what)

    monkeypatch.setattr(schema, "read_bounded", counted)
    monkeypatch.setattr(image_tables, "read_bounded", counted)
    yield found


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two models with two seeds each and a trivial row, on two data sets, and a paper's numbers."""
    root = tmp_path / "results"
    for name in ("fusionmnist", "fusiondigits"):
        for seed in (0, 1):
            made_up(root, "fusionvae", seed=seed, dataset={"name": name})
            made_up(root, "cvae", seed=seed, shift=0.1, dataset={"name": name})
        made_up(root, "mean-image", family="trivial", shift=0.4, dataset={"name": name})
    (tmp_path / "numbers.toml").write_text(template().replace("FusionVAE", "FusionVAE again"))
    accept_record(pack(tmp_path / "numbers.toml", tmp_path / "numbers.json"), root)
    return root


def once(reads: Counter[str], folder: Path) -> None:
    """Every file below ``folder`` was read exactly once, and nothing else."""
    kinds = ("result.json", "images.csv")
    assert reads == Counter({str(path): 1 for kind in kinds for path in folder.glob(f"**/{kind}")})


def test_a_comparison_reads_each_file_once(
    results: Path, reads: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results / "fusionmnist"
    assert run(capsys, "compare", folder, "--resamples", 100)[0] == 0
    assert len(list(folder.glob("**/result.json"))) == 6, "five of ours and the paper's"
    once(reads, folder)


def test_a_board_reads_each_file_once(results: Path, reads: Counter[str], tmp_path: Path) -> None:
    build_board(results, tmp_path / "site", resamples=100)
    assert sum(reads.values()) == 11 + 10
    once(reads, results)


def test_a_gate_reads_each_file_once(
    results: Path, reads: Counter[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "base.json"
    assert run(capsys, "gate", results, "-b", path, "--update-baseline")[0] == 0
    once(reads, results)
    reads.clear()
    assert run(capsys, "gate", results, "-b", path)[0] == 0
    once(reads, results)
    reads.clear()
    assert run(capsys, "gate", results, "-b", path, "--update-baseline")[0] == 0, "judged, and then the new baseline"
    once(reads, results)


def test_what_was_read_serves_every_question(results: Path, reads: Counter[str], tmp_path: Path) -> None:
    found = read_results([results / "fusionmnist"])
    once(reads, results / "fusionmnist")
    assert read_results(found) is found
    path = tmp_path / "base.json"
    write_baseline(path, baseline_of(found))
    assert gate(found, path).ok and [entry.title for entry in compare_results(found, resamples=100).entries] == [
        "CVAE",
        "FUSIONVAE",
        "MEAN-IMAGE",
    ]
    once(reads, results / "fusionmnist")


def test_a_set_says_what_its_files_say(results: Path) -> None:
    folder = results / "fusionmnist"
    found = read_results(folder)
    assert [one.file for one in found] == sorted(folder.glob("**/result.json"))
    for one in found:
        assert one.result == schema.load(one.file) and one.folder == one.file.parent
        if one.result.per_image is not None:
            table = schema.load_per_image(one.file)
            assert list(one.per_image) == list(table)
            assert all(np.array_equal(one.per_image[key], table[key]) for key in table)
    (paper,) = (one for one in found if one.result.per_image is None)
    with pytest.raises(DataError, match="has no per-image values"):
        _ = paper.per_image


def test_papers_take_part_when_they_are_named(results: Path) -> None:
    folder = results / "fusionmnist"
    everything = read_results([folder])
    (paper,) = (one.file for one in everything if one.result.status == "published")
    assert len(everything) == 6 and len(everything.measured) == 5
    named = read_results([folder, paper])
    assert [one.file for one in named] == [one.file for one in everything], "every file once, in the order of paths"
    assert len(named.measured) == 6


def test_the_order_is_that_of_the_paths(results: Path) -> None:
    first, *others = sorted((results / "fusionmnist").glob("cvae/**/result.json"))
    assert [one.file for one in read_results([*others, first])] == [*others, first]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no result\.json in this folder"):
        read_results(tmp_path)
    with pytest.raises(DataError, match=r"x\.json: no such result"):
        read_results([tmp_path / "x.json"])
    assert len(read_results([])) == len(ResultSet()) == 0


@pytest.mark.parametrize("field", ["title", "submitter"])
def test_names_that_fill_a_page_are_set_aside(tmp_path: Path, field: str) -> None:
    made_up(tmp_path, "good")
    folder = made_up(tmp_path, "long")
    result = schema.load(folder)
    if field == "title":
        result.title = "x" * 200_000
    else:
        result.origin = schema.Origin(kind="submission", submitter="x" * 301)
    schema.save(result, tmp_path, schema.load_per_image(folder))
    found = read_results(tmp_path)
    assert [one.result.identity.model.name for one in found] == ["good"]
    assert f"its {field} has " in found.set_aside[0].reason and "300 are the most" in found.set_aside[0].reason
