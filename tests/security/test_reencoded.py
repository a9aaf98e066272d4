"""Fused images of somebody else in other files: the same pixels are the same submission, whatever holds them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.submissions.fingerprints import Content
from fusionbench.submissions.pixel_vectors import grey_distance
from fusionbench.submissions.predictions import PredictionFindings, Predictions, examine_images
from tests.helpers.submissions import png_chunk

IMAGE = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (48, 64)).astype(np.uint8), (0, 0), 1.5)


def packed(image: np.ndarray, level: int = 6) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()


def content(folder: Path, files: bytes | list[bytes]) -> Content:
    (folder / "images").mkdir(parents=True)
    names = files if isinstance(files, list) else [files] * 2
    for number, one in enumerate(names):
        (folder / "images" / f"{number}.png").write_bytes(one)
    record = Predictions(
        kind="pairs", title="T", submitter="S", model="m", dataset="d", dataset_id="0" * 64, images=len(names)
    )
    found = PredictionFindings(problems=[], notes=[])
    examine_images(folder, record, None, found)
    assert found.problems == [] and found.content is not None
    return found.content


@pytest.mark.parametrize(
    "again",
    [
        lambda file: file + b"trailing bytes",
        lambda file: file[:33] + png_chunk(b"tEXt", b"Comment\0mine") + file[33:],
        lambda file: packed(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED), 0),
        lambda file: packed(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED), 9),
    ],
)
def test_the_same_pixels_in_another_png(again: Callable[[bytes], bytes], tmp_path: Path) -> None:
    original = packed(IMAGE)
    assert again(original) != original
    assert content(tmp_path / "one", original) == content(tmp_path / "two", again(original))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda image: image + 1, True),
        (lambda image: np.round(255 * (image / 255) ** 1.02).astype(np.uint8), True),
        (lambda image: np.stack([image] * 3, axis=2), True),  # the same grey values as RGB
        (lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 0), False),
        (lambda image: np.roll(image, 1, axis=1), False),
        (lambda image: image[:, ::-1], False),
    ],
)
def test_changed_grey_values_are_near_and_other_images_are_not(
    change: Callable[[np.ndarray], np.ndarray], found: bool, tmp_path: Path
) -> None:
    """What is not found here is named in docs/trust.md."""
    one = content(tmp_path / "one", packed(IMAGE))
    two = content(tmp_path / "two", packed(np.ascontiguousarray(change(IMAGE))))
    assert one.exact != two.exact and one.near is not None and two.near is not None
    assert (grey_distance(one.near, [two.near])[0] <= 0.45) == found


def test_a_zip_with_a_prefix_or_a_comment_has_the_same_id(tmp_path: Path) -> None:
    """Or is refused: it never passes as another submission."""
    from fusionbench.submissions.archive import unpack
    from fusionbench.submissions.kinds.archives import content_id

    plain, other, behind = tmp_path / "plain.zip", tmp_path / "other.zip", tmp_path / "behind.zip"
    for path, comment in ((plain, b""), (other, b"mine")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("submission.json", "{}")
            archive.comment = comment
    behind.write_bytes(b"prefix" + plain.read_bytes())
    ids = set()
    for path in (plain, other, behind):
        folder = tmp_path / f"{path.stem}-files"
        folder.mkdir()
        if not unpack(path, {"submission.json": 100}, False, folder):
            ids.add(content_id(folder))
    assert len(ids) == 1
