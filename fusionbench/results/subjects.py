"""Single opinions of people before they are averaged: subjects screened as ITU-R BT.500 describes, and z-scores.

People use a scale differently: some are strict, some never leave its middle, and some do not look. z-scores take out
what a person's opinions have as their mean and spread; screening leaves out people who are outliers on both sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

Single = Mapping[tuple[str, str, str], float]  # (image, method, subject) -> score
MIN_SUBJECTS = 3  # opinions on a fused image from which it says who is an outlier
FEW_SUBJECTS = 20  # from which on BT.500 does not mean its screening


def screened(single: Single) -> list[str]:
    """Subjects whom the screening of ITU-R BT.500 rejects, sorted.

    For each fused image with at least three different opinions: mean u, standard deviation S (n-1) and kurtosis
    β = m4/m2². A subject at or above u + kS adds 1 to P, one at or below u - kS adds 1 to Q; k is 2 where β is within
    2..4, else √20. Rejected is who has (P+Q)/N > 0.05 of his or her N opinions and |P-Q|/(P+Q) < 0.3: often far off,
    and in both directions. A subject who is merely strict or mild stays, and one who turns the scale round stays where
    the others agree closely, since outliers raise S and β themselves.

    Source: Recommendation ITU-R BT.500-14 (2019), screening of the observers for methods with one score a presentation.
    It is meant to be applied once, to fewer than 20 subjects who are no experts.

    Example:
        >>> from fusionbench.results.subjects import screened
        >>> marks = {(f"{i}", "A", f"s{n}"): float(n % 5) for i in range(40) for n in range(10)}
        >>> marks |= {(f"{i}", "A", "wild"): float(7 if i % 2 else -3) for i in range(40)}
        >>> screened(marks)
        ['wild']
    """
    by_image: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for (image, method, subject), score in single.items():
        by_image[image, method].append((subject, score))
    above: dict[str, int] = defaultdict(int)
    below: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    for opinions in by_image.values():
        scores = np.array([score for _, score in opinions])
        centred = scores - scores.mean()
        square = float((centred**2).mean())
        for subject, _ in opinions:
            count[subject] += 1
        if len(scores) < MIN_SUBJECTS or square <= 0:
            continue
        kurtosis = float((centred**4).mean()) / square**2
        limit = (2.0 if 2 <= kurtosis <= 4 else np.sqrt(20.0)) * float(scores.std(ddof=1))
        for (subject, _), off in zip(opinions, centred, strict=True):
            above[subject] += bool(off >= limit)
            below[subject] += bool(off <= -limit)
    rejected = []
    for subject, given in count.items():
        far = above[subject] + below[subject]
        if far / given > 0.05 and abs(above[subject] - below[subject]) / far < 0.3:
            rejected.append(subject)
    return sorted(rejected)


def zscores(single: Single) -> tuple[dict[tuple[str, str, str], float], list[str]]:
    """Every opinion as its distance from the mean of its subject's, in standard deviations (n-1) of these.

    Returns them, and the subjects who have none, since their opinions are all the same or only one.

    Example:
        >>> from fusionbench.results.subjects import zscores
        >>> strict = {("1", "A", "ann"): 1.0, ("1", "B", "ann"): 2.0, ("1", "C", "ann"): 3.0, ("1", "A", "bob"): 5.0}
        >>> zscores(strict)
        ({('1', 'A', 'ann'): -1.0, ('1', 'B', 'ann'): 0.0, ('1', 'C', 'ann'): 1.0}, ['bob'])
    """
    by_subject: dict[str, list[float]] = defaultdict(list)
    for (_, _, subject), score in single.items():
        by_subject[subject].append(score)
    spread = {name: float(np.std(found, ddof=1)) if len(found) > 1 else 0.0 for name, found in by_subject.items()}
    # the spread of equal numbers can be a rounding error
    usable = {
        name: (float(np.mean(found)), spread[name])
        for name, found in by_subject.items()
        if len(set(found)) > 1 and spread[name] > 0
    }
    scaled = {key: (score - usable[key[2]][0]) / usable[key[2]][1] for key, score in single.items() if key[2] in usable}
    return scaled, sorted(by_subject.keys() - usable.keys())
