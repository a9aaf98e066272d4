"""Which metrics agree on methods and which contradict each other: rank correlation over the rows of a results folder.

    python benchmarks/metric_conflicts.py benchmarks/results/tno [--stretched]

Spearman's rank correlation of two metrics over all rows that have a value of both, better being higher for either:
1 where they order the methods alike, −1 where one reverses the other. A row without a value (a copied source has no
SCD) takes no part. Only rows as their methods make them, or only stretched ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from fusionbench.results.schema import load_folder

NAMES = ("en", "sd", "sf", "mi", "scd", "vif", "qabf", "ssim", "cc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stretched", action="store_true")
    options = parser.parse_args()
    rows = []
    for result in load_folder(options.folder):
        if bool(result.identity.protocol.params.get("stretch")) == options.stretched:
            means = [result.scores[name].mean if name in result.scores else None for name in NAMES]
            rows.append([np.nan if mean is None else mean for mean in means])
    table = np.array(rows)
    print(f"{len(rows)} rows\n" + " " * 6 + "".join(f"{name:>7}" for name in NAMES))
    for i, name in enumerate(NAMES):
        line = f"{name:6}"
        for j in range(i + 1):
            both = np.isfinite(table[:, [i, j]]).all(1)
            line += f"{spearmanr(table[both, i], table[both, j]).statistic:7.2f}"
        print(line)


if __name__ == "__main__":
    main()
