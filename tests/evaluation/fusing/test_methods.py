"""Which method a text names, what it needs, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fusionbench.core.errors import DataError, MeasurementError, UsageError
from fusionbench.core.io import file_sha256
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.fusing.methods import DEFAULT_METHOD, load_method
from fusionbench.models import MODELS, create_model
from fusionbench.training.checkpoints import save_weights
from fusionbench.training.run import RunInfo
from fusionbench.training.schedule import Training
from tests.evaluation.fusing.scenes import OWN
from tests.helpers.pairs import SMALLEST, SPEC, smallest

A, B = np.random.default_rng(0).random((2, 24, 31), dtype=np.float32)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of the smallest MFEIF with random weights."""
    cls = MODELS.get("mfeif")
    params = {key: list(value) if isinstance(value, list) else value for key, value in SMALLEST[cls].items()}  # type: ignore[index]
    folder = tmp_path / "run"
    folder.mkdir()
    save_weights(smallest(cls), folder / "weights.safetensors")  # type: ignore[arg-type]
    RunInfo(
        model="mfeif",
        version="1",
        source="",
        preset=None,
        params=params,
        training=Training(),
        dataset_name="d",
        dataset_version="1",
        dataset_id="0" * 64,
        seed=0,
        finished=True,
    ).write(folder)
    return folder


def own(tmp_path: Path) -> str:
    (tmp_path / "mine_to_fuse.py").write_text(OWN)
    return str(tmp_path / "mine_to_fuse.py")


def test_the_default_needs_nothing() -> None:
    assert DEFAULT_METHOD in MODELS.names()
    method = load_method(device="cpu")
    assert method.name == DEFAULT_METHOD and method.shared
    assert method.fuse_luminance(A, B).shape == A.shape


def test_luminance_is_what_the_model_makes_of_the_pair() -> None:
    assert np.allclose(load_method("average", device="cpu").fuse_luminance(A, B), (A + B) / 2, atol=1e-7)
    assert np.array_equal(load_method("copy-b", device="cpu").fuse_luminance(A, B), B)
    model = create_model("laplacian-pyramid", ImageSpec(1, 24, 31, 2), levels=2)
    by_object = load_method(model, device="cpu").fuse_luminance(A, B)
    by_name = load_method("laplacian-pyramid", params={"levels": 2}, device="cpu")
    assert np.array_equal(by_name.fuse_luminance(A, B), by_object)
    assert not np.array_equal(load_method("laplacian-pyramid", device="cpu").fuse_luminance(A, B), by_object)


def test_a_run_and_its_weights_are_one_method(run: Path, tmp_path: Path) -> None:
    expected = smallest(MODELS.get("mfeif")).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        wanted = expected.combine(torch.from_numpy(A)[None, None], torch.from_numpy(B)[None, None])[0, 0].clamp(0, 1)
    by_folder = load_method(run, device="cpu")
    assert np.allclose(by_folder.fuse_luminance(A, B), wanted.numpy(), atol=1e-6) and not by_folder.shared
    moved = shutil.copy(run / "weights.safetensors", tmp_path / "theirs.safetensors")
    params = dict(by_folder.params)
    for method in (
        load_method("mfeif", weights=run, device="cpu"),
        load_method("mfeif", weights=run / "weights.safetensors", device="cpu"),
        load_method("mfeif", weights=moved, params=params, device="cpu"),
    ):
        assert np.array_equal(method.fuse_luminance(A, B), by_folder.fuse_luminance(A, B))
        assert method.identity()["name"] == "mfeif"
    with pytest.raises(DataError, match=r"theirs\.safetensors: weights of another model .* --preset and --set"):
        load_method("mfeif", weights=moved, device="cpu")
    with pytest.raises(UsageError, match="weights of mfeif, not of dae-fuse"):
        load_method("dae-fuse", weights=run, device="cpu")
    with pytest.raises(UsageError, match="a run knows its weights and parameters"):
        load_method(run, params={"widths": 3}, device="cpu")
    with pytest.raises(UsageError, match="a run knows its parameters"):
        load_method("mfeif", weights=run, preset="tiny", device="cpu")


