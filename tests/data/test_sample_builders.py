"""Samples of every kind of recipe: the arrays by NumPy alone, what is read for them, and banks of cut-outs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import digest, shipped_folder
from fusionbench.data.pair_patches import PairBuilder
from fusionbench.data.preprocessing import Trial
from fusionbench.data.recipes import AnyRecipe, Recipe, parse_recipe
from fusionbench.data.sample_builders import SampleBuilder, ViewBuilder, build_bank, sample_builder
from fusionbench.data.shard_layout import open_source
from tests.data.test_build import small_recipe
from tests.data.test_refused import recipe, write_good
from tests.helpers import pair_folders
from tests.sources import folders


def digits() -> tuple[Recipe, SampleBuilder]:
    made = small_recipe()
    return made, sample_builder(made, open_source(made, None))


def coil(root: Path) -> tuple[AnyRecipe, SampleBuilder]:
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    made = parse_recipe(text.replace("every = 6", "every = 3").encode(), "coil.toml")
    return made, sample_builder(made, open_source(made, folders.coil(root)))


def pairs(root: Path, text: str) -> SampleBuilder:
    made = pair_folders.recipe(text)
    return sample_builder(made, open_source(made, pair_folders.write(root), fresh=True))


def test_the_index_of_views_is_that_of_the_recipes_choice() -> None:
    """FusionDigits: of every class each sixth image is held out."""
    _, builder = digits()
    labels, seen, held = load_digits().target.tolist(), dict.fromkeys(range(10), 0), []
    for number, label in enumerate(labels):
        seen[label] += 1
        held += [number] if seen[label] % 6 == 0 else []
    assert builder.sample_index("test").tolist() == held
    assert builder.sample_index("train").tolist() == sorted(set(range(1797)) - set(held))
    assert builder.blocks("train") == [] and builder.noun == "images"
    with pytest.raises(NotImplementedError):
        builder.merge("train", np.arange(3), None)


def test_arrays_of_targets_with_views() -> None:
    made, builder = digits()
    samples = np.array([295, 0, 17])
    rows = builder.sample_index("test")[samples]
    arrays, source_sha256 = builder.arrays("test", samples, rows)
    assert arrays["index"].tolist() == [295, 0, 17] and arrays["index"].dtype == np.int64
    assert arrays["label"].tolist() == load_digits().target[rows].tolist()
    assert arrays["targets"].shape == (3, 32, 32) and not arrays["targets"][:, :2].any()  # pad = 2
    maker = made.view_maker("test")
    assert np.array_equal(arrays["params"], maker.params(samples))
    assert np.array_equal(arrays["views"], maker.make_views(arrays["targets"], samples))
    images = builder.source.read("all", rows)
    assert source_sha256 == hashlib.sha256(images.tobytes()).hexdigest()
    assert builder.facts("test", rows) == {} and builder.numbers(rows[[1, 0, 1]]).tolist() == sorted(rows[:2].tolist())


def test_samples_do_not_depend_on_what_they_are_made_with() -> None:
    _, builder = digits()
    index = builder.sample_index("train")
    whole, _ = builder.arrays("train", np.arange(20), index[:20])
    for part in (slice(0, 7), slice(7, 20), slice(4, 5)):
        found, _ = builder.arrays("train", np.arange(20)[part], index[:20][part])
        assert all(np.array_equal(found[name], whole[name][part]) for name in whole)


def test_how_many_pixels_are_covered_is_what_the_masks_show() -> None:
    """White targets without noise show the masks."""
    made, builder = digits()
    samples = np.arange(12)
    arrays, _ = builder.arrays("train", samples, builder.sample_index("train")[:12])
    noiseless = parse_recipe(_without_noise().encode())
    assert isinstance(noiseless, Recipe)
    white = noiseless.view_maker("train").make_views(
        np.full((12, 32, 32), 255, np.uint8), samples, params=arrays["params"]
    )
    seen = np.maximum.accumulate(white == 255, axis=1)
    assert builder.covered("train", arrays, None) == [int(seen[:, view].sum()) for view in range(3)]
    assert builder.covered("train", {"index": samples}, None) == [], "views that came with the source are not made"
    assert made.made_views("train") == 3


def _without_noise() -> str:
    text = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text().partition("[expect]")[0]
    head, _, rest = text.partition("[views.noise]")
    return head + "".join(f"\n[{part}" for part in rest.split("\n[")[1:])


def test_cutouts_are_those_of_the_recipes_classes(tmp_path: Path) -> None:
    made, builder = coil(tmp_path)
    assert isinstance(builder, ViewBuilder) and isinstance(made, Recipe)
    split, numbers = builder.occluders("train")
    found = builder.cutouts("train")
    assert found is not None
    arrays, source_sha256, agreement, _ = found
    assert arrays["index"].tolist() == numbers.tolist() and len(source_sha256) == 64
    assert agreement is not None and 0.9 < agreement <= 1  # with the masks of the source
    assert arrays["cutouts"].shape == (len(numbers), *made.cutout_shape("train"))
    state = hashlib.sha256()
    for number in numbers.tolist():
        state.update(builder.source.read(split, np.array([number]))[0].tobytes())
    assert source_sha256 == state.hexdigest()
    bank = build_bank(builder, "train")
    assert bank is not None and np.array_equal(bank, arrays["cutouts"])
    rows = builder.sample_index("train")[:2]
    with pytest.raises(ValueError, match="need a bank of cut-outs"):
        builder.arrays("train", np.arange(2), rows)
    assert builder.arrays("train", np.arange(2), rows, bank)[0]["views"].shape[:2] == (2, made.views.count)


def test_what_has_no_cutouts_says_so(tmp_path: Path) -> None:
    _, views = digits()
    for builder, split in ((views, "test"), (pairs(tmp_path, pair_folders.TEXT), "train")):
        assert builder.cutouts(split) is None and build_bank(builder, split) is None
        with pytest.raises(ValueError, match="has no occluders"):
            builder.occluders(split)


def test_trials_are_all_that_a_split_is_made_from(tmp_path: Path) -> None:
    made, builder = coil(tmp_path)
    target, occluder = builder.trials("train")
    assert (target.split, target.numbers.tolist()) == (
        made.splits["train"].source,
        builder.sample_index("train").tolist(),
    )
    assert (occluder.split, occluder.numbers.tolist()) == (
        builder.occluders("train")[0],
        builder.occluders("train")[1].tolist(),
    )
    for trial in (target, occluder):
        trial.attempt(trial.numbers[:3])  # nothing is wrong with them
        assert trial.used


@pytest.mark.parametrize("kind", ["whole", "patches"])
def test_trials_of_pairs(kind: str, tmp_path: Path) -> None:
    """Whole pairs are read, also where the samples are patches of them."""
    builder = pairs(tmp_path, {"whole": pair_folders.TEXT, "patches": pair_folders.PATCHES}[kind])
    (trial,) = builder.trials("train")
    assert builder.noun == "pairs" and trial.split == "all" and trial.numbers.tolist() == [0, 1, 2, 3, 4]
    (tmp_path / "b" / "scene 2.png").write_bytes(b"\x89PNG")
    trial.attempt(np.array([0, 1]))
    for read in (trial.attempt, lambda numbers: builder.read("all", numbers)):
        with pytest.raises(DataError, match=r"scene 2\.png"):
            read(np.array([2]))


def test_a_trial_fails_where_the_recipe_cannot_use_an_image_that_can_be_read(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files", 6)
    folders.save(root / "03.png", folders.picture(1, 15, 40))  # the crop needs 18 rows
    made = recipe()
    builder = sample_builder(made, open_source(made, root, fresh=True))
    trials: list[Trial] = [trial for split in made.splits for trial in builder.trials(split)]
    assert builder.noun == "files" and [trial.numbers.tolist() for trial in trials] == [[0, 1, 3, 4], [2, 5]]
    with pytest.raises(DataError, match=r"image\.crop"):
        trials[0].attempt(np.array([3]))
    builder.read("all", np.array([3]))


def test_arrays_of_whole_pairs(tmp_path: Path) -> None:
    builder = pairs(tmp_path, pair_folders.TEXT)
    assert isinstance(builder, PairBuilder) and builder.blocks("train") == []
    rows = builder.sample_index("train")
    assert rows.tolist() == [0, 1, 2, 3, 4]
    arrays, source_sha256 = builder.arrays("train", np.array([1, 4]), rows[[1, 4]])
    read = builder.read("all", np.array([1, 4]))
    assert arrays["shape"].tolist() == [list(pair_folders.SIZES[1]), list(pair_folders.SIZES[4])]
    assert all(map(np.array_equal, arrays["views"], read)) and arrays["index"].tolist() == [1, 4]
    names = ["scene 1", "scene 4"]
    digests = [hashlib.sha256(f"{pair.shape}".encode() + pair.tobytes()).hexdigest() for pair in read]
    assert source_sha256 == digest([list(row) for row in zip(names, digests, strict=True)])
    assert builder.facts("train", rows[[4, 1]]) == {"stems": ["scene 4", "scene 1"]}
    assert builder.covered("train", arrays, None) == []


def test_the_index_of_patches_can_be_computed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionbench.data.pair_patches._BLOCK", 2)
    builder = pairs(tmp_path, pair_folders.PATCHES)
    blocks = builder.blocks("train")
    assert [block.tolist() for block in blocks] == [[0, 1], [2, 3], [4]]
    index = builder.sample_index("train")
    again = sample_builder(pair_folders.recipe(pair_folders.PATCHES), builder.source)
    calls: list[list[int]] = []
    real = builder.source.read_pairs  # type: ignore[attr-defined]
    monkeypatch.setattr(builder.source, "read_pairs", lambda split, n: calls.append(n.tolist()) or real(split, n))
    again.merge("train", blocks[0], index[np.isin(index[:, 0], [0, 1])])  # as a worker computed it
    again.merge("train", blocks[1], None)
    assert np.array_equal(again.sample_index("train"), index) and calls == [[2, 3], [4]]
    assert again.numbers(index).tolist() == sorted({row[0] for row in index.tolist()})
    stems = again.facts("train", index[index[:, 0] == 3])["stems"]
    assert stems == ["scene 3"], "a pair once, however many patches it has"


def test_a_source_without_pairs_cannot_make_them() -> None:
    text = pair_folders.TEXT.replace('name = "pairs"', 'name = "digits"')
    made = pair_folders.recipe(text)
    with pytest.raises(UsageError, match="'digits' has no pairs"):
        sample_builder(made, open_source(made, None))
