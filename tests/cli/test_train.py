"""``fusionbench train``, ``evaluate`` and ``run`` as a user meets them."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from tests.cli.runner import run
from tests.helpers import plugins


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), None, tmp_path_factory.mktemp("data"), jobs=1)


def test_train_then_evaluate(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = [
        "train",
        "fcn",
        "--data",
        data,
        "--out",
        out,
        "--budget",
        "2 steps",
        "--set",
        "channels=6",
        "--set",
        "lr=0.01",
    ]
    code, stdout, stderr = run(capsys, *arguments)
    assert (code, stdout) == (0, f"{out}\n")
    assert "train fcn" in stderr and "images/s" in stderr
    code, stdout, _ = run(capsys, *arguments, "--json")
    info = json.loads(stdout)
    assert code == 0 and info["cut"] and info["finished"] and info["steps"] == 2
    assert info["params"]["channels"] == 6 and info["training"]["lr"] == 0.01
    evaluated = ["evaluate", out, "--data", data, "-k", 2, "--limit", 6, "--out", tmp_path / "results"]
    code, stdout, _ = run(capsys, *evaluated)
    folder = Path(stdout.strip())
    assert code == 0 and (folder / "result.json").is_file() and (folder / "images.csv").is_file()
    code, stdout, stderr = run(capsys, *evaluated, "--curves")
    assert (code, stdout) == (0, f"{folder}\n") and "No curves: FCN has nothing to draw" in stderr
    code, stdout, _ = run(capsys, *evaluated, "--json")
    result = json.loads(stdout)
    assert result["folder"] == str(folder) and result["identity"]["dataset"]["n"] == 6
    assert set(result["scores"]) >= {"nll@0", "nll_bpd@mean", "mse_min@avg_paper"}


def test_a_slice_of_time_ends_with_a_code_of_its_own(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "fcn", "--data", data, "--out", tmp_path / "run", "--budget", "2 steps"]
    code, stdout, stderr = run(capsys, *arguments, "--stop-after", "0.01s")
    assert (code, stdout) == (75, f"{tmp_path / 'run'}\n")
    assert "run: stopped at step 1 of 2 after 0.01s; the same command goes on" in stderr
    code, stdout, _ = run(capsys, *arguments, "--stop-after", "1h", "--json")
    assert code == 0 and json.loads(stdout)["finished"]
    code, _, stderr = run(capsys, *arguments, "--stop-after", "soon")
    assert code == 2 and "Time 'soon' is not understood" in stderr


def test_several_seeds_are_shown_with_their_deviation(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, out in enumerate(runs):
        code, *_ = run(capsys, "train", "fcn", "--data", data, "--out", out, "--budget", "1 step", "--seed", seed)
        assert code == 0
    places = ["--data", data, "-k", 2, "--limit", 6, "--out", tmp_path / "results"]
    code, stdout, stderr = run(capsys, "evaluate", *runs, *places, "--sheets")
    folders = [Path(line) for line in stdout.splitlines()]
    assert code == 0 and len(folders) == 2
    assert all((folder / "reconstructions.png").is_file() for folder in folders)
    means = [json.loads((folder / "result.json").read_bytes())["scores"]["nll@2"]["mean"] for folder in folders]
    line = next(line for line in stderr.splitlines() if line.strip().startswith("nll@2 "))
    mean, sd = map(float, line.split(maxsplit=1)[1].split(" ± "))
    assert "FCN (2 runs, cut short)" in stderr and mean == pytest.approx(sum(means) / 2, abs=0.5)
    assert sd == pytest.approx(abs(means[0] - means[1]) / 2**0.5, rel=0.1)


def test_run_prints_one_folder_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--data", tmp_path / "d", "--out", tmp_path / "r", "--runs", tmp_path / "runs"]
    code, stdout, _ = run(capsys, "-q", "run", "quickstart", *places, "--models", "mean-image, max-view", "-k", 2)
    folders = [Path(line) for line in stdout.splitlines()]
    assert code == 0 and [folder.parent.name for folder in folders] == ["mean-image", "max-view"]
    assert all((folder / "result.json").is_file() for folder in folders)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "fusionvea"], "Did you mean 'fusionvae'"),
        (["train", "fcn", "--preset", "tyni"], "Did you mean 'tiny'"),
        (["train", "fcn", "--set", "chanels=3"], "Did you mean 'channels'"),
        (["train", "fcn", "--set", "bach=3"], "Did you mean 'batch'"),
        (["train", "fcn", "--set", "per_group={critic={lr=1}}"], "Unknown group of parameters of fcn 'critic'"),
        (["train", "fcn", "--set", "chanels"], "KEY=VALUE"),
        (["train", "fcn", "--set", "lr=fast"], "lr"),
        (["train", "fcn", "--set", "channels=many"], "cannot be built"),
        (["train", "laplacian-pyramid", "--set", "levels=many"], "levels='many' is text; give a number"),
        (["train", "fcn", "--budget", "soon"], "Budget 'soon'"),
        (["train", "fcn", "--device", "abacus"], "Unknown device"),
        (["evaluate", "nowhere"], "Unknown method or run folder 'nowhere'"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    arguments: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, stderr = run(capsys, *arguments, "--data", data, "--out", tmp_path / "x")
    lines = stderr.strip().splitlines()
    assert (code, stdout, len(lines)) == (2, "", 1), stderr
    assert message in lines[0] and "Traceback" not in stderr


def test_suites_that_do_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, stderr = run(capsys, "run", "quikstart")
    assert code == 2 and "Did you mean 'quickstart'" in stderr
    code, _, stderr = run(capsys, "run", "none.toml")
    assert code == 2 and "no such suite" in stderr


@pytest.mark.parametrize("verb", ["train", "evaluate", "run"])
def test_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, verb, "--help")
    assert code == 0 and f"Example: fusionbench {verb}" in stdout


@pytest.mark.slow
def test_a_training_that_crashes_leaves_its_stack_and_is_not_called_unfinished(tmp_path: Path) -> None:
    words = ["train", "net", "--data", "data/fusiondigits", "--out", "one", "--set", "how=SIGSEGV"]
    assert plugins.fusionbench(tmp_path, "generate", "fusiondigits").returncode == 0
    assert plugins.fusionbench(tmp_path, *words).returncode == -signal.SIGSEGV
    assert "in loss" in (tmp_path / "one/crash.txt").read_text()
    done = plugins.fusionbench(tmp_path, "evaluate", "one", "--data", "data/fusiondigits")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert "one: training did not finish: it crashed (Segmentation fault) in native code; stack: one/crash.txt" in line
    assert plugins.fusionbench(tmp_path, *words, CURED="1").returncode == 0
    assert not (tmp_path / "one/crash.txt").exists()
