"""``pack``, ``check`` and ``accept`` as people call them: output, exit codes, and whose mistake a mistake is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.results import published, schema
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.sandbox import limits_of_this_system
from fusionbench.submissions.submit import accept_submission, check_submission, pack_submission
from tests.cli.runner import run
from tests.helpers.submissions import drawn_pairs, noisy_samples, small_suite


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_pairs(tmp_path_factory.mktemp("pairs") / "scenes")


@pytest.fixture(scope="module")
def packed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of FusionDigits as a submission."""
    folder = tmp_path_factory.mktemp("packed")
    np.save(folder / "samples.npy", noisy_samples(dataset))
    words = {"title": "Theirs", "submitter": "Ada", "model": "theirs", "data": dataset}
    pack_submission(PackRequest(folder / "samples.npy", folder / "s.zip", **words))
    return folder / "s.zip"


@pytest.fixture
def record() -> dict[str, Any]:
    made: dict[str, Any] = msgspec.toml.decode(published.template())
    made["rows"][0]["title"] = "Somebody's FusionVAE"
    return made


def written(path: Path, record: dict[str, Any]) -> Path:
    path.write_text(json.dumps(record))
    return path


def queued(folder: Path, *submissions: Path) -> Path:
    """A queue in which submissions wait under numbers."""
    (folder / "queue" / "incoming").mkdir(parents=True)
    for number, path in enumerate(submissions):
        (folder / "queue" / "incoming" / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    return folder / "queue"


def test_a_good_record_goes_the_whole_way(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "check", written(tmp_path / "a.json", record))
    assert code == 0 and "fine: 1 published rows on fusionmnist" in out
    code, out, err = run(capsys, "accept", tmp_path / "a.json", "--out", tmp_path / "results")
    assert code == 0, err
    result = schema.load(Path(out.strip()))
    assert (result.status, result.origin.kind, result.origin.submitter) == ("published", "paper", "A. Reader")
    assert result.scores["nll_bpd@0"].mean == 0.1593 and result.per_image is None
    assert result.scores["nll_bpd@0"].extra["printed"] == "15.93"
    again = accept_submission(tmp_path / "a.json", Scoring(tmp_path / "results"))
    assert again == Path(out.strip()), "the same numbers again change nothing"


def test_packing_a_table_from_a_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "pack", "--template")
    assert code == 0
    (tmp_path / "numbers.toml").write_text(text)
    code, _, err = run(capsys, "pack", tmp_path / "numbers.toml", "-o", tmp_path / "numbers.json")
    assert code == 0 and check_submission(tmp_path / "numbers.json").ok, err
    (tmp_path / "numbers.toml").write_text(text.replace('"3.14"', '"3.14e2"'))
    code, _, err = run(capsys, "pack", tmp_path / "numbers.toml", "-o", tmp_path / "other.json")
    assert code == 1 and "cannot be submitted" in err and not (tmp_path / "other.json").exists()
    assert run(capsys, "pack")[0] == 2 and run(capsys, "pack", tmp_path, "-o", tmp_path / "x.zip")[0] == 2


def test_mistakes_at_the_command_line(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-o", tmp_path / "x.zip", "--title", "T", "--submitter", "S")
    code, _, err = run(capsys, "pack", pairs / "fused", *words, "--model", "mine")
    assert code == 2 and "both --model NAME and --data FOLDER" in err
    code, _, err = run(capsys, "pack", tmp_path / "none", *words, "--model", "mine", "--data", pairs)
    assert code == 2 and "none: no such file or folder" in err
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "queue" / "incoming").mkdir(parents=True)
    (tmp_path / "queue" / "incoming" / "a.zip").write_bytes(b"waits")
    settings = ("--data", tmp_path / "none", "--out", tmp_path / "results")
    assert run(capsys, "accept", "--queue", tmp_path / "queue", *settings)[0] == 2
    assert (tmp_path / "queue" / "incoming" / "a.zip").exists(), "our own mistake rejects nobody"
    code, _, err = run(capsys, "pack", tmp_path / "pickled.npy", *words, "--model", "mine", "--data", pairs)
    assert code == 2 and "no samples in it" in err and not (tmp_path / "x.zip").exists()


