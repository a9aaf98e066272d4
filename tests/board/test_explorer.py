"""Pictures of single images: local maps add up to the metrics, only what belongs to the results is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.board import build_board
from fusionbench.board.explorer import image_files, may_have_maps, qabf_map, qabf_parts, ssim_map
from fusionbench.board.values import add_labels
from fusionbench.core.errors import DataError
from fusionbench.metrics import get_metric
from fusionbench.metrics.qabf import MAX
from tests.helpers.results import made_up

RNG = np.random.default_rng(5)


def smooth(shape: tuple[int, int] = (40, 48)) -> np.ndarray:
    values = np.cumsum(RNG.normal(0, 6, shape), axis=1) + np.cumsum(RNG.normal(0, 6, shape), axis=0) + 120
    return values.clip(0, 255).astype(np.uint8)


def with_pictures(root: Path, names: tuple[str, ...] = ("alpha", "beta"), images: int = 3) -> Path:
    """Results whose first images have pictures beside them; returns the results' folder."""
    pairs = [(smooth(), smooth()) for _ in range(images)]
    folders = [made_up(root / "results", name, shift=0.1 * n, title=name.title()) for n, name in enumerate(names)]
    for number, (a, b) in enumerate(pairs):
        for place, pixels in (("a", a), ("b", b)):
            save(root / "results" / "fusiondigits" / "sources" / place / f"{number}.png", pixels)
        for n, folder in enumerate(folders):
            save(folder / "fused" / f"{number}.png", np.maximum(a, b) if n else (a // 2 + b // 2))
    return root / "results"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_maps_add_up_to_the_metrics() -> None:
    fused, a, b = smooth(), smooth(), smooth()
    stacks = [plane[None].astype(np.float64) for plane in (fused, a, b)]
    inside = ssim_map(fused, a, b)[5:-5, 5:-5]
    assert inside.mean() == pytest.approx(get_metric("ssim").function(*stacks)[0], abs=1e-9)
    weighted, weights = qabf_parts(fused, a, b)
    assert MAX * weighted.sum() / weights.sum() == pytest.approx(get_metric("qabf").function(*stacks)[0], abs=1e-9)
    assert qabf_map(a, a, a) == pytest.approx(np.ones_like(a, float), abs=1e-9)
    flat = np.full_like(a, 7)
    assert (qabf_map(a, flat, flat) == 1).all(), "nothing to lose"


def test_what_lies_beside_the_results_is_shown(tmp_path: Path) -> None:
    results = with_pictures(tmp_path)
    site = build_board(results, tmp_path / "site", resamples=50).parent
    shown = sorted(str(path.relative_to(site / "pictures")) for path in (site / "pictures").glob("**/*.png"))
    assert len(shown) == 3 * (2 + 2 * 3)
    copied = site / "pictures" / "fusiondigits-1-0-0-test" / "a" / "2.png"
    assert copied.read_bytes() == (results / "fusiondigits" / "sources" / "a" / "2.png").read_bytes()
    data = (site / "data" / "fusiondigits-1-0-0-test" / "scores.js").read_text()
    assert '"sources":[0,1,2]' in data and '"label":"MSE_min"' in data


def test_a_metric_in_two_units_has_two_labels() -> None:
    titled = {"nll_bpd": ("NLL", "bits/dim"), "nll": ("NLL", "nats"), "mse_min": ("MSE_min", "")}
    about: dict[str, dict[str, object]] = {key: {"title": t, "unit": unit} for key, (t, unit) in titled.items()}
    add_labels(about)
    assert [text["label"] for text in about.values()] == ["NLL, bits/dim", "NLL, nats", "MSE_min"]


def test_a_picture_without_its_sources_is_left_out(tmp_path: Path) -> None:
    results = with_pictures(tmp_path)
    (results / "fusiondigits" / "sources" / "b" / "1.png").unlink()
    site = build_board(results, tmp_path / "site", resamples=50).parent
    assert not list((site / "pictures").glob("**/1.png"))


def test_ids_are_names_not_paths(tmp_path: Path) -> None:
    save(tmp_path / "secret.png", smooth())
    save(tmp_path / "fused" / "01.png", smooth())
    assert image_files(tmp_path / "fused", ["../secret", "/etc/passwd", "01"]) == {2: tmp_path / "fused" / "01.png"}


def test_sizes_that_differ_are_refused(tmp_path: Path) -> None:
    for name, shape in (("f", (20, 20)), ("a", (20, 21)), ("b", (20, 20)), ("small", (5, 5))):
        save(tmp_path / f"{name}.png", smooth(shape))
    with pytest.raises(DataError, match="nothing is resized"):
        may_have_maps(*(tmp_path / f"{name}.png" for name in "fab"))
    assert may_have_maps(*[tmp_path / "f.png"] * 3) and not may_have_maps(*[tmp_path / "small.png"] * 3)
    (tmp_path / "f.png").write_text("<svg onload=alert(1)>")
    with pytest.raises(DataError, match="not a PNG"):
        may_have_maps(*[tmp_path / "f.png"] * 3)
