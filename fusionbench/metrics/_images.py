"""The image type of the metrics, input checks, and conversion from arrays and back.

A metric's formula is written once, for :class:`Image` objects whose pixels are either one
(H,W) NumPy array (on the CPU: image by image, so that a batch gives the same bits as single
calls and the working set fits the processor's cache) or one (N,H,W) torch tensor on a
device. Both are float64 on 0..255. Operations that NumPy and torch spell differently
(filters, histograms) are in ``_windows.py`` and ``_histograms.py``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fusionbench.core.errors import DataError, UsageError
from fusionbench.metrics._gradients import (
    NoGradientError,
    recorded,
    refuse_gradient,
    wants_gradient,
    zero_gradient_without_value,
)

if TYPE_CHECKING:
    import torch

Array = Any  # float64, (H,W) of NumPy or (N,H,W) of torch; scalars are () or (N,) accordingly
T = TypeVar("T")
AXES = (-2, -1)
BAND = 96  # rows: 640 pixels wide they take 0.5 MB a plane
# Freeing one large block raises glibc's threshold below which freed blocks are reused; otherwise the memory of every
# band is returned to the system and faulted in again, which doubles the time. With other allocators it has no effect.
np.empty(24 << 20, np.uint8)


def namespace(array: Array) -> ModuleType:
    """``numpy`` or ``torch``: the formulas use only names that both have with the same meaning."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def clamp_min(x: Array, low: float) -> Array:
    """``max(x, low)``, in place where autograd does not record it."""
    if isinstance(x, np.ndarray):
        if x.size <= 16:  # OpenCV treats an array of four values as a scalar
            return np.maximum(x, low, out=x)
        import cv2

        return cv2.max(x, low, dst=x)  # type: ignore[call-overload]
    return x.clamp(min=low) if recorded(x) else x.clamp_(min=low)


def whole_levels(image: Image, x: Array, down: bool = False) -> Array:
    """``x`` in whole grey levels: the nearest, halves to even, or the one below.

    Raises:
        NoGradientError: ``x`` requires grad; the slope of a step is 0.
    """
    refuse_gradient("this definition of it rounds to whole grey levels; detach() the images to score them", x)
    return (image.xp.floor if down else image.xp.round)(x)


_SERIALS = itertools.count()


class Image:
    """An image and a cache of the intermediates that metrics compute from it, each computed once.

    ``grey`` is the image as uint8 if its values are whole grey levels; float64 ``pixels`` are converted from it on
    first use, band by band where possible. The cache of a ``persistent`` image (a source that many fused images are
    scored against) survives :meth:`clear_cache`; that of any other image is cleared as soon as a band is done. What is
    cached in one image about another is keyed by the other's ``serial``: unlike ``id()`` it is never used again, and
    unlike the image itself it keeps no pixels in memory.
    """

    __slots__ = ("_cache", "_pixels", "grey", "persistent", "serial", "xp")

    def __init__(self, pixels: Array | None, persistent: bool = False, grey: np.ndarray | None = None) -> None:
        self._pixels, self.persistent, self.grey = pixels, persistent, grey
        self.xp: Any = np if grey is not None else namespace(pixels)
        self._cache: dict[Any, Any] = {}
        self.serial = next(_SERIALS)

    @property
    def pixels(self) -> Array:
        """float64 (H,W), or (N,H,W) on a device."""
        if self._pixels is None:
            assert self.grey is not None
            self._pixels = self.grey.astype(np.float64)
        return self._pixels

    @property
    def stored(self) -> Array:
        """The image as stored: uint8 if its values are whole grey levels (exact sums), else float64 ``pixels``."""
        return self.pixels if self.grey is None else self.grey

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        shape = self.stored.shape
        return shape[-2], shape[-1]

    @property
    def count(self) -> int:
        """Number of pixels of one image."""
        return self.shape[0] * self.shape[1]

    def cached(self, key: Any, compute: Callable[[], T]) -> T:
        """The intermediate called ``key``, computed by ``compute`` on first use and cached."""
        if key not in self._cache:
            self._cache[key] = compute()
        found: T = self._cache[key]
        return found

    def with_pixels(self, pixels: Array) -> Image:
        """Another image (a smaller scale, a band) with the same persistence."""
        if self.xp is np and pixels.dtype == np.uint8:
            return Image(None, self.persistent, pixels)
        return Image(pixels, self.persistent)

    def bands(self, halo: int, step: int = BAND) -> list[Image]:
        """Overlapping bands: every window of 2·halo+1 rows lies in exactly one; a batch on a device is one band.

        A band fits the processor's cache, which makes filters and formulas two to three times as fast.
        """
        if self.xp is not np:
            return [self]
        rows = self.shape[0] - 2 * halo
        return self.cached(
            ("bands", halo, step),
            lambda: [
                self.with_pixels(self.stored[top : min(top + step, rows) + 2 * halo]) for top in range(0, rows, step)
            ],
        )

    def clear_cache(self) -> None:
        """Drop all cached intermediates, unless the image is persistent."""
        if not self.persistent:
            self._cache.clear()
            if self.grey is not None:
                self._pixels = None


