"""Files that cannot be used: all of them found with the reason, and left out in a data set that says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import digest, escaped
from fusionbench.data import build, build_shards, refused
from fusionbench.data.build import build_dataset
from fusionbench.data.build_plan import plan_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import Recipe, parse_recipe
from fusionbench.data.refused import find_refused
from fusionbench.data.shard_layout import open_source
from fusionbench.data.shards.manifest import read_manifest
from fusionbench.data.upload import build_to_url
from fusionbench.data.verify import verify_dataset
from tests.data.test_build import contents
from tests.helpers import pair_folders
from tests.helpers.recipes import FOLDER_SPLITS
from tests.sources import folders

TEXT = (
    """
format = "fusionbench.recipe/1"
name = "mine"
version = "1.0.0"
title = "mine"
shard_size = 4
"""
    + FOLDER_SPLITS
    + """[image]
height = 16
width = 16
channels = 3
crop = [2, 4, 16, 16]
[views]
count = 2
[views.masks]
algorithm = "ellipse/1"
ellipses = 2
radius = [2, 5]
"""
)
COUNT = 20
BAD = {  # name -> what the reason says; how a damaged file is called is the reader's matter
    "03.png": "",
    "05.png": "of 16 bits fill less than 3/4",
    "06.jpg": "",
    "11.png": "",
    "14.png": "smaller than the recipe's image.crop needs",
    "19.png": "leads out of the folder",
}
GOOD = [i for i in range(COUNT) if not any(name.startswith(f"{i:02d}.") for name in BAD)]


def recipe(text: str = TEXT) -> Recipe:
    found = parse_recipe(text.encode(), "mine.toml")
    assert isinstance(found, Recipe)
    return found


def image(i: int) -> np.ndarray:
    return folders.picture(i, 24 + i % 3, 30)


def write(root: Path) -> Path:
    """Twenty files, six of which no data set can be made of, each for another reason."""
    for i in range(COUNT):
        folders.save(root / f"{i:02d}.png", image(i))
    content = (root / "03.png").read_bytes()
    (root / "03.png").write_bytes(content[: len(content) // 2])  # its header is whole
    deep = np.repeat((np.arange(26 * 30, dtype=np.uint16) * 20).reshape(26, 30, 1), 3, axis=2)
    (root / "05.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())  # 14 bits in a type of 16
    (root / "06.png").unlink()
    folders.save(root / "06.jpg", np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8))
    (root / "06.jpg").write_bytes((root / "06.jpg").read_bytes()[:900])
    (root / "11.png").write_text("not an image")
    folders.save(root / "14.png", folders.picture(1, 15, 40))
    (root / "19.png").unlink()
    folders.save(root.parent / f"outside-{root.name}.png", image(19))
    (root / "19.png").symlink_to(root.parent / f"outside-{root.name}.png")
    return root


def write_good(root: Path, count: int = COUNT) -> Path:
    for i in range(count):
        folders.save(root / f"{i:02d}.png", image(i))
    return root


@pytest.fixture
def source_dir(tmp_path: Path) -> Path:
    return write(tmp_path / "files")


def test_all_are_found_with_the_reason(source_dir: Path) -> None:
    found = find_refused(recipe(), open_source(recipe(), source_dir))
    assert [one.name for one in found.refused] == sorted(BAD) and found.looked_at == COUNT
    assert found.head() == "6 of 20 files are refused"
    for one in found.refused:
        assert (
            one.reason and BAD[one.name] in one.reason and str(source_dir) not in one.reason and "\n" not in one.reason
        )
        assert one.split == "all" and one.used


@pytest.mark.parametrize("cores", [1, 7])
def test_the_number_of_threads_changes_nothing(cores: int, source_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = find_refused(recipe(), open_source(recipe(), source_dir))
    monkeypatch.setattr(refused, "core_count", lambda: cores)
    monkeypatch.setattr(refused, "_BLOCK", 3)
    assert find_refused(recipe(), open_source(recipe(), source_dir)) == expected


def test_what_the_recipe_does_not_choose_is_read_on_request(source_dir: Path) -> None:
    one = recipe(TEXT.replace('part = "rest"', 'part = "rest"\nfirst = 4'))  # of train 0, 1, 3 and 4; of test all
    used = {one.name for one in find_refused(one, open_source(one, source_dir)).refused}
    assert used == {"03.png", "05.png", "11.png", "14.png"}
    found = find_refused(one, open_source(one, source_dir), everything=True)
    # a file that is too small for the recipe can be read, and what is not chosen need not fit the recipe
    assert {one.name for one in found.refused} == set(BAD) and {one.name for one in found.used} == used
    assert found.looked_at == COUNT


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_build_says_how_many_and_the_first(
    small: bool, jobs: int, source_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr(refused, "SMALL_COUNT", 5)
    with pytest.raises(DataError) as caught:
        build_dataset(recipe(), source_dir, tmp_path / "out", jobs=jobs)
    text = str(caught.value)
    assert text.startswith(f"{source_dir}: 6 of 20 files are refused: 03.png (") and "; 06.jpg (" in text
    assert "and 3 more" in text and "11.png" not in text and "\n" not in text
    assert "--skip-refused" in text and "recipe check" in text
    assert not list((tmp_path / "out").rglob("manifest.json"))
    if small:
        assert not (tmp_path / "out").exists()  # found before a shard was written


def test_another_failure_is_not_taken_for_a_refused_file(
    source_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in BAD:
        (source_dir / name).unlink()

    def full(path: Path, *_: object) -> object:
        raise DataError(f"{path}: cannot write: No space left on device")

    monkeypatch.setattr(build_shards, "write_shard", full)
    monkeypatch.setattr(build, "refusal", lambda *_, **__: pytest.fail("every file was read again"))
    monkeypatch.setattr(build, "is_small", lambda *_: False)
    with pytest.raises(DataError, match="No space left"):
        build_dataset(recipe(), source_dir, tmp_path / "out")


def test_no_other_image_changes_its_split(source_dir: Path, tmp_path: Path) -> None:
    """Every third place is for testing, those of refused files counted."""
    dataset = open_dataset(build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True))
    for split, held_out in (("train", False), ("test", True)):
        expected = [image(i)[2:18, 4:20] for i in GOOD if (i % 3 == 2) == held_out]
        assert np.array_equal(np.asarray(dataset.arrays(split).targets), np.stack(expected))


def test_the_manifest_names_all_with_reasons(
    source_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True)
    lines = capsys.readouterr().err.splitlines()
    assert f"warning: {source_dir}: 6 of 20 files are refused and left out" in lines
    assert [line.split(":")[0].strip() for line in lines if line.startswith("  ")] == sorted(BAD)
    raw = json.loads((folder / "manifest.json").read_bytes())
    assert list(raw["refused"]["all"]) == sorted(BAD) == raw["recipe"]["source"]["leave_out"]["all"]
    assert all(BAD[name] in reason for name, reason in raw["refused"]["all"].items())
    assert str(tmp_path) not in (folder / "manifest.json").read_text()
    digests = {split: [shard["content_sha256"] for shard in one["shards"]] for split, one in raw["splits"].items()}
    assert raw["id"] == digest({"splits": digests, "left_out": {"all": sorted(BAD)}}) != digest(digests)
    assert "6 files of the source were refused and are left out" in (folder / "README.md").read_text()


def test_machines_and_workers_make_the_same_data_set(source_dir: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "elsewhere" / "under another name")
    made = [
        contents(build_dataset(recipe(), where, tmp_path / f"out{jobs}", jobs=jobs, skip_refused=True))
        for where, jobs in ((source_dir, 1), (other, 2), (source_dir, 4))
    ]
    assert made[0] == made[1] == made[2]


def test_nothing_refused_is_the_usual_data_set(source_dir: Path, tmp_path: Path) -> None:
    skipped = read_manifest(build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True))
    for name in BAD:
        (source_dir / name).unlink()
    usual = build_dataset(recipe(), source_dir, tmp_path / "out")
    assert build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True) == usual
    manifest = read_manifest(usual)
    assert "refused" not in json.loads((usual / "manifest.json").read_bytes()) and manifest.left_out == {}
    assert manifest.id != skipped.id and manifest.recipe_sha256 == recipe().hash != skipped.recipe_sha256
    assert len(list((tmp_path / "out").rglob("manifest.json"))) == 2


def test_a_set_with_files_left_out_can_be_made_again(source_dir: Path, tmp_path: Path) -> None:
    folder = build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True)
    report = verify_dataset(folder, regenerate="all", source_dir=source_dir)
    assert report.ok and report.regenerated == len(GOOD)
    plan = plan_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True)
    assert plan.finished and plan.folder == str(folder) and sum(plan.splits.values()) == len(GOOD)
    (source_dir / "11.png").unlink()
    open_source(recipe(), source_dir, fresh=True)
    with pytest.raises(DataError, match=r"'11\.png', which the recipe leaves out, is not in 'all'; put the file back"):
        verify_dataset(folder, regenerate=1, source_dir=source_dir)


def test_a_manifest_that_hides_what_was_left_out_is_refused(source_dir: Path, tmp_path: Path) -> None:
    folder = build_dataset(recipe(), source_dir, tmp_path / "out", skip_refused=True)
    raw = json.loads((folder / "manifest.json").read_bytes())
    for change in ({"refused": {}}, {"refused": {"all": {"03.png": "damaged"}}}):
        (folder / "manifest.json").write_text(json.dumps(raw | change))
        with pytest.raises(DataError, match="edited by hand or damaged"):
            read_manifest(folder)
    digests = {split: [shard["content_sha256"] for shard in one["shards"]] for split, one in raw["splits"].items()}
    honest = {key: value for key, value in raw.items() if key != "refused"} | {"id": digest(digests)}
    (folder / "manifest.json").write_text(json.dumps(honest))
    with pytest.raises(DataError, match="its recipe leaves out other files than it lists"):
        read_manifest(folder)


def test_files_left_out_by_hand(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files")
    text = TEXT + '[source.leave_out]\nall = ["01.png", "07.png"]\n[reasons.all]\n"07.png" = "blurred"\n'
    folder = build_dataset(recipe(text), root, tmp_path / "out")
    manifest = read_manifest(folder)
    assert manifest.left_out == {"all": {"01.png": "the recipe leaves it out", "07.png": "blurred"}}
    assert sum(split.n for split in manifest.splits.values()) == COUNT - 2
    assert recipe(text).hash == recipe(text.replace("blurred", "dark")).hash != recipe().hash
    (root / "03.png").write_bytes(b"")
    both = read_manifest(build_dataset(recipe(text), root, tmp_path / "out", skip_refused=True))
    assert list(both.left_out["all"]) == ["01.png", "03.png", "07.png"]
    with pytest.raises(DataError, match=r"line \d+: source\.leave_out\.all: names must be sorted, each of them once"):
        recipe(TEXT + '[source.leave_out]\nall = ["07.png", "01.png"]\n')
    with pytest.raises(DataError, match=r"source\.leave_out\.al: no split is made from 'al'"):
        recipe(TEXT + '[source.leave_out]\nal = ["07.png"]\n')


def test_a_folder_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.png").write_bytes(b"")
    one = recipe(
        TEXT.partition("[splits.train]")[0] + '[splits.all]\nsource = "all"\n[image]' + TEXT.partition("[image]")[2]
    )
    with pytest.raises(DataError, match="has no image for a split"):
        build_dataset(one, tmp_path / "files", tmp_path / "out", skip_refused=True)
    assert not (tmp_path / "out").exists()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    root = write_good(tmp_path / "files", 6)
    (root / "a\nb\x1b[2J.png").write_bytes(b"")
    try:
        with open(os.fsencode(root) + b"/\xffz.png", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    found = find_refused(recipe(), open_source(recipe(), root))
    assert {one.name for one in found.refused} == {"a\nb\x1b[2J.png", "\\xffz.png"}
    assert {escaped(one.name) for one in found.refused} == {"a\\x0ab\\x1b[2J.png", "\\xffz.png"}
    assert "\x1b" not in str(refused.refusal(recipe(), open_source(recipe(), root)))
    folder = build_dataset(recipe(), root, tmp_path / "out", skip_refused=True)
    assert read_manifest(folder).left_out["all"].keys() == {"a\nb\x1b[2J.png", "\\xffz.png"}
    assert verify_dataset(folder, regenerate="all", source_dir=root).ok


@pytest.mark.parametrize("text", [pair_folders.TEXT, pair_folders.PATCHES], ids=["whole", "patches"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_pair_with_one_refused_image_is_left_out(text: str, jobs: int, tmp_path: Path) -> None:
    root = pair_folders.write(tmp_path / "pairs")
    clean = open_dataset(build_dataset(pair_folders.recipe(text), root, tmp_path / "clean"))
    (root / "b" / "scene 1.png").write_bytes(b"")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "a" / "scene 3.png")  # not of one size any more
    with pytest.raises(DataError, match=r"2 of 5 pairs are refused: scene 1 \(b/scene 1\.png: .*--skip-refused"):
        build_dataset(pair_folders.recipe(text), root, tmp_path / "out", jobs=jobs)
    folder = build_dataset(pair_folders.recipe(text), root, tmp_path / "out", jobs=jobs, skip_refused=True)
    manifest = read_manifest(folder)
    reasons = manifest.left_out["all"]
    assert list(reasons) == ["scene 1", "scene 3"] and str(tmp_path) not in json.dumps(reasons)
    assert reasons["scene 3"].startswith("a/scene 3.png is 9×9 and b/scene 3.png is 48×48 pixels")
    made = open_dataset(folder)
    kept = [i for i, name in enumerate(clean.names("train")) if not name.startswith(("scene 1", "scene 3"))]
    assert made.names("train") == [clean.names("train")[i] for i in kept]
    for mine, there in zip(range(len(kept)), kept, strict=True):
        assert np.array_equal(made.arrays("train").views[mine], clean.arrays("train").views[there])
    assert verify_dataset(folder, regenerate="all", source_dir=root).ok
    assert "2 pairs of the source were refused" in (folder / "README.md").read_text()


def test_a_file_without_a_partner_is_another_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pair_folders.write(tmp_path / "pairs")
    (root / "b" / "scene 0.png").unlink()
    manifest = read_manifest(build_dataset(pair_folders.recipe(), root, tmp_path / "out", skip_refused=True))
    assert manifest.left_out == {} and "lack a partner" in capsys.readouterr().err


def test_sets_by_name_stay_whole(tmp_path: Path) -> None:
    """Of the 50 pairs that others score, none may be left out."""
    from fusionbench.sources.pairs import RoadScene

    stems = RoadScene.LAYOUTS["cddfuse-50"][0].only
    folders.pairs(tmp_path, "ir", "vi", (*stems, "FLIR_1"))
    (tmp_path / "ir" / "FLIR_1.png").write_bytes(b"")
    text = pair_folders.TEXT.replace('name = "pairs"', 'name = "roadscene"')
    rest = pair_folders.recipe(text + '[splits.rest]\nsource = "all"\nwithout = "cddfuse-50"\n')
    with pytest.raises(DataError, match="no image for a split"):  # the only other one is refused
        build_dataset(rest, tmp_path, tmp_path / "out", skip_refused=True)
    named = pair_folders.recipe(text.replace('source = "all"', 'source = "cddfuse-50"'))
    with pytest.raises(
        UsageError, match="'cddfuse-50' of 'roadscene' is 50 pairs by name, and every file of it counts"
    ):
        build_dataset(named, tmp_path, tmp_path / "out", skip_refused=True)


def test_into_a_store(source_dir: Path, tmp_path: Path) -> None:
    shown, manifest = build_to_url(recipe(), source_dir, f"file://{tmp_path}/store", skip_refused=True)
    folder = Path(shown.removeprefix("file://"))
    assert manifest.left_out["all"].keys() == BAD.keys() and read_manifest(folder).id == manifest.id
    again, same = build_to_url(recipe(), source_dir, f"file://{tmp_path}/store", skip_refused=True)
    assert (again, same.id) == (shown, manifest.id)
