"""The protocol pairs-robust/1: values by hand, methods whose robustness is known, folders of others, wrong options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError, FusionbenchError, SizesDiffer, UsageError
from fusionbench.core.images import encode_png, read_image
from fusionbench.evaluation.evaluate import evaluate
from fusionbench.evaluation.external import score_outputs
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.robust_rows import write_inputs
from fusionbench.evaluation.robustness import degraded_pair
from fusionbench.metrics import get_metric
from fusionbench.results.robustness import Condition
from fusionbench.results.schema import Result
from tests.sources import folders

FEW: dict[str, Any] = {"families": ["shift/1", "gaussian-noise/1"], "severities": [2, 5]}
ROBUST = PROTOCOLS.get("pairs-robust/1")
SHAPES = {"p1": (64, 80), "p2": (72, 60), "p3": (66, 66)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs of different sizes with smooth texture."""
    place, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(3)
    for stem, shape in SHAPES.items():
        for side in ("a", "b"):
            rough = rng.integers(0, 256, shape).astype(np.float64)
            smooth = sum(np.roll(rough, (i, j), (0, 1)) for i in range(4) for j in range(4)) / 16
            smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
            folders.save(place / side / f"{stem}.png", smooth.astype(np.uint8))
    return place


@pytest.fixture(scope="module")
def pairs(root: Path) -> PairSet:
    return open_pairs("pairs", "all", root)


def scored(method: Callable[..., Any], root: Path, **options: Any) -> Result:
    given: dict[str, Any] = {"protocol": "pairs-robust", "out": None, "device": "cpu"}
    return evaluate(method, "pairs", source_dir=root, **given, **{**FEW, **options})


def average(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(np.uint16) + b) // 2).astype(np.uint8)


def test_values_are_those_of_metrics_called_by_hand_on_the_clean_sources(root: Path, pairs: PairSet) -> None:
    result = scored(average, root)
    for index, stem in enumerate(pairs.stems):
        pair, condition = pairs.pair(index), Condition("gaussian-noise/1", 5)
        degraded = degraded_pair(pairs, index, condition)
        assert (degraded != pair).any()
        fused, clean = average(*degraded), average(*pair)
        table = {key: column[index] for key, column in result.images.items()}
        assert table["id"] == stem
        for name in ("qabf", "vif", "ssim"):
            metric = get_metric(name).function
            assert table[f"{name}@clean"] == pytest.approx(metric(clean[None], *pair[:, None])[0], rel=1e-6)
            assert table[f"{name}@{condition}"] == pytest.approx(metric(fused[None], *pair[:, None])[0], rel=1e-6)
        by_field = get_metric("qabf").function(fused[None], *degraded[:, None])[0]
        assert table[f"qabf_seen@{condition}"] == pytest.approx(by_field, rel=1e-6)
        error = np.mean((fused.astype(float) - clean) ** 2)
        assert table[f"psnr_own@{condition}"] == pytest.approx(10 * np.log10(255**2 / error), rel=1e-6)
        own = get_metric("ssim_target").function(fused[None], clean[None])[0]
        assert table[f"ssim_own@{condition}"] == pytest.approx(own, rel=1e-6)
        assert table[f"sf_alone@{condition}"] == pytest.approx(get_metric("sf").function(fused[None])[0], rel=1e-6)


def test_what_is_kept_is_the_quotient_of_means_as_multicorrupt_has_it(root: Path) -> None:
    result = scored(average, root)
    columns = [str(Condition(family, severity)) for family in FEW["families"] for severity in FEW["severities"]]
    mean = {key: np.mean(column) for key, column in result.images.items() if key != "id"}
    kept = {(m, c): mean[f"{m}@{c}"] / mean[f"{m}@clean"] for m in ("qabf", "vif", "ssim") for c in columns}
    assert result["robustness"].mean == pytest.approx(np.mean(list(kept.values())), abs=1e-6)
    shifted = [value for (_, column), value in kept.items() if column.startswith("shift/1")]
    assert result["robustness@shift/1"].mean == pytest.approx(np.mean(shifted), abs=1e-6)
    of_vif = [value for (metric, _), value in kept.items() if metric == "vif"]
    assert result["robustness@vif"].mean == pytest.approx(np.mean(of_vif), abs=1e-6)
    assert result["vif"].mean == pytest.approx(np.mean([mean[f"vif@{column}"] for column in columns]), abs=1e-6)


def test_a_method_that_does_not_look_at_the_harmed_view_keeps_everything(root: Path) -> None:
    result = scored(lambda a, b: b, root)
    assert result["robustness@shift/1"].mean == 1.0  # a shift moves view a alone
    assert result["robustness@gaussian-noise/1"].mean < 0.9  # noise is on both
    own = result.images["psnr_own@shift/1:5"]
    assert (
        own == pytest.approx(10 * np.log10(255**2 * 12), rel=1e-6) and (result.images["ssim_own@shift/1:5"] == 1).all()
    )


