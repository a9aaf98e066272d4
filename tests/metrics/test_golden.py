"""Every dialect against the output of the evaluator that it is named after, on six real triples.

Tolerances are relative: 1e-9 for float64 Python and 1e-7 for MATLAB code run in Octave; those above have a reason
beside them. ``standard/1`` is held to the same numbers where the definitions coincide.

``tests/golden/metrics.json`` holds our own values of every metric in every dialect on a made scene, so that a change
of any value shows as a diff; ``--regen`` rewrites it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fusionbench.metrics import get_metric, list_metrics
from fusionbench.metrics.dialects import DIALECTS
from tests.metrics.scenes import Golden, centre, scene

CDDFUSE = "CDDFuse Evaluator.py (pinned py3.8 env, float64"
SHIPPED = "CDDFuse Evaluator.py (pinned py3.8 env, float32"
LINFENG = "Linfeng-Tang/Evaluation-for-Image-Fusion *.m @0e87153"
VIFB, GTF, RFN, LIU, ZOO = "xingchenzhang/VIFB", "jiayi-ma/GTF", "hli1221", "zhengliu6699", "IVIF_ZOO"
VIFVEC = "thfylsty VIF/VIF/vifvec.m"
SINGLE = 1e-3  # the original computes in float32 on images of 0..65025

CASES = [
    *((CDDFUSE, theirs, "cddfuse", ours, 1e-9) for theirs, ours in (
        ("EN", "en"), ("SD", "sd"), ("SF", "sf"), ("AG", "ag"), ("MI", "mi"), ("MSE", "mse"), ("PSNR", "psnr"),
        ("CC", "cc"), ("SCD", "scd"), ("VIFF", "vif"), ("Qabf", "qabf"), ("SSIM", "ssim"))),
    *((SHIPPED, theirs, "cddfuse", ours, 2e-5) for theirs, ours in (
        ("EN", "en"), ("SD", "sd"), ("SF", "sf"), ("MI", "mi"), ("SCD", "scd"), ("VIFF", "vif"), ("Qabf", "qabf"),
        ("SSIM", "ssim"))),
    *((VIFB, theirs, "vifb", ours, 1e-7) for theirs, ours in (
        ("Avg_gradient", "ag"), ("Entropy", "en"), ("Mutinf", "mi"), ("Psnr", "psnr"), ("Qabf", "qabf"),
        ("Qcb", "qcb"), ("Qcv", "qcv"), ("Spatial_frequency", "sf"), ("Ssim", "ssim"), ("Variance", "sd"),
        ("Cross_entropy", "ce"), ("Edge_intensity", "ei"), ("Rmse", "rmse"))),
    *((LINFENG, theirs, "linfeng", ours, 1e-7) for theirs, ours in (
        ("AG", "ag"), ("CC", "cc"), ("EN", "en"), ("MI", "mi"), ("MSE", "mse"), ("PSNR", "psnr"), ("Qabf", "qabf"),
        ("SCD", "scd"), ("SD", "sd"), ("SF", "sf"), ("VIF", "vif"), ("Nabf_as_called", "nabf"))),
    (LINFENG, "SD_uint8_saturating", "linfeng-2022", "sd", 1e-7),
    (LINFENG, "VIF_uint8_saturating", "linfeng-2022", "vif", 1e-7),
    (LINFENG, "Nabf_correct_order_255scale", "standard/1", "nabf", 1e-7),
    (LINFENG, "VIF", "standard/1", "vif", 1e-7),
    *((RFN, theirs, "rfn-nest", ours, 1e-7) for theirs, ours in (
        ("EN", "en"), ("MI", "mi"), ("SCD", "scd"), ("SD", "sd"))),
    (RFN, "Nabf", "rfn-nest", "nabf", 1e-12),
    *((GTF, theirs, "gtf", ours, 1e-7) for theirs, ours in (
        ("EN", "en"), ("MI", "mi"), ("Qabf", "qabf"), ("SD", "sd"), ("SF", "sf"))),
    (GTF, "Q_G", "gtf-qg", "qabf", 1e-7),
    *((LIU, theirs, "liu-2012", ours, tolerance) for theirs, ours, tolerance in (
        ("Q_MI", "nmi", 1e-7), ("VIFF_Han2013", "viff", 1e-7), ("Q_CV", "qcv", 1e-7), ("Q_CB", "qcb", 1e-7),
        ("Q_P", "qp", 1e-7), ("Q_Y", "qy", 1e-4),  # Q_Y: noise over noise in nearly flat windows
        ("Q_TE", "qte", 1e-12), ("Q_NCIE", "qncie", 1e-12), ("Q_S", "qs", 1e-12), ("Q_W", "qw", 1e-12),
        ("Q_E", "qe", 1e-12), ("Q_M", "qm", 1e-12), ("Q_G", "qg", 1e-9), ("Q_SF", "qsf", 1e-12),
        ("Q_C", "qc", 2e-2))),  # Q_C: signs of noise in flat windows; without any of these 1e-12, below
    *((ZOO, theirs, "ivif-zoo", ours, tolerance) for theirs, ours, tolerance in (
        ("AG", "ag", 1e-4), ("CC", "cc", 1e-4), ("EN", "en", 1e-4), ("MI", "mi", 1e-4), ("MSE", "mse", 1e-4),
        ("EI", "ei", 1e-6),
        ("NMI", "nmi", 1e-4), ("Nabf", "nabf", 1e-4), ("PSNR", "psnr", 1e-4), ("Qabf", "qabf", 1e-4),
        ("SCD", "scd", 1e-4), ("SD", "sd", 1e-4), ("SF", "sf", 1e-4), ("VIF", "vif", SINGLE), ("SSIM", "ssim", SINGLE),
        ("MS_SSIM", "ms_ssim", SINGLE))),
    ("torchmetrics 1.9.0", "VIF_sum", "standard/1", "vif", 1e-9),
    ("sewar", "VIFp_sum", "standard/1", "vif", 1e-9),
    ("piq 0.8.0", "VIFp_sum", "standard/1", "vif", 1e-4),
    (VIFVEC, "VIF_vifvec_255scale_sum", "standard/1", "vif_wavelet", 1e-10),
    (LINFENG, "MEF_MS_SSIM", "standard/1", "mef_ms_ssim", 1e-12),
    # one benchmark's code for its metrics is that of the two toolkits whose numbers are at hand
    *((VIFB, theirs, "mefb", ours, 1e-7) for theirs, ours in (
        ("Avg_gradient", "ag"), ("Entropy", "en"), ("Psnr", "psnr"), ("Qabf", "qabf"), ("Qcb", "qcb"),
        ("Qcv", "qcv"), ("Spatial_frequency", "sf"), ("Variance", "sd"))),
    *((LIU, theirs, "mefb", ours, tolerance) for theirs, ours, tolerance in (
        ("Q_MI", "nmi", 1e-7), ("VIFF_Han2013", "viff", 1e-7), ("Q_Y", "qy", 1e-4))),
    (VIFVEC, "VIF_vifvec_255scale_sum", "pyiqa", "vif_wavelet", 1e-10),
]  # fmt: skip


@pytest.fixture(scope="module")
def golden(real_data: Path) -> Golden:
    return Golden(real_data)


@pytest.mark.data
@pytest.mark.parametrize(("implementation", "theirs", "dialect", "ours", "tolerance"), CASES)
def test_dialect_gives_the_evaluators_number(
    golden: Golden, implementation: str, theirs: str, dialect: str, ours: str, tolerance: float
) -> None:
    expected = golden.values(implementation, theirs)
    assert expected, "no such row in the golden file"
    metric = get_metric(ours, dialect)
    for case, value in expected.items():
        images = golden.images(case)
        found = metric.function(*(images[:1] if metric.needs == "fused" else images))[0]
        assert found == pytest.approx(value, rel=tolerance, abs=0), case


@pytest.mark.data
def test_qabf_on_the_unit_scale_as_octave_adds(golden: Golden) -> None:
    """The same script in Octave, whose conv2 adds in another order than MATLAB's: 1e-4 to 1e-3 from `linfeng-2022`."""
    from fusionbench.metrics.qabf import qabf

    expected = golden.values(LINFENG, "Qabf_01scale")
    assert len(expected) == 6
    for case, value in expected.items():
        images = golden.images(case)
        found = qabf(*images, border="zero", ties="fused", unit=True, order="octave")[0]
        assert found == pytest.approx(value, rel=1e-12), case
        assert get_metric("qabf", "linfeng-2022").function(*images)[0] == pytest.approx(value, abs=1e-3)


