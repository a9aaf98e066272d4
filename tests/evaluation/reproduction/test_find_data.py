"""Data are found by identity, in any folder, or built again."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from fusionbench.core.errors import NotComparableError
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.reproduction.find_data import (
    check_protocol,
    find_dataset,
    first_images,
    open_recorded,
    pair_source_of,
    recipe_of,
    recorded_options,
)
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError
from fusionbench.evaluation.reproduction.places import Finder, Places
from fusionbench.results.schema import DatasetIdentity, load
from tests.helpers.pair_folders import PATCHES, recipe, write
from tests.helpers.reproduction import pair_result, trained_result

PAIRS, MASKED = PROTOCOLS.get("pairs/1"), PROTOCOLS.get("masked/1")


def finder(tmp_path: Path, **places: list[Path]) -> Finder:
    return Finder(Places(**{"data": [], "sources": [], "weights": [], **places}), tmp_path / "scratch")


def test_a_data_set_by_its_id_wherever_it_lies(tmp_path: Path) -> None:
    made = trained_result(tmp_path)
    identity = load(made.result).identity
    options = recorded_options(MASKED, identity)
    shutil.move(made.data / "fusiondigits", tmp_path / "elsewhere")
    data = open_recorded(MASKED, options, identity.dataset, finder(tmp_path, data=[tmp_path / "elsewhere"]))
    assert data.identity == identity.dataset and str(data.dataset.folder).startswith(str(tmp_path / "elsewhere"))


def test_a_data_set_that_is_not_here_is_built_again_where_it_can_be(tmp_path: Path) -> None:
    made = trained_result(tmp_path)
    identity = load(made.result).identity
    options = recorded_options(MASKED, identity)
    data = open_recorded(MASKED, options, identity.dataset, finder(tmp_path))  # of a source that is embedded
    assert data.identity == identity.dataset and str(data.dataset.folder).startswith(str(tmp_path / "scratch"))
    other = msgspec.structs.replace(identity.dataset, id="0" * 64)
    with pytest.raises(NotReproducibleError, match="another id") as error:
        open_recorded(MASKED, options, other, finder(tmp_path))
    assert error.value.cause == "data"
    unknown = msgspec.structs.replace(identity.dataset, name="nobody-knows")
    with pytest.raises(NotReproducibleError, match="--data"):
        open_recorded(MASKED, options, unknown, finder(tmp_path))


def test_image_files_of_pairs_in_a_folder_or_in_one_called_like_their_source(tmp_path: Path) -> None:
    folder = write(tmp_path / "upstream" / "pairs")
    wanted = open_pairs("pairs", None, folder).identity
    options = PAIRS.options()
    for place in (folder, tmp_path / "upstream"):
        assert open_recorded(PAIRS, options, wanted, finder(tmp_path, sources=[place])).identity == wanted
        assert open_recorded(PAIRS, options, wanted, finder(tmp_path, data=[place])).identity == wanted
    first = sorted((folder).rglob("*.png"))[0]
    first.unlink()
    with pytest.raises(NotReproducibleError, match="looked at"):
        open_recorded(PAIRS, options, wanted, finder(tmp_path, sources=[folder]))


def test_the_first_images_of_data_of_any_protocol() -> None:
    pairs = open_pairs("pairs-demo")
    assert first_images(pairs, 2, lambda count: None).stems == ["astronaut", "chelsea"]
    assert first_images(SimpleNamespace(), 2, lambda count: f"reopened {count}") == "reopened 2"


def test_every_parameter_has_to_be_understood(tmp_path: Path) -> None:
    identity = load(pair_result(tmp_path / "results")).identity
    pairs = open_pairs("pairs-demo")
    options = recorded_options(PAIRS, identity)
    check_protocol(PAIRS, options, pairs, identity, frozenset())
    identity.protocol.params["blur"] = 1
    with pytest.raises(NotComparableError, match="does not know blur"):
        check_protocol(PAIRS, options, pairs, identity, frozenset())
    check_protocol(PAIRS, options, pairs, identity, frozenset({"blur"}))
    del identity.protocol.params["blur"]
    identity.protocol.seed = 4
    with pytest.raises(NotComparableError, match="seed = 0, the result was measured with 4"):
        check_protocol(PAIRS, options, pairs, identity, frozenset())
    identity.protocol.params["stretch"] = 3
    with pytest.raises(NotComparableError, match="stretch"):
        recorded_options(PAIRS, identity)


def test_options_come_from_the_record(tmp_path: Path) -> None:
    identity = load(trained_result(tmp_path).result).identity
    identity.protocol.seed = 9
    options = recorded_options(MASKED, identity)
    assert (options.draws, options.seed, options.paper_batch, options.limit) == (2, 9, 32, None)


@pytest.mark.parametrize(
    ("name", "split", "source"),
    [
        ("tno", "test", "tno"),
        ("roadscene-cddfuse-50", "cddfuse-50", "roadscene"),
        ("roadscene-cddfuse-50", "all", None),
        ("fusionmnist", "test", None),
        ("digits", "test", None),
    ],
)
def test_sources_of_pairs_by_name_and_split(name: str, split: str, source: str | None) -> None:
    wanted = DatasetIdentity(name=name, version="1.0.0", split=split, id="", n=1, ids_sha256="")
    assert pair_source_of(wanted) == source


def test_recipes_by_name_and_version() -> None:
    recipe = recipe_of("fusioncoil@1.0.0")
    assert recipe is not None and recipe.version == "1.0.0"
    assert recipe_of("fusioncoil@9.9.9") is None and recipe_of("nobody-knows@1.0.0") is None


def test_what_suites_train_on_is_built_and_compared_by_its_id(tmp_path: Path) -> None:
    folder = find_dataset(load_patches_id(tmp_path), finder(tmp_path), "pairs-demo")
    assert folder is not None and open_dataset(folder).name == "pairs-demo-patches"
    assert find_dataset("0" * 64, finder(tmp_path), "pairs-demo") is None
    assert find_dataset("0" * 64, finder(tmp_path), "nobody-knows") is None


def test_live_degradations_are_another_training_of_the_same_bytes(tmp_path: Path) -> None:
    source, built = write(tmp_path / "source"), {}
    live = '[degrade]\nfamilies = ["haze/1"]\nseverity = 3\nwhen = "live"\n'
    for name, text in (("a-degraded", PATCHES + live), ("b-clean", PATCHES)):
        built[name] = open_dataset(build_dataset(recipe(text), source, tmp_path / "data" / name, jobs=1))
    degraded, clean = built.values()
    assert degraded.id == clean.id
    wanted = finder(tmp_path, data=[tmp_path / "data"])
    assert find_dataset(clean.id, wanted, "nobody-knows") == clean.folder
    assert find_dataset(degraded.training_id, wanted, "nobody-knows") == degraded.folder
    manifest = degraded.folder / "manifest.json"  # of a family that nobody knows here: it stops no other set
    manifest.write_text(manifest.read_text().replace("haze/1", "fog/1"))
    assert find_dataset(clean.id, finder(tmp_path, data=[tmp_path / "data"]), "nobody-knows") == clean.folder


def load_patches_id(tmp_path: Path) -> str:
    """As the shipped results of rows that learn name it."""
    root = Path(__file__).parents[3] / "benchmarks" / "results" / "pairs-demo" / "mfeif"
    training = load(next(root.iterdir())).identity.training
    assert training is not None and training.dataset_id is not None
    return training.dataset_id
