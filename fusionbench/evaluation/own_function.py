"""A plain function as a model: ``method(a, b)`` of two images gives the fused one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.core.errors import FusionbenchError, MeasurementError, UsageError
from fusionbench.core.image_arrays import array_of, unit_floats
from fusionbench.core.interfaces import Model
from fusionbench.core.types import Batch, ImageSpec, Preset


class OwnFunction(nn.Module):
    """What a function makes of pairs. It is called with two uint8 (H,W) and gives the fused image of the same size.

    Args:
        spec: of the pairs; their size is free.
        function: gives uint8, uint16, or floating point in [0,1]: (H,W), or RGB (H,W,3), whose luma counts.
        title: what tables call it; the name of the function when None.

    Example:
        >>> import torch
        >>> from fusionbench import Batch
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.own_function import as_model
        >>> model = as_model(lambda a, b: a // 2 + b // 2, ImageSpec(1, 1, 1, 2), title="Half and half")
        >>> views = torch.tensor([0.2, 0.4]).view(1, 2, 1, 1, 1)
        >>> round(model.fuse(Batch(None, views, torch.ones(1, 2, dtype=torch.bool), torch.arange(1))).item() * 255)
        76
    """

    reference: ClassVar[str] = "a function"
    version: ClassVar[str] = "function"
    identified: ClassVar[bool] = False  # its code may be another one at every call
    PRESETS: ClassVar[Mapping[str, Preset]] = {}

    def __init__(self, spec: ImageSpec, function: Callable[..., Any], title: str | None = None) -> None:
        super().__init__()
        self.spec, self.function, self.title = spec, function, title or name_of(function)

    @torch.no_grad()
    def fuse(self, batch: Batch) -> Tensor:
        """(N,1,H,W) float32 in [0,1].

        Raises:
            UsageError: what the function gives is no image of this size.
            MeasurementError: the function fails.
        """
        pairs = (batch.views[:, :, 0] * 255).round().to(torch.uint8).cpu().numpy()
        fused = [self._fused(pair) for pair in pairs]
        return torch.from_numpy(np.stack(fused))[:, None].to(batch.views.device)

    def _fused(self, pair: np.ndarray) -> np.ndarray:
        a, b = pair.copy()  # a function that writes into its images changes nobody else's
        try:
            found = self.function(a, b)
        except FusionbenchError:
            raise
        except (Exception, SystemExit) as error:  # sys.exit in it would end the caller as a success
            reason = " ".join(str(error).split())[:160]
            raise MeasurementError(f"{self.title} fails: {type(error).__name__}: {reason}") from error
        if isinstance(found, Tensor):
            found = found.detach().float().squeeze().cpu().numpy() if found.is_floating_point() else found.cpu().numpy()
        pixels = array_of(found, f"what {self.title} gives")
        if pixels.shape[:2] != pair.shape[1:]:
            raise UsageError(f"{self.title} gives {pixels.shape[:2]} pixels of a pair of {pair.shape[1:]}")
        if pixels.dtype.kind == "f":
            units = unit_floats(pixels, f"what {self.title} gives", "")
        else:
            units = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        if units.ndim == 3:
            from fusionbench.core.colour import luminance

            units = luminance(units)
        return units


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called; that of ``functools.partial`` is the one it calls."""
    inner = getattr(function, "func", function)
    name = getattr(inner, "__name__", type(inner).__name__)
    return "function" if name == "<lambda>" else str(name)


def as_model(function: Callable[..., Any], spec: ImageSpec, title: str | None = None) -> Model:
    """A model of a class that is called like the title, or like the function, as results name it."""
    shown = title or name_of(function)
    name = re.sub(r"[^a-z0-9]+", "-", shown.lower()).strip("-")[:64] or "function"
    made: Model = type(name, (OwnFunction,), {})(spec, function, shown)
    return made
