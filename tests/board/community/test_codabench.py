"""Bundles for Codabench: valid by our schema of its documentation, complete, without data that may not be passed on."""

from __future__ import annotations

import copy
import datetime
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fusionbench.board.community.codabench import BundleRequest, as_yaml, column_key, competition, export_bundle
from fusionbench.board.community.settings import Limits
from fusionbench.board.community.start import TEMPLATES
from fusionbench.core.errors import UsageError
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.suites import load_suite

START = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def request(suite: str, out: Path, **changes: Any) -> BundleRequest:
    return BundleRequest(suite, out, START, **({"limits": Limits(per_day=3, total=30)} | changes))


def problems(content: Any) -> list[str]:
    """What a validator that is not ours finds by the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((TEMPLATES / "competition.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(content)]


def parsed(path: Path) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def named_files(made: dict[str, Any]) -> list[str]:
    """Every file and folder that ``competition.yaml`` names."""
    tasks = [task[key] for task in made["tasks"] for key in ("scoring_program", "reference_data")]
    return [made["image"], made["terms"], *(page["file"] for page in made["pages"]), *tasks]


@pytest.mark.parametrize(
    "suite", ["pairs-demo", "ivif-tno", "mif-mri-ct", "quickstart", "fusionmnist", "fusioncoil-cpu"]
)
def test_bundles_of_suites_are_valid_and_complete(suite: str, tmp_path: Path) -> None:
    bundle = export_bundle(request(suite, tmp_path / "bundle"))
    made = parsed(bundle.path / "competition.yaml")
    assert problems(made) == []
    for name in named_files(made):
        assert (bundle.path / name).exists(), name
    for page in [made["terms"], *(page["file"] for page in made["pages"])]:
        text = (bundle.path / page).read_text()
        assert text.strip() and "{{" not in text and "{%" not in text
    assert (made["phases"][0]["max_submissions_per_day"], made["phases"][0]["max_submissions"]) == (3, 30)
    assert made["phases"][0]["start"] == "2026-01-02 00:00:00"
    program = bundle.path / "scoring_program"
    assert parsed(program / "metadata.yaml") == {"command": "python3 /app/program/score.py /app/input/ /app/output/"}
    assert load_suite(program / "suite.toml").name == suite
    header = (bundle.path / "logo.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">LL", header[16:]) == (256, 256)


def test_columns_are_the_scores_of_the_suite() -> None:
    columns = competition(load_suite("quickstart"), request("quickstart", Path("x")))["leaderboards"][0]["columns"]
    keys = ["mse_min_mean", "mse_min_0", "mse_min_1", "mse_min_2", "mse_min_3"]
    assert [column["key"] for column in columns] == keys and {column["sorting"] for column in columns} == {"asc"}
    assert [column["index"] for column in columns] == list(range(5))
    columns = competition(load_suite("pairs-demo"), request("pairs-demo", Path("x")))["leaderboards"][0]["columns"]
    assert [column["key"] for column in columns] == ["en", "sd", "sf", "mi", "scd", "vif", "qabf", "ssim", "cc"]
    assert column_key("mse_min@mean") == "mse_min_mean"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("version",), 1),
        (("title",), None),
        (("image",), "../logo.png"),
        (("terms",), "/etc/passwd"),
        (("docker_image",), "a b"),
        (("pages",), []),
        (("phases", 0, "start"), "tomorrow"),
        (("phases", 0, "tasks"), []),
        (("phases", 0, "max_submissions"), 0),
        (("tasks", 0, "scoring_program"), None),
        (("leaderboards", 0, "columns", 0, "key"), "mse_min@mean"),
        (("leaderboards", 0, "columns", 0, "sorting"), "ascending"),
        (("leaderboards", 0, "submission_rule"), "Best"),
        (("surprise",), 1),
    ],
)
def test_the_schema_finds_what_is_wrong(where: tuple[Any, ...], value: object) -> None:
    made = competition(load_suite("pairs-demo"), request("pairs-demo", Path("x")))
    assert problems(made) == []
    broken = copy.deepcopy(made)
    place: Any = broken
    for key in where[:-1]:
        place = place[key]
    if value is None:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    assert problems(broken)


@pytest.mark.parametrize(
    "value",
    [
        {"a": "yes", "b": [1, 2.5, True, None], "c": {"d": []}, "e": [{"f": 1, "g": "x"}, {"f": 2}]},
        {"a": "# no: comment", "b": 'quote " and \\ and \n end', "c": "Ünïcode 😀 \u2028 \x85 \x7f"},
        {"a": "12:30", "b": "0x10", "c": "~", "d": "- x", "e": ""},
    ],
)
def test_yaml_is_read_back_by_another_program(value: Any) -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(as_yaml(value)) == value


def test_data_are_included_only_where_the_licence_allows_it(tmp_path: Path) -> None:
    assert export_bundle(request("pairs-demo", tmp_path / "a")).reference == "embedded"
    digits = export_bundle(request("quickstart", tmp_path / "b"))
    assert digits.reference == "included"
    assert open_dataset(tmp_path / "b" / "reference_data" / "fusiondigits").name == "fusiondigits"
    missing = export_bundle(request("ivif-roadscene", tmp_path / "c"))
    assert missing.reference == "missing"
    assert [path.name for path in (tmp_path / "c" / "reference_data").iterdir()] == ["README.md"]
    assert "The data are not here" in (tmp_path / "c" / "reference_data" / "README.md").read_text()


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    export_bundle(request("quickstart", tmp_path / "a"))
    digits = tmp_path / "a" / "reference_data" / "fusiondigits"
    with pytest.raises(UsageError, match="is fusiondigits"):
        export_bundle(request("fusionmnist", tmp_path / "b", data=digits))
    assert not (tmp_path / "b").exists()


def test_the_same_zip_every_time(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        export_bundle(request("pairs-demo", tmp_path / name))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert "competition.yaml" in archive.namelist() and archive.testzip() is None


def test_places_and_names_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for changes in ({"out": tmp_path / "full"}, {"image": "x; rm"}, {"suite": "no-such"}):
        with pytest.raises(UsageError):
            export_bundle(request(**({"suite": "pairs-demo", "out": tmp_path / "new"} | changes)))
    assert not (tmp_path / "new").exists()
