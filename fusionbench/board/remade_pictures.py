"""Pictures of single pairs made again for a board, from data at hand: of the images on which its models disagree most.

They are kept in a folder beside the site, so that the next board makes only what is new; what may not be passed on is
left out unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.board.image_view import image_lines
from fusionbench.board.page_model import Benchmark
from fusionbench.board.site_index import Pictures
from fusionbench.core.errors import UsageError

if TYPE_CHECKING:
    from fusionbench.evaluation.remade_images import RemadeFolder

MOST = 12  # pairs of each benchmark


@dataclass(frozen=True)
class PicturesAgain:
    """From what images are made again.

    Args:
        places: folders of pairs, data sets, runs, weights and fused images, or folders that have some of them.
        private: also of sources that may not be passed on: for pages that stay with whoever builds them.
        most: pairs of each benchmark, those on which its models are furthest apart.
    """

    places: Sequence[Path]
    private: bool = False
    most: int = MOST

    @property
    def kind(self) -> Pictures:
        """What the index of the pages says of it."""
        return "all" if self.private else "free"

    def make(self, benchmarks: Sequence[Benchmark], cache: Path) -> dict[str, RemadeFolder]:
        """Where the images of each benchmark lie that may be shown, by its slug.

        Raises:
            UsageError: a place that is no folder.
            DataError: a cache that cannot be written.
        """
        from fusionbench.evaluation.remade_images import RemadeImages
        from fusionbench.evaluation.reproduction.places import Places

        for place in self.places:
            if not place.is_dir():
                raise UsageError(f"{place}: no such folder; name one of pairs, data sets, weights or fused images")
        found = {}
        with RemadeImages(cache, Places(self.places, self.places, self.places), self.private) as images:
            for benchmark in benchmarks:
                rows = [
                    (row.entry.results[0], row.entry.first_values)
                    for row in benchmark.measured
                    if row.entry is not None and row.entry.values
                ]
                stems = [line.id for line in image_lines(benchmark)[: self.most]]
                if (made := images.remake(benchmark.title, rows, stems)) is not None:
                    found[benchmark.slug] = made
        return found


def picture_cache(site: Path) -> Path:
    """Where images that are made again for a site are kept: beside it, since what lies in it is published.

    Example:
        >>> from pathlib import Path
        >>> from fusionbench.board.remade_pictures import picture_cache
        >>> picture_cache(Path("out/site")).name
        'site-pictures'
    """
    site = site.absolute()
    return site.with_name(f"{site.name}-pictures")
