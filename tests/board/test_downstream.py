"""Columns of the probe on pages of pairs: of the same model, the same origin of images, and never ranked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionbench.board.rows import benchmarks
from fusionbench.board.table import heads, slots
from tests.helpers.results import saved

PROBE: dict[str, Any] = {"name": "probe", "params": {"classes": ["person"]}}


def write(root: Path) -> None:
    def probed(name: str, value: float, **more: Any) -> None:
        values = {"ap": [value] * 6, "ap@person": [value - 0.1, value + 0.1] * 3}
        saved(root, name, values, protocol=PROBE, dataset={"name": "msrs-half", "split": "all"}, **more)

    for name, value in (("stack", 0.5), ("average", 0.25), ("other", 0.1)):
        probed(name, value, family="trivial")
    probed("net", 0.3, seed=1)
    unets = {"name": "probe", "params": PROBE["params"] | {"unet": 500}}
    values = {"ap": [0.9] * 6, "ap@person": [0.9] * 6}
    saved(root, "average", values, protocol=unets, dataset={"name": "msrs-half", "split": "all"}, family="trivial")
    for dataset in ("msrs", "tno"):
        for name in ("average", "unprobed"):
            saved(root, name, {"en": [6.0] * 6}, family="trivial", dataset={"name": dataset})
        saved(root, "net", {"en": [7.0] * 6}, dataset={"name": dataset}, seed=2)  # other weights
    stretched = {"name": "pairs", "params": {"stretch": True}}
    saved(root, "average", {"en": [6.0] * 6}, family="trivial", dataset={"name": "msrs"}, protocol=stretched)


def test_rows_take_the_values_of_the_same_model(tmp_path: Path) -> None:
    write(tmp_path)
    found_benchmarks = benchmarks(tmp_path)
    assert {"msrs-half-1-0-0-all", "msrs-half-1-0-0-all-u-nets"} < {one.slug for one in found_benchmarks}
    made = {one.first.identity.dataset.name: one for one in found_benchmarks}
    assert not made["tno"].downstream and not made["msrs-half"].downstream  # another origin; the probe itself
    [(key, (title, about))] = made["msrs"].downstream.items()
    assert title == "person" and about.endswith("both sources as channels reach 0.500")
    found = [(row.title, row.kind, row.downstream[key].text) for row in made["msrs"].rows if row.kind != "bound"]
    assert sorted(found) == [
        ("average", "ranked", "0.250"),
        ("average", "stretched", ""),
        ("net", "ranked", ""),
        ("unprobed", "ranked", ""),
    ]
    row = next(row for row in made["msrs"].rows if row.downstream[key].text)
    assert "msrs-half" in row.downstream[key].note and "95 % interval" in row.downstream[key].note
    assert key not in row.ranks and key not in row.cells
    columns = heads(made["msrs"], {}, True)
    assert len(columns) == len(slots(row, made["msrs"], {}, True)) and (columns[-1].title, columns[-1].unit) == (
        "person",
        "downstream",
    )
    assert made["msrs-half"].counted == "scenes" and made["msrs"].counted == "images"
