"""The checks of the model contract: for registered models in our tests, for your own class with
``fusionbench check my_model.py:Net``. Each takes a :class:`ModelCandidate` and raises AssertionError with a reason.

A check that makes no sense for a model (it has no samples, say) raises :class:`NotApplicableError`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch

from fusionbench.core.contract_report import CheckRow as CheckRow  # it was here, and is read from here
from fusionbench.core.contract_report import ContractReport, NotApplicableError, run_checks, that
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.interfaces import Model, is_trainable
from fusionbench.core.plugin_files import load_module
from fusionbench.core.types import Batch, ImageSpec

MASKED = ImageSpec(channels=1, height=16, width=16, views=3, crop=(12, 12))
PAIRS = ImageSpec(channels=1, height=32, width=32, views=2)
# float32 sums in another order: libraries choose their loops by the size of the batch
TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 2e-5}


NotApplicable = NotApplicableError  # the name of the first release, which is the same class


def batch_of(count: int, spec: ImageSpec, target: bool = True) -> Batch:
    """Boxes on black, the same every time; every view shows half of the target."""
    generator = torch.Generator().manual_seed(7)
    targets = torch.zeros(count, spec.channels, spec.height, spec.width)
    views = torch.zeros(count, spec.views, *targets.shape[1:])
    for index in range(count):
        top, left = (int(v) for v in torch.randint(2, spec.height // 2, (2,), generator=generator))
        shade = 0.5 + 0.5 * torch.rand((), generator=generator)
        targets[index, :, top : top + spec.height // 3, left : left + spec.width // 3] = shade
        for view in views[index]:
            begin = int(torch.randint(0, spec.width // 2, (), generator=generator))
            view.copy_(targets[index])
            view[..., begin : begin + spec.width // 2] = 0.0
    present = torch.ones(count, spec.views, dtype=torch.bool)
    return Batch(targets if target else None, views, present, torch.arange(count))


@dataclass
class ModelCandidate:
    """A model class under the checks, with the function that makes one for an ``ImageSpec``: (spec) -> module."""

    cls: type[Model]
    build: Callable[[ImageSpec], Model]

    def fresh(self) -> tuple[Model, Batch]:
        """A new model and a batch that it takes: masked views, or a pair where it refuses those."""
        torch.manual_seed(0)
        try:
            model, batch = self.build(MASKED), batch_of(4, MASKED)
        except UsageError:
            model, batch = self.build(PAIRS), batch_of(4, PAIRS, target=False)
        if hasattr(model, "fit"):
            model.fit([batch])
        return model, batch

    @cached_property
    def ready(self) -> tuple[Model, Batch]:
        """One model in evaluation mode, made once."""
        model, batch = self.fresh()
        return model.eval(), batch

    def need(self, *abilities: str) -> None:
        """Raise NotApplicableError unless the class has all of these methods."""
        missing = [ability for ability in abilities if not hasattr(self.cls, ability)]
        if missing:
            raise NotApplicableError(f"no {missing[0]}")

    def need_masked(self) -> None:
        """Raise NotApplicableError for models of registered pairs, whose views are all there always."""
        if self.ready[1].target is None:
            raise NotApplicableError("a model of pairs")


def answers(model: Model, batch: Batch) -> dict[str, torch.Tensor]:
    """Everything that a model says about a batch, samples first."""
    found = {}
    with torch.no_grad():
        if hasattr(model, "fuse"):
            found["fuse"] = model.fuse(batch)
        if hasattr(model, "sample"):
            found["sample"] = model.sample(batch, 3, seed=5).transpose(0, 1)
        if hasattr(model, "log_weights"):
            found["log_weights"] = model.log_weights(batch, 3, seed=5).transpose(0, 1)
    return found


def part(batch: Batch, rows: list[int]) -> Batch:
    """These samples of a batch."""
    target = None if batch.target is None else batch.target[rows]
    clean = None if batch.clean is None else batch.clean[rows]
    return Batch(target, batch.views[rows], batch.present[rows], batch.ids[rows], clean)


def says_what_it_is(candidate: ModelCandidate) -> None:
    """title, reference and version are texts; every preset has a note"""
    cls = candidate.cls
    for name in ("title", "reference", "version"):
        that(isinstance(getattr(cls, name, None), str) and getattr(cls, name), f"{name} is missing")
    that(getattr(cls, "PRESETS", None), "PRESETS is missing or empty")
    for name, preset in cls.PRESETS.items():
        that(preset.note, f"preset {name!r} has no note")


def shapes_ranges_and_types(candidate: ModelCandidate) -> None:
    """float32 images in [0,1] of the right shape; log weights in float64"""
    model, batch = candidate.ready
    size = tuple(batch.views.shape[2:])
    found = answers(model, batch)
    that(found, "none of fuse, sample and log_weights")
    shapes = {"fuse": (4, *size), "sample": (4, 3, *size), "log_weights": (4, 3)}
    for key, value in found.items():
        # samples and log weights come draws first; answers() has turned them round
        that(tuple(value.shape) == shapes[key], f"{key} has shape {tuple(value.shape)}, samples first {shapes[key]}")
        if key == "log_weights":
            that(value.dtype == torch.float64, f"log_weights are {value.dtype}, not float64")
            continue
        that(value.dtype == torch.float32, f"{key} is {value.dtype}, not float32")
        low, high = float(value.min()), float(value.max())
        that(low >= 0 and high <= 1, f"{key} spans {low:g}..{high:g}, not 0..1")


def same_question_same_answer(candidate: ModelCandidate) -> None:
    """draws depend on seed and sample id alone, not on torch's global state"""
    model, batch = candidate.ready
    torch.manual_seed(1)
    first = answers(model, batch)
    torch.manual_seed(2)
    for key, value in answers(model, batch).items():
        that(torch.equal(value, first[key]), f"{key} differs the second time")


