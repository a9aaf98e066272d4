"""Hostile predictions: every attack on a reader of samples and images is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fusionbench.core import images
from fusionbench.submissions import predictions as module
from fusionbench.submissions.archive import META
from fusionbench.submissions.predictions import SAMPLES, examine_predictions
from fusionbench.submissions.submit import check_submission
from tests.helpers.submissions import (
    DRAWS,
    IMAGES,
    png_chunk,
    png_of,
    sample_record,
    unpacked_images,
    zipped,
)


@pytest.fixture
def unpacked(pairs: Path, tmp_path: Path) -> Path:
    return unpacked_images(pairs, tmp_path)


def problems(folder: Path, data: Path | None = None) -> list[str]:
    return [str(problem) for problem in examine_predictions(folder, data).problems]


def h5(folder: Path, make: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(folder / SAMPLES, "w") as file:
        make(file)
    return folder


SHAPE = (IMAGES, 4, DRAWS, 32, 32)


def _huge(file: h5py.File) -> None:
    file.create_dataset("samples", (IMAGES, 4, 1 << 32, 32, 32), "u1", chunks=(1, 1, 1, 32, 32))


def _big_chunk(file: h5py.File) -> None:
    file.create_dataset("samples", (IMAGES, 4, 2000, 32, 32), "u1", chunks=(IMAGES, 4, 2000, 32, 32))


def _external(file: h5py.File) -> None:
    file.create_dataset("samples", SHAPE, "u1", external=[("/etc/passwd", 0, int(np.prod(SHAPE)))])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(SHAPE, "u1")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "secret", SHAPE)
    file.create_virtual_dataset("samples", layout)


def _filtered(file: h5py.File) -> None:
    file.create_dataset("samples", SHAPE, "u1", chunks=(1, *SHAPE[1:]), compression="lzf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_huge, "claims"),
        (_big_chunk, "chunks of"),
        (_external, "virtual or lies in another file"),
        (_virtual, "virtual or lies in another file"),
        (_filtered, "only gzip is allowed"),
        (lambda f: f.__setitem__("samples", h5py.ExternalLink("/etc/x.h5", "/y")), "a link to somewhere else"),
        (lambda f: f.__setitem__("samples", h5py.SoftLink("/samples")), "a link to somewhere else"),
        (lambda f: f.create_group("samples"), "must hold one object"),
        (lambda f: f.create_dataset("other", SHAPE, "u1"), "must hold one object"),
        (lambda f: [f.create_dataset(name, SHAPE, "u1") for name in ("samples", "x")], "must hold one object"),
        (lambda f: [f.create_dataset(str(k), (1,), "u1") for k in range(99)], "99 objects"),
        (lambda f: None, "0 objects"),
        (lambda f: f.create_dataset("samples", SHAPE, "f4"), "uint8 is asked for"),
        (lambda f: f.create_dataset("samples", SHAPE, h5py.vlen_dtype(np.uint8)), "uint8 is asked for"),
        (lambda f: f.create_dataset("samples", SHAPE[:-1], "u1"), "has shape (20, 4, 2, 32)"),
        (lambda f: f.create_dataset("samples", (19, *SHAPE[1:]), "u1"), "(20, 4, K, 32, 32) is asked for"),
        (lambda f: f.create_dataset("samples", (IMAGES, 4, 0, 32, 32), "u1"), "claims 0 bytes"),
        (lambda f: f.create_dataset("samples", data=h5py.Empty("u1")), "has shape None"),
    ],
)
def test_hostile_hdf5(dataset: Path, tmp_path: Path, make: Callable[[h5py.File], Any], message: str) -> None:
    (tmp_path / META).write_bytes(sample_record(dataset))
    (line,) = problems(h5(tmp_path, make))
    assert message in line and "\n" not in line and str(tmp_path) not in line
    assert (tmp_path / SAMPLES).stat().st_size < 1 << 20, "the attack is small on disk"


def _fill_values(shape: tuple[int, ...], **options: Any) -> Callable[[h5py.File], Any]:
    return lambda file: file.create_dataset("samples", shape, "u1", **options)


LARGE = (IMAGES, 4, 100_000, 32, 32)  # 8.2 GB, just below the limit of 8 GiB


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_fill_values(LARGE, chunks=(1, 1, 50_000, 32, 32)), "'samples' stores 0 of 160 chunks of its values"),
        (_fill_values(LARGE, chunks=(1, 1, 50_000, 32, 32), compression="gzip"), "stores 0 of 160 chunks"),
        (_fill_values(LARGE), "'samples' stores 0 of 8,192,000,000 bytes"),
        (_fill_values(SHAPE, chunks=(1, *SHAPE[1:])), "stores 0 of 20 chunks"),
    ],
)
def test_samples_of_fill_values(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[h5py.File], Any], message: str
) -> None:
    """8.2 GB in 2 kB are refused before a value is read."""
    (tmp_path / META).write_bytes(sample_record(dataset))
    h5(tmp_path, make)
    assert (tmp_path / SAMPLES).stat().st_size < 10_000
    monkeypatch.setattr(module, "sample_blocks", None)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", None)
    (line,) = problems(tmp_path)
    assert message in line


def test_samples_that_shrink_too_much(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Constant images are allowed as long as they are few."""
    (tmp_path / META).write_bytes(sample_record(dataset))
    values = np.zeros(SHAPE, np.uint8)
    h5(tmp_path, lambda f: f.create_dataset("samples", data=values, chunks=(20, *SHAPE[1:]), compression="gzip"))
    assert problems(tmp_path) == []
    monkeypatch.setattr(module, "_MAX_CONSTANT", values.size - 1)
    (line,) = problems(tmp_path)
    assert "'samples' shrinks from 163,840 to" in line and "more than 100 times" in line


