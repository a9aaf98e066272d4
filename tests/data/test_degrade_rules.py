"""``[degrade]`` in recipes of pairs: stored beside the truth, live by epoch, verified, and mistakes told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.figures import pair_sheet
from fusionbench.core.images import decode_image, read_image
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.degrade_rules import Degrader, DegradeRule
from fusionbench.data.diff import compare_datasets
from fusionbench.data.export import export
from fusionbench.data.preview import draw_preview
from fusionbench.data.recipes import PairRecipe, load_recipe, parse_recipe, recipe_from_spec
from fusionbench.data.shards.ragged import problem
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard
from fusionbench.data.verify import verify_dataset
from fusionbench.synth import arrays
from fusionbench.synth.degradations import degrade
from tests.data.pair_datasets import images
from tests.helpers.pair_folders import PATCHES, TEXT, recipe

__all__ = ["images"]  # fixture

RULE = '[degrade]\nfamilies = ["shift/1", "gaussian-noise/1", "occlude/1"]\nseverity = [2, 4]\nchance = 0.8\n'


@pytest.fixture(scope="module", params=[TEXT, PATCHES], ids=["whole", "patches"])
def clean(request: pytest.FixtureRequest, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(recipe(request.param), images, tmp_path_factory.mktemp("clean"), jobs=1))


@pytest.fixture(scope="module")
def text(clean: Dataset) -> str:
    return TEXT if clean.whole else PATCHES


@pytest.fixture(scope="module")
def degraded(text: str, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(recipe(text + RULE), images, tmp_path_factory.mktemp("bad"), jobs=1))


def test_stored_samples_are_degraded_beside_their_truth(clean: Dataset, degraded: Dataset) -> None:
    made, was = degraded.arrays("train"), clean.arrays("train").views
    assert len(made.views) == len(made.clean) == len(was) > 4
    families = ["shift/1", "gaussian-noise/1", "occlude/1"]
    done = set()
    for index, (family, severity) in enumerate(np.asarray(made.degradation).tolist()):
        assert np.array_equal(made.clean[index], was[index])
        (truth,) = degraded.truth("train", [index])
        assert np.array_equal(truth.views[0], made.views[index])
        done.add((family, severity))
        if family < 0:
            assert severity == 0 and np.array_equal(made.views[index], was[index]) and not truth.lost.any()
            continue
        name = {"dataset": "small-pairs", "split": "train"}
        alone = degrade(was[index][None], families[family], severity, samples=np.array([index]), **name)
        assert np.array_equal(alone.views[0], made.views[index])
        assert np.array_equal(truth.field, alone.field if alone.field is not None else 0 * truth.field)
        assert np.array_equal(truth.lost, alone.lost if alone.lost is not None else 0 * truth.lost)
    assert len(done) > 3
    with pytest.raises(UsageError, match="its samples are not degraded"):
        clean.truth("train", [0])


def test_streams_give_the_clean_crops_with_the_degraded_ones(clean: Dataset, degraded: Dataset) -> None:
    stream, other = degraded.stream("train"), clean.stream("train")
    for epoch in (0, 2):
        batch, reference = stream.batch([3, 0, 1], epoch), other.batch([3, 0, 1], epoch)
        assert batch.clean is not None and torch.equal(batch.clean, reference.views) and reference.clean is None
        assert not torch.equal(batch.views, batch.clean)
        assert torch.equal(batch.to("cpu").clean, batch.clean) and batch.with_inputs(1).clean is batch.clean
    there = stream._cut_there(torch.tensor([3, 0, 1]), 2, True)  # the path of a GPU, on CPU tensors
    assert batch.clean is not None and torch.equal(there.float() / 255, batch.clean[:, :, 0])
    data = degraded.torch("train")
    data.set_epoch(2)
    assert torch.equal(data[[3, 0, 1]]["clean"], batch.clean) and torch.equal(data[3]["views"], batch.views[0])
    assert (
        degraded.torch("train", live=False)[0]["clean"].shape[1:]
        == degraded.torch("train", live=False)[0]["views"].shape[1:]
    )


def test_a_set_with_live_degradations_has_the_bytes_of_the_clean_one(
    text: str, clean: Dataset, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_dataset(
        recipe(text + RULE.replace("occlude/1", "blur/1") + 'when = "live"\n'), images, tmp_path, jobs=1
    )
    live = open_dataset(folder)
    assert live.id == clean.id and "clean" not in live.arrays("train").columns
    assert live.training_id != live.id and clean.training_id == clean.id, "who trains on it sees something else"
    stream, reference = live.stream("train"), clean.stream("train")
    ids = np.arange(len(clean.arrays("train").views))
    first, second, again = (stream.batch(ids, epoch) for epoch in (1, 2, 1))
    for epoch, batch in ((1, first), (2, second)):
        assert batch.clean is not None and torch.equal(batch.clean, reference.batch(ids, epoch).views)
        assert not torch.equal(batch.views, batch.clean)
    assert torch.equal(first.views, again.views)
    stored = stream.batch(ids, 0)
    assert torch.equal(stored.views, reference.batch(ids, 0).views) and torch.equal(stored.clean, stored.views)
    assert torch.equal(live.stream("train", live=False).batch(ids, 3).views, stored.views)
    monkeypatch.setattr(arrays, "cpu_tensors_by_numpy", False)
    degrader = live.recipe.live_degrader("train")  # type: ignore[union-attr]
    crops = torch.from_numpy(reference.crops(ids, 2))
    assert torch.equal(degrader.apply(crops, ids, 2).float() / 255, second.views[:, :, 0])


def test_a_degraded_set_is_verified_without_its_source_too(degraded: Dataset, images: Path, tmp_path: Path) -> None:
    report = verify_dataset(degraded, regenerate="all", source_dir=images)
    assert report.ok and report.regenerated == degraded.size("train")
    import shutil

    copied = tmp_path / "copy"
    shutil.copytree(degraded.folder, copied)
    path = sorted(copied.glob("*.h5"))[-1]
    shard = open_shard(path)
    header = {k: v for k, v in shard.header.items() if k not in ("format", "content_sha256", "arrays")}
    changed = {name: np.array(array) for name, array in shard.arrays.items()}
    changed["degradation"][-1] = changed["degradation"][-1][::-1] + 1
    path.unlink()
    write_shard(path, changed, header)
    problems = " ".join(map(str, verify_dataset(copied, files=False).problems))
    assert "differ" in problems or "changed" in problems
    from fusionbench.data.degrade_rules import problem_of_degraded

    degrader = degraded.recipe.stored_degrader("train")
    assert degrader is not None
    stored = degraded.arrays("train")
    samples = np.arange(3)
    found = {"views": stored.views[samples], "clean": stored.clean[samples], "degradation": stored.degradation[samples]}
    assert problem_of_degraded(degrader, samples, found) is None
    wrong = {**found, "views": found["clean"]}
    assert "not what the recipe makes of the clean pairs" in problem_of_degraded(degrader, samples, wrong)[1]  # type: ignore[index]
    wrong = {**found, "degradation": found["degradation"] * 0}
    assert problem_of_degraded(degrader, samples, wrong)[0] == "degradation"  # type: ignore[index]


def test_the_pairs_of_a_shard_have_clean_pixels_laid_out_alike(degraded: Dataset) -> None:
    arrays = dict(open_shard(sorted(degraded.folder.glob("*.h5"))[0]).arrays)
    if not degraded.whole:
        return
    assert problem(arrays) is None
    assert "clean pixels" in str(problem({**arrays, "clean_pixels": arrays["clean_pixels"][:-1]}))
    assert "clean pixels" in str(problem({**arrays, "clean_pixels": arrays["clean_pixels"].astype(np.int16)}))
    del arrays["pixels"]
    assert "clean pixels need those" in str(problem(arrays))


def test_seeds_and_names_change_what_is_drawn(text: str, degraded: Dataset, images: Path, tmp_path: Path) -> None:
    other = recipe(text.replace("shard_size", "seed = 7\nshard_size") + RULE)
    made = open_dataset(build_dataset(other, images, tmp_path, jobs=1))
    assert not compare_datasets(degraded, made).same
    assert not np.array_equal(
        np.asarray(made.arrays("train").degradation), np.asarray(degraded.arrays("train").degradation)
    )


def test_choices_are_as_frequent_as_the_rule_says() -> None:
    rule = DegradeRule(families=["haze/1", "blur/1"], severity=[1, 5], weights=[3, 1], chance=0.4)
    choice = Degrader(rule, "made", "train", 0).choice(np.arange(20_000))
    found = {key: int(count) for key, count in zip(*np.unique(choice[:, 0], return_counts=True), strict=True)}
    for family, share in ((-1, 0.6), (0, 0.3), (1, 0.1)):
        assert abs(found[family] - 20_000 * share) < 6 * np.sqrt(20_000 * share * (1 - share))
    assert set(choice[choice[:, 0] == 0, 1].tolist()) == {1, 5} and (choice[choice[:, 0] < 0, 1] == 0).all()
    epochs = [Degrader(rule, "made", "train", 0).choice(np.arange(50), epoch) for epoch in (0, 1)]
    assert np.array_equal(epochs[0], choice[:50]) and not np.array_equal(*epochs)


MISTAKES = {
    "unknown family": ('"shift/1"', '"shft/1"', "degrade.families", "Did you mean 'shift/1'"),
    "severity 9": ("[2, 4]", "9", "degrade.severity", "<= 5"),
    "severity 0": ("[2, 4]", "0", "degrade.severity", ">= 1"),
    "severities twice": ("[2, 4]", "[2, 2]", "degrade.severity", "twice"),
    "no severity": ("severity = [2, 4]\n", "", "degrade", "severity"),
    "families twice": ('"shift/1"', '"occlude/1"', "degrade.families", "twice"),
    "none": ('["shift/1", "gaussian-noise/1", "occlude/1"]', "[]", "degrade.families", ">= 1"),
    "weights": ("chance = 0.8", "chance = 0.8\nweights = [1]", "degrade.weights", "1 for 3 families"),
    "a weight of 0": ("chance = 0.8", "chance = 0.8\nweights = [1, 0, 1]", "degrade.weights", ">= 1"),
    "chance above 1": ("chance = 0.8", "chance = 1.5", "degrade.chance", "<= 1"),
    "no chance": ("chance = 0.8", "chance = 0", "degrade.chance", "> 0"),
    "too fine": ("chance = 0.8", "chance = 0.0004", "degrade.chance", "thousandths"),
    "when": ("chance = 0.8", 'when = "never"', "degrade.when", "never"),
    "unknown key": ("chance = 0.8", "chances = 0.8", "degrade", "chances"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case: str) -> None:
    before, after, path, reason = MISTAKES[case]
    assert before in RULE
    with pytest.raises(DataError) as found:
        parse_recipe((PATCHES + RULE.replace(before, after)).encode(), "small.toml")
    assert path in str(found.value) and reason in str(found.value) and "\n" not in str(found.value)


def test_fields_larger_than_samples_are_refused(images: Path, tmp_path: Path) -> None:
    large = RULE.replace("shift/1", "flow/1").replace("[2, 4]", "5")
    with pytest.raises(DataError, match=r"degrade: flow/1 moves by up to 14 pixels, and samples have 8×8"):
        parse_recipe((PATCHES.replace("patch = 16", "patch = 8") + large).encode())
    with pytest.raises(DataError, match="flow/1 moves by up to 14 pixels"):
        parse_recipe((TEXT.replace("[24, 32]", "[12, 32]") + large + 'when = "live"\n').encode())
    rule = DegradeRule(families=["flow/1"], severity=5)
    with pytest.raises(UsageError, match=r"^dark: flow/1: moves a view by up to 14 pixels"):
        Degrader(rule, "made", "train", 0).apply_each([np.zeros((2, 14, 99), np.uint8)], np.array([0]), ["dark"])


def test_the_rule_is_a_part_of_a_recipes_identity() -> None:
    plain, degraded = recipe(), recipe(TEXT + RULE)
    assert plain.hash != degraded.hash and recipe_from_spec(degraded.spec, "manifest").hash == degraded.hash
    assert "degrade" not in plain.spec
    example = load_recipe("pairs-demo-degraded")
    assert isinstance(example, PairRecipe) and example.degrade is not None and example.degrade.when == "stored"


def test_exports_and_previews_have_the_clean_pairs_beside_the_degraded(degraded: Dataset, tmp_path: Path) -> None:
    folder = export(degraded, "png", tmp_path / "png") / "train"
    stored = degraded.arrays("train")
    for index in (0, 3):
        for view in (0, 1):
            for name, pairs in (("view", stored.views), ("clean", stored.clean)):
                pixels = read_image(folder / f"{index:06d}-{name}{view + 1}.png").pixels
                assert np.array_equal(pixels, pairs[index][view])
    names, plain = (draw_preview(degraded, "train", [0, 1]), pair_sheet([[*stored.views[0]]], ["a", "b"]))
    widths = [decode_image(content, "sheet").pixels.shape[1] for content in (names, plain)]
    assert widths[0] > widths[1]


def test_tables_of_samples_say_what_was_done(degraded: Dataset) -> None:
    pytest.importorskip("pandas")
    families = ["shift/1", "gaussian-noise/1", "occlude/1"]
    choice = np.asarray(degraded.arrays("train").degradation)
    table = degraded["train"].to_pandas()
    assert table["severity"].tolist() == choice[:, 1].tolist()
    names = [families[number] if number >= 0 else None for number in choice[:, 0].tolist()]
    assert [name if isinstance(name, str) else None for name in table["degradation"]] == names