def need_side(image: Image, side: int, what: str) -> None:
    """Refuse an image whose shorter side is less than ``side`` pixels.

    Raises:
        DataError: naming ``what`` needs it and the size that was given.
    """
    height, width = image.shape
    if min(height, width) < side:
        raise DataError(f"{what} needs images of at least {side}×{side} pixels, got {height}×{width}")


def check_stack(images: Any, name: str, ids: Sequence[object] | None = None, on_scale: bool = False) -> None:
    """Check one stack of images: (N,H,W), uint8 or floating, finite, on 0..255.

    ``on_scale``: images as dark as 0..1 are what they are, not images on the wrong scale.

    Raises:
        UsageError: wrong kind, dimensions or dtype.
        DataError: a value that is not finite or not on 0..255, with the image's id.
    """
    images = images.detach() if recorded(images) else images
    xp, shape = namespace(images), tuple(images.shape)
    if len(shape) != 3:
        hint = {2: "add a batch axis: image[None]", 4: "score one channel: convert colour to luma first"}.get(
            len(shape)
        )
        if len(shape) == 4 and shape[1] == 1:
            hint = "take the only channel: images[:, 0]"
        raise UsageError(f"{name}: expected grey images (N,H,W), got shape {shape}" + (f"; {hint}" if hint else ""))
    if 0 in shape[1:]:
        raise UsageError(f"{name}: images of {shape[1]}×{shape[2]} pixels have nothing to score")
    dtype = str(images.dtype).removeprefix("torch.")
    if dtype == "uint8" or not shape[0]:
        return
    if not dtype.startswith(("float", "bfloat")):
        remedy = "scale 16-bit images to 0..255 first" if "16" in dtype else "convert to uint8 or to float on 0..255"
        raise UsageError(f"{name}: dtype {dtype} is not scored; {remedy}")
    low, high = images.min(), images.max()
    if not bool(xp.isfinite(low) & xp.isfinite(high)):
        bad = int(xp.argmax((~xp.isfinite(images)).reshape(shape[0], -1).any(1) * 1))
        raise DataError(f"{name} image {ids[bad] if ids else bad}: has NaN or infinity; fix the image, it has no score")
    if low < 0 or high > 255:
        flat = images.reshape(shape[0], -1)
        bad = int(xp.argmax(((flat < 0) | (flat > 255)).any(1) * 1))
        raise DataError(
            f"{name} image {ids[bad] if ids else bad}: values {float(low):g}..{float(high):g} are outside 0..255; "
            "scale or clip the image"
        )
    if 0 < high <= 1 and not on_scale and bool((images != xp.round(images)).any()):
        raise DataError(f"{name}: values look like 0..1; metrics take 0..255, multiply by 255")


def check_stacks(stacks: Sequence[Any], names: Sequence[str], ids: Sequence[object] | None = None) -> None:
    """Check stacks that are scored together: each by :func:`check_stack`, then kinds and shapes against each other."""
    for stack, name in zip(stacks, names, strict=True):
        if not hasattr(stack, "shape") or not hasattr(stack, "dtype"):
            raise UsageError(f"{name}: expected a NumPy array or a torch tensor (N,H,W), got {type(stack).__name__}")
    kinds = {namespace(stack).__name__ for stack in stacks}
    if len(kinds) > 1:
        raise UsageError(f"{', '.join(names)} mix NumPy arrays and torch tensors; pass one kind")
    if len({str(getattr(stack, "device", "cpu")) for stack in stacks}) > 1:
        raise UsageError(f"{', '.join(names)} are on different devices")
    # what a network makes early in its training may be nearly black; other images at hand tell the scale
    known = not all(recorded(stack) for stack in stacks)
    for stack, name in zip(stacks, names, strict=True):
        check_stack(stack, name, ids, known and recorded(stack))
    for stack, name in zip(stacks[1:], names[1:], strict=True):
        if tuple(stack.shape) != tuple(stacks[0].shape):
            raise DataError(
                f"{names[0]} has shape {tuple(stacks[0].shape)} but {name} {tuple(stack.shape)}; "
                "images that are scored together must have one size (nothing is resized)"
            )


def on_device(stack: Any) -> bool:
    """Whether a stack is scored as one batch of tensors (a CUDA device) rather than image by image on the CPU."""
    return not isinstance(stack, np.ndarray) and stack.device.type not in ("cpu", "mps")


