"""Recipes: what is accepted, how it hashes, and that every mistake is answered with line, key path and reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.io import shipped_folder
from fusionbench.data.recipes import (
    find_line,
    list_recipes,
    load_recipe,
    parse_recipe,
    recipe_from_spec,
    recipe_versions,
)

DIGITS = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text()


FIRST_RELEASE = {
    "fusionceleba@1.0.0": "aeab9f726760",
    "fusionceleba-half@1.0.0": "453e8e7ee1e8",
    "fusioncoil@1.0.0": "4a3629499069",
    "fusiondigits@1.0.0": "ecb260a85da4",
    "fusionmnist@1.0.0": "136612efcf4b",
    "fusiontless@1.0.0": "9d3ec0c618b1",
    "fusiontless-5@1.0.0": "de6b83fcedc8",
}
ALL = [f"{name}@{version}" for name in list_recipes() for version in recipe_versions(name)]


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_are_valid_and_named_as_their_file(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.title
    assert recipe_from_spec(recipe.spec, "manifest").hash == recipe.hash
    assert recipe.folder(Path("data")) == Path("data") / name / recipe.version / recipe.hash[:12]


@pytest.mark.parametrize("name", ALL)
def test_every_version_of_a_recipe_can_be_asked_for(name: str) -> None:
    plain, _, version = name.partition("@")
    recipe, newest = load_recipe(name), load_recipe(plain)
    assert (recipe.name, recipe.version) == (plain, version) and recipe.title
    # what is made for one version can be loaded with another: the shape of a sample and the splits stay
    assert recipe.image_spec == newest.image_spec and list(recipe.splits) == list(newest.splits)
    numbers = [[int(part) for part in one.split(".")] for one in recipe_versions(plain)]
    assert numbers == sorted(numbers, reverse=True) and newest.version == recipe_versions(plain)[0]
    assert {path.stem for path in shipped_folder("datasets_recipes").glob("*@*.toml")} <= {*ALL}


def test_hashes_of_recipes_that_results_were_made_with() -> None:
    """They name folders and are in manifests: those of the first release."""
    hashes = {name: load_recipe(name).hash[:12] for name in FIRST_RELEASE}
    assert hashes == FIRST_RELEASE


def test_unknown_versions_are_told_with_the_known_ones() -> None:
    for wrong in ("fusionceleba@3.0.0", "fusionceleba@", "fusionceleba@../fusionmnist", "fusionceleba@1.0.0\n"):
        with pytest.raises(UsageError, match=r"1\.0\.0") as error:
            load_recipe(wrong)
        assert "version of fusionceleba" in str(error.value)
    with pytest.raises(UsageError, match="Did you mean 'fusionceleba'"):
        load_recipe("fusionceelba@1.0.0")


def test_fusionmnist_is_the_published_one() -> None:
    recipe = load_recipe("fusionmnist")
    maker, spec = recipe.view_maker("train"), recipe.image_spec
    assert (spec.channels, spec.height, spec.width, spec.views, spec.crop) == (1, 32, 32, 3, (28, 28))
    assert (maker.ellipses.count, maker.ellipses.radius, maker.ellipses.margin) == (2, (5, 9), (1, 2))
    assert maker.ellipses.ellipticity == (128, 384)
    assert maker.noise is not None and maker.noise.level == 16320  # 0.25 · 255 · 256


def test_prose_does_not_move_the_hash_and_bytes_do() -> None:
    base = parse_recipe(DIGITS.encode())
    prose = DIGITS.replace("title = ", 'title = "x" # ').replace("# FusionDigits", "# Other")
    assert parse_recipe(prose.encode()).hash == base.hash
    same = DIGITS.replace("seed = 0\n", "")  # the default
    assert parse_recipe(same.encode()).hash == base.hash
    for old, new in (("seed = 0", "seed = 1"), ("sigma = 0.25", "sigma = 0.3"), ("[5, 9]", "[5, 8]")):
        assert parse_recipe(DIGITS.replace(old, new).encode()).hash != base.hash


MISTAKES = {
    "unknown key": ("sigma = 0.25", "sigmo = 0.25", "views.noise", "sigmo"),
    "unknown table": ("[views.noise]", "[views.noisy]", "views", "noisy"),
    "wrong type": ("count = 3", 'count = "three"', "views.count", "got `str`"),
    "no views": ("count = 3", "count = 0", "views.count", ">= 1"),
    "empty shards": ("shard_size = 1024", "shard_size = 0", "shard_size", ">= 1"),
    "radius above the image": ("[5, 9]", "[5, 90]", "views.masks.radius", "larger than the image"),
    "radius upside down": ("[5, 9]", "[9, 5]", "views.masks.radius", "above largest"),
    "negative radius": ("[5, 9]", "[-5, 9]", "views.masks.radius", ">= 0"),
    "no sigma": ("sigma = 0.25", "sigma = 0.0", "views.noise.sigma", "> 0"),
    "not finite": ("sigma = 0.25", "sigma = nan", "views.noise.sigma", ""),
    "unknown algorithm": ('"ellipse/1"', '"ellipse/9"', "views.masks.algorithm", "ellipse/9"),
    "two channels": ("channels = 1", "channels = 2", "image.channels", "2"),
    "live images of a few pixels": (
        "[views.noise]",
        '[live]\nalgorithm = "augment/1"\nscale = 28\n\n[views.noise]',
        "live.scale",
        "take at most 27",
    ),
    "padding eats the image": ("pad = 2", "pad = 16", "image.pad", "leaves nothing"),
    "crop above the image": ("[28, 28]", "[28, 48]", "image.likelihood_crop", "larger"),
    "odd crop": ("[28, 28]", "[27, 28]", "image.likelihood_crop", "centred"),
    "part without every": ('every = 6\npart = "held-out"', 'part = "held-out"', "splits.test", "belong together"),
    "unknown part": ('part = "rest"', 'part = "most"', "splits.train.part", "most"),
    "name with a slash": ('name = "fusiondigits"', 'name = "../evil"', "name", "regex"),
    "version": ('version = "1.0.0"', 'version = "1"', "version", "regex"),
    "cubic": ('resize = "linear"', 'resize = "cubic"', "image.resize", "cubic"),
    "ellipticity": ("[0.5, 1.5]", "[0.0, 1.5]", "views.masks.ellipticity", "0.125"),
}


@pytest.mark.parametrize(("old", "new", "path", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_answered_with_line_path_and_reason(old: str, new: str, path: str, reason: str) -> None:
    assert old in DIGITS
    text = DIGITS.replace(old, new)
    with pytest.raises(DataError) as caught:
        parse_recipe(text.encode(), "my.toml")
    message = str(caught.value)
    assert message.startswith("my.toml, line ") and "\n" not in message
    assert f": {path}" in message and reason in message
    line = int(message.split("line ")[1].split(":")[0])
    wrong = [number for number, content in enumerate(text.splitlines(), 1) if new.splitlines()[0] in content]
    parent = find_line(text, path)
    assert line in wrong or line == parent


def test_a_missing_key_is_named() -> None:
    with pytest.raises(DataError, match="missing required field `sigma`"):
        parse_recipe(DIGITS.replace("sigma = 0.25", "").encode(), "my.toml")


def test_bad_toml_says_where() -> None:
    with pytest.raises(DataError, match="line 3"):
        parse_recipe(b"a = 1\nb = 2\nc = = 3\n", "my.toml")
    with pytest.raises(DataError, match="not a TOML file"):
        parse_recipe(b"\xff\xfe", "my.toml")
    with pytest.raises(DataError, match="not a TOML file"):
        parse_recipe(b"a = " + b"[" * 100_000, "my.toml")


def test_unknown_names_get_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fusionmnist"):
        load_recipe("fusionmnits")
    with pytest.raises(DataError, match="no such recipe"):
        load_recipe(tmp_path / "none.toml")


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
@settings(max_examples=100, deadline=None)
def test_no_text_makes_it_crash(text: str) -> None:
    for content in (text, DIGITS.replace("seed = 0", text), DIGITS.replace("0.25", text)):
        try:
            parse_recipe(content.encode("utf-8", "surrogatepass"))
        except FusionbenchError as error:
            assert str(error)


COIL = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "path", "reason"),
    [
        ("agreement = 0.9", "agreement = 1.5", "views.overlay.cut.agreement", "<= 1"),
        ('"canny-cut/2"', '"canny-cut/1"', "views.overlay.cut", "belong to canny-cut/2"),
        ("agreement = 0.9", "spread = 0.5", "views.overlay.cut.spread", ">= 1"),
        ("size = 36", "size = 4", "views.overlay.scale", "leaves nothing of 4 pixels"),
        ("scale = 4", "scale = 28", "views.overlay.scale", "an eighth of 32 pixels or less; take at most 27"),
        ("size = 36", "size = 513", "splits.test.occluders.size", "<= 512"),
    ],
)
def test_mistakes_about_cut_outs(old: str, new: str, path: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        parse_recipe(COIL.replace(old, new).encode(), "coil.toml")
    assert path in str(error.value) and reason in str(error.value)


def test_limits_of_the_gate_are_in_thousandths() -> None:
    recipe = parse_recipe(COIL.replace("agreement = 0.9", "agreement = 0.905\nclosed = 0.55\nspread = 2").encode())
    gate = recipe.views.overlay.cut.gate
    assert (gate.agreement, gate.closed, gate.spread) == (905, 550, 2000)
    assert (recipe.cutout_size("train"), recipe.cutout_size("test")) == (32, 36)
    assert load_recipe("fusioncoil@1.0.0").views.overlay.cut.gate is None
    assert load_recipe("fusiondigits").cutout_size("train") == 0
