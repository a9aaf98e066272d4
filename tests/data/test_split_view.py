"""``dataset[0]``, views of splits, tables and notebooks; oracle: the arrays of the split."""

from __future__ import annotations

import copy
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import Dataset, open_dataset
from fusionbench.data.recipes import parse_recipe
from fusionbench.data.split_view import SHOWN, SplitView
from tests.core.test_inline_images import decoded
from tests.data.pair_datasets import dataset, folder, images, kind, whole  # noqa: F401 fixtures
from tests.data.test_build import DIGITS, small_recipe


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(build_dataset(small_recipe(), out=tmp_path_factory.mktemp("digits")))


def test_a_sample_is_what_is_stored(digits: Dataset) -> None:
    arrays = digits.arrays("test")
    for key, index in ((0, 0), (295, 295), (-1, 295), (np.int64(70), 70)):
        sample = digits["test"][key]
        assert sorted(sample) == ["id", "label", "target", "views"]
        assert sample["id"] == index and sample["label"] == arrays.label[index]
        assert np.array_equal(sample["target"], arrays.targets[index]) and sample["target"].flags.writeable
        assert np.array_equal(sample["views"], arrays.views[index])
    assert np.array_equal(digits[3]["views"], digits.arrays("train").views[3]), "a number: of the first split"


def test_parts_are_those_of_a_list(digits: Dataset) -> None:
    view, plain = digits["test"], list(range(296))
    assert len(view) == 296 and len(view[10:40:3]) == 10
    for key in (slice(5, 9), slice(None, None, -7), slice(400, 500)):
        assert [sample["id"] for sample in view[key]] == plain[key]
    mask = np.arange(296) % 50 == 1
    assert view[mask].ids.tolist() == [1, 51, 101, 151, 201, 251]
    part = view[[9, -1, 3]][::-1]
    assert part.ids.tolist() == [3, 295, 9] and part[2]["id"] == 9 and len(view[[]]) == 0


def test_what_is_outside_or_no_place_is_refused(digits: Dataset) -> None:
    for bad in (296, -297):
        with pytest.raises(IndexError, match=re.escape(f"sample {bad} is outside 0..295")):
            digits["test"][bad]
    for wrong in ("a", 1.5, None, True, [[1]], [0.5]):
        with pytest.raises(TypeError):
            digits["test"][wrong]  # type: ignore[index]
    with pytest.raises(UsageError, match=r"split of fusiondigits 'tset'. Did you mean 'test'"):
        digits["tset"]


def test_a_data_set_says_what_to_use(digits: Dataset) -> None:
    calls: dict[str, Any] = {"len": len, "iter": iter, "list": list}
    for name, call in calls.items():
        with pytest.raises(TypeError) as error:
            call(digits)
        text = str(error.value)
        assert 'dataset.torch("train")' in text and "\n" not in text and ("len(" in text) == (name == "len")
    with pytest.raises(TypeError, match=r'dataset\["train"\]'):
        digits[2:3]  # type: ignore[call-overload]
    assert digits and "train" in digits and "nothing" not in digits and 0 not in digits


def test_streams_say_what_a_loader_takes(digits: Dataset, whole: Dataset) -> None:  # noqa: F811
    for stream in (digits.stream("test"), whole.stream("train")):
        for use in (iter, lambda value: value[0]):
            with pytest.raises(TypeError, match=r"stream\.batch\(indices, epoch\); a DataLoader takes dataset.torch"):
                use(stream)


def test_a_copy_opens_its_files_itself(digits: Dataset) -> None:
    digits.arrays("train")
    sent = pickle.dumps(digits)
    assert len(sent) < 100_000, "no pixels"
    for other in (pickle.loads(sent), copy.deepcopy(digits)):
        assert other.id == digits.id and np.array_equal(other[7]["views"], digits[7]["views"])


def test_a_table_says_where_samples_are(digits: Dataset) -> None:
    pytest.importorskip("pandas")
    table = digits["test"].to_pandas()
    assert list(table) == ["id", "label", "shard", "row"] and len(table) == 296
    assert table["label"].tolist() == digits.arrays("test").label[:].tolist()
    from fusionbench.data.shards.reader import open_shard

    for index in (0, 63, 64, 295):
        row = table.iloc[index]
        stored = open_shard(digits.folder / row["shard"]).arrays["views"][row["row"]]
        assert np.array_equal(stored, digits.arrays("test").views[index])
    assert digits["test"][[9, 100]].to_pandas()["row"].tolist() == [9, 100 - 64]


def test_coverage_of_samples_has_the_mean_of_the_manifest(digits: Dataset) -> None:
    pytest.importorskip("pandas")
    shares = digits["test"].to_pandas(coverage=True)["coverage"]
    assert shares.mean() == pytest.approx(digits.split("test").coverage[-1], abs=1e-6) and shares.std() > 0.01


def test_tables_of_pairs_have_names_and_sizes(dataset: Dataset) -> None:  # noqa: F811
    pytest.importorskip("pandas")
    table, arrays = dataset["train"].to_pandas(), dataset.arrays("train")
    assert table["name"].tolist() == dataset.names("train")
    if "shape" in arrays.columns:
        sizes = [list(view.shape[1:]) for view in arrays.views]
        assert table[["height", "width"]].to_numpy().tolist() == sizes
    else:
        assert table[["top", "left"]].to_numpy().tolist() == arrays.corner[:].tolist()
    with pytest.raises(UsageError):
        dataset["train"].to_pandas(coverage=True)


def test_without_pandas_it_is_one_line(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'fusionbench\[pandas\]'"):
        digits["test"].to_pandas()


def test_a_notebook_shows_the_pixels(digits: Dataset) -> None:
    page = digits["test"][40:]._repr_html_()
    uris = re.findall(r'src="([^"]+)"', page)
    assert len(uris) == SHOWN * 4 and "and 252 more" in page
    arrays = digits.arrays("test")
    assert np.array_equal(decoded(uris[0]), arrays.targets[40])
    assert np.array_equal(decoded(uris[7]), arrays.views[41, 2])
    assert "http" not in page and digits["test"][:0]._repr_html_().count("<img") == 0
    whole_set = digits._repr_html_()
    assert digits.id in whole_set and "1,501 samples" in whole_set and whole_set.count("<img") == SHOWN * 4


def test_large_pairs_are_small_in_a_notebook(whole: Dataset) -> None:  # noqa: F811
    uris = re.findall(r'src="([^"]+)"', whole["train"]._repr_html_())
    assert len(uris) == 2 * SHOWN and all(max(decoded(uri).shape) <= 96 for uri in uris)


def test_hostile_texts_are_escaped_in_a_notebook(tmp_path: Path) -> None:
    text = DIGITS.partition("[expect]")[0].replace('title = "', 'title = "<script>alert(1)</script>&\\u202e')
    page = open_dataset(build_dataset(parse_recipe(text.encode(), "bad.toml"), out=tmp_path))._repr_html_()
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;&amp;\\u202e" in page


def test_a_damaged_set_still_has_a_face(tmp_path: Path) -> None:
    build_dataset(small_recipe(), out=tmp_path)
    damaged = open_dataset(tmp_path)
    next(damaged.folder.glob("*train*.h5")).unlink()
    page = damaged._repr_html_()
    assert damaged.id in page and "cannot read" in page and "<img" not in page


def test_reprs_are_short(digits: Dataset) -> None:
    assert repr(digits["test"]) == "<fusiondigits 1.0.0 test: 296 samples>"
    assert repr(SplitView(digits, "test")[:5]) == "<fusiondigits 1.0.0 test: 5 of 296 samples>"
