"""What the scoring program of a Codabench bundle does: an upload and reference data in, ``scores.json`` out.

The upload is what ``fusionbench pack`` made, unpacked, or predictions alone; either way it becomes a submission, which
is checked and scored as any other.
"""

from __future__ import annotations

import json
import math
import tempfile
import zipfile
from pathlib import Path

from fusionbench.board.community.codabench import column_key, columns_of
from fusionbench.core.errors import DataError, Rejected, UsageError
from fusionbench.core.io import write_bytes
from fusionbench.evaluation.suites import Suite, load_suite
from fusionbench.results import schema
from fusionbench.submissions.archive import MAX_IMAGES, MAX_MEMBERS, META, archive_entry
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.prediction_kinds import predictions_under

SCORES = "scores.json"
_IGNORED = {"__MACOSX", ".DS_Store", "metadata"}  # what archivers and Codabench leave beside the files


def score_upload(inputs: Path, outputs: Path, suite: Path, seconds: int = 3600) -> dict[str, float]:
    """Score ``inputs/res`` on the data in ``inputs/ref`` and write ``outputs/scores.json``: column -> score.

    Scores that are not defined for an image of the upload are left out.

    Raises:
        Rejected: the upload is refused, or could not be scored.
        UsageError, DataError: no data to score on, or a damaged suite.
    """
    from fusionbench.submissions.submit import accept_submission, pack_submission

    rules = load_suite(suite)
    kind = predictions_under(rules)
    data = _data(rules, inputs / "ref")
    files = _uploaded(inputs / "res")
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "submission.zip"
        if META in files:
            _zip_again(files, archive)
        else:
            made = kind.in_suite.uploaded(files)
            pack_submission(PackRequest(made, archive, "Upload", "participant", model="upload", data=data))
        by_suite = str(suite.resolve()) if kind.needs_suite else None
        folder = accept_submission(archive, Scoring(Path(temporary) / "results", data, by_suite, seconds))
        result = schema.load(folder)
    if result.identity.dataset.split != rules.split:
        raise Rejected(f"predictions for the split {result.identity.dataset.split}; {rules.split} is scored")
    means = {column_key(key): score.mean for key, score in result.scores.items()}
    wanted = {key: means.get(key) for key in (column["key"] for column in columns_of(rules))}
    found = {key: float(mean) for key, mean in wanted.items() if mean is not None and math.isfinite(mean)}
    write_bytes(outputs / SCORES, json.dumps(found, sort_keys=True, allow_nan=False).encode() + b"\n")
    return found


def _data(rules: Suite, reference: Path) -> Path:
    """The data: in the folder of reference data, or the name of an embedded source of pairs."""
    from fusionbench.submissions.kinds.base import resolve_data

    name = rules.dataset.partition("@")[0]
    if (reference / name).is_dir():
        return reference / name
    if predictions_under(rules).in_suite.is_embedded(rules) and not resolve_data(Path(name)).is_absolute():
        return Path(name)
    raise UsageError(f"{reference / name}: no such folder; the organisers put the data there, see its README.md")


def _uploaded(folder: Path) -> dict[str, Path]:
    """The plain files of an upload, by their path in it; those in a single folder of it count as its own."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; nothing was uploaded")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_symlink():
            raise Rejected(f"{'/'.join(parts)}: a link; put the file itself into the zip")
        if path.is_file() and not _IGNORED.intersection(parts):
            found["/".join(parts)] = path
            if len(found) > MAX_IMAGES + MAX_MEMBERS:
                raise Rejected(f"the upload has more than {MAX_IMAGES + MAX_MEMBERS} files; send predictions only")
    tops = {name.partition("/")[0] for name in found}
    if len(tops) == 1 and META not in found and all("/" in name for name in found):
        found = {name.partition("/")[2]: path for name, path in found.items()}
    if not found:
        raise Rejected("the upload has no file; send predictions, or what `fusionbench pack` made")
    return found


def _zip_again(files: dict[str, Path], out: Path) -> None:
    """The archive that Codabench unpacked; what does not belong into one is found by the check."""
    with zipfile.ZipFile(out, "w") as archive:
        for name, path in files.items():
            with open(path, "rb") as source, archive.open(archive_entry(name, zipfile.ZIP_STORED), "w") as stream:
                while block := source.read(1 << 20):
                    stream.write(block)
