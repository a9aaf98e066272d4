"""What a suite says about predictions: columns, uploads and data, by hand for both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, RejectedError, UsageError
from fusionbench.data.dataset import open_dataset
from fusionbench.evaluation.suites import load_suite
from fusionbench.submissions.prediction_kinds import PREDICTION_KINDS, predictions_under
from fusionbench.submissions.prediction_suites import ScoreColumn, SuiteImages, SuiteSamples

PAIRS, DIGITS, MNIST, TNO = (load_suite(name) for name in ("pairs-demo", "quickstart", "fusionmnist", "ivif-tno"))


def test_columns() -> None:
    found = SuiteSamples().columns(DIGITS)
    assert [column.score for column in found] == ["mse_min@mean", *(f"mse_min@{inputs}" for inputs in range(4))]
    assert {column.better for column in found} == {"lower"}
    images = SuiteImages().columns(PAIRS)
    assert [column.score for column in images] == ["en", "sd", "sf", "mi", "scd", "vif", "qabf", "ssim", "cc"]
    assert images[0] == ScoreColumn("en", "EN", "higher")


def test_an_upload_is_one_file_of_samples_or_one_folder_of_images(tmp_path: Path) -> None:
    assert SuiteSamples().uploaded({"samples.npy": tmp_path / "samples.npy"}) == tmp_path / "samples.npy"
    pngs = {f"x/{name}.png": tmp_path / "x" / f"{name}.png" for name in "ab"}
    assert SuiteImages().uploaded(pngs) == tmp_path / "x"
    for kind, files in (
        (SuiteSamples(), pngs),
        (SuiteSamples(), {"a.npy": tmp_path / "a.npy", "b.npy": tmp_path / "b.npy"}),
        (SuiteImages(), {"samples.npy": tmp_path / "samples.npy"}),
        (SuiteImages(), pngs | {"readme.txt": tmp_path / "readme.txt"}),
        (SuiteImages(), pngs | {"y/c.png": tmp_path / "y" / "c.png"}),
    ):
        with pytest.raises(RejectedError, match="see the page on submissions"):
            kind.uploaded(files)


def test_data(tmp_path: Path) -> None:
    samples, images = SuiteSamples(), SuiteImages()
    assert (images.is_embedded(PAIRS), images.is_embedded(TNO), samples.is_embedded(DIGITS)) == (True, False, False)
    assert samples.build_data(DIGITS, tmp_path) and open_dataset(tmp_path / "fusiondigits").name == "fusiondigits"
    samples.check_data(DIGITS, tmp_path / "fusiondigits")
    with pytest.raises(UsageError, match=r"is fusiondigits, the suite fusionmnist is about fusionmnist"):
        samples.check_data(MNIST, tmp_path / "fusiondigits")
    with pytest.raises(UsageError, match="whole pairs are scored"):
        images.check_data(PAIRS, tmp_path / "fusiondigits")
    with pytest.raises((UsageError, DataError)):
        images.check_data(TNO, tmp_path / "nothing")
    assert not samples.build_data(MNIST, tmp_path / "none"), "its source asks for files"
    assert not images.build_data(TNO, tmp_path / "none") and not (tmp_path / "none").exists()


def test_each_kind_has_its_own() -> None:
    assert isinstance(predictions_under(DIGITS).in_suite, SuiteSamples)
    assert isinstance(predictions_under(PAIRS).in_suite, SuiteImages)
    assert {type(kind.in_suite) for kind in PREDICTION_KINDS.values()} == {SuiteSamples, SuiteImages}
