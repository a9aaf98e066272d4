"""The spread of readers that a protocol trains on a method's fused images: detectors, or U-Nets of the probe.

A result has one value an image, the mean over its readers, and the mean of each reader in ``extra["seeds"]``. Images
with those means moved into them are what a comparison takes from several training runs: their mean is the value of the
result, their spread over runs that of its readers. What a reader does to single images is in the images' spread.
"""

from __future__ import annotations

import math

import numpy as np

from fusionbench.core.errors import DataError
from fusionbench.results.schema import Score

_AGREE = 1e-6  # between the mean of a score and that of its readers, relative: both were rounded alike
_LARGEST, _MOST = 1e100, 100  # a number without an end would not fit a float; protocols train at most 100


def reader_means(score: Score) -> list[float]:
    """The mean of every reader, or nothing where there are not several.

    Raises:
        DataError: they are no finite numbers, or their mean is not that of the score.

    Example:
        >>> from fusionbench.results.reader_seeds import reader_means
        >>> from fusionbench.results.schema import Score
        >>> reader_means(Score(mean=0.5, n=9, better="higher", unit="1", extra={"seeds": [0.4, 0.6]}))
        [0.4, 0.6]
    """
    told = score.extra.get("seeds")
    if told is None or score.mean is None:
        return []
    if not isinstance(told, list) or not all(type(one) in (int, float) and abs(one) <= _LARGEST for one in told):
        raise DataError("the seeds of a score have to be a list of finite numbers; score again")
    if len(told) > _MOST:
        raise DataError(f"{len(told)} seeds of a score, of which there are at most {_MOST}; score again")
    if len(told) < 2:
        return []
    if not math.isclose(math.fsum(told) / len(told), score.mean, rel_tol=_AGREE, abs_tol=_AGREE):
        raise DataError("the means of the seeds do not have the mean of their score; score again")
    return [float(one) for one in told]


def spread_readers(values: np.ndarray, score: Score) -> np.ndarray:
    """Values (1, n) of a result as those of its readers (S, n); the same values where there are not several.

    Raises:
        DataError: as :func:`reader_means`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.reader_seeds import spread_readers
        >>> from fusionbench.results.schema import Score
        >>> score = Score(mean=0.5, n=2, better="higher", unit="1", extra={"seeds": [0.4, 0.6]})
        >>> spread_readers(np.array([[0.3, 0.7]]), score).round(3).tolist()
        [[0.2, 0.6], [0.4, 0.8]]
    """
    means = np.array(reader_means(score))
    return values + (means - means.mean())[:, None] if len(means) else values
