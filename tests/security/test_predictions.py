"""Submitted predictions: good ones are scored as our own are, and every attack on a reader is refused in one line."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import Problem, Rejected
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.metrics.engine import score_images
from fusionbench.results import schema
from fusionbench.submissions import submit
from fusionbench.submissions.prediction_scores import score_once
from fusionbench.submissions.predictions import META, SAMPLES, examine
from tests.cli.runner import run
from tests.metrics.scenes import scene

IMAGES, DRAWS = 20, 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_dataset(load_recipe("fusiondigits"), out=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def samples(dataset: Path) -> np.ndarray:
    """Noise around the first view; other noise for every draw and number of inputs."""
    views = open_dataset(dataset).arrays("test").views[:IMAGES, 0].astype(np.int16)
    noise = np.random.default_rng(0).integers(-9, 10, (IMAGES, 4, DRAWS, *views.shape[1:]))
    return np.clip(views[:, None, None] + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "small.toml"
    path.write_text(
        'format = "fusionbench.suite/1"\nname = "small"\ntitle = "Small"\ndataset = "fusiondigits"\n'
        f'[protocol]\ndraws = {DRAWS}\nlimit = {IMAGES}\n[[models]]\nname = "mean-image"\n'
    )
    return path


def record(folder: Path, **changes: Any) -> bytes:
    opened = open_dataset(folder)
    made = {"schema": "fusionbench.predictions/1", "kind": "masked", "title": "Theirs", "submitter": "Ada"}
    made |= {"model": "theirs", "dataset": opened.name, "dataset_id": opened.id, "images": IMAGES}
    return json.dumps(made | changes).encode()


def problems(folder: Path, data: Path | None = None) -> list[str]:
    return [str(problem) for problem in examine(folder, data).problems]


def test_samples_are_scored(
    dataset: Path, samples: np.ndarray, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "samples.npy", samples)
    words = ("--title", "Theirs", "--submitter", "Ada", "--model", "theirs", "--data", dataset)
    code, out, err = run(capsys, "pack", tmp_path / "samples.npy", "-o", tmp_path / "s.zip", *words)
    assert code == 0, err
    code, out, err = run(capsys, "check", tmp_path / "s.zip")
    assert code == 0 and "fine: Theirs, predictions of theirs on fusiondigits" in out
    arguments = ("--suite", suite, "--data", dataset, "--results", tmp_path / "results")
    code, out, err = run(capsys, "accept", tmp_path / "s.zip", *arguments)
    assert code == 0, err
    result, table = schema.load(Path(out.strip())), schema.load_per_image(Path(out.strip()))
    assert (result.status, result.title, result.origin.submitter) == ("scored", "Theirs", "Ada")
    assert not any(key.startswith("nll") for key in result.scores)
    targets = open_dataset(dataset).arrays("test").targets[:IMAGES].astype(float)
    for inputs in range(4):  # an oracle of its own: one image and one draw at a time
        for index in range(IMAGES):
            errors = [((samples[index, inputs, k] - targets[index]) ** 2).mean() / 255**2 for k in range(DRAWS)]
            assert table[f"mse_min@{inputs}"][index] == pytest.approx(min(errors), rel=1e-12)
    mean = np.mean([table[f"mse_min@{inputs}"] for inputs in range(4)])
    assert result.scores["mse_min@mean"].mean == pytest.approx(mean, rel=1e-12)
    assert result.scores["mse_min@3"].extra == {"draws": DRAWS}


def test_the_same_protocol_as_our_own_models(dataset: Path, suite: Path, tmp_path: Path) -> None:
    """What we score ourselves and what is sent in stand in one table; they differ by rounding to 8 bits at most."""
    from fusionbench.models import create_model
    from fusionbench.results.comparison import compare_results

    opened = open_dataset(dataset)
    model = create_model("first-view", opened.spec)
    if hasattr(model, "fit"):
        model.fit([opened.stream("train", live=False).batch(range(100))])
    batch = opened.stream("test", live=False).batch(range(IMAGES))
    given = [model.fuse(batch.with_inputs(inputs)).squeeze(1).numpy() for inputs in range(4)]
    (tmp_path / META).write_bytes(record(dataset))
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file["samples"] = np.rint(255 * np.stack(given, 1)[:, :, None]).astype(np.uint8)
    score_once(str(tmp_path), str(dataset), str(suite), str(tmp_path / "results"))
    protocol = Protocol(draws=DRAWS)
    ours = evaluate(model, opened, protocol=protocol, out=tmp_path / "results", device="cpu", limit=IMAGES)
    rows = compare_results([tmp_path / "results"], scores=["mse_min@*"])
    assert {entry.title for entry in rows.entries} == {"Theirs", ours.title}
    theirs = next(iter(row for row in schema.load_folder(tmp_path / "results") if row.status == "scored"))
    for key in ("mse_min@0", "mse_min@3", "mse_min@mean", "mse_min@avg_paper"):
        assert theirs.scores[key].mean == pytest.approx(ours.scores[key].mean, abs=1e-3)
    assert theirs.scores["mse_min@3"].mean == pytest.approx(ours.scores["mse_min@3"].mean, abs=1e-7), "views are 8-bit"


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
    (tmp_path / META).write_bytes(record(dataset))
    (line,) = problems(h5(tmp_path, make))
    assert message in line and "\n" not in line and str(tmp_path) not in line
    assert (tmp_path / SAMPLES).stat().st_size < 1 << 20, "the attack is small on disk"


@pytest.mark.parametrize("keep", [0, 7, 100, 1000, -200])
def test_truncated_hdf5(dataset: Path, samples: np.ndarray, tmp_path: Path, keep: int) -> None:
    (tmp_path / META).write_bytes(record(dataset))
    h5(tmp_path, lambda f: f.create_dataset("samples", data=samples, chunks=(1, *SHAPE[1:]), compression="gzip"))
    content = (tmp_path / SAMPLES).read_bytes()
    (tmp_path / SAMPLES).write_bytes(content[:keep])
    (line,) = problems(tmp_path)
    assert line.startswith(SAMPLES) and "\n" not in line


def test_a_damaged_chunk(dataset: Path, samples: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / META).write_bytes(record(dataset))
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
    (tmp_path / META).write_bytes(record(dataset, **changes))
    h5(tmp_path, lambda file: file.create_dataset("samples", data=samples))
    assert any(message in line for line in problems(tmp_path, dataset))


@pytest.mark.parametrize("text", [b"", b"[" * 60_000, b'{"images": 1e999}', b"\xff\xfe", b"{}" + b" " * 70_000])
def test_records_that_are_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / META).write_bytes(text)
    (line,) = problems(tmp_path)
    assert line.startswith(META) and len(line) < 500


def test_all_draws_but_those_of_the_protocol(dataset: Path, samples: np.ndarray, suite: Path, tmp_path: Path) -> None:
    (tmp_path / META).write_bytes(record(dataset))
    h5(tmp_path, lambda f: f.create_dataset("samples", data=np.concatenate([samples, samples], axis=2)))
    with pytest.raises(Rejected, match="4 draws; the protocol asks for 2"):
        score_once(str(tmp_path), str(dataset), str(suite), str(tmp_path / "results"))
    (tmp_path / META).write_bytes(record(dataset, images=10))
    with pytest.raises(Rejected, match="predictions for 10 images of test; 20 of test are scored"):
        score_once(str(tmp_path), str(dataset), str(suite), str(tmp_path / "results"))


# Pictures of pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs, and in ``fused`` an honest picture of each."""
    root = tmp_path_factory.mktemp("pairs") / "scenes"
    for number in range(4):
        for folder, image in zip(("fused", "ir", "vi"), scene(number, (64, 80)), strict=True):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / folder / f"{number:02}.png")
    return root


