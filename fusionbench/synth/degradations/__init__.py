"""Degradations of registered pairs with a known truth: one family per file, five severities, integers throughout.

:func:`degrade` takes uint8 pairs and gives the degraded ones with the true field of displacements and what was lost.
What it draws is a function of (family, data set, split, seed, sample, epoch) alone: the bits are the same from NumPy
and torch, for a pair alone and in a batch, stored or live. A new family is its file plus one line in the table.
"""

from __future__ import annotations

from fusionbench.synth.degradations.base import Degradation, Degraded
from fusionbench.synth.degradations.run import SEVERITIES, degrade, list_degradations
from fusionbench.synth.degradations.table import DEGRADATIONS

__all__ = ["DEGRADATIONS", "SEVERITIES", "Degradation", "Degraded", "degrade", "list_degradations"]
