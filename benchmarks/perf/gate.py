"""What the gate's error rate is when nothing changed but the seed, and which changes it finds: simulated truth.

A baseline of 3, 5 or 10 training seeds and 40 scores, independent or correlated at 0.8, is compared with one new run.
Nothing here is measured in seconds: the figures are rates with their simulation error (one standard error).

Run: python benchmarks/perf/gate.py [--rounds 20000] [--scores 40]
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from fusionbench.results.gate_statistics import ALPHA, detectable_change, noise_tolerance

SEEDS = (3, 5, 10)
FORMER_SPREADS = 2 * math.sqrt(
    2
)  # the former rule, without its condition on the images: 2 sd of the difference of runs


def drawn(rng: np.random.Generator, shape: tuple[int, ...], correlation: float) -> np.ndarray:
    """Standard normal means of runs, the last axis being scores that share a part of their noise."""
    shared = rng.standard_normal((*shape[:-1], 1))
    return math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * rng.standard_normal(shape)


def rate(found: np.ndarray) -> str:
    share = float(found.mean())
    return f"{100 * share:6.2f} ± {100 * math.sqrt(share * (1 - share) / len(found)):.2f}"


def main() -> None:
    """Print alarms of both rules without a change, then the detection of changes in tolerances and in sd."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--scores", type=int, default=40)
    arguments = parser.parse_args()
    rounds, scores = arguments.rounds, arguments.scores
    rng = np.random.default_rng(0)
    print(f"{rounds} rounds, {scores} scores, error rate {100 * ALPHA:g} %, one new run\n")
    print("Outcomes with at least one false alarm when only the seed is new, in %")
    print(f"{'scores':14}{'seeds':>6}{'former rule':>16}{'Holm and t':>16}")
    base: dict[tuple[float, int], tuple[np.ndarray, np.ndarray]] = {}
    for correlation in (0.0, 0.8):
        for seeds in SEEDS:
            runs = drawn(rng, (seeds, rounds, scores), correlation)
            worse = drawn(rng, (rounds, scores), correlation) - runs.mean(axis=0)
            sd = runs.std(axis=0, ddof=1)
            base[correlation, seeds] = worse, sd
            factor = noise_tolerance(1.0, seeds, 1, ALPHA / scores)
            former, now = ((worse > f * sd).any(axis=1) for f in (FORMER_SPREADS, factor))
            label = "correlated" if correlation else "independent"
            print(f"{label:14}{seeds:6}{rate(former):>16}{rate(now):>16}")

    print("\nOne score really changed: outcomes in which it is found, in %, by the size of the change")
    sizes = ("1 tolerance", "2 tolerances", "3 tolerances", "detectable", "3 sd", "5 sd", "10 sd", "30 sd")
    print(f"{'seeds':>5}{'tolerance':>11}" + "".join(f"{size:>15}" for size in sizes))
    for seeds in SEEDS:
        worse, sd = (array[:, 0] for array in base[0.0, seeds])
        tolerance = noise_tolerance(1.0, seeds, 1, ALPHA / scores) * sd
        detectable = detectable_change(noise_tolerance(1.0, seeds, 1, ALPHA / scores), 1.0, seeds, 1) * sd
        changes = [tolerance, 2 * tolerance, 3 * tolerance, detectable, *(np.full(rounds, c) for c in (3, 5, 10, 30))]
        cells = "".join(f"{rate(worse + change > tolerance):>15}" for change in changes)
        print(f"{seeds:5}{noise_tolerance(1.0, seeds, 1, ALPHA / scores):8.2f} sd{cells}")
    print("\ntolerance: in the baseline's own sd of a run; '3 sd' and on: of the true sd, which the gate does not know")


if __name__ == "__main__":
    main()
