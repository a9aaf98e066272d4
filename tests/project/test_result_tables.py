"""The tables of results on the pages are what the shipped result files give."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.results import saved

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("result_tables", ROOT / "tools" / "result_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(asked: str) -> str:
    return f"before\n<!-- results: {asked} -->\nold\n<!-- end of results -->\nafter\n"


def cells(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def by_views(*means: float) -> dict[str, list[float]]:
    """Two images a score, 1 apart around each mean, for no view to three and their average."""
    at = dict(zip(("0", "1", "2", "3"), means, strict=True)) | {"mean": sum(means) / 4}
    return {f"{name}@{n}": [mean - 0.5, mean + 0.5] for name in ("nll", "mse_min") for n, mean in at.items()}


@pytest.mark.skipif(not (ROOT / "benchmarks" / "results").is_dir(), reason="needs the shipped results")
def test_every_table_on_a_page_is_what_the_results_give(tool: ModuleType) -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = {path.name: path.read_text(encoding="utf-8") for path in pages}
    assert any("<!-- results: " in text for text in texts.values())
    stale = [name for name, text in texts.items() if tool.written(text, ROOT / "benchmarks" / "results") != text]
    assert stale == [], "python tools/result_tables.py writes them"


def test_runs_of_a_model_are_one_row_with_their_spread(tool: ModuleType, tmp_path: Path) -> None:
    saved(tmp_path / "set", "cvae", by_views(90.0, 80.0, 70.0, 60.0), better="lower", seed=0)
    saved(tmp_path / "set", "cvae", by_views(92.0, 82.0, 72.0, 62.0), better="lower", seed=1)
    saved(tmp_path / "set", "fcn", by_views(200.0, 100.0, 100.0, 80.0), better="lower")
    text = tool.written(page("masked set"), tmp_path)
    assert text.startswith("before\n<!-- results: masked set -->\n|") and text.endswith(
        "<!-- end of results -->\nafter\n"
    )
    _, _, fcn, cvae = cells(text)
    assert fcn[:5] == ["fcn", "0", "1", "200.0 / 100.0 / 100.0 / 80.0", "120.0"]
    # averages 75 and 77: a standard deviation of the square root of 2
    assert cvae[2:5] == ["2", "91.0 / 81.0 / 71.0 / 61.0", "76.0 ± 1.4"]
    assert tool.written(text, tmp_path) == text


def test_likelihoods_in_bits_a_value(tool: ModuleType, tmp_path: Path) -> None:
    nats, bits = by_views(90.0, 80.0, 70.0, 60.0), by_views(6.5, 6.25, 6.0, 5.25)
    bits = {key.replace("nll", "nll_bpd"): values for key, values in bits.items() if key.startswith("nll")}
    saved(tmp_path / "set", "cvae", nats | bits, better="lower")
    text = tool.written(page("masked set bits"), tmp_path)
    assert "NLL, bits a value" in text and "nats" not in text
    assert cells(text)[2][3:5] == ["6.500 / 6.250 / 6.000 / 5.250", "6.000"]


def test_changes_are_paired_by_image(tool: ModuleType, tmp_path: Path) -> None:
    saved(tmp_path / "set", "base", by_views(90.0, 80.0, 70.0, 60.0), better="lower")
    # images differ by 1 from each other in both rows, so that the paired difference has no spread at all
    saved(tmp_path / "set", "new", by_views(91.0, 79.0, 70.0, 56.0), better="lower")
    _, _, row = cells(tool.written(page("changes set base"), tmp_path))
    assert row[:3] == ["new", "+1.0 / −1.0 / +0.0 / −4.0", "−1.0 ± 0.0"]


def test_a_bar_in_a_title_starts_no_column(tool: ModuleType) -> None:
    assert tool.lines(["", "NLL"], [["q(z|X,y)", "1.0"]]).splitlines()[2] == r"| q(z\|X,y) | 1.0 |"


def test_changes_of_other_images_are_refused(tool: ModuleType, tmp_path: Path) -> None:
    saved(tmp_path / "set", "base", by_views(90.0, 80.0, 70.0, 60.0), better="lower")
    saved(tmp_path / "set", "new", by_views(91.0, 79.0, 70.0, 56.0), better="lower", ids=[4, 5])
    with pytest.raises(SystemExit, match="not about the same images"):
        tool.written(page("changes set base"), tmp_path)


def test_pairs_are_chosen_by_kind_and_ordered(tool: ModuleType, tmp_path: Path) -> None:
    saved(tmp_path / "set", "pyramid", {"en": [6.0, 7.0], "sd": [30.0, 40.26]}, family="classical")
    saved(tmp_path / "set", "copy", {"en": [5.0, 5.0]}, family="trivial")
    saved(tmp_path / "set", "network", {"en": [8.0, 8.0]})
    found = cells(tool.written(page("pairs set rules as-made EN,SD"), tmp_path))
    assert found[0] == ["", "full", "EN", "SD"]
    assert found[2:] == [["copy", "?", "5.00", "–"], ["pyramid", "?", "6.50", "35.1"]]
    assert cells(tool.written(page("pairs set rules stretched EN"), tmp_path))[2:] == []


def test_leaders_with_and_without_copies(tool: ModuleType, tmp_path: Path) -> None:
    names = [name.lower() for name in tool.PAIRS]
    saved(tmp_path / "set", "copy-a", {name: [2.0, 2.0] for name in names}, family="trivial")
    saved(tmp_path / "set", "filter", {name: [1.0, 1.5] for name in names}, family="classical")
    _, _, first, second = cells(tool.written(page("leaders set"), tmp_path))
    assert first[:4] == ["set", "2", "copy-a 2.00", "copy-a 2.0"]
    assert second[:4] == ["without copies", "2", "filter 1.25", "filter 1.2"]


def test_stacks_are_ordered_by_the_first_metric(tool: ModuleType, tmp_path: Path) -> None:
    for name, psnr in (("worse", 20.04), ("best", 40.0)):
        saved(tmp_path / "x", name, {"psnr_target": [psnr, psnr], "mef_ssim": [0.5, 0.75]})
    saved(tmp_path / "x", "blind", {"mef_ssim": [0.25, 0.5]})
    found = cells(tool.written(page("stacks x psnr_target,mef_ssim"), tmp_path))
    assert found[0] == ["", "PSNR to the target", "MEF-SSIM"]
    assert [row[1:] for row in found[2:]] == [["40.0", "0.625"], ["20.0", "0.625"], ["–", "0.375"]]


def test_agreement_is_of_the_rows_that_have_both(tool: ModuleType, tmp_path: Path) -> None:
    for place, (en, sd, sf) in enumerate([(1.0, 9.0, 5.0), (2.0, 8.0, 7.0), (3.0, 7.0, 6.0)]):
        values = {name.lower(): [place + 1.0] * 2 for name in tool.PAIRS}
        saved(tmp_path / "set", f"m{place}", values | {"en": [en] * 2, "sd": [sd] * 2, "sf": [sf] * 2})
    saved(tmp_path / "set", "copy", {"en": [9.0, 9.0], "sd": [9.0, 9.0]}, family="trivial")
    head, _, sd_row, sf_row, *_ = cells(tool.written(page("agreement set"), tmp_path))
    assert head[:3] == ["4 rows", "EN", "SD"]
    # ranks 1, 2, 3, 4 against 3.5, 2, 1, 3.5: a correlation of -0.5/√(5·4.5)
    assert sd_row[:2] == ["SD", "−0.11"]
    assert sf_row[:3] == ["SF", "0.50", "−0.50"]


def probe_rows(root: Path, folder: str, rows: dict[str, list[float]]) -> None:
    """Rows of the probe with these values of persons, and of persons in colour 0.1 more, scene by scene."""
    for name, values in rows.items():
        table = {"ap@person": values, "ap_colour@person": [value + 0.1 for value in values]}
        protocol = {"name": "probe", "params": {"classes": ["person"]}}
        saved(root / folder, name, table, family="classical", protocol=protocol)


def test_the_probe_has_references_first_and_losses_paired_by_scene(tool: ModuleType, tmp_path: Path) -> None:
    rows = {"copy-a": [0.4, 0.6, 0.5], "stack": [0.5, 0.7, 0.6], "copy-b": [0.1, 0.1, 0.1]}
    probe_rows(tmp_path, "set", rows | {"weak": [0.1, 0.3, 0.2], "strong": [0.3, 0.5, 0.4]})
    found = cells(tool.written(page("probe set"), tmp_path))
    assert [row[0] for row in found[2:]] == ["copy-a", "copy-b", "stack", "strong", "weak"]
    # a standard deviation of 0.1 over three scenes: 4.303 · 0.1 / √3
    assert found[2][1] == "0.500 ± 0.248" and found[2][2].startswith("0.600")
    head, _, infrared, *_, weak = cells(tool.written(page("losses set person"), tmp_path))
    assert head[0] == "person" and infrared[1] == ""
    assert weak[1:3] == ["−0.300 ± 0.000", "−0.400 ± 0.000"] and weak[3].startswith("−0.200")


def test_order_is_a_rank_correlation_over_rows_in_both(tool: ModuleType, tmp_path: Path) -> None:
    probe_rows(tmp_path, "set", {"copy-a": [0.9] * 3, "one": [0.1] * 3, "two": [0.2] * 3, "three": [0.3] * 3})
    for name, en in (("copy-a", 0.0), ("one", 3.0), ("two", 2.0), ("three", 1.0), ("elsewhere", 9.0)):
        saved(tmp_path / "other", name, {"en": [en, en], "sd": [-en, -en]}, family="classical")
    head, _, row = cells(tool.written(page("order set person other"), tmp_path))
    assert head[:3] == ["3 rows", "EN", "SD"] and row[:4] == ["AP person", "−1.00", "+1.00", "–"]


def test_readers_stand_beside_the_closed_form(tool: ModuleType, tmp_path: Path) -> None:
    probe_rows(tmp_path, "unets", {"copy-a": [0.4, 0.6, 0.5], "weak": [0.1, 0.3, 0.2]})
    probe_rows(tmp_path, "set", {"copy-a": [0.3] * 3, "weak": [0.7] * 3, "other": [0.9] * 3})
    [path] = (tmp_path / "unets").rglob("weak/*/result.json")
    content = json.loads(path.read_text())
    content["scores"]["ap@person"]["extra"] = {"seeds": [0.15, 0.25]}
    path.write_text(json.dumps(content))
    head, _, infrared, weak = cells(tool.written(page("readers unets set"), tmp_path))
    assert head[1:] == ["AP person", "each U-Net", "less infrared", "closed form"]
    assert infrared == ["copy-a", "0.500 ± 0.248", "", "", "0.300 ± 0.000"]
    assert weak == ["weak", "0.200 ± 0.248", "0.150, 0.250", "−0.300 ± 0.000", "0.700 ± 0.000"]


def test_check_writes_nothing(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "set", "copy", {"en": [5.0, 5.0]}, family="trivial")
    (tmp_path / "page.md").write_text(page("pairs set rules as-made EN"))
    words = ["result_tables.py", str(tmp_path / "page.md"), "--results", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*words, "--check"])
    assert tool.main() == 1
    assert (tmp_path / "page.md").read_text() == page("pairs set rules as-made EN")
    monkeypatch.setattr("sys.argv", words)
    assert tool.main() == 0
    assert "| copy | ? | 5.00 |" in (tmp_path / "page.md").read_text()
    monkeypatch.setattr("sys.argv", [*words, "--check"])
    assert tool.main() == 0
