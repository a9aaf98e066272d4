"""What all kinds are asked: the author's words, where data and suites are, and that a fourth kind needs no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
import pytest

from fusionbench.core.errors import DataError, Problem, Rejected, UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.submissions import kinds, queue, submit
from fusionbench.submissions.kinds.base import (
    PackRequest,
    Scoring,
    SubmissionKind,
    SubmissionReport,
    named_data,
    resolve_data,
)
from tests.cli.runner import run
from tests.helpers.submissions import small_suite


class Poem(msgspec.Struct):
    text: str


class Poems(SubmissionKind):
    """A kind that only this file knows."""

    title: ClassVar[str] = "poems"
    suffix: ClassVar[str] = ".poem"
    status: ClassVar[Literal["verified", "scored", "published"]] = "scored"
    needs_data: ClassVar[bool] = False

    def claims(self, path: Path) -> bool:
        return path.suffix == self.suffix

    def packs(self, request: PackRequest) -> bool:
        return request.made.suffix == ".txt"

    def pack(self, request: PackRequest) -> SubmissionReport:
        request.out.write_text(request.made.read_text())
        return self.check(request.out)

    def check(self, path: Path, data: Path | None = None) -> SubmissionReport:
        text = path.read_text()
        problems = [] if text else [Problem(path.name, "empty", "write one")]
        return SubmissionReport(str(path), problems, Poem(text), about="a poem")

    def accept(self, path: Path, scoring: Scoring) -> Path:
        if not self.check(path).ok:
            raise Rejected(f"{path}: empty")
        return scoring.results / path.stem


def test_a_fourth_kind_is_one_registration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is packed, checked, accepted and taken up by the queue, through the command line."""
    monkeypatch.setattr(kinds, "KINDS", (Poems(), *kinds.KINDS))
    monkeypatch.setattr(queue, "KINDS", kinds.KINDS)
    (tmp_path / "a.txt").write_text("roses")
    code, out, err = run(capsys, "pack", tmp_path / "a.txt", "-o", tmp_path / "a.poem")
    assert (code, out) == (0, f"{tmp_path / 'a.poem'}\n"), err
    code, out, _ = run(capsys, "check", tmp_path / "a.poem")
    assert code == 0 and out.endswith("a.poem: fine: a poem\n")
    code, out, _ = run(capsys, "check", tmp_path / "a.poem", "--json")
    assert json.loads(out) == {
        "ok": True,
        "file": str(tmp_path / "a.poem"),
        "problems": [],
        "notes": [],
        "submission": {"text": "roses"},
    }
    code, out, _ = run(capsys, "accept", tmp_path / "a.poem", "--out", tmp_path / "r")
    assert (code, out) == (0, f"{tmp_path / 'r' / 'a'}\n")
    incoming = tmp_path / "queue" / "incoming"
    incoming.mkdir(parents=True)
    for name, text in (("a.poem", "roses"), ("b.poem", "")):
        (incoming / name).write_text(text)
    code, out, err = run(capsys, "accept", "--queue", tmp_path / "queue", "--out", tmp_path / "r")
    assert "without --data only poems (.poem), published numbers (.json) of the queue can be accepted" in err
    assert code == 0 and "a.poem: accepted: " in out and "b.poem: rejected: " in out


def test_every_kind_is_complete() -> None:
    assert [kind.title for kind in kinds.KINDS] == ["published numbers", "weights", "predictions"]
    assert [kind.status for kind in kinds.KINDS] == ["published", "verified", "scored"]
    assert [kind.suffix for kind in kinds.acceptable_kinds(with_data=True)] == [".json", ".zip", ".zip"]
    assert [kind.suffix for kind in kinds.acceptable_kinds(with_data=False)] == [".json"]


def test_what_is_packed_decides_the_kind() -> None:
    made, out = Path("made"), Path("out")

    def title(request: PackRequest) -> str:
        return kinds.kind_to_pack(request).title

    assert title(PackRequest(made, out)) == "weights"
    assert title(PackRequest(made, out, model="mine")) == title(PackRequest(made, out, data=made)) == "predictions"
    for name in ("numbers.toml", "numbers.json"):
        assert title(PackRequest(Path(name), out, model="mine", data=made)) == "published numbers"


def test_a_file_that_no_kind_claims_is_checked_as_weights(tmp_path: Path) -> None:
    assert kinds.kind_of(tmp_path / "none.zip") is kinds.DEFAULT
    with pytest.raises(DataError, match=r"none.zip: no such submission"):
        submit.check_submission(tmp_path / "none.zip")


@pytest.mark.parametrize(("title", "submitter"), [(None, "Ada"), ("T", None), (None, None)])
def test_an_author_says_title_and_submitter(title: str | None, submitter: str | None) -> None:
    with pytest.raises(UsageError, match="a submission needs --title, what tables call the model, and --submitter"):
        _ = PackRequest(Path("a"), Path("b"), title, submitter).author
    words = PackRequest(Path("a"), Path("b"), "T", "Ada", note="n").author
    assert words == {"title": "T", "submitter": "Ada", "link": None, "note": "n"}


def test_data_and_suites_are_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are resolved once, so that a later change of the working directory does not matter."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "data" / "named").mkdir(parents=True)
    scoring = Scoring(tmp_path, Path("here"), "small.toml")
    assert (scoring.data_place, scoring.suite_place) == (str(tmp_path / "here"), str(tmp_path / "small.toml"))
    monkeypatch.chdir("/")
    assert (scoring.data_place, scoring.suite_place) == (str(tmp_path / "here"), str(tmp_path / "small.toml"))
    monkeypatch.chdir(tmp_path)
    assert (Scoring(tmp_path).data_place, Scoring(tmp_path).suite_place) == ("", "")
    assert Scoring(tmp_path, suite="quickstart").suite_place == "quickstart"
    assert resolve_data(Path("named")) == tmp_path / "data" / "named" and named_data(Path("named")).is_dir()
    assert resolve_data(Path("pairs-demo")) == Path("pairs-demo"), "it has no folder"
    (tmp_path / "pairs-demo").mkdir()
    assert resolve_data(Path("pairs-demo")) == tmp_path / "pairs-demo", "a folder that is there comes first"
    assert resolve_data(Path("tno")) == tmp_path / "tno", "a source of files needs them"


def test_data_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("none", "tno"):
        with pytest.raises(UsageError, match=f"{name}: no such folder; name the data set's with --data"):
            Scoring(tmp_path, Path(name)).check_data()
    Scoring(tmp_path).check_data()
    Scoring(tmp_path, Path("pairs-demo")).check_data()
    Scoring(tmp_path, tmp_path).check_data()


def test_suites_that_are_not_about_the_data(tmp_path: Path) -> None:
    dataset = build_dataset(load_recipe("fusiondigits"), out=tmp_path)
    suite = str(small_suite(tmp_path / "small.toml"))
    Scoring(tmp_path).check_suite()
    Scoring(tmp_path, suite=suite).check_suite()
    Scoring(tmp_path, dataset, suite).check_suite()
    with pytest.raises(UsageError, match="is fusiondigits, the suite fusionmnist is about fusionmnist"):
        Scoring(tmp_path, dataset, "fusionmnist").check_suite()
    with pytest.raises(UsageError, match="Unknown suite 'quickstarts'"):
        Scoring(tmp_path, suite="quickstarts").check_suite()
