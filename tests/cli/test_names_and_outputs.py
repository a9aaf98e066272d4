"""Whatever a file is called and wherever it is written: one line and exit code 2, never that of a regression."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.results.schema import load, load_folder, load_per_image
from tests.cli.runner import run
from tests.evaluation.test_external import SUITE
from tests.helpers.results import made_up
from tests.metrics.scenes import scene

BYTE = os.fsdecode(b"night\xff1")  # no UTF-8
ESCAPE = "\x1b[31mred"  # would colour a terminal


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Two triples below a/, b/ and fused/: one with a plain name, one whose name is not UTF-8."""
    for seed, stem in enumerate((BYTE, "plain")):
        for name, image in zip(("fused", "a", "b"), scene(seed), strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / name / f"{stem}.png")
    return tmp_path


def words(places: Path) -> list[object]:
    return ["score", "--a", places / "a", "--b", places / "b", "--fused", places / "fused"]


def raw(*args: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own, with its bytes as they are."""
    command = [sys.executable, "-c", "from fusionbench.cli import main; main()", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, env={**os.environ, **environment})


def test_names_that_are_not_utf8_are_scored_and_escaped(capsys: pytest.CaptureFixture[str], places: Path) -> None:
    code, out, err = run(capsys, *words(places), "--metrics", "sd", "-o", places / "v.csv")
    assert code == 0 and out.splitlines()[3].split()[0] == r"night\xff1" and "Traceback" not in err
    assert [row["id"] for row in csv.DictReader((places / "v.csv").open(encoding="utf-8"))] == [r"night\xff1", "plain"]
    code, out, _ = run(capsys, "-q", *words(places), "--metrics", "sd", "--json")
    assert code == 0 and [image["id"] for image in json.loads(out)["images"]] == [r"night\xff1", "plain"]
    one = ["score", *(w for o in ("--a", "--b", "--fused") for w in (o, places / o.strip("-") / f"{BYTE}.png"))]
    code, out, _ = run(capsys, "-q", *one, "--metrics", "sd")
    assert code == 0 and r"night\xff1" in out


def test_they_make_a_row_of_a_suite(capsys: pytest.CaptureFixture[str], places: Path) -> None:
    (places / "s.toml").write_text(SUITE)
    for side in "ab":
        (places / "set").mkdir(exist_ok=True)
        (places / side).rename(places / "set" / side)
    where = ["--a", places / "set/a", "--b", places / "set/b", "--fused", places / "fused"]
    more = ["--suite", places / "s.toml", "--name", "x", "--out", places / "out", "--keep-images"]
    code, _, err = run(capsys, "score", *where, *more, "--note", BYTE.replace("night", ""))
    assert code == 2 and err.strip().splitlines()[-1].startswith(
        "fusionbench: a name that is not UTF-8 cannot be stored"
    )
    code, _, err = run(capsys, "score", *where, *more)
    assert code == 0, err
    (made,) = load_folder(places / "out")
    assert load_per_image(made.folder(places / "out"))["id"].tolist() == [r"night\xff1", "plain"]
    assert (made.folder(places / "out") / "fused" / r"night\xff1.png").is_file()
    code, _, err = run(capsys, "run", places / "s.toml", "--source-dir", places / "set", "--out", places / "out")
    assert code == 0, err
    code, _, err = run(capsys, "compare", places / "out", "--resamples", 100)
    assert code == 0, err


def test_two_names_that_become_one_are_refused(capsys: pytest.CaptureFixture[str], places: Path) -> None:
    Image.fromarray(scene(0)[0]).save(places / "fused" / r"night\xff1.png")
    code, _, err = run(capsys, *words(places))
    assert code == 2 and r"two files are called night\xff1" in err and len(err.splitlines()) == 1


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str], places: Path) -> None:
    for name in ("a", "b", "fused"):
        (places / name / "plain.png").rename(places / name / f"{ESCAPE}.png")
    Image.fromarray(np.zeros((61, 74), np.uint8)).save(places / "fused" / f"{ESCAPE}.png")
    code, out, err = run(capsys, *words(places), "--metrics", "sd")
    assert code == 0 and "\x1b" not in out + err and r"\x1b[31mred" in out and r"\x1b[31mred" in err
    (places / "a" / f"{ESCAPE}.png").write_bytes(b"broken")
    code, out, err = run(capsys, *words(places), "--metrics", "sd")
    assert code == 2 and "\x1b" not in out + err and r"\x1b[31mred.png: not a readable" in err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_can_print_any_name(places: Path, encoding: str) -> None:
    where = ["--a", "a", "--b", "b", "--fused", "fused", "--metrics", "sd"]
    done = raw("score", *where, cwd=places, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert rb"night\xff1" in done.stdout and b"\xff1" not in done.stdout
    # click takes a terminal of plain ASCII for one that nobody has set, and writes UTF-8
    assert done.stdout.decode("utf-8" if encoding == "ascii" else encoding).count("±") == 1


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        made_up(tmp_path / "results", name, shift=0.1 * (name == "two"))
    return tmp_path / "results"


@pytest.mark.parametrize("form", [None, "--json", "--markdown", "--csv", "--latex"])
def test_tables_print_any_title_on_any_terminal(tmp_path: Path, form: str | None) -> None:
    made_up(tmp_path / "results", "one", title="Ü × ↑")
    form_words = [form] if form else []
    done = raw("compare", "results", "--resamples", 100, *form_words, cwd=tmp_path, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert b"\xdc \xd7 \\u2191" in done.stdout  # what Latin-1 lacks is escaped


WHO = ("--title", "Theirs", "--submitter", "Ada", "--model", "theirs")


def outputs(places: Path, results: Path) -> dict[str, list[object]]:
    """Verb with its output option last, as people write it: the place is put behind."""
    data = ["--data", places / "data/fusiondigits"]
    return {
        "score -o": [*words(places), "--metrics", "sd", "-o"],
        "score --out": [*words(places), "--suite", places / "s.toml", "--name", "x", "--out"],
        "run --out": ["run", places / "s.toml", "--source-dir", places, "--models", "average", "--out"],
        "board -o": ["board", results, "-o"],
        "gate --junit": ["gate", results, "-b", places / "base.json", "--junit"],
        "gate --summary": ["gate", results, "-b", places / "base.json", "--summary"],
        "gate --update-baseline": ["gate", results, "--update-baseline", "-b"],
        "generate --out": ["generate", "fusiondigits", "--jobs", 1, "--out"],
        "preview -o": ["preview", places / "data/fusiondigits", "-o"],
        "export": ["export", places / "data/fusiondigits", "--to", "png", "-o"],
        "sample -o": ["sample", "fusiondigits", "test", 1, "-o"],
        "train --out": ["train", "mean-image", "--data", places / "data/fusiondigits", "--out"],
        "accept -o": [*("accept", places / "s.zip", "--suite", places / "digits.toml"), *data, "--out"],
        "pack -o": ["pack", places / "samples.npy", *WHO, *data, "-o"],
        "quickstart --out": ["quickstart", "--budget", "1 step", "--out"],
    }


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fusionbench.data.build import build_dataset
    from fusionbench.data.dataset import open_dataset
    from fusionbench.data.recipes import load_recipe
    from fusionbench.submissions.kinds.base import PackRequest
    from fusionbench.submissions.submit import pack_submission

    root = tmp_path_factory.mktemp("outputs")
    folder = build_dataset(load_recipe("fusiondigits"), out=root / "data")
    views = open_dataset(folder).arrays("test").views[:4]
    np.save(root / "samples.npy", np.repeat(views[:, :1, None], 4, axis=1))
    words = {"model": "theirs", "title": "t", "submitter": "s"}
    pack_submission(PackRequest(root / "samples.npy", root / "s.zip", data=folder, **words))
    (root / "digits.toml").write_text(
        'format = "fusionbench.suite/1"\nname = "few"\ntitle = "few"\ndataset = "fusiondigits"\n'
        '[protocol]\ndraws = 1\nlimit = 4\n[[models]]\nname = "mean-image"\n'
    )
    return root


@pytest.fixture
def ready(places: Path, results: Path, digits: Path) -> Path:
    """What the verbs read: two plain triples, a suite, a baseline, a data set."""
    for name in ("a", "b", "fused"):
        (places / name / f"{BYTE}.png").unlink()
    (places / "s.toml").write_text(SUITE)
    for name in ("data", "samples.npy", "digits.toml"):
        (places / name).symlink_to(digits / name)
    shutil.copy(digits / "s.zip", places / "s.zip")  # a submission may not be a link
    (places / "file").write_text("in the way")
    subprocess.run([sys.executable, "-m", "fusionbench", "-q", "gate", results, "-b", places / "base.json",
                    "--update-baseline"], check=True, timeout=120)  # fmt: skip
    return places


NAMES = list(outputs(Path(), Path()))


@pytest.mark.parametrize("name", NAMES)
def test_a_place_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], ready: Path, results: Path, name: str
) -> None:
    """Below a file that is in the way: no user, not even root, can write there."""
    code, _, err = run(capsys, "-q", *outputs(ready, results)[name], ready / "file" / "x")
    assert code == 2 and "Traceback" not in err and len(err.strip().splitlines()) == 1, err
    assert str(ready / "file") in err and ("Not a directory" in err or "File exists" in err or "in the way" in err), err
    assert (ready / "file").read_text() == "in the way"


@pytest.mark.parametrize("name", ["score -o", "gate --junit", "gate --summary", "preview -o"])
def test_a_folder_where_a_file_should_be_is_one_line(
    capsys: pytest.CaptureFixture[str], ready: Path, results: Path, name: str
) -> None:
    (ready / "folder").mkdir()
    code, _, err = run(capsys, "-q", *outputs(ready, results)[name], ready / "folder")
    assert code == 2 and "Is a directory" in err and len(err.strip().splitlines()) == 1, err
    assert list((ready / "folder").iterdir()) == [] and not list(ready.glob(".folder*"))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "quickstart --out"])
def test_an_output_may_have_any_name(capsys: pytest.CaptureFixture[str], ready: Path, results: Path, name: str) -> None:
    code, out, err = run(capsys, *outputs(ready, results)[name], ready / f"{BYTE}.out")
    assert code == 0 and "Traceback" not in err, err
    assert (ready / f"{BYTE}.out").exists() or list(ready.glob(f"{BYTE}*"))
    (out + err).encode()  # nothing that UTF-8 cannot hold was printed


def test_a_full_disk_behind_stdout_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from fusionbench.cli import main; main(['list', 'metrics', '--json'])"],
            stdout=full, stderr=subprocess.PIPE, timeout=120,
        )  # fmt: skip
    assert done.returncode == 2 and b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


def test_a_fault_is_no_regression(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionbench.evaluation import catalogue

    def broken(*_: object) -> list[dict[str, object]]:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(catalogue, "list_cards", broken)
    code, _, err = run(capsys, "list", "metrics")
    assert code == 3 and "ZeroDivisionError: ours" in err and "please report" in err.splitlines()[-1]


def test_commands_with_such_names_are_stored(
    capsys: pytest.CaptureFixture[str], ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["fusionbench", BYTE])
    more = ["--suite", ready / "s.toml", "--name", "x", "--out", ready / BYTE]
    code, _, err = run(capsys, *words(ready), *more)
    assert code == 0, err
    (path,) = (ready / BYTE).glob("*/*/*/result.json")
    assert load(path).provenance["command"] == ["fusionbench", r"night\xff1"]
