"""Rows of pairs-robust/1: folders of images that were made elsewhere, and the sheet of a pair."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench.core.errors import DataError, SizesDiffer, UsageError
from fusionbench.core.images import encode_png, read_image
from fusionbench.core.io import write_bytes
from fusionbench.evaluation import robust_rows
from fusionbench.evaluation.external import score_outputs
from fusionbench.evaluation.image_rows import pair_by_stem
from fusionbench.evaluation.pair_sets import PairSet, open_pairs
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.robust_rows import write_inputs, write_suite_inputs
from fusionbench.evaluation.robustness import degraded_pair
from fusionbench.results.robustness import DamageCondition
from tests.helpers.robust_pairs import FEW, average, scored, write_pairs

ROBUST = PROTOCOLS.get("pairs-robust/1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def pairs(root: Path) -> PairSet:
    return open_pairs("pairs", "all", root)


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


def test_a_sheet_of_the_first_pair_is_kept_where_somebody_asks(root: Path, pairs: PairSet, tmp_path: Path) -> None:
    from fusionbench.models import create_model

    options = ROBUST.options(**FEW, limit=1)
    data = ROBUST.open("pairs", options, source_dir=root)
    model = create_model("average", ROBUST.spec(data))
    result = ROBUST.evaluate(model, data, options, out=tmp_path, device="cpu", keep_images=True)
    (name,) = result.pictures.values()
    assert (result.folder(tmp_path) / name).read_bytes().startswith(b"\x89PNG")
    assert not ROBUST.evaluate(model, data, options, out=None, device="cpu").pictures


def test_inputs_of_a_suite_are_those_of_its_conditions_and_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusionbench.evaluation.pair_images import save_sources

    demo = open_pairs("pairs-demo", "all", limit=1)
    save_sources(demo, tmp_path)
    a, b = (tmp_path / "pairs-demo" / "sources" / side for side in "ab")
    suite = tmp_path / "mine.toml"
    text = 'format = "fusionbench.suite/1"\nname = "mine"\ntitle = "Mine"\ndataset = "pairs-demo"\nsplit = "all"\n'
    text += '[protocol]\nname = "pairs-robust/1"\nlimit = 1\nfamilies = ["drop/1"]\nseverities = [5]\n'
    suite.write_text(f'{text}[[models]]\nname = "average"\n')
    folders_made = write_suite_inputs(suite, a, b, tmp_path / "inputs")
    assert [folder.name for folder in folders_made] == ["clean", "drop-1-severity-5"]
    stem = demo.stems[0]
    written = np.stack([read_image(folders_made[1] / side / f"{stem}.png").grey() for side in "ab"])
    assert (written == degraded_pair(demo, 0, DamageCondition("drop/1", 5))).all()
    with pytest.raises(UsageError, match="there is something already"):
        write_suite_inputs(suite, a, b, tmp_path / "inputs")
    whole = {path: path.read_bytes() for path in sorted((tmp_path / "inputs").rglob("*")) if path.is_file()}
    writes: list[Path] = []

    def interrupted(path: Path, content: bytes) -> None:
        writes.append(path)
        if len(writes) == 3:
            raise KeyboardInterrupt
        write_bytes(path, content)

    monkeypatch.setattr(robust_rows, "write_bytes", interrupted)
    for folder in folders_made:
        shutil.rmtree(folder)
    with pytest.raises(KeyboardInterrupt):
        write_suite_inputs(suite, a, b, tmp_path / "inputs")
    with pytest.raises(DataError, match="its degraded pairs are unfinished"):
        pair_by_stem({"a": folders_made[0] / "a", "b": b})
    write_suite_inputs(suite, a, b, tmp_path / "inputs")  # the same command goes on
    assert whole == {path: path.read_bytes() for path in sorted((tmp_path / "inputs").rglob("*")) if path.is_file()}
    with pytest.raises(UsageError, match="pairs-demo is scored under pairs/1, which degrades nothing"):
        write_suite_inputs("pairs-demo", a, b, tmp_path / "other")