def test_a_suite_by_a_relative_path(
    dataset: Path,
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The child runs elsewhere; the same result comes from a single submission and from a queue."""
    (tmp_path / "suites").mkdir()
    small_suite(tmp_path / "suites" / "small.toml")
    (tmp_path / "digits").symlink_to(dataset)
    queue = queued(tmp_path, packed)
    monkeypatch.chdir(tmp_path)
    settings = ("--suite", "suites/small.toml", "--data", "digits", "--out", "results")
    code, single, err = run(capsys, "accept", packed, *settings)
    assert code == 0, err
    code, out, err = run(capsys, "accept", "--queue", "queue", *settings)
    assert (code, out) == (0, f"queue/done/0.zip: accepted: {single}"), err
    assert not any((queue / "rejected").iterdir())
    assert schema.load(tmp_path / single.strip()).scores["mse_min@mean"].n == 20


@pytest.mark.parametrize(
    ("suite", "code", "message"),
    [
        ("none.toml", 2, "none.toml: no such suite"),
        ("quickstarts", 2, "Unknown suite 'quickstarts'"),
        ("fusionmnist", 2, "is fusiondigits, the suite fusionmnist is about fusionmnist"),
    ],
)
def test_a_wrong_suite_rejects_nothing_of_a_queue(
    suite: str,
    code: int,
    message: str,
    dataset: Path,
    packed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    queue = queued(tmp_path, packed)
    settings = ("--suite", suite, "--data", dataset, "--out", tmp_path / "results")
    ended, out, err = run(capsys, "accept", "--queue", queue, *settings)
    assert (ended, out) == (code, "") and message in err
    assert [path.name for path in (queue / "incoming").iterdir()] == ["0.zip"] and not (queue / "rejected").exists()


def test_a_queue_without_data_takes_published_numbers(
    record: dict[str, Any], packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written(tmp_path / "good.json", record)
    bad = written(tmp_path / "bad.json", {**record, "status": "verified"})
    queue = queued(tmp_path, good, bad, packed)
    code, out, err = run(capsys, "accept", "--queue", queue, "--out", tmp_path / "results")
    assert code == 0
    assert "without --data only published numbers (.json) of the queue can be accepted; archives wait" in err
    first, second = out.splitlines()
    assert first.startswith(f"{queue / 'done' / '0.json'}: accepted: ")
    assert second.startswith(f"{queue / 'rejected' / '1.json'}: rejected: ") and "unknown field" in second
    assert [path.name for path in (queue / "incoming").iterdir()] == ["2.zip"], "somebody with the data takes it"


def fused_demo(folder: Path) -> Path:
    """The mean of the two sources of every pair of pairs-demo, as PNG."""
    found = open_pairs("pairs-demo")
    folder.mkdir()
    for number, name in enumerate(found.stems):
        first, second = found.pair(number).astype(np.uint16)
        Image.fromarray(((first + second) // 2).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def test_pairs_by_name_and_as_a_stored_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packed, checked and accepted; the identity of the result is the same from the embedded source and from files."""
    fused = fused_demo(tmp_path / "fused")
    stored = build_dataset(load_recipe("pairs-demo"), out=tmp_path / "sets")
    monkeypatch.chdir(tmp_path)
    found = []
    for name, data in (("named", "pairs-demo"), ("stored", stored)):
        words = ("--model", "mine", "--data", data, "--title", "Mine", "--submitter", "Ada")
        code, out, err = run(capsys, "pack", fused, "-o", f"{name}.zip", *words)
        assert (code, out) == (0, f"{name}.zip\n"), err
        assert run(capsys, "check", f"{name}.zip", "--data", data)[0] == 0
        code, out, err = run(capsys, "accept", f"{name}.zip", "--data", data, "--out", f"results-{name}")
        assert code == 0, err
        found.append(schema.load(Path(out.strip())))
    assert found[0].identity == found[1].identity and found[0].scores == found[1].scores
    assert found[0].identity.dataset.name == "pairs-demo" and found[0].identity.dataset.n == 3


def test_the_result_says_how_it_was_kept_apart(
    packed: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same words are in the log of a queue's item."""
    queue, suite = queued(tmp_path, packed), small_suite(tmp_path / "small.toml")
    settings = ("--suite", suite, "--data", dataset, "--out", tmp_path / "results", "--memory", 6)
    code, out, err = run(capsys, "accept", "--queue", queue, *settings)
    assert code == 0, err
    process = schema.load(Path(out.strip().partition("accepted: ")[2])).provenance["process"]
    isolation, unlimited = limits_of_this_system()
    assert process == {"isolation": isolation, "not_limited": list(unlimited)}
    log = (queue / "done" / "0.log").read_text()
    assert f"kept apart by: {isolation}" in log
    assert ("not limited by this system: " in log) == bool(unlimited) and all(name in log for name in unlimited)


def test_what_lacks_a_suite_waits(
    packed: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Samples of a masked set need one; that nobody named it is not their author's fault."""
    queue = queued(tmp_path, packed)
    code, out, err = run(capsys, "accept", "--queue", queue, "--data", dataset, "--out", tmp_path / "results")
    assert code == 2 and "waits: " in out and "1 items wait: " in err and "--suite" in err
    assert [path.name for path in (queue / "incoming").iterdir()] == ["0.zip"]
    assert not any((queue / "rejected").iterdir()) and not any((queue / "failed").iterdir())


def test_data_that_are_damaged_reject_nothing(
    packed: Path, dataset: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    (copy / "manifest.json").write_text("{")
    lacking = tmp_path / "lacking"
    shutil.copytree(pairs, lacking)
    (lacking / "vi" / "02.png").unlink()
    queue = queued(tmp_path, packed)
    for data in (copy, lacking, tmp_path):
        settings = ("--data", data, "--out", tmp_path / "results")
        code, out, err = run(capsys, "accept", "--queue", queue, *settings)
        assert (code, out) == (2, "") and str(data) in err
    (tmp_path / "file").touch()
    settings = ("--data", dataset, "--suite", small_suite(tmp_path / "s.toml"), "--out", tmp_path / "file" / "r")
    assert run(capsys, "accept", "--queue", queue, *settings)[0] == 2
    assert [path.name for path in (queue / "incoming").iterdir()] == ["0.zip"] and not (queue / "failed").exists()


def test_items_that_failed_are_told_and_tried_again(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written(tmp_path / "good.json", record)
    queue = queued(tmp_path, good, good)
    (queue / "incoming" / "0.json").rename(queue / "incoming" / "-\x1b[2J.json")
    (queue / "incoming" / "notes.txt").write_text("please be quick")
    real = published.accept_record

    def broken(path: Path, results: Path) -> list[Path]:
        raise ZeroDivisionError

    monkeypatch.setattr(published, "accept_record", broken)
    settings = ("--queue", queue, "--out", tmp_path / "results")
    code, out, err = run(capsys, "accept", *settings)
    assert code == 3 and "3 of 3 items failed" in err and "use --retry" in err and "\x1b" not in out + err
    assert out.count("internal error: ZeroDivisionError") == 2 and not any((queue / "incoming").iterdir())
    monkeypatch.setattr(published, "accept_record", real)
    (queue / "failed" / "notes.txt").unlink()
    code, out, err = run(capsys, "accept", *settings, "--retry")
    assert code == 0 and out.count("accepted: ") == 2 and err.count("tried again: ") == 2
    assert run(capsys, "accept", good, "--out", tmp_path / "results", "--retry")[0] == 2


def test_a_submission_that_is_a_link(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link.json").symlink_to(written(tmp_path / "good.json", record))
    for verb in (("check",), ("accept", "--out", tmp_path / "r")):
        code, _, err = run(capsys, verb[0], tmp_path / "link.json", *verb[1:])
        assert code == 2 and "link.json: a link; name the file itself" in err


def test_messages_name_the_file_that_was_sent(
    packed: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not its private copy."""
    bad = tmp_path / "Mine.ZIP"
    bad.write_bytes(packed.read_bytes()[:1000])
    settings = ("--data", dataset, "--suite", small_suite(tmp_path / "small.toml"), "--out", tmp_path / "results")
    code, _, err = run(capsys, "accept", bad, *settings)
    assert code == 1 and f"{bad}: 1 problem: " in err and "fusionbench-" not in err
    code, out, _ = run(capsys, "check", bad, "--json")
    assert code == 1 and json.loads(out)["file"] == str(bad)


def test_either_one_submission_or_a_queue(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), (packed, "--queue", tmp_path)):
        code, _, err = run(capsys, "accept", *arguments, "--out", tmp_path / "results")
        assert code == 2 and "name one submission, or a folder of them with --queue" in err


def test_a_report_as_json(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", packed, "--json")
    told = json.loads(out)
    assert code == 0 and (told["ok"], told["file"], told["problems"]) == (True, str(packed), [])
    assert told["submission"]["model"] == "theirs"
    (tmp_path / "a.zip").write_bytes(b"no zip")
    code, out, err = run(capsys, "check", tmp_path / "a.zip", "--json")
    assert code == 1 and json.loads(out)["submission"] is None and "a.zip: 1 problem" in err
    (problem,) = json.loads(out)["problems"]
    assert (problem["file"], problem["rule"]) == ("a.zip", "not a zip file")


def test_a_class_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "check", f"{tmp_path / 'none.py'}:Net")
    assert code == 2 and "none.py" in err


def test_remarks_are_told_while_packing(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--title", "T", "--submitter", "S", "--model", "mine", "--data", pairs)
    code, out, err = run(capsys, "pack", pairs / "ir", "-o", tmp_path / "copy.zip", *words)
    assert (code, out) == (0, f"{tmp_path / 'copy.zip'}\n")
    assert "remark: near-copy of the first source" in err and "4 of 4 at 0.99 or more" in err
