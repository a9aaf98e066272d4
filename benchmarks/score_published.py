"""Score the fused images that authors published for TNO (25 pairs) and VIFB (21 pairs) as rows: values, no images.

    python benchmarks/score_published.py DATA [--only tno|vifb] [--out benchmarks/results]

DATA has the sources and images: ``tno/ir``, ``tno/vi`` and ``fused/METHOD/tno/STEM.png``; ``vifb/IR``, ``vifb/VI`` and
``vifb/fused/STEM_METHOD.jpg``. Every set is checked before it is scored: an image for each pair, of the size of its
sources, grey or with usable luma, and in the right order, which the gradients show. A set that fails is left out and
named with its reason. The same files give the same scores and ids; rows of methods below ``--out`` that were scored
from other files are removed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.core.images import read_image
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.pairs import PairsProtocol, score_fused_images
from fusionbench.results.full_range import count_full_range
from fusionbench.results.schema import Result, load_per_image, save

TNO = {
    "CDDFuse": ("Zhao et al., CDDFuse, CVPR 2023", "MMIF-CDDFuse"),
    "DenseFuse": ("Li and Wu, DenseFuse, IEEE TIP 2019", "Image-Fusion"),
    "DIDFuse": ("Zhao et al., DIDFuse, IJCAI 2020", "fusion_metric"),
    "FusionGAN": ("Ma et al., FusionGAN, Information Fusion 2019", "Image-Fusion"),
    "GTF": (
        "Ma et al., Infrared and visible image fusion via gradient transfer, Information Fusion 2016",
        "fusion_metric",
    ),
    "IFCNN": ("Zhang et al., IFCNN, Information Fusion 2020", "Image-Fusion"),
    "PIAFusion": ("Tang et al., PIAFusion, Information Fusion 2022", "Image-Fusion"),
    "PMGI": ("Zhang et al., PMGI, AAAI 2020", "Image-Fusion"),
    "RFN-Nest": ("Li et al., RFN-Nest, Information Fusion 2021", "Image-Fusion"),
    "SDNet": ("Zhang and Ma, SDNet, IJCV 2021", "Image-Fusion"),
    "SeAFusion": ("Tang et al., SeAFusion, Information Fusion 2022", "Image-Fusion"),
    "SwinFusion": ("Ma et al., SwinFusion, IEEE/CAA JAS 2022", "fusion_metric"),
    "U2Fusion": ("Xu et al., U2Fusion, IEEE TPAMI 2022", "Image-Fusion"),
    "UMF-CMGR": ("Wang et al., UMF-CMGR, IJCAI 2022", "fusion_metric"),
}
REPOSITORIES = {
    "MMIF-CDDFuse": "Zhaozixiang1228/MMIF-CDDFuse",
    "Image-Fusion": "Linfeng-Tang/Image-Fusion",
    "fusion_metric": "mark-bear/fusion_metric",
}
VIFB = {
    "ADF": "Bavirisetti and Dhuli, anisotropic diffusion and Karhunen-Loeve transform, IEEE Sensors Journal 2016",
    "CBF": "Kumar, cross bilateral filter, Signal, Image and Video Processing 2015",
    "CNN": "Liu et al., convolutional neural networks, IJWMIP 2018",
    "DLF": "Li et al., a deep learning framework, ICPR 2018",
    "FPDE": "Bavirisetti et al., fourth order partial differential equations, FUSION 2017",
    "GFCE": "Zhou et al., guided filter and context enhancement, Applied Optics 2016",
    "GFF": "Li et al., guided filtering, IEEE TIP 2013",
    "GTF": "Ma et al., gradient transfer and total variation, Information Fusion 2016",
    "HMSD_GF": "Zhou et al., hybrid multi-scale decomposition with guided filter, Applied Optics 2016",
    "Hybrid_MSD": "Zhou et al., hybrid multi-scale decomposition, Information Fusion 2016",
    "IFCNN": "Zhang et al., IFCNN, Information Fusion 2020",
    "IFEVIP": "Zhang et al., infrared feature extraction, Infrared Physics & Technology 2017",
    "LP_SR": "Liu et al., Laplacian pyramid and sparse representation, Information Fusion 2015",
    "LatLRR": "Li and Wu, latent low-rank representation, arXiv 2018",
    "MGFF": "Bavirisetti et al., multi-scale guided image filtering, Circuits, Systems, and Signal Processing 2019",
    "MSVD": "Naidu, multi-resolution singular value decomposition, Defence Science Journal 2011",
    "NSCT_SR": "Liu et al., contourlet transform and sparse representation, Information Fusion 2015",
    "RP_SR": "Liu et al., ratio of low-pass pyramid and sparse representation, Information Fusion 2015",
    "ResNet": "Li et al., ResNet and zero-phase component analysis, Infrared Physics & Technology 2019",
    "SeAFusion": "Tang et al., SeAFusion, Information Fusion 2022",
    "SwinFusion": "Ma et al., SwinFusion, IEEE/CAA JAS 2022",
    "TIF": "Bavirisetti and Dhuli, two-scale fusion and saliency, Infrared Physics & Technology 2016",
    "U2Fusion": "Xu et al., U2Fusion, IEEE TPAMI 2022",
    "VSMWLS": "Ma et al., visual saliency map and weighted least squares, Infrared Physics & Technology 2017",
    "YDTR": "Tang et al., YDTR, IEEE TMM 2023",
}


@dataclass(frozen=True)
class Published:
    """The images of one method: files by stem, and where they are from."""

    name: str
    note: str
    files: Mapping[str, Path]


def published_on_tno(data: Path) -> Iterator[Published]:
    """Every method with a folder; one that the table does not know has no citation and is an error."""
    for folder in sorted((data / "fused").iterdir()):
        paper, repository = TNO[folder.name]
        note = f"{paper}; images published in {REPOSITORIES[repository]}"
        yield Published(folder.name, note, {path.stem: path for path in sorted((folder / "tno").iterdir())})


def published_on_vifb(data: Path) -> Iterator[Published]:
    """Every method of ``STEM_METHOD.jpg``; a stem has no underscore, a method may."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted((data / "vifb" / "fused").iterdir()):
        stem, _, method = path.stem.partition("_")
        found.setdefault(method, {})[stem] = path
    for method, files in sorted(found.items()):
        yield Published(method, f"{VIFB[method]}; images published in xingchenzhang/VIFB", files)