@pytest.mark.parametrize("keep", [0, 7, 100, 1000, -200])
def test_truncated_hdf5(dataset: Path, samples: np.ndarray, tmp_path: Path, keep: int) -> None:
    (tmp_path / META).write_bytes(sample_record(dataset))
    h5(tmp_path, lambda f: f.create_dataset("samples", data=samples, chunks=(1, *SHAPE[1:]), compression="gzip"))
    content = (tmp_path / SAMPLES).read_bytes()
    (tmp_path / SAMPLES).write_bytes(content[:keep])
    (line,) = problems(tmp_path)
    assert line.startswith(SAMPLES) and "\n" not in line


def test_a_damaged_chunk(dataset: Path, samples: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / META).write_bytes(sample_record(dataset))
    h5(tmp_path, lambda f: f.create_dataset("samples", data=samples, chunks=(1, *SHAPE[1:]), compression="gzip"))
    with h5py.File(tmp_path / SAMPLES) as file:
        place = file["samples"].id.get_chunk_info(5)
    content = bytearray((tmp_path / SAMPLES).read_bytes())
    content[place.byte_offset + 10 : place.byte_offset + 200] = bytes(190)
    (tmp_path / SAMPLES).write_bytes(bytes(content))
    (line,) = problems(tmp_path)
    assert "cannot be read" in line or "damaged" in line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "verified"}, "unknown field `status`"),
        ({"scores": {"mse_min@3": 0.0}}, "unknown field `scores`"),
        ({"title": "<script>alert(1)</script>"}, "$.title"),
        ({"model": "../../etc"}, "$.model"),
        ({"model": "Theirs"}, "$.model"),
        ({"model": "fusionvae"}, "is the name of a model of fusionbench"),
        ({"dataset": "nothing"}, "names 'nothing', this data set is 'fusiondigits'"),
        ({"dataset": "/etc/passwd"}, "$.dataset"),
        ({"images": float("nan")}, "not a fusionbench.predictions/1 record"),
        ({"images": 1 << 80}, "not a fusionbench.predictions/1 record"),
        ({"link": "javascript:alert(1)"}, "$.link"),
        ({"kind": "weights"}, "$.kind"),
        ({"dataset_id": "0" * 64}, "made for data set 000000000000"),
    ],
)
def test_records_that_are_not_right(
    dataset: Path, samples: np.ndarray, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / META).write_bytes(sample_record(dataset, **changes))
    h5(tmp_path, lambda file: file.create_dataset("samples", data=samples))
    assert any(message in line for line in problems(tmp_path, dataset))


