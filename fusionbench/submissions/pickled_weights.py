"""Reads tensors out of a file that torch pickled, without running anything that is in it; for a process with limits.

``torch.load`` with ``weights_only=True`` and nothing else reads the file, in the sandbox of submissions. What it gives
back is searched for tensors: of plain mappings, however they are nested, and within limits that hold before a tensor is
touched, since a tensor of one number can claim any shape.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.errors import DataError
from fusionbench.core.io import escaped

if TYPE_CHECKING:
    from torch import Tensor

MAX_WEIGHTS_FILE = 1 << 30  # bytes of a file of weights
MAX_TENSOR_BYTES = 1 << 30  # of all tensors together, with every number that a view repeats
MAX_TENSORS = 20_000
MAX_ENTRIES = 2 * MAX_TENSORS  # of a zip
MAX_NESTING = 8
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "generator", "weight", "weights", "params")
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's first number, as every version pickles it
_CODE = re.compile(r"(?:GLOBAL|global|class) ([A-Za-z_][\w.]{0,120})")
STATE_REMEDY = "where the authors' code runs, save the network's state_dict() and import that"
_TENSORFLOW = "a TensorFlow checkpoint is converted first, see docs/published-weights.md"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, all finite: safetensors, or a pickle of torch (a zip, or of releases before 1.6).

    A mapping around the tensors (``{"state_dict": …}``, ``{"model": …, "optimizer": …}``) is left out; several of them
    side by side become one, with their names before those in them (``{"enc": …, "dec": …}`` gives ``enc.conv.weight``);
    and so is a prefix ``module.`` of all names.

    Raises:
        DataError: any other file, a damaged or too large one, one with code in it, or numbers that are not finite.
    """
    kind = kind_of_weights(path)
    found = _read_safetensors(path) if kind == "safetensors" else state_of(_unpickle(path))
    check_tensors(found, os.path.getsize(path))
    return found


def kind_of_weights(path: Path) -> str:
    """What a file is by its first bytes: ``safetensors``, ``zip`` or ``legacy``, which are torch's.

    Raises:
        DataError: anything else, with what it is where that can be told.
    """
    size = os.path.getsize(path)
    if size > MAX_WEIGHTS_FILE:
        raise DataError(f"{size:,} bytes are too many for a file of weights (limit {MAX_WEIGHTS_FILE:,})")
    with open(path, "rb") as stream:
        head = stream.read(512)
    if not head:
        raise DataError("the file is empty; download it again")
    if head.startswith(b"PK\x03\x04"):
        _check_zip(path)
        return "zip"
    if head.startswith(_LEGACY):
        return "legacy"
    if 2 <= int.from_bytes(head[:8], "little") <= size - 8 and head[8:9] == b"{":
        return "safetensors"
    if head[257:262] == b"ustar" or head.startswith(b"\x1f\x8b"):
        raise DataError("a tar or gzip archive; unpack it and name the file of weights in it")
    if head.startswith(b"\x89HDF"):
        raise DataError("an HDF5 file, as Keras writes it; convert it first, see docs/published-weights.md")
    if head.startswith(b"\x80"):
        raise DataError(f"a pickle that torch did not write, which is never read; {STATE_REMEDY}")
    raise DataError(f"neither a file of torch nor safetensors (damaged, or another format: {_TENSORFLOW})")


def _check_zip(path: Path) -> None:
    """A zip of torch, stored as torch stores it: nothing in it can be larger than the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError) as error:
        raise DataError(f"a damaged or truncated file ({escaped(str(error))[:100]}); download it again") from error
    if len(entries) > MAX_ENTRIES:
        raise DataError(f"more than {MAX_ENTRIES:,} entries in its zip")
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise DataError(f"a TorchScript program, which is code and never run; {STATE_REMEDY}")
    if not any(name.endswith("/data.pkl") for name in names):
        raise DataError("a zip that torch did not write; unpack it and name the file of weights in it")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise DataError("compressed entries in its zip, which torch never writes; save it again with torch.save")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise DataError("entries of its zip overlap; download it again")


def _unpickle(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        text = str(error)
        if found := _CODE.search(text):
            raise DataError(
                f"holds more than tensors ({found[1]!r}), and nothing of it was run; {STATE_REMEDY}"
            ) from error
        raise DataError(f"cannot be read as weights alone ({_short(text)}); {STATE_REMEDY}") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes torch raise
        raise DataError(f"a damaged or truncated file ({_short(str(error))}); download it again") from error


def _short(text: str) -> str:
    return escaped(" ".join(text.split()))[:150] or "no reason given"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"not a readable safetensors file ({_short(str(error))})") from error


def state_of(value: Any) -> dict[str, Tensor]:
    """The tensors in nested mappings by name, as :func:`read_weights` says; other values are passed over.

    Raises:
        DataError: no tensors, too many, or mappings in mappings more than eight deep.
    """
    found = _state(value, 0)
    if not found:
        raise DataError(f"there are no named tensors in it; {STATE_REMEDY}")
    if all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    return found


def _state(value: Any, depth: int) -> dict[str, Tensor]:
    import torch

    if not isinstance(value, Mapping):
        return {}
    if depth > MAX_NESTING:
        raise DataError(f"mappings more than {MAX_NESTING} deep")
    named = {key: inner for key, inner in value.items() if isinstance(key, str)}
    if len(named) > MAX_TENSORS:
        raise DataError(f"more than {MAX_TENSORS:,} names")
    tensors = {key: inner for key, inner in named.items() if isinstance(inner, torch.Tensor)}
    if tensors:
        return tensors
    tables = {key: inner for key, inner in named.items() if isinstance(inner, Mapping) and not key.startswith("optim")}
    for wrapper in WRAPPERS:
        if wrapper in tables and (found := _state(tables[wrapper], depth + 1)):
            return found
    states = {key: found for key, inner in tables.items() if (found := _state(inner, depth + 1))}
    if len(states) == 1:
        return next(iter(states.values()))
    return {f"{key}.{name}": tensor for key, found in states.items() for name, tensor in found.items()}


def check_tensors(found: Mapping[str, Tensor], stored: int) -> None:
    """Refuse tensors that are too many or too large, of an unusual kind, or with numbers that are not finite.

    Args:
        stored: bytes of the file that they are from.

    Raises:
        DataError: names the first one.
    """
    import torch

    if len(found) > MAX_TENSORS:
        raise DataError(f"more than {MAX_TENSORS:,} tensors")
    total = 0
    for name, value in found.items():
        shown = escaped(name)[:100]
        usual = type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout == torch.strided
        tiny = (
            value.is_floating_point() and value.element_size() == 1
        )  # kinds of 8 bits, which torch hardly computes with
        odd = value.is_quantized or value.is_complex() or value.is_nested or tiny
        if not usual or value.device.type != "cpu" or odd:
            raise DataError(f"{shown!r} is not a plain tensor of numbers; {STATE_REMEDY}")
        total += value.numel() * value.element_size()
        if total > MAX_TENSOR_BYTES:
            raise DataError(f"its tensors take more than {MAX_TENSOR_BYTES:,} bytes, with {shown!r}")
    # A pickle can claim more numbers than its file has: what lies behind those is never looked at.
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in found.values()}
    if sum(storages.values()) > stored:
        raise DataError("its tensors claim more bytes than the file has; download it again")
    for name, value in found.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise DataError(f"{escaped(name)[:100]!r} has numbers that are not finite: the weights are damaged")
