"""What a verb costs to start, told by the modules that it loads, and verbs at work where torch cannot be imported.

Times are not asserted: ``benchmarks/perf/startup.py`` measures them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.cli import VERBS, main
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.results.gate import baseline_of, write_baseline
from tests.helpers.results import made_up
from tests.metrics.scenes import scene

ROOT = Path(__file__).resolve().parents[2]
# A sitecustomize of Python's own kind, so that worker processes have it, too.
HOOK = """
import atexit, os, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "lightning", "lightning_fabric"}:
            with open(os.environ["FUSIONBENCH_TEST_REFUSED"], "a") as stream:
                stream.write(name + "\\n")
            raise ImportError(f"{name} is refused here", name=name)

def note():
    with open(os.environ["FUSIONBENCH_TEST_LOADED"], "a") as stream:
        stream.writelines(name + "\\n" for name in {name.partition(".")[0] for name in sys.modules})

sys.meta_path.insert(0, Refuse())
atexit.register(note)
"""
HEAVY = {
    "PIL",
    "cv2",
    "h5py",
    "jinja2",
    "joblib",
    "matplotlib",
    "numpy",
    "pandas",
    "pywt",
    "rich",
    "scipy",
    "skimage",
    "sklearn",
}


@dataclass
class Done:
    """How a command without torch ended: exit code, what it printed, what it loaded, what it was refused."""

    code: int
    out: str
    err: str
    loaded: set[str]
    refused: list[str]


@dataclass
class Bench:
    """A folder with something for every verb, and the hook that refuses torch."""

    root: Path
    hook: Path

    def python(self, *arguments: object) -> Done:
        refused, loaded = self.root / "refused.txt", self.root / "loaded.txt"
        for path in (refused, loaded):
            path.write_text("")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.hook), str(ROOT)]),
            "FUSIONBENCH_TEST_REFUSED": str(refused),
            "FUSIONBENCH_TEST_LOADED": str(loaded),
        }
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=300)
        names = set(loaded.read_text().split())
        return Done(done.returncode, done.stdout, done.stderr, names, refused.read_text().split())

    def run(self, *arguments: object) -> Done:
        """``fusionbench ARGUMENTS``, which must end well and must not even try to import torch."""
        done = self.python("-m", "fusionbench", *arguments)
        assert done.code == 0, f"{arguments}: {done.out}\n{done.err}"
        assert not done.refused, f"{arguments} tried to import {done.refused}"
        return done


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root, hook = tmp_path_factory.mktemp("bench"), tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(HOOK)
    build_dataset(load_recipe("fusiondigits"), out=root / "data")
    for number in range(2):
        for folder, image in zip(("fused", "ir", "vi"), scene(number, (48, 52)), strict=True):
            (root / folder).mkdir(exist_ok=True)
            assert cv2.imwrite(str(root / folder / f"{number}.png"), image)
    for name, shift in (("cvae", 0.0), ("fcn", 0.1)):
        made_up(root / "results", name, shift=shift)
    write_baseline(root / "base.json", baseline_of([root / "results"]))
    (root / "digits.toml").write_bytes((ROOT / "datasets_recipes" / "fusiondigits.toml").read_bytes())
    return Bench(root, hook)


def test_the_hook_refuses_torch(bench: Bench) -> None:
    """Otherwise the tests below would prove nothing."""
    done = bench.python("-c", "import torch")
    assert done.code == 1 and done.refused == ["torch"] and "refused here" in done.err
    train = bench.python("-m", "fusionbench", "train", "fcn", "--data", "data/fusiondigits")
    assert train.code == 3 and train.refused == ["torch"]
    assert train.err.splitlines()[-1].startswith("fusionbench: torch cannot be used") and "doctor" in train.err


def test_a_torch_that_lacks_a_library_is_one_line(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch.so: not found')")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
sys.meta_path.pop(0)
from fusionbench.cli import main
main()
"""
    done = bench.python("-c", code, "train", "fcn", "--data", "data/fusiondigits")
    assert done.code == 3 and done.err.count("\n") == 1, done.err
    assert done.err.startswith("fusionbench: torch cannot be used (libtorch.so: not found); see ")


def test_an_error_of_ours_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'x'")

    monkeypatch.setattr("fusionbench.cli.cli.main", fail)
    with pytest.raises(SystemExit) as left:
        main(["list"])
    err = capsys.readouterr().err
    assert left.value.code == 3 and "in fail" in err and "AttributeError: 'NoneType' object has no attribute" in err


