"""The untrained network is the rule and steps uphill by hand; training and its two aims do what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.models.classical.gradient_domain import GradientDomain, bent
from fusionbench.models.fusing_memory import fusing_memory
from fusionbench.models.pairs import gradient_domain_net
from fusionbench.models.pairs.gradient_domain_net import GradientDomainNet
from fusionbench.models.pairs.metric_losses import edge_ascent, pooled_scd, soft_qabf
from tests.helpers.pairs import SPEC, learn, pair_batch, smallest


@pytest.mark.parametrize("rule", ["metrics", "natural"])
def test_untrained_it_is_the_rule_and_steps_uphill(rule: str) -> None:
    """At a size that is no multiple of 8."""
    model = smallest(GradientDomainNet, rule=rule)
    batch = pair_batch(1, 37, 42)
    a, b = batch.views[:, 0], batch.views[:, 1]
    by_rule = GradientDomain(SPEC, **{**GradientDomain.PRESETS[rule].model, "shadow": 0.0})
    start = model.ruled(a, b)
    torch.testing.assert_close(bent(start, 0.045), by_rule.fuse(batch), atol=1e-6, rtol=0)
    padded = torch.nn.functional.pad
    mirrored = [padded(x, (0, 6, 0, 3), mode="reflect") for x in (a, b, start)]
    for _ in range(2):
        uphill = edge_ascent(bent(mirrored[2], 0.045), *mirrored[:2])
        mirrored[2] = mirrored[2] + 0.008 * uphill / (uphill.abs() + 1)
    expected = bent(mirrored[2], 0.045)[..., :37, :42]
    fused = model.fuse(batch)
    off = (fused - expected).abs()
    # uphill turns round where an edge is as strong as its source's: there rounding, and so the processor, decides
    assert (off < 1e-5).double().mean() > 0.99 and off.max() < 2 * 2 * 0.008
    assert soft_qabf(fused, a, b) > soft_qabf(by_rule.fuse(batch), a, b)


def test_it_learns_to_keep_edges_without_losing_what_else_is_wanted() -> None:
    model, batch = smallest(GradientDomainNet, more_spread=0.0, more_frequency=0.0, more_entropy=0.0), pair_batch(4)
    history = learn(model, batch, 40, 3e-3)
    assert {*history[0]} == {"edges", "spread", "frequency", "scd", "entropy", "beyond"}
    assert sum(history[-1].values()) < sum(history[0].values()) - 0.02
    a, b = batch.views[:, 0], batch.views[:, 1]
    fused, before = model.fuse(batch), bent(model.ruled(a, b), 0.045)
    assert soft_qabf(fused, a, b).mean() > soft_qabf(before, a, b).mean() + 0.01
    assert pooled_scd(fused, a, b) > pooled_scd(before, a, b) - 0.02


def test_the_natural_aim_pays_for_steeper_slopes_and_other_low_frequencies() -> None:
    model = smallest(GradientDomainNet, rule="natural", aim="natural")
    assert isinstance(model, GradientDomainNet)
    ramp = torch.linspace(0, 0.5, 32).expand(1, 1, 32, 32)
    calm = model.to_look(ramp, ramp, ramp, 0.5 * ramp)
    assert calm["low"].item() == 0 and calm["steep"].item() < 1e-4 and calm["halo"].item() == 0
    steeper = model.to_look(1.2 * ramp, 1.2 * ramp, ramp, 0.5 * ramp)
    # Sobel's slope is 8 times the ramp's step per pixel; a fifth of it is too much, less at the two borders
    assert steeper["low"].item() == 0
    assert steeper["steep"].item() == pytest.approx(30 * 0.2 * 8 * 0.5 / 31 * 31 / 32, rel=1e-3)
    assert steeper["halo"].item() == 0, "less steep than both together"
    halo = model.to_look(1.8 * ramp, 1.8 * ramp, ramp, 0.5 * ramp)
    # 0.3 of the ramp's step per pixel; the blur makes it weaker within its reach of two borders
    assert halo["halo"].item() == pytest.approx(1000 * 0.3 * 0.5 / 31, rel=0.15)
    brighter = model.to_look(ramp + 0.1, ramp, ramp, ramp)
    assert brighter["low"].item() == pytest.approx(1.0, rel=1e-5) and brighter["steep"].item() < 1e-4
    assert {*learn(model, pair_batch(), 1, 1e-3)[0]} == {"low", "steep", "halo", "edges", "beyond"}


@pytest.mark.parametrize(("size", "parts"), [((196, 40), {"_STRIP": 16}), ((24, 200), {"_WIDE": 16})])
def test_parts_change_nothing(size: tuple[int, int], parts: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights that make large steps: rows or columns at a time give the whole image, in float64, where a rounding
    error decides nothing."""
    model, batch = smallest(GradientDomainNet), pair_batch(1, *size)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) / 4)
    assert (model.fuse(batch) - smallest(GradientDomainNet).fuse(batch)).abs().mean() > 0.01
    assert fusing_memory(model).of(2160, 3840) < 2 << 30, "fused whole within the memory that fuse takes"
    a, b = batch.views[:, 0].double(), batch.views[:, 1].double()
    model = model.double()
    with torch.no_grad():
        rule = model.ruled(a, b).double()
        whole = model.unclipped(a, b, rule)
        for name, number in parts.items():
            monkeypatch.setattr(gradient_domain_net, name, number)
        seen: list[int] = []
        usual = model.stepped
        monkeypatch.setattr(model, "stepped", lambda fused, *more: seen.append(fused.shape[-1]) or usual(fused, *more))
        torch.testing.assert_close(model.unclipped(a, b, rule), whole, atol=1e-12, rtol=0)
    assert len(seen) == 13 * model.config.steps, "thirteen parts a step"