def batch_and_order_do_not_matter(candidate: ModelCandidate) -> None:
    """a sample has the same answer in any batch"""
    model, batch = candidate.ready
    whole = answers(model, batch)
    for rows in ([2], [3, 1], [1, 0, 3, 2]):
        for key, value in answers(model, part(batch, rows)).items():
            torch.testing.assert_close(value, whole[key][rows], **TOLERANCE, msg=f"{key} of rows {rows} differs")


def draws_do_not_depend_on_their_number(candidate: ModelCandidate) -> None:
    """the first of three draws is the only draw of one; draws and seeds differ"""
    candidate.need("sample")
    model, batch = candidate.ready
    assert hasattr(model, "sample")
    with torch.no_grad():
        three, one = model.sample(batch, 3, seed=5), model.sample(batch, 1, seed=5)
        other = model.sample(batch, 1, seed=6)
    torch.testing.assert_close(one, three[:1], **TOLERANCE, msg="the first draw depends on how many are drawn")
    that(not torch.equal(three[0], three[1]), "two draws are the same")
    that(not torch.equal(other, three[:1]), "two seeds give the same draw")


def absent_views_do_not_matter(candidate: ModelCandidate) -> None:
    """the content of an absent view changes neither outputs nor loss"""
    candidate.need_masked()
    model, batch = candidate.ready
    for inputs in range(batch.views.shape[1]):
        given = batch.with_inputs(inputs)
        views = given.views.clone()
        views[:, inputs:] = torch.rand_like(views[:, inputs:])
        dirty = replace(given, views=views)
        expected = answers(model, given)
        for key, value in answers(model, dirty).items():
            that(torch.equal(value, expected[key]), f"{key} sees absent views with {inputs} inputs")
        if is_trainable(model):
            model.train()
            before = {k: v.clone() for k, v in model.state_dict().items()}
            group = next(iter(model.parameter_groups()))
            losses = []
            for case in (given, dirty):
                losses.append(model.loss(case, group, 1).total.detach())
                model.load_state_dict(before)
            model.eval()
            that(torch.equal(*losses), f"the loss sees absent views with {inputs} inputs")


def mixed_numbers_of_views(candidate: ModelCandidate) -> None:
    """samples with different numbers of views can share a batch"""
    candidate.need_masked()
    model, batch = candidate.ready
    counts = [0, 3, 1, 2]
    present = torch.arange(3) < torch.tensor(counts)[:, None]
    mixed = answers(model, replace(batch, present=present))
    for row, inputs in enumerate(counts):
        for key, value in answers(model, part(batch.with_inputs(inputs), [row])).items():
            torch.testing.assert_close(
                value[0], mixed[key][row], **TOLERANCE, msg=f"{key} differs among other numbers of views"
            )


