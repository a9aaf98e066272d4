"""Ranges on their way: sensors that fill a part of their type, through scoring, pairs, suites, recipes and explain.

Oracle: the same images encoded in 8 bits, whose scores, pixels and identities are known to be right.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.external import score_outputs
from fusionbench.evaluation.image_files import score_files
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import evaluate_pairs
from fusionbench.evaluation.suites import load_suite, run_suite
from fusionbench.models import create_model
from fusionbench.results.schema import load, load_folder
from fusionbench.sources.pairs import Pairs
from tests.cli.runner import run
from tests.metrics.scenes import scene

STEMS = ("n0", "n1", "n2")
SUITE = """
format = "fusionbench.suite/1"
name = "small"
title = "small"
dataset = "pairs"
split = "all"
[protocol]
name = "pairs/1"
[[models]]
name = "average"
"""
RECIPE = """
format = "fusionbench.recipe/1"
name = "mine"
version = "1.0.0"
title = "mine"
shard_size = 10
[source]
name = "pairs"
[pairs]
luma = "bt601/1"
[live]
algorithm = "crop-flip/1"
crop = [16, 16]
[splits.all]
source = "all"
"""


def wide(image: np.ndarray, bits: int) -> np.ndarray:
    """An image of 8 bits in the lower bits of 16."""
    return np.rint(image / 255 * (2**bits - 1)).astype(np.uint16)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """``eight``/a, b and fused; the same a in 14 bits of PNG and as degrees in float TIFF; fused in 12 bits."""
    for seed, stem in enumerate(STEMS):
        fused, a, b = scene(seed)
        a[0, 0] = fused[0, 0] = 255  # the brightest that the camera can tell, so that the depth can be found
        for name, image in (("a", a), ("b", b), ("fused", fused)):
            (tmp_path / "eight" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "eight" / name / f"{stem}.png")
        for name, image in (("thermal/a", wide(a, 14)), ("fused12", wide(fused, 12)), ("thermal/b", b)):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / name / f"{stem}.png")
        (tmp_path / "degrees").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "degrees" / f"{stem}.tif", (a / 5.0 - 10).astype(np.float32))
    (tmp_path / "small.toml").write_text(SUITE)
    return tmp_path


def test_scores_of_14_bits_are_those_of_8(place: Path) -> None:
    b, fused = place / "thermal/b", place / "eight/fused"
    plain = score_files(place / "eight/a", place / "eight/b", fused)
    assert plain.ranges == {} and plain.warnings == []
    for a, asked, found in (
        ("thermal/a", "14bit", "14bit"),
        ("thermal/a", "auto", "14bit"),
        ("thermal/a", "image:auto", "image:auto"),
        ("thermal/a", "0:16383", "0:16383"),
        ("degrees", "-10:41", "-10:41"),
    ):
        scores = score_files(place / a, b, fused, range_a=asked)
        assert scores.ranges == {"a": found} and scores.to_json()["ranges"] == {"a": found}
        for name, values in plain.values.items():
            assert np.array_equal(scores.values[name], values), (asked, name)
        assert len(scores.warnings) == 1 and "3 files" in scores.warnings[0] and found in scores.warnings[0]
    both = score_files(place / "thermal/a", b, place / "fused12", range_a="14bit", range_fused="12bit")
    assert all(np.array_equal(both.values[name], values) for name, values in plain.values.items())


def test_scores_of_a_stretched_set_are_those_of_an_image_stretched_by_hand(place: Path, tmp_path: Path) -> None:
    images = {stem: np.asarray(Image.open(place / f"thermal/a/{stem}.png")).astype(np.float64) for stem in STEMS}
    everything = np.concatenate([image.reshape(-1) for image in images.values()])
    for asked in ("percentile:1,99", "set:percentile:1,99"):
        for stem, image in images.items():
            of = everything if asked.startswith("set") else image.reshape(-1)
            low, high = (np.percentile(of, percent, method="inverted_cdf") for percent in (1, 99))
            by_hand = np.rint(np.clip((image - low) * 255 / (high - low), 0, 255)).astype(np.uint8)
            (tmp_path / "hand").mkdir(exist_ok=True)
            Image.fromarray(by_hand).save(tmp_path / f"hand/{stem}.png")
        expected = score_files(tmp_path / "hand", place / "thermal/b", place / "eight/fused")
        found = score_files(place / "thermal/a", place / "thermal/b", place / "eight/fused", range_a=asked)
        assert all(np.array_equal(found.values[name], values) for name, values in expected.values.items())
        assert found.ranges == {"a": asked if asked[:3] != "set" else f"{low:g}:{high:g}"}


def test_without_a_range_it_is_one_line_with_the_option(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    words = ["score", "--a", place / "thermal/a", "--b", place / "thermal/b", "--fused", place / "eight/fused"]
    code, out, err = run(capsys, "-q", *words)
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert "3 of 3 rows cannot be scored" in err and "--range-a 14bit" in err and "..16383 of 16 bits" in err
    code, out, err = run(capsys, *words, "--range-a", "auto", "--json")
    assert code == 0 and json.loads(out)["ranges"] == {"a": "14bit"} and "mapped to 8 by 14bit" in err
    for asked, said in (("15", "'15' is no range"), ("9:1", "below the second"), ("12bit", "beyond --range-a 12bit")):
        code, out, err = run(capsys, "-q", *words, "--range-a", asked)
        assert code == 2 and out == "" and said in err and "--range-a" in err and len(err.splitlines()) == 1
    with pytest.raises(UsageError, match="no range of values"):
        score_files(place / "thermal/a", place / "thermal/b", place / "eight/fused", range_b="all")


def test_masks_are_refused_and_can_be_said(place: Path) -> None:
    for stem in STEMS:
        mask = np.asarray(Image.open(place / f"eight/fused/{stem}.png")) > 99
        (place / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask.astype(np.uint8)).save(place / f"masks/{stem}.png")
    sides = place / "eight/a", place / "eight/b", place / "masks"
    with pytest.raises(DataError, match=r"values 0\.\.1 of 8 bits.*--range-fused 0:1"):
        score_files(*sides)
    assert score_files(*sides, metrics=["sd"], range_fused="0:1").values["sd"].min() > 50


def test_explain_reads_by_the_same_ranges(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    value = score_files(place / "eight/a", place / "eight/b", place / "eight/fused").summary["vif"].mean
    sides = ["--a", place / "thermal/a", "--b", place / "thermal/b", "--fused", place / "eight/fused"]
    code, out, _ = run(capsys, "explain", "vif", f"{value:.6f}", *sides, "--range-a", "auto", "--json")
    best = json.loads(out)["candidates"][0]
    assert code == 0 and best["value"] == pytest.approx(value, rel=1e-12) and best["dialect"] == "standard/1"
    assert run(capsys, "-q", "explain", "vif", "1", *sides)[0] == 2


def test_pairs_have_the_pixels_and_the_fingerprint_of_8_bits(place: Path) -> None:
    eight = Pairs(place / "eight")
    for asked, found in (("14bit", "14bit"), ("auto", "14bit"), ("image:auto", "image:auto")):
        thermal = Pairs(place / "thermal", ranges=Ranges.parse(asked))
        assert thermal.fingerprint("all") == eight.fingerprint("all")
        assert thermal.ranges_of("all").texts() == {"a": found}
    with pytest.raises(DataError, match=r"3 of 3 pairs of 'all' cannot be used: .*--range-a 14bit"):
        Pairs(place / "thermal").fingerprint("all")


def test_a_result_names_its_ranges_only_where_they_were_given(place: Path) -> None:
    plain = open_pairs(place / "eight")
    model = create_model("average", _spec(plain))
    results = {
        asked: evaluate_pairs(
            model,
            open_pairs(place / "thermal" if asked else place / "eight", ranges=Ranges.parse(asked)),
            out=None,
            device="cpu",
        )
        for asked in (None, "14bit", "auto", "percentile:0,100")
    }
    assert "range_a" not in results[None].identity.protocol.params and "ranges" not in results[None].provenance
    for asked in ("14bit", "auto"):  # the identity has what was found, provenance what was asked
        assert results[asked].identity.protocol.params["range_a"] == "14bit"
        assert results[asked].provenance["ranges"] == {"a": asked}
        assert results[asked].identity.dataset == results[None].identity.dataset
        assert {k: s.mean for k, s in results[asked].scores.items()} == {
            k: s.mean for k, s in results[None].scores.items()
        }
    assert results["14bit"].id == results["auto"].id != results[None].id
    stretched = results["percentile:0,100"].identity
    assert stretched.protocol.params["range_a"] == "percentile:0,100"


def _spec(pairs: object) -> object:
    from fusionbench.evaluation.pair_sheet import pair_spec as spec

    return spec(pairs)  # type: ignore[arg-type]


def test_full_is_the_default_without_its_refusal(place: Path) -> None:
    spec = open_pairs(place / "eight")
    result = evaluate_pairs(
        create_model("average", _spec(spec)),  # type: ignore[arg-type]
        open_pairs(place / "eight", ranges=Ranges.parse("full")),
        out=None,
        device="cpu",
    )
    plain = evaluate_pairs(create_model("average", _spec(spec)), spec, out=None, device="cpu")  # type: ignore[arg-type]
    assert result.id == plain.id and result.provenance["ranges"] == {"a": "full"}


def test_a_suite_is_run_and_scored_by_the_same_ranges(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    words = ["--out", place / "results", "--range-a", "14bit"]
    code, _, _ = run(capsys, "run", place / "small.toml", "--source-dir", place / "thermal", *words, "--device", "cpu")
    assert code == 0
    sides = ["--a", place / "thermal/a", "--b", place / "thermal/b", "--suite", place / "small.toml", *words]
    code, _, err = run(capsys, "score", *sides, "--fused", place / "eight/fused", "--name", "theirs")
    assert code == 0, err
    code, _, err = run(capsys, "score", *sides, "--fused", place / "fused12", "--range-fused", "auto", "--name", "deep")
    assert code == 0, err
    found = {result.identity.model.name: result for result in load_folder(place / "results")}
    ours, theirs, deep = found["average"].identity, found["theirs"].identity, found["deep"].identity
    assert ours.protocol == theirs.protocol and ours.dataset == theirs.dataset == deep.dataset
    assert ours.protocol.params["range_a"] == "14bit" and deep.protocol.params["range_fused"] == "12bit"
    assert found["deep"].scores == found["theirs"].scores
    assert found["deep"].provenance["ranges"] == {"a": "14bit", "fused": "auto"}


def test_a_suite_has_ranges_of_its_own(place: Path) -> None:
    (place / "own.toml").write_text(SUITE.replace('"pairs/1"', '"pairs/1"\nrange_a = "14bit"'))
    (result,) = run_suite(place / "own.toml", source_dir=place / "thermal", out=place / "results", device="cpu")
    assert result.identity.protocol.params["range_a"] == "14bit"
    sides = place / "thermal/a", place / "thermal/b", place / "eight/fused"
    theirs = score_outputs(place / "own.toml", *sides, name="theirs", out=None)
    assert theirs.identity.protocol == result.identity.protocol
    other = score_outputs(place / "own.toml", *sides, name="theirs", out=None, range_a="0:20000")
    assert other.identity.protocol.params["range_a"] == "0:20000"
    for text, said in (
        (SUITE.replace('"pairs/1"', '"pairs/1"\nrange_a = "14"'), "no range of values"),
        (SUITE.replace('"pairs/1"', '"masked/1"\nrange_b = "14bit"'), "range_b` belongs to the protocol pairs/1"),
    ):
        (place / "bad.toml").write_text(text)
        with pytest.raises(DataError, match=said):
            load_suite(place / "bad.toml")


def test_a_run_is_evaluated_by_ranges(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    """`evaluate` hands them on: the masked protocol refuses them, pairs without files do, and pairs of files do not."""
    code, _, err = run(capsys, "-q", "evaluate", "no-run", "-d", "fusiondigits", "--range-a", "auto")
    assert code == 2 and "--range-a: for --protocol pairs only" in err
    code, _, err = run(capsys, "-q", "evaluate", "no-run", "-d", "pairs-demo", "--range-a", "auto")
    assert code == 2 and "'pairs-demo' reads no folders of image files" in err
    code, _, err = run(capsys, "-q", "evaluate", "no-run", "-d", place / "thermal", "--protocol", "pairs")
    assert code == 2 and "--range-a 14bit" in err
    code, _, err = run(
        capsys, "-q", "evaluate", "no-run", "-d", place / "thermal", "--protocol", "pairs", "--range-a", "auto"
    )
    assert code == 2 and "no-run" in err and "range" not in err
    code, _, err = run(capsys, "-q", "run", "quickstart", "--range-b", "auto")
    assert code == 2 and "no registered pairs" in err


def test_a_recipe_says_what_black_and_white_are(place: Path) -> None:
    (place / "plain.toml").write_text(RECIPE)
    (place / "mine.toml").write_text(RECIPE.replace('"bt601/1"', '"bt601/1"\nrange_a = "14bit"'))
    plain, mine = load_recipe(place / "plain.toml"), load_recipe(place / "mine.toml")
    assert "range_a" not in json.dumps(plain.spec) and plain.hash != mine.hash
    with pytest.raises(DataError, match=r"range_a = in the recipe's \[pairs\]: 14bit"):
        build_dataset(plain, place / "thermal", place / "data")
    stored = open_pairs(build_dataset(mine, place / "thermal", place / "data"))
    files = open_pairs(place / "thermal", ranges=Ranges.parse("14bit"))
    assert stored.identity == files.identity and stored.ranges == files.ranges
    model = create_model("average", _spec(files))  # type: ignore[arg-type]
    ids = {evaluate_pairs(model, pairs, out=None, device="cpu").id for pairs in (stored, files)}
    assert len(ids) == 1
    with pytest.raises(UsageError, match="stored in 8 bits already"):
        open_pairs(place / "data/mine", ranges=Ranges.parse("14bit"))
    for text, said in (("auto", "looks at a whole set"), ("set:percentile:1,99", "whole set"), ("x", "no range")):
        (place / "bad.toml").write_text(RECIPE.replace('"bt601/1"', f'"bt601/1"\nrange_b = "{text}"'))
        with pytest.raises(DataError, match=said):
            load_recipe(place / "bad.toml")


def test_kept_results_have_the_identity_that_they_had() -> None:
    """Shipped results of pairs know nothing of ranges."""
    root = Path(__file__).parents[2] / "benchmarks/results/tno"
    results = [load(path.parent) for path in sorted(root.glob("*/*/result.json"))[:3]]
    assert results
    for result in results:
        assert set(result.identity.protocol.params) == {"stretch", "dialects"}
