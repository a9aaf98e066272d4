"""Files of every format, each by its own writer: what the golden files are made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusionbench.board import build_board
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.results.schema import load_per_image, save
from tests.helpers.recipes import FOLDER_SPLITS
from tests.helpers.results import made_up
from tests.helpers.rounds import write_round_files

RECIPE = (
    """\
format = "fusionbench.recipe/1"
name = "golden"
version = "1.0.0"
title = "Golden"
description = "Six drawn images."
seed = 3
shard_size = 8

"""
    + FOLDER_SPLITS
    + """
[image]
height = 16
width = 16
channels = 1
square = true
resize = "area"
pad = 1
likelihood_crop = [14, 14]

[views]
count = 2

[views.masks]
algorithm = "ellipse/1"
ellipses = 2
radius = [2, 5]
margin = [1, 2]
ellipticity = [0.5, 1.5]

[views.noise]
algorithm = "noise/1"
sigma = 0.1

[live]
algorithm = "augment/1"
flip = true
"""
)
SUITE = """\
format = "fusionbench.suite/1"
name = "golden"
title = "Golden"
description = "Two rows on drawn images."
dataset = "golden"
split = "test"
seeds = [0, 1]
published = "fusionmnist"

[protocol]
name = "masked/1"
draws = 2
seed = 5
paper_batch = 4
limit = 2

[[models]]
name = "mean-image"

[[models]]
name = "cvae"
preset = "tiny"
label = "cvae-short"
title = "CVAE, short"
seeds = [7]

[models.params]
posterior = "xy"

[models.training]
epochs = 0.5
"""
NUMBERS = """\
schema = "fusionbench.published/1"
entered_by = "A. Reader"
dataset = "tno"
track = "pairs"
dialect = "cddfuse"
images = 25
caveats = ["Made for a test."]

[paper]
title = "A paper"
authors = "A. One, B. Two"
venue = "Journal 2024"
url = "https://example.org/paper"

[metrics.vif]
unit = "1"
better = "higher"
table = "Table 1"

[metrics.mi]
unit = "nats"
better = "higher"
table = "Table 1"
runs_table = "Table 5"

