"""Hostile files of weights: nothing in them is run, none takes more than its share, and one line says what is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from fusionbench.core.errors import DataError
from fusionbench.models.pairs.ifcnn import IFCNN
from fusionbench.models.published_weights import PUBLISHED_SPEC, released_state_sha256
from fusionbench.submissions import published_weights_import
from fusionbench.submissions.kinds.base import PackRequest
from fusionbench.submissions.kinds.weights import WEIGHTS, load_once
from fusionbench.submissions.pickled_weights import read_weights
from fusionbench.submissions.published_weights_import import ImportRequest, import_published_weights
from fusionbench.training.run import read_run
from tests.helpers.published import FORMS, ifcnn_state, zip_form
from tests.submissions.test_published_weights_import import here


class _Payload:
    """Unpickled without care, it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


class Network(torch.nn.Module):
    """A whole module is pickled by the name of its class."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_that_would_write_is_not_run(tmp_path: Path, form: str) -> None:
    proof = tmp_path / "pickle-was-run"
    path = FORMS[form]({**ifcnn_state(8), "x": _Payload(proof)}, tmp_path / "weights.pth")
    refused(path, r"holds more than tensors \('(posix|nt)\.mkdir'\), and nothing of it was run; .*state_dict")
    assert not proof.exists()
    if form == "zip":  # the file is a real attack: without care it does run
        torch.load(path, weights_only=False)
        assert proof.is_dir()


def test_a_pickle_that_would_write_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_weights_import, "run_limited", here)  # it is not run without the limits either
    proof = tmp_path / "pickle-was-run"
    path = zip_form({**ifcnn_state(8), "x": _Payload(proof)}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"weights\.pth: holds more than tensors .*nothing of it was run"):
        import_published_weights(ImportRequest("ifcnn", [path], tmp_path / "run"))
    assert not proof.exists() and not (tmp_path / "run").exists()


def test_a_plain_pickle(tmp_path: Path) -> None:
    proof = tmp_path / "pickle-was-run"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "weights.pkl").write_bytes(pickle.dumps(_Payload(proof), protocol))
        refused(tmp_path / "weights.pkl", "a pickle that torch did not write|neither a file of torch")
    assert not proof.exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_module(tmp_path: Path, form: str) -> None:
    refused(
        FORMS[form](Network(), tmp_path / "a"), r"holds more than tensors \('.*Network'\).*save the network's state"
    )


def test_torchscript(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:  # what torch.jit.save writes
        for name in ("data.pkl", "code/__torch__.py", "code/__torch__.py.debug_pkl", "constants.pkl", "version"):
            archive.writestr(f"a/{name}", b"")
    refused(tmp_path / "a", "a TorchScript program, which is code and never run")


def test_a_zip_bomb(tmp_path: Path) -> None:
    whole = zip_form({"a": torch.zeros(4 << 20)}, tmp_path / "whole")
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert (tmp_path / "bomb").stat().st_size < whole.stat().st_size / 100
    refused(tmp_path / "bomb", "compressed entries in its zip")


def test_entries_that_overlap(tmp_path: Path) -> None:
    path = zip_form({"a": torch.zeros(100)}, tmp_path / "a")
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    size = (1 << 20).to_bytes(4, "little")
    path.write_bytes(content[: at + 20] + size + size + content[at + 28 :])  # packed and unpacked size of the first
    refused(path, "entries of its zip overlap|damaged or truncated")


def test_a_storage_that_claims_more_than_the_file_has(tmp_path: Path) -> None:
    """The number of elements stands in the pickle; the bytes in the zip are fewer."""
    path = zip_form({"a": torch.zeros(100)}, tmp_path / "a")
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    name = next(name for name in entries if name.endswith("/data.pkl"))
    assert entries[name].count(b"Kd") >= 1  # 100
    entries[name] = entries[name].replace(b"Kd", b"J\x00\x00\x00\x01")  # 2^24
    with zipfile.ZipFile(tmp_path / "b", "w") as target:
        for entry, content in entries.items():
            target.writestr(entry, content)
    refused(tmp_path / "b", "claim more bytes than the file has|damaged or truncated")


def test_a_sparse_file_of_ten_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / "a.pth", "wb") as stream:
        stream.write(b"PK\x03\x04")
        stream.truncate(10 << 30)
    monkeypatch.setattr(published_weights_import, "run_limited", None)  # nothing is started
    with pytest.raises(DataError, match=r"a\.pth: 10,737,418,240 bytes are too many for a file of weights"):
        import_published_weights(ImportRequest("ifcnn", [tmp_path / "a.pth"], tmp_path / "run"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(published_weights_import, "run_limited", None)
    for path, message in (
        (tmp_path, "a folder; name the file of weights in it"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "nowhere", "no such file of weights"),
        (Path("/dev/zero"), "not a regular file"),
    ):
        with pytest.raises(DataError, match=message):
            import_published_weights(ImportRequest("ifcnn", [path], tmp_path / "run"))


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of weights that are the checked release: random ones, which the network states for this test."""
    file = zip_form(ifcnn_state(), tmp_path / "weights.pth")
    digest = released_state_sha256(IFCNN.from_published([ifcnn_state()]))
    stated = {"sha256": (hashlib.sha256(file.read_bytes()).hexdigest(),), "state_sha256": digest}
    monkeypatch.setattr(IFCNN, "PUBLISHED", dataclasses.replace(IFCNN.PUBLISHED, **stated))
    monkeypatch.setattr(published_weights_import, "run_limited", here)
    run = import_published_weights(ImportRequest("ifcnn", [file], tmp_path / "run"))
    assert run.info.imported and run.info.imported.checked_release and run.info.imported.state_known
    run.load_model(PUBLISHED_SPEC)
    return run.folder


