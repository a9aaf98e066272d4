"""The loop on a model of a few hundred weights; all comparisons on the CPU are to the bit."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from fusionbench.core.errors import DataError, MeasurementError, UsageError
from fusionbench.core.types import Batch, ImageSpec, LossTerms, Preset
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.models import MODELS, register_model
from fusionbench.models.checks import part
from fusionbench.training import checkpoints
from fusionbench.training.loop import train
from fusionbench.training.run import read_run
from tests.data.test_build import small_recipe
from tests.helpers.learning import MemoryDataset

DATA = MemoryDataset(train=32)
SHORT: dict[str, Any] = {"training": {"batch": 8, "epochs": 1, "warmup_epochs": 0.1}}  # 4 steps


def weights(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "weights.safetensors")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def stop_after(steps: int) -> Any:
    def stop(step: int) -> None:
        if step == steps:
            os.kill(os.getpid(), signal.SIGINT)

    return stop


@pytest.mark.parametrize("model", ["fusionvae", "cvae"])
def test_two_steps_and_two_more_are_four_steps(model: str, tmp_path: Path) -> None:
    whole = train(model, DATA, out=tmp_path / "whole", preset="tiny", **SHORT)
    with pytest.raises(KeyboardInterrupt):
        train(model, DATA, out=tmp_path / "parts", preset="tiny", on_step=stop_after(2), **SHORT)
    assert read_run(tmp_path / "parts").info.steps == 2
    torch.rand(5)  # whatever happens between the two
    parts = train(model, DATA, out=tmp_path / "parts", preset="tiny", **SHORT)
    assert (whole.info.steps, parts.info.steps) == (4, 4)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    again = train(model, DATA, out=tmp_path / "other", preset="tiny", **SHORT)
    assert same(weights(again.folder), weights(whole.folder))
    different = train(model, DATA, out=tmp_path / "seed", preset="tiny", seed=1, **SHORT)
    assert not same(weights(different.folder), weights(whole.folder))


def test_a_run_in_parts_is_the_same_to_the_bit(tmp_path: Path) -> None:
    whole = train("fusionvae-plus", DATA, out=tmp_path / "whole", preset="tiny", **SHORT)  # averages, re-estimates
    for steps in (3, 4):
        run = train("fusionvae-plus", DATA, out=tmp_path / "parts", preset="tiny", at_most=3, **SHORT)
        assert (run.info.steps, run.info.finished) == (steps, steps == 4)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts")) and whole.info.finished
    done = train("fusionvae-plus", DATA, out=tmp_path / "once", preset="tiny", at_most=4, **SHORT)
    assert done.info.finished, "as many steps as there are"


def test_a_run_in_slices_of_time_keeps_its_schedule_and_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train("fusionvae-plus", DATA, out=tmp_path / "whole", preset="tiny", **SHORT)
    over: list[int] = []
    monkeypatch.setattr("fusionbench.training.loop.time_is_up", lambda: bool(over))
    for steps in (1, 3):  # the clock says stop during this step
        over.clear()

        def on_step(step: int, last: int = steps) -> None:
            over.extend([step] if step >= last else [])

        run = train("fusionvae-plus", DATA, out=tmp_path / "parts", preset="tiny", on_step=on_step, **SHORT)
        assert (run.info.steps, run.info.total_steps, run.info.finished, run.info.cut) == (steps, 4, False, False)
        assert run.info.budget is None and read_run(tmp_path / "parts").info == run.info
    parts = train("fusionvae-plus", DATA, out=tmp_path / "parts", preset="tiny", **SHORT)  # its last step is its end
    assert parts.info.finished and parts.info.identity() == whole.info.identity()
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_however_little_time_there_is_every_call_takes_a_step(tmp_path: Path) -> None:
    steps = [train("fcn", DATA, out=tmp_path, preset="tiny", stop_after="0.001s", **SHORT).info.steps for _ in range(4)]
    assert steps == [1, 2, 3, 4] and read_run(tmp_path).info.finished
    with pytest.raises(UsageError, match="Time 'soon' is not understood"):
        train("fcn", DATA, out=tmp_path / "other", preset="tiny", stop_after="soon", **SHORT)
    assert not (tmp_path / "other").exists()


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    train("fcn", DATA, out=tmp_path, preset="tiny", **SHORT)
    before = (tmp_path / "weights.safetensors").stat().st_mtime_ns
    run = train("fcn", DATA, out=tmp_path, preset="tiny", on_step=stop_after(1), **SHORT)
    assert run.info.finished and (tmp_path / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="holds another run \\(seed"):
        train("fcn", DATA, out=tmp_path, preset="tiny", seed=3, **SHORT)


def test_parameters_may_be_tuples(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"preset": "tiny", "params": {"groups": (1, 1)}, **SHORT}
    with pytest.raises(KeyboardInterrupt):
        train("fusionvae", DATA, out=tmp_path, on_step=stop_after(2), **settings)
    run = train("fusionvae", DATA, out=tmp_path, **settings)
    assert run.info.finished and run.info.params["groups"] == [1, 1]
    assert train("fusionvae", DATA, out=tmp_path, **settings).info == read_run(tmp_path).info
    with pytest.raises(UsageError, match=r"Model parameters: .*complex"):
        train("fusionvae", DATA, out=tmp_path / "x", preset="tiny", params={"groups": 1j})


@pytest.fixture(scope="module")
def mirrored_live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = small_recipe(extra='\n[live]\nalgorithm = "augment/1"\nflip = true\n')
    return build_dataset(recipe, out=tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("live", [True, False])
def test_targets_are_augmented_live(
    live: bool, mirrored_live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe with [live]: stored targets in epoch 0, mirrored ones from epoch 1 on, and only if training is live."""
    dataset = open_dataset(mirrored_live)
    seen: list[Batch] = []
    loss = MODELS.get("fcn").loss

    def watched(model: Any, batch: Batch, *arguments: Any) -> LossTerms:
        seen.append(batch)
        return loss(model, part(batch, [0, 1, 2, 3]), *arguments)  # what it learns is no matter here

    monkeypatch.setattr(MODELS.get("fcn"), "loss", watched)
    settings = {"batch": 500, "epochs": 2, "live": live, "reestimate": 0}
    train("fcn", dataset, out=tmp_path / "run", preset="tiny", training=settings)
    assert len(seen) == 6  # three steps an epoch
    stored = torch.from_numpy(dataset.arrays("train").targets[:])[:, None].float() / 255
    mirrored = []
    for batch in seen:
        assert batch.target is not None
        as_stored = (batch.target == stored[batch.ids]).flatten(1).all(1)
        as_mirrored = (batch.target == stored[batch.ids].flip(-1)).flatten(1).all(1)
        assert bool((as_stored | as_mirrored).all())
        mirrored.append(int((~as_stored).sum()))
    assert mirrored[:3] == [0, 0, 0]
    # 1500 fair coins: six standard deviations are 116
    assert 750 - 116 < sum(mirrored[3:]) < 750 + 116 if live else mirrored[3:] == [0, 0, 0]


