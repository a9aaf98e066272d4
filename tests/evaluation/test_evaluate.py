"""``evaluate`` takes what a researcher has: a function, a name, a run, data by name or opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusionbench as fb
from fusionbench.cli.names import named
from fusionbench.core.errors import FusionbenchError, MeasurementError, UsageError
from fusionbench.core.plugin_files import VARIABLE, plugins_of_this_command
from fusionbench.core.types import ImageSpec
from fusionbench.data.dataset import Dataset
from fusionbench.evaluation.fusing.methods import load_method
from fusionbench.evaluation.masked import Protocol, evaluate_masked
from fusionbench.evaluation.pairs import evaluate_pairs
from fusionbench.models import MODELS

CPU: dict[str, Any] = {"device": "cpu", "out": None}
SPEC = ImageSpec(1, 256, 256, views=2)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return fb.build_dataset("fusiondigits", out=tmp_path_factory.mktemp("data")).dataset


def means(result: fb.Result) -> dict[str, float | None]:
    return {key: score.mean for key, score in result.scores.items()}


def test_a_function_scores_what_the_same_method_scores() -> None:
    pairs = fb.open_pairs("pairs-demo", limit=1)
    wanted = evaluate_pairs(fb.create_model("copy-b", SPEC), pairs, **CPU)

    def take_b(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return b

    for data, options in ((pairs, {}), ("pairs-demo", {"limit": 1}), (fb.open_pairs("pairs-demo"), {"limit": 1})):
        found = fb.evaluate(take_b, data, **CPU, **options)
        assert means(found) == means(wanted)
        assert (found.identity.model.name, found.title, found.status) == ("take-b", "take_b", "scored")
        assert means(fb.evaluate("copy-b", data, **CPU, **options)) == means(wanted)
    stretched = fb.evaluate(take_b, pairs, stretch=True, title="B, stretched", **CPU)
    assert stretched.identity.protocol.params["stretch"] is True and stretched.title == "B, stretched"


def test_a_function_is_scored_again_at_every_call(tmp_path: Path) -> None:
    """Its name is all that is known of it: what it was before must not be taken for what it is."""
    divisor = 1

    def method(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.maximum(a, b) // divisor

    options: dict[str, Any] = {"device": "cpu", "out": tmp_path, "limit": 1}
    first = fb.evaluate(method, "pairs-demo", **options)
    divisor = 2
    second = fb.evaluate(method, "pairs-demo", **options)
    assert first.id == second.id and first["sd"].mean > second["sd"].mean > 0
    assert len(list(tmp_path.glob("**/result.json"))) == 1
    named = fb.compare(second, fb.evaluate("average", "pairs-demo", **options), resamples=100)
    assert sorted(entry.title for entry in named.entries) == ["average of the sources", "method"]


def test_masked_views_are_scored_as_before(digits: Dataset, tmp_path: Path) -> None:
    model = fb.create_model("max-view", digits.spec)
    wanted = evaluate_masked(model, digits, protocol=Protocol(draws=2, seed=3), limit=20, **CPU)
    ways: list[dict[str, Any]] = [
        {"protocol": Protocol(draws=2, seed=3)},
        {"draws": 2, "seed": 3},
        {"protocol": "masked", "draws": 2, "seed": 3, "batch": 7},
    ]
    for options in ways:
        for data in (digits, str(digits.folder)) if "protocol" not in options else (digits,):
            found = fb.evaluate(model, data, limit=20, **CPU, **options)
            assert found.id == wanted.id and means(found) == means(wanted), options
    run = fb.train("mean-image", digits, out=tmp_path / "run", device="cpu")
    folder = fb.evaluate(str(run.folder), digits, limit=20, **CPU)
    assert means(folder) == means(fb.evaluate(run, digits, limit=20, **CPU)) and len(folder.images["id"]) == 20
    assert fb.evaluate(run, digits, split="train", limit=5, **CPU).identity.dataset.split == "train"


def test_a_class_in_a_file_is_built(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("from fusionbench.models.classical.pyramids import CopyA\nclass Mine(CopyA):\n    title = 'mine'\n")
    found = fb.evaluate(f"{file}:Mine", "pairs-demo", limit=1, **CPU)
    assert found.title == "mine" and means(found) == means(fb.evaluate("copy-a", "pairs-demo", limit=1, **CPU))
    assert fb.evaluate(file, "pairs-demo", limit=1, **CPU).id == found.id  # the only model in the file
    assert found.identity.model.name == "mine"
    with plugins_of_this_command():
        assert named("models", str(file)) == "mine" and MODELS.is_file("mine")  # as on the command line
    file.write_text(file.read_text() + "class Other(Mine):\n    title = 'other'\n")
    with pytest.raises(UsageError, match=r"own\.py: has 2 models \(mine, other\); name one as .*own\.py:NAME"):
        fb.evaluate(file, "pairs-demo", limit=1, **CPU)
    assert load_method(f"{file}:Other", device="cpu").model.title == "other"


def test_an_edited_file_is_scored_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "own.py", tmp_path / "results"
    text = "from fusionbench.models.classical.pyramids import Average\nclass Mine(Average):\n    title = 'mine'\n"
    file.write_text(text)
    first = fb.evaluate(file, "pairs-demo", out=out, limit=1, device="cpu")
    assert means(fb.evaluate(file, "pairs-demo", out=out, limit=1, device="cpu")) == means(first)
    assert "scored again" not in capsys.readouterr().err
    file.write_text(text + "    def combine(self, a, b):\n        return a\n")
    second = fb.evaluate(file, "pairs-demo", out=out, limit=1, device="cpu")
    assert "mine: own.py is not as it was when this was scored: it is scored again\n" in capsys.readouterr().err
    assert means(second) == means(fb.evaluate("copy-a", "pairs-demo", limit=1, **CPU)) != means(first)
    assert [path.parent.name for path in out.rglob("result.json")] == [second.id[:12]]  # one row, the present one


def test_a_rule_with_other_parameters_is_another_row(tmp_path: Path) -> None:
    how: dict[str, Any] = {"out": tmp_path, "limit": 1, "device": "cpu"}
    made = [fb.create_model("laplacian-pyramid", SPEC, levels=levels) for levels in (1, 6)]
    found = [fb.evaluate(model, "pairs-demo", **how) for model in made]
    assert found[0].id != found[1].id and means(found[0]) != means(found[1])
    assert [one.identity.model.params for one in found] == [{"levels": 1}, {"levels": 6}]
    assert fb.evaluate("laplacian-pyramid", "pairs-demo", params={"levels": 6}, **how).id == found[1].id
    cls = MODELS.get("laplacian-pyramid")  # nobody says what these were built with: a result is of the object at hand
    direct = [fb.evaluate(cls(SPEC, levels=levels), "pairs-demo", **how) for levels in (1, 6)]
    assert [means(one) for one in direct] == [means(one) for one in found]


def test_a_file_is_known_no_longer_than_it_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files with a class of one name, such as two versions of a method, are scored one after the other."""
    monkeypatch.delenv(VARIABLE, raising=False)
    for name, base in (("version_a", "CopyA"), ("version_b", "CopyB")):
        (tmp_path / f"{name}.py").write_text(
            f"from fusionbench.models.classical.pyramids import {base}\nclass Mine({base}):\n    title = '{name}'\n"
        )
        assert fb.evaluate(tmp_path / f"{name}.py", "pairs-demo", limit=1, **CPU).title == name
        assert VARIABLE not in os.environ
    learns = "from fusionbench.models.pairs.densefuse import DenseFuse\nclass Mine(DenseFuse):\n    title = 'm'\n"
    (tmp_path / "learns.py").write_text(learns)
    with pytest.raises(
        UsageError, match=r"learns\.py learns: train it first \(`fusionbench train .*learns\.py --data SET`"
    ):
        fb.evaluate(tmp_path / "learns.py", "pairs-demo", limit=1, **CPU)


