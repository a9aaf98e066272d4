"""Citation export of a board: BibTeX of the comparison and of the papers whose numbers it shows."""

from __future__ import annotations

import re

from fusionbench import __version__
from fusionbench.board.page_model import Benchmark, slug
from fusionbench.core.text import in_latex


def tex(text: str) -> str:
    """Text with everything that TeX would take for a command made harmless, on one line."""
    return in_latex(" ".join(text.split()))


def bibtex(benchmark: Benchmark) -> str:
    """Entries for the comparison (data set, split, protocol, identity) and for every paper with published rows."""
    dataset, protocol = benchmark.first.identity.dataset, benchmark.first.identity.protocol
    entries = [
        _entry(
            "misc",
            f"fusionbench-{benchmark.slug}",
            {
                "title": f"{benchmark.title}, {dataset.split} split: comparison of image fusion models",
                "howpublished": f"fusionbench {__version__}, protocol {protocol.name} {protocol.version}",
                "note": f"data set id {dataset.id[:16]}, {dataset.n} images, protocol seed {protocol.seed}",
            },
        )
    ]
    papers = {row.published.paper: None for row in benchmark.rows if row.published is not None}
    for paper in papers:
        # records that were accepted before may begin with a comma, or have nothing but blanks
        authors = [name for part in re.split(r",? and |, ", paper.authors) if (name := part.strip(" ,"))]
        fields = {"author": " and ".join(authors)} if authors else {}
        fields |= {"title": paper.title, "howpublished": paper.venue, "url": paper.url}
        family = authors[0].split()[-1] if authors else "paper"
        entries.append(_entry("misc", slug(f"{family}-{paper.venue}"), fields))
    return "\n".join(entries)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{text if name == 'url' else tex(text)}}}," for name, text in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])