def test_an_empty_opencv_is_one_line(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from fusionbench.cli import main; main()"
    done = bench.python("-c", code, "score", "--a", "ir", "--b", "vi", "--fused", "fused")
    assert done.code == 3 and "Traceback" not in done.err
    assert done.err.splitlines()[-1].startswith("fusionbench: cv2 cannot be used (module 'cv2' has no attribute ")


# what each verb loads of the heavy packages, at most
FILES = {"numpy", "PIL", "cv2"}
SHARDS = {"numpy", "h5py"}
WORKING = {
    "score --a ir --b vi --fused fused": FILES | {"joblib", "scipy"},  # scipy.special alone, for the interval
    "score --a ir --b vi --fused fused --metrics fmi,nabf,qcb -o scores.csv": FILES | {"joblib", "scipy"},
    "explain sd 40 --a ir --b vi --fused fused": FILES,
    "verify data/fusiondigits": SHARDS | {"PIL"},  # for the preview
    "verify data/fusiondigits --regenerate 5": SHARDS | {"cv2", "PIL"},
    "verify --self-test": {"numpy", "cv2"},
    "preview data/fusiondigits -o sheet.png": SHARDS | {"PIL"},
    "diff data/fusiondigits data/fusiondigits": SHARDS,
    "diff data/fusiondigits data/fusiondigits -o diff.html": SHARDS | {"jinja2", "PIL", "rich"},
    "fetch digits": {"numpy"},
    "export data/fusiondigits --to png -o png": SHARDS | {"cv2", "PIL"},
    "generate fusiondigits --out other --jobs 1": SHARDS | {"cv2", "PIL"},
    "plan fusiondigits": {"numpy", "cv2"},
    "status data": {"numpy"},
    "sample fusiondigits test 3 -o samples": {"numpy", "cv2", "PIL"},
    "recipe check mine.toml": {"numpy"},
    "recipe check digits.toml": {"numpy", "cv2", "joblib"},  # images are read in threads
    "compare results": {"numpy", "rich", "scipy"},  # quantiles of Student's t and of the studentised range
    "compare results --csv": {"numpy", "rich", "scipy"},
    "paper table results --metrics mse_min,params -o table.tex": {"numpy", "rich", "scipy"},
    "paper cost results --metric mse_min -o cost.pdf": {"numpy", "rich", "scipy", "matplotlib", "PIL"},
    "gate results --baseline new.json --update-baseline": {"numpy", "rich", "scipy"},
    "gate results --baseline base.json": {"numpy", "rich", "scipy"},  # quantiles of Student's t
    "board results -o site": {"numpy", "jinja2", "scipy"},
    "list": {"numpy"},
    "list metrics": {"numpy", "rich"},
    "list sources": {"numpy", "rich"},
    "list recipes": {"numpy", "rich"},
    "list suites": {"numpy", "rich"},
    "list datasets": {"rich"},
    "describe vif": {"numpy"},
    "describe mse_min": {"numpy"},
    "describe fusionmnist": {"numpy"},
    "--help": set(),
    "score --help": set(),
}


@pytest.mark.parametrize("arguments", WORKING)
def test_verbs_work_without_torch(arguments: str, bench: Bench) -> None:
    if "mine.toml" in arguments:
        (bench.root / "mine.toml").write_text(bench.run("recipe", "new", "mine").out)
    done = bench.run(*arguments.split())
    assert done.loaded & HEAVY <= WORKING[arguments], "a package more is loaded; import it where it is used"
    assert done.out or done.err


def test_workers_of_a_build_need_no_torch(bench: Bench) -> None:
    done = bench.run("generate", "fusiondigits", "--out", "with-jobs", "--jobs", "2")
    assert "joblib" in done.loaded, "the build used worker processes"
    assert bench.run("diff", "data/fusiondigits", "with-jobs/fusiondigits").out.strip() == "the data are the same"


@pytest.mark.parametrize(
    ("verbs", "heavy"),
    [
        (tuple(verb for verb in VERBS if verb != "evaluate"), set()),
        (("evaluate",), {"numpy"}),  # names the options of all protocols, which are imported for it
    ],
)
def test_every_help_is_light(verbs: tuple[str, ...], heavy: set[str], bench: Bench) -> None:
    code = f"""
from fusionbench.cli import main
for args in (['--help'], ['--version'], *([verb, '--help'] for verb in {verbs!r})):
    try: main(args)
    except SystemExit as leaving: assert not leaving.code, args
"""
    done = bench.python("-c", code)
    assert done.code == 0 and not done.refused, done.err
    assert all(f"fusionbench {verb} " in done.out for verb in verbs)
    assert done.loaded & HEAVY == heavy


@pytest.mark.parametrize(
    "code", ["import fusionbench", "import fusionbench; fusionbench.list_models(); fusionbench.list_metrics()"]
)
def test_the_package_is_light(code: str, bench: Bench) -> None:
    done = bench.python("-c", code)
    assert done.code == 0 and not done.refused and not done.loaded & HEAVY, done.err


def test_metrics_and_streams_need_no_torch_before_tensors(bench: Bench) -> None:
    code = """
import numpy as np
import fusionbench.evaluation.curves, fusionbench.evaluation.masked
import fusionbench.evaluation.pairs, fusionbench.training.runtime
from fusionbench import get_metric, list_metrics, open_dataset
images = np.random.default_rng(0).integers(0, 256, (3, 1, 192, 192), dtype=np.uint8)
for name in list_metrics():
    metric = get_metric(name)
    if metric.needs in ('pair', 'fused'):
        assert np.isfinite(metric.function(*(images if metric.needs == 'pair' else images[:1]))).all(), name
dataset = open_dataset('data/fusiondigits')
assert dataset.arrays('test').views[:2].shape == (2, 3, 32, 32)
assert len(dataset.labels('test')) == dataset.size('test') == len(dataset.stream('test')) == len(dataset['test'])
assert dataset[0]['views'].shape == (3, 32, 32) and dataset._repr_html_() and list(dataset['test'][:2])
import fusionbench as fb
fused, a, b = images[:, 0]
scores = fb.score(fused, a, b)
assert fb.compare({'one': scores, 'two': fb.score(a, a, b)}, resamples=100)._repr_html_() and scores._repr_html_()
assert fb.score('fused', 'ir', 'vi')['vif'] > 0
from fusionbench.data.sampler import ResumableSampler
assert sorted(ResumableSampler(dataset['test'])) == list(range(296))
import sys
assert not {'pandas', 'matplotlib', 'IPython'} & set(sys.modules)
"""
    done = bench.python("-c", code)
    assert done.code == 0 and not done.refused, done.err


def test_a_row_of_a_suite_is_scored_without_torch(bench: Bench) -> None:
    command = "score --a ir --b vi --fused fused --suite ivif-tno --name mine --out rows --json"
    result = json.loads(bench.run(*command.split()).out)
    assert result["status"] == "scored" and result["scores"]["vif"]["mean"] is not None


def test_predictions_are_packed_checked_and_scored_without_torch(bench: Bench) -> None:
    """``accept`` scores in a child with an environment of its own, so the child's function is called here."""
    digits = "data/fusiondigits"
    samples = bench.root / "samples.npy"
    np.save(samples, np.zeros((4, 4, 2, 32, 32), np.uint8))
    (bench.root / "suite.toml").write_text(
        'format = "fusionbench.suite/1"\nname = "small"\ntitle = "Small"\ndataset = "fusiondigits"\n'
        '[protocol]\ndraws = 2\nlimit = 4\n[[models]]\nname = "mean-image"\n'
    )
    described = ("--title", "Black", "--submitter", "Nobody", "--model", "black")
    bench.run("pack", samples, "-o", "black.zip", "--data", digits, *described)
    bench.run("check", "black.zip", "--data", digits)
    bench.run("accept", "black.zip", "--data", digits, "--suite", bench.root / "suite.toml", "--out", "accepted")
    code = f"""
import pathlib
import zipfile
zipfile.ZipFile('black.zip').extractall('black')
from fusionbench.submissions.predictions import examine_once
from fusionbench.submissions.prediction_scores import score_predictions_once
pathlib.Path('examined').mkdir()
examine_once('black', '{digits}', 'examined')
score_predictions_once('black', '{digits}', 'suite.toml', 'scored')
"""
    done = bench.python("-c", code)
    assert done.code == 0 and not done.refused, done.err
    accepted, scored = (
        json.loads(next((bench.root / folder).glob("*/*/*/result.json")).read_text())["scores"]
        for folder in ("accepted", "scored")
    )
    assert accepted == scored