@pytest.fixture
def unpacked(pairs: Path, tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for path in (pairs / "fused").iterdir():
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    made = {"schema": "fusionbench.predictions/1", "kind": "pairs", "title": "Theirs", "submitter": "Ada"}
    made |= {"model": "theirs", "dataset": "pairs", "split": "all", "images": 4}
    made["dataset_id"] = open_pairs(pairs, strict=True).identity.id
    (tmp_path / META).write_text(json.dumps(made))
    return tmp_path


def test_pictures_are_scored(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--title", "Theirs", "--submitter", "Ada", "--model", "theirs", "--data", pairs)
    code, out, err = run(capsys, "pack", pairs / "fused", "-o", tmp_path / "p.zip", *words)
    assert code == 0, err
    code, out, err = run(capsys, "accept", tmp_path / "p.zip", "--data", pairs, "--results", tmp_path / "results")
    assert code == 0, err
    result, table = schema.load(Path(out.strip())), schema.load_per_image(Path(out.strip()))
    assert (result.status, result.identity.protocol.name) == ("scored", "pairs")
    stack = [np.stack(images) for images in zip(*(scene(k, (64, 80)) for k in range(4)), strict=True)]
    for name, values in score_images(*stack).items():
        np.testing.assert_allclose(table[name], values, rtol=1e-12)
        assert result.scores[name].mean == pytest.approx(values.mean(), rel=1e-12)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def png(width: int, height: int, bits: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    ihdr = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(60_000, 60_000), "60000×60000 pixels"),
        (png(0xFFFFFFFF, 0xFFFFFFFF), "4294967295×4294967295 pixels"),
        (png(0, 64), "0×64 pixels"),
        (png(80, 64, 16), "16 bits of colour type 0"),
        (png(80, 64, 8, 3), "8 bits of colour type 3"),
        (png(80, 64, 8, 6), "8 bits of colour type 6"),
        (png(80, 63, data=bytes(81 * 63)), "80×63 pixels, its sources have 80×64"),
        (png(80, 64), "not a readable"),
        (b"", "not a PNG"),
        (b"\xff\xd8\xff\xe0 JPEG by another name" * 9, "not a PNG"),
    ],
)
def test_hostile_pictures(pairs: Path, unpacked: Path, content: bytes, message: str) -> None:
    (unpacked / "images" / "02.png").write_bytes(content)
    (line,) = problems(unpacked, pairs)
    assert message in line and line.startswith("images/02.png")
    assert problems(unpacked) or "its sources" in message, "without the data all but the size is found as well"


