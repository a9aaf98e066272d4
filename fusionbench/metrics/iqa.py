"""Measures from other libraries: NIQE, BRISQUE, MUSIQ and CLIP-IQA of the fused image alone, LPIPS against its sources.

    get_metric("niqe").function(fused)        # needs pyiqa and a file of parameters

Each needs a library and a file of weights that the library would download by itself. Here nothing is downloaded: a
missing file is an error that names the file, its licence and the command that fetches it. None of these measures is
ranked (their dialect is ``library/1``), ``--metrics all`` leaves them out, and their values are those of the library at
hand, in single precision: other releases may give other ones.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import Metric, Tolerance
from fusionbench.metrics._images import check_stacks

DIALECT = "library/1"
_PIQ = "https://github.com/photosynthesis-team/piq/releases/download/"
_PYIQA = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/"
_EXTRA = "pip install 'fusionbench[iqa]'"
_NONCOMMERCIAL = "pip install pyiqa, whose licence is PolyForm Noncommercial"


@dataclass(frozen=True)
class _File:
    """A file of weights: where the library looks for it, where it comes from, and whose it is."""

    name: str
    url: str
    licence: str
    folder: str  # below torch's hub folder, or below the home folder where it starts with ~

    def path(self) -> Path:
        if self.folder.startswith("~"):
            try:
                return Path(self.folder).expanduser() / self.name
            except RuntimeError as error:
                raise UsageError(f"{self.folder}/{self.name}: no home folder is known; set HOME to one") from error
        import torch

        return Path(torch.hub.get_dir()) / self.folder / self.name


_FILES = {
    "niqe": [
        _File(
            "niqe_modelparameters.mat", _PYIQA + "niqe_modelparameters.mat",
            "University of Texas at Austin, free to use with the copyright notice", "pyiqa",
        )
    ],
    "brisque": [
        _File(
            "brisque_svm_weights.pt", _PIQ + "v0.4.0/brisque_svm_weights.pt",
            "University of Texas at Austin, free to use with the copyright notice", "checkpoints",
        )
    ],
    "musiq": [
        _File(
            "musiq_koniq_ckpt-e95806b9.pth", _PYIQA + "musiq_koniq_ckpt-e95806b9.pth",
            "Google, Apache-2.0; trained on KonIQ-10k", "pyiqa",
        )
    ],
    "clip_iqa": [
        _File("RN50.pt", _PIQ + "v0.7.1/RN50.pt", "OpenAI, MIT", "~/.cache/clip"),
        _File("clipiqa_tokens.pt", _PIQ + "v0.7.1/clipiqa_tokens.pt", "piq, Apache-2.0", "~/.cache/clip"),
    ],
    "lpips": [
        _File(
            "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            "torchvision, BSD-3-Clause; trained on ImageNet", "checkpoints",
        )
    ],
}  # fmt: skip


def missing_weights(name: str) -> list[str]:
    """One line for each file of weights that a measure lacks here; empty where all are at hand.

    Example:
        >>> from fusionbench.metrics.iqa import missing_weights
        >>> all("curl" in line for line in missing_weights("niqe"))
        True
    """
    return [
        f"{file.path()} ({file.licence}) is missing and nothing is downloaded without being asked: "
        f"curl -L --create-dirs -o '{file.path()}' {file.url}"
        for file in _FILES[name]
        if not file.path().is_file()
    ]


def niqe(fused: Any) -> np.ndarray:
    """Distance of the image's statistics from those of natural images: (N,H,W) on 0..255, sides ≥ 192, to (N,).

    Raises:
        UsageError: pyiqa or its file of parameters is not there.
        DataError: images that cannot be scored.

    Source: Mittal, Soundararajan, Bovik 2013 (IEEE Signal Process. Lett. 20, 209), by pyiqa.

    Example:
        >>> from fusionbench import get_metric
        >>> record = get_metric("niqe")
        >>> record.needs, record.better, record.dialect
        ('fused', 'lower', 'library/1')
    """
    return _each("niqe", fused)


def brisque(fused: Any) -> np.ndarray:
    """Distortion predicted from local statistics: (N,H,W) on 0..255, sides ≥ 32, to (N,), about 0..100.

    Raises:
        UsageError: piq or its file of weights is not there.
        DataError: images that cannot be scored.

    Source: Mittal, Moorthy, Bovik 2012 (IEEE Trans. Image Process. 21, 4695), by piq.

    Example:
        >>> from fusionbench import get_metric
        >>> get_metric("brisque").better
        'lower'
    """
    return _each("brisque", fused)


def musiq(fused: Any) -> np.ndarray:
    """Opinion predicted by a transformer over three sizes of the image: (N,H,W) on 0..255 to (N,), about 0..100.

    Raises:
        UsageError: pyiqa or its file of weights is not there.
        DataError: images that cannot be scored.

    Source: Ke, Wang, Wang, Milanfar, Yang 2021 (ICCV, 5148), by pyiqa; trained on KonIQ-10k.

    Example:
        >>> from fusionbench import get_metric
        >>> get_metric("musiq").better
        'higher'
    """
    return _each("musiq", fused)


def clip_iqa(fused: Any) -> np.ndarray:
    """How much more the image is "Good photo." than "Bad photo." to CLIP: (N,H,W) on 0..255 to (N,), 0..1.

    Raises:
        UsageError: piq or its files are not there.
        DataError: images that cannot be scored.

    Source: Wang, Chan, Loy 2023 (AAAI, 2555), by piq.

    Example:
        >>> from fusionbench import get_metric
        >>> get_metric("clip_iqa").range
        (0.0, 1.0)
    """
    return _each("clip_iqa", fused)


def lpips(fused: Any, a: Any, b: Any) -> np.ndarray:
    """Mean perceptual distance in AlexNet's features from A and from B: three (N,H,W) on 0..255, sides ≥ 32, to (N,).

    Raises:
        UsageError: torchmetrics, torchvision or the weights of AlexNet are not there.
        DataError: images that cannot be scored.

    Source: Zhang, Isola, Efros, Shechtman, Wang 2018 (CVPR, 586), by torchmetrics.

    Example:
        >>> from fusionbench import get_metric
        >>> get_metric("lpips").needs
        'pair'
    """
    check_stacks((fused, a, b), ("fused", "a", "b"))
    return np.asarray((_each("lpips", fused, a) + _each("lpips", fused, b)) / 2)


def _each(name: str, *stacks: Any) -> np.ndarray:
    """One value an image, image by image so that a batch has the values of single calls."""
    check_stacks(stacks, ("fused", "source")[: len(stacks)])
    record = LIBRARY_METRICS[name]
    for stack in stacks:
        if min(stack.shape[1:]) < record.min_side:
            size = "×".join(map(str, stack.shape[1:]))
            side = record.min_side
            raise DataError(f"{name} needs images of at least {side}×{side} pixels, got {size}")
    if not len(stacks[0]):
        return np.zeros(0)
    score = _scorer(name)
    import torch

    values = []
    for place in range(len(stacks[0])):
        images = [_three_channels(stack[place]) for stack in stacks]
        try:
            with torch.no_grad():
                values.append(float(score(*images)))
        except Exception as error:  # whatever a library raises of an image it cannot score
            why = _one_line(str(error)) or type(error).__name__
            raise DataError(f"{name} cannot score image {place}: {why}") from error
    return np.array(values, np.float64)


def _one_line(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _three_channels(image: Any) -> Any:
    """(1,3,H,W) float32 on 0..1, on the CPU."""
    import torch

    tensor = (
        torch.from_numpy(np.array(image, np.float32)) if isinstance(image, np.ndarray) else image.detach().cpu().float()
    )
    return (tensor / 255)[None, None].repeat(1, 3, 1, 1)


@functools.cache
def _scorer(name: str) -> Callable[..., Any]:
    """The library's own measure, of (1,3,H,W) tensors on 0..1.

    Raises:
        UsageError: the library or a file is missing, or the library cannot be loaded.
    """
    library, install, make = _LIBRARIES[name]
    lines = missing_weights(name)
    try:
        __import__(library)
    except Exception as error:  # a torchvision that does not fit the torch raises a RuntimeError
        why = _one_line(str(error))
        raise UsageError(f"{name} needs {library}, which cannot be imported here ({why}): {install}") from error
    if lines:
        raise UsageError(f"{name}: {'; '.join(lines)}")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # one library prints what it loads
            return make()
    except Exception as error:
        why = _one_line(str(error))
        raise UsageError(f"{name}: {library} cannot load its weights ({why}); fetch the file again") from error


def _by_pyiqa(name: str) -> Callable[..., Any]:
    import pyiqa

    found: Callable[..., Any] = pyiqa.create_metric(
        name, device="cpu", pretrained_model_path=str(_FILES[name][0].path())
    )
    return found


def _by_piq_brisque() -> Callable[..., Any]:
    import piq

    return lambda image: piq.brisque(image[:, :1], data_range=1.0)


def _by_piq_clip() -> Callable[..., Any]:
    import piq

    found: Callable[..., Any] = piq.CLIPIQA(data_range=1.0)
    return found


def _by_torchmetrics() -> Callable[..., Any]:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    measure = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)

    def score(fused: Any, source: Any) -> Any:
        value = measure(fused, source)
        measure.reset()  # it collects what it has measured
        return value

    return score


def _record(
    function: Callable[..., Any],
    title: str,
    label: str,
    better: Literal["higher", "lower"],
    interval: tuple[float, float],
    side: int,
    why: str,
    reference: str,
    formula: str,
    exploits: str,
    *choices: str,
) -> Metric:
    name = function.__name__
    return Metric(
        name=name,
        version="1",
        title=title,
        function=function,
        needs="pair" if name == "lpips" else "fused",
        better=better,
        unit="1",
        range=interval,
        tolerance=Tolerance(0.0, 1e-3, "single precision, and releases of a library differ"),
        reference=reference,
        formula=formula,
        exploits=exploits,
        dialect=DIALECT,
        choices=(
            *choices,
            "Grey images: the grey value in all three channels.",
            "Files: " + "; ".join(f"{file.name} ({file.licence})" for file in _FILES[name]),
        ),
        edge_cases="What the library returns; where it fails, there is no value and its message says why.",
        min_side=side,
        min_reason=why,
        oracle="the library itself",
        label=label,
    )


_TRAINED = "Trained on opinions on photographs; infrared and medical images are foreign to it."

LIBRARY_METRICS: dict[str, Metric] = {
    record.name: record
    for record in (
        _record(
            niqe, "Natural image quality evaluator", "NIQE", "lower", (0.0, float("inf")), 192,
            "it compares several blocks of 96×96 pixels",
            "Mittal, Soundararajan, Bovik 2013, IEEE Signal Process. Lett. 20(3), 209–212",
            "distance of two Gaussians: features of the image's blocks, features of natural images",
            "It never looks at the sources: returning a good photograph wins.",
            "By pyiqa, whose licence is PolyForm Noncommercial: not an extra of this package.",
        ),
        _record(
            brisque, "Blind image spatial quality evaluator", "BRISQUE", "lower", (-float("inf"), float("inf")), 32,
            "its second scale must hold its 7×7 windows",
            "Mittal, Moorthy, Bovik 2012, IEEE Trans. Image Process. 21(12), 4695–4708",
            "support vector regression of 36 local statistics at two scales",
            "It never looks at the sources. " + _TRAINED, "By piq.",
        ),
        _record(
            musiq, "Multi-scale image quality transformer", "MUSIQ", "higher", (0.0, 100.0), 32,
            "its patches are 32×32",
            "Ke, Wang, Wang, Milanfar, Yang 2021, ICCV, 5148–5157",
            "a transformer over patches of three sizes of the image, trained on KonIQ-10k",
            "It never looks at the sources. " + _TRAINED,
            "By pyiqa, whose licence is PolyForm Noncommercial: not an extra of this package.",
        ),
        _record(
            clip_iqa, "CLIP image quality", "CLIP-IQA", "higher", (0.0, 1.0), 32,
            "the network halves the image five times",
            "Wang, Chan, Loy 2023, AAAI, 2555–2563",
            'softmax of the similarities with "Good photo." and "Bad photo."',
            "It never looks at the sources: returning a good photograph wins.", "By piq, ResNet-50.",
        ),
        _record(
            lpips, "Learned perceptual image patch similarity", "LPIPS", "lower", (0.0, float("inf")), 32,
            "AlexNet has no pixel left of smaller images",
            "Zhang, Isola, Efros, Shechtman, Wang 2018, CVPR, 586–595",
            "mean of LPIPS(A,F) and LPIPS(B,F): weighted distances of AlexNet's features",
            "It is a mean of two distances: an image between both sources is near to each.",
            "By torchmetrics, weights 0.1 for AlexNet; the VGG form gives other values.",
        ),
    )
}  # fmt: skip

_LIBRARIES: dict[str, tuple[str, str, Callable[[], Callable[..., Any]]]] = {
    "niqe": ("pyiqa", _NONCOMMERCIAL, functools.partial(_by_pyiqa, "niqe")),
    "musiq": ("pyiqa", _NONCOMMERCIAL, functools.partial(_by_pyiqa, "musiq")),
    "brisque": ("piq", _EXTRA, _by_piq_brisque),
    "clip_iqa": ("piq", _EXTRA, _by_piq_clip),
    "lpips": ("torchvision", _EXTRA, _by_torchmetrics),
}