def steepness(image: np.ndarray) -> np.ndarray:
    """Size of the gradient of a grey image, as a unit vector of mean zero."""
    down, right = np.gradient(image.astype(np.float32))
    size = np.hypot(down, right).ravel()
    size -= size.mean()
    return size / max(float(np.linalg.norm(size)), 1e-9)


def check(one: Published, pairs: PairSet, edges: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> tuple[str, str]:
    """Why a set cannot be scored ("" where it can), and what its files are, in words."""
    missing = sorted(set(pairs.stems) - one.files.keys())
    if missing:
        return f"no image for {len(missing)} pairs: {', '.join(missing)}", ""
    forms: dict[str, int] = {}
    images, wrong, least = [], [], 1.0
    for index, stem in enumerate(pairs.stems):
        with Image.open(one.files[stem]) as file:
            form = f"{file.format} {file.mode}"
        forms[form] = forms.get(form, 0) + 1
        fused = read_image(one.files[stem]).grey()
        if fused.shape != pairs.size(index):
            return f"{stem}: {fused.shape}, its sources are {pairs.size(index)}", ""
        images.append((fused, [*pairs.pair(index)]))
        own = steepness(fused)
        likeness = {
            other: max(float(own @ view) for view in views)
            for other, views in edges.items()
            if views[0].size == own.size
        }
        least = min(least, likeness[stem])
        if max(likeness, key=lambda other: likeness[other]) != stem:
            wrong.append(stem)
    if wrong:
        return f"{len(wrong)} images look like another pair's: {', '.join(wrong)}", ""
    text = ", ".join(f"{count} {form}" for form, count in sorted(forms.items()))
    return "", f"{text}; gradients like their own pair's in all (least {least:.2f}); {count_full_range(images).text}"


def score_sets(sets: Iterator[Published], pairs: PairSet, out: Path) -> list[str]:
    """Check and score every set; what was left out, a line each."""
    edges = {stem: tuple(map(steepness, pairs.pair(index))) for index, stem in enumerate(pairs.stems)}
    left_out = []
    for one in sets:
        problem, found = check(one, pairs, edges)  # type: ignore[arg-type]
        if problem:
            left_out.append(f"{pairs.name} {one.name}: {problem}")
            continue
        print(f"{pairs.name} {one.name}: {found}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            for stem in pairs.stems:
                shutil.copy(one.files[stem], Path(folder) / f"{stem}{one.files[stem].suffix}")
            score_forms(one, found, Path(folder), pairs, out)
    return left_out


def score_forms(one: Published, found: str, folder: Path, pairs: PairSet, out: Path) -> None:
    """Score one set as published and, unless it is stretched already, stretched; remove its rows of other files."""
    name = one.name.lower().replace("_", "-")
    about = {"name": name, "title": one.name.replace("_", "-"), "note": one.note, "keep_images": False}
    kept: list[Path] = []
    for stretch in (False, True):
        result: Result = score_fused_images(folder, pairs, protocol=PairsProtocol(stretch), out=out, **about)  # type: ignore[arg-type]
        table = load_per_image(result.folder(out))
        remarks = result.provenance.get("remarks")
        result.provenance = {"fusionbench": result.provenance["fusionbench"], "files": found}
        result.provenance |= {"remarks": remarks} if remarks else {}  # no time, no machine: the same bytes everywhere
        kept.append(save(result, out, table))
        if result.stretched:
            break
    for other in (out / pairs.name / name).iterdir():
        if other not in kept:
            shutil.rmtree(other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", choices=["tno", "vifb"])
    given = parser.parse_args()
    left_out: list[str] = []
    if given.only != "vifb":
        pairs = open_pairs("tno", "test", given.data / "tno")
        left_out += score_sets(published_on_tno(given.data), pairs, given.out)
    if given.only != "tno":
        pairs = open_pairs("vifb", "all", given.data / "vifb")
        left_out += score_sets(published_on_vifb(given.data), pairs, given.out)
    print("\n".join(["left out:", *left_out] if left_out else ["nothing was left out"]))


if __name__ == "__main__":
    main()
