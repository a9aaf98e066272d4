"""Hostile records of published numbers: what is no plain number of a known metric is refused in a clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fusionbench.board import build_board
from fusionbench.core.errors import NotComparable, Rejected
from fusionbench.results import comparison, gate, published, schema
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.submit import accept_submission, check_submission, pack_submission
from tests.helpers.results import made_up

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def record() -> dict[str, Any]:
    made: dict[str, Any] = msgspec.toml.decode(published.template())
    made["rows"][0]["title"] = "Somebody's FusionVAE"
    return made


def written(path: Path, record: dict[str, Any]) -> Path:
    path.write_text(json.dumps(record))
    return path


def refused(path: Path, message: str) -> None:
    report = check_submission(path)
    told = [str(problem) for problem in report.problems]
    assert not report.ok and any(message in line for line in told), told
    assert all("\n" not in line for line in told)
    with pytest.raises(Rejected):
        accept_submission(path, Scoring(path.parent / "results"))
    assert not (path.parent / "results").exists()


def pairs(record: dict[str, Any], dialect: str | None = "cddfuse", **scores: str) -> dict[str, Any]:
    units = {"vif": "1", "mi": "nats", "en": "bits", "qabf": "1"}
    metrics = {name: {"unit": units.get(name, "1"), "better": "higher", "table": "Table I"} for name in scores}
    rows = [{"title": "Theirs", "model": "theirs", "scores": scores}]
    made = {**record, "dataset": "tno", "track": "pairs", "metrics": metrics, "rows": rows}
    return made if dialect is None else {**made, "dialect": dialect}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda r: r.update(status="verified"), "unknown field `status`"),
        (lambda r: r["rows"][0].update(status="verified"), "unknown field `status`"),
        (lambda r: r.update(id="0" * 64), "unknown field `id`"),
        (lambda r: r["rows"][0].update(title=SCRIPT), "$.rows[0].title"),
        (lambda r: r["rows"][0].update(model="../../etc"), "$.rows[0].model"),
        (lambda r: r["rows"][0].update(title="two\nlines"), "$.rows[0].title"),
        (lambda r: r["paper"].update(title=SCRIPT), "$.paper.title"),
        (lambda r: r["paper"].update(url="javascript:alert(1)"), "$.paper.url"),
        (lambda r: r["paper"].update(url="http://example.org"), "$.paper.url"),
        (lambda r: r.update(entered_by=SCRIPT), "$.entered_by"),
        (lambda r: r.update(caveats=[SCRIPT]), "$.caveats[0]"),
        (lambda r: r["metrics"]["mse_min"].update(table=SCRIPT), "$.metrics[...].table"),
        (lambda r: r.update(images=-1), "$.images"),
        (lambda r: r.update(dataset="../../etc"), "$.dataset"),
        (lambda r: r.update(dataset="imagenet"), "'imagenet' is no masked set that is known here"),
        (lambda r: r.update(dataset="msrs"), "'msrs' is no masked set that is known here"),
        (lambda r: r.update(dataset="msrs-patches"), "'msrs-patches' is no masked set that is known here"),
        (lambda r: r.update(dialect="cddfuse"), "masked sets have no dialects"),
        (lambda r: r["metrics"]["mse_min"].update(unit="dB"), "mse_min in 'dB', here it is in 1"),
        (lambda r: r["metrics"]["mse_min"].update(better="higher"), "turn the sign with a negative `scale`"),
        (lambda r: r["metrics"]["nll_bpd"].update(scale="-0.01"), "turn the sign with a negative `scale`"),
        (lambda r: r["metrics"]["nll_bpd"].update(scale="0.0"), "scaled by 0"),
        (lambda r: r["metrics"].pop("mse_min"), "is not described under `metrics`"),
        (lambda r: r["metrics"]["nll_bpd"].pop("runs_table"), "mean and sd without a `runs_table`"),
        (lambda r: r["rows"][0]["scores"].update({"mse_min@4": "1.0"}), "no column '4'"),
        (lambda r: r["rows"][0]["scores"].update({"mse_min": "1.0"}), "no column ''"),
        (lambda r: r["rows"][0]["scores"].update({"mse_min@1": "400"}), "4.00 is outside 0 to 1"),
        (lambda r: r["rows"][0]["scores"].update({"mse_min@1": 3.14}), "$.rows[0].scores[...]"),
        (lambda r: r["rows"].append(r["rows"][0]), "two rows have the title"),
        (lambda r: r["rows"][0].update(scores={}), "$.rows[0].scores"),
        (lambda r: r.update(rows=[]), "$.rows"),
        (lambda r: r.update(rows=r["rows"] * 201), "$.rows"),
    ],
)
def test_published_records_that_are_not_right(
    record: dict[str, Any], tmp_path: Path, edit: Callable[[dict[str, Any]], Any], message: str
) -> None:
    edit(record)
    refused(written(tmp_path / "a.json", record), message)


@pytest.mark.parametrize("name", ["likeness", "vif", "nll_bpd_bpd", "mse_min_bpd"])
def test_unknown_metrics(record: dict[str, Any], tmp_path: Path, name: str) -> None:
    record["metrics"][name] = {"unit": "1", "better": "lower", "table": "Table 1"}
    record["rows"][0]["scores"][f"{name}@0"] = "0.5"
    refused(written(tmp_path / "a.json", record), f"{name!r} is no metric of masked sets")


@pytest.mark.parametrize(
    ("dialect", "scores", "message"),
    [
        (None, {"vif": "0.5"}, "the numbers of pairs need a dialect"),
        ("mine", {"vif": "0.5"}, "'vif' is no metric of the dialect 'mine'"),
        ("cddfuse", {"qcb": "0.5"}, "'qcb' is no metric of the dialect 'cddfuse'"),
        ("cddfuse", {"nll": "0.5"}, "'nll' is no metric of the dialect"),
        ("linfeng", {"mi": "2.0"}, "mi in 'nats', here it is in bits"),
        ("cddfuse", {"vif@cddfuse": "0.5"}, "at `key` in `$.metrics`"),
        ("cddfuse", {"qabf": "7.5"}, "outside 0 to 1"),
    ],
)
def test_published_pairs_that_are_not_right(
    record: dict[str, Any], tmp_path: Path, dialect: str | None, scores: dict[str, str], message: str
) -> None:
    refused(written(tmp_path / "a.json", pairs(record, dialect, **scores)), message)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e999", "-1e999", "[" * 20_000, '"\\ud800"', "1" * 20_000, '"NaN"']
)
def test_published_json_abuse(record: dict[str, Any], tmp_path: Path, value: str) -> None:
    text = json.dumps(record)
    (tmp_path / "a.json").write_text(text.replace('"3.14"', value))
    assert (tmp_path / "a.json").read_text() != text
    refused(tmp_path / "a.json", "not a fusionbench.published/1 record")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff\xfe{}", b"[" * 200_000, b"{" + b" " * 300_000, b"null"])
def test_no_record_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    refused(tmp_path / "a.json", "a.json: ")


def test_sets_of_pairs(record: dict[str, Any], tmp_path: Path) -> None:
    for name, known in (("msrs", True), ("harvard-mri-ct", True), ("imagenet", False), ("fusionmnist", False)):
        made = {**pairs(record, "cddfuse", vif="0.5"), "dataset": name}
        assert check_submission(written(tmp_path / "a.json", made)).ok is known, name


def test_sign_and_scale(record: dict[str, Any], tmp_path: Path) -> None:
    """A log-likelihood printed without the minus sign is turned, with its unit."""
    record["metrics"]["nll_bpd"].update(better="higher", scale="-0.01")
    record["rows"][0]["scores"] = {"nll_bpd@0": "-15.90"}
    record["metrics"]["nll_bpd"].pop("runs_table")
    folder = accept_submission(written(tmp_path / "a.json", record), Scoring(tmp_path / "results"))
    score = schema.load(folder).scores["nll_bpd@0"]
    assert (score.mean, score.better, score.extra["places"]) == (0.159, "lower", 4)


def test_numbers_are_entered_once(record: dict[str, Any], tmp_path: Path) -> None:
    accept_submission(written(tmp_path / "a.json", record), Scoring(tmp_path / "results"))
    record["rows"][0]["scores"]["mse_min@0"] = "0.01"
    with pytest.raises(Rejected, match="entered before with other numbers; remove"):
        accept_submission(written(tmp_path / "b.json", record), Scoring(tmp_path / "results"))
    record["rows"][0]["title"] = "FusionVAE"
    with pytest.raises(Rejected, match="comes with fusionbench"):
        accept_submission(written(tmp_path / "b.json", record), Scoring(tmp_path / "results"))


def test_published_rows_take_no_part_in_comparisons(record: dict[str, Any], tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name in ("cvae", "fcn"):
        made_up(results, name, dataset={"name": "fusionmnist"})
    folder = accept_submission(written(tmp_path / "a.json", record), Scoring(results))
    assert len(comparison.compare_results([results], resamples=50).entries) == 2
    assert len(gate.baseline_of([results]).entries) == 2
    with pytest.raises(NotComparable):
        comparison.compare_results([results, folder / "result.json"], resamples=50)


def test_definitions_that_only_papers_used_get_a_column(record: dict[str, Any], tmp_path: Path) -> None:
    """A number of another definition stands under its own head, never in the ranked column."""
    results = tmp_path / "results"
    folder = accept_submission(written(tmp_path / "a.json", pairs(record, "unnamed", vif="1.25")), Scoring(results))
    assert schema.load(folder).scores["vif@unnamed"].mean == 1.25
    _pair_results(results)
    page = build_board(results, tmp_path / "site", resamples=50).read_text()
    assert "unnamed evaluator" in page and "1.25" in page


def _pair_results(root: Path) -> None:
    import numpy as np

    for name in ("one", "two"):
        identity = schema.Identity(
            model=schema.ModelIdentity(name=name, version="1"),
            dataset=schema.DatasetIdentity(name="tno", version="1", split="test", id="d", n=5, ids_sha256="e"),
            protocol=schema.ProtocolIdentity(name="pairs", version="1", seed=0),
            metrics={"vif": "1"},
        )
        values = np.arange(5) / 10 + len(name) + (name == "two")
        score = schema.summarise(values, "higher", "1")
        made = schema.Result(
            id=schema.identity_id(identity), status="verified", identity=identity, scores={"vif": score}
        )
        schema.save(made, root, {"id": list(range(5)), "vif": values})


def test_the_former_name_of_the_mean_is_read(record: dict[str, Any], tmp_path: Path) -> None:
    scores = record["rows"][0]["scores"]
    scores["nll_bpd@avg4"] = "15.00"
    accept_submission(written(tmp_path / "a.json", record), Scoring(tmp_path / "results"))
    (result,) = schema.load_folder(tmp_path / "results")
    assert result.scores["nll_bpd@mean"].mean == 0.15 and "nll_bpd@avg4" not in result.scores
    scores["nll_bpd@mean"] = "15.01"
    (tmp_path / "two").mkdir()
    refused(written(tmp_path / "two" / "a.json", record), "has both nll_bpd@avg4 and nll_bpd@mean")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(entered_by="The maintainers"), "the entered_by claims to be 'maintainers'"),
        (lambda record: record["rows"][0].update(title="CVAE (o f f i c i a l)"), "the title of row 1 claims to be"),
        (lambda record: record["rows"][0].update(title="F\u0430st"), "mixes letters of two scripts"),
        (lambda record: record.update(entered_by="..."), "has no letter"),
    ],
)
def test_names_that_claim_what_nobody_said(
    record: dict[str, Any], tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    change(record)
    refused(written(tmp_path / "a.json", record), message)
    with pytest.raises(Rejected, match="cannot be submitted"):
        pack_submission(PackRequest(tmp_path / "a.json", tmp_path / "out.json"))
    assert not (tmp_path / "out.json").exists()
