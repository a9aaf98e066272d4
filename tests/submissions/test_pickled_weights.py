"""Tensors out of files of torch, whatever mapping is around them, and one clear line for every other file."""

from __future__ import annotations

import collections
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fusionbench.core.errors import DataError
from fusionbench.submissions import pickled_weights
from fusionbench.submissions.pickled_weights import check_tensors, kind_of_weights, read_weights, state_of
from tests.helpers.published import FORMS, legacy_form, zip_form

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "bn.count": torch.tensor(3)}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return list(found) == list(wanted) and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("wrapped", "wanted"),
    [
        (STATE, STATE),
        (collections.OrderedDict(STATE), STATE),
        ({"state_dict": STATE, "epoch": 3}, STATE),
        ({"model": STATE, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}}, STATE),
        ({"weight": STATE, "epoch": 120}, STATE),
        ({"args": {"lr": 1.0}, "anything": STATE}, STATE),
        ({f"module.{name}": value for name, value in STATE.items()}, STATE),
        ({"net": {f"module.{name}": value for name, value in STATE.items()}}, STATE),
        ({"enc": STATE, "dec": {"a": torch.ones(1)}}, {"enc.conv.weight": STATE["conv.weight"]}),
        ({name: torch.nn.Parameter(value) for name, value in STATE.items() if value.ndim}, {"conv.weight": 0}),
    ],
    ids=["plain", "ordered", "state_dict", "model", "weight", "single", "module", "net", "several", "parameters"],
)
def test_what_is_around_the_tensors(tmp_path: Path, form: str, wrapped: Any, wanted: dict[str, Any]) -> None:
    found = read_weights(FORMS[form](wrapped, tmp_path / "weights.pth"))
    if wanted is STATE:
        assert same(found, STATE)
    elif "enc.conv.weight" in wanted:
        assert list(found) == ["enc.conv.weight", "enc.bn.count", "dec.a"]
        assert torch.equal(found["enc.conv.weight"], STATE["conv.weight"])
    else:
        assert torch.equal(found["conv.weight"], STATE["conv.weight"])


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a")
    assert kind_of_weights(tmp_path / "a") == "safetensors"
    found = read_weights(tmp_path / "a")
    assert set(found) == set(STATE) and all(torch.equal(found[name], STATE[name]) for name in STATE)
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:-3])
    with pytest.raises(DataError, match="not a readable safetensors file"):
        read_weights(tmp_path / "b")


def test_kinds(tmp_path: Path) -> None:
    assert kind_of_weights(zip_form(STATE, tmp_path / "a")) == "zip"
    assert kind_of_weights(legacy_form(STATE, tmp_path / "b")) == "legacy"


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.h5", b"")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("<html>404</html>"), "neither a file of torch nor safetensors"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "HDF5 file, as Keras writes it; convert it first"),
        (lambda path: path.write_bytes(b"\x80\x04N."), "a pickle that torch did not write"),
        (lambda path: path.write_bytes(b"PK\x03\x04 and no more"), "damaged or truncated"),
        (tar, "a tar or gzip archive"),
        (other_zip, "a zip that torch did not write"),
        (lambda path: zip_form({"epoch": 3}, path), "no named tensors"),
        (lambda path: zip_form([torch.ones(2)], path), "no named tensors"),
        (lambda path: zip_form({"a": torch.tensor([1.0, float("nan")])}, path), "'a' has numbers that are not finite"),
        (lambda path: zip_form({"a": torch.ones(2, dtype=torch.complex64)}, path), "not a plain tensor"),
        (lambda path: zip_form({"a": torch.ones(2).to(torch.float8_e4m3fn)}, path), "'a' is not a plain tensor"),
        (lambda path: zip_form({"a": torch.nested.nested_tensor([torch.ones(2)])}, path), "'a' is not a plain tensor"),
    ],
    ids=["empty", "text", "hdf5", "pickle", "cut", "tar", "zip", "none", "list", "nan", "complex", "float8", "nested"],
)
def test_other_files(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    write(tmp_path / "weights.pth")
    with pytest.raises(DataError, match=message) as caught:
        read_weights(tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_truncated_files(tmp_path: Path, form: str, keep: float) -> None:
    content = FORMS[form]({"a": torch.rand(1000)}, tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=r"damaged or truncated.*download it again"):
        read_weights(tmp_path / "cut")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zip_form(STATE, tmp_path / "a")
    monkeypatch.setattr(pickled_weights, "MAX_WEIGHTS_FILE", 100)
    with pytest.raises(DataError, match="bytes are too many for a file of weights"):
        read_weights(path)
    monkeypatch.undo()
    monkeypatch.setattr(pickled_weights, "MAX_TENSOR_BYTES", 31)  # six float32 and one int64 are 32
    with pytest.raises(DataError, match="take more than 31 bytes"):
        check_tensors(STATE, 100)
    monkeypatch.setattr(pickled_weights, "MAX_TENSOR_BYTES", 32)
    check_tensors(STATE, 32)
    with pytest.raises(DataError, match="claim more bytes than the file has"):
        check_tensors(STATE, 31)
    monkeypatch.setattr(pickled_weights, "MAX_TENSORS", 1)
    for check in (lambda state: check_tensors(state, 100), state_of):
        with pytest.raises(DataError, match="more than 1"):
            check(STATE)


def test_a_tensor_that_repeats_one_number_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    path = zip_form({"a": torch.ones(1).expand(1 << 40)}, tmp_path / "a")
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="take more than"):
        read_weights(path)


def test_deep_mappings() -> None:
    deep: Any = STATE
    for _ in range(20):
        deep = {"model": deep}
    with pytest.raises(DataError, match="more than 8 deep"):
        state_of(deep)
