"""Scores as papers write them in the heads of tables: Q with the superscript AB/F, Q_CB, MSE_min.

The label of a metric is its plain form. What is raised or lowered in it follows from how labels are spelled: ``Qabf``,
``Nabf`` and ``Labf`` carry AB/F, ``Q`` and small letters an index, and so does what stands behind an underscore.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fusionbench.core.text import in_latex, in_markdown_table
from fusionbench.metrics import label_of

_EDGES = re.compile(r"([QNL])abf")
_INDEXED = re.compile(r"(Q)([a-z]{1,5})|([A-Z]{2,6})_([a-z]{1,7})")


@dataclass(frozen=True)
class Symbol:
    """A short name with what is raised and lowered in it.

    Attributes:
        label: the plain form, ``Qabf``.
        base, lower, upper: the parts, ``Q``, nothing and ``AB/F``.
        slanted: whether it is a letter of mathematics, and no abbreviation.
    """

    label: str
    base: str
    lower: str = ""
    upper: str = ""
    slanted: bool = False

    @property
    def latex(self) -> str:
        """For LaTeX: ``$Q^{AB/F}$``, ``MSE$_{\\mathrm{min}}$``."""
        raised = self._raised
        return f"${self.base}{raised}$" if self.slanted else in_latex(self.base) + (f"${raised}$" if raised else "")

    @property
    def mathtext(self) -> str:
        """For matplotlib, which sets the same mathematics; a dollar of the name stays one."""
        raised = self._raised
        plain = re.sub(r"([\\$])", r"\\\1", self.base)
        return f"${self.base}{raised}$" if self.slanted else plain + (f"${{}}{raised}$" if raised else "")

    @property
    def html(self) -> str:
        """For Markdown: ``Q<sup>AB/F</sup>``."""
        lower = f"<sub>{in_markdown_table(self.lower)}</sub>" if self.lower else ""
        upper = f"<sup>{in_markdown_table(self.upper)}</sup>" if self.upper else ""
        return in_markdown_table(self.base) + lower + upper

    @property
    def _raised(self) -> str:
        return (f"_{{\\mathrm{{{self.lower}}}}}" if self.lower else "") + (f"^{{{self.upper}}}" if self.upper else "")


def symbol_of(score: str) -> Symbol:
    """The symbol of a score, by its key without a column.

    Example:
        >>> from fusionbench.metrics.symbols import symbol_of
        >>> symbol_of("qabf").latex, symbol_of("qcb").html, symbol_of("mse_min").label
        ('$Q^{AB/F}$', 'Q<sub>CB</sub>', 'MSE_min')
        >>> print(symbol_of("fmi_dct").mathtext, symbol_of("en").latex)
        FMI${}_{\\mathrm{dct}}$ EN
    """
    label = label_of(score)
    if found := _EDGES.fullmatch(label):
        return Symbol(label, found[1], upper="AB/F", slanted=True)
    if found := _INDEXED.fullmatch(label):
        if found[1]:
            return Symbol(label, found[1], lower=found[2].upper(), slanted=True)
        return Symbol(label, found[3], lower=found[4])
    return Symbol(label, label)
