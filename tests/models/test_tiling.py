"""Tiles: equal to the whole image where the model sees only so far, blended and told where it does not; any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import Batch, ImageSpec, Preset
from fusionbench.models import MODELS, create_model
from fusionbench.models.fusing_memory import pairs_as_batch
from fusionbench.models.tiling import MEMORY, _axis, fuse_any_size, plan_tiles
from tests.helpers.pairs import SMALLEST, smallest

SPEC = ImageSpec(1, 64, 64, 2)


def models_of_pairs() -> dict[str, torch.nn.Module]:
    """Every registered model of pairs, at its smallest."""
    found = {}
    for name in MODELS.names():
        cls = MODELS.get(name)
        if not hasattr(cls, "combine"):
            continue
        less = {"levels": 4} if name == "exposure-fusion" else {}  # nine see 2,000 pixels far, and tiles twice that
        found[name] = (smallest(cls) if cls in SMALLEST else create_model(name, SPEC, **less)).eval()
    return found


PAIR_MODELS = models_of_pairs()
LOCAL = sorted(name for name, model in PAIR_MODELS.items() if getattr(model, "receptive_radius", None) is not None)


def scene(height: int, width: int, count: int = 1, seed: int = 0) -> Tensor:
    """Pairs with edges, textures and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    a = 0.5 + 0.3 * np.sin(x / 5 + y / 9) * (x % 64 < 40)
    b = 0.4 + 0.3 * np.cos(y / 4) * (y % 48 < 30)
    views = np.stack([a, b])[None, :, None] + rng.normal(0, 0.03, (count, 2, 1, height, width))
    return torch.from_numpy(views).float().clamp(0, 1)


class Reach(torch.nn.Module):
    """The mean over a box of the first view plus a term that depends on how far the tile reaches: a global model."""

    title, reference, version, PRESETS = "reach", "test", "1", {"default": Preset(note="test")}

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight, self.sizes = weight, []

    def fuse(self, batch: Batch) -> Tensor:
        self.sizes.append((len(batch), *batch.views.shape[3:]))
        return (batch.views[:, 0] + self.weight * batch.views[:, 1].mean()).clamp(0, 1)


def test_what_is_declared_local() -> None:
    expected = {"copy-a", "copy-b", "average", "laplacian-pyramid", "contrast-pyramid", "guided-filter"}
    assert {*expected, "cbf", "wavelet", "mfeif"} <= set(LOCAL)
    assert not {"dae-fuse", "gtf", "jsr-sd"} & set(LOCAL), "attention, a global minimum and a learned dictionary"


@pytest.mark.parametrize("name", LOCAL)
def test_a_pixel_reaches_no_further_than_declared(name: str) -> None:
    model = PAIR_MODELS[name]
    radius = model.receptive_radius
    reach, size = -1, 2 * radius + 41
    for trial in range(4):
        views = scene(size, size, seed=trial)
        other, centre = views.clone(), size // 2 + trial
        other[0, :, 0, centre, centre] = 1 - other[0, :, 0, centre, centre]
        changed = (model.fuse(pairs_as_batch(views)) - model.fuse(pairs_as_batch(other))).abs()[0, 0] > 1e-6
        where = changed.nonzero()
        if len(where):
            reach = max(reach, int((where - centre).abs().max()))
    assert 0 <= reach <= radius


@pytest.mark.parametrize("name", LOCAL)
def test_tiles_equal_the_whole_image(name: str) -> None:
    """Odd sizes, tiles that begin inside a block of the subsampling, and two pairs."""
    model = PAIR_MODELS[name]
    step = getattr(model, "tile_multiple", 1)
    side = 2 * model.receptive_radius + 64 + 2 * step + 1
    views = scene(side + 13, 2 * side + 7, count=2)
    plan = plan_tiles(model, *views.shape[3:], tile=side)
    assert plan.count >= 4 and max(plan.largest) <= side
    assert all(begin % step == 0 for begin, _ in (*plan.rows, *plan.columns))
    tiled, whole = fuse_any_size(model, views, tile=side), fuse_any_size(model, views, tile="none")
    assert torch.equal(whole, model.fuse(pairs_as_batch(views)))
    assert float((tiled - whole).abs().max()) < 2e-6, "a 2000th of a grey level"


def test_a_margin_that_is_too_small_shows() -> None:
    """The check above can fail: half the declared radius gives seams."""
    model = create_model("guided-filter", SPEC)
    views = scene(300, 320)
    whole = fuse_any_size(model, views, tile="none")

    class Short(type(model)):  # type: ignore[misc]
        receptive_radius = 20

    model.__class__ = Short
    assert float((fuse_any_size(model, views, tile=120) - whole).abs().max()) > 1e-3


def test_tiles_out_of_phase_show() -> None:
    """Why tiles begin at multiples: a pyramid whose tiles begin anywhere gives another image."""
    model = create_model("laplacian-pyramid", SPEC)
    views = scene(200, 300)
    whole = model.fuse(pairs_as_batch(views))[..., 90:110, 95:205]
    moved = model.fuse(pairs_as_batch(views[..., 5:, 5:]))[..., 85:105, 90:200]
    assert float((moved - whole).abs().max()) > 1e-3
    aligned = model.fuse(pairs_as_batch(views[..., 16:, 16:]))[..., 74:94, 79:189]
    assert float((aligned - whole).abs().max()) < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (613, 2), (97, 401)])