def to_images(stack: Any, persistent: bool = False) -> list[Image]:
    """Images of a checked stack: one :class:`Image` each on the CPU, a single batched one on a device."""
    if on_device(stack):
        import torch

        return [Image(stack.to(torch.float64), persistent)]
    array = stack if isinstance(stack, np.ndarray) else stack.detach().cpu()
    if not isinstance(array, np.ndarray):
        array = array.float().numpy() if str(array.dtype) == "torch.bfloat16" else array.numpy()
    return [_to_image(image, persistent) for image in array]


def _to_image(array: np.ndarray, persistent: bool) -> Image:
    if array.dtype == np.uint8:
        return Image(None, persistent, np.ascontiguousarray(array))
    with np.errstate(invalid="ignore"):
        grey = array.astype(np.uint8, order="C")
    if np.array_equal(grey, array):
        return Image(None, persistent, grey)
    return Image(np.array(array, dtype=np.float64, order="C"), persistent)


def recorded_pixels(stack: Any) -> torch.Tensor:
    """A checked stack as float64 pixels that autograd follows, a tensor of their own; where there is no float64, on
    the CPU."""
    import torch

    where = "cpu" if stack.device.type == "mps" else stack.device
    pixels: torch.Tensor = stack.to(where).to(torch.float64).view_as(stack)
    return pixels


def score_recorded(
    name: str, kernel: Callable[..., Array], images: Sequence[Image], like: Any, **parameters: Any
) -> Any:
    """Values (N,) of one metric with their graph; gradients of images without a finite value are 0.

    Raises:
        UsageError: the metric has no gradient, with its ``name`` and what has.
    """
    import torch

    pixels = [image.pixels for image in images]
    if not like.shape[0]:
        return pixels[0].sum(AXES).to(like.device)
    try:
        values = kernel(*images, **parameters)
        if not recorded(values):  # by a formula that does not say so
            raise NoGradientError("has no gradient: its values are steps, or leave torch; detach() the images")
    except NoGradientError as error:
        raise UsageError(f"{name} {error}") from None
    except RuntimeError as error:
        if "numpy()" not in str(error) and "automatic differentiation" not in str(error):
            raise
        # tensors became arrays, or were written into arrays at hand (out=)
        raise UsageError(f"{name} has no gradient: autograd cannot follow it; detach() the images") from None
    zero_gradient_without_value(values, pixels)
    return values.float().to(like.device) if like.device.type == "mps" else values.to(torch.float64)


def stack_like(values: Sequence[Array], like: Any) -> Any:
    """One value per image of :func:`to_images` as (N,) float64: a NumPy array or a tensor on the device of ``like``."""
    if on_device(like):
        import torch

        return values[0].to(torch.float64) if like.shape[0] else like.new_zeros(0, dtype=torch.float64)
    array = np.array([float(value) for value in values], np.float64)
    if isinstance(like, np.ndarray):
        return array
    import torch

    return torch.from_numpy(array) if like.device.type == "cpu" else torch.from_numpy(array).float().to(like.device)


def image_metric(kernel: Callable[..., Array]) -> Callable[..., Any]:
    """Decorator: a metric of stacks from a formula ``kernel(*images, **parameters)`` of :class:`Image` objects.

    Values of tensors that require grad have their graph; a formula that loses it is refused.

    The result takes (N,H,W) stacks and returns (N,) float64, NumPy or torch as they came in. Its attribute ``kernel``
    is the formula, for scoring many metrics on the same images. A formula of ``*more`` images takes any number.
    """
    import inspect

    parameters_of = inspect.signature(kernel).parameters.items()
    names = [name for name, one in parameters_of if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    many = any(one.kind is inspect.Parameter.VAR_POSITIONAL for _, one in parameters_of)

    @functools.wraps(kernel)
    def function(*stacks: np.ndarray | torch.Tensor, **parameters: Any) -> Any:
        if len(stacks) < len(names) or (len(stacks) > len(names) and not many):
            listed, least = (", ".join(names + ["…"] * many), "at least " if many else "")
            raise UsageError(f"{kernel.__name__}({listed}) takes {least}{len(names)} stacks, got {len(stacks)}")
        check_stacks(stacks, [*names, *(f"source {place}" for place in range(3, len(stacks)))])
        if wants_gradient(*stacks):
            images = [Image(recorded_pixels(stack)) for stack in stacks]
            return score_recorded(kernel.__name__, kernel, images, stacks[0], **parameters)
        rows = zip(*(to_images(stack) for stack in stacks), strict=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = [kernel(*row, **parameters) for row in rows] if stacks[0].shape[0] else []
        return stack_like(values, stacks[0])

    function.kernel = kernel  # type: ignore[attr-defined]
    return function
