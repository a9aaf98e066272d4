"""Speed of the paired comparison: 10,000 resamples × 25 models × 500 images, beside SciPy's bootstrap.

Run: python benchmarks/perf/stats.py [--models 25] [--images 500] [--resamples 10000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import stats as peer

from fusionbench.results import bootstrap as stats


def main() -> None:
    """Print seconds of both and their ratio, measured in this run, and how much wider simultaneous intervals are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=int, default=25)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=10_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    values = rng.gamma(4.0, 0.1, arguments.images) + rng.normal(0, 0.05, (arguments.models, arguments.images))

    started = time.perf_counter()
    rows = stats.compare(list(values), "lower", resamples=arguments.resamples)
    ours = time.perf_counter() - started

    best = int(np.argmin(values.mean(axis=1)))
    started = time.perf_counter()
    found = peer.bootstrap(
        (values - values[best],),
        np.mean,
        axis=-1,
        n_resamples=arguments.resamples,
        method="percentile",
        batch=100,
        rng=np.random.default_rng(1),
    ).confidence_interval
    theirs = time.perf_counter() - started

    low = np.array([row.difference_low for row in rows])
    high = np.array([row.difference_high for row in rows])
    wider = np.delete((high - low) / np.where(found.high > found.low, found.high - found.low, 1.0), best)
    print(f"{arguments.resamples} resamples × {arguments.models} models × {arguments.images} images")
    print(f"{'':34}{'seconds':>10}{'ratio':>10}")
    print(f"{'fusionbench (intervals and ranks)':34}{ours:10.2f}{1.0:10.2f}")
    print(f"{'scipy.stats.bootstrap (intervals)':34}{theirs:10.2f}{theirs / ours:10.2f}")
    print(f"intervals for all pairs at once are {wider.min():.2f} to {wider.max():.2f} times SciPy's, each for itself")


if __name__ == "__main__":
    main()