def test_own_classes(tmp_path: Path) -> None:
    file = own(tmp_path)
    method = load_method(f"{file}:Mine", params={"gain": 0.5}, device="cpu")
    assert np.allclose(method.fuse_luminance(A, B), A / 2) and not method.shared
    identity = method.identity()
    assert identity["params"] == {"gain": 0.5} and len(identity["code_sha256"]) == 64
    alone = tmp_path / "alone.py"
    alone.write_text("from fusionbench.models.classical.pyramids import Average\nclass Alone(Average):\n    pass\n")
    digest = load_method(str(alone), device="cpu").identity()["code_sha256"]
    assert digest == file_sha256(alone)  # also without the name of its one class
    save_file({"weight": torch.full((1,), 0.25)}, tmp_path / "w.safetensors")
    learned = load_method(f"{file}:Learner", weights=tmp_path / "w.safetensors", device="cpu")
    assert np.allclose(learned.fuse_luminance(A, B), 0.25)
    with pytest.raises(UsageError, match="Learner learns, so it needs weights"):
        load_method(f"{file}:Learner", device="cpu")
    with pytest.raises(UsageError, match="cannot be built: TypeError"):
        load_method(f"{file}:Mine", params={"loss": 1}, device="cpu")
    with pytest.raises(UsageError, match=r"has no torch\.nn\.Module called 'Yours'"):
        load_method(f"{file}:Yours", device="cpu")


def test_what_a_faulty_class_does_is_one_line(tmp_path: Path) -> None:
    method = load_method(f"{own(tmp_path)}:Faulty", device="cpu")
    ok, bad, nan = (np.full((4, width), 0.5, np.float32) for width in (19, 20, 21))
    assert method.fuse_luminance(ok, ok).shape == (4, 19)
    with pytest.raises(DataError, match=r"Faulty cannot fuse 4×20 pixels: RuntimeError: no images of 20 pixels"):
        method.fuse_luminance(bad, bad)
    with pytest.raises(DataError, match="not finite"):
        method.fuse_luminance(nan, nan)


def test_a_class_that_exits_is_no_success(tmp_path: Path) -> None:
    body = "import torch\nclass Net(torch.nn.Module):\n    def __init__(self, spec):\n        super().__init__()\n"
    (tmp_path / "late_exit.py").write_text(f"{body}    def fuse(self, batch):\n        raise SystemExit(0)\n")
    method = load_method(f"{tmp_path}/late_exit.py:Net", device="cpu")
    with pytest.raises(DataError, match="SystemExit"):
        method.fuse_luminance(A, B)
    (tmp_path / "early_exit.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(DataError, match=r"early_exit\.py: cannot be imported: SystemExit"):
        load_method(f"{tmp_path}/early_exit.py:Net", device="cpu")
    with pytest.raises(UsageError, match="Linear is a class; give an object of it"):
        load_method(torch.nn.Linear, device="cpu")  # type: ignore[arg-type]


def test_out_of_memory_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    method = load_method("average", device="cpu")

    def fail(batch: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(method.model, "fuse", fail)
    with pytest.raises(MeasurementError, match="average: out of memory for 24×31 pixels; try a smaller --tile"):
        method.fuse_luminance(A, B)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("avrage", {}, "Unknown method 'avrage'. Did you mean 'average'"),
        ("dae-fuse", {}, "dae-fuse learns, so it needs weights: train it .* with --weights"),
        ("cvae", {}, "cvae draws images of masked views"),
        ("mean-image", {}, "mean-image is a baseline for masked views"),
        ("average", {"weights": "x"}, "average has no weights"),
        ("average", {"params": {"gain": 2}}, "Unknown parameter of average 'gain'"),
        ("laplacian-pyramid", {"params": {"levels": 0}}, "levels=0"),
        ("gtf", {"preset": "none-such"}, "Unknown preset of gtf"),
        ("no/such/run", {}, "no run folder here"),
        ("weights.pth", {}, "NAME --weights FILE.safetensors"),
        ("mfeif", {"weights": "missing.safetensors"}, "no such file or folder of weights"),
        ("average", {"device": "gpu"}, "Unknown device 'gpu'"),
        ("missing.py:Net", {}, "missing.py: no such file"),
    ],
)
def test_what_is_refused_is_one_line(method: str, options: dict[str, object], message: str) -> None:
    with pytest.raises((UsageError, DataError), match=message) as caught:
        load_method(method, **{"device": "cpu", **options})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=re.escape("`fusionbench weights import mfeif w.pth`")):
        load_method("mfeif", weights=tmp_path / "w.pth", device="cpu")


def test_an_object_has_its_parameters() -> None:
    with pytest.raises(UsageError, match="this one is a model object"):
        load_method(create_model("average", SPEC), params={"x": 1}, device="cpu")
    with pytest.raises(UsageError, match="has no method `fuse`"):
        load_method(torch.nn.Identity(), device="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (3, 70)])
@pytest.mark.parametrize(
    "name", ["copy-b", "average", "laplacian-pyramid", "contrast-pyramid", "guided-filter", "wavelet"]
)
def test_tiny_images_are_fused_or_refused_in_one_line(name: str, size: tuple[int, int]) -> None:
    method = load_method(name, device="cpu")
    a, b = np.random.default_rng(0).random((2, *size), dtype=np.float32)
    try:
        assert method.fuse_luminance(a, b).shape == size
    except (DataError, UsageError) as error:
        assert "\n" not in str(error) and "pixels" in str(error)