def write_record(run: Path, **changes: Any) -> None:
    info = read_run(run).info
    assert info.imported
    msgspec.structs.replace(info, imported=msgspec.structs.replace(info.imported, **changes)).write(run)


def swap(run: Path) -> None:
    save_file(IFCNN.from_published([ifcnn_state(seed=1)]), run / "weights.safetensors")


def flip(run: Path) -> None:
    content = bytearray((run / "weights.safetensors").read_bytes())
    content[-1000] ^= 1
    (run / "weights.safetensors").write_bytes(content)


def rename(run: Path) -> None:
    """Two tensors of one shape, each under the name of the other."""
    state = load_file(run / "weights.safetensors")
    one, other = "features.0.weight", "merged.0.weight"
    state[one], state[other] = state[other], state[one]
    save_file(state, run / "weights.safetensors")


def refusals(run: Path, tmp_path: Path) -> set[str]:
    """What each way says that reads the run to score or to pack it."""
    said = set()
    with pytest.raises(DataError) as caught:
        read_run(run).load_model(PUBLISHED_SPEC)
    said.add(str(caught.value).removeprefix(f"{run}: "))
    with pytest.raises(DataError) as caught:
        read_run(run).check_imported()
    said.add(str(caught.value).removeprefix(f"{run}: "))
    WEIGHTS.write_draft(PackRequest(run, tmp_path / "s.zip", title="T", submitter="S"), tmp_path / "s.zip")
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(tmp_path / "s.zip").extractall(unpacked)
    with pytest.raises(DataError) as caught:
        load_once(str(unpacked))
    return said | {str(caught.value).removeprefix(f"{unpacked}: ")}


@pytest.mark.parametrize("attack", [swap, flip, rename])
def test_weights_that_are_exchanged_are_not_the_release(
    attack: Callable[[Path], None], release: Path, tmp_path: Path
) -> None:
    attack(release)
    again = "import the authors' files again"
    assert refusals(release, tmp_path) == {f"its weights are not those of the checked release; {again}"}
    # and the record is made to fit, as far as it can be
    digest = released_state_sha256(load_file(release / "weights.safetensors"))
    write_record(release, state_sha256=digest)
    assert refusals(release, tmp_path) == {f"its weights are not those of the checked release; {again}"}
    write_record(release, state_sha256=msgspec.UNSET, state_known=msgspec.UNSET)
    assert refusals(release, tmp_path) == {f"its weights are not those of the checked release; {again}"}
    write_record(release, state_sha256=digest, state_known=True, checked_release=False)
    assert refusals(release, tmp_path) == {f"run.json calls the digest of its weights known, and it is not; {again}"}
    write_record(release, state_sha256=digest, state_known=False)  # says itself that it is another import
    read_run(release).load_model(PUBLISHED_SPEC)
    assert not read_run(release).info.provenance["imported_weights"]["checked_release"]


def test_a_renamed_tensor_is_of_another_model(release: Path) -> None:
    state = load_file(release / "weights.safetensors")
    state["merged.9.weight"] = state.pop("merged.0.weight")
    save_file(state, release / "weights.safetensors")
    with pytest.raises(DataError, match="weights of another model or version"):
        read_run(release).load_model(PUBLISHED_SPEC)
    with pytest.raises(DataError, match="not those of the checked release"):
        read_run(release).check_imported()


def test_a_record_that_calls_other_files_the_release(release: Path, tmp_path: Path) -> None:
    message = {"run.json calls its weights the checked release, and they are not; import the authors' files again"}
    info = read_run(release).info
    assert info.imported
    write_record(release, files=(msgspec.structs.replace(info.imported.files[0], sha256="0" * 64),))
    assert refusals(release, tmp_path) == message
    write_record(release, files=())
    assert refusals(release, tmp_path) == message


def test_the_release_with_other_parameters(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters that change no shape change what is fused: those of the release belong to it."""
    record = dataclasses.replace(IFCNN.PUBLISHED, params={"rule": "max"})
    monkeypatch.setattr(IFCNN, "PUBLISHED", record)
    with pytest.raises(DataError, match="calls its weights the checked release, and they are not"):
        read_run(release).check_imported()


def test_an_import_that_is_not_the_release_is_held_to_its_own_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_weights_import, "run_limited", here)
    run = import_published_weights(
        ImportRequest("ifcnn", [zip_form(ifcnn_state(), tmp_path / "a.pth")], tmp_path / "r")
    )
    imported = run.info.imported
    assert imported and (imported.checked_release, imported.state_known) == (False, False)
    assert imported.state_sha256 == released_state_sha256(IFCNN.from_published([ifcnn_state()]))
    flip(run.folder)
    said = {"its weights are not those that were imported; import the authors' files again"}
    assert refusals(run.folder, tmp_path) == said
    write_record(run.folder, checked_release=True)
    assert refusals(run.folder, tmp_path) == {
        "run.json calls its weights the checked release, and they are not; import the authors' files again"
    }
