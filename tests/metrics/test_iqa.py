"""Measures of other libraries, by stand-ins for them: what they are given, and what is said where something lacks.

No weights are downloaded for a test. Where a library and its file are at hand, its own values are compared.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.metrics import LIBRARY_NAMES, get_metric, iqa, label_of, list_metrics
from fusionbench.metrics.engine import choose, score_images
from fusionbench.metrics.iqa import LIBRARY_METRICS, missing_weights
from fusionbench.metrics.undefined import measure
from tests.metrics.scenes import stacks

SHAPE = (40, 44)
CALLS: list[Any] = []


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for weights, and nothing loaded from before."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    iqa._scorer.cache_clear()
    CALLS.clear()
    yield tmp_path
    iqa._scorer.cache_clear()


def put(name: str) -> None:
    for file in iqa._FILES[name]:
        file.path().parent.mkdir(parents=True, exist_ok=True)
        file.path().write_bytes(b"weights")


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def brightness(image: torch.Tensor, data_range: float) -> torch.Tensor:
    CALLS.append((tuple(image.shape), image.dtype, float(image.max()) <= data_range == 1.0))
    return image.mean() * 100


def test_brisque_is_given_grey_values_image_by_image(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "piq", brisque=brightness)
    put("brisque")
    fused = stacks(2, SHAPE)[0]
    expected = fused.mean((1, 2)) / 2.55
    assert get_metric("brisque").function(fused) == pytest.approx(expected, rel=1e-5)
    assert [((1, 1, *SHAPE), torch.float32, True)] * 2 == CALLS
    tensors = torch.from_numpy(fused.astype(np.float64))
    assert get_metric("brisque").function(tensors) == pytest.approx(expected, rel=1e-5)
    assert get_metric("brisque").function(fused[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["niqe", "musiq"])
def test_pyiqa_is_told_which_file(name: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def create_metric(asked: str, device: str, pretrained_model_path: str) -> Any:
        print("Loading pretrained model")  # as pyiqa does, on the stream that --json writes to
        CALLS.append((asked, device, Path(pretrained_model_path).read_bytes()))
        return lambda image: image.std() * 7 if image.shape[1] == 3 else None

    stand_in(monkeypatch, "pyiqa", create_metric=create_metric)
    put(name)
    fused = stacks(2, (192, 200))[0]
    expected = [7 * np.std(np.repeat(image[None], 3, 0) / 255, ddof=1) for image in fused.astype(float)]
    assert get_metric(name).function(fused) == pytest.approx(expected, rel=1e-4)
    assert [(name, "cpu", b"weights")] == CALLS, "loaded once"
    captured = capsys.readouterr()
    assert captured.out == "" and "Loading" in captured.err


def test_clip_iqa_and_lpips(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lpips:
        def __init__(self, net_type: str, normalize: bool) -> None:
            assert net_type == "alex" and normalize, "images are on 0..1"
            self.seen = 0

        def __call__(self, fused: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
            self.seen += 1
            assert self.seen == 1, "what was measured before would be in the mean"
            return (fused - source).abs().mean()

        def reset(self) -> None:
            self.seen = 0

    stand_in(monkeypatch, "piq", CLIPIQA=lambda data_range: lambda image: image[:, 0].mean() / data_range)
    stand_in(monkeypatch, "torchvision")
    monkeypatch.setitem(
        sys.modules, "torchmetrics.image.lpip", SimpleNamespace(LearnedPerceptualImagePatchSimilarity=Lpips)
    )
    put("clip_iqa")
    put("lpips")
    fused, a, b = stacks(2, SHAPE)
    assert get_metric("clip_iqa").function(fused) == pytest.approx(fused.mean((1, 2)) / 255, rel=1e-5)
    distances = [np.abs(fused.astype(float) - x).mean((1, 2)) / 255 for x in (a, b)]
    assert get_metric("lpips").function(fused, a, b) == pytest.approx(sum(distances) / 2, rel=1e-5)


def test_without_a_home_folder_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(UsageError, match=r"^~/\.cache/clip/RN50\.pt: no home folder is known; set HOME"):
        missing_weights("clip_iqa")


@pytest.mark.parametrize("name", LIBRARY_NAMES)
def test_a_missing_file_is_named_with_its_licence_and_the_command(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    stand_in(monkeypatch, iqa._LIBRARIES[name][0])
    images = stacks(1, (192, 200))[: 3 if name == "lpips" else 1]
    with pytest.raises(UsageError, match="is missing and nothing is downloaded without being asked") as caught:
        get_metric(name).function(*images)
    text = str(caught.value)
    for file in iqa._FILES[name]:
        assert str(file.path()) in text and file.licence in text and f"-o '{file.path()}' {file.url}" in text
        assert file.path().is_relative_to(home) and file.url.startswith("https://") and not file.path().exists()
    assert "\n" not in text and len(missing_weights(name)) == len(iqa._FILES[name])
    put(name)
    assert missing_weights(name) == []


@pytest.mark.parametrize("name", LIBRARY_NAMES)
def test_a_missing_library_is_named_with_how_to_get_it(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, iqa._LIBRARIES[name][0], None)
    images = stacks(1, (192, 200))[: 3 if name == "lpips" else 1]
    with pytest.raises(UsageError, match=r"cannot be imported here .*: pip install") as caught:
        get_metric(name).function(*images)
    noncommercial = name in ("niqe", "musiq")
    assert ("Noncommercial" in str(caught.value)) == noncommercial != ("fusionbench[iqa]" in str(caught.value))
    assert any("Noncommercial" in choice for choice in get_metric(name).choices) == noncommercial


def test_a_broken_file_and_an_image_that_the_library_refuses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data_range: float) -> None:
        raise RuntimeError("unexpected\nend of " + 300 * "data")

    def picky(image: torch.Tensor, data_range: float) -> torch.Tensor:
        raise AssertionError("flat\nimage")

    stand_in(monkeypatch, "piq", CLIPIQA=broken, brisque=picky)
    put("clip_iqa")
    put("brisque")
    fused, a, b = stacks(1, SHAPE)
    with pytest.raises(UsageError, match=r"clip_iqa: piq cannot load its weights \(unexpected end of .*…\)") as caught:
        get_metric("clip_iqa").function(fused)
    assert len(str(caught.value)) < 300
    with pytest.raises(DataError, match="brisque cannot score image 0: flat image"):
        get_metric("brisque").function(fused)
    values, missing = measure(fused[0], a[0], b[0], choose(["en", "brisque"]))
    assert np.isfinite(values["en"]) and "flat image" in missing["brisque"].reason


def test_images_that_no_metric_takes_are_refused_before_anything_is_loaded(home: Path) -> None:
    fused, a, b = stacks(1, SHAPE)
    cases = [
        (get_metric("niqe"), (fused,), DataError, "at least 192×192 pixels, got 40×44"),
        (get_metric("musiq"), (fused / 255.0,), DataError, "look like 0..1"),
        (get_metric("lpips"), (fused, a, b[:, :-1]), DataError, "must have one size"),
        (get_metric("brisque"), (fused[0],), UsageError, "batch axis"),
    ]
    for metric, images, kind, words in cases:
        with pytest.raises(kind, match=words):
            metric.function(*images)
    _, missing = measure(fused[0], a[0], b[0], choose(["niqe"]))
    assert missing["niqe"].cause == "size" and "several blocks" in missing["niqe"].reason


def test_they_are_asked_for_by_name_and_never_ranked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(LIBRARY_NAMES) == set(LIBRARY_METRICS) == set(iqa._FILES) == set(iqa._LIBRARIES)
    assert not set(LIBRARY_NAMES) & {*list_metrics(), *(metric.name for metric in choose(["all"]))}
    assert {get_metric(name).dialect for name in LIBRARY_NAMES} == {"library/1"}
    assert [label_of(name) for name in LIBRARY_NAMES] == ["BRISQUE", "CLIP-IQA", "LPIPS", "MUSIQ", "NIQE"]
    with pytest.raises(UsageError, match=r"cddfuse.* has no 'niqe'"):
        get_metric("niqe", "cddfuse")
    for metric in LIBRARY_METRICS.values():
        assert metric.exploits and metric.reference and metric.formula and metric.oracle and metric.edge_cases
        assert metric.min_reason and any("Files: " in choice for choice in metric.choices)
    stand_in(monkeypatch, "piq", brisque=brightness)
    put("brisque")
    images = stacks(1, SHAPE)
    assert list(score_images(*images, ["brisque", "en"])) == ["brisque", "en"]


@pytest.mark.parametrize("name", LIBRARY_NAMES)
def test_values_where_library_and_weights_are_at_hand(name: str) -> None:
    iqa._scorer.cache_clear()
    images = stacks(1, (192, 200))[: 3 if name == "lpips" else 1]
    if missing_weights(name):
        pytest.skip(f"no weights of {name} here")
    try:
        __import__(iqa._LIBRARIES[name][0])
    except Exception as error:
        pytest.skip(f"{iqa._LIBRARIES[name][0]} does not import: {error}")
    low, high = get_metric(name).range
    assert low <= get_metric(name).function(*images)[0] <= high