@pytest.mark.parametrize("text", [b"", b"[" * 60_000, b'{"images": 1e999}', b"\xff\xfe", b"{}" + b" " * 70_000])
def test_records_that_are_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / META).write_bytes(text)
    (line,) = problems(tmp_path)
    assert line.startswith(META) and len(line) < 500


# Images of pairs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png_of(60_000, 60_000), "60000×60000 pixels"),
        (png_of(0xFFFFFFFF, 0xFFFFFFFF), "4294967295×4294967295 pixels"),
        (png_of(0, 64), "0×64 pixels"),
        (png_of(80, 64, 16), "16 bits of colour type 0"),
        (png_of(80, 64, 8, 3), "8 bits of colour type 3"),
        (png_of(80, 64, 8, 6), "8 bits of colour type 6"),
        (png_of(80, 63, data=bytes(81 * 63)), "80×63 pixels, its sources have 80×64"),
        (png_of(80, 64), "not a readable"),
        (b"", "not a PNG"),
        (b"\xff\xd8\xff\xe0 JPEG by another name" * 9, "not a PNG"),
    ],
)
def test_hostile_pictures(pairs: Path, unpacked: Path, content: bytes, message: str) -> None:
    (unpacked / "images" / "02.png").write_bytes(content)
    (line,) = problems(unpacked, pairs)
    assert message in line and line.startswith("images/02.png")
    assert problems(unpacked) or "its sources" in message, "without the data all but the size is found as well"


def with_texts(png: bytes, count: int) -> bytes:
    """A PNG with text chunks after its header."""
    return png[:33] + png_chunk(b"tEXt", b"k\0v") * count + png[33:]


def test_a_png_of_texts(pairs: Path, unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200,000 of them are counted no further than the limit, and nothing is decoded."""
    good = (unpacked / "images" / "02.png").read_bytes()
    (unpacked / "images" / "02.png").write_bytes(with_texts(good, 64))
    assert problems(unpacked, pairs) == []
    (unpacked / "images" / "02.png").write_bytes(with_texts(good, 200_000))
    decoded: list[str] = []
    real = images.decode_image
    monkeypatch.setattr(images, "decode_image", lambda content, name: (decoded.append(name), real(content, name))[1])
    (line,) = problems(unpacked)
    assert line.startswith("images/02.png: more than 64 chunks beside its pixels")
    assert sorted(decoded) == ["00.png", "01.png", "03.png"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["images/A.png", "images/a.png"], "stands twice"),
        (["images/../../evil.png"], "images/<id>.png may be in the archive"),
        (["images/a.jpg"], "images/<id>.png may be in the archive"),
        (["images/.hidden.png"], "images/<id>.png may be in the archive"),
        (["images/sub/a.png"], "images/<id>.png may be in the archive"),
        (["images/<script>.png"], "images/<id>.png may be in the archive"),
        ([f"images/{k}.png" for k in range(5100)], "files or a directory of more than"),
    ],
)
def test_names_in_the_archive(unpacked: Path, tmp_path: Path, extra: list[str], message: str) -> None:
    parts = {META: (unpacked / META).read_bytes(), "images/0.png": png_of(1, 1)} | {name: b"x" for name in extra}
    report = check_submission(zipped(tmp_path / "a.zip", parts))
    assert any(message in str(problem) for problem in report.problems)
