"""Score every shipped row of registered pairs that needs no training here, and the networks whose weights are at hand.

    python benchmarks/score_rows.py DATA [--only ivif-tno,mif-mri-ct] [--models cbf,jsr-sd] [--out benchmarks/results]
    python benchmarks/score_rows.py DATA --only ivif-tno-robust --models none --networks mfeif --scratch build/rows

DATA has the sources (``tno``, ``vifb``, ``roadscene``, ``msrs``, ``harvard``) and the weights that authors published
(``weights/NETWORK/FILE``), which are imported as ``fusionbench weights import`` does and scored in both forms on the
infrared and visible suites. Rows of the suites that learn are left out; suites of degraded pairs and of the probe's
U-Net, hours on a core, are scored where ``--only`` names them. A row replaces those of the same name and protocol that
lie there with other parameters or of an older version of its model; values only, no images. What stands there already
in the present version is made again, so that every result says which code, packages and processor it is from. With
``--scratch`` a row that was stopped goes on there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fusionbench.core.allocator import keep_freed_memory
from fusionbench.core.errors import FusionbenchError
from fusionbench.core.progress import say
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.evaluation.suites import load_suite
from fusionbench.models import MODELS
from fusionbench.results.schema import Result, load
from fusionbench.submissions.published_weights_import import ImportRequest, import_published_weights

SUITES = {
    "ivif-tno": "tno",
    "ivif-vifb": "vifb",
    "ivif-roadscene-50": "roadscene",
    "ivif-msrs": "msrs",
    "mif-mri-ct": "harvard",
    "mif-mri-pet": "harvard",
    "mif-mri-spect": "harvard",
    "ivif-roadscene": "roadscene",
    "ivif-tno-robust": "tno",
    "ivif-roadscene-50-robust": "roadscene",
    "msrs-probe": "msrs_half",
    "msrs-probe-unet": "msrs_half",
}
SLOW = ("-robust", "-unet")  # hours on a core
WEIGHTS = {
    "didfuse": ("DIDFuse/Encoder.pkl", "DIDFuse/Decoder.pkl"),
    "datfuse": ("DATFuse/model_10.pth",),
    "ifcnn": ("IFCNN/IFCNN-MAX.pth",),
    "mfeif": ("MFEIF/default.pth",),
    "seafusion": ("SeAFusion/SeAFusion.pth",),
    "tardal": ("TarDAL/tardal.pt",),
}


def own_rows(name: str, chosen: set[str]) -> list[str]:
    """Labels of the rows of a suite that learn nothing, in its order; of ``chosen`` alone where there are any."""
    rows = load_suite(name).models
    labels = [row.label or row.name for row in rows if not hasattr(MODELS.get(row.name), "loss")]
    labels += PROTOCOLS.get(load_suite(name).protocol.name).references
    return [label for label in labels if not chosen or label in chosen]


def score_networks(name: str, source: Path, runs: dict[str, Path], out: Path) -> Iterator[Result]:
    """Both forms of every imported network, as rows of a suite."""
    suite = load_suite(name)
    protocol = PROTOCOLS.get(suite.protocol.name)
    pairs = protocol.open_suite(suite, data_root=Path("data"), source_dir=source)
    for network, folder in runs.items():
        say(f"{name}: {network}, imported weights")
        try:
            title = f"{MODELS.get(network).title}, authors' weights"
            settings = {"out": out, "device": "cpu", "title": title}
            settings |= {"keep_images": False} if "keep_images" in protocol.takes else {}
            yield from protocol.evaluate_all(folder, pairs, suite.protocol, **settings)
        except FusionbenchError as error:
            say(f"warning: {name}: {network}: {error}")


def replace(made: list[Result], scratch: Path, out: Path) -> None:
    """Move new results to their places, and remove results of the same model that they take the place of."""
    for result in made:
        model, dataset, learns_not = result.identity.model, result.identity.dataset, result.identity.training is None
        place = out / dataset.name / model.name
        for other in sorted(place.glob("*/result.json")):
            known = load(other).identity
            trained = known.training is not None and known.training.steps is not None
            elsewhere = known.dataset != dataset or (known.training is None) != learns_not
            elsewhere = elsewhere or known.protocol.name != result.identity.protocol.name
            if known.model.version == "pictures" or trained or elsewhere:
                continue  # published images, what was trained here, other pairs
            same_weights = (known.model.params, known.model.weights_sha256) == (model.params, model.weights_sha256)
            if known.model.version != model.version or (same_weights and known.protocol == result.identity.protocol):
                shutil.rmtree(other.parent)
        shutil.copytree(result.folder(scratch), result.folder(out), dirs_exist_ok=True)
        shutil.rmtree(result.folder(scratch))  # the next call makes it again
        print(result.folder(out), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default=",".join(name for name in SUITES if not name.endswith(SLOW)))
    parser.add_argument("--models", default="", help="labels of rows, separated by commas; all that learn nothing")
    parser.add_argument("--networks", default=",".join(WEIGHTS), help="networks with weights in DATA/weights")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--scratch", type=Path, help="folder of what is not finished; kept")
    given = parser.parse_args()
    networks = [name for name in given.networks.split(",") if name not in ("", "none")]
    for names, known in ((given.only.split(","), SUITES), (networks, WEIGHTS)):
        if wrong := [name for name in names if name not in known]:
            parser.error(f"{wrong[0]} is none of {', '.join(known)}")
    keep_freed_memory()  # as the command line does
    chosen = {label for label in given.models.split(",") if label}
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        scratch, runs = given.scratch or Path(place) / "results", {}
        for network in networks:
            files = [given.data / "weights" / file for file in WEIGHTS[network]]
            if all(file.is_file() for file in files):
                runs[network] = import_published_weights(ImportRequest(network, files, Path(place) / network)).folder
        for name in given.only.split(","):
            source, wanted = given.data / SUITES[name], own_rows(name, chosen)
            for label in wanted:
                settings = {"source_dir": source, "out": scratch, "jobs": 1, "keep_images": False}
                try:
                    replace(run_suite(name, models=[label], **settings), scratch, given.out)
                except FusionbenchError as error:
                    say(f"warning: {name}: {label}: {error}")
                    failed += 1
            if name.startswith(("ivif", "msrs-probe")):
                for result in score_networks(name, source, runs, scratch):
                    replace([result], scratch, given.out)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
