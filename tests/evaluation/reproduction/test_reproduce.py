"""Results made again. Oracles: the values of the first measurement, and results with one known change."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError, NotComparableError, UsageError
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError, Reproduction
from fusionbench.evaluation.reproduction.places import Places
from fusionbench.evaluation.reproduction.reproduce import (
    HowToReproduce,
    check_identity,
    check_metrics,
    reproduce,
    result_files,
)
from fusionbench.results.schema import Result, load
from tests.helpers.reproduction import changed, edited_json, pair_result, printed, shifted, trained_result

ROOT = Path(__file__).parents[3]


def again(folder: Path, **how: Any) -> Reproduction:
    (found,) = reproduce([folder], HowToReproduce(**how))
    return found


def test_a_row_without_weights_comes_out_with_the_same_bits(tmp_path: Path) -> None:
    folder = pair_result(tmp_path / "results", "laplacian-pyramid", levels=3)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    found = again(folder)
    assert (found.outcome, found.identical, found.images, found.of) == ("same", True, 3, 3), found.reason
    assert found.scores.keys() == load(folder).scores.keys() and not found.retrained
    assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")), "nothing is written"


def test_a_value_beyond_the_tolerance_is_different_and_names_the_image(tmp_path: Path) -> None:
    found = again(shifted(pair_result(tmp_path / "results"), "sd", 0.5, image=1))
    assert found.outcome == "different" and found.cause == ""
    sd = found.scores["sd"]
    assert not found.scores["sd@cddfuse"].same
    assert (sd.same, sd.image) == (False, "chelsea") and sd.largest == pytest.approx(0.5)
    assert all(one.identical for key, one in found.scores.items() if not key.startswith("sd"))


def test_a_value_within_the_tolerance_is_the_same_and_not_identical(tmp_path: Path) -> None:
    found = again(shifted(pair_result(tmp_path / "results"), "sd", 1e-5))
    assert (found.outcome, found.identical) == ("same", False)
    assert found.scores["sd"].largest == pytest.approx(1e-5)


def test_the_first_images_alone_are_partial(tmp_path: Path) -> None:
    folder = shifted(pair_result(tmp_path / "results"), "sd", 0.5, image=2)
    found = again(folder, limit=2)
    assert (found.outcome, found.partial, found.images, found.of) == ("same", True, 2, 3)
    assert found.scores["sd"].then is None and found.scores["sd"].values == 2
    assert again(folder, limit=3).outcome == "different"


def test_a_result_of_the_first_images_is_made_again_with_as_many(tmp_path: Path) -> None:
    found = again(pair_result(tmp_path / "results", limit=2))
    assert (found.outcome, found.images, found.of, found.partial) == ("same", 2, 2, False), found.reason


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    folder = pair_result(tmp_path / "results")

    def unknown(result: Result, table: Any) -> None:
        result.identity.protocol.params["gamma"] = 2.2

    found = again(changed(folder, unknown))
    assert found.outcome == "other protocol" and "gamma" in found.reason

    def other(result: Result, table: Any) -> None:
        result.identity.protocol.params["dialects"] = ["standard/1"]

    assert "dialects" in again(changed(folder, other)).reason

    def newer(result: Result, table: Any) -> None:
        result.identity.protocol.version = "9"

    found = again(changed(folder, newer))
    assert found.outcome == "other protocol" and "pairs/9" in found.reason

    def stretched(result: Result, table: Any) -> None:
        result.identity.protocol.params["stretch"] = "yes"

    assert again(changed(folder, stretched)).outcome == "other protocol"


def test_a_metric_of_another_version_cannot_be_measured(tmp_path: Path) -> None:
    def other(result: Result, table: Any) -> None:
        result.identity.metrics["vif"] = "0"

    found = again(changed(pair_result(tmp_path / "results"), other))
    assert (found.outcome, found.cause) == ("could not", "metric") and "vif" in found.reason


def test_a_metric_that_this_protocol_does_not_measure_any_more(tmp_path: Path) -> None:
    result = load(pair_result(tmp_path / "results"))
    now = load(result.folder(tmp_path / "results")).identity
    result.identity.metrics["sharpness"] = "1"
    check_metrics(result.identity)  # not a registered metric: the protocol has to know
    with pytest.raises(NotReproducibleError, match="sharpness is not measured"):
        check_identity(now, result.identity)


def test_identities_that_differ_elsewhere_are_another_protocol(tmp_path: Path) -> None:
    folder = pair_result(tmp_path / "results")
    then, now = load(folder).identity, load(folder).identity
    assert check_identity(now, then) == []
    now.model.weights_sha256 = "0" * 64
    assert check_identity(now, then) == ["weights_sha256"]
    now.model.params = {"levels": 2}
    with pytest.raises(NotComparableError, match="params"):
        check_identity(now, then)


def test_a_damaged_result_is_said_to_be_so_and_stops_no_other(tmp_path: Path) -> None:
    pair_result(tmp_path / "results")
    copied = pair_result(tmp_path / "results", "copy-a")
    edited_json(copied, lambda body: body["scores"]["sd"].update(mean=1.0))
    found = reproduce([tmp_path / "results"])
    assert sorted(one.outcome for one in found) == ["damaged", "same"]
    damaged = next(one for one in found if one.outcome == "damaged")
    assert "stated as 1" in damaged.reason


def test_numbers_of_a_paper_are_refused(tmp_path: Path) -> None:
    found = again(printed(pair_result(tmp_path / "results")))
    assert (found.outcome, found.cause, found.missing) == ("could not", "published", True)


def test_weights_of_an_object_that_nobody_has(tmp_path: Path) -> None:
    def other(result: Result, table: Any) -> None:
        result.identity.model.weights_sha256 = "f" * 64

    found = again(changed(pair_result(tmp_path / "results"), other))
    assert (found.outcome, found.cause) == ("could not", "weights")


def test_trained_weights_are_found_by_their_digest_alone(tmp_path: Path) -> None:
    made = trained_result(tmp_path)
    places = Places(data=[made.data], weights=[tmp_path / "elsewhere"], runs=tmp_path / "again")
    found = again(made.result, places=places)
    assert (found.outcome, found.cause) == ("could not", "weights")
    assert "fusionbench train fcn" in found.reason and "--budget '2 steps'" in found.reason
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(made.run / "weights.safetensors", tmp_path / "elsewhere" / "mine.safetensors")
    found = again(made.result, places=places)
    assert (found.outcome, found.identical, found.retrained) == ("same", True, False), found.reason
    assert found.images == 6 and "mse_min@mean" in found.scores
    found = again(made.result, places=places, limit=4)
    assert found.outcome == "same" and found.partial and "mse_min@avg_paper" not in found.scores


def test_training_again_gives_the_same_weights_and_goes_on_in_its_folder(tmp_path: Path) -> None:
    made = trained_result(tmp_path)
    places = Places(data=[made.data], weights=[], runs=tmp_path / "again")
    found = again(made.result, places=places, retrain=True)
    assert (found.outcome, found.retrained, found.identical) == ("same", True, True), found.reason
    (run,) = (tmp_path / "again" / "reproduced").iterdir()
    assert (run / "weights.safetensors").read_bytes() == (made.run / "weights.safetensors").read_bytes()
    stamp = (run / "weights.safetensors").stat().st_mtime_ns
    assert again(made.result, places=places, retrain=True).outcome == "same"
    assert (run / "weights.safetensors").stat().st_mtime_ns == stamp, "a finished run is not trained again"


def test_weights_that_come_out_otherwise_are_compared_by_means(tmp_path: Path) -> None:
    made = trained_result(tmp_path)

    def others(result: Result, table: dict[str, np.ndarray]) -> None:
        result.identity.model.weights_sha256 = "e" * 64

    folder = changed(made.result, others)
    places = Places(data=[made.data], weights=[], runs=tmp_path / "again")
    found = again(folder, places=places, retrain=True)
    assert found.outcome == "same" and any("within 5 %" in remark for remark in found.remarks)
    assert again(folder, places=places, retrain=True, limit=2).cause == "training"
    far = shifted(folder, "mse_min", 0.9)
    assert again(far, places=places, retrain=True).outcome == "different"


def test_a_row_that_only_takes_statistics_is_fitted_again_without_being_asked(tmp_path: Path) -> None:
    made = trained_result(tmp_path, "mean-image")
    found = again(made.result, places=Places(data=[made.data], weights=[], runs=tmp_path / "again"))
    assert (found.outcome, found.identical) == ("same", True), found.reason
    assert not (tmp_path / "again").exists()


def test_a_model_that_draws_without_a_seed_is_not_deterministic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from fusionbench.models import MODELS

    folder = pair_result(tmp_path / "results")
    cls, drawn = MODELS.get("average"), np.random.default_rng(0)
    monkeypatch.setattr(cls, "fuse", lambda self, batch: batch.views[:, 0] * float(drawn.uniform(0.2, 0.8)))
    found = again(folder)
    assert (found.outcome, found.cause) == ("could not", "not deterministic"), found.reason
    monkeypatch.setattr(cls, "fuse", lambda self, batch: torch.flip(batch.views[:, 0], [-1]))
    assert again(folder).outcome == "different"


def test_another_version_of_the_model(tmp_path: Path) -> None:
    def older(result: Result, table: Any) -> None:
        result.identity.model.version = "0"

    found = again(changed(pair_result(tmp_path / "results"), older))
    assert (found.outcome, found.cause) == ("could not", "model")


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such result"):
        reproduce([tmp_path / "nothing"])
    with pytest.raises(DataError, match=r"no result\.json"):
        reproduce([tmp_path])
    for how in (HowToReproduce(limit=0), HowToReproduce(training_tolerance=1.0)):
        with pytest.raises(UsageError):
            reproduce([tmp_path], how)


def test_names_of_results(tmp_path: Path) -> None:
    folder = pair_result(tmp_path / "results")
    ((path, name),) = result_files([tmp_path / "results"])
    assert path == folder / "result.json" and name.startswith("results/pairs-demo/average/")
    assert [name for _, name in result_files([folder / "result.json", folder])] == [f"{folder.name}/result.json"]


@pytest.mark.parametrize("row", ["average", "copy-b", "gtf", "guided-filter", "laplacian-pyramid", "wavelet", "cbf"])
def test_shipped_rows_that_need_no_files(row: str) -> None:
    """The rest of the shipped rows needs files of others: `make reproduce`."""
    found = reproduce([ROOT / "benchmarks" / "results" / "pairs-demo" / row])  # of one or more settings
    assert found and [one for one in found if one.outcome != "same"] == []


def test_fused_images_are_found_by_their_digest_and_scored_again(tmp_path: Path) -> None:
    from PIL import Image

    from fusionbench.evaluation.pair_sets import open_pairs
    from fusionbench.evaluation.pairs import score_fused_images

    pairs, images = open_pairs("pairs-demo"), tmp_path / "theirs" / "out"
    images.mkdir(parents=True)
    for index, stem in enumerate(pairs.stems):
        Image.fromarray(pairs.pair(index).max(axis=0)).save(images / f"{stem}.png")
    out = tmp_path / "results"
    folder = score_fused_images(images, pairs, name="theirs", title="Theirs", out=out, keep_images=False).folder(out)
    assert again(folder, places=Places(weights=[tmp_path / "nothing"])).cause == "weights"
    places = Places(weights=[tmp_path / "theirs"])
    found = again(folder, places=places)
    assert (found.outcome, found.identical, found.images) == ("same", True, 3), found.reason
    found = again(folder, places=places, limit=2)
    assert found.outcome == "same" and found.partial, found.reason
    Image.fromarray(255 - pairs.pair(0)[0]).save(images / f"{pairs.stems[0]}.png")
    assert again(folder, places=places).cause == "weights", "other images are not taken"