@pytest.mark.data
@pytest.mark.slow
def test_a_workbook_from_matlab(golden: Golden, real_data: Path) -> None:
    """Nine methods, 25 pairs, eleven metrics, as the authors of `linfeng-2022` computed them in MATLAB: 2,475 cells.

    VIF in 8-bit arithmetic is no better than 5e-8 in the original: where products saturate, variances are rounding
    errors, and a gain is divided by them.
    """
    import csv

    from fusionbench.core.images import images_in, read_image
    from fusionbench.metrics.engine import SourcePair

    with (golden.folder / "metric_tno_matlab.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("method", "stem")]
    fused = {method: images_in(real_data / "fused" / method / "tno") for method in {row["method"] for row in rows}}
    sources = [images_in(real_data / "tno" / side) for side in ("ir", "vi")]
    cells = 0
    for stem in sorted({row["stem"] for row in rows}):
        a, b = (read_image(files[stem]).grey()[None] for files in sources)
        pair = SourcePair(a, b, names, "linfeng-2022")
        for row in (row for row in rows if row["stem"] == stem):
            found = pair.score(read_image(fused[row["method"]][stem]).grey()[None])
            for name in names:
                tolerance = 5e-8 if name == "vif" else 1e-11
                assert found[name][0] == pytest.approx(float(row[name]), rel=tolerance), (row["method"], stem, name)
                cells += 1
    assert cells == 2475


def test_qc_without_flat_windows(golden: Golden) -> None:
    """The only triple on which the original has a value that no rounding error decides."""
    case = "o4_tno42_seaf34"
    found = get_metric("qc", "liu-2012").function(*golden.images(case))[0]
    assert found == pytest.approx(golden.values(LIU, "Q_C")[case], rel=1e-12)


# what the records say of their exploits: means over the centre 160×160 of the six triples
EXPLOITS = {
    "ce": {"fused": 0.98, "constant": -0.03, "black": -0.06, "16 levels": -0.16},
    "qncie": {"fused": 0.81, "copy of a": 0.85, "copy of b": 0.85},
    "qte": {"fused": 0.027, "copy of a": 0.041, "copy of b": 0.041},
    "qc": {"fused": 0.70, "copy of a": 0.82, "copy of b": 0.77, "larger": 0.81},
    "qs": {"fused": 0.67, "average": 0.68, "sharpened": 0.71},
    "qw": {"fused": 0.72, "larger": 0.73},
    "qe": {"fused": 0.48, "larger": 0.53, "sharpened": 0.50},
    "qm": {"fused": 0.13, "copy of a": 0.58, "copy of b": 0.49, "larger": 0.50},
    "qg": {"fused": 0.44, "copy of a": 0.60, "twice the contrast": 0.52},
    "qsf": {"fused": 0.32, "twice the contrast": 0.12},
    "labf": {"fused": 0.16, "noise": 0.20},
    "fmi_edge": {"fused": 0.85, "constant": 0.88},
    "fmi_dct": {"fused": 0.31, "average": 0.39},
    "fmi_wavelet": {"fused": 0.37, "larger": 0.48},
}


def trivial(name: str, fused: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    average = (a.astype(float) + b) / 2
    rows = {
        "fused": fused,
        "copy of a": a,
        "copy of b": b,
        "average": average,
        "larger": np.maximum(a, b),
        "constant": np.full(a.shape, 128.0),
        "black": 0 * average,
        "noise": np.random.default_rng(0).integers(0, 256, a.shape),
        "twice the contrast": (average - average.mean()) * 2 + 128,
        "sharpened": average + 2 * (average - gaussian_filter(average, (0, 1, 1), mode="mirror")),
        "16 levels": fused // 16 * 16,
    }
    return np.clip(np.rint(rows[name]), 0, 255).astype(np.uint8)


@pytest.mark.data
@pytest.mark.parametrize("name", EXPLOITS)
def test_exploits_score_what_the_records_say(golden: Golden, name: str) -> None:
    triples = [
        [np.ascontiguousarray(centre(x, 160)) for x in golden.images(case)] for case in golden.values(LIU, "Q_S")
    ]
    metric = get_metric(name)
    for row, value in EXPLOITS[name].items():
        found = np.mean([metric.function(trivial(row, *images), *images[1:])[0] for images in triples])
        assert found == pytest.approx(value, abs=0.0005 if value < 0.05 and name == "qte" else 0.0055), row


@pytest.mark.data
@pytest.mark.parametrize("feature", ["none", "gradient", "dct"])
def test_fmi_on_centre_crops(golden: Golden, feature: str) -> None:
    from fusionbench.metrics.fmi import fmi

    expected = golden.values("GTF fmi.m", f"FMI_{feature}_w3")
    assert expected
    for case, value in expected.items():
        crops = [np.ascontiguousarray(centre(image)) for image in golden.images(case)]
        ours = "pixel" if feature == "none" else feature
        assert fmi(*crops, feature=ours)[0] == pytest.approx(value, rel=1e-9), case


@pytest.mark.data
@pytest.mark.parametrize(
    ("parameters", "theirs"),
    [
        ({"over": "sum"}, "SSIM_gauss11_L255_sum"),
        ({"over": "sum", "window": "uniform", "size": 7, "sample": True}, "SSIM_uniform7_L255_sum"),
    ],
)
def test_ssim_of_scikit_image(golden: Golden, parameters: dict[str, object], theirs: str) -> None:
    from fusionbench.metrics.ssim import ssim

    expected = golden.values("scikit-image 0.19.2", theirs)
    assert expected
    for case, value in expected.items():
        assert ssim(*golden.images(case), **parameters)[0] == pytest.approx(value, rel=1e-9), case


@pytest.mark.data
def test_wavelet_vif_on_the_unit_scale(golden: Golden) -> None:
    from fusionbench.metrics.vif_wavelet import vif_wavelet

    expected = golden.values(VIFVEC, "VIF_vifvec_01scale_mean")
    assert expected
    for case, value in expected.items():
        assert vif_wavelet(*golden.images(case), over="mean", unit=True)[0] == pytest.approx(value, rel=1e-10), case


@pytest.mark.data
def test_degenerate_cases_of_cddfuse(golden: Golden) -> None:
    """Where the evaluator gives a number on flat or tiny images, so do we (float32 there); NaN stays NaN."""
    import json

    from PIL import Image

    rows = json.loads((golden.folder / "golden_edge.json").read_text())["rows"]
    names = {"EN": "en", "SD": "sd", "SF": "sf", "MI": "mi", "CC": "cc", "VIFF": "vif", "Qabf": "qabf", "SSIM": "ssim"}
    seen = 0
    for row in rows:
        if row["metric"] not in names or (row["case"] == "e6_40x40" and row["metric"] == "VIFF"):
            continue  # below 41 pixels VIF is refused
        folder = golden.folder / "edge" / row["case"]
        images = [np.asarray(Image.open(path).convert("L"))[None] for path in (sorted_paths(folder))]
        metric = get_metric(names[row["metric"]], "cddfuse")
        found = metric.function(*(images[:1] if metric.needs == "fused" else images))[0]
        if row["value"] is None:
            assert not np.isfinite(found), row
        else:
            assert found == pytest.approx(row["value"], rel=2e-5, abs=2e-5), row
        seen += 1
    assert seen > 50


def sorted_paths(folder: Path) -> list[Path]:
    """Files of fused, a, b."""
    return [next(path for path in sorted(folder.iterdir()) if path.stem.lower().startswith(name)) for name in "fab"]


OWN = Path(__file__).parents[1] / "golden" / "metrics.json"


def own_values() -> dict[str, dict[str, float]]:
    """Dialect -> metric -> value on a made scene of 180×190 pixels, which every metric can score."""
    images = [image[None] for image in scene(7, (180, 190))]
    names = {"standard/1": [n for n in list_metrics() if get_metric(n).needs in ("pair", "fused", "target")]}
    names |= {dialect.name: list(dialect.metrics) for dialect in DIALECTS.values()}
    count = {"fused": 1, "target": 2, "pair": 3}
    return {
        dialect: {
            name: float(metric.function(*images[: count[metric.needs]])[0])
            for name in sorted(chosen)
            for metric in [get_metric(name, dialect)]
        }
        for dialect, chosen in names.items()
    }


def test_own_values_have_not_moved(regen: bool) -> None:
    """1e-9 relative between machines; a version must be raised with any larger change."""
    found = own_values()
    if regen:
        OWN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    expected = json.loads(OWN.read_text())
    assert {d: set(v) for d, v in found.items()} == {d: set(v) for d, v in expected.items()}
    for dialect, values in expected.items():
        assert found[dialect] == pytest.approx(values, rel=1e-9, abs=1e-12), dialect