@pytest.mark.parametrize(
    ("model", "data", "options", "told"),
    [
        ("averge", "pairs-demo", {}, "Did you mean 'average'"),
        ("fusionvae", "pairs-demo", {}, "fusionvae learns: train it first"),
        ("mean-image", "digits", {}, "mean-image learns: train it first"),
        (lambda a, b: a, "digits", {}, "a function fuses pairs; masked/1 needs a model object"),
        ("average", "pairs-demo", {"draw": 3}, "pairs/1 has no option 'draw'; it has keep_images"),
        (lambda a, b: a, "pairs-demo", {"protocol": Protocol()}, "takes its options by name"),
        ("average", "pairs-demo", {"split": "nosuch"}, "nosuch"),
        ("average", 3, {}, "3 is no data"),
        (3, "pairs-demo", {}, "3 is no model"),
        (fb.Batch, "pairs-demo", {}, "Batch is a class; give an object"),
        ("average", "no-such-folder", {}, "no-such-folder: no such data set"),
        ("average", "pairs-demo", {"limit": 0}, "limit"),
        (lambda a, b: a / 0, "pairs-demo", {}, "floating point|not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_what_cannot_be_scored_is_one_line(
    model: Any, data: Any, options: dict[str, Any], told: str, digits: Dataset
) -> None:
    with pytest.raises(FusionbenchError, match=told) as error:
        fb.evaluate(model, digits if data == "digits" else data, **CPU, **options)
    assert "\n" not in str(error.value)


def test_a_preset_is_of_a_method_by_name() -> None:
    natural = fb.evaluate("gradient-domain", "pairs-demo", limit=1, preset="natural", **CPU)
    assert natural.identity.model.params == fb.models.get_preset("gradient-domain", "natural").model
    assert natural.id != fb.evaluate("gradient-domain", "pairs-demo", limit=1, **CPU).id
    with pytest.raises(UsageError, match="preset is for a method by name"):
        fb.evaluate(lambda a, b: a, "pairs-demo", limit=1, preset="natural", **CPU)


def test_options_of_masked_views_are_checked(digits: Dataset) -> None:
    model = fb.create_model("max-view", digits.spec)
    with pytest.raises(FusionbenchError, match="masked/1 has no option 'strech'; it has batch, compile, draws"):
        fb.evaluate(model, digits, strech=True, **CPU)


def test_a_function_that_fails_is_named() -> None:
    def broken(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        raise ValueError("two\nlines")

    with pytest.raises(MeasurementError, match=r"^broken fails: ValueError: two lines$"):
        fb.evaluate(broken, "pairs-demo", **CPU)


def test_another_protocol_than_that_of_open_data_is_refused() -> None:
    """It was scored under pairs/1 without a word."""
    pairs = fb.open_pairs("pairs-demo", limit=1)
    assert fb.evaluate("average", pairs, protocol="pairs", out=None, device="cpu").identity.protocol.name == "pairs"
    with pytest.raises(UsageError, match="scored under pairs/1; for masked/1 give their name or folder"):
        fb.evaluate("average", pairs, protocol="masked/1", out=None, device="cpu")