def test_steps_share_weights_but_not_their_place() -> None:
    few, many = GradientDomainNet(SPEC, steps=2), GradientDomainNet(SPEC, steps=8)
    count = [sum(p.numel() for p in model.parameters()) for model in (few, many)]
    assert count[1] - count[0] == 6 * 12


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"widths": [4, 5]}, "three widths"),
        ({"steps": 0}, "steps"),
        ({"rule": "best"}, "rule"),
        ({"aim": "beauty"}, "aim"),
        ({"more_scd": -0.1}, "at least 0"),
        ({"steep": float("nan")}, "at least 0"),
        ({"knee": 0.6}, "knee=0.6"),
    ],
)
def test_bad_parameters(bad: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        GradientDomainNet(SPEC, **bad)


def test_noise_is_a_function_of_seed_and_step_and_no_part_of_what_is_asked() -> None:
    model, batch = smallest(GradientDomainNet, rule="natural", aim="natural", noise=8.0), pair_batch()
    model.plan(10, seed=1)
    a = batch.views[:, 0]
    first, again, later = (model.noisy(a, "a", step) for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, later)
    assert not torch.equal(first, model.noisy(a, "b", 0))
    assert 0 < 255 * (first - a).std() < 8
    noisy = model.loss(batch, "main", 0).total
    calm = smallest(GradientDomainNet, rule="natural", aim="natural", noise=0.0).loss(batch, "main", 0).total
    assert noisy > calm + 0.01, "what the sources are without noise is harder to keep"
    assert torch.equal(model.fuse(batch), smallest(GradientDomainNet, rule="natural", aim="natural").fuse(batch))


@pytest.mark.parametrize("aim", ["score", "natural"])
def test_what_is_made_of_degraded_pairs_is_compared_with_the_clean_ones(aim: str) -> None:
    """Edges are those of the clean pair, and so is the rule whose spread, low frequencies and so on are asked for."""
    net = GradientDomainNet(SPEC, widths=(4, 4, 4), steps=2, aim=aim, noise=0.0)
    batch = pair_batch(2, 32, 32)
    clean = batch.views.flip(-1)
    a, b, clean_a, clean_b = batch.views[:, 0], batch.views[:, 1], clean[:, 0], clean[:, 1]
    terms = net.loss(replace(batch, clean=clean), "main", 0).log
    fused = net.combine(a, b)
    assert torch.equal(terms["edges"], (1 - soft_qabf(fused, clean_a, clean_b)).mean())
    before = bent(net.ruled(clean_a, clean_b), 0.045)
    asked = net.to_score if aim == "score" else net.to_look
    for name, value in asked(fused, before, clean_a, clean_b).items():
        assert torch.equal(terms[name], value), name