def test_budget_compresses_and_marks(tmp_path: Path) -> None:
    run = train("fcn", DATA, out=tmp_path / "cut", preset="tiny", budget="50%", **SHORT)
    assert (run.info.steps, run.info.planned_steps, run.info.cut) == (2, 4, True)
    assert run.info.identity().cut
    full = train("fcn", DATA, out=tmp_path / "full", preset="tiny", budget="100%", **SHORT)
    assert not full.info.cut and full.info.steps == 4


def test_budget_in_seconds_ends_training(tmp_path: Path) -> None:
    long = {"training": {"batch": 4, "epochs": 100_000}}
    run = train("fcn", MemoryDataset(train=4), out=tmp_path, preset="tiny", budget="1s", **long)
    assert run.info.cut and 1 <= run.info.steps < 100_000 and run.info.finished


def test_log_has_the_curves_of_every_step_once(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"training": {"batch": 4, "epochs": 3}}  # 24 steps: rows at 10, 20 and the end
    with pytest.raises(KeyboardInterrupt):
        train("fusionvae", DATA, out=tmp_path, preset="tiny", on_step=stop_after(15), **settings)
    train("fusionvae", DATA, out=tmp_path, preset="tiny", **settings)
    with open(tmp_path / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    losses = {int(row["step"]): float(row["value"]) for row in rows if row["name"] == "loss"}
    assert list(losses) == [10, 20, 24]
    assert losses[24] < losses[10]
    assert {"kl", "beta", "elbo", "reconstruction", "lr", "images_per_second"} <= {row["name"] for row in rows}


class Explodes(nn.Module):
    """Finite for ten steps, then not a number."""

    title = reference = "test"
    version = "1"
    PRESETS: ClassVar = {"tiny": Preset({}, {"batch": 4, "epochs": 2}, "test")}

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"main": [self.weight]}

    def loss(self, batch: Batch, group: str, step: int) -> LossTerms:
        return LossTerms(self.weight.sum() * (float("nan") if step >= 10 else 1.0))


