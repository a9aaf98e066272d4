"""The checks of the model contract: each finds what it is about, and the report says so; bad files are one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.types import ImageSpec
from fusionbench.models import MODELS
from fusionbench.models.checks import (
    CHECKS,
    MASKED,
    PAIRS,
    CheckRow,
    ContractReport,
    NotApplicableError,
    answers,
    batch_of,
    candidate_of,
    check_class,
    load_class,
    part,
)
from tests.cli.runner import run

NET = """
import torch
from fusionbench.core.types import LossTerms, Preset


class Net(torch.nn.Module):
    title, reference, version = "A net", "nobody, nowhere", "1"
    PRESETS = {"tiny": Preset(note="for the test")}

    def __init__(self, spec):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def fuse(self, batch):
        given = batch.present[..., None, None, None]
        total = torch.where(given, batch.views, 0.0).sum(1)
        return (self.scale * total / batch.present.sum(1).clamp(min=1)[:, None, None, None]).clamp(0, 1)

    def parameter_groups(self):
        return {"main": list(self.parameters())}

    def loss(self, batch, group, step):
        return LossTerms((self.fuse(batch) - batch.target).square().mean())
"""

WRONG = {
    "says_what_it_is": ('"nobody, nowhere"', '""'),
    "shapes_ranges_and_types": (".clamp(0, 1)", "* 2 + 1"),
    "same_question_same_answer": (".clamp(0, 1)", ".mul(0.5 + 0.5 * torch.rand(())).clamp(0, 1)"),
    "batch_and_order_do_not_matter": (".clamp(0, 1)", ".mul(1 - 0.1 * len(batch)).clamp(0, 1)"),
    "absent_views_do_not_matter": ("torch.where(given, batch.views, 0.0)", "batch.views"),
    "mixed_numbers_of_views": ("batch.present.sum(1)", "batch.present.sum(1).float().mean().expand(len(batch))"),
    "every_parameter_learns": (
        "self.scale =",
        "self.lost = torch.nn.Parameter(torch.ones(()))\n        self.scale =",
    ),
    "weights_survive_a_file": (
        "self.scale = torch.nn.Parameter(torch.ones(()))",
        "self.scale = torch.nn.Parameter(torch.ones(()))\n        self.bias = 0.1 * torch.rand(())"
        ".item() + next(_noise)",
    ),
}


def written(folder: Path, text: str = NET) -> str:
    (folder / "my_model.py").write_text("_noise = iter([0.1, 0.2, 0.3, 0.4] * 9)\n" + text)
    return f"{folder}/my_model.py:Net"


def test_a_class_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, table, err = run(capsys, "check", written(tmp_path))
    assert code == 0, table + err
    assert "**Net**, 1 parameters" in table and "| every_parameter_learns |" in table
    assert table.count("| passes |") == len(CHECKS) and "| gradients_are_right_on_this_processor |" in table
    assert "does not apply: no sample |" in table
    report: dict[str, Any] = json.loads(run(capsys, "check", written(tmp_path), "--json")[1])
    assert report["ok"] and {row["check"] for row in report["checks"]} == {
        *CHECKS,
        "gradients_are_right_on_this_processor",
    }


@pytest.mark.parametrize("check", WRONG)
def test_what_is_wrong_is_found(tmp_path: Path, check: str) -> None:
    old, new = WRONG[check]
    text = NET.replace(old, new)
    assert text != NET
    if check == "weights_survive_a_file":
        text = text.replace("self.scale * total", "self.scale * self.bias * total")
    report = check_class(load_class(written(tmp_path, text)))
    assert check in [row.check for row in report.rows if row.verdict == "fails"]


def test_draws_that_are_not_keyed() -> None:
    class Sampler(torch.nn.Module):
        def sample(self, batch: Any, n: int, seed: int) -> torch.Tensor:
            generator = torch.Generator().manual_seed(seed + n)
            return torch.rand((n, *batch.views[:, 0].shape), generator=generator)

    rows = {row.check: row for row in check_class(type("S", (Sampler,), {"__init__": lambda s, spec: _init(s)})).rows}
    assert rows["draws_do_not_depend_on_their_number"].reason == "the first draw depends on how many are drawn"
    assert rows["every_parameter_learns"].verdict == "does not apply"


def _init(module: torch.nn.Module) -> None:
    torch.nn.Module.__init__(module)


def test_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = written(tmp_path, NET.replace(".clamp(0, 1)", "* 2 + 1"))
    code, table, err = run(capsys, "check", bad)
    assert code == 1 and "| fails: fuse spans 1" in table and "checks fail: shapes_ranges_and_types" in err
    assert run(capsys, "check", f"{tmp_path}/none.py:Net")[0] == 2
    assert "has no torch.nn.Module called 'Other'" in run(capsys, "check", bad.replace(":Net", ":Other"))[2]
    code, _, err = run(capsys, "check", written(tmp_path, "import no_such_package"))
    assert code == 2 and "cannot be imported: ModuleNotFoundError" in err and "Traceback" not in err


@pytest.mark.parametrize("spec", [MASKED, PAIRS, ImageSpec(3, 24, 40, 5)])
def test_the_batch_of_the_checks(spec: ImageSpec) -> None:
    """Boxes on black; a view is the target, black in half of its columns; the same every time."""
    batch, again = batch_of(3, spec), batch_of(3, spec)
    assert batch.target is not None and again.target is not None
    assert torch.equal(batch.target, again.target) and torch.equal(batch.views, again.views)
    assert batch.views.shape == (3, spec.views, spec.channels, spec.height, spec.width)
    assert batch.present.all() and batch.ids.tolist() == [0, 1, 2]
    for target, views in zip(batch.target, batch.views, strict=True):
        shades = set(target.unique().tolist())
        assert len(shades) == 2 and min(shades) == 0 and 0.5 <= max(shades) <= 1
        assert int((target[0] > 0).sum()) == (spec.height // 3) * (spec.width // 3)
        for view in views:
            changed = (view != target).any(0).any(0).nonzero().flatten().tolist()
            assert ((view == target) | (view == 0)).all()
            assert not changed or changed[-1] - changed[0] < spec.width // 2
    assert batch_of(2, spec, target=False).target is None


def test_rows_of_a_batch() -> None:
    batch = batch_of(4, MASKED)
    some = part(batch, [2, 0])
    assert some.ids.tolist() == [2, 0] and torch.equal(some.views, batch.views[[2, 0]])
    assert some.target is not None and batch.target is not None and torch.equal(some.target[1], batch.target[0])
    assert part(batch_of(2, PAIRS, target=False), [1]).target is None


def test_candidates_use_the_smallest_preset_and_the_data_that_the_model_takes() -> None:
    masked, pairs = candidate_of(MODELS.get("fcn")), candidate_of(MODELS.get("cbf"))
    assert masked.ready[0].shape.channels == MODELS.get("fcn").PRESETS["tiny"].model["channels"] == 4
    assert masked.ready[1].target is not None and masked.ready[0] is masked.ready[0]
    assert pairs.ready[1].target is None and pairs.ready[1].views.shape[1] == 2
    with pytest.raises(NotApplicableError, match="a model of pairs"):
        pairs.need_masked()
    with pytest.raises(NotApplicableError, match="no sample"):
        masked.need("fuse", "sample")
    assert not masked.ready[0].training and masked.fresh()[0].training


def test_answers_are_samples_first() -> None:
    model, batch = candidate_of(MODELS.get("cvae")).ready
    found = answers(model, batch)
    assert {key: tuple(value.shape[:2]) for key, value in found.items()} == {
        "fuse": (4, 1),
        "sample": (4, 3),
        "log_weights": (4, 3),
    }
    assert torch.equal(found["sample"][1, 2], model.sample(batch, 3, seed=5)[2, 1])  # type: ignore[attr-defined]


def test_an_error_in_the_models_code_is_a_failed_check(tmp_path: Path) -> None:
    text = NET.replace("given = batch", "raise KeyError('of\\nmine')\n        given = batch")
    report = check_class(load_class(written(tmp_path, text)))
    rows = {row.check: row for row in report.rows}
    assert list(rows) == list(CHECKS) and not report.ok
    assert rows["says_what_it_is"].verdict == "passes"
    assert rows["shapes_ranges_and_types"].verdict == "fails"
    assert rows["shapes_ranges_and_types"].reason.startswith("KeyError: ")
    assert "\n" not in rows["shapes_ranges_and_types"].reason


def test_a_class_that_cannot_be_built_fails_everything_but_its_texts(tmp_path: Path) -> None:
    report = check_class(load_class(written(tmp_path, NET.replace("super().__init__()", "raise ValueError('no')"))))
    assert report.parameters is None and not report.ok
    assert {row.check for row in report.rows if row.verdict == "passes"} == {"says_what_it_is"}


def test_reports() -> None:
    report = ContractReport("Net", 1234, [CheckRow("a", "about a", "passes")])
    assert report.ok and "**Net**, 1,234 parameters" in report.as_markdown()
    report.rows.append(CheckRow("b", "about b", "does not apply", "no sample"))
    assert report.ok, "what does not apply is no failure"
    report.rows.append(CheckRow("c", "about c", "fails", "x|y differs"))
    assert not report.ok
    assert report.as_markdown().splitlines()[-1] == "| c | about c | fails: x\\|y differs |", "a bar ends a cell"
    assert report.as_json() == {
        "ok": False,
        "kind": "model",
        "model": "Net",
        "parameters": 1234,
        "checks": [
            {"check": "a", "about": "about a", "verdict": "passes", "reason": ""},
            {"check": "b", "about": "about b", "verdict": "does not apply", "reason": "no sample"},
            {"check": "c", "about": "about c", "verdict": "fails", "reason": "x|y differs"},
        ],
    }


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; name a class as my_model.py:Net"):
        load_class(str(tmp_path / "my_model.py"))
    with pytest.raises(DataError, match="cannot be imported: SyntaxError"):
        load_class(written(tmp_path, "def ("))
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(
        UsageError, match=r"empty\.py: has no model; `fusionbench new model NAME` writes one that works"
    ):
        load_class(str(tmp_path / "empty.py"))
    (tmp_path / "two.py").write_text(NET + "\n\nclass Other(Net):\n    pass\n")
    with pytest.raises(UsageError, match=r"two\.py: has 2 models \(Net, Other\); name one as .*two\.py:NAME"):
        load_class(str(tmp_path / "two.py"))
    (tmp_path / "net.txt").write_text(NET)
    with pytest.raises(UsageError, match="not a Python file"):
        load_class(f"{tmp_path}/net.txt:Net")
    with pytest.raises(UsageError, match=r"has no torch.nn.Module called 'torch'"):
        load_class(written(tmp_path).replace(":Net", ":torch"))
    with pytest.raises(UsageError, match=r"has no torch.nn.Module called 'LossTerms'"):
        load_class(written(tmp_path).replace(":Net", ":LossTerms"))
