"""Single images on a board: sources, the output of each model, and maps of its scores.

They are shown where they lie as PNG, named by the image's id, beside the results::

    <results>/<data set>/sources/a/<id>.png    and sources/b/<id>.png
    <results>/<data set>/<model>/<id12>/fused/<id>.png

Local maps of SSIM and Qabf are worked out from them when the pages are built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.core.image_headers import PNG_HEAD, png_header
from fusionbench.core.images import FULL, encode_png, read_image

if TYPE_CHECKING:
    from fusionbench.board.page_model import Benchmark, BoardRow
    from fusionbench.board.pages import Pages

SOURCES = ("a", "b")
KINDS = ("ssim", "qabf")
MAX_MAPS = 50  # images of one result that get local maps; each takes a good part of a second at a megapixel
SMALLEST = 11  # pixels of the shorter side: SSIM's window


def image_files(folder: Path, ids: Sequence[int | str]) -> dict[int, Path]:
    """Place in ``ids`` -> PNG in ``folder`` that carries this id as its name. Names come from the folder alone."""
    if not folder.is_dir():
        return {}
    places = {str(name): place for place, name in enumerate(ids)}
    found = {places[path.stem]: path for path in folder.glob("*.png") if path.stem in places}
    return dict(sorted(found.items()))


def sources_of(dataset: Path, ids: Sequence[int | str]) -> dict[int, tuple[Path, Path]]:
    """Place in ``ids`` -> both sources, of the images that have both."""
    a, b = (image_files(dataset / "sources" / name, ids) for name in SOURCES)
    return {place: (a[place], b[place]) for place in a if place in b}


def images_of(
    pages: Pages, benchmark: Benchmark, results: Path, ids: Sequence[int | str]
) -> tuple[dict[int, tuple[Path, Path]], Callable[[BoardRow], dict[int, Path]]]:
    """Sources by their place in ``ids``, and what gives the fused images of a row by theirs.

    Images that were made again come before those beside the results, which may be reduced ones: these are shown where
    they have the size of the sources.
    """
    remade = pages.remade.get(benchmark.slug)
    kept = sources_of(results / benchmark.first.identity.dataset.name, ids)
    made = {} if remade is None else sources_of(remade.folder, ids)

    def fused(row: BoardRow) -> dict[int, Path]:
        own = image_files(row.folders[0] / "fused", ids)
        if remade is None or row.entry is None:
            return own
        own = {place: path for place, path in own.items() if place not in made or _alike(path, made[place][0])}
        return dict(sorted({**own, **image_files(remade.fused(row.entry.results[0]), ids)}.items()))

    return dict(sorted({**kept, **made}.items())), fused


def _alike(path: Path, other: Path) -> bool:
    """Whether two images have one size; a damaged one is somebody else's to tell of."""
    try:
        return _size(path) == _size(other)
    except DataError:
        return True


def may_have_maps(fused: Path, a: Path, b: Path) -> bool:
    """Whether the three images are large enough for local maps; only their heads are read.

    Raises:
        DataError: not PNGs, or sizes that differ.
    """
    sizes = [_size(path) for path in (fused, a, b)]
    if len(set(sizes)) > 1:
        raise DataError(f"{fused}: its size is not that of its sources {a} and {b}; nothing is resized")
    return min(sizes[0]) >= SMALLEST


def _size(path: Path) -> tuple[int, int]:
    with path.open("rb") as stream:
        header = png_header(stream.read(PNG_HEAD))
    if header is None:
        raise DataError(f"{path}: not a PNG")
    return header.height, header.width


def local_map(kind: str, fused: Path, a: Path, b: Path) -> bytes:
    """PNG of the local ``ssim`` or ``qabf``, of the size of the images: black 0, white 1.

    Raises:
        DataError: an unreadable image.
    """
    planes = [read_image(path, FULL).grey() for path in (fused, a, b)]
    values = (ssim_map if kind == "ssim" else qabf_map)(*planes)
    return encode_png(np.rint(values.clip(0, 1) * 255).astype(np.uint8))


def ssim_map(fused: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean of SSIM(A,F) and SSIM(B,F) around every pixel: three uint8 (h, w) to float64 (h, w), -1..1."""
    from skimage.metrics import structural_similarity

    form = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255.0, "full": True}
    planes = [structural_similarity(source.astype(float), fused.astype(float), **form)[1] for source in (a, b)]
    return np.asarray(planes[0] + planes[1]) / 2


def qabf_map(fused: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Edge preservation at every pixel as a share of its maximum: three uint8 (h, w) to float64 (h, w), 0..1.

    Both sources are weighted by their edges as in Qabf. Where neither has an edge nothing can be lost: 1.
    """
    weighted, weights = qabf_parts(fused, a, b)
    result: np.ndarray = np.divide(weighted, weights, out=np.ones_like(weights), where=weights > 0)
    return result


def qabf_parts(fused: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator (as a share of its maximum) and denominator of Qabf at every pixel."""
    from fusionbench.metrics import qabf as metric
    from fusionbench.metrics._images import to_images

    with np.errstate(divide="ignore", invalid="ignore"):  # a vertical edge has no quotient; the metric knows
        images = [metric.padded(to_images(plane[None])[0], "replicate", False) for plane in (fused, a, b)]
        edges_f, *edges_of_sources = [metric.edge_gradients(image, ("replicate", "atan", None)) for image in images]
        weighted, weights = np.zeros(fused.shape), np.zeros(fused.shape)
        for strength, orientation in edges_of_sources:
            q = metric.edge_preservation((strength, orientation), edges_f, "one", images[0])
            weighted += np.asarray(q * strength) / metric.MAX
            weights += np.asarray(strength)
    return weighted, weights