def every_parameter_learns(candidate: ModelCandidate) -> None:
    """every parameter is in one group and gets a finite gradient"""
    candidate.need("loss")
    model, batch = candidate.fresh()
    assert is_trainable(model)
    if hasattr(model, "plan"):
        model.plan(8, 0)
    present = batch.present.clone()
    if batch.target is not None:
        present = torch.arange(3) < torch.tensor([0, 3, 1, 2])[:, None]
    model.train()
    reached: set[int] = set()
    groups = model.parameter_groups()
    grouped = sorted(id(p) for group in groups.values() for p in group)
    that(grouped == sorted(id(p) for p in model.parameters()), "parameter_groups() is not every parameter once")
    for step in (0, 7):
        for group, parameters in groups.items():
            model.zero_grad(set_to_none=True)
            terms = model.loss(replace(batch, present=present), group, step)
            that(terms.total.ndim == 0 and torch.isfinite(terms.total), f"the loss of {group!r} is no finite scalar")
            terms.total.backward()
            reached |= {id(p) for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()}
    lost = [key for key, p in model.named_parameters() if id(p) not in reached]
    that(not lost, f"no finite gradient reaches {', '.join(lost[:4])}")


def weights_survive_a_file(candidate: ModelCandidate) -> None:
    """safetensors and back give the same answers"""
    from safetensors.torch import load_file, save_file

    model, batch = candidate.ready
    state = {key: value.clone().contiguous() for key, value in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        save_file(state, Path(folder) / "w.safetensors")
        other, _ = candidate.fresh()
        for value in other.state_dict().values():
            if value.is_floating_point():
                value.add_(1)  # what the file does not hold must not come out right by chance
        other.load_state_dict(load_file(Path(folder) / "w.safetensors"))
    other.eval()
    expected = answers(model, batch)
    for key, value in answers(other, batch).items():
        that(torch.equal(value, expected[key]), f"{key} differs after loading")


CHECKS: dict[str, Callable[[ModelCandidate], None]] = {
    check.__name__: check
    for check in (
        says_what_it_is,
        shapes_ranges_and_types,
        same_question_same_answer,
        batch_and_order_do_not_matter,
        draws_do_not_depend_on_their_number,
        absent_views_do_not_matter,
        mixed_numbers_of_views,
        every_parameter_learns,
        weights_survive_a_file,
    )
}


class ModelReport(ContractReport):
    """The report of a model, whose table names the release of torch."""

    def as_markdown(self, packages: str = f", torch {torch.__version__}") -> str:
        return super().as_markdown(packages)


def load_class(where: str) -> type[Model]:
    """The class of ``file.py:Class``. It runs the file: for a user's own code on the user's own machine only.

    Raises:
        UsageError, DataError: no such file or class, or a file that cannot be run.
    """
    file, _, name = where.rpartition(":")
    if not Path(file).is_file():
        raise DataError(f"{file}: no such file; name a class as my_model.py:Net")
    found = getattr(load_module(Path(file)), name, None)
    if not isinstance(found, type) or not issubclass(found, torch.nn.Module):
        raise UsageError(f"{file}: has no torch.nn.Module called {name!r}")
    return cast("type[Model]", found)  # the checks look at the rest


def candidate_of(cls: type[Model]) -> ModelCandidate:
    """A class as a candidate for the checks, built with its smallest preset: ``tiny``, or the first."""
    presets = getattr(cls, "PRESETS", None) or {}
    preset = presets.get("tiny") or next(iter(presets.values()), None)
    params = dict(preset.model) if preset is not None else {}
    return ModelCandidate(cls, lambda spec: cls(spec, **params))


def check_class(cls: type[Model]) -> ContractReport:
    """Run every check on a class. An error in the model's code is a check that fails, with the error as its reason."""
    candidate = candidate_of(cls)
    report = run_checks(ModelReport(cls.__name__, None), candidate, CHECKS)
    if "ready" in vars(candidate):
        report.parameters = sum(p.numel() for p in candidate.ready[0].parameters())
    return report
