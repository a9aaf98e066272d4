"""One Python file in the place of a name: train, evaluate, run, fuse, score, describe, check."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fusionbench.cli.new import scaffold
from fusionbench.core.plugin_files import VARIABLE
from fusionbench.models import MODELS
from tests.cli.runner import run

MEAN = """
from torch import nn
from fusionbench.core.types import Preset

class {name}(nn.Module):
    title, reference, version = "Mean of mine", "me", "1"
    PRESETS = {{"default": Preset(note="nothing to set")}}

    def __init__(self, spec):
        super().__init__()

    def fuse(self, batch):
        return batch.views.mean(1)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MEAN.format(name="MyMean"))
    return tmp_path


def test_a_file_is_a_row_of_a_suite_and_forgotten_afterwards(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    words = ["run", "pairs-demo", "--models", "mine.py:MyMean,copy-a", "--no-sheets", "--json", "-q", "-j", 1]
    code, out, err = run(capsys, *words, "--device", "cpu")
    assert code == 0, err
    mine, copy = map(json.loads, out.splitlines())
    assert mine["identity"]["model"]["name"] == "my-mean" and mine["title"] == "Mean of mine"
    assert copy["identity"]["model"]["name"] == "copy-a"
    assert VARIABLE not in os.environ and "my-mean" not in MODELS.names()


def test_rows_by_the_name_of_their_model(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    from fusionbench.evaluation.run_suite import _named_rows
    from fusionbench.evaluation.suites import load_suite

    suite = load_suite("pairs-demo")
    assert [row.key for row in _named_rows(suite, ["mfeif"])] == ["mfeif-tiny"]
    assert [row.key for row in _named_rows(suite, ["gtf"])] == ["gtf"], "a row's own name comes first"
    twice = [row.key for row in _named_rows(suite, ["gradient-domain-natural", "gradient-domain-natural"])]
    assert twice == ["gradient-domain-natural"]
    code, _, err = run(capsys, "run", "pairs-demo", "--models", "mfei")
    assert code == 2 and err == "fusionbench: Unknown row of pairs-demo 'mfei'. Did you mean 'mfeif' or 'mfeif-tiny'?\n"


def test_train_evaluate_fuse(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """The scaffold as it is written, from training to a fused image."""
    for name, text in scaffold("model", "my-net").items():
        (here / name).write_text(text)
    assert run(capsys, "generate", "pairs-demo-patches", "-q")[0] == 0
    words = ["train", "my_net.py:MyNet", "--data", "pairs-demo-patches", "--budget", "2 steps", "--device", "cpu", "-q"]
    code, out, err = run(capsys, *words)
    assert code == 0, err
    folder = out.strip()
    assert folder == "runs/pairs-demo-patches/my-net-seed0"
    info = json.loads((here / folder / "run.json").read_text())
    assert info["model"] == "my-net" and info["source"].startswith("my_net.py (sha256 ")
    code, _, err = run(capsys, "evaluate", folder, "--data", "pairs-demo")
    assert code == 2 and err.startswith(f"fusionbench: {folder}: its model my-net is of my_net.py (sha256 ")
    assert err.endswith("add --plugin FILE.py with that file\n") and err.count("\n") == 1
    words = ["evaluate", folder, "--data", "pairs-demo", "--limit", 1, "--device", "cpu", "-q"]
    code, out, err = run(capsys, *words, "--plugin", "my_net.py")
    assert code == 0 and out.startswith("results/pairs-demo/my-net/"), err
    words = ["fuse", folder, "--demo", "--out", "fused", "--device", "cpu", "-q"]
    code, out, err = run(capsys, *words, "--plugin", "my_net.py:MyNet")
    assert code == 0, err


def test_a_metric_of_a_file(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    from fusionbench.core.images import encode_png
    from tests.metrics.scenes import scene

    for name, text in scaffold("metric", "contrast").items():
        (here / name).write_text(text)
    for name, image in zip(("fused", "a", "b"), scene(1), strict=True):
        (here / f"{name}.png").write_bytes(encode_png(image))
    images = ["--a", "a.png", "--b", "b.png", "--fused", "fused.png"]
    code, out, err = run(capsys, "score", *images, "--metrics", "en,contrast.py:METRIC", "--json")
    assert code == 0 and json.loads(out)["mean"].keys() == {"en", "contrast"}, err
    code, out, err = run(capsys, "--plugin", "contrast.py", "describe", "contrast", "--json")
    card = json.loads(out)
    assert code == 0 and card["kind"] == "metric" and card["origin"].startswith("contrast.py (sha256 "), err
    assert run(capsys, "describe", "contrast", "--kind", "metrics")[0] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:", "bad.py: cannot be imported: SyntaxError"),
        ("raise SystemExit(0)", "bad.py: cannot be imported: SystemExit"),
        ("x = 1", "bad.py: has no model; `fusionbench new model NAME` writes one that works"),
        (MEAN.format(name="A") + MEAN.format(name="B"), "has 2 models (a, b); name one as"),
        (MEAN.format(name="Average"), "the model name 'average' is taken (fusionbench "),
        ("from torch import nn\nclass A(nn.Module):\n def fuse(self, batch): ...", "A: a model says title, reference"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    text: str, message: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "bad.py").write_text(text)
    code, out, err = run(capsys, "train", "bad.py", "--data", "nothing")
    assert code == 2 and out == "" and message in err and err.count("\n") == 1, err


def test_what_is_no_file(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    code, _, err = run(capsys, "train", "none.py:Net", "--data", "x")
    assert code == 2 and err.strip().endswith("none.py: no such Python file")
    code, _, err = run(capsys, "train", "mine.py:MyMeam", "--data", "x")
    assert code == 2 and "Unknown name in mine.py 'MyMeam'. Did you mean 'MyMean'?" in err
    code, _, err = run(capsys, "list", "models", "--plugin", "mine.txt")
    assert code == 2 and "--plugin: 'mine.txt' is no Python file of yours" in err


def test_no_file_from_elsewhere_names_one(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """A suite, a recipe or a run is somebody else's: what it calls a model is a name, and is never run."""
    (here / "trap.py").write_text("open('sprung', 'w').close()\n" + MEAN.format(name="Trap"))
    suite = 'format = "fusionbench.suite/1"\nname = "s"\ntitle = "s"\ndataset = "pairs-demo"\nsplit = "all"\n'
    suite += '[protocol]\nname = "pairs/1"\n[[models]]\nname = "trap.py:Trap"\n'
    (here / "suite.toml").write_text(suite)
    assert run(capsys, "run", "suite.toml")[0] == 2
    (here / "suite.toml").write_text(suite.replace("trap.py:Trap", "trap.py"))  # a name that suites allow
    assert run(capsys, "run", "suite.toml")[0] == 2
    assert not (here / "sprung").exists()


def test_workers_of_a_cluster_have_no_files_of_ones_own(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    words = ["run", "pairs-demo", "--models", "mine.py:MyMean", "--scheduler", "tcp://127.0.0.1:1"]
    code, _, err = run(capsys, *words)
    assert code == 2 and "workers of a cluster have no Python files of yours" in err