class Adversaries(nn.Module):
    """Two groups that pull one number each, and only their own."""

    title = reference = "test"
    version = "1"
    PRESETS: ClassVar = {"tiny": Preset({}, {"batch": 16, "epochs": 1, "lr": 0.1, "optimizer": "adam"}, "test")}

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.generator, self.critic = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"generator": [self.generator], "critic": [self.critic]}

    def loss(self, batch: Batch, group: str, step: int) -> LossTerms:
        product = (self.generator + 1) * (self.critic + 1)
        return LossTerms((product if group == "generator" else -product).sum())


@pytest.fixture(autouse=True)
def registered() -> Any:
    for name, cls in (("explodes", Explodes), ("adversaries", Adversaries)):
        if name not in MODELS.names():
            register_model(name)(cls)
    yield
    for name in ("explodes", "adversaries"):
        MODELS._objects.pop(name, None)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusionbench.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(MeasurementError, match=r"loss is nan at step 11; the last good state is .*00000010"):
        train("explodes", DATA, out=tmp_path)
    kept = checkpoints.list_checkpoints(tmp_path / "checkpoint")
    assert [path.name for path in kept] == ["00000009", "00000010"]
    assert not (tmp_path / "weights.safetensors").exists()


def test_adversarial_groups_move_their_own_parameters(tmp_path: Path) -> None:
    train("adversaries", DATA, out=tmp_path)
    found = weights(tmp_path)
    assert float(found["generator"]) < 0 < float(found["critic"])
    with open(tmp_path / "log.csv") as stream:
        assert {"generator/loss", "critic/loss"} <= {row["name"] for row in csv.DictReader(stream)}


def test_groups_have_rates_of_their_own(tmp_path: Path) -> None:
    """Adam's first step is lr whatever the gradient; the critic's is smaller, and its floor is its rate: constant."""
    own = {"critic": {"lr": 1e-3, "lr_min": 1e-3}}
    run = train("adversaries", DATA, out=tmp_path, training={"per_group": own, "epochs": 0.5})
    found = weights(tmp_path)
    assert (float(found["generator"]), float(found["critic"])) == pytest.approx((-0.1, 1e-3), rel=1e-4)
    assert run.info.identity().params["per_group"] == own
    with open(tmp_path / "log.csv") as stream:
        rates = {row["name"]: float(row["value"]) for row in csv.DictReader(stream) if row["name"].endswith("lr")}
    assert rates == pytest.approx({"generator/lr": 0.1, "critic/lr": 1e-3})
    assert train("adversaries", DATA, out=tmp_path, training={"per_group": own, "epochs": 0.5}).info.finished
    with pytest.raises(UsageError, match=r"'critics'.*Did you mean 'critic'"):
        train("adversaries", DATA, out=tmp_path / "x", training={"per_group": {"critics": {"lr": 1}}})


def test_the_guard_sees_gradients_before_they_are_clipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr("fusionbench.training.loop.GradientGuard.skips", lambda self, norm: seen.append(norm) or False)
    train("adversaries", DATA, out=tmp_path, training={"guard": 3.0, "clip": 1e-3, "epochs": 0.5})
    assert len(seen) == 2 and min(seen) > 0.5


def test_models_that_take_statistics_are_fitted_in_one_pass(tmp_path: Path) -> None:
    run = train("mean-image", DATA, out=tmp_path)
    mean = DATA.stream("train", live=False).batch(range(32)).target.double().mean(dim=0)  # type: ignore[union-attr]
    torch.testing.assert_close(weights(tmp_path)["mean"].double(), mean, rtol=0, atol=1e-6)
    assert run.info.steps == 0 and not run.info.cut


