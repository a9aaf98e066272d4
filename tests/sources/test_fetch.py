"""Downloads over the loopback interface alone: right files stay, wrong ones never do."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.sources import SOURCES, fetch
from fusionbench.sources.fetch import DOWNLOADS, EMBEDDED, fetch_source, manual_steps, mirrors_of
from tests.sources.fetching import Server, server  # noqa: F401 a fixture

pytest.importorskip("pooch")
IMAGES = "train-images-idx3-ubyte.gz"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_the_files_arrive_as_they_were_sent(server: Server, tmp_path: Path) -> None:  # noqa: F811
    paths = fetch_source("mnist", tmp_path / "new" / "mnist")
    assert contents(tmp_path / "new" / "mnist") == contents(server.folder) and len(paths) == 4
    assert SOURCES.get("mnist")(tmp_path / "new" / "mnist").read("test", np.arange(11)).shape == (11, 28, 28, 1)


def test_what_is_there_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "out"
    fetch_source("mnist", out)
    (out / IMAGES).unlink()
    server.asked.clear()
    fetch_source("mnist", out)
    assert server.asked == [f"/{IMAGES}"] and contents(out) == contents(server.folder)
    server.asked.clear()
    fetch_source("mnist", out)
    assert server.asked == []


def test_another_file_of_that_name_is_kept(server: Server, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / IMAGES).write_bytes(b"mine")
    with pytest.raises(DataError, match="another file of this name"):
        fetch_source("mnist", tmp_path / "out")
    assert contents(tmp_path / "out") == {IMAGES: b"mine"} and server.asked == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda right: right[:-1] + bytes([right[-1] ^ 1]), "its sha256 is not that of"),
        (lambda right: right[:-5], r"[\d,]+ of [\d,]+ bytes"),
        (lambda right: right + b"x" * (1 << 20), r"more than the [\d,]+ bytes"),
        (lambda right: gzip.decompress(right), "more than|sha256|bytes"),
        (lambda right: b"", r"0 of [\d,]+ bytes"),
    ],
)
def test_a_wrong_file_leaves_nothing(reply: object, message: str, server: Server, tmp_path: Path) -> None:  # noqa: F811
    right = (server.folder / IMAGES).read_bytes()
    server.replies[IMAGES] = reply(right)  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as error:
        fetch_source("mnist", tmp_path / "out")
    assert "\n" not in str(error.value) and server.address in str(error.value)
    assert IMAGES not in contents(tmp_path / "out")
    assert not [name for name in contents(tmp_path / "out") if not name.endswith(".gz")], "no temporary files either"
    server.replies.clear()
    fetch_source("mnist", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(server.folder)


def test_the_next_address_is_tried(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    known = DOWNLOADS["mnist"]
    dead = "http://127.0.0.1:9/"  # the port that discards; nothing listens there
    monkeypatch.setitem(DOWNLOADS, "mnist", dataclasses.replace(known, mirrors=(dead, server.address)))
    fetch_source("mnist", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(server.folder)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/.*; check the network, or name another --mirror"):
        fetch_source("mnist", tmp_path / "other", mirror=dead)


def test_a_mirror_below_a_path_replaces_the_known_ones(server: Server, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(DataError, match="the server says 404"):
        fetch_source("mnist", tmp_path / "out", mirror=f"{server.address}missing")
    assert server.asked == [f"/missing/{DOWNLOADS['mnist'].files[0].name}"]
    for bad in ("file:///etc/", "ftp://x/", "mirror", "https://", ""):
        with pytest.raises(UsageError, match="--mirror"):
            mirrors_of(DOWNLOADS["mnist"], bad)


def test_a_place_that_cannot_be_a_folder_is_refused_first(server: Server, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Not a directory"):
        fetch_source("mnist", tmp_path / "file" / "mnist")
    assert server.asked == []


def test_without_pooch_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(UsageError, match=r"pip install 'fusionbench\[fetch\]'; or download https://"):
        fetch_source("mnist", tmp_path)


def test_every_source_is_downloaded_embedded_or_has_steps() -> None:
    for name in SOURCES.names():
        if name in DOWNLOADS or name in EMBEDDED:
            continue
        steps = manual_steps(name)
        assert "\n" not in steps and "--source-dir DIR" in steps, name
        homepage = SOURCES.get(name).homepage
        assert homepage in steps
        with pytest.raises(UsageError) as error:
            fetch_source(name, Path("never"))
        assert str(error.value) == steps
    assert set(DOWNLOADS) == {"mnist"}, "a digest that is not known for certain is no digest"
    assert "cropinfrared/ and crop_LR_visible/" in manual_steps("roadscene")
    with pytest.raises(UsageError, match="Did you mean 'celeba'"):
        manual_steps("celebra")


def test_the_known_digests_are_those_of_the_files(real_data: Path) -> None:
    for file in DOWNLOADS["mnist"].files:
        content = (real_data / "mnist" / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)


def test_known_addresses_are_encrypted_and_folders() -> None:
    for download in DOWNLOADS.values():
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in download.mirrors)
        assert download.bytes == sum(file.bytes for file in download.files)
    assert fetch.source_facts("mnist")["licence"].startswith("CC BY-SA 3.0")
