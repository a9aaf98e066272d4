"""The options of ranges, given to ``generate``, ``plan`` and ``recipe new``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fusionbench.data.dataset import open_dataset
from tests.cli.test_generate import run
from tests.data.test_build import contents
from tests.helpers.pair_folders import TEXT as PAIRS


def test_ranges_of_pairs_are_those_of_the_recipe(tmp_path: Path) -> None:
    """Oracle: the data set of the recipe in which the keys are written, and that of the same images in 8 bits."""
    for name in ("s0", "s1"):
        image = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) % 256
        image[0, 0] = 255
        for folder, pixels in (("a", image * 64), ("b", image)):  # 0..16320 of 16 bits
            (tmp_path / "deep" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels if folder == "a" else pixels.astype(np.uint8)).save(
                tmp_path / "deep" / folder / f"{name}.png"
            )
    (tmp_path / "plain.toml").write_text(PAIRS)
    (tmp_path / "written.toml").write_text(PAIRS.replace('"bt601/1"', '"bt601/1"\nrange_a = "0:16320"'))
    args = ("--source-dir", "deep", "-j", "1", "--out")
    refused = run("generate", "--recipe", "plain.toml", *args, "d", cwd=tmp_path)
    assert refused.returncode == 2 and "fill less than 3/4" in refused.stderr
    written = run("generate", "--recipe", "written.toml", *args, "d", cwd=tmp_path)
    option = run("generate", "--recipe", "plain.toml", *args, "e", "--range-a", "0:16320", "--json", cwd=tmp_path)
    facts = json.loads(option.stdout)
    one, two = tmp_path / written.stdout.strip(), tmp_path / facts["folder"]
    assert contents(one) == contents(two) and one.relative_to(tmp_path / "d") == two.relative_to(tmp_path / "e")
    manifest = json.loads((two / "manifest.json").read_text())
    assert manifest["recipe"]["pairs"]["range_a"] == "0:16320" and manifest["id"] == facts["id"]
    pixels = open_dataset(two).arrays("train").views[0]
    assert np.array_equal(pixels[0], pixels[1]), "a in 16 bits is b in 8"
    over = run("plan", "--recipe", "written.toml", *args, "d", "--range-a", "14bit", "--json", cwd=tmp_path)
    assert json.loads(over.stdout)["finished"] is False, "another range is another data set"
    same = run("plan", "--recipe", "plain.toml", *args, "d", "--range-a", "0:16320", "--json", cwd=tmp_path)
    assert json.loads(same.stdout)["finished"] is True


def test_ranges_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_text(PAIRS)
    copy = "`fusionbench recipe new my-tno --from tno --range-a 14bit > my-tno.toml`"
    cases = {
        ("generate", "tno", "--range-a", "14bit"): copy,
        ("plan", "tno", "--range-a", "14bit"): copy,
        ("generate", "fusiondigits", "--range-b", "14bit"): "made of single images",
        ("generate", "--recipe", "plain.toml", "--range-a", "auto"): "looks at a whole set",
        ("generate", "--recipe", "plain.toml", "--range-a", "15"): "--range-a: '15' is no range",
        ("recipe", "new", "mine", "--range-a", "14bit"): "go with --from",
        ("recipe", "new", "mine", "--from", "tno", "--group-before", "_"): "edit the copy",
    }
    for args, message in cases.items():
        done = run(*args, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr and done.stdout == "", (args, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["plain.toml"]
    copied = run("recipe", "new", "my-tno", "--from", "tno", "--range-a", "14bit", cwd=tmp_path)
    assert copied.returncode == 0 and 'name = "my-tno"' in copied.stdout and 'range_a = "14bit"' in copied.stdout
