"""``run.json``: read strictly, written as it was, and a folder that holds another run is not taken over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.plugin_files import plugins_of_this_command
from fusionbench.core.types import ImageSpec
from fusionbench.models import MODELS, create_model
from fusionbench.training import checkpoints
from fusionbench.training.run import Run, RunInfo, read_run
from fusionbench.training.schedule import create_training

SPEC = ImageSpec(channels=1, height=8, width=8, views=2)


def info(**changes: Any) -> RunInfo:
    fields: dict[str, Any] = {
        "model": "mean-image",
        "version": "1",
        "source": "fusionbench",
        "preset": "default",
        "params": {},
        "training": create_training({"batch": 8}),
        "dataset_name": "fusiondigits",
        "dataset_version": "1.0.0",
        "dataset_id": "a" * 64,
        "seed": 3,
    }
    return RunInfo(**fields | changes)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = info(
        steps=7, total_steps=9, planned_steps=20, seconds=1.5, cut=True, budget="9 steps", params={"z": [1, 2]}
    )
    written.write(tmp_path)
    assert read_run(tmp_path) == Run(tmp_path, written)
    fields = json.loads((tmp_path / "run.json").read_text())
    assert fields["format"] == "fusionbench.run/1" and (fields["steps"], fields["seed"]) == (7, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "fusionbench.run/2"},
        {"unknown": 1},
        {"seed": "3"},
        {"steps": 1.5},
        {"finished": None},
        {"model": None},
    ],
)
def test_another_content_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    info().write(tmp_path)
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=r"run\.json: (not a fusionbench run|is a fusionbench\.run/2, )") as caught:
        read_run(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.json"):
        read_run(tmp_path)
    for content in ("", "{", "[]", "[" * 100_000, "{}"):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(DataError, match="not a fusionbench run"):
            read_run(tmp_path)
    (tmp_path / "run.json").write_text(" " * ((1 << 20) + 1))
    with pytest.raises(DataError):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model": "first-view"}, "model"),
        ({"version": "2"}, "version"),
        ({"preset": None}, "preset"),
        ({"params": {"latent": 2}}, "params"),
        ({"training": create_training({"batch": 9})}, "training"),
        ({"dataset_id": "b" * 64}, "dataset_id"),
        ({"seed": 4}, "seed"),
        ({"budget": "5 steps"}, "budget"),
    ],
)
def test_another_configuration_is_another_run(tmp_path: Path, change: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=rf"holds another run \({name} is .* choose another folder"):
        Run(tmp_path, info()).check_same(info(**change))


def test_progress_and_names_are_no_configuration(tmp_path: Path) -> None:
    other = info(steps=5, total_steps=8, seconds=2.0, finished=True, cut=True, parameters=4, dataset_name="renamed")
    Run(tmp_path, info()).check_same(other)


def test_edited_code_is_named_and_no_finished_run_is_taken_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.py"
    file.write_text("from fusionbench.models.trivial import MeanImage\nclass Net(MeanImage):\n    pass\n")
    with plugins_of_this_command():
        name = MODELS.named(str(file))
        begun = info(model=name, source=MODELS.origin(name), steps=4)
        Run(tmp_path, begun).check_same(info(model=name, source=begun.source))
        assert begun.source_now() == begun.source == begun.model_identity("0" * 64).source
        file.write_text(file.read_text() + "# edited\n")
        now = info(model=name, source=MODELS.origin(name))
        both = f"{begun.source}, then {now.source}"
        assert begun.source != now.source and begun.model_identity("0" * 64).source == both
        Run(tmp_path, begun).check_same(now)  # an unfinished one goes on
        now.go_on_from(begun)
        assert (now.steps, now.source, now.source_now()) == (4, both, both)
        assert "is not the code that this run began with; its record names both" in capsys.readouterr().err
        begun.finished = True
        with pytest.raises(UsageError, match=r"was trained with other code \(net\.py \(sha256 .*\) there, net\.py"):
            Run(tmp_path, begun).check_same(info(model=name, source=MODELS.origin(name)))
        checkpoints.save_weights(create_model(name, SPEC), tmp_path / "weights.safetensors")
        Run(tmp_path, begun).load_model(SPEC)  # for scoring and for fusing
        told = f"{tmp_path}: trained by other code than its file has now: {both}; what it makes is of both\n"
        assert capsys.readouterr().err == f"warning: {told}"
    assert info(source="fusionbench 0.1").source_now() == "fusionbench 0.1"  # a release has versions for that


def test_identities_say_what_was_trained() -> None:
    made = info(steps=5, planned_steps=10, cut=True, params={"z": 2})
    training, model = made.identity(), made.model_identity("f" * 64)
    assert (training.preset, training.seed, training.steps, training.planned_steps) == ("default", 3, 5, 10)
    assert training.cut and training.dataset_id == "a" * 64 and training.params == made.training.identity()
    assert (model.name, model.version, model.params) == ("mean-image", "1", {"z": 2})
    assert (model.weights_sha256, model.source) == ("f" * 64, "fusionbench")


def test_a_finished_run_gives_its_model(tmp_path: Path) -> None:
    model = create_model("mean-image", SPEC)
    model.mean.copy_(torch.arange(64.0).reshape(1, 8, 8) / 64)
    checkpoints.save_weights(model, tmp_path / "weights.safetensors")
    loaded = Run(tmp_path, info(finished=True)).load_model(SPEC)
    assert torch.equal(loaded.mean, model.mean) and not loaded.training
    with pytest.raises(DataError, match="another model"):
        Run(tmp_path, info(finished=True)).load_model(ImageSpec(channels=3, height=8, width=8, views=2))
    with pytest.raises(DataError, match="training has not finished; run the same train command again"):
        Run(tmp_path, info()).load_model(SPEC)
