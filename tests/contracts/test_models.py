"""What every registered model must do; a new model is under these tests the moment it is registered.

The checks themselves are in ``fusionbench.models.checks``, where users run them on classes of their own; here they
are also held to finding what is wrong.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.models import MODELS, create_model
from fusionbench.models.checks import CHECKS, ModelCandidate, NotApplicable, check_class, load_class
from tests.cli.runner import run

MODEL_NAMES = MODELS.names()


@lru_cache
def candidate(name: str) -> ModelCandidate:
    presets = MODELS.get(name).PRESETS
    preset = "tiny" if "tiny" in presets else next(iter(presets))
    return ModelCandidate(MODELS.get(name), lambda spec: create_model(name, spec, preset))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_registered_models(name: str, check: str) -> None:
    try:
        CHECKS[check](candidate(name))
    except NotApplicable as reason:
        pytest.skip(str(reason))


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