[[rows]]
title = "Theirs"
model = "theirs"
scores = { vif = "0.80", mi = { value = "2.19", mean = "2.15", sd = "0.04" } }
"""


def images(folder: Path) -> Path:
    """Six drawn images of 20×20."""
    from PIL import Image

    folder.mkdir(parents=True)
    for index in range(6):
        image = np.full((20, 20), 16 * index, np.uint8)
        image[2 + index : 12 + index, 4:16] = 255 - 20 * index
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def write_all(work: Path) -> dict[str, Path]:
    """Every format, by its own writer: golden name -> what was written (a folder for files that belong together)."""
    from fusionbench.data.build import build_dataset
    from fusionbench.data.export import export
    from fusionbench.evaluation.masked import Protocol, evaluate
    from fusionbench.results.gate import baseline_of, write_baseline
    from fusionbench.results.published import pack as pack_numbers
    from fusionbench.submissions.kinds.base import PackRequest
    from fusionbench.submissions.submit import pack_submission
    from fusionbench.training.loop import train

    work.mkdir()
    (work / "recipe.toml").write_text(RECIPE)
    (work / "suite.toml").write_text(SUITE)
    (work / "numbers.toml").write_text(NUMBERS)
    folder = build_dataset(load_recipe(work / "recipe.toml"), source_dir=images(work / "images"), out=work, jobs=1)
    dataset = open_dataset(folder)
    train("mean-image", dataset, out=work / "run")
    result = evaluate(work / "run", dataset, protocol=Protocol(draws=2), out=work / "results")
    table = load_per_image(result.folder(work / "results"))
    result.provenance |= {"command": ["fusionbench", "evaluate"], "host": {}}  # not whose machine it was
    save(result, work / "results", table)
    for seed in range(3):  # a calibrated one
        made_up(work / "seeds", "cvae", seed=seed, shift=0.01 * seed, ids=range(2), views=1, metrics={"mse_min": "1"})
    write_baseline(work / "baseline.json", baseline_of([work / "results", work / "seeds"]))
    # submissions are for data sets that come with fusionbench
    digits_folder = build_dataset(load_recipe("fusiondigits"), source_dir=None, out=work, jobs=1)
    train("mean-image", open_dataset(digits_folder), out=work / "digits-run")
    author = {"title": "Golden", "submitter": "A. Author", "link": "https://example.org"}
    pack_submission(PackRequest(work / "digits-run", work / "submission.zip", **author))
    pack_submission(PackRequest(write_imported(work / "imported"), work / "imported.zip", **author))
    recorded = write_imported(work / "recorded", with_digest=True)
    pack_submission(PackRequest(recorded, work / "recorded.zip", **author))
    np.save(work / "samples.npy", np.full((2, 4, 1, 32, 32), 7, np.uint8))
    words = {"model": "mine", "title": "Mine", "submitter": "A. Author", "note": "a note"}
    pack_submission(PackRequest(work / "samples.npy", work / "predictions.zip", data=digits_folder, **words))
    pack_numbers(work / "numbers.toml", work / "published.json")
    build_board(work / "results", work / "site", resamples=100)
    return {
        "recipe-1.toml": work / "recipe.toml",
        "fused-1.jsonl": write_fused(work / "fuse"),
        "suite-1.toml": work / "suite.toml",
        "dataset-1": folder,
        "dataset-1.1": export(dataset, "targets", work / "targets"),
        "run-1": work / "run",
        "run-1.1": work / "imported",
        "submission-1.2.zip": work / "imported.zip",
        "run-1.2": work / "recorded",
        "submission-1.3.zip": work / "recorded.zip",
        "result-1": result.folder(work / "results"),
        "result-1.2": write_pairs_result(work),
        "baseline-1.1.json": work / "baseline.json",
        "submission-1.zip": work / "submission.zip",
        "predictions-1.zip": work / "predictions.zip",
        "published-1.json": work / "published.json",
        "board-1.json": work / "site" / "board-index.json",
        "attestation-1.json": write_attested(work),
        "study-1.json": write_study(work / "study.json"),
        **write_leaderboard(work),
        **write_round_files(work),
    }


def write_study(path: Path) -> Path:
    """A study of two made-up metrics on eight images of three methods."""
    from fusionbench.results.opinions import Opinions
    from fusionbench.results.study import make_study
    from fusionbench.results.study_files import study_bytes
    from fusionbench.results.study_values import MetricValues

    said = {
        (str(image), method): float((image * 5 + place * 3) % 7)
        for image in range(8)
        for place, method in enumerate("ABC")
    }
    values = MetricValues()
    for place, method in enumerate("ABC"):
        values.add("vif", "higher", method, [(str(i), said[str(i), method] / 7) for i in range(8)], "made up")
        values.add("nabf", "lower", method, [(str(i), (i * 3 + place) % 5 / 5) for i in range(8)], "made up")
    path.write_bytes(study_bytes(make_study(values, Opinions(said, 24, 1, "5" * 64), title="Golden", resamples=50)))
    return path


def write_imported(folder: Path, with_digest: bool = False) -> Path:
    """A run of weights that were imported, as the smallest network has them; with their digest, or as before it."""
    import torch

    from fusionbench.models import MODELS, create_model
    from fusionbench.models.published_weights import PUBLISHED_SPEC, released_state_sha256
    from fusionbench.training.checkpoints import save_weights
    from fusionbench.training.imported import ImportedFile, ImportedWeights
    from fusionbench.training.run import RunInfo
    from fusionbench.training.schedule import Training

    torch.manual_seed(0)
    model = create_model("ifcnn", PUBLISHED_SPEC, width=2)
    folder.mkdir()
    save_weights(model, folder / "weights.safetensors")
    file = ImportedFile(part="weights", name="golden.pth", sha256="1" * 64, size=1234)
    digest = {"state_sha256": released_state_sha256(model.state_dict()), "state_known": False} if with_digest else {}
    record = RunInfo(
        model="ifcnn",
        version=MODELS.get("ifcnn").version,
        source=MODELS.origin("ifcnn"),
        preset=None,
        params={"width": 2},
        training=Training(),
        dataset_name="",
        dataset_version="",
        dataset_id="",
        seed=0,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        finished=True,
        imported=ImportedWeights(
            files=(file,), homepage="https://example.org", licence="none stated", fusionbench="0.1.0", **digest
        ),
    )
    record.write(folder)
    return folder


def write_pairs_result(work: Path) -> Path:
    """The average of two embedded pairs, stretched: how many images reach from black to white is counted."""
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.pair_sets import open_pairs
    from fusionbench.evaluation.pairs import PairsProtocol, evaluate_pairs
    from fusionbench.models import create_model

    pairs = open_pairs("pairs-demo", "all", None, limit=2)
    model = create_model("average", ImageSpec(1, 256, 256, 2))
    rules = PairsProtocol(stretch=True)
    result = evaluate_pairs(model, pairs, protocol=rules, out=work / "pairs", device="cpu", keep_images=False)
    table = load_per_image(result.folder(work / "pairs"))
    result.provenance = {"fusionbench": result.provenance["fusionbench"]}
    return save(result, work / "pairs", table)


def write_attested(work: Path) -> Path:
    """What making the golden result again gives, without saying whose machine it was."""
    from fusionbench.evaluation.reproduction.attestation import Attestation, write_attestation
    from fusionbench.evaluation.reproduction.places import Places
    from fusionbench.evaluation.reproduction.reproduce import HowToReproduce, reproduce

    found = reproduce([work / "results"], HowToReproduce(Places(data=[work], weights=[])))
    found[0].environment = {"threads": ("1", "2")}
    environment = {"code": None, "packages": "numpy==2.4.6", "python": "CPython 3.11.7"}
    path = work / "attestation.json"
    write_attestation(path, Attestation(fusionbench="0.1.0", environment=environment, reproductions=found))
    return path


def write_leaderboard(work: Path) -> dict[str, Path]:
    """The rules of a leaderboard, and a ledger of a submission that was accepted and withdrawn."""
    import datetime

    from fusionbench.board.community.accept import Place, accept_pull_request, score_submission, withdraw_submission
    from fusionbench.board.community.git import Repository
    from fusionbench.board.community.pull_request import pull_request_of
    from fusionbench.board.community.settings import Leaderboard, Limits
    from fusionbench.board.community.start import StartRequest, start_community
    from tests.helpers.community import git

    limits = Limits(per_day=3, total=30, archive_mib=7)
    folder = start_community(StartRequest(work / "board", "Golden", "ivif-tno", limits=limits, git=True))
    git(folder, "checkout", "--quiet", "-b", "theirs")
    (folder / "submissions" / "incoming" / "a.json").write_bytes((work / "published.json").read_bytes())
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "Submit")
    git(folder, "checkout", "--quiet", "main")
    now = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    score_submission(work / "published.json", Leaderboard.read(folder), work / "scored", "ada")
    place = Place(Repository(folder), "main", None)
    line = accept_pull_request(place, pull_request_of("theirs", "ada"), work / "scored", lambda: now)
    withdraw_submission(place, line.id, "made for a test", lambda: now)
    return {"community-1.toml": folder / "community.toml", "ledger-1.jsonl": folder / "ledger.jsonl"}


def write_fused(work: Path) -> Path:
    """The record of a folder with one fused image."""
    from fusionbench.evaluation.fusing.folders import fuse_files

    pixels = b"".join(value.to_bytes(2, "big") for value in range(0, 48 * 300, 300))
    for side in ("a", "b"):
        (work / side).mkdir(parents=True)
        (work / side / "one.pgm").write_bytes(b"P5 8 6 65535\n" + pixels)
    settings = {"params": {"levels": 3}, "colour": "weighted", "bits": 16, "file_format": "tiff", "range_a": "14bit"}
    fuse_files(work / "a", work / "b", work / "fused", "laplacian-pyramid", range_b="full", **settings)  # type: ignore[arg-type]
    return work / "fused" / "fuse.jsonl"