def test_pictures_that_are_not_the_pairs(pairs: Path, unpacked: Path) -> None:
    assert problems(unpacked, pairs) == []
    (unpacked / "images" / "03.png").rename(unpacked / "images" / "xx.png")
    told = problems(unpacked, pairs)
    assert len(told) == 2 and "images/03.png: missing" in told[0] and "images/xx.png: no such pair" in told[1]


def zipped(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


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
    parts = {META: (unpacked / META).read_bytes(), "images/0.png": png(1, 1)} | {name: b"x" for name in extra}
    report = submit.check(zipped(tmp_path / "a.zip", parts))
    assert any(message in str(problem) for problem in report.problems)


def test_the_child_looks_at_the_files(unpacked: Path, pairs: Path, tmp_path: Path) -> None:
    """A check of a whole archive: the findings come back from the process that looked."""
    parts = {META: (unpacked / META).read_bytes()}
    parts |= {f"images/{k:02}.png": (pairs / "fused" / f"{k:02}.png").read_bytes() for k in range(4)}
    report = submit.check(zipped(tmp_path / "good.zip", parts), data=pairs)
    assert report.ok and report.about == "Theirs, predictions of theirs on pairs"
    parts["images/01.png"] = png(60_000, 60_000)
    (problem,) = submit.check(zipped(tmp_path / "bad.zip", parts)).problems
    assert isinstance(problem, Problem) and problem.file == "images/01.png" and "60000×60000" in problem.rule


def test_mistakes_at_the_command_line(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-o", tmp_path / "x.zip", "--title", "T", "--submitter", "S")
    code, _, err = run(capsys, "pack", pairs / "fused", *words, "--model", "mine")
    assert code == 2 and "both --model NAME and --data FOLDER" in err
    code, _, err = run(capsys, "pack", tmp_path / "none", *words, "--model", "mine", "--data", pairs)
    assert code == 2 and "none: no such file or folder" in err
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "queue" / "incoming").mkdir(parents=True)
    (tmp_path / "queue" / "incoming" / "a.zip").write_bytes(b"waits")
    settings = ("--data", tmp_path / "none", "--results", tmp_path / "results")
    assert run(capsys, "accept", "--queue", tmp_path / "queue", *settings)[0] == 2
    assert (tmp_path / "queue" / "incoming" / "a.zip").exists(), "our own mistake rejects nobody"
    code, _, err = run(capsys, "pack", tmp_path / "pickled.npy", *words, "--model", "mine", "--data", pairs)
    assert code == 2 and "no samples in it" in err and not (tmp_path / "x.zip").exists()


def test_samples_that_copy_a_view_or_are_black_are_told(dataset: Path, tmp_path: Path) -> None:
    views = open_dataset(dataset).arrays("test").views[:IMAGES]
    made = np.random.default_rng(4).integers(0, 256, (IMAGES, 4, DRAWS, *views.shape[2:]), np.uint8)
    made[3, -1, 0], made[5, -1, 0], made[6, -1, 0] = 0, 200, views[6, 2]
    (tmp_path / META).write_bytes(record(dataset))
    with h5py.File(tmp_path / SAMPLES, "w") as file:
        file["samples"] = made
    notes = examine(tmp_path, dataset).notes
    assert "the fused image is black in 1 of 20 images (3)" in notes
    assert "the fused image is constant in 1 of 20 images (5)" in notes
    assert "the fused image is identical to view 3 in 1 of 20 images (6)" in notes
    assert "the fused image is black in 1 of 20 images (3)" in examine(tmp_path, None).notes
    assert not any("identical" in note for note in examine(tmp_path, None).notes)
