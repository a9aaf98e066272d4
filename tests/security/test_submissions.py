"""Hostile submissions of weights: every attack is made here, refused in one clear line, and nothing of it is run."""

from __future__ import annotations

import json
import os
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from fusionbench.models.vae.fusionvae import FusionVAE
from fusionbench.submissions.archive import MAX_MEMBERS, META, extract
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.kinds.weights import FILE as WEIGHTS
from fusionbench.submissions.submit import accept_submission, check_submission, pack_submission
from tests.helpers.submissions import zipped


@pytest.fixture(scope="module")
def good(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sub") / "good.zip"
    pack_submission(PackRequest(run_folder, out, "Mean, sent in", "Ada"))
    return out


@pytest.fixture
def parts(good: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(good) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def refused(path: Path, *messages: str) -> None:
    report = check_submission(path)
    told = [str(problem) for problem in report.problems]
    assert not report.ok
    for message in messages:
        assert any(message in line for line in told), told
    assert all("\n" not in line for line in told)


def with_meta(parts: dict[str, bytes], edit: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    meta = json.loads(parts[META])
    edit(meta)
    return {**parts, META: json.dumps(meta).encode()}


def with_weights(parts: dict[str, bytes], content: bytes) -> dict[str, bytes]:
    import hashlib

    right = with_meta(parts, lambda meta: meta.update(weights_sha256=hashlib.sha256(content).hexdigest()))
    return {**right, WEIGHTS: content}


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pickle-was-run",)


def test_pickle_as_weights(parts: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    attack = pickle.dumps(_Payload())
    refused(zipped(tmp_path / "a.zip", with_weights(parts, attack)), "not a safetensors file")
    refused(zipped(tmp_path / "b.zip", {**parts, "weights.pt": attack}), "weights.pt: only submission.json")
    assert not (tmp_path / "pickle-was-run").exists()


def header(tensors: dict[str, Any], data: bytes, length: int | None = None) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file"),
        (header({}, b"", 1 << 62), "not a safetensors file"),
        (header({"a": {**ONE, "data_offsets": [0, 1 << 60]}}, b"1234"), "do not cover the file"),
        (header({"a": ONE, "b": {**ONE, "data_offsets": [2, 6]}}, b"123456"), "overlap or leave gaps"),
        (header({"a": ONE}, b"1234tail"), "do not cover the file to its end"),
        (header({"a": {**ONE, "shape": [-1]}}, b"1234"), "not a safetensors header"),
        (header({"a": {**ONE, "run": "me"}}, b"1234"), "not a safetensors header"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "not a safetensors header"),
        (header({"a": ONE}, b"1234"), "weights of another model"),
        (header({"a": {**ONE, "dtype": "F99"}}, b"1234"), "safetensors"),
    ],
    ids=["empty", "length", "offsets", "overlap", "tail", "negative", "key", "deep", "other-model", "dtype"],
)
def test_malformed_weights(parts: dict[str, bytes], tmp_path: Path, content: bytes, message: str) -> None:
    refused(zipped(tmp_path / "a.zip", with_weights(parts, content)), message)


def test_weights_that_are_not_finite(parts: dict[str, bytes], tmp_path: Path) -> None:
    tensors = load(parts[WEIGHTS])
    name = next(name for name, value in tensors.items() if value.dtype == np.float32)
    tensors[name] = np.full_like(tensors[name], np.nan)
    refused(zipped(tmp_path / "a.zip", with_weights(parts, save(tensors))), "not finite")


def test_flipped_byte(parts: dict[str, bytes], tmp_path: Path) -> None:
    content = bytearray(parts[WEIGHTS])
    content[-1] ^= 1
    refused(zipped(tmp_path / "a.zip", {**parts, WEIGHTS: bytes(content)}), "sha256 is not the one")


def test_bombs(parts: dict[str, bytes], tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "ratio.zip", {**parts, WEIGHTS: bytes(50 << 20)}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 1 << 20
    refused(bomb, "shrinks by more than 100 times")
    many = {f"{number}": b"" for number in range(MAX_MEMBERS)}
    refused(zipped(tmp_path / "count.zip", {**parts, **many}), "more than 16 files")
    refused(zipped(tmp_path / "meta.zip", {**parts, META: os.urandom(70 << 10)}), "larger than 65,536 bytes")


def test_a_directory_that_lies_about_sizes(parts: dict[str, bytes], tmp_path: Path) -> None:
    path = zipped(tmp_path / "lie.zip", {**parts, META: bytes(5 << 20)}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")  # the first entry of the central directory: submission.json
    content[at + 24 : at + 28] = struct.pack("<L", 1000)  # "unpacks to 1000 bytes"
    path.write_bytes(bytes(content))
    refused(path, META)
    # whatever the directory says, no more than the limit is ever unpacked
    content[at + 24 : at + 28] = struct.pack("<L", 5 << 20)
    path.write_bytes(bytes(content))
    with zipfile.ZipFile(path) as archive:
        (problem,) = extract(archive, META, 1000, tmp_path / "out")
    assert "unpacks to more than 1,000 bytes" in str(problem) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "weights.safetensors\x00.txt", "sub/"]
)
def test_names_that_leave_the_folder(parts: dict[str, bytes], tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", {**parts, name.replace("\x00", "?"): b"x"})
    path.write_bytes(path.read_bytes().replace(name.replace("\x00", "?").encode(), name.encode()))
    refused(path, "may be in the archive")
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_stand_twice(parts: dict[str, bytes], tmp_path: Path) -> None:
    refused(zipped(tmp_path / "case.zip", {**parts, "Submission.JSON": b"{}"}), "stands twice")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for name in (META, META, WEIGHTS):
            archive.writestr(name, parts[name])
    refused(tmp_path / "twice.zip", "stands twice")


def test_links_and_devices(parts: dict[str, bytes], tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(META, parts[META])
            info = zipfile.ZipInfo(WEIGHTS)
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, b"/etc/passwd")
        refused(tmp_path / "a.zip", "a link or special file")


def test_encrypted_and_strange_compression(parts: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    refused(tmp_path / "a.zip", "method that is not allowed")
    content = bytearray(zipped(tmp_path / "b.zip", parts).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(bytes(content))
    refused(tmp_path / "b.zip", "encrypted")


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip" * 100, b"PK\x05\x06" + bytes(18)])
def test_not_a_zip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda meta: meta.update(status="verified"), "unknown field `status`"),
        (lambda meta: meta.update(scores={"nll": 0}), "unknown field `scores`"),
        (lambda meta: meta.update(title="<script>alert(1)</script>"), "$.title"),
        (lambda meta: meta.update(title="a\nb"), "$.title"),
        (lambda meta: meta.update(submitter="x" * 200), "$.submitter"),
        (lambda meta: meta.update(link="javascript:alert(1)"), "$.link"),
        (lambda meta: meta.update(link="http://example.org"), "$.link"),
        (lambda meta: meta["run"].update(model="os.system"), "is not registered"),
        (lambda meta: meta["run"].update(version="99"), "version 99 of mean-image"),
        (lambda meta: meta["run"].update(finished=False), "has not finished"),
        (lambda meta: meta["run"].update(params={"no_such": 1}), "no_such"),
        (lambda meta: meta["run"].update(dataset_name="../../etc"), "Unknown recipe"),
        (lambda meta: meta["run"].update(seed="0"), "$.run.seed"),
    ],
)
def test_records_that_are_not_right(parts: dict[str, bytes], tmp_path: Path, edit: Any, message: str) -> None:
    refused(zipped(tmp_path / "a.zip", with_meta(parts, edit)), message)


@pytest.mark.parametrize("value", [b"NaN", b"1e999", b"[" * 20_000, b'"\\ud800"', b"1" * 20_000])
def test_json_abuse(parts: dict[str, bytes], tmp_path: Path, value: bytes) -> None:
    meta = parts[META].replace(b'"params": {}', b'"params": {"x": ' + value + b"}")
    assert meta != parts[META]
    refused(zipped(tmp_path / "a.zip", {**parts, META: meta}))


def test_a_model_without_end(parts: dict[str, bytes], tmp_path: Path) -> None:
    """Parameters that ask for more memory than there is end the child, not us."""

    def edit(meta: dict[str, Any]) -> None:
        meta["run"].update(model="fusionvae", version=FusionVAE.version, params={"channels": 1 << 24})

    refused(zipped(tmp_path / "a.zip", with_meta(parts, edit)), WEIGHTS)


def test_a_run_without_end_is_rejected(good: Path, dataset: Path, tmp_path: Path) -> None:
    """Scoring that takes longer than it may ends, the submission is rejected, and the queue goes on."""
    from functools import partial

    from fusionbench.submissions.queue import serve

    (tmp_path / "queue" / "incoming").mkdir(parents=True)
    for name in ("a.zip", "b.zip"):
        (tmp_path / "queue" / "incoming" / name).write_bytes(good.read_bytes() if name == "a.zip" else b"not a zip")
    score = partial(accept_submission, scoring=Scoring(tmp_path / "results", dataset, "quickstart", seconds=1))
    first, second = serve(tmp_path / "queue", score)
    assert "could not be scored: took longer than 1 s" in first.message or "over its limit" in first.message
    assert "not a zip" in second.message and not (tmp_path / "results").exists()
    assert [path.name for path in sorted((tmp_path / "queue" / "rejected").glob("*.zip"))] == ["a.zip", "b.zip"]