def test_damage_rises_with_severity_and_the_field_does_not_see_a_shift(root: Path) -> None:
    result = scored(lambda a, b: a, root)  # a copy of what is moved
    means = {key: np.mean(column) for key, column in result.images.items() if key != "id"}
    assert means["qabf@clean"] > means["qabf@shift/1:2"] > means["qabf@shift/1:5"]
    assert means["qabf_seen@shift/1:5"] > means["qabf@shift/1:5"] + 0.1
    assert means["sf_alone@gaussian-noise/1:5"] > means["sf_alone@clean"]  # and SF rewards noise


def test_a_constant_image_keeps_nothing_and_says_why(root: Path) -> None:
    result = scored(lambda a, b: np.full_like(a, 90), root)
    assert result["robustness@vif"].mean is None and "not above 0" in result["robustness@vif"].reason
    assert result["ssim"].mean is not None


def test_jobs_and_limits_do_not_change_a_pair(root: Path) -> None:
    import torch

    whole = scored(average, root)
    try:
        torch.set_num_threads(2)
        few = scored(average, root, limit=2)
    finally:
        torch.set_num_threads(1)
    for key in ("qabf@clean", "vif@shift/1:5", "qabf_seen@gaussian-noise/1:2"):
        assert few.images[key].tolist() == whole.images[key][:2].tolist()


def test_folders_of_fused_images_have_the_scores_of_the_method_that_made_them(
    root: Path, pairs: PairSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ROBUST.options(**FEW)
    inputs = write_inputs(pairs, options.conditions, tmp_path / "inputs")
    made = tmp_path / "fused"
    for folder in sorted(inputs.iterdir()):
        for path in sorted((folder / "a").iterdir()):
            a, b = (read_image(inputs / folder.name / side / path.name).grey() for side in "ab")
            (made / folder.name).mkdir(parents=True, exist_ok=True)
            (made / folder.name / path.name).write_bytes(encode_png(average(a, b)))
    suite = tmp_path / "mine.toml"
    suite.write_text(
        'format = "fusionbench.suite/1"\nname = "mine"\ntitle = "Mine"\ndataset = "pairs"\nsplit = "all"\n'
        '[protocol]\nname = "pairs-robust/1"\nfamilies = ["shift/1", "gaussian-noise/1"]\nseverities = [2, 5]\n'
        '[[models]]\nname = "average"\n'
    )
    about: dict[str, Any] = {"name": "theirs", "out": tmp_path / "results", "jobs": 1}
    theirs = score_outputs(suite, root / "a", root / "b", made, **about)
    ours = scored(average, root)
    assert theirs.status == "scored" and theirs.identity.protocol == ours.identity.protocol
    for key, score in ours.scores.items():
        assert theirs[key].mean == pytest.approx(score.mean, abs=1e-9), key
    assert score_outputs(suite, root / "a", root / "b", made, **about).provenance == theirs.provenance  # found again
    (made / "clean" / "p1.png").write_bytes(encode_png(np.zeros((8, 8), np.uint8)))
    with pytest.raises(SizesDiffer, match=r"p1: the fused image has 8×8 pixels, its sources 64×80"):
        score_outputs(suite, root / "a", root / "b", made, **about)
    (made / "clean" / "p1.png").unlink()
    with pytest.raises(DataError, match="1 of 3 pairs have no image here: p1"):
        score_outputs(suite, root / "a", root / "b", made, **about)
    (made / "shift-1-severity-5").rename(tmp_path / "away")
    with pytest.raises(DataError, match="1 of 5 folders of fused images are not here: shift-1-severity-5"):
        score_outputs(suite, root / "a", root / "b", made, **about)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"families": ["shfit/1"]}, "Did you mean 'shift/1'"),
        ({"families": []}, "families: empty"),
        ({"families": ["shift/1", "shift/1"]}, "twice"),
        ({"severities": [9]}, "no severity 9"),
        ({"severities": [0]}, "no severity 0"),
        ({"severities": []}, "severities: empty"),
        ({"metrics": ["sf"]}, "sf cannot be put in relation"),
        ({"metrics": ["nabf"]}, "nabf cannot be put in relation"),
        ({"metrics": ["nothing"]}, "Unknown metric"),
        ({"seen": ["vif"], "metrics": ["qabf"]}, "seen: vif is not among the metrics qabf"),
        ({"families": "shift/1"}, "families"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        ROBUST.options(**options)
    assert "\n" not in str(caught.value)


def test_a_picture_without_room_for_the_damage_is_one_line_with_its_name(tmp_path: Path) -> None:
    for side in ("a", "b"):
        folders.save(tmp_path / side / "tiny.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(FusionbenchError, match=r"^tiny: shift/1: moves a view") as caught:
        scored(average, tmp_path, severities=[5])
    assert "\n" not in str(caught.value)


def test_a_sheet_of_the_first_pair_is_kept_where_somebody_asks(root: Path, pairs: PairSet, tmp_path: Path) -> None:
    from fusionbench.models import create_model

    options = ROBUST.options(**FEW, limit=1)
    data = ROBUST.open("pairs", options, source_dir=root)
    model = create_model("average", ROBUST.spec(data))
    result = ROBUST.evaluate(model, data, options, out=tmp_path, device="cpu", keep_images=True)
    (name,) = result.pictures.values()
    assert (result.folder(tmp_path) / name).read_bytes().startswith(b"\x89PNG")
    assert not ROBUST.evaluate(model, data, options, out=None, device="cpu").pictures
