"""Oracle: the bytes that the tests put into the IDX files; hostile files must fail with one clear line."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import FusionbenchError
from fusionbench.sources.mnist import Mnist
from tests.sources import idx

IMAGES = "train-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    idx.shrink(monkeypatch)


def read_everything(folder: Path) -> None:
    source = Mnist(folder)
    for split in source.splits:
        source.read(split, np.arange(source.length(split)))
        source.labels(split)


@pytest.mark.parametrize("gzipped", [True, False])
def test_reads_images_and_labels(tmp_path: Path, gzipped: bool) -> None:
    source = Mnist(idx.write_all(tmp_path, gzipped))
    images = source.read("train", np.array([36, 0]))
    assert images.shape == (2, 28, 28, 1) and images.dtype == np.uint8
    flat = (np.arange(37 * 784) % 251).astype(np.uint8)
    assert np.array_equal(images[0].ravel(), flat[36 * 784 :]) and np.array_equal(images[1].ravel(), flat[:784])
    labels = source.labels("test")
    assert labels is not None and labels.tolist() == [i % 10 for i in range(11)]


def test_gzip_and_plain_have_one_fingerprint(tmp_path: Path) -> None:
    plain, packed = (Mnist(idx.write_all(tmp_path / str(g), g)) for g in (False, True))
    assert plain.fingerprint("train") == packed.fingerprint("train") != plain.fingerprint("test")


GOOD = idx.contents()[IMAGES]
BAD = {
    "empty": (b"", "truncated"),
    "half a header": (GOOD[:9], "truncated"),
    "truncated": (GOOD[:-1], "truncated"),
    "too long": (GOOD + b"\0", "continues after"),
    "labels in its place": (idx.contents()["train-labels-idx1-ubyte"], "swapped"),
    "test images in its place": (idx.contents()["t10k-images-idx3-ubyte"], "swapped"),
    "lies about its size": (struct.pack(">4I", 2051, 0xFFFFFFFF, 28, 28) + GOOD[16:], "it says 4294967295×28×28"),
    "text": (b"<html>404 not found, and so on</html>", "not an IDX file"),
}


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bad_files_get_one_clear_line(tmp_path: Path, content: bytes, message: str, gzipped: bool) -> None:
    idx.write_all(tmp_path, gzipped)
    name = IMAGES + (".gz" if gzipped else "")
    (tmp_path / name).write_bytes(gzip.compress(content) if gzipped else content)
    with pytest.raises(FusionbenchError, match=message) as caught:
        read_everything(tmp_path)
    assert name in str(caught.value) and "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_a_damaged_gzip_stream_is_refused(tmp_path: Path) -> None:
    idx.write_all(tmp_path)
    path = tmp_path / f"{IMAGES}.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(FusionbenchError, match=IMAGES):
        read_everything(tmp_path)


def test_a_gzip_bomb_is_not_expanded(tmp_path: Path) -> None:
    """50 MB of zeros behind a valid header: only the expected size and one byte more are ever read."""
    idx.write_all(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(GOOD + bytes(50_000_000)))
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(FusionbenchError, match="continues after"):
        read_everything(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("missing", sorted(idx.contents()))
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    idx.write_all(tmp_path)
    (tmp_path / f"{missing}.gz").unlink()
    with pytest.raises(FusionbenchError, match=missing):
        Mnist(tmp_path)


def test_a_missing_folder_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match="no such folder"):
        Mnist(tmp_path / "nothing")
    with pytest.raises(FusionbenchError, match="--source-dir"):
        Mnist(None)


def test_a_label_that_is_no_digit(tmp_path: Path) -> None:
    idx.write_all(tmp_path, gzipped=False)
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")
    with pytest.raises(FusionbenchError, match="label 11 at index 36"):
        read_everything(tmp_path)


@given(st.binary(max_size=200), st.integers(0, 60), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_it_crash(tmp_path: Path, noise: bytes, keep: int, gzipped: bool) -> None:
    """Whatever stands in the file: it is read as valid or refused with an error for people."""
    idx.write_all(tmp_path, gzipped)
    path = tmp_path / (IMAGES + (".gz" if gzipped else ""))
    content = path.read_bytes()
    path.write_bytes(content[:keep] + noise + content[keep + len(noise) :])
    try:
        read_everything(tmp_path)
    except FusionbenchError as error:
        assert "\n" not in str(error)
