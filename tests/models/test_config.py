"""Parameters of models: names, types and values are checked; defaults and plugins' keywords are seen alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec, Preset
from fusionbench.evaluation.catalogue import model_card
from fusionbench.models import MODELS, create_model, defaults_of, parameters_of, register_model
from fusionbench.models.config import Count, ModelConfig, Positive, check_choice

MASKED, PAIRS = ImageSpec(1, 16, 16, 3), ImageSpec(1, 16, 16, 2)
FAMILY = {
    "channels": 8,
    "groups": (5, 2),
    "cells": 1,
    "blocks": 2,
    "block_cells": 1,
    "latents": 10,
    "output": "bernoulli",
    "regularise": 0.01,
    "kl_warmup": 0.3,
    "separate_norm": False,
    "importance_draws": 1,
    "importance_share": 0.1,
}
FUSIONVAE = {"aggregation": "max-add", "group_order": "code", "posterior": "y", "residual": False}


class Sizes(ModelConfig, frozen=True, kw_only=True):
    model: ClassVar[str] = "example"
    width: Positive = 8
    depth: Count = 2
    widths: tuple[Positive, ...] = (1, 2)
    rate: float = 0.5
    kind: str = "a"

    def __post_init__(self) -> None:
        check_choice(self.model, kind=(self.kind, ("a", "bb")))


def test_options_become_a_record_that_cannot_change() -> None:
    config = Sizes.of({"width": 3, "widths": [4, 5], "rate": 2})
    assert (config.width, config.depth, config.widths, config.rate, config.kind) == (3, 2, (4, 5), 2.0, "a")
    with pytest.raises(AttributeError):
        config.width = 4  # type: ignore[misc]


def test_numbers_and_arrays_of_numpy_are_taken() -> None:
    config = Sizes.of({"width": np.int64(3), "widths": np.array([4, 5]), "rate": np.float32(0.25)})
    assert (config.width, config.widths, config.rate) == (3, (4, 5), 0.25) and type(config.width) is int


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widht": 3}, "Unknown parameter of example 'widht'. Did you mean 'width' or 'widths'? See `fusionbench"),
        ({"width": "3"}, "example cannot be built with width='3': Expected `int`, got `str`"),
        ({"width": 0}, "example cannot be built with width=0: Expected `int` >= 1"),
        ({"depth": -1}, "Expected `int` >= 0"),
        ({"widths": [1, 0]}, "Expected `int` >= 1"),
        ({"widths": {"a": 1}}, "Expected `array`, got `object`"),
        ({"width": True}, "Expected `int`, got `bool`"),
        ({"kind": "b"}, "Unknown kind of example 'b'. Did you mean 'bb'?"),
    ],
)
def test_what_does_not_fit_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Sizes.of(options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "spec", "options", "message"),
    [
        ("fcn", MASKED, {"skip": True}, "Unknown parameter of fcn 'skip'. Did you mean 'skips'"),
        ("fcn", MASKED, {"posterior": "xy"}, "Unknown parameter of fcn 'posterior'"),
        ("cvae", MASKED, {"latents": 0}, "cvae cannot be built with latents=0"),
        (
            "fusionvae",
            MASKED,
            {"group_order": "tabel"},
            "Unknown group_order of fusionvae 'tabel'. Did you mean 'table'",
        ),
        ("fusionvae-plus", MASKED, {"posterior": "x"}, "Unknown posterior of fusionvae-plus 'x'"),
        ("fusionvae-plus", MASKED, {"pooling": "mxa"}, "Unknown pooling of fusionvae-plus 'mxa'. Did you mean 'max'"),
        ("dae-fuse", PAIRS, {"heads": 0}, "dae-fuse cannot be built with heads=0"),
        ("mfeif", PAIRS, {"skip": "maen"}, "Unknown skip of mfeif 'maen'. Did you mean 'mean'"),
    ],
)
def test_a_class_by_itself_says_the_same_as_its_registered_name(
    name: str, spec: ImageSpec, options: dict[str, Any], message: str
) -> None:
    for build in (lambda: MODELS.get(name)(spec, **options), lambda: create_model(name, spec, **options)):
        with pytest.raises(UsageError) as caught:
            build()
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_defaults_of_the_family() -> None:
    """As the first release had them: a result's identity holds only what was given, so a default must not change."""
    assert defaults_of(MODELS.get("fcn")) == defaults_of(MODELS.get("cvae+s")) == FAMILY | {"skips": None}
    assert defaults_of(MODELS.get("fusionvae")) == FAMILY | FUSIONVAE
    plus = {"context": True, "pooling": "softmax", "hide": 0.25}
    assert defaults_of(MODELS.get("fusionvae-plus")) == FAMILY | FUSIONVAE | plus
    patch = {"patch": 4, "pixel_channels": 8}
    assert defaults_of(MODELS.get("fusionvae-patch")) == FAMILY | FUSIONVAE | plus | patch


