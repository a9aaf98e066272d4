"""What `degrade` refuses, its parts, and where random numbers lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.synth.degradations import DEGRADATIONS, degrade, list_degradations, run

IDENTITY: dict[str, Any] = {"dataset": "made", "split": "all"}
CLEAN = np.zeros((2, 2, 16, 16), np.uint8)
ONE = {**IDENTITY, "samples": np.arange(2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severity": 9}, "shift/1: no severity 9; it is a whole number from 0"),
        ({"severity": -1}, "no severity -1"),
        ({"severity": True}, "no severity True"),
        ({"severity": 2.0}, "no severity 2.0"),
        ({"severity": "3"}, "no severity '3'"),
        ({"family": "shft/1"}, "Unknown degradation 'shft/1'. Did you mean 'shift/1'"),
        ({"family": "shift/2"}, "Unknown degradation 'shift/2'. Did you mean 'shift/1'"),
        ({"views": CLEAN[0]}, r"views of uint8 \(2, 16, 16\) cannot be degraded"),
        ({"views": CLEAN / 255}, "views of float64"),
        ({"views": torch.zeros(2, 2, 16, 16)}, "views of float32"),
        ({"views": CLEAN[:, :, :0]}, "pictures of 0×16 cannot be degraded; sides are 1 to 16,384 pixels"),
        ({"views": np.zeros((2, 1, 1, 16385), np.uint8)}, "pictures of 1×16385"),
        ({"samples": np.arange(3)}, "2 pairs with 3 sample numbers"),
        ({"samples": np.array([0, -1])}, "sample -1..0 is outside 0..2147483647"),
        ({"samples": np.array([0, 1 << 31])}, "is outside 0..2147483647"),
        ({"planes": (0,)}, r"planes \[0\] do not say which views 2 planes belong to"),
        ({"planes": (0, -1)}, r"planes \[0, -1\]"),
        ({"views": CLEAN[:, :, :5, :5]}, "shift/1: moves a view by up to 5 pixels, and a picture of 5×5 has no more"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"views": CLEAN, "family": "shift/1", "severity": 5, **ONE, **change}
    with pytest.raises(UsageError, match=message) as found:
        degrade(given.pop("views"), given.pop("family"), given.pop("severity"), **given)
    assert "\n" not in str(found.value)


def test_a_batch_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (7, 2, 24, 24)).astype(np.uint8)
    for family in list_degradations():
        whole = degrade(clean, family, 3, samples=np.arange(7), **IDENTITY)
        with monkeypatch.context() as patch:
            patch.setattr(run, "_CHUNK", 3 * 24 * 24)
            parts = degrade(clean, family, 3, samples=np.arange(7), **IDENTITY)
        for name in ("views", "field", "lost"):
            one, two = getattr(whole, name), getattr(parts, name)
            assert (one is None and two is None) or np.array_equal(one, two), family


def test_tensors_in_memory_are_handed_to_numpy_and_come_back() -> None:
    clean = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 2, 24, 24)).astype(np.uint8))
    for family in list_degradations():
        made = degrade(clean, family, 3, samples=torch.arange(2), **IDENTITY)
        again = degrade(clean.numpy(), family, 3, samples=np.arange(2), **IDENTITY)
        assert isinstance(made.views, torch.Tensor) and np.array_equal(made.views.numpy(), again.views)
        made.views[:] = 0  # it can be written to


@pytest.mark.filterwarnings("ignore")
def test_torch_does_not_compile_it() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def spy(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    def step(views: torch.Tensor) -> torch.Tensor:
        return degrade(views * 1, "block/1", 3, **ONE).views.float() / 255

    clean = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16)).astype(np.uint8))
    torch._dynamo.reset()
    made = torch.compile(step, backend=spy)(clean)
    assert torch.equal(made, step(clean))
    assert graphs and not any("shift" in str(node.target) for graph in graphs for node in graph.graph.nodes)


def test_room_is_asked_for_without_pixels() -> None:
    shift = DEGRADATIONS.get("shift/1")
    run.require_room(shift, shift.levels[4], 6, run.LARGEST)
    for size, text in (((5, 40), "moves a view by up to 5 pixels"), ((6, run.LARGEST + 1), "sides are 1 to 16,384")):
        with pytest.raises(UsageError, match=text):
            run.require_room(shift, shift.levels[4], *size)
