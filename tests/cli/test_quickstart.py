"""The main job, cut short so that it takes seconds: every file is there, resumed runs do not work again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from fusionbench.cli.quickstart import quickstart_command
from fusionbench.evaluation.suites import load_suite
from fusionbench.results import schema
from fusionbench.results.gate import GateOutcome, baseline_of, write_baseline
from tests.cli.runner import run
from tests.helpers import plugins

BASELINE = Path(__file__).parents[2] / "benchmarks" / "baselines" / "quickstart-smoke.json"
MODELS = ("mean-image", "first-view", "max-view", "fcn", "cvae", "fusionvae-patch")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped suite on 24 images with 2 draws."""
    shipped = load_suite("quickstart")
    assert {row.name for row in shipped.models} == set(MODELS) and shipped.dataset == "fusiondigits"
    path = tmp_path_factory.mktemp("suite") / "small.toml"
    rows = "".join(f'[[models]]\nname = "{row.name}"\npreset = "{row.preset or "default"}"\n' for row in shipped.models)
    path.write_text(
        'format = "fusionbench.suite/1"\nname = "small"\ntitle = "Small"\ndataset = "fusiondigits"\n'
        f"[protocol]\ndraws = 2\nlimit = 24\n{rows}"
    )
    return path


@pytest.fixture(scope="module")
def made(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """One quickstart with two steps of training a model, told as JSON."""
    out = tmp_path_factory.mktemp("quickstart") / "out"
    arguments = ["--out", str(out), "--suite", str(suite), "--budget", "2 steps", "--json"]
    done = CliRunner().invoke(quickstart_command, arguments)
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


def test_everything_is_there(made: tuple[Path, dict]) -> None:
    out, report = made
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == list(MODELS)
    assert {name for name, row in rows.items() if row["trivial"]} == {"mean-image", "first-view", "max-view"}
    for name in ("fcn", "cvae", "fusionvae-patch"):
        assert rows[name]["cut"]
        assert {f"nll@{n}" for n in "0123"} | {f"nll_bpd@{n}" for n in "0123"} <= set(rows[name]["scores"])
    assert all({f"mse_min@{n}" for n in ("0", "1", "2", "3", "mean")} <= set(row["scores"]) for row in rows.values())
    for name in ("contact_sheet", "sample_sheet", "fused_pairs"):
        with Image.open(report[name]) as sheet:
            assert sheet.format == "PNG" and min(sheet.size) > 300
    page = Path(report["site"]).read_text()
    assert page.count(" class=trivial") == 3 and "Training cut short: not ranked" in page
    assert len(list((out / "site" / "pictures").iterdir())) == 4  # views, draws, reconstructions, fused pairs
    assert page.index("Outputs of the models") < page.index("embedded pairs of two sensors"), "after the digits"
    assert len(schema.load_folder(report["results"])) == 6


def test_our_own_gate(
    made: tuple[Path, dict], regen: bool, fusionbench_gate: Callable[[str, Path], GateOutcome]
) -> None:
    """Two steps of training decide nothing, but they hold data, initial weights, training and scores to a baseline."""
    if regen:
        write_baseline(BASELINE, baseline_of([made[1]["results"]]))
    outcome = fusionbench_gate(made[1]["results"], BASELINE)
    assert {case.model for case in outcome.cases} == set(MODELS)


def test_the_second_time_finds_everything(
    made: tuple[Path, dict], suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = made
    weights = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/weights.safetensors")}
    code, table, talk = run(capsys, "quickstart", "--out", out, "--suite", suite, "--budget", "2 steps")
    assert code == 0 and weights and weights == {path: path.stat().st_mtime_ns for path in weights}
    assert "NLL (nats, bits/dim), lower is better" in table and "FusionVAE-Patch (cut short)" in table
    assert str(report["site"]) in table and "Done in" in talk and "fusionbench compare" in talk


def test_damaged_data_are_repaired(made: tuple[Path, dict], suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, report = made
    shard = next(Path(report["data"]).glob("*-test-*.h5"))
    whole = shard.read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    code, _, err = run(capsys, "quickstart", "--out", made[0], "--suite", suite, "--budget", "2 steps")
    assert code == 0 and shard.read_bytes() == whole
    assert f"{shard.name} (its bytes have changed)" in err and "repaired" in err


@pytest.mark.slow
def test_a_row_that_crashes_is_missing_on_the_pages_and_told(tmp_path: Path) -> None:
    done = plugins.fusionbench(tmp_path, "quickstart", "--suite", plugins.suite(tmp_path, "nothing", "SIGSEGV"))
    assert done.returncode == 3 and "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("fusionbench: small: the row sigsegv, seed 0: crashed (SIGSEGV) in native code; log: ")
    log = tmp_path / line.partition("log: ")[2].partition(";")[0]
    assert log == tmp_path / "quickstart/runs/small/sigsegv-seed0.log" and "Segmentation fault" in log.read_text()
    assert "A net" in done.stdout and "quickstart/site/index.html" in done.stdout
    page = (tmp_path / "quickstart/site/index.html").read_text()
    assert "A net" in page and page.count(" class=trivial") == 1
    assert len(schema.load_folder(tmp_path / "quickstart/results")) == 2
    assert (
        len(list((tmp_path / "quickstart/site/pictures").iterdir())) == 4
    )  # views, draws, reconstructions, fused pairs
    again = plugins.fusionbench(tmp_path, "quickstart", "--suite", "small.toml", CURED="1")
    assert again.returncode == 0 and len(schema.load_folder(tmp_path / "quickstart/results")) == 3
