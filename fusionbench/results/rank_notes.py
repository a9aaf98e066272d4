"""What a reader of ranks has to know beside them: too few images, one training only, how many images a tie needs."""

from __future__ import annotations

from fusionbench.core.errors import some
from fusionbench.results.comparison import Comparison

MAX_NEEDED = 20  # ties of which a table says how many images they need; JSON and CSV have all


def rank_notes(comparison: Comparison) -> list[str]:
    """Why rows have no rank, what holds for one training only, and how many images the ties need; a line each.

    Example:
        >>> import tempfile
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.results.comparison import compare_results
        >>> from fusionbench.results.rank_notes import rank_notes
        >>> pairs = open_pairs("pairs-demo", "all", None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = create_model("copy-a", ImageSpec(1, 256, 256, views=2))
        ...     _ = evaluate_pairs(model, pairs, out=folder, device="cpu")
        ...     rank_notes(compare_results([folder], scores=["sf"]))
        ['sf: no ranks: 3 images, fewer than the 6 that a rank needs']
    """
    common: dict[str, list[str]] = {}  # what is said of every row of a score is said once
    single: dict[str, dict[str, None]] = {}  # note -> titles; each stands once
    needed = []
    for key, column in comparison.scores.items():
        for entry, row in zip(comparison.entries, column, strict=True):
            if row is None or entry.cut:
                continue
            for note in filter(None, row.note.split("; ")):
                if note.startswith("trained once"):
                    single.setdefault(note, {})[entry.title] = None
                elif key not in common.setdefault(note, []):
                    common[note].append(key)
            if row.ranked and row.needed_images is not None:
                needed.append(f"{entry.title}: {key} about {row.needed_images:,}")
    lines = [f"{', '.join(keys)}: no ranks: {note}" for note, keys in common.items()]
    lines += [f"{some(list(titles))}: {note}" for note, titles in single.items()]
    if needed:
        lines.append(f"images that would separate a row from the best (power 0.8): {'; '.join(needed[:MAX_NEEDED])}")
    return lines
