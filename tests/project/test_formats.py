"""The file formats: a golden file of each version, written when it was introduced, which today's readers read.

``pytest --regen`` adds golden files that are missing and never rewrites one: a reader that no longer reads an old file
is the fault that these tests are for.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from fusionbench.board.site_index import read_index
from fusionbench.core.types import ImageSpec
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.data.verify import verify_dataset
from fusionbench.evaluation.suites import load_suite
from fusionbench.results.gate import read_baseline
from fusionbench.results.published import read_published
from fusionbench.results.schema import load, load_per_image, result_bytes
from fusionbench.submissions.submit import check_submission
from fusionbench.training.run import read_run
from tests.helpers.golden_formats import images, write_all

ROOT = Path(__file__).parents[2]
OLD_REVISIONS = Literal["fusionbench.result/1", "fusionbench.result/1.1"]
GOLDEN = ROOT / "tests" / "golden" / "formats"
KEPT = {".json", ".h5", ".csv", ".safetensors"}
FORMAT = re.compile(r"\"(fusionbench\.([a-z]+)/(\d+(?:\.\d+)?))\"")
FILES = {
    "recipe/1": "recipe-1.toml",
    "suite/1": "suite-1.toml",
    "dataset/1": "dataset-1/manifest.json",
    "dataset/1.1": "dataset-1.1/manifest.json",
    "shard/1": "dataset-1/golden-1.0.0-test-00000-of-00001.h5",
    "run/1": "run-1/run.json",
    "run/1.1": "run-1.1/run.json",
    "run/1.2": "run-1.2/run.json",
    "result/1": "result-1/result.json",
    "result/1.1": "result-1.1/result.json",
    "result/1.2": "result-1.2/result.json",
    "baseline/1": "baseline-1.json",
    "baseline/1.1": "baseline-1.1.json",
    "submission/1": "submission-1.zip",
    "submission/1.1": "submission-1.1.zip",
    "submission/1.2": "submission-1.2.zip",
    "submission/1.3": "submission-1.3.zip",
    "predictions/1": "predictions-1.zip",
    "predictions/1.1": "predictions-1.1.zip",
    "published/1": "published-1.json",
    "board/1": "board-1.json",
    "attestation/1": "attestation-1.json",
    "study/1": "study-1.json",
    "community/1": "community-1.toml",
    "ledger/1": "ledger-1.jsonl",
    "round/1": "round-1.json",
    "secret/1": "secret-1.json",
    "fingerprint/1": "fingerprint-1.json",
    "fused/1": "fused-1.jsonl",
}


@pytest.fixture(autouse=True)
def golden(regen: bool, tmp_path: Path) -> None:
    """With ``--regen``: add what is missing."""
    missing = [name for name in FILES.values() if not (GOLDEN / name).exists()]
    if not (regen and missing):
        return
    for name, written in write_all(tmp_path / "regen").items():
        if (GOLDEN / name).exists():
            continue
        GOLDEN.mkdir(parents=True, exist_ok=True)
        if written.is_file():
            shutil.copy(written, GOLDEN / name)
            continue
        (GOLDEN / name).mkdir()
        for path in written.iterdir():
            if path.suffix in KEPT and path.name not in ("croissant.json",):
                shutil.copy(path, GOLDEN / name / path.name)


def declared() -> set[str]:
    """Every ``fusionbench.NAME/VERSION`` and ``fusionbench.NAME/VERSION.REVISION`` that the code names."""
    found = set()
    for path in (ROOT / "fusionbench").glob("**/*.py"):
        found |= {f"{name}/{version}" for _, name, version in FORMAT.findall(path.read_text(encoding="utf-8"))}
    return found


def test_every_format_has_a_golden_file_and_a_line_in_the_documentation() -> None:
    lacking = sorted(declared() - set(FILES))
    assert not lacking, f"without a golden file: {', '.join(lacking)}; write one, see docs/formats.md"
    assert set(FILES) == declared(), "formats that the code does not know"
    missing = [file for file in FILES.values() if not (GOLDEN / file).is_file()]
    assert not missing, f"not in tests/golden/formats: {', '.join(missing)}; pytest --regen {Path(__file__).name}"
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for name, file in FILES.items():
        assert f"| `fusionbench.{name}` |" in text, name
        if file.endswith((".json", ".toml")):  # it is what it stands for
            assert f'"fusionbench.{name}"' in (GOLDEN / file).read_text(encoding="utf-8"), file


def test_golden_files_are_small() -> None:
    assert sum(path.stat().st_size for path in GOLDEN.glob("**/*") if path.is_file()) < 256 << 10


def test_recipe_1() -> None:
    recipe = load_recipe(GOLDEN / "recipe-1.toml")
    # worked out by hand from the file: canonical JSON of everything but the prose
    import tomllib

    table = tomllib.loads((GOLDEN / "recipe-1.toml").read_text())
    spec = {key: value for key, value in table.items() if key not in ("title", "description")}
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert recipe.hash == hashlib.sha256(text.encode()).hexdigest()
    assert (recipe.image_spec.height, recipe.image_spec.views, recipe.image_spec.crop) == (16, 2, (14, 14))


def test_suite_1() -> None:
    suite = load_suite(GOLDEN / "suite-1.toml")
    assert [model.key for model in suite.models] == ["mean-image", "cvae-short"]
    assert (suite.protocol.draws, suite.protocol.limit, suite.seeds) == (2, 2, [0, 1])
    assert (suite.models[1].params, suite.models[1].seeds) == ({"posterior": "xy"}, [7])


def test_dataset_1_and_shard_1(tmp_path: Path) -> None:
    import h5py

    folder = shutil.copytree(GOLDEN / "dataset-1", tmp_path / "dataset")
    verify_dataset(folder)
    dataset = open_dataset(folder)
    assert set(dataset.splits) == {"train", "test"}
    arrays = dataset.arrays("test")
    targets = arrays.targets[:]
    with h5py.File(GOLDEN / FILES["shard/1"]) as file:  # another reader than ours
        assert np.array_equal(arrays.views[:], file["views"][:])
        assert np.array_equal(targets, file["targets"][:])
        header = json.loads(file.attrs["fusionbench"])
    assert header["format"] == "fusionbench.shard/1" and arrays.views.shape == (2, 2, 16, 16)
    # the images of the split are known: every third of the six drawn ones
    assert (targets[0, 8, 8], targets[1, 8, 8]) == (255 - 20 * 2, 255 - 20 * 5)


def test_dataset_1_is_what_is_built_today(tmp_path: Path) -> None:
    from fusionbench.data.build import build_dataset

    recipe = load_recipe(GOLDEN / "recipe-1.toml")
    folder = build_dataset(recipe, source_dir=images(tmp_path / "images"), out=tmp_path, jobs=1)
    assert open_dataset(folder).id == open_dataset(GOLDEN / "dataset-1").id


def test_dataset_1_1(tmp_path: Path) -> None:
    """The same data set with recipe shards. Oracle: the golden file of 1.0, whose views are stored."""
    folder, whole = GOLDEN / "dataset-1.1", open_dataset(GOLDEN / "dataset-1")
    raw = json.loads((folder / "manifest.json").read_text())
    stored = {shard["file"]: shard["stored"] for split in raw["splits"].values() for shard in split["shards"]}
    for file, entry in stored.items():
        content = (folder / file).read_bytes()
        assert entry == {"bytes": len(content), "file_sha256": hashlib.sha256(content).hexdigest()}
    found = open_dataset(folder)
    assert found.id == whole.id and set(found.splits) == {"train", "test"}
    for split in found.splits:
        ours, theirs = found.arrays(split), whole.arrays(split)
        for name in ("targets", "views", "params", "index"):
            assert np.array_equal(getattr(ours, name)[:], getattr(theirs, name)[:]), name


def test_run_1() -> None:
    run = read_run(GOLDEN / "run-1")
    assert (run.info.model, run.info.finished, run.info.cut) == ("mean-image", True, False)
    dataset = open_dataset(GOLDEN / "dataset-1")
    assert run.info.dataset_id == dataset.id
    mean = run.load_model(dataset.spec).mean[0].numpy()
    assert np.allclose(mean, dataset.arrays("train").targets[:].mean(axis=0) / 255, atol=1e-6)


def test_run_1_1_and_submission_1_2() -> None:
    """Imported weights: by revision 1 a run says where they are from; a submission of it is revision 2."""
    import zipfile

    run = read_run(GOLDEN / "run-1.1")
    imported = run.info.imported
    assert imported and imported.files[0].name == "golden.pth" and not imported.checked_release
    assert run.info.identity().unknown and run.info.params == {"width": 2}
    spec = ImageSpec(channels=1, height=8, width=8, views=2)
    # 7×7 of three channels, twice 3×3 with scale and shift, 1×1 to three channels
    count = sum(value.numel() for value in run.load_model(spec).parameters())
    assert count == run.info.parameters == 2 * 3 * 49 + 2 * (2 * 2 * 9 + 4) + 2 * 3 + 3
    with zipfile.ZipFile(GOLDEN / "submission-1.2.zip") as archive:
        record = json.loads(archive.read("submission.json"))
        assert archive.read("weights.safetensors") == (GOLDEN / "run-1.1" / "weights.safetensors").read_bytes()
    assert record["schema"] == "fusionbench.submission/1.2"
    assert record["run"] == json.loads((GOLDEN / "run-1.1" / "run.json").read_text())
    report = check_submission(GOLDEN / "submission-1.2.zip").as_json()
    assert report["ok"] and report["problems"] == []


def test_run_1_2_and_submission_1_3() -> None:
    """A digest of imported weights, which revision 1.1 did not record."""
    import zipfile

    run, before = read_run(GOLDEN / "run-1.2"), read_run(GOLDEN / "run-1.1")
    imported = run.info.imported
    assert imported and before.info.imported and imported.state_known is False
    # over the header and the bytes of each tensor, by name, of the file itself
    content = (GOLDEN / "run-1.2" / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    tensors = json.loads(content[8 : 8 + length])
    tensors.pop("__metadata__", None)
    total = hashlib.sha256()
    for name in sorted(tensors):
        kind = {"F32": "float32", "I64": "int64"}[tensors[name]["dtype"]]
        begin, end = tensors[name]["data_offsets"]
        total.update(json.dumps([name, kind, tensors[name]["shape"]], separators=(",", ":")).encode())
        total.update(content[8 + length + begin : 8 + length + end])
    assert imported.state_sha256 == total.hexdigest()
    run.check_imported()
    older = msgspec.structs.replace(imported, state_sha256=msgspec.UNSET, state_known=msgspec.UNSET)
    assert msgspec.structs.replace(run.info, imported=older) == before.info, "nothing else is new"
    with zipfile.ZipFile(GOLDEN / "submission-1.3.zip") as archive:
        record = json.loads(archive.read("submission.json"))
    assert record["schema"] == "fusionbench.submission/1.3"
    assert record["run"] == json.loads((GOLDEN / "run-1.2" / "run.json").read_text())
    assert check_submission(GOLDEN / "submission-1.3.zip").as_json()["ok"]


def test_result_1() -> None:
    result = load(GOLDEN / "result-1")
    table = load_per_image(GOLDEN / "result-1")
    dataset = open_dataset(GOLDEN / "dataset-1")
    train, test = (dataset.arrays(split).targets[:] / 255 for split in ("train", "test"))
    by_hand = np.square(test - train.mean(axis=0)).mean(axis=(1, 2))
    assert np.allclose(table["mse_min@2"], by_hand, rtol=1e-5)
    assert result.scores["mse_min@2"].mean == pytest.approx(by_hand.mean(), rel=1e-5)
    assert result.identity.dataset.id == dataset.id and list(table["id"]) == [0, 1]


def test_baseline_1() -> None:
    baseline = read_baseline(GOLDEN / "baseline-1.json")
    (entry,) = baseline.entries
    table = load_per_image(GOLDEN / "result-1")
    assert np.allclose(entry.scores["mse_min@2"].values, table["mse_min@2"], rtol=1e-8)
    assert entry.model == "mean-image"


def test_baseline_1_1() -> None:
    from scipy import stats

    baseline = read_baseline(GOLDEN / FILES["baseline/1.1"])
    assert baseline.schema == "fusionbench.baseline/1.1" and baseline.alpha == 0.05 and baseline.compared == 3
    scores = {entry.model: entry.scores for entry in baseline.entries}
    score = scores["cvae"]["mse_min@1"]
    # a prediction interval for one run from three, one-sided, at a third of the error rate
    assert score.atol == pytest.approx(stats.t.ppf(1 - 0.05 / 3, 2) * score.noise * (4 / 3) ** 0.5, rel=1e-9)
    assert (score.runs, score.metric_atol, score.metric_rtol) == (3, 0.00001, 0.001) and score.detectable > score.atol
    assert scores["mean-image"]["mse_min@2"].noise is None and len(baseline.digest) == 64


@pytest.mark.parametrize("name", ["submission/1", "predictions/1", "published/1"])
def test_submissions(name: str) -> None:
    report = check_submission(GOLDEN / FILES[name])
    assert report.ok, report.problems


def test_board_1(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / FILES["board/1"], tmp_path / "board-index.json")
    index, _ = read_index(tmp_path)
    (one,) = index.results
    assert one.file == f"golden/mean-image/{one.id[:12]}/result.json" and index.resamples == 100
    assert one.table is not None and one.table.file == "images.csv" and one.status == "verified"
    assert "index.html" in index.files and index.set_aside == []


def test_attestation_1() -> None:
    from fusionbench.evaluation.reproduction.attestation import read_attestation

    (one,) = read_attestation(GOLDEN / FILES["attestation/1"])[0].reproductions
    assert (one.outcome, one.images, one.of, one.identical) == ("same", 2, 2, True)
    assert one.scores["mse_min@2"].atol == 1e-5 and one.environment == {"threads": ("1", "2")}
    assert one.file == f"results/golden/mean-image/{one.id[:12]}/result.json"


def test_published_1() -> None:
    record, problems = read_published(GOLDEN / "published-1.json")
    assert record is not None and problems == []
    assert record.rows[0].scores["vif"] == "0.80" and record.paper.url == "https://example.org/paper"


def test_community_1() -> None:
    from fusionbench.board.community.settings import parse_community

    found = parse_community((GOLDEN / "community-1.toml").read_bytes(), "community-1.toml")
    assert (found.title, found.data, found.suite, found.branch) == ("Golden", "tno", "suite.toml", "main")
    assert (found.limits.per_day, found.limits.total, found.limits.archive_mib) == (3, 30, 7)
    assert found.keep_archives and found.kinds == ["weights", "predictions", "published"]


def test_ledger_1() -> None:
    from fusionbench.board.community.ledger import read_ledger

    ledger = read_ledger(GOLDEN / "ledger-1.jsonl")
    (line,) = ledger.accepted.values()
    sha256 = hashlib.sha256((GOLDEN / "published-1.json").read_bytes()).hexdigest()
    assert (line.id, line.sha256, line.title) == (f"0001-{sha256[:12]}", sha256, "Theirs")
    assert line.submitter.login == "ada" and line.time == "2026-03-01T12:00:00Z"
    assert ledger.withdrawn[line.id].reason == "made for a test" and ledger.active == {}


def test_fused_1() -> None:
    from fusionbench.evaluation.fusing.record import read_record_of_fused

    settings, lines = read_record_of_fused(GOLDEN / "fused-1.jsonl")
    assert (settings.method["name"], settings.method["params"]) == ("laplacian-pyramid", {"levels": 3})
    assert (settings.colour, settings.bits, settings.tile, settings.file) == (
        "weighted",
        16,
        "auto",
        {"format": "tiff"},
    )
    assert settings.ranges == {"a": "14bit", "b": "full"} and [line.name for line in lines] == ["one.tif"]


def changed_toml(path: Path, out: Path) -> Path:
    out.write_text(re.sub(r"^(format = .*)$", r'\1\nunknown = "x"', path.read_text(), count=1, flags=re.MULTILINE))
    return out


@pytest.mark.parametrize(("name", "read"), [("recipe/1", load_recipe), ("suite/1", load_suite)])
def test_an_unknown_field_is_refused_with_its_name(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    from fusionbench.core.errors import FusionbenchError

    with pytest.raises(FusionbenchError, match="unknown"):
        read(changed_toml(GOLDEN / FILES[name], tmp_path / "changed.toml"))


def test_revision_1_of_results_and_submissions() -> None:
    """What revision 1 added, in files that its own writers wrote; without it the old revision is declared."""
    result, before = load(GOLDEN / "result-1.1"), load(GOLDEN / "result-1")
    assert (result.schema, before.schema) == ("fusionbench.result/1.1", "fusionbench.result/1")
    assert result.id == before.id and result.scores == before.scores, "no part of the identity"
    assert result.submission is not None and result.submission.group == "three-seeds"
    assert (result.submission.id, result.submission.replaces) == ("5" * 64, "7" * 64)
    assert result.statements["train_hours"] == 0.5 and before.statements == {} and before.submission is None
    written = json.loads(result_bytes(before))  # its scores have their present names
    assert written.keys() == json.loads((GOLDEN / "result-1" / "result.json").read_text()).keys()
    assert "submission" not in written["origin"]
    assert result_bytes(result) == (GOLDEN / "result-1.1" / "result.json").read_bytes()
    for name, extra in (("submission", {"replaces": "7" * 64}), ("predictions", {"seed": 4})):
        old, new = (check_submission(GOLDEN / f"{name}-{version}.zip").as_json() for version in ("1", "1.1"))
        assert old["ok"] and new["ok"] and old["id"] != new["id"]
        facts = {"group": "three-seeds", "schema": f"fusionbench.{name}/1.1", **extra}
        assert new["submission"] == old["submission"] | facts


def test_result_1_2_counts_full_images() -> None:
    result, before = load(GOLDEN / "result-1.2"), load(GOLDEN / "result-1")
    counts = json.loads((GOLDEN / "result-1.2" / "result.json").read_text())["full_range"]
    assert counts == {"images": 2, "full": 2, "sources": 2} and result.stretched and not before.stretched
    assert result_bytes(result) == (GOLDEN / "result-1.2" / "result.json").read_bytes()


def test_a_reader_without_full_range_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A reader of revision 1.1, whose struct has no such field: the rest is read, and a note says what is left out."""
    from fusionbench.core.formats import read_json
    from fusionbench.results.schema import IDENTITIES, Result

    kinds = {one.name: one.type for one in msgspec.structs.fields(Result)} | {"schema": OLD_REVISIONS}
    older = msgspec.defstruct(
        "Older",
        [
            (one.name, kinds[one.name]) if one.required else (one.name, kinds[one.name], msgspec.field(default=None))
            for one in msgspec.structs.fields(Result)
            if one.name != "full_range"
        ],
        kw_only=True,
        forbid_unknown_fields=True,
    )
    content = (GOLDEN / "result-1.2" / "result.json").read_bytes()
    found: Any = read_json(content, older, "x.json", IDENTITIES)
    assert found.scores.keys() == load(GOLDEN / "result-1.2").scores.keys()
    assert "fusionbench.result/1.2 is newer: full_range left out" in capsys.readouterr().err
