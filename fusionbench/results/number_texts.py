"""Numbers of a table as text: as many places as their interval deserves, deviations over training runs, ranks."""

from __future__ import annotations

import math

from fusionbench.results.bootstrap import ScoreRow


def decimals(mean: float, low: float, high: float) -> int:
    """Places after the point that show two digits of the interval's half width (three digits of a mean without one).

    Example:
        >>> from fusionbench.results.number_texts import decimals
        >>> decimals(0.51234, low=0.49, high=0.53), decimals(512.34, low=500, high=520)
        (3, 0)
    """
    half = (high - low) / 2
    if half > 0 and math.isfinite(half):
        return min(10, max(0, 1 - math.floor(math.log10(half))))
    return min(10, max(0, 2 - math.floor(math.log10(abs(mean))))) if mean else 1


def mean_places(row: ScoreRow) -> int:
    """Places after the point that a row's interval deserves, or the deviation of its training runs where that is more.

    Two runs have a wide interval, and their mean and deviation are shown as papers show them all the same.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import compare
        >>> from fusionbench.results.number_texts import mean_places
        >>> mean_places(compare([np.array([[0.1, 0.3], [0.2, 0.4]])], "lower")[0])
        3
    """
    spread = decimals(0.0, -row.run_sd, row.run_sd) if row.run_sd else 0
    return max(decimals(row.mean, row.low, row.high), spread)


def number(row: ScoreRow) -> tuple[str, str, str]:
    """Mean, low and high with the places of :func:`mean_places`.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import compare
        >>> from fusionbench.results.number_texts import number
        >>> (row,) = compare([np.array([0.1, 0.2, 0.3])], "lower")
        >>> number(row)
        ('0.20', '-0.05', '0.45')
        >>> number(compare([np.array([0.1])], "lower")[0])  # one image: no interval
        ('0.100', '-inf', 'inf')
    """
    places = mean_places(row)
    return f"{row.mean:.{places}f}", f"{row.low:.{places}f}", f"{row.high:.{places}f}"


def spread_text(row: ScoreRow) -> str:
    """`` ± 0.012``, the standard deviation over training runs, to the places of the mean; nothing for one run.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import compare
        >>> from fusionbench.results.number_texts import number, spread_text
        >>> (row,) = compare([np.array([[0.1, 0.3], [0.2, 0.4]])], "lower")  # two training runs
        >>> number(row)[0] + spread_text(row)
        '0.250 ± 0.071'
    """
    if row.run_sd is None:
        return ""
    places = mean_places(row)
    return f" ± {row.run_sd:.{places}f}"


def rank_text(row: ScoreRow) -> str:
    """``2`` or ``1–3``; ``–`` where there are too few images for a rank.

    Example:
        >>> import numpy as np
        >>> from fusionbench.results.bootstrap import compare
        >>> from fusionbench.results.number_texts import rank_text
        >>> first, second = np.array([1.0, 2.0, 3.0] * 3), np.array([2.0, 1.0, 4.0] * 3)
        >>> [rank_text(row) for row in compare([first, second, second + 9], "lower")]
        ['1–2', '1–2', '3']
        >>> [rank_text(row) for row in compare([first[:3], second[:3]], "lower")]
        ['–', '–']
    """
    if not row.ranked:
        return "–"
    return str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"
