"""Builds that go on, or are killed, while everything around them changes: nothing of two sources is in one data set."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import AnyRecipe, parse_recipe
from fusionbench.data.sample_builders import sample_builder
from fusionbench.data.shard_layout import open_source
from fusionbench.data.verify import verify_dataset
from fusionbench.sources import mnist
from tests.data.test_build import contents
from tests.data.test_build_update import from_nothing
from tests.data.test_refused import image, recipe, write_good
from tests.helpers import pair_folders
from tests.sources import folders


def test_patches_follow_the_pixels_of_pairs_before_them(tmp_path: Path) -> None:
    """A pair that loses patches moves the patches of all later shards, also of those that need the same pairs."""
    patches = pair_folders.recipe(pair_folders.PATCHES)
    root = pair_folders.write(tmp_path / "pairs")
    folder = build_dataset(patches, root, tmp_path / "out")
    (folder / "manifest.json").unlink()  # stopped
    flat = np.array(Image.open(root / "a" / "scene 0.png"))
    flat[:30, :30] = 128
    Image.fromarray(flat).save(root / "a" / "scene 0.png")
    assert contents(build_dataset(patches, root, tmp_path / "out")) == from_nothing(patches, root, tmp_path / "fresh")


def test_a_stopped_build_goes_on_with_other_classes(tmp_path: Path) -> None:
    """A folder between two others gives the later ones other numbers, and no image another name."""
    root = tmp_path / "files"
    for folder in ("a", "b"):
        for i in range(9):
            folders.save(root / folder / f"{i}.png", image(i))
    (build_dataset(recipe(), root, tmp_path / "out") / "manifest.json").unlink()
    (root / "ab").mkdir()
    (root / "a" / "8.png").rename(root / "ab" / "8.png")
    assert contents(build_dataset(recipe(), root, tmp_path / "out")) == from_nothing(recipe(), root, tmp_path / "fresh")


def coil() -> AnyRecipe:
    text = (shipped_folder("datasets_recipes") / "fusioncoil.toml").read_text().partition("[expect]")[0]
    text = text.replace("shard_size = 1024", "shard_size = 5").replace("every = 6", "every = 3")
    return parse_recipe(text.encode())


def occluder(root: Path, folder: Path) -> Path:
    """A file that a cut-out of the training split is made of, and no target."""
    source = open_source(coil(), root, fresh=True)
    split, numbers = sample_builder(coil(), source).occluders("train")
    path: Path = source.paths(split, int(numbers[0]))[0]  # type: ignore[attr-defined]
    return path


@pytest.mark.parametrize("stopped", [True, False])
def test_other_occluders_make_other_shards(stopped: bool, tmp_path: Path) -> None:
    root = folders.coil(tmp_path / "coil")
    folder = build_dataset(coil(), root, tmp_path / "out")
    before = contents(folder)
    if stopped:
        (folder / "manifest.json").unlink()
    path = occluder(root, folder)
    folders.save(path, folders.picture(60, 128, 128, grey="coil20" in str(path)))
    build_dataset(coil(), root, tmp_path / "out", update=not stopped)
    after = contents(folder)
    assert after == from_nothing(coil(), root, tmp_path / "fresh")
    assert after["fusioncoil-2.0.0-train-cutouts.h5"] != before["fusioncoil-2.0.0-train-cutouts.h5"]


def same_size(path: Path, seed: int) -> None:
    """Another image of as many bytes, with the same time."""
    before = path.stat()
    folders.save(path, np.random.default_rng(seed).integers(0, 256, (24, 30, 3), np.uint8), compress_level=0)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.skipif(os.name != "posix", reason="nothing shows there that a time was set back")
@pytest.mark.parametrize("stopped", [True, False])
def test_a_time_that_was_set_back_hides_no_change(stopped: bool, tmp_path: Path) -> None:
    root = tmp_path / "files"
    for i in range(12):
        (root / f"{i:02d}.png").parent.mkdir(exist_ok=True)
        folders.save(root / f"{i:02d}.png", np.full((24, 30, 3), i, np.uint8), compress_level=0)
    folder = build_dataset(recipe(), root, tmp_path / "out")
    if stopped:
        (folder / "manifest.json").unlink()
    was = (root / "07.png").stat()
    same_size(root / "07.png", 1)
    assert ((root / "07.png").stat().st_size, (root / "07.png").stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)
    if not stopped:
        with pytest.raises(DataError, match="1 file changed"):
            build_dataset(recipe(), root, tmp_path / "out")
    built = build_dataset(recipe(), root, tmp_path / "out", update=not stopped)
    assert contents(built) == from_nothing(recipe(), root, tmp_path / "fresh")


def in_child(function: Callable[[], object], last: int) -> bool:
    """Run ``function`` in a process that is killed in place of its ``last``th change of a folder; whether it was."""
    child = os.fork()
    if child == 0:
        count = itertools.count(1)

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **more: object) -> object:
                if next(count) == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **more)

            return call

        for name in ("replace", "unlink", "link"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, code = os.waitpid(child, 0)
    assert code in (0, signal.SIGKILL), code
    return code != 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("work", ["update", "repair", "force"])
def test_a_kill_at_any_step_leaves_the_old_data_set_or_one_that_can_be_finished(work: str, tmp_path: Path) -> None:
    root = write_good(tmp_path / "files", 9)
    old = contents(build_dataset(recipe(), root, tmp_path / "old"))
    if work != "repair":
        folders.save(root / "00.png", image(50))
        folders.save(root / "99.png", image(51))  # one sample more, and other names of shards
        folders.save(root / "999.png", image(52))
    new = from_nothing(recipe(), root, tmp_path / "new")
    options = {} if work == "repair" else {work: True}
    killed, last, out = True, 0, tmp_path / "out"
    while killed:
        last += 1
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(tmp_path / "old", out)
        (folder,) = out.glob("*/*/*")
        if work == "repair":
            (folder / "mine-1.0.0-train-00001-of-00002.h5").unlink()
            (folder / "mine-1.0.0-test-00000-of-00001.h5").write_bytes(b"?")
            (folder / "preview.png").unlink()
        killed = in_child(lambda: build_dataset(recipe(), root, out, **options), last)
        if work != "repair" and (folder / "manifest.json").exists():
            state = contents(folder)
            assert state in (new, old) or verify_dataset(folder).ok
        if killed and work != "repair" and not (folder / "manifest.json").exists():
            build_dataset(recipe(), root, out)  # as a build that was begun
        elif killed:
            build_dataset(recipe(), root, out, **options)
        assert contents(folder) == new, last
        assert not list(folder.glob(".*.tmp"))
    assert last > 8


def test_sources_with_one_file_for_all_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST's files change in place: what a process has read of them is not used again."""
    monkeypatch.setattr(mnist, "_FILES", {"train": ("train", 30), "test": ("t10k", 12)})
    text = (shipped_folder("datasets_recipes") / "fusionmnist.toml").read_text().partition("[expect]")[0]
    chosen = parse_recipe(text.replace("shard_size = 1024", "shard_size = 8").encode())
    root = tmp_path / "mnist"
    write_mnist(root, 0)
    folder = build_dataset(chosen, root, tmp_path / "out")
    before = contents(folder)
    assert build_dataset(chosen, root, tmp_path / "out") == folder
    write_mnist(root, 1)
    with pytest.raises(DataError, match=r"2 files changed \(t10k-images-idx3-ubyte, train-images-idx3-ubyte\)"):
        build_dataset(chosen, root, tmp_path / "out")
    build_dataset(chosen, root, tmp_path / "out", update=True)
    assert before != contents(folder) == from_nothing(chosen, root, tmp_path / "fresh")


def write_mnist(root: Path, seed: int) -> None:
    root.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    for stem, count in (("train", 30), ("t10k", 12)):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        (root / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, 28, 28) + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (root / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels.tobytes())
