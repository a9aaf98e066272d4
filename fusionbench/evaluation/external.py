"""A method's folder of fused images, scored under the protocol of a suite of pairs: how methods that cannot run here
enter its table.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from fusionbench.core.deprecation import renamed_parameter
from fusionbench.core.errors import UsageError
from fusionbench.core.image_ranges import Range
from fusionbench.core.progress import say
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.suites import Suite, load_suite
from fusionbench.results.schema import Result, load

_NAME = re.compile(r"[a-z0-9][a-z0-9+._-]{0,63}")


@renamed_parameter("keep_pictures", "keep_images", removed_in="0.3")
def score_outputs(
    suite: str | Path | Suite,
    a: str | Path,
    b: str | Path,
    fused: str | Path,
    *,
    name: str,
    title: str | None = None,
    note: str = "",
    out: str | Path | None = "results",
    strict: bool = False,
    jobs: int | None = None,
    keep_images: bool | None = None,
    range_a: Range | str | None = None,
    range_b: Range | str | None = None,
    range_fused: Range | str | None = None,
) -> Result:
    """Score the images in ``fused`` as a row of ``suite``; status ``scored``.

    Args:
        a, b: folders of views 0 and 1 of the suite's split; stems and pixels decide whose table the row is on.
        name: what the method is called in folders: small letters, digits and ``+ . _ -``.
        title: what tables call it; the name when None.
        note: where the images are from.
        strict: refuse images that belong to no pair instead of naming them.
        range_a, range_b, range_fused: which values are black and white, instead of the suite's ranges; recorded in the
            result's protocol.

    Raises:
        UsageError: a suite without pairs, a name that is no name, or a range that is none.
        DataError: images that lack, differ in size or cannot be read.
    """
    suite = suite if isinstance(suite, Suite) else load_suite(suite)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r}: a method's name has small letters, digits, + . _ and -, for example my-method")
    protocol = PROTOCOLS.get(suite.protocol.name)
    ranges = {key: str(Range.of(value)) for key, value in (("range_a", range_a), ("range_b", range_b)) if value}
    if not ranges.keys() - protocol.own_options.keys():
        suite = msgspec.structs.replace(suite, protocol=msgspec.structs.replace(suite.protocol, **ranges))
    data = protocol.open_images(suite, Path(a), Path(b), strict=strict)
    result = protocol.score_images(
        Path(fused),
        data,
        suite.protocol,
        name=name,
        title=title or name,
        note=note,
        out=out,
        keep_images=keep_images,
        strict=strict,
        jobs=jobs,
        range_fused=range_fused,
    )
    if out is not None:
        _tell_other_sets(result, Path(out))
    return result


def _tell_other_sets(result: Result, out: Path) -> None:
    """Say so when rows of other images lie under this name: they stand on tables of their own."""
    ours, others = result.identity.dataset, 0
    for path in sorted((out / ours.name).glob("*/*/result.json")):
        found = load(path).identity.dataset
        others += (found.id, found.n, found.split) != (ours.id, ours.n, ours.split)
    if others:
        say(
            f"note: {others} results in {out / ours.name} are of other images or other names of them than these "
            f"{ours.n} pairs (id {ours.id[:12]}): they stand on a table of their own"
        )