def test_weights_add_up_to_one_and_tiles_cover_everything(size: tuple[int, int]) -> None:
    for model in (Reach(), PAIR_MODELS["cbf"], PAIR_MODELS["laplacian-pyramid"]):
        plan = plan_tiles(model, *size, tile=176)
        for length, spans in zip(size, (plan.rows, plan.columns), strict=True):
            total = torch.zeros(length, dtype=torch.float64)
            for (begin, end), weight in _axis(spans, plan):
                assert end - begin <= 176 and float(weight.min()) >= 0
                total[begin:end] += weight
            assert torch.allclose(total, torch.ones_like(total), atol=1e-12, rtol=0)


def test_images_of_one_pixel_width() -> None:
    for name in ("average", "cbf", "laplacian-pyramid"):
        model, views = PAIR_MODELS[name], scene(1, 900)
        whole = fuse_any_size(model, views, tile="none")
        assert float((fuse_any_size(model, views, tile=256) - whole).abs().max()) < 2e-6


def test_a_global_model_is_blended_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The mean of the second view differs between left and right: 0 and 1, weighted by 0.2."""
    views = torch.full((1, 2, 1, 64, 400), 0.5)
    views[:, 1, ..., :200], views[:, 1, ..., 200:] = 0, 1
    fused = fuse_any_size(Reach(0.2), views, tile=248)[0, 0]
    line = capsys.readouterr().err
    # tiles 0..248 and 152..400: means of 48/248 and 200/248
    expected = 0.2 * (200 - 48) / 248
    assert f"{255 * expected:.2g} at most" in line and f"{255 * expected:.2g} grey levels on average" in line
    assert line.count("\n") == 1 and "64×400 pixels were fused in 2 tiles of up to 64×248" in line
    assert fused[0, 0] == pytest.approx(0.5 + 0.2 * 48 / 248) and fused[0, -1] == pytest.approx(0.5 + 0.2 * 200 / 248)
    steps = (fused[0, 1:] - fused[0, :-1]).abs()
    assert float(steps.max()) < expected * 1.6 / 64, "blended over 64 pixels, nowhere a step"


def test_a_local_model_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    fuse_any_size(PAIR_MODELS["cbf"], scene(64, 300), tile=128)
    assert "grey level" not in capsys.readouterr().err


def test_memory_decides_and_only_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Reach()
    model.bytes_per_pixel = 10_000  # type: ignore[assignment]
    small, large = plan_tiles(model, 400, 500), plan_tiles(model, 2000, 3000)
    assert not small.tiled and large.tiled
    height, width = large.largest
    assert 10_000 * height * width <= MEMORY < 2 * 10_000 * (height + 256) * (width + 256)
    half = plan_tiles(model, 2000, 3000, memory=MEMORY // 2)
    assert half.count > large.count
    monkeypatch.setattr("psutil.virtual_memory", lambda: pytest.fail("free memory must not matter"))
    assert plan_tiles(model, 2000, 3000) == large
    with pytest.raises(UsageError, match=r"even in tiles of .*allow more memory"):
        plan_tiles(model, 2000, 3000, memory=1 << 20)


def test_pairs_are_fused_one_by_one() -> None:
    model = Reach(0.3)
    views = scene(50, 300, count=3)
    together = fuse_any_size(model, views, tile=192)
    assert {count for count, *_ in model.sizes} == {1}
    for index in range(3):
        assert torch.equal(fuse_any_size(model, views[index : index + 1], tile=192)[0], together[index])
    assert fuse_any_size(model, views[:0]).shape == (0, 1, 50, 300)
    assert fuse_any_size(model, views.double()).dtype == torch.float32


def test_bad_input_is_one_line() -> None:
    model, views = Reach(), scene(40, 300)
    for wrong in (views[:, :1], views[0], (views * 255).byte(), views.expand(1, 2, 3, 40, 300)):
        with pytest.raises(UsageError, match=r"pairs are floats \(N,2,1,H,W\)"):
            fuse_any_size(model, wrong)
    for value in (1.5, -0.1, float("nan")):
        bad = views.clone()
        bad[0, 0, 0, 3, 3] = value
        with pytest.raises(DataError, match="fusing needs 0 to 1"):
            fuse_any_size(model, bad)
    with pytest.raises(DataError, match="nothing to fuse"):
        fuse_any_size(model, views[..., :0])
    for tile in ("all", 2.5, True):
        with pytest.raises(UsageError, match="is not 'auto', 'none' or a number"):
            fuse_any_size(model, views, tile=tile)  # type: ignore[arg-type]
    for tile in (0, -4, 150):
        with pytest.raises(UsageError, match="too small for its margins: use 160 or more"):
            fuse_any_size(model, views, tile=tile)


def test_a_model_that_changes_the_size_is_refused() -> None:
    model = Reach()
    model.fuse = lambda batch: batch.views[:, 0, :, :-1]  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"reach makes \(1, 1, 39, 300\) of a pair of 40×300"):
        fuse_any_size(model, scene(40, 300))
