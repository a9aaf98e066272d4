"""What numbers of a paper may say, protocol by protocol: the rules by hand, and a protocol of another package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.results.published import accept_record, read_published
from fusionbench.results.tracks import TRACKS, MaskedTrack, PairsTrack, RuleAndRemedy, StackTrack, Track


def test_every_protocol_of_ours_has_a_track_and_every_track_a_protocol() -> None:
    ours = {"detection", "masked", "multi-exposure", "multi-focus", "pairs", "pairs-robust", "probe"}
    assert {name.partition("/")[0] for name in PROTOCOLS.names() if not PROTOCOLS.is_plugin(name)} == ours
    assert {name for name in TRACKS.names() if not TRACKS.is_plugin(name)} == ours
    assert not MaskedTrack.needs & PairsTrack.needs, "a metric is of one track"


@pytest.mark.parametrize(
    ("dataset", "columns"),
    [
        ("fusionmnist", ("0", "1", "2", "3", "mean", "avg_paper")),
        ("fusioncoil", ("0", "1", "2", "3", "mean", "avg_paper")),
        ("msrs", None),
        ("msrs-patches", None),
        ("imagenet", None),
    ],
)
def test_columns_of_masked_sets(dataset: str, columns: Sequence[str] | None) -> None:
    assert MaskedTrack().columns(dataset) == columns


@pytest.mark.parametrize(
    ("dataset", "known"),
    [("tno", True), ("harvard-mri-ct", True), ("-mri", False), ("imagenet", False), ("fusionmnist", False)],
)
def test_sets_of_pairs(dataset: str, known: bool) -> None:
    assert PairsTrack().columns(dataset) == (("",) if known else None)


def test_messages_name_what_can_be_written() -> None:
    rule, fix = MaskedTrack().other_column("mse_min", "4", ("0", "1", "2", "mean", "avg_paper"))
    assert (rule, fix) == ("no column '4'", "write mse_min@0 to mse_min@2, mse_min@mean or mse_min@avg_paper")
    assert PairsTrack().other_column("vif", "1", ("",))[1].startswith("write 'vif'")
    assert MaskedTrack().dialect_problems(None) == [] and len(MaskedTrack().dialect_problems("cddfuse")) == 1
    assert PairsTrack().dialect_problems("cddfuse") == [] and "unnamed" in PairsTrack().dialect_problems(None)[0][1]


def test_stacks_are_those_of_their_sources_and_recipes() -> None:
    assert {name for name in TRACKS.names() if TRACKS.get(name) is StackTrack} == {"multi-focus", "multi-exposure"}
    known = {name: StackTrack().columns(name) for name in ("lytro", "mefb", "multi-focus-demo", "tno", "fusionmnist")}
    assert known == {"lytro": ("",), "mefb": ("",), "multi-focus-demo": ("",), "tno": None, "fusionmnist": None}
    assert StackTrack().dialect_problems(None) and not StackTrack().dialect_problems("cddfuse")


class SoftHalves(Track):
    """As another package would write it: two columns, metrics against a target."""

    title = "halved sets"
    needs = frozenset({"target"})

    def columns(self, dataset: str) -> Sequence[str] | None:
        return ("near", "far") if dataset == "lytro" else None

    def unknown(self, dataset: str) -> RuleAndRemedy:
        return f"{dataset!r} is not known", "write lytro"

    def other_column(self, metric: str, column: str, columns: Sequence[str]) -> RuleAndRemedy:
        return f"no column {column!r}", f"write {' or '.join(columns)}"


def record(track: str, dataset: str, key: str) -> str:
    metric = {"unit": "dB", "better": "higher", "table": "Table 1"}
    paper = {"title": "A paper", "authors": "A. One", "venue": "Journal 2024", "url": "https://example.org/paper"}
    made = {"schema": "fusionbench.published/1", "entered_by": "A. Reader", "dataset": dataset, "track": track}
    rows = [{"title": "Theirs", "model": "theirs", "scores": {key: "31.5"}}]
    return json.dumps(made | {"images": 20, "paper": paper, "metrics": {"psnr_target": metric}, "rows": rows})


def test_a_track_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text(record("soft-halves", "lytro", "psnr_target@near"))
    (problem,) = read_published(path)[1]
    assert "there is no track 'soft-halves'" in str(problem) and "masked, multi-exposure" in str(problem)
    monkeypatch.setitem(TRACKS._objects, "soft-halves", SoftHalves)
    assert read_published(path)[1] == []
    (folder,) = accept_record(path, tmp_path / "results")
    assert '"psnr_target@near"' in (folder / "result.json").read_text()
    for dataset, key, said in (
        ("tno", "psnr_target@near", "'tno' is not known"),
        ("lytro", "psnr_target@1", "no column '1'"),
        ("lytro", "psnr_target", "write near or far"),
    ):
        path.write_text(record("soft-halves", dataset, key))
        (problem,) = read_published(path)[1]
        assert said in str(problem)
    path.write_text(record("soft-halves", "lytro", "psnr_target@near").replace("psnr_target", "vif"))
    assert "no metric of halved sets" in str(read_published(path)[1][0])
