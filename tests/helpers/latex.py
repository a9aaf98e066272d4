"""A small reader of LaTeX tables that checks what pdflatex would complain about, for machines without one."""

from __future__ import annotations

import re

# commands that tables may use: of LaTeX itself, and of booktabs
_OF_LATEX = """
begin end centering caption label multicolumn emph textbf underline parbox linewidth raggedright par smallskip rlap
mathrm mathbf uparrow downarrow pm times geq leq beta sigma infty ldots textcolor textbackslash textless textgreater
textbar textasciitilde textasciicircum
"""
KNOWN = {*_OF_LATEX.split(), "toprule", "midrule", "bottomrule", "cmidrule"}


def check(text: str) -> list[list[str]]:
    """The cells of every line of the table, whose braces, mathematics, environments and columns are in order."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    body = "\n".join(lines)
    assert not re.search(r"(?<!\\)%", body), "a comment inside of the table"
    commands = set(re.findall(r"\\([A-Za-z]+)", body))
    assert commands <= KNOWN, commands - KNOWN
    depth, mathematics = 0, False
    for found in re.finditer(r"\\.|[{}$#^_&~]", body, re.DOTALL):
        letter = found[0]
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0, body[max(0, found.start() - 40) : found.end()]
        mathematics ^= letter == "$"
        assert letter not in "^_" or mathematics, body[max(0, found.start() - 40) : found.end()]
        assert letter not in "#~"
    assert depth == 0 and not mathematics
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", body):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    inner = re.search(r"\\begin\{tabular\}\{(l)(r*)\}(.*)\\end\{tabular\}", body, re.DOTALL)
    assert inner is not None
    columns, rows = 1 + len(inner[2]), []
    for line in inner[3].split("\\\\\n"):
        line = re.sub(r"\\(toprule|midrule|bottomrule)\n|\\cmidrule\(lr\)\{[0-9-]+\}\s*", "", line).strip()
        if not line or line == "\\bottomrule":
            continue
        cells = re.split(r"(?<!\\)&", line)
        wide = sum(int(number) - 1 for number in re.findall(r"\\multicolumn\{([0-9]+)\}", line))
        assert len(cells) + wide == columns, line
        rows.append([cell.strip() for cell in cells])
    return rows
