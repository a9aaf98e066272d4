"""From the user's files to a run folder that every verb takes; the process with limits is used once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.models.pairs.ifcnn import IFCNN
from fusionbench.models.pairs.seafusion import SeAFusion
from fusionbench.models.published_weights import PUBLISHED_SPEC
from fusionbench.submissions import published_weights_import
from fusionbench.submissions.published_weights_import import ImportRequest, import_once, import_published_weights
from fusionbench.submissions.sandbox import Done
from fusionbench.training.run import read_run
from tests.helpers.pairs import pair_batch
from tests.helpers.published import ifcnn_state, legacy_form, seafusion_state, zip_form


def here(function: str, arguments: Sequence[str], **limits: Any) -> Done:
    """Call in this process what would be called in one with limits."""
    assert function == "fusionbench.submissions.published_weights_import:import_once"
    assert limits["seconds"] and limits["memory"] and len(limits["writable"]) == 1
    try:
        import_once(*arguments)
    except FusionbenchError as error:
        return Done(False, str(error), False)
    return Done(True, "", False)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_weights_import, "run_limited", here)


def test_a_run_folder_by_the_process_with_limits(tmp_path: Path) -> None:
    file = legacy_form({"state_dict": ifcnn_state()}, tmp_path / "IFCNN-MAX.pth")
    run = import_published_weights(ImportRequest("ifcnn", [file], tmp_path / "deep" / "run"))
    assert sorted(path.name for path in run.folder.iterdir()) == ["run.json", "weights.safetensors"]
    assert [path.name for path in run.folder.parent.iterdir()] == ["run"]
    assert read_run(run.folder) == run and run.info.finished and run.info.parameters == 83_587
    record = json.loads((run.folder / "run.json").read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert record["format"] == "fusionbench.run/1.2"
    assert record["imported"]["files"] == [
        {"part": "weights", "name": "IFCNN-MAX.pth", "sha256": digest, "size": file.stat().st_size}
    ]
    assert record["imported"]["homepage"] == IFCNN.PUBLISHED.homepage and not record["imported"]["checked_release"]
    model = IFCNN(PUBLISHED_SPEC)
    model.load_state_dict(IFCNN.from_published([ifcnn_state()]))
    batch = pair_batch(1)
    off = (run.load_model(PUBLISHED_SPEC).fuse(batch) - model.fuse(batch)).abs()
    # a run's model is channels_last: where a sum is nearly a whole level, its rounding and so the processor decides
    assert off.max() < 1.01 / 255 and (off > 0).double().mean() < 0.02


@pytest.mark.usefixtures("in_process")
def test_the_same_files_again_and_other_ones(tmp_path: Path) -> None:
    file, out = zip_form(seafusion_state(), tmp_path / "a.pth"), tmp_path / "run"
    out.mkdir()  # an empty folder is fine
    request = ImportRequest("seafusion", [file], out)
    weights = (import_published_weights(request).folder / "weights.safetensors").read_bytes()
    assert (import_published_weights(request).folder / "weights.safetensors").read_bytes() == weights
    other = zip_form(seafusion_state(seed=1), tmp_path / "b.pth")
    with pytest.raises(UsageError, match="imported from other files; choose another with -o"):
        import_published_weights(dataclasses.replace(request, files=[other]))
    assert (out / "weights.safetensors").read_bytes() == weights
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        import_published_weights(dataclasses.replace(request, out=tmp_path / "full"))
    trained = msgspec.structs.replace(read_run(out).info, imported=msgspec.UNSET, format="fusionbench.run/1")
    (tmp_path / "trained").mkdir()
    trained.write(tmp_path / "trained")
    with pytest.raises(UsageError, match="holds a training run"):
        import_published_weights(dataclasses.replace(request, out=tmp_path / "trained"))


@pytest.mark.usefixtures("in_process")
def test_safetensors_and_half_precision(tmp_path: Path) -> None:
    state = {name: value.half() if value.is_floating_point() else value for name, value in seafusion_state().items()}
    save_file(state, tmp_path / "a.safetensors")
    run = import_published_weights(ImportRequest("seafusion", [tmp_path / "a.safetensors"], tmp_path / "run"))
    found = load_file(run.folder / "weights.safetensors")
    assert all(value.dtype == torch.float32 for value in found.values())
    assert torch.equal(found["decoder.3.bias"], state["decode1.conv.bias"].float())


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("state", "message"),
    [
        (seafusion_state(), r"b\.pth: not the published weights of IFCNN: 'conv1.weight' is missing"),
        (ifcnn_state(8), r"b\.pth: not the published weights of IFCNN: 'conv1.weight' has the shape"),
        (
            {**ifcnn_state(), "conv1.weight": torch.full((64, 3, 7, 7), torch.inf)},
            "not finite: the weights are damaged",
        ),
    ],
    ids=["network", "size", "infinite"],
)
def test_weights_that_are_others(tmp_path: Path, state: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        import_published_weights(ImportRequest("ifcnn", [zip_form(state, tmp_path / "b.pth")], tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["b.pth"]


def test_networks_and_numbers_of_files(tmp_path: Path) -> None:
    for network, files, message in (
        ("ifcn", 1, "Unknown model 'ifcn'. Did you mean 'ifcnn'"),
        ("average", 1, "no published weights of average are known"),
        ("ifcnn", 2, "ifcnn takes 1 files, not 2: fusionbench weights import ifcnn WEIGHTS"),
    ):
        with pytest.raises(UsageError, match=message):
            import_published_weights(ImportRequest(network, [tmp_path / "a"] * files, tmp_path / "run"))


@pytest.mark.usefixtures("in_process")
def test_the_checked_release_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of two files: the digests say which is which, and that it is the release."""
    whole = seafusion_state()
    parts = [{n: v for n, v in whole.items() if n.startswith("decode")}, {}]
    parts[1] = {name: value for name, value in whole.items() if name not in parts[0]}
    paths = [zip_form(part, tmp_path / name) for part, name in zip(parts, ("dec.pkl", "enc.pkl"), strict=True)]
    digests = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in reversed(paths))
    about = {"files": ("encoder", "decoder"), "sha256": digests, "state_sha256": ""}  # not known in advance
    record = dataclasses.replace(SeAFusion.PUBLISHED, **about)
    of_one = SeAFusion.from_published

    def from_two(states: Sequence[Any]) -> dict[str, Any]:
        assert "vis_conv.conv.weight" in states[0]
        return of_one([{**states[0], **states[1]}])

    monkeypatch.setattr(SeAFusion, "PUBLISHED", record)
    monkeypatch.setattr(SeAFusion, "from_published", from_two)
    run = import_published_weights(ImportRequest("seafusion", paths, tmp_path / "run"))
    imported = run.info.imported
    assert isinstance(imported, msgspec.Struct) and imported.checked_release
    assert imported.state_known is False, "nobody stated the digest of what the files become"
    assert [(file.part, file.name) for file in imported.files] == [("encoder", "enc.pkl"), ("decoder", "dec.pkl")]


def test_what_the_process_left_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaves(content: bytes | None, link: bool = False) -> Any:
        def run(function: str, arguments: Sequence[str], **limits: Any) -> Done:
            place = Path(arguments[1]) / "weights.safetensors"
            if link:
                place.symlink_to("/etc/passwd")
            elif content is not None:
                place.write_bytes(content)
            return Done(True, "", False)

        return run

    file = zip_form(ifcnn_state(), tmp_path / "a.pth")
    for limited, message in (
        (leaves(None), "left none behind"),
        (leaves(b"x" * 100), "a damaged file"),
        (leaves(None, link=True), "left none behind"),
    ):
        monkeypatch.setattr(published_weights_import, "run_limited", limited)
        with pytest.raises(DataError, match=message):
            import_published_weights(ImportRequest("ifcnn", [file], tmp_path / "run"))
    assert not (tmp_path / "run").exists()
