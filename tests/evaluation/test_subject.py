"""The model that is scored: objects and runs, their identity, abilities and cost."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import Batch
from fusionbench.evaluation.subject import EvaluatedModel, loaded
from fusionbench.models import create_model
from fusionbench.training.loop import train
from fusionbench.training.run import read_run
from tests.helpers.learning import SPEC, MemoryDataset

DATA = MemoryDataset(train=32, test=10)
CPU = torch.device("cpu")


class Half(torch.nn.Module):
    """Grey, with three parameters of which one is a buffer."""

    title, version = "Half", "3"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        self.register_buffer("seen", torch.tensor([5], dtype=torch.int64))

    def fuse(self, batch: Batch) -> torch.Tensor:
        return torch.full_like(batch.views[:, 0], 0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "fcn"
    train("fcn", DATA, out=out, preset="tiny", device="cpu", budget="2 steps", seed=4, training={"batch": 16})
    return out


def test_an_object_is_known_by_its_class_version_and_weights() -> None:
    model = Half().train()
    found = EvaluatedModel.of(model, SPEC, CPU, {"depth": 2})
    expected = hashlib.sha256()  # of the state, by name: bytes of the buffer before those of the parameter
    expected.update(b"seen" + (5).to_bytes(8, "little") + b"weight")
    expected.update(torch.tensor([1.0, 2.0]).numpy().tobytes())
    identity = found.identity
    assert (identity.name, identity.version, identity.params) == ("half", "3", {"depth": 2})
    assert identity.weights_sha256 == expected.hexdigest()
    assert (found.title, found.family, found.parameters, found.run, found.training) == ("Half", "model", 2, None, None)
    assert found.cost() == {"parameters": 2, "train_hours": None}
    assert not model.training, "it is scored in evaluation mode"


def test_other_weights_are_another_model() -> None:
    model = Half()
    before = EvaluatedModel.of(model, SPEC, CPU).identity.weights_sha256
    with torch.no_grad():
        model.weight[1] += 1e-6
    assert EvaluatedModel.of(model, SPEC, CPU).identity.weights_sha256 != before


def test_a_registered_model_has_its_registered_name_and_family() -> None:
    found = EvaluatedModel.of(create_model("max-view", SPEC), SPEC, CPU)
    assert (found.identity.name, found.family, found.parameters) == ("max-view", "trivial", 0)


def test_a_run_is_the_same_by_folder_text_and_record(run: Path) -> None:
    found = [EvaluatedModel.of(one, SPEC, CPU) for one in (run, str(run), read_run(run))]
    for one in found:
        assert one.identity.name == "fcn" and one.run is not None and one.run.folder == run
        assert one.identity.weights_sha256 == hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()
        assert one.training is not None and (one.training.seed, one.training.steps, one.training.cut) == (4, 2, True)
        hours = one.cost()["train_hours"]
        assert hours == pytest.approx(read_run(run).info.seconds / 3600) and hours > 0
    assert found[0].identity == found[1].identity == found[2].identity


@pytest.mark.parametrize(
    ("abilities", "metrics"),
    [
        (["fuse"], ("mse_min",)),
        (["sample"], ("mse_min",)),
        (["log_weights"], ("nll",)),
        (["log_weights", "sample", "fuse"], ("nll", "mse_min")),
    ],
)
def test_metrics_follow_from_abilities(abilities: list[str], metrics: tuple[str, ...]) -> None:
    class Able(torch.nn.Module):
        title = version = "able"

    for ability in abilities:
        setattr(Able, ability, lambda self, batch: None)
    assert EvaluatedModel.of(Able(), SPEC, CPU).metrics == metrics


def test_what_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    class Mute(torch.nn.Module):
        title = version = "mute"

    with pytest.raises(UsageError, match="mute has none of log_weights, sample and fuse"):
        EvaluatedModel.of(Mute(), SPEC, CPU)
    with pytest.raises(DataError, match="nothing"):
        EvaluatedModel.of(tmp_path / "nothing", SPEC, CPU)


def test_loaded_gives_objects_back_and_runs_with_their_weights(run: Path) -> None:
    model = Half()
    assert loaded(model, SPEC) == (model, None)
    first, record = loaded(run, SPEC)
    again, _ = loaded(read_run(run), SPEC)
    assert record is not None and record.info.model == "fcn" and not first.training
    weights = again.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.state_dict().items())


def test_imported_weights_are_known_by_their_files_and_not_by_a_training() -> None:
    """The golden run of imported weights, scored as any run is."""
    from fusionbench.evaluation.pair_sets import open_pairs
    from fusionbench.evaluation.pairs import evaluate_pairs
    from fusionbench.results.schema import TrainingIdentity

    golden = Path(__file__).parents[1] / "golden" / "formats" / "run-1.1"
    result = evaluate_pairs(golden, open_pairs("pairs-demo", "all", None, limit=1), out=None, device="cpu")
    assert result.identity.training == TrainingIdentity() and result.cost["train_hours"] is None
    assert result.provenance["imported_weights"]["files"][0]["name"] == "golden.pth"
    digest = hashlib.sha256((golden / "weights.safetensors").read_bytes()).hexdigest()
    assert (result.identity.model.name, result.identity.model.weights_sha256) == ("ifcnn", digest)
