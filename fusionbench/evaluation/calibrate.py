"""How far a model's scores move from one training seed to the next: the noise floor of a gate."""

from __future__ import annotations

from pathlib import Path

from fusionbench.core.errors import UsageError
from fusionbench.core.progress import say
from fusionbench.results.comparison import read_entries
from fusionbench.results.schema import Result


def complete_seeds(results: Path, runs: Path, data: Path, seeds: int, device: str = "auto") -> list[Result]:
    """Train and score every trained model below ``results`` until it has ``seeds`` training seeds; the new results.

    A model is trained as its result says it was (preset, parameters, steps); models without training need no seeds.

    Raises:
        UsageError: the data set in ``data`` is not the one of the results.
        CannotMeasure: a training or score that is not finite.
    """
    from fusionbench.data.dataset import open_dataset
    from fusionbench.evaluation.masked import Protocol, evaluate_masked
    from fusionbench.training.loop import train

    dataset = open_dataset(data)
    made = []
    for entry in read_entries([results]):
        identity = entry.results[0].identity
        training = identity.training
        if identity.dataset.id != dataset.id:
            raise UsageError(f"{data}: has id {dataset.id[:12]}, the results are of {identity.dataset.id[:12]}")
        if training is None or entry.trivial:
            continue
        taken = {result.identity.training.seed for result in entry.results if result.identity.training is not None}
        budget = f"{training.steps} steps" if training.cut else None
        protocol = identity.protocol
        for seed in (seed for seed in range(seeds + len(taken)) if seed not in taken):
            if len(taken) >= seeds:
                break
            taken.add(seed)
            say(f"{entry.title}: training seed {seed} ({len(taken)} of {seeds})")
            run = train(
                identity.model.name,
                dataset,
                out=runs / f"{identity.model.name}-seed{seed}",
                preset=training.preset,
                device=device,
                budget=budget,
                seed=seed,
                params=identity.model.params,
                training=training.params,
            )
            settings = Protocol(protocol.params["draws"], protocol.seed, protocol.params["paper_batch"])
            whole = dataset.size(identity.dataset.split)
            limit = identity.dataset.n if identity.dataset.n < whole else None
            made.append(
                evaluate_masked(
                    run,
                    dataset,
                    split=identity.dataset.split,
                    protocol=settings,
                    out=results,
                    device=device,
                    limit=limit,
                )
            )
    return made
