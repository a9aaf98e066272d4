"""The one form in which tables are written for LaTeX: a ``tabular`` with the rules of the package booktabs.

Cells are LaTeX already: who fills them makes text harmless by :func:`fusionbench.core.text.in_latex`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def booktabs(columns: str, head: Iterable[str], groups: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: its head below the upper rule, and a rule between groups of lines.

    Args:
        columns: the argument of ``tabular``, ``"lrr"``.
        head, groups: lines as :func:`table_line` makes them.

    Example:
        >>> from fusionbench.results.booktabs import booktabs, table_line
        >>> print(*booktabs("lr", [table_line(["model", "SD"])], [[table_line(["average", "26.1"])]]), sep=chr(10))
        \\begin{tabular}{lr}
        \\toprule
        model & SD \\\\
        \\midrule
        average & 26.1 \\\\
        \\bottomrule
        \\end{tabular}
    """
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", *head]
    for group in groups:
        lines += ["\\midrule", *group]
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def table_line(cells: Iterable[str]) -> str:
    """Cells as a line of a table."""
    return " & ".join(cells) + " \\\\"