@pytest.mark.parametrize("inputs", ["per-batch", "per-image", "all"])
def test_number_of_inputs(inputs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def loss(self: Explodes, batch: Batch, group: str, step: int) -> LossTerms:
        seen.append(batch.present)
        return LossTerms(self.weight.sum())

    monkeypatch.setattr(Explodes, "loss", loss)
    train("explodes", DATA, out=tmp_path, training={"batch": 16, "epochs": 20, "inputs": inputs})
    counts = torch.stack(seen).sum(dim=2)  # (steps, batch)
    assert torch.equal(torch.stack(seen), torch.arange(3) < counts[..., None])  # the first views, without gaps
    assert bool((counts == counts[:, :1]).all()) == (inputs != "per-image")
    assert set(counts.flatten().tolist()) == ({3} if inputs == "all" else {0, 1, 2, 3})


def test_no_pickle_in_a_run_folder_and_no_file_by_accident(tmp_path: Path) -> None:
    train("fcn", DATA, out=tmp_path, preset="tiny", **SHORT)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == [
        ".lock",
        "checkpoint/00000004/state.json",
        "checkpoint/00000004/state.safetensors",
        "checkpoint/00000004/weights.safetensors",
        "log.csv",
        "run.json",
        "weights.safetensors",
    ]
    json.loads((tmp_path / "run.json").read_text())


def test_damaged_runs_are_refused(tmp_path: Path) -> None:
    run = train("fcn", DATA, out=tmp_path, preset="tiny", **SHORT)
    path = tmp_path / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"weights\.safetensors"):
        run.load_model(DATA.spec)
    path.unlink()
    with pytest.raises(DataError, match="no such weights"):
        run.load_model(DATA.spec)
    other = train("cvae", DATA, out=tmp_path / "cvae", preset="tiny", **SHORT)
    path.write_bytes((other.folder / "weights.safetensors").read_bytes())
    with pytest.raises(DataError, match="another model"):
        run.load_model(DATA.spec)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run\.json"):
        read_run(tmp_path)
    with pytest.raises(DataError, match="no such run"):
        read_run(tmp_path / "nowhere")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    run = train("fcn", DATA, out=tmp_path, preset="tiny", **SHORT)
    model = run.load_model(DATA.spec)
    next(model.parameters()).data.fill_(float("inf"))
    checkpoints.save_weights(model, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="not finite"):
        run.load_model(DATA.spec)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("fcn", DATA, out=tmp_path, preset="tiny", on_step=stop_after(2), **SHORT)
    (tmp_path / "checkpoint/00000002/state.json").write_text("{}")
    with pytest.raises(DataError, match="damaged checkpoint"):
        train("fcn", DATA, out=tmp_path, preset="tiny", **SHORT)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'fcn'"):
        train("fnc", DATA, out=tmp_path)
    with pytest.raises(UsageError, match="Did you mean 'batch'"):
        train("fcn", DATA, out=tmp_path, training={"bach": 3})
    with pytest.raises(UsageError, match="Unknown device 'gpu'"):
        train("fcn", DATA, out=tmp_path, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"):
            train("fcn", DATA, out=tmp_path, device="cuda")
    with pytest.raises(UsageError, match="precision"):
        train("fcn", DATA, out=tmp_path, precision="fp8")


@pytest.mark.parametrize("model", ["fusionvae-plus", "cvae+s"])
def test_bf16_keeps_normals_and_likelihoods_in_float32(model: str, tmp_path: Path) -> None:
    run = train(model, DATA, out=tmp_path, preset="tiny", precision="bf16", device="cpu", **SHORT)
    assert all(value.dtype != torch.bfloat16 for value in weights(tmp_path).values())
    trained = run.load_model(DATA.spec)
    batch = DATA.stream("test").batch(range(4))
    exact = trained.log_weights(batch, 2, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = trained.log_weights(batch, 2, seed=0)
    assert rounded.dtype == torch.float64
    # 8 bits of mantissa in the convolutions: a few nats of about 150
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0)


def test_tensorboard_gets_the_same_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train("fcn", DATA, out=tmp_path, preset="tiny", tensorboard=True, **SHORT)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents*"))
