"""Checkpoints give back the state to the bit, and damaged ones are refused in one line."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from fusionbench.core.errors import DataError
from fusionbench.training.checkpoints import (
    compact_checkpoints,
    is_finite,
    list_checkpoints,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
)

CPU = torch.device("cpu")


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1))


def optimizers_of(model: nn.Module) -> dict[str, torch.optim.Optimizer]:
    first, *rest = model.parameters()
    return {"a": torch.optim.Adam([first], lr=0.01), "b": torch.optim.Adamax(rest, lr=0.02)}


def step(model: nn.Module, optimizers: dict[str, torch.optim.Optimizer]) -> None:
    for optimizer in optimizers.values():
        optimizer.zero_grad()
    model(torch.randn(2, 2, 6, 6)).square().mean().backward()  # draws from the generator that is stored, too
    for optimizer in optimizers.values():
        optimizer.step()


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(tmp_path: Path) -> None:
    whole = net()
    optimizers = optimizers_of(whole)
    for _ in range(3):
        step(whole, optimizers)
    save_checkpoint(tmp_path, 3, whole, optimizers, {"total": 9}, {"mean": torch.arange(3.0)})
    for _ in range(3):
        step(whole, optimizers)
    other = net(seed=1)
    theirs = optimizers_of(other)
    torch.manual_seed(77)
    state, extra = load_checkpoint(tmp_path / "00000003", other, theirs, CPU)
    assert (state["step"], state["total"]) == (3, 9) and list(extra) == ["mean"]
    assert extra["mean"].tolist() == [0.0, 1.0, 2.0]
    for _ in range(3):
        step(other, theirs)
    assert same(whole, other)


def test_the_two_newest_are_kept_and_what_is_half_written_does_not_count(tmp_path: Path) -> None:
    model = net()
    for number in (9, 10, 100):
        save_checkpoint(tmp_path, number, model, {}, {}, {})
    (tmp_path / "00000200").mkdir()
    (tmp_path / ".00000300.1.tmp").mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["00000010", "00000100"]
    assert not (tmp_path / "00000009").exists()
    assert list_checkpoints(tmp_path / "nothing") == []


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, net(0), {}, {}, {})
    save_checkpoint(tmp_path, 1, net(5), {}, {}, {})
    model = net(9)
    load_checkpoint(tmp_path / "00000001", model, {}, CPU)
    assert same(model, net(5)) and [path.name for path in tmp_path.iterdir()] == ["00000001"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, net(), {}, {}, {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fusionbench.training.checkpoints.save_file", full)
    with pytest.raises(DataError, match="No space left on device"):
        save_checkpoint(tmp_path, 2, net(), {}, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]


def test_a_state_that_json_does_not_have_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, 1, net(), {}, {"loss": float("nan")}, {})
    assert list(tmp_path.iterdir()) == []


def test_weights_are_plain_tensors_in_one_layout(tmp_path: Path) -> None:
    model = net()
    expected = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    model.to(memory_format=torch.channels_last)
    save_weights(model, tmp_path / "a.safetensors")
    found = load_file(tmp_path / "a.safetensors")
    assert {name: value.shape for name, value in found.items()} == {n: v.shape for n, v in expected.items()}
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    save_weights(net(), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    plain = tmp_path / "plain"
    plain.touch()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a.safetensors", plain)]
    assert modes[0] == modes[1], "as readable as any other file of this user"


def test_shared_parameters_are_stored_twice_and_loaded(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    torch.manual_seed(0)
    first = tied()
    save_weights(first, tmp_path / "w")
    second = tied()
    load_weights(second, tmp_path / "w")
    assert same(first, second)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_weights(net(), tmp_path / "w")
    for other, message in (
        (nn.Sequential(nn.Conv2d(2, 3, 3)), "5 differ|6 differ|7 differ"),
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)), "first '0.weight'"),
        (net().double(), "first '0.weight'"),
    ):
        before = {name: value.clone() for name, value in other.state_dict().items()}
        with pytest.raises(DataError, match=rf"weights of another model or version: .*({message})"):
            load_weights(other, tmp_path / "w")
        assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items()), "nothing changed"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_seen_and_refused(tmp_path: Path, value: float) -> None:
    model = net()
    assert is_finite(model) and is_finite(nn.ReLU())
    model[1].running_mean[1] = value  # a buffer counts, too
    assert not is_finite(model)
    save_weights(model, tmp_path / "w")
    with pytest.raises(DataError, match=r"1 tensors are not finite, first '1\.running_mean'"):
        load_weights(net(), tmp_path / "w")


def test_missing_and_damaged_weights(tmp_path: Path) -> None:
    path = tmp_path / "w"
    with pytest.raises(DataError, match="no such weights file"):
        load_weights(net(), path)
    save_weights(net(), path)
    content = path.read_bytes()
    for damaged in (b"", content[:7], content[:-1], b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a readable safetensors file"):
            load_weights(net(), path)


@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}", b'{"step": 1, "optimizers": {}}', b"[" * 100_000])
def test_a_damaged_state_says_which_folder_to_remove(tmp_path: Path, damage: bytes) -> None:
    model = net()
    save_checkpoint(tmp_path, 1, model, optimizers_of(model), {}, {})
    (tmp_path / "00000001" / "state.json").write_bytes(damage)
    with pytest.raises(DataError, match=r"00000001: damaged checkpoint: .*remove this folder"):
        load_checkpoint(tmp_path / "00000001", model, optimizers_of(model), CPU)


def test_moments_have_the_layout_of_their_parameters(tmp_path: Path) -> None:
    """Kernels that take all parameters at once want it; on disk everything is contiguous."""
    model = net().to(memory_format=torch.channels_last)
    optimizers = optimizers_of(model)
    step(model, optimizers)
    save_checkpoint(tmp_path, 1, model, optimizers, {}, {})
    other = net(seed=1).to(memory_format=torch.channels_last)
    theirs = optimizers_of(other)
    load_checkpoint(tmp_path / "00000001", other, theirs, CPU)
    for name, optimizer in theirs.items():
        for ours, parameter in zip(
            optimizers[name].param_groups[0]["params"], optimizer.param_groups[0]["params"], strict=True
        ):
            for key, value in optimizer.state[parameter].items():
                assert torch.equal(value, optimizers[name].state[ours][key])
                assert value.shape == () or value.stride() == parameter.stride()
    assert not next(iter(other.parameters())).is_contiguous()


def test_small_checkpoints_resume_with_moments_within_a_256th(tmp_path: Path) -> None:
    model = net()
    optimizers = optimizers_of(model)
    for number in (1, 2, 3):
        step(model, optimizers)
        save_checkpoint(tmp_path, number, model, optimizers, {"total": 9}, {"mean": torch.arange(3.0) / 7})
    wide = sum(path.stat().st_size for path in (tmp_path / "00000003").iterdir())
    left = compact_checkpoints(tmp_path)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["00000003"]
    assert left == sum(path.stat().st_size for path in (tmp_path / "00000003").iterdir()) < wide
    assert compact_checkpoints(tmp_path) == left, "nothing is rounded twice"
    other = net(seed=1)
    theirs = optimizers_of(other)
    state, extra = load_checkpoint(tmp_path / "00000003", other, theirs, CPU)
    assert state["total"] == 9 and torch.equal(extra["mean"], torch.arange(3.0) / 7) and same(model, other)
    changed = 0
    for name, optimizer in theirs.items():
        for ours, parameter in zip(
            optimizers[name].param_groups[0]["params"], optimizer.param_groups[0]["params"], strict=True
        ):
            for key, value in optimizer.state[parameter].items():
                exact = optimizers[name].state[ours][key]
                assert value.dtype == torch.float32
                if key == "step":
                    assert value == exact == 3
                else:
                    torch.testing.assert_close(value, exact, rtol=2.0**-8, atol=0)
                    changed += int((value != exact).sum())
    assert changed, "or this test could not fail"
    for seed in range(3):
        torch.manual_seed(seed)
        step(model, optimizers)
        torch.manual_seed(seed)
        step(other, theirs)
    # by their outputs: the bias before a batch norm has no gradient but rounding, which the moments blow up
    images = torch.randn(4, 2, 6, 6)
    ours, resumed, kept = model(images), other(images), net()(images)
    assert (resumed - ours).abs().max() < 0.02 * (kept - ours).abs().max(), "as far as training has come"


def test_nothing_to_make_small(tmp_path: Path) -> None:
    assert compact_checkpoints(tmp_path / "checkpoint") == 0
