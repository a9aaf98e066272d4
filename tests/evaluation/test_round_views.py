"""Views of a round. Oracle: the generator with the seed, called by itself."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import Recipe, load_recipe
from fusionbench.evaluation.masked import MaskedImages, evaluate
from fusionbench.evaluation.round_views import (
    RoundDataset,
    RoundProtocol,
    cached_round_views,
    check_round_data,
    round_dataset_id,
    write_round_views,
)
from fusionbench.evaluation.rounds import make_round, seed_of_round
from fusionbench.models import MODELS
from fusionbench.results.schema import result_bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


def test_views_are_new_and_targets_stay(folder: Path, tmp_path: Path) -> None:
    public, (made, secret) = open_dataset(folder), make_round("quickstart")
    seed = seed_of_round(made, secret)
    write_round_views(public, "test", 30, seed, tmp_path / "views.npy")
    ours = RoundDataset(public, made, tmp_path / "views.npy")
    recipe = public.recipe
    assert isinstance(recipe, Recipe)
    targets = np.asarray(public.arrays("test").targets[:30])
    expected = msgspec.structs.replace(recipe, seed=seed).view_maker("test").make_views(targets, np.arange(30))
    batch = ours.stream("test", live=False).batch([3, 29])
    assert np.array_equal((batch.views.numpy()[:, :, 0] * 255).round(), expected[[3, 29]])
    assert np.array_equal((batch.target.numpy()[:, 0] * 255).round(), targets[[3, 29]])
    known = np.asarray(public.arrays("test").views[:30])
    assert np.mean(expected == known) < 0.9 and ours.size("test") == 30 and ours.splits == ("test",)
    with pytest.raises(UsageError, match="views are given"):
        ours.view_maker("test")
    with pytest.raises(UsageError, match="about the split test"):
        ours.arrays("train")


def test_views_over_several_shards(tmp_path: Path) -> None:
    recipe = load_recipe("fusiondigits")
    assert isinstance(recipe, Recipe)
    small = msgspec.structs.replace(recipe, shard_size=20, expect=type(recipe.expect)())
    public = open_dataset(build_dataset(small, out=tmp_path / "data", jobs=1))
    made = msgspec.structs.replace(make_round("quickstart")[0], recipe=small.hash)
    write_round_views(public, "test", 50, 7, tmp_path / "views.npy")
    ours = RoundDataset(public, made, tmp_path / "views.npy").arrays("test")
    assert ours.views.shape[0] == ours.targets.shape[0] == 50
    assert np.array_equal(ours.targets[:], public.arrays("test").targets[:50])


def test_a_result_names_the_round_and_not_the_seed(folder: Path, tmp_path: Path) -> None:
    public, (made, secret) = open_dataset(folder), make_round("quickstart")
    seed = seed_of_round(made, secret)
    write_round_views(public, "test", 20, seed, tmp_path / "views.npy")
    model = MODELS.get("max-view")(public.spec)
    protocol = RoundProtocol(1, round=made.id, commitment=made.commitment)
    ours = RoundDataset(public, made, tmp_path / "views.npy")
    result = evaluate(model, ours, protocol=protocol, out=None, device="cpu")
    assert result.identity.dataset.id == f"round {made.id} of {public.id}" == round_dataset_id(made, public.id)
    assert result.identity.protocol.params["round"] == made.id
    assert result.identity.protocol.params["commitment"] == made.commitment
    written = result_bytes(result).decode()
    assert not any(text in written for text in (str(seed), f"{seed:x}", secret.secret, secret.salt))


def test_one_build_serves_all_and_damage_is_made_again(folder: Path, tmp_path: Path) -> None:
    (made, secret), images = make_round("quickstart"), MaskedImages(open_dataset(folder), "test", 20)
    seed = seed_of_round(made, secret)
    path = cached_round_views(made, images, seed, tmp_path / "private")
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    content, moment = path.read_bytes(), path.stat().st_mtime_ns
    assert cached_round_views(made, images, seed, tmp_path / "private") == path
    assert path.stat().st_mtime_ns == moment
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    cached_round_views(made, images, seed, tmp_path / "private")
    assert path.read_bytes() == content
    path.write_bytes(b"")
    assert cached_round_views(made, images, seed, tmp_path / "private").read_bytes() == content


def test_other_data_are_refused(folder: Path, tmp_path: Path) -> None:
    made, public = make_round("quickstart", 296)[0], open_dataset(folder)
    check_round_data(made, MaskedImages(public, "test"))
    with pytest.raises(UsageError, match="is about 296 images, the suite scores 20"):
        check_round_data(made, MaskedImages(public, "test", 20))
    with pytest.raises(UsageError, match="these data are fusiondigits train"):
        check_round_data(made, MaskedImages(public, "train"))
    with pytest.raises(UsageError, match="recipe 000000000000"):
        check_round_data(msgspec.structs.replace(made, recipe="0" * 64), MaskedImages(public, "test"))
    np.save(tmp_path / "small.npy", np.zeros((5, 3, 8, 8), np.uint8))
    (tmp_path / "text.npy").write_text(json.dumps({}))
    for name in ("small.npy", "text.npy"):
        with pytest.raises(DataError, match=r"views of"):
            RoundDataset(public, made, tmp_path / name)
