"""Models from records, and the command that trains them again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.masked import MaskedImages
from fusionbench.evaluation.reproduction.find_model import command_to_train, find_model
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError
from fusionbench.evaluation.reproduction.places import Finder, Places
from fusionbench.results.schema import Result, TrainingIdentity, load
from fusionbench.training.run import Run
from tests.helpers.reproduction import Trained, pair_result, trained_result

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained_result(tmp_path_factory.mktemp("made"))


def find(result: Result, made: Trained, scratch: Path, weights: list[Path], retrain: bool = False) -> object:
    dataset = open_dataset(made.data / "fusiondigits")
    finder = Finder(Places(data=[made.data], weights=weights, runs=scratch / "runs"), scratch)
    return find_model(result, dataset.spec, MaskedImages(dataset), finder, retrain, "cpu").model


def test_the_record_of_a_run_follows_from_the_result_and_not_from_what_lies_beside(
    made: Trained, tmp_path: Path
) -> None:
    result = load(made.result)
    run = find(result, made, tmp_path, [made.run])
    assert isinstance(run, Run) and run.folder.is_relative_to(tmp_path)
    assert run.info.identity() == Run(made.run, run.info).info.identity()
    assert result.identity.training is not None and run.info.steps == result.identity.training.steps == 2
    assert run.info.cut and run.info.finished


@pytest.mark.parametrize(
    ("change", "cause", "text"),
    [
        (lambda result: setattr(result.identity.model, "name", "nobody"), "model", "not registered"),
        (lambda result: setattr(result.identity.model, "version", "77"), "model", "the result is of 77"),
        (lambda result: setattr(result.identity.model, "params", {"warp": 9}), "model", "cannot be built"),
        (lambda result: setattr(result.identity.training, "steps", None), "training", "does not record steps"),
        (lambda result: result.identity.training.params.update(momentum=1), "training", "not known here"),
        (lambda result: setattr(result.identity.training, "dataset_id", "0" * 64), "data", "trained on"),
        (lambda result: setattr(result.identity.training, "planned_steps", 7), "training", "planned_steps"),
        (lambda result: setattr(result.identity.training, "preset", "enormous"), "training", "enormous"),
    ],
)
def test_records_that_cannot_be_trained_again(
    change: object, cause: str, text: str, made: Trained, tmp_path: Path
) -> None:
    result = load(made.result)
    change(result)  # type: ignore[operator]
    with pytest.raises(NotReproducibleError, match=text) as error:
        find(result, made, tmp_path, [], retrain=True)
    assert error.value.cause == cause


def test_without_weights_the_command_to_train_is_told(made: Trained, tmp_path: Path) -> None:
    with pytest.raises(NotReproducibleError, match=r"fusionbench train fcn --data data/fusiondigits/1\.0\.0") as error:
        find(load(made.result), made, tmp_path, [])
    assert error.value.cause == "weights"


def test_the_command_is_one_that_the_command_line_takes() -> None:
    """Of every shipped row that was trained: model, preset and parameters exist, and give the recorded training."""
    from fusionbench.cli.train import _split
    from fusionbench.cli.train import train_command as verb
    from fusionbench.models import get_preset
    from fusionbench.training.schedule import create_training

    rows = [load(path) for path in sorted((ROOT / "benchmarks" / "results").glob("**/result.json"))]
    trained = [row for row in rows if row.identity.training and row.identity.training.steps]
    assert len(trained) > 15
    for row in trained:
        words = shlex.split(command_to_train(row))
        assert words[:2] == ["fusionbench", "train"]
        given = verb.make_context("train", words[2:]).params
        params, training = _split(given["model"], given["settings"])
        preset = get_preset(given["model"], given["preset"])
        built = json.loads(json.dumps({**preset.model, **params}))
        assert built == row.identity.model.params, row.title
        recorded = row.identity.training
        assert recorded is not None and given["seed"] == recorded.seed
        settings = create_training({**preset.training, **training}).identity()
        assert {**settings, "betas": list(settings["betas"])} == recorded.params, row.title
        assert (given["budget"] is not None) == recorded.cut


def test_a_model_object_needs_no_weights(tmp_path: Path) -> None:
    from fusionbench.core.types import ImageSpec

    result = load(pair_result(tmp_path / "results", "laplacian-pyramid", levels=2))
    finder = Finder(Places(data=[], weights=[]), tmp_path)
    found = find_model(result, ImageSpec(1, 256, 256, 2), None, finder, False, "cpu")
    assert found.params == {"levels": 2} and not found.trained


def test_a_command_for_a_record_without_training() -> None:
    result = load(next((ROOT / "benchmarks" / "results" / "pairs-demo" / "average").iterdir()))
    result.identity.training = TrainingIdentity()
    assert command_to_train(result) == "fusionbench train average --data pairs-demo-patches"


def test_imported_weights_are_found_and_never_trained(made: Trained, tmp_path: Path) -> None:
    result = load(made.result)
    result.identity.training = TrainingIdentity()
    run = find(result, made, tmp_path, [made.run])
    assert isinstance(run, Run) and run.info.imported and run.info.identity().unknown and run.info.finished
    for retrain in (False, True):
        with pytest.raises(NotReproducibleError, match="imported, not trained: name them with --weights") as error:
            find(result, made, tmp_path, [], retrain=retrain)
        assert error.value.cause == "weights"
