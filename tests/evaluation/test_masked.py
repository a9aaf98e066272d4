"""Scores must be a function of (weights, images, K, seed) and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import CannotMeasure, UsageError
from fusionbench.core.time_limit import UnfinishedError, time_limit
from fusionbench.core.types import Batch, ImageSpec
from fusionbench.evaluation.masked import Protocol, evaluate, sample_grid, target_entropy
from fusionbench.metrics.nll import nll
from fusionbench.models import create_model
from fusionbench.results.schema import load, load_per_image
from fusionbench.training.loop import train
from fusionbench.training.run import read_run
from tests.helpers.learning import SPEC, MemoryDataset

DATA = MemoryDataset(train=32, test=10)
PROTOCOL = Protocol(draws=4, paper_batch=3)
# float32 convolutions sum in another order for another batch size; log-weights here are about -150 nats
ATOL = 2e-3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "fusionvae"
    train("fusionvae", DATA, out=out, preset="tiny", training={"batch": 16, "epochs": 8})
    return out


def test_every_image_at_every_number_of_inputs(run: Path, tmp_path: Path) -> None:
    result = evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path)
    columns = ["0", "1", "2", "3", "mean", "avg_paper"]
    names = ["nll", "nll_bpd", "elbo", "elbo_bpd", "mse_min"]
    assert sorted(result.scores) == sorted(f"{name}@{column}" for name in names for column in columns)
    assert all(score.n == 10 and score.mean is not None for score in result.scores.values())
    table = load_per_image(result.folder(tmp_path))
    assert table["id"].tolist() == list(range(10))
    for key in ("nll@2", "mse_min@0", "nll@mean", "mse_min@mean", "elbo@avg_paper"):
        assert result.scores[key].mean == pytest.approx(float(table[key].mean()), rel=1e-12)
    assert load(result.folder(tmp_path)).id == result.id
    score = result.scores["nll@3"]
    assert score.mean is not None and result.scores["elbo@3"].mean > score.mean
    assert score.extra["bernoulli_floor"] == pytest.approx(target_entropy(DATA)) and score.mean > target_entropy(DATA)
    assert 1 <= score.extra["ess_median"] <= 4 and score.extra["draws"] == 4
    bits = result.scores["nll_bpd@3"]
    assert bits.mean == pytest.approx(score.mean / (144 * np.log(2))) and bits.extra["dims"] == 144


def test_averages(run: Path) -> None:
    result = evaluate(run, DATA, protocol=PROTOCOL, out=None)
    mean = [result.scores[f"mse_min@{n}"].mean for n in range(4)]
    assert result.scores["mse_min@mean"].mean == pytest.approx(np.mean(mean))
    # ten images in batches of three: batches 0..3 have 3, 3, 3 and 1 images and 0, 1, 2 and 3 inputs
    weights = np.array([3, 3, 3, 1]) / 10
    assert result.scores["mse_min@avg_paper"].mean == pytest.approx(float(weights @ np.array(mean)))


@pytest.mark.parametrize(
    ("images", "batch", "percent"),
    [
        (10_000, 800, [28, 24, 24, 24]),
        (19_867, 32, [25.13, 24.96, 24.96, 24.96]),
        (644, 32, [25.47, 24.84, 24.84, 24.84]),
    ],
)
def test_weights_of_the_papers_averages(images: int, batch: int, percent: list[float]) -> None:
    np.testing.assert_allclose(100 * Protocol(paper_batch=batch).paper_weights(images, 3), percent, atol=0.06)


def test_scores_depend_on_neither_batch_size_nor_order(run: Path) -> None:
    whole = evaluate(run, DATA, protocol=PROTOCOL, out=None)
    single = evaluate(run, DATA, protocol=PROTOCOL, out=None, batch=1)
    for key, score in whole.scores.items():
        assert single.scores[key].mean == pytest.approx(score.mean, abs=ATOL), key
    model = create_model("fusionvae", SPEC, "tiny")
    stream = DATA.stream("test")
    order = [7, 2, 9, 0]
    forward, backward = (model.log_weights(stream.batch(ids), 4, seed=0) for ids in (order, order[::-1]))
    torch.testing.assert_close(forward, backward.flip(1), rtol=0, atol=ATOL)


def test_chunks_of_draws_change_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("fusionvae", SPEC, "tiny")
    batch = DATA.stream("test").batch(range(5))
    whole, pictures = model.log_weights(batch, 7, seed=0), model.sample(batch, 7, seed=0)
    monkeypatch.setattr(type(model), "rows_per_pass", lambda self, device: 11)
    torch.testing.assert_close(model.log_weights(batch, 7, seed=0), whole, rtol=0, atol=ATOL)
    torch.testing.assert_close(model.sample(batch, 7, seed=0), pictures, rtol=0, atol=1e-5)


def test_encoding_once_is_encoding_for_every_draw(run: Path) -> None:
    """K passes of the decoder over one encoding are K passes of the whole network."""
    model = create_model("fusionvae", SPEC, "tiny").eval()
    batch = DATA.stream("test").batch(range(3))
    together = model.log_weights(batch, 3, seed=0)
    whole_network = Batch(
        batch.target.repeat(3, 1, 1, 1),
        batch.views.repeat(3, 1, 1, 1, 1),
        batch.present.repeat(3, 1),
        batch.ids.repeat(3),  # type: ignore[union-attr]
    )
    again = model.log_weights(whole_network, 3, seed=0).view(3, 3, 3)
    for draw in range(3):
        torch.testing.assert_close(again[draw, 0], together[draw], rtol=0, atol=ATOL)


def test_more_draws_tighten_the_bound(run: Path) -> None:
    model = create_model("fusionvae", SPEC, "tiny")
    weights = model.log_weights(DATA.stream("test").batch(range(10)), 64, seed=3).numpy()
    assert nll(weights).mean() < nll(weights[:8]).mean() < nll(weights[:1]).mean()


def test_the_same_identity_is_measured_once(run: Path, tmp_path: Path) -> None:
    first = evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path)
    path = first.folder(tmp_path) / "result.json"
    before = path.stat().st_mtime_ns
    assert evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path).id == first.id
    assert path.stat().st_mtime_ns == before
    assert evaluate(run, DATA, protocol=replace(PROTOCOL, draws=5), out=tmp_path).id != first.id
    assert evaluate(run, DATA, protocol=replace(PROTOCOL, seed=1), out=tmp_path).id != first.id
    assert evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path, limit=9).id != first.id
    again = evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path, force=True)
    assert {key: score.mean for key, score in again.scores.items()} == {k: s.mean for k, s in first.scores.items()}


def test_identity_says_what_was_measured(run: Path) -> None:
    identity = evaluate(run, DATA, protocol=PROTOCOL, out=None).identity
    assert identity.model.name == "fusionvae" and len(identity.model.weights_sha256 or "") == 64
    assert identity.dataset.id == DATA.id and identity.dataset.n == 10
    assert identity.protocol.params["likelihood_dims"] == 144 and identity.protocol.params["draws"] == 4
    assert identity.metrics == {"nll": "1", "mse_min": "1"}
    assert identity.training is not None and not identity.training.cut and identity.training.steps == 16


def test_trivial_rows(tmp_path: Path) -> None:
    train("max-view", DATA, out=tmp_path / "run")
    result = evaluate(tmp_path / "run", DATA, protocol=PROTOCOL, out=tmp_path)
    assert result.family == "trivial" and result.identity.metrics == {"mse_min": "1"}
    assert sorted(result.scores) == sorted(f"mse_min@{c}" for c in ("0", "1", "2", "3", "mean", "avg_paper"))
    assert result.scores["mse_min@3"].extra["draws"] == 1
    batch = DATA.stream("test").batch(range(10))
    expected = (batch.views.amax(dim=1).double() - batch.target.double()).square().mean()  # type: ignore[union-attr]
    assert result.scores["mse_min@3"].mean == pytest.approx(float(expected), rel=1e-9)


def test_a_model_object_can_be_scored() -> None:
    result = evaluate(create_model("fcn", SPEC, "tiny"), DATA, protocol=PROTOCOL, out=None)
    assert result.title == "FCN" and result.identity.training is None
    assert result.scores["nll@1"].mean == pytest.approx(result.scores["elbo@1"].mean)  # exact, whatever K
    assert result.scores["mse_min@1"].extra["draws"] == 1


def test_sample_grid(run: Path) -> None:
    grid = sample_grid(run, DATA, [3, 1], draws=3)
    assert {name: (value.shape, str(value.dtype)) for name, value in grid.items()} == {
        "views": ((2, 3, 16, 16), "uint8"),
        "targets": ((2, 16, 16), "uint8"),
        "draws": ((2, 4, 3, 16, 16), "uint8"),
    }
    assert np.array_equal(grid["draws"], sample_grid(run, DATA, [3, 1], draws=3)["draws"])
    colour = MemoryDataset(ImageSpec(3, 16, 16, 3), train=4, test=2)
    grid = sample_grid(create_model("fcn", colour.spec, "tiny"), colour, [0])
    assert grid["draws"].shape == (1, 4, 1, 16, 16, 3)


def test_entropy_floor_of_targets() -> None:
    target = DATA.stream("test").batch(range(10)).target
    assert target is not None
    y = target[:, :, 2:14, 2:14].double().clamp(1e-12, 1 - 1e-12)
    expected = -(y * y.log() + (1 - y) * (1 - y).log()).sum() / 10
    assert target_entropy(DATA) == pytest.approx(float(expected), rel=1e-6)


def test_refusals(run: Path) -> None:
    with pytest.raises(UsageError, match="draws"):
        evaluate(run, DATA, protocol=Protocol(draws=0), out=None)

    class Mute(torch.nn.Module):
        title = version = "mute"

    with pytest.raises(UsageError, match="nothing to score"):
        evaluate(Mute(), DATA, out=None)

    class Lost(torch.nn.Module):
        title = version = "lost"

        def fuse(self, batch: Batch) -> torch.Tensor:
            return torch.full_like(batch.views[:, 0], float("nan"))

    with pytest.raises(CannotMeasure, match="no finite value"):
        evaluate(Lost(), DATA, out=None)


def test_a_pass_that_the_time_cuts_goes_on(run: Path, tmp_path: Path) -> None:
    """Without any time left every call scores one chunk of the eight: two batches at four numbers of inputs."""
    settings: dict[str, Any] = {"protocol": PROTOCOL, "batch": 5}
    whole = evaluate(run, DATA, out=tmp_path / "whole", **settings)
    for chunk in range(1, 8):
        done = f"FusionVAE on memory: scored {5 * chunk} of 40 images; the same command goes on"
        with time_limit(0.0), pytest.raises(UnfinishedError, match=done):
            evaluate(run, DATA, out=tmp_path / "parts", **settings)
        assert not list((tmp_path / "parts").rglob("result.json"))
    with time_limit(0.0):
        parts = evaluate(run, DATA, out=tmp_path / "parts", **settings)
    ours, theirs = (load_per_image(r.folder(tmp_path / n)) for r, n in ((whole, "whole"), (parts, "parts")))
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_a_stopped_pass_goes_on_where_it_was(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path / "whole", batch=5)
    model, calls = type(read_run(run).load_model(SPEC)), []
    original = model.log_weights

    def counted(self: Any, batch: Batch, n: int, seed: int) -> torch.Tensor:
        calls.append(int(batch.ids[0]))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, batch, n, seed)

    monkeypatch.setattr(model, "log_weights", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path / "cut", batch=5)
    calls.append(-1)
    again = evaluate(run, DATA, protocol=PROTOCOL, out=tmp_path / "cut", batch=5)
    assert len(calls) == 4 + 1 + 5, "two chunks of four numbers of views, three of which were done"
    assert (again.folder(tmp_path / "cut") / "images.csv").read_bytes() == (
        whole.folder(tmp_path / "whole") / "images.csv"
    ).read_bytes()
    assert sorted(path.name for path in again.folder(tmp_path / "cut").iterdir()) == ["images.csv", "result.json"]
    assert again.cost["ms_per_image"] > 0


def test_a_k_curve_and_the_use_of_the_latents_stand_beside_the_nll(run: Path) -> None:
    result = evaluate(run, DATA, protocol=PROTOCOL, out=None)
    model, stream = read_run(run).load_model(SPEC), DATA.stream("test", device="cpu", live=False)
    batch = stream.batch(np.arange(10), epoch=0)
    for count in range(4):
        extra = result.scores[f"nll@{count}"].extra
        weights = model.log_weights(batch.with_inputs(count), 4, 0).numpy()
        expected = [(k, float(nll(weights[:k]).mean())) for k in (1, 2, 4)]
        assert [k for k, _ in extra["k_curve"]] == [1, 2, 4]
        np.testing.assert_allclose([v for _, v in extra["k_curve"]], [v for _, v in expected], atol=ATOL)
        assert extra["k_curve"][-1][1] == pytest.approx(result.scores[f"nll@{count}"].mean, rel=1e-12)
        kls = torch.stack([kl for _, kl in model.posterior_of(batch.with_inputs(count))], dim=1).mean(dim=0)
        np.testing.assert_allclose(extra["kl_groups"], kls, rtol=1e-3, atol=1e-3)
        assert all(0 <= used <= units for used, units in zip(extra["active_units"], extra["units"], strict=True))