def test_defaults_of_the_models_of_pairs() -> None:
    both = {"critic_widths": (32, 64, 128, 256), "critic_norm": "batch", "phase_steps": None, "intensity_weight": 1.0}
    both |= {"adversarial_weight": 0.01}
    dae, mfeif = defaults_of(MODELS.get("dae-fuse")), defaults_of(MODELS.get("mfeif"))
    assert both.items() <= dae.items() and both.items() <= mfeif.items()
    assert (dae["phase_share"], dae["texture_weight"], dae["texture"]) == (1 / 3, 10.0, "magnitude")
    assert (mfeif["phase_share"], mfeif["texture_weight"], mfeif["texture"]) == (0.75, 1.0, "directed")
    assert (dae["width"], dae["heads"], dae["blocks"], dae["detail_blocks"]) == (64, 8, 4, 8)
    assert (mfeif["widths"], mfeif["attention_maps"], mfeif["skip"]) == ((16, 32, 48, 64), 64, "attention")
    assert (len(dae), len(mfeif), mfeif["edges"]) == (27, 21, "forward")


class Keywords(torch.nn.Module):
    title, reference, version = "plain keywords", "nobody", "1"
    PRESETS: ClassVar = {"tiny": Preset({"width": 4}, {}, "for the test")}

    def __init__(self, spec: ImageSpec, width: int, *, act: Any = torch.relu, how: str = "a") -> None:
        super().__init__()
        self.width, self.how = width, how


class More(Keywords):
    def __init__(self, spec: ImageSpec, depth: int = 2, **params: Any) -> None:
        super().__init__(spec, **params)
        self.depth = depth


class Configured(torch.nn.Module):
    title, reference, version = "a record", "nobody", "1"
    PRESETS: ClassVar = {"tiny": Preset({"width": 4}, {}, "for the test")}

    class Config(msgspec.Struct, frozen=True):
        width: int
        names: list[str] = []

    def __init__(self, spec: ImageSpec, *, depth: int = 2, **options: Any) -> None:
        super().__init__()
        self.depth, self.config = depth, msgspec.convert(options, self.Config)


def test_classes_of_plugins_keep_their_keywords() -> None:
    assert defaults_of(Keywords) == {"width": None, "act": torch.relu, "how": "a"}
    assert parameters_of(More) == ["depth", "width", "act", "how"]
    assert defaults_of(Configured) == {"depth": 2, "width": None, "names": []}


def test_plugins_are_built_and_described(monkeypatch: pytest.MonkeyPatch) -> None:
    # for this test alone
    monkeypatch.setattr(MODELS, "_objects", dict(MODELS._objects))
    register_model("kw-of-test")(Keywords)
    register_model("config-of-test")(Configured)
    built = create_model("kw-of-test", MASKED, "tiny", how="b")
    assert isinstance(built, Keywords) and (built.width, built.how) == (4, "b")
    other = create_model("config-of-test", MASKED, "tiny", depth=3)
    assert isinstance(other, Configured) and (other.config.width, other.depth) == (4, 3)
    with pytest.raises(UsageError, match=r"Unknown parameter of config-of-test 'widht'. Did you mean 'width'"):
        create_model("config-of-test", MASKED, widht=3)
    card = json.loads(json.dumps(model_card("kw-of-test"), allow_nan=False))
    assert card["parameters"]["how"] == "a" and "relu" in card["parameters"]["act"]


def test_a_card_lists_every_parameter() -> None:
    for name in ("cvae+s", "fusionvae-plus", "mfeif", "gtf", "average"):
        assert list(model_card(name)["parameters"]) == parameters_of(MODELS.get(name))


def test_a_model_survives_copies_and_pickles(tmp_path: Path) -> None:
    model = create_model("mfeif", PAIRS, "tiny", skip="sum")
    torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    assert loaded.config == model.config and loaded.config.skip == "sum"  # type: ignore[attr-defined]


def test_names_of_parameters_do_not_need_torch() -> None:
    code = "import sys, fusionbench.models, fusionbench.models.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
