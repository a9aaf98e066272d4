"""The campaign's script, dry: slices that go on, what is left in its folder, and what stops it. A few steps each."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fusionbench.core.errors import MeasurementError
from fusionbench.training.loop import _Loop

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")  # the data set is built once


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script with two models and one seed more; the kernels' figures are not measured."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module: Any = importlib.import_module("gpu_campaign")
    monkeypatch.setattr(module, "FIRST", ("fcn",))
    monkeypatch.setattr(module, "OTHERS", ())
    monkeypatch.setattr(module, "PLUS", ("cvae",))
    monkeypatch.setattr(module, "printed_by", lambda script, arguments: f"{script.name} {' '.join(arguments)}\n")
    return module


@pytest.fixture
def arguments(tmp_path: Path, scratch: Path) -> list[str]:
    places = ["--state", str(tmp_path / "state"), "--scratch", str(scratch)]
    return [*places, "--dry-run", "--device", "cpu", "--at-once", "1"]


def test_slices_go_on_to_the_end(
    campaign: Any, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, over = tmp_path / "state", []  # type: ignore[var-annotated]

    def late() -> bool:
        if not (state / "runs/fusionmnist/fcn-seed0/run.json").is_file():
            return False  # in the measurement of throughput
        over.append(1)
        return len(over) == 3

    monkeypatch.setattr("fusionbench.training.loop.time_is_up", late)
    assert campaign.main(arguments) == 75
    (checkpoint,) = (state / "runs/fusionmnist/fcn-seed0/checkpoint").iterdir()
    assert checkpoint.name == "00000003"
    kinds = {
        name.rpartition(".")[2]: value.dtype for name, value in load_file(checkpoint / "state.safetensors").items()
    }
    assert kinds["exp_avg"] == kinds["exp_inf"] == torch.bfloat16 and kinds["step"] == torch.float32
    report = json.loads((state / "report.json").read_text())
    (run,) = report["runs"]
    assert (run["run"], run["steps"], run["finished"]) == ("fcn-seed0", 3, False) and run["of"] > 3
    assert {one["stage"]: one["done"] for one in report["stages"]} == {
        "digests": True,
        "throughput": True,
        "first": False,
    }
    assert "| fcn-seed0 | 3 |" in (state / "report.md").read_text()

    assert campaign.main(arguments) == 0
    report = json.loads((state / "report.json").read_text())
    stages = {one["stage"]: one["done"] for one in report["stages"]}
    assert list(stages) == list(importlib.import_module("campaign_report").ORDER) and len(report["slices"]) == 2
    assert not stages.pop("pairs") and all(stages.values()), "RoadScene was not given; it may be in a later slice"
    trained = {(one["run"], one["steps"] == one["of"]) for one in report["runs"] if one["of"]}
    assert trained == {(f"{key}-seed{seed}", True) for key in ("fcn", "cvae") for seed in (0, 1)}
    scored = [(one["title"], one["seed"]) for one in report["results"]]
    assert (
        len(scored) == len(set(scored)) == 7 and ("FCN", 1) in scored
    )  # two models twice, and three that learn nothing
    assert not list((state / "runs").rglob("checkpoint")), "weights are all that a finished run leaves"
    assert "--device cpu" in (state / "figures/train.txt").read_text()
    assert not list((tmp_path / "state").rglob("*.h5"))

    before = {path: path.stat().st_mtime_ns for path in state.rglob("*.safetensors")}
    assert campaign.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in state.rglob("*.safetensors")} == before


def test_nothing_is_trained_on_other_masks(
    campaign: Any, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    wrong = SimpleNamespace(laws=lambda: {"masks": None}, digest=lambda maker, device: str(device), SAMPLES=0)
    monkeypatch.setattr(campaign, "load_script", lambda path: wrong)
    assert campaign.main(arguments) == 1
    assert "makes other views than NumPy (masks)" in capsys.readouterr().err
    assert json.loads((tmp_path / "state/figures/device_bits.json").read_text())[0]["same"] is False
    assert not (tmp_path / "state/runs").exists()
    assert not json.loads((tmp_path / "state/report.json").read_text())["stages"][0]["done"]


def test_a_row_that_fails_twice_is_given_up(
    campaign: Any, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = _Loop._train

    def fails(self: Any, model: Any) -> bool:
        if "fcn" in self.info.model and "throughput" not in str(self.out):
            raise MeasurementError("loss is nan at step 1")
        return train(self, model)

    monkeypatch.setattr(_Loop, "_train", fails)
    assert campaign.main(arguments) == 3
    report = json.loads((tmp_path / "state/report.json").read_text())
    assert report["failed"] == {f"fcn-seed{seed}": ["loss is nan at step 1"] * 2 for seed in (0, 1)}
    assert {one["title"] for one in report["results"]} >= {"CVAE", "mean image"}
    assert "fcn-seed0 failed: loss is nan" in (tmp_path / "state/report.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--dry-run": None}, "--mnist: the folder of MNIST's four IDX files is needed"),
        ({"--minutes": "0"}, "have to be positive"),
        ({"--device": "gpu"}, "Unknown device 'gpu'"),
    ],
)
def test_bad_arguments(
    change: dict[str, str | None], message: str, campaign: Any, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in change.items():
        arguments = [one for one in arguments if one != name] if value is None else [*arguments, name, value]
    assert campaign.main(arguments) == 2 and message in capsys.readouterr().err


def test_a_damaged_state_is_refused(campaign: Any, arguments: list[str], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/campaign.json").write_text('{"stages": 7}')
    assert campaign.main(arguments) == 2
    assert "campaign.json: not the state of a campaign" in capsys.readouterr().err


def test_expected_minutes(campaign: Any) -> None:
    report = importlib.import_module("campaign_report")
    assert (report.rate_of(1), report.rate_of(6), report.rate_of(9)) == (10_444, 16_857, 16_857)
    images = 400 * (60_000 // 1600) * 1600
    expected = report.expected_minutes({"plus": 1, "seeds": 12}, at_once=6)
    assert expected["plus"] == pytest.approx(images / 10_444 / 60)
    assert expected["seeds"] == pytest.approx(12 * images / 16_857 / 60)
    assert expected["tables"] == pytest.approx(13 * 10 * 110 / 60)


def test_fewer_models_at_once_where_they_would_not_fit(campaign: Any, scratch: Path, tmp_path: Path) -> None:
    from fusionbench.data.build import build_dataset
    from fusionbench.data.recipes import load_recipe

    def room(limit: float) -> int:
        made = campaign.Campaign(None, tmp_path, scratch, dry=True, limit_mb=limit, device="cpu")
        made.folder = build_dataset(load_recipe("fusiondigits"), None, scratch)
        number: int = made.room(("fcn", 0))
        return number

    assert (room(60), room(0.001)) == (6, 1)
    weights = tmp_path / "runs/fusionmnist/cvae-seed0/weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(60_000_000))
    assert room(60) == 1
