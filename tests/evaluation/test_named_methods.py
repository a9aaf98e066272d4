"""What the name of a method stands for, in the order that a user expects, and what is said where it is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.core.plugin_files import plugins_of_this_command
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.named_methods import is_run, method_by_name
from fusionbench.evaluation.suites import load_suite
from fusionbench.models import MODELS

SPEC = ImageSpec(1, 32, 32, 2)


def test_a_model_that_learns_nothing_is_built_with_what_identifies_it_in_a_suite() -> None:
    for row in load_suite("ivif-tno").models:
        if hasattr(MODELS.get(row.name), "loss"):
            continue
        model, params = method_by_name(row.name, SPEC, row.preset, row.params)
        assert type(model) is MODELS.get(row.name)
        assert (params or {}) == row.model_parameters
    model, params = method_by_name("laplacian-pyramid", SPEC, params={"levels": 3})
    assert params == {"levels": 3}
    assert method_by_name("average", SPEC)[1] is None


def test_a_run_comes_first_also_where_a_model_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the folder ``runs``, whose runs may be called by their models."""
    monkeypatch.chdir(tmp_path)
    for name in ("fusionvae", "average"):
        Path(name).mkdir()
        Path(name, "run.json").write_text("{}")
        assert is_run(name) and method_by_name(name, SPEC) == (name, None)
    for built in ({"preset": "tiny"}, {"params": {"levels": 3}}):
        with pytest.raises(FusionbenchError, match="average: a run knows its parameters"):
            method_by_name("average", SPEC, **built)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "built", "told"),
    [
        ("averge", {}, "method or run folder 'averge'. Did you mean 'average'"),
        ("folder", {}, "folder: no run folder"),
        ("folder/nothing", {}, "folder/nothing: no such run"),
        ("", {}, "Unknown method or run folder"),
        ("ifcnn", {}, "ifcnn learns: train it first .*or that of the weights of https://.*weights import"),
        (
            "fusionvae",
            {},
            "fusionvae learns: train it first \\(`fusionbench train fusionvae --data SET`\\) and give the",
        ),
        ("mean-image", {}, "mean-image learns"),
        ("gradient-domain", {"preset": "nature"}, "Did you mean 'natural'"),
        ("laplacian-pyramid", {"params": {"level": 3}}, "Did you mean 'levels'"),
        (
            "laplacian-pyramid",
            {"params": {"levels": "many"}},
            "^laplacian-pyramid: levels='many' is text; give a number",
        ),
        (
            "laplacian-pyramid",
            {"params": {"levels": True}},
            "levels=True is true or false; give a number, .* default 4$",
        ),
        ("gtf", {"params": {"solver": 3}}, "^gtf: solver=3 is a number; give text, such as the default 'admm'$"),
        ("jsr-sd", {"params": {"residual": "no"}}, "residual='no' is text; give true or false"),
        ("jsr-sd", {"params": {"sparsity": [1]}}, r"sparsity=\[1\] is a list; give a number"),
        ("no.py:Class", {}, "no.py"),
    ],
)
def test_what_is_no_method_is_one_line(
    text: str, built: dict[str, object], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with plugins_of_this_command(), pytest.raises(FusionbenchError, match=told) as error:
        method_by_name(text, SPEC, **built)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


OWN = """
import torch
from fusionbench.core.types import Preset


class Mine(torch.nn.Module):
    title, reference, version, PRESETS = "mine", "me", "1", {"tiny": Preset(model={}, training={}, note="x")}

    def __init__(self, spec, w=0.5, sizes=(1, 2), way: "int | str" = 3, other=None, *, must):
        super().__init__()

    def fuse(self, batch): ...
"""


def test_a_value_has_the_kind_of_the_default_where_that_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    with plugins_of_this_command():
        for good in ({"w": 1}, {"w": np.float32(0.1)}, {"sizes": [3]}, {"way": "auto"}, {"other": "x"}, {"w": None}):
            assert method_by_name(f"{tmp_path}/mine.py", SPEC, params={"must": "any", **good})[1] is not None
        for bad in ({"w": "abc"}, {"sizes": 3}, {"sizes": "3"}, {"w": {"a": 1}}):
            with pytest.raises(UsageError, match=f"^mine: {next(iter(bad))}=.* such as the default"):
                method_by_name(f"{tmp_path}/mine.py", SPEC, params={"must": 1, **bad})
