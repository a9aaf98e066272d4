"""The three functions ask the kind and nothing else; the names of the first release lead to them, with a warning."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import msgspec
import pytest

from fusionbench.core import deprecation
from fusionbench.core.errors import Rejected
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.results import published, schema
from fusionbench.submissions import submit
from fusionbench.submissions.kinds.base import PackRequest, Scoring, SubmissionReport
from fusionbench.submissions.kinds.weights import Submission
from fusionbench.submissions.submit import accept_submission, check_submission, pack_submission
from tests.helpers.submissions import drawn_pairs


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A table of numbers that is not one of ours."""
    table = msgspec.toml.decode(published.template())
    table["rows"][0]["title"] = "Somebody's FusionVAE"
    path = tmp_path / "numbers.json"
    path.write_text(json.dumps(table))
    return path


def test_numbers_of_a_paper_from_packing_to_the_result(numbers: Path, tmp_path: Path) -> None:
    report = pack_submission(PackRequest(numbers, tmp_path / "packed.json"))
    assert report.ok and isinstance(report.submission, published.Record)
    report = check_submission(tmp_path / "packed.json")
    assert report.about.startswith("1 published rows on fusionmnist: ")
    result = schema.load(accept_submission(tmp_path / "packed.json", Scoring(tmp_path / "results")))
    assert (result.status, result.title) == ("published", "Somebody's FusionVAE")


def test_refused_numbers_leave_nothing(numbers: Path, tmp_path: Path) -> None:
    numbers.write_text(numbers.read_text().replace('"images": ', '"images": -'))
    report = check_submission(numbers)
    assert not report.ok and report.submission is None and report.about == ""
    with pytest.raises(Rejected, match="cannot be submitted"):
        pack_submission(PackRequest(numbers, tmp_path / "packed.json"))
    with pytest.raises(Rejected, match="1 problem: "):
        accept_submission(numbers, Scoring(tmp_path / "results"))
    assert not (tmp_path / "packed.json").exists() and not (tmp_path / "results").exists()


def test_names_of_the_first_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts that were written for them do what they did."""
    monkeypatch.setattr(deprecation, "_WARNED", set())
    pairs = drawn_pairs(tmp_path / "scenes")
    words = {"model": "theirs", "title": "T", "submitter": "S", "link": None, "note": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = submit.pack_predictions(pairs / "fused", tmp_path / "old.zip", data=pairs, **words)
        assert report.ok and submit.check(tmp_path / "old.zip", data=pairs).ok
        folder = submit.accept(tmp_path / "old.zip", data=pairs, suite=None, results=tmp_path / "results")
        assert (submit.Report, submit.Submission) == (SubmissionReport, Submission)
    told = [str(warning.message) for warning in caught if warning.category is FutureWarning]
    assert len(told) == 5 and told[0].startswith(
        "fusionbench.submissions.submit.pack_predictions is deprecated and will be removed in fusionbench 0.3; use "
        "fusionbench.submissions.submit.pack_submission instead"
    )
    pack_submission(PackRequest(pairs / "fused", tmp_path / "new.zip", "T", "S", model="theirs", data=pairs))
    assert (tmp_path / "new.zip").read_bytes() == (tmp_path / "old.zip").read_bytes()
    assert accept_submission(tmp_path / "new.zip", Scoring(tmp_path / "results", pairs)) == folder
    with pytest.raises(AttributeError, match="no attribute 'packs'"):
        _ = submit.packs


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_run_is_packed_under_the_first_name(tmp_path: Path) -> None:
    from fusionbench.data.dataset import open_dataset
    from fusionbench.training.loop import train

    dataset = open_dataset(build_dataset(load_recipe("fusiondigits"), out=tmp_path))
    run = train("mean-image", dataset, out=tmp_path / "run", device="cpu")
    assert submit.pack(run.folder, tmp_path / "old.zip", title="T", submitter="S") == tmp_path / "old.zip"
    pack_submission(PackRequest(run.folder, tmp_path / "new.zip", "T", "S"))
    assert (tmp_path / "new.zip").read_bytes() == (tmp_path / "old.zip").read_bytes()
