"""Where the uncertainty of a mean comes from: the images that were drawn, and the training runs that were made.

Runs and images are crossed random effects. The variance of a model's mean is estimated as the sample variance of its
per-image means over n plus the sample variance of its run means over s. What a run does to single images is in both, so
the sum is too large rather than too small. Searle, Casella and McCulloch, *Variance Components*, 1992, chapter 4.

The parts have different degrees of freedom. The square of half an interval is the sum over the parts of squared factor
× variance, which covers at least at its level whatever the parts weigh: Banerjee, *Sankhya* 22 (1960) 359-370.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionbench.results.critical_values import range_factor, t_factor
from fusionbench.results.resampling import LEVEL, SEEDS_NEEDED


@dataclass(frozen=True)
class SeedVariance:
    """What training does to the means of m models.

    Attributes:
        of_mean: variance of each model's mean from its training runs, (m,); 0 without training or where it is unknown.
        degrees: degrees of freedom of the estimate.
        pooled: variance of single runs, pooled over the rows that tell it; None where no row does.
        alone: rows that were trained once, (m,) bool.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.variance import SeedVariance, seed_variance
        >>> three, one = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), np.array([[2.5, 2.5]])
        >>> found = seed_variance([three, one, one], trained=[True, True, False])
        >>> isinstance(found, SeedVariance), found.of_mean.round(3).tolist(), found.degrees, found.alone.tolist()
        (True, [0.333, 1.0, 0.0], 2, [False, True, False])
    """

    of_mean: np.ndarray
    degrees: int
    pooled: float | None
    alone: np.ndarray

    def pair_factor(self, level: float = LEVEL) -> float:
        """Factor of this part in the intervals of all differences at once; 0 where there is no such part."""
        random = int(np.count_nonzero(self.of_mean > 0))
        if not random:
            return 0.0
        return range_factor(random + (random < len(self.of_mean)), self.degrees, level)

    def row_factor(self, level: float = LEVEL) -> float:
        """Factor of this part in the interval of one mean; 0 where there is no such part."""
        return t_factor(self.degrees, level) if (self.of_mean > 0).any() else 0.0


def seed_variance(rows: Sequence[np.ndarray], trained: Sequence[bool]) -> SeedVariance:
    """Variance from training runs of m models, each (runs, n), pooled over the models.

    The pool is of the models with at least ``SEEDS_NEEDED`` runs, or of those with two where none has more. A model
    whose own runs vary more than the pool has its own variance, one that varies less the pool's: three runs that happen
    to agree prove little. A trained model with one run has the pool's. Untrained ones (one run, ``trained`` false) have
    none.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.variance import seed_variance
        >>> seed_variance([np.zeros((1, 4)), np.ones((1, 4))], trained=[True, True]).pooled is None
        True
    """
    runs = np.array([len(values) for values in rows])
    own = np.array([np.var(values.mean(axis=1), ddof=1) if len(values) > 1 else 0.0 for values in rows])
    random = (runs > 1) | np.asarray(trained, bool)
    telling = runs >= (SEEDS_NEEDED if (runs >= SEEDS_NEEDED).any() else 2)
    degrees = int((runs[telling] - 1).sum())
    pooled = float(((runs - 1) * own)[telling].sum() / degrees) if degrees else None
    of_mean = np.where(random, np.maximum(own, pooled or 0.0) / runs, 0.0)
    return SeedVariance(of_mean, degrees, pooled, random & (runs == 1))
