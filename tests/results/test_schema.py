"""Results: what is saved is what is read, and nothing else is."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError
from fusionbench.metrics.undefined import NotAvailable
from fusionbench.results import image_tables, schema
from tests.helpers.results import made_up


def test_save_and_load(tmp_path: Path) -> None:
    folder = made_up(tmp_path, seed=3)
    loaded = schema.load(folder)
    assert schema.load(folder / "result.json") == loaded
    assert folder == loaded.folder(tmp_path) == tmp_path / "fusiondigits" / "cvae" / loaded.id[:12]
    table = schema.load_per_image(folder)
    assert table["id"].dtype == np.int64 and len(table["id"]) == 40
    score = loaded.scores["mse_min@2"]
    assert score.mean is not None and math.fsum(table["mse_min@2"]) / 40 == score.mean
    assert schema.load_folder(tmp_path) == [loaded]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_per_image_values_read_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    root = tmp_path_factory.mktemp("bits")
    made = schema.load(made_up(root, ids=range(len(values))))
    folder = schema.save(made, root, {"id": [f"image {i}" for i in range(len(values))], "m": values})
    table = schema.load_per_image(folder)
    assert table["m"].tobytes() == np.array(values, np.float64).tobytes() and table["id"].dtype.kind == "U"


def test_identity_alone_decides_the_id(tmp_path: Path) -> None:
    made = schema.load(made_up(tmp_path))
    same = msgspec.structs.replace(made, provenance={"host": "elsewhere"}, cost={}, scores={})
    assert schema.identity_id(same.identity) == made.id
    other = msgspec.structs.replace(made.identity, protocol=schema.ProtocolIdentity(name="masked", version="1", seed=1))
    assert schema.identity_id(other) != made.id


def change(path: Path, edit: Any) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(extra=1), "unknown field `extra`"),
        (lambda c: c.update(schema="fusionbench.result/2"), r"is a fusionbench\.result/2, .*reads it"),
        (lambda c: c.update(status="certified"), "Invalid enum value 'certified'"),
        (lambda c: c["identity"]["dataset"].update(n=41), "id does not match its identity"),
        (lambda c: c["identity"].update(metrics="all"), "Expected `object`"),
        (lambda c: c["scores"]["mse_min@0"].update(mean="0.1"), "Expected `float \\| null`"),
        (lambda c: c["identity"]["model"].update(name="x" * 300), "length <= 200"),
        (lambda c: c.pop("scores"), "missing required field `scores`"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(tmp_path: Path, edit: Any, message: str) -> None:
    path = made_up(tmp_path) / "result.json"
    change(path, edit)
    with pytest.raises(DataError, match=message) as caught:
        schema.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"id": NaN}', b"\xff\xfe", b'{"schema": 1e999}', b" " * (schema.MAX_BYTES + 1)],
    ids=["empty", "cut", "deep", "nan", "bytes", "1e999", "large"],
)
def test_hostile_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        schema.load(path)
    assert "\n" not in str(caught.value)


def test_a_packed_table_reads_as_the_plain_one_and_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_up(tmp_path)
    plain = schema.load_per_image(folder)
    text = (folder / "images.csv").read_bytes()
    (folder / "images.csv").unlink()
    packed = folder / "images.csv.gz"
    packed.write_bytes(gzip.compress(text))
    table = schema.load_per_image(folder)
    assert table.keys() == plain.keys() and all(table[name].tobytes() == plain[name].tobytes() for name in plain)
    for content, message in [
        (gzip.compress(text + b"1"), "sha256 differs"),
        (gzip.compress(text)[:-9], "not one gzip stream"),
        (gzip.compress(text) + b"more", "not one gzip stream"),
        (b"PK" + text, "damaged gzip file"),
    ]:
        packed.write_bytes(content)
        with pytest.raises(DataError, match=message):
            schema.load_per_image(folder)
    packed.write_bytes(gzip.compress(bytes(1 << 16)))  # small, and large once unpacked
    monkeypatch.setattr(image_tables, "MAX_TABLE", 1 << 15)
    with pytest.raises(DataError, match="not one gzip stream of at most"):
        schema.load_per_image(folder)


def test_per_image_table_is_checked(tmp_path: Path) -> None:
    folder = made_up(tmp_path)
    original = (folder / "images.csv").read_bytes()
    (folder / "images.csv").write_bytes(original.replace(b"0", b"1", 1))
    with pytest.raises(DataError, match="sha256 differs"):
        schema.load_per_image(folder)
    (folder / "images.csv").write_bytes(original)
    change(folder / "result.json", lambda c: c["per_image"].update(file="../images.csv"))
    with pytest.raises(DataError, match="outside the result's folder"):
        schema.load_per_image(folder)


def test_summaries() -> None:
    values = np.array([1.0, 2.0, 4.0])
    score = schema.summarise(values, "lower", "nats", draws=5)
    assert score.mean == 7 / 3 and score.sd == pytest.approx(np.std(values, ddof=1)) and score.extra == {"draws": 5}
    # Student's interval would be wider; with the hundreds of images of a test split they agree
    assert score.ci95 == pytest.approx((7 / 3 - 1.7285, 7 / 3 + 1.7285), abs=1e-4)
    one = schema.summarise(np.array([2.0]), "lower", "1")
    assert (one.mean, one.sd, one.ci95) == (2.0, None, None)
    assert schema.summarise(np.array([]), "lower", "1").reason == "no images"
    bad = schema.summarise(np.array([1.0, np.inf, np.nan]), "lower", "1")
    assert bad.mean is None and bad.reason == "2 of 3 images have no finite value"
    assert b"NaN" not in msgspec.json.encode(bad)


def test_a_mean_does_not_depend_on_the_order() -> None:
    values = np.random.default_rng(0).lognormal(sigma=8, size=2000)
    means = {schema.summarise(np.random.default_rng(i).permutation(values), "lower", "1").mean for i in range(5)}
    assert len(means) == 1


def test_means_leave_out_only_what_no_method_has_a_value_for() -> None:
    values = np.array([1.0, np.nan, 4.0, np.nan, 10.0])
    small, copy = NotAvailable("too small", "size"), NotAvailable("copied", "fused")
    fair = schema.summarise(values, "higher", "1", {small: ["b", "d"]}, dims=3)
    assert (fair.mean, fair.n, fair.reason) == (5.0, 3, "") and fair.sd == pytest.approx(np.std([1, 4, 10], ddof=1))
    assert fair.extra["images"] == 5 and fair.extra["dims"] == 3 and schema.left_out(fair) == [small]
    mixed = schema.summarise(values, "higher", "1", {small: ["b"], copy: ["d"]})
    assert (mixed.mean, mixed.n) == (
        None,
        3,
    ) and mixed.reason == "2 of 5 images have no value (b: too small; d: copied)"
    assert schema.left_out(mixed) == [small], "what the method itself brought about is not left out"
    unexplained = schema.summarise(values, "higher", "1", {small: ["b"]})
    assert unexplained.mean is None, "an image that nobody has a reason for is not left out"
    assert schema.summarise(values[1:2], "higher", "1", {small: ["b"]}).mean is None
    many = schema.summarise(
        np.append(values[:1], np.full(20, np.nan)), "higher", "1", {small: list("abcdefghijklmnopqrst")}
    )
    (found,) = schema.not_available(many)
    assert found["n"] == 20 and found["images"] == list("abcdefgh") and (many.mean, many.n) == (1.0, 1)
    assert msgspec.json.decode(msgspec.json.encode(many), type=schema.Score) == many


@pytest.mark.parametrize("listed", [None, 3, ["x"], [{"reason": 1, "cause": "size", "n": 1, "images": []}], [{"n": 2}]])
def test_what_a_file_says_of_missing_values_is_checked(listed: object) -> None:
    score = schema.Score(mean=1.0, n=1, better="higher", unit="1", extra={"not_available": listed})
    assert schema.not_available(score) == [] and schema.left_out(score) == []


def test_a_score_under_its_former_and_its_present_name_is_refused(tmp_path: Path) -> None:
    path = made_up(tmp_path) / "result.json"
    written = msgspec.json.decode(path.read_bytes())
    written["scores"]["mse_min@avg4"] = written["scores"]["mse_min@mean"]
    path.write_bytes(msgspec.json.encode(written))
    with pytest.raises(DataError, match=r"result\.json: has both mse_min@avg4 and mse_min@mean"):
        schema.load(path)


def test_sizes_have_limits_to_the_byte(tmp_path: Path) -> None:
    """4 MiB for a result: one that is as large is read, one byte more is not."""
    path = made_up(tmp_path) / "result.json"
    content = path.read_bytes()
    path.write_bytes(content.ljust(4 * 1024 * 1024))
    assert schema.load(path).title == "CVAE"
    path.write_bytes(content.ljust(4 * 1024 * 1024 + 1))
    with pytest.raises(DataError):
        schema.load(path)


@pytest.mark.parametrize("rows", ["1,2.0\n2\n", "1,2.0\n2,3.0,4.0\n"])
def test_a_table_with_rows_of_other_lengths_is_refused(tmp_path: Path, rows: str) -> None:
    """Its digest is the one that the result names, so that nothing else would notice."""
    folder = schema.save(schema.load(made_up(tmp_path)), tmp_path, {"id": [1, 2], "m": [2.0, 3.0]})
    content = ("id,m\n" + rows).encode()
    (folder / "images.csv").write_bytes(content)
    path = folder / "result.json"
    named = {"file": "images.csv", "sha256": hashlib.sha256(content).hexdigest(), "columns": ["id", "m"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"per_image": named}))
    with pytest.raises(DataError, match=r"images\.csv: "):
        schema.load_per_image(folder)


def test_no_record_of_a_result_takes_an_unknown_field(tmp_path: Path) -> None:
    """Every object of the file is a record but those that say that they are free: each refuses a field it has not."""
    path = made_up(tmp_path) / "result.json"
    result = schema.load(path)
    result.origin = schema.Origin(kind="submission", submission=schema.SubmittedRow(id="a" * 64))
    result.declared = {}
    path.write_bytes(schema.result_bytes(result))
    whole = json.loads(path.read_text())
    free = {"params", "cost", "provenance", "extra", "metrics", "scores", "declared", "pictures"}

    def records(value: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        if not isinstance(value, dict):
            return []
        inner = [found for key, below in value.items() for found in records(below, (*place, key))]
        return inner if place and place[-1] in free else [place, *inner]

    found = records(whole)
    assert {("identity", "protocol"), ("per_image",), ("origin", "submission"), ("identity", "training")} <= {*found}
    for place in found:
        content = json.loads(json.dumps(whole))
        below = content
        for key in place:
            below = below[key]
        below["nobody_knows"] = 1
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match="unknown field `nobody_knows`"):
            schema.load(path)


def test_what_a_submission_says_is_there_or_empty(tmp_path: Path) -> None:
    plain = schema.load(made_up(tmp_path))
    assert plain.submission is None and plain.statements == {}
    row = schema.SubmittedRow(id="a" * 64)
    plain.origin = schema.Origin(kind="submission", submission=row)
    plain.declared = {"training": {"steps": 5}}
    assert plain.submission is row and plain.statements == {"training": {"steps": 5}}


def test_a_training_is_whole_unless_it_says_that_it_was_cut() -> None:
    assert not schema.TrainingIdentity().cut and schema.TrainingIdentity(cut=True).cut


def test_a_file_declares_the_lowest_revision_that_has_its_fields(tmp_path: Path) -> None:
    """So that an older release reads every file in which nothing is newer than itself."""
    whole = schema.FullRange(images=25, full=25, sources=0)
    row = schema.Origin(kind="submission", submission=schema.SubmittedRow(id="a" * 64))
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "fusionbench.result/1"),
        ({"origin": schema.Origin(kind="submission", submitter="Ada")}, "fusionbench.result/1"),
        ({"origin": row}, "fusionbench.result/1.1"),
        ({"declared": {}}, "fusionbench.result/1.1"),
        ({"full_range": whole}, "fusionbench.result/1.2"),
        ({"full_range": whole, "origin": row}, "fusionbench.result/1.2"),
    ]
    plain = schema.load(made_up(tmp_path))
    for fields, revision in cases:
        content = json.loads(schema.result_bytes(msgspec.structs.replace(plain, **fields)))
        assert content["schema"] == revision, fields


def test_a_result_is_written_as_json_that_people_can_compare(tmp_path: Path) -> None:
    """Keys in order, one space for each level, a line end: as Python's own writer has it, so that diffs are small."""
    content = (made_up(tmp_path) / "result.json").read_bytes()
    assert content.decode() == json.dumps(json.loads(content), indent=1, sort_keys=True) + "\n"


def test_a_result_is_cut_where_its_training_was(tmp_path: Path) -> None:
    for family, cut in (("model", False), ("model", True), ("trivial", False)):
        result = schema.load(made_up(tmp_path, family=family, cut=cut))
        assert result.cut is cut and (result.identity.training is None) == (family == "trivial")


@pytest.mark.parametrize(
    ("name", "params", "full", "stretched"),
    [
        ("pairs", {}, None, False),
        ("pairs", {"stretch": True}, None, True),
        ("pairs", {"stretch": False}, None, False),
        ("masked", {"stretch": True}, None, False),
        ("pairs", {}, 25, True),
        ("pairs", {}, 0, False),
        ("pairs", {"stretch": True}, 0, True),
    ],
)
def test_a_result_is_stretched_by_its_protocol_or_its_images(
    name: str, params: dict[str, Any], full: int | None, stretched: bool, tmp_path: Path
) -> None:
    made = schema.load(made_up(tmp_path, protocol={"name": name, "params": params}))
    if full is not None:
        made.full_range = schema.FullRange(images=25, full=full, sources=0)
    assert schema.load(schema.save(made, tmp_path)).stretched is stretched
