"""What all kinds of archives have in common: the order of the checks, and that the status comes from here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import Problem, Rejected, UsageError
from fusionbench.results import schema
from fusionbench.submissions.archive import META
from fusionbench.submissions.kinds.archives import ArchiveKind
from fusionbench.submissions.kinds.base import PackRequest, Scoring, SubmissionReport
from tests.helpers.submissions import zipped


class Words(msgspec.Struct):
    title: str
    submitter: str


class Text(ArchiveKind[Words]):
    """A record and a text of at most 20 bytes, which must not be "bad"."""

    title: ClassVar[str] = "text"
    status: ClassVar[Literal["verified", "scored", "published"]] = "scored"
    scorer: ClassVar[str] = "tests.submissions.kinds.test_archives:score_text"
    suite_needed: ClassVar[bool] = False

    def claims(self, path: Path) -> bool:
        return True

    def packs(self, request: PackRequest) -> bool:
        return True

    def contents(self, names: list[str]) -> tuple[dict[str, int], bool]:
        return {META: 1000, "text": 20}, False

    def write_draft(self, request: PackRequest, draft: Path) -> None:
        record = msgspec.json.encode(Words(**{name: request.author[name] for name in ("title", "submitter")}))
        zipped(draft, {META: record, "text": request.made.read_bytes()})

    def examine(self, folder: Path, data: Path | None, report: SubmissionReport) -> None:
        if (folder / "text").read_bytes() == b"bad":
            report.problems.append(Problem("text", "is bad", "write another"))
        report.notes += ["one", "two"]

    def read(self, folder: Path) -> Words:
        return msgspec.json.decode((folder / META).read_bytes(), type=Words)

    def needs_suite(self, record: Words) -> bool:
        return self.suite_needed

    def check_data(self, path: Path, record: Words, data: Path) -> None:
        if not (data / "ours").exists():
            raise Rejected(f"{path}: other data")


def score_text(folder: str, data: str, suite: str, out: str) -> None:
    """In the child: the length of the text, claimed to be verified already; nothing for an empty one."""
    text = (Path(folder) / "text").read_text()
    if not text:
        return
    identity = schema.Identity(
        model=schema.ModelIdentity(name=text, version="1", params={"suite": suite, "data": data}),
        dataset=schema.DatasetIdentity(name="texts", version="1", split="test", id="d", n=1, ids_sha256="e"),
        protocol=schema.ProtocolIdentity(name="length", version="1", seed=0),
        metrics={"en": "1"},
    )
    values = np.array([float(len(text))])
    made = schema.Result(
        id=schema.identity_id(identity),
        status="verified",
        title="claimed",
        identity=identity,
        scores={"en": schema.summarise(values, "higher", "1")},
    )
    schema.save(made, Path(out), {"id": [0], "en": values})


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return pack(tmp_path, "hello")


def pack(folder: Path, text: str) -> Path:
    (folder / "made").write_text(text)
    Text().pack(PackRequest(folder / "made", folder / "a.zip", "Title", "Ada"))
    return folder / "a.zip"


def test_a_draft_that_fails_the_check_is_not_written(tmp_path: Path) -> None:
    for text, rule in (("bad", "text: is bad"), ("x" * 21, "text: larger than 20 bytes")):
        with pytest.raises(Rejected, match=f"made: cannot be submitted: {rule}"):
            pack(tmp_path, text)
        assert not (tmp_path / "a.zip").exists()


def test_what_was_there_is_replaced_in_whole_or_not_at_all(packed: Path, tmp_path: Path) -> None:
    first = packed.read_bytes()
    with pytest.raises(Rejected):
        pack(tmp_path, "bad")
    assert packed.read_bytes() == first
    pack(tmp_path, "other")
    assert packed.read_bytes() != first and Text().check(packed).ok


def test_title_status_and_origin_come_from_here(packed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "ours").touch()
    folder = Text().accept(packed, Scoring(tmp_path / "results", data))
    result = schema.load(folder)
    assert (result.status, result.title) == ("scored", "Title"), "not what the child says"
    assert (result.origin.kind, result.origin.submitter, result.origin.note) == ("submission", "Ada", "one; two")
    assert result.scores["en"].mean == 5.0 and schema.load_per_image(folder)["en"].tolist() == [5.0]
    assert result.identity.model.params == {"suite": "", "data": str(data.resolve())}


def test_the_order_of_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, then the archive, then the suite, then whether they belong together, then scoring; nothing is saved."""
    empty = pack(tmp_path, "")
    results, data = tmp_path / "results", tmp_path / "data"
    with pytest.raises(UsageError, match=r"a.zip: name the data set's folder, or the folder of pairs, with --data"):
        Text().accept(empty, Scoring(results))
    data.mkdir()
    (tmp_path / "b.zip").write_bytes(b"no zip")
    with pytest.raises(Rejected, match=r"b.zip: 1 problem: b.zip: not a zip file"):
        Text().accept(tmp_path / "b.zip", Scoring(results, data))
    monkeypatch.setattr(Text, "suite_needed", True)
    with pytest.raises(UsageError, match=r"a.zip: name the suite whose protocol applies with --suite"):
        Text().accept(empty, Scoring(results, data))
    monkeypatch.setattr(Text, "suite_needed", False)
    with pytest.raises(Rejected, match=r"a.zip: other data"):
        Text().accept(empty, Scoring(results, data))
    (data / "ours").touch()
    with pytest.raises(Rejected, match=r"a.zip: scoring left no valid result"):
        Text().accept(empty, Scoring(results, data))
    monkeypatch.setattr(Text, "scorer", "tests.submissions.kinds.test_archives:no_such_function")
    with pytest.raises(Rejected, match=r"a.zip: could not be scored: AttributeError"):
        Text().accept(empty, Scoring(results, data))
    assert not results.exists()
