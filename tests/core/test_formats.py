"""Versions and revisions of file formats: what is read, what is left out with a note, what is refused and how."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from fusionbench import __version__
from fusionbench.core.errors import DataError
from fusionbench.core.formats import declared_format, read_json, require_format
from fusionbench.data.recipes import load_recipe
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.evaluation.suites import load_suite
from fusionbench.results.gate import read_baseline
from fusionbench.results.published import read_published
from fusionbench.results.schema import load
from fusionbench.training.run import read_run

GOLDEN = Path(__file__).parents[1] / "golden" / "formats"


class Part(msgspec.Struct, forbid_unknown_fields=True):
    value: float = 0.0


class Core(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str = ""


class Thing(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    schema: Literal["fusionbench.thing/1"]
    core: Core = Core()
    parts: dict[str, Part] = {}
    listed: list[Part] = []
    maybe: Part | None = None
    free: dict[str, Any] = {}


def read(value: Any) -> Thing:
    return read_json(json.dumps(value).encode(), Thing, "a.json", (Core,))


def test_declarations() -> None:
    assert declared_format(b'{"x": 1, "schema": "fusionbench.result/1"}') == "fusionbench.result/1"
    assert declared_format(b'{"format": "fusionbench.dataset/1.12", "schema": 7}') == "fusionbench.dataset/1.12"
    for content in (b"", b"[]", b"null", b"{", b'{"schema": "other/1"}', b'{"schema": {}}', b"\xff", b"[" * 100_000):
        assert declared_format(content) is None


def test_the_same_version_is_read_strictly(capsys: pytest.CaptureFixture[str]) -> None:
    assert read({"schema": "fusionbench.thing/1", "parts": {"a": {"value": 1}}}).parts == {"a": Part(1.0)}
    for value in (
        {"schema": "fusionbench.thing/1", "new": 1},
        {"schema": "fusionbench.thing/1.0", "new": 1},
        {"schema": "fusionbench.other/1.1", "new": 1},
        {"schema": None},
        {},
        [],
    ):
        with pytest.raises(msgspec.ValidationError):
            read(value)
    assert capsys.readouterr().err == ""


def test_a_newer_revision_is_read_without_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "schema": "fusionbench.thing/1.2",
        "new": {"x": 1},
        "parts": {"a": {"value": 1, "unit": "dB"}},
        "listed": [{"value": 2}, {"value": 3, "more": None}],
        "maybe": {"value": 4, "why": ""},
        "free": {"new": 1},
        "core": {"name": "n"},
    }
    found = read(value)
    assert found == Thing(
        schema="fusionbench.thing/1",
        core=Core("n"),
        parts={"a": Part(1.0)},
        listed=[Part(2.0), Part(3.0)],
        maybe=Part(4.0),
        free={"new": 1},
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: a.json: fusionbench.thing/1.2 is newer: new, parts.a.unit, listed[1].more, maybe.why")
    assert "pip install --upgrade fusionbench" in line
    assert read({"schema": "fusionbench.thing/1.2"}) == Thing(schema="fusionbench.thing/1")
    assert capsys.readouterr().err == "", "nothing is left out, and nothing is said"


@pytest.mark.parametrize(
    "new",
    [{"core": {"name": "n", "new": 1}}, {"parts": {"a": {"value": "a text"}}}, {"core": "another type"}],
)
def test_what_decides_and_what_is_wrong_is_never_left_out(new: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"a\.json: is a fusionbench\.thing/1\.3, fusionbench .* a newer fusionbench"):
        read({"schema": "fusionbench.thing/1.3", **new})


def test_another_version_is_refused_with_the_release_that_reads_it() -> None:
    with pytest.raises(DataError) as caught:
        read({"schema": "fusionbench.thing/2", "provenance": {"fusionbench": "0.9.1"}})
    assert str(caught.value) == (
        f"a.json: is a fusionbench.thing/2, fusionbench {__version__} reads fusionbench.thing/1; "
        "fusionbench 0.9.1, which wrote it, reads it: pip install 'fusionbench>=0.9.1'"
    )
    for hostile in ("'; rm -rf /", "x\n", 7, None, {}, __version__):
        with pytest.raises(DataError, match=r"; a newer fusionbench reads it: pip install --upgrade fusionbench$"):
            require_format("fusionbench.thing/2", "fusionbench.thing/1", "a.json", hostile)
    with pytest.raises(DataError, match="no release wrote that"):
        require_format("fusionbench.thing/0", "fusionbench.thing/1", "a.json")
    for other in ("fusionbench.thing/1", "fusionbench.other/9", "fusionbench.thing/x", None, 7):
        require_format(other, "fusionbench.thing/1", "a.json")


class Revised(msgspec.Struct, forbid_unknown_fields=True):
    schema: Literal["fusionbench.thing/1", "fusionbench.thing/1.1"]
    added: int | None = None


def test_a_reader_of_two_revisions_knows_the_newer_one() -> None:
    """A mistake in a file of a known revision is a mistake; fields of a newer one are left out with a note."""

    def revised(**value: Any) -> Revised:
        return read_json(json.dumps(value).encode(), Revised, "a.json", ())

    assert revised(schema="fusionbench.thing/1.1", added=3).added == 3
    for known in ("fusionbench.thing/1", "fusionbench.thing/1.1"):
        with pytest.raises(msgspec.ValidationError, match="unknown field `new`"):
            revised(schema=known, new=1)
    assert revised(schema="fusionbench.thing/1.2", added=3, new=1).added == 3
    require_format("fusionbench.thing/1", "fusionbench.thing/1.1", "a.json")  # older: the reader says what is wrong


def record_problem(path: Path) -> None:
    record, problems = read_published(path)
    assert record is None
    raise DataError(str(problems[0]))


def unchanged_folder(name: str, tmp_path: Path) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "result": ("result-1/result.json", load),
    "baseline": ("baseline-1.json", read_baseline),
    "dataset": ("dataset-1/manifest.json", lambda path: read_manifest(path.parent)),
    "run": ("run-1/run.json", lambda path: read_run(path.parent)),
    "recipe": ("recipe-1.toml", load_recipe),
    "suite": ("suite-1.toml", load_suite),
    "published": ("published-1.json", record_problem),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("version", ["2", "12.3"])
def test_every_reader_refuses_a_newer_version_in_one_line(tmp_path: Path, name: str, version: str) -> None:
    file, reader = READERS[name]
    path = unchanged_folder(name, tmp_path) / Path(file).name
    text = (GOLDEN / file).read_text()
    path.write_text(re.sub(rf"fusionbench\.{name}/1", f"fusionbench.{name}/{version}", text, count=1))
    with pytest.raises(DataError) as caught:
        reader(path)
    line = str(caught.value)
    assert "\n" not in line and f"is a fusionbench.{name}/{version}, fusionbench {__version__} reads" in line
    assert "reads it" in line and path.name in line


@pytest.mark.parametrize(("name", "left_out"), [(name, name in ("result", "baseline", "dataset")) for name in READERS])
def test_new_fields_of_a_newer_revision(
    tmp_path: Path, name: str, left_out: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file, reader = READERS[name]
    path = unchanged_folder(name, tmp_path) / Path(file).name
    new = f"fusionbench.{name}/1.9"
    if path.suffix == ".toml":
        text = (GOLDEN / file).read_text().replace(f'"fusionbench.{name}/1"', f'"{new}"\nnew = "x"', 1)
        path.write_text(text)
    else:
        value = json.loads((GOLDEN / file).read_text())
        value |= {"schema" if "schema" in value else "format": new, "new": "x"}
        path.write_text(json.dumps(value))
    if not left_out:
        with pytest.raises(DataError, match=rf"is a {new}, .*reads it"):
            reader(path)
        return
    found, before = reader(path), reader(GOLDEN / file)
    assert found == before
    assert f"{new} is newer: new left out" in capsys.readouterr().err


def test_an_identity_is_never_read_in_part(tmp_path: Path) -> None:
    for file, place in (("result-1/result.json", ("identity", "dataset")), ("baseline-1.json", ("entries", 0))):
        value: Any = json.loads((GOLDEN / file).read_text())
        value["schema"] += ".9"
        part = value
        for step in place:
            part = part[step]
        part["new"] = "x"
        path = tmp_path / Path(file).name
        path.write_text(json.dumps(value))
        with pytest.raises(DataError, match=r"/1\.9, .*reads it"):
            (load if "result" in file else read_baseline)(path)
