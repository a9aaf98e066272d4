"""What people said about fused images: a CSV with an opinion for each image and method, or one for each subject, too.

    image,method,score
    01,CDDFuse,4.2

With a column ``subject`` the rows of one image and method are averaged, as they are or after what
:mod:`fusionbench.results.subjects` does. Further columns are passed over.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fusionbench.core.errors import DataError, some
from fusionbench.core.io import read_bounded
from fusionbench.core.text import counted, one_line
from fusionbench.results.subjects import FEW_SUBJECTS, screened, zscores

MAX_BYTES = 64 << 20
MAX_NAME = 200  # letters of an image, a method or a subject
_COLUMNS = ("image", "method", "score")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Opinions:
    """Opinions on fused images.

    Attributes:
        mean: (image, method) -> mean opinion score.
        count: how many single opinions there are.
        subjects: how many people gave them, where the file says so.
        sha256: digest of the file.
        zscore: whether single opinions were z-scores of their subject before they were averaged.
        screened: subjects whom the screening left out; None where nobody was screened.
        remarks: what a reader should know of the subjects.
    """

    mean: dict[tuple[str, str], float]
    count: int
    subjects: int | None
    sha256: str
    zscore: bool = False
    screened: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()


def read_opinions(path: Path, *, zscore: bool = False, screen: bool = False) -> Opinions:
    """Read a CSV of opinions.

    Args:
        zscore: take each opinion as the distance from the mean of its subject's in their standard deviations.
        screen: leave out subjects first whom ITU-R BT.500 rejects (:mod:`fusionbench.results.subjects`).

    Raises:
        DataError: no such file, no UTF-8, no such columns, an opinion that is no finite number, a name that is empty,
            two opinions for one image and method (and subject); or with ``zscore`` or ``screen`` no column of subjects,
            or nobody who is left.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.results.opinions import read_opinions
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "scores.csv")
        ...     _ = file.write_text("image,method,subject,score\\n01,A,ann,4\\n01,A,bob,5\\n01,B,ann,2\\n")
        ...     found = read_opinions(file)
        >>> found.mean, found.count, found.subjects
        ({('01', 'A'): 4.5, ('01', 'B'): 2.0}, 3, 2)
    """
    content = read_bounded(path, MAX_BYTES, "table of opinions")

    def fail(text: str) -> NoReturn:
        raise DataError(f"{path}: {text}")

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(f"is not UTF-8 (byte {error.start}); save the table as CSV in UTF-8")
    if "\0" in text:
        fail("has NUL bytes; save the table as CSV in UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        fail(f"line {reader.line_num}: {error}; save the table as CSV")
    if not rows:
        fail("is empty; it needs a line image,method,score and a line for each opinion")
    head = [cell.strip().lower() for cell in rows[0][1]]
    head = ["image" if cell == "id" and "image" not in head else cell for cell in head]
    if lacking := [name for name in _COLUMNS if name not in head]:
        fail(f"has no column {' and no column '.join(lacking)}; the first line names the columns: image,method,score")
    if doubled := [name for name in (*_COLUMNS, "subject") if head.count(name) > 1]:
        fail(f"has two columns {doubled[0]}")
    places = {name: head.index(name) for name in (*_COLUMNS, "subject") if name in head}
    if (zscore or screen) and "subject" not in places:
        fail(f"has no column subject, which {'z-scores take' if zscore else 'a screening takes'}; leave that out")
    seen: dict[tuple[str, ...], int] = {}
    single: dict[tuple[str, str, str], float] = {}
    for line, row in rows[1:]:
        if len(row) != len(head):
            fail(f"line {line}: has {len(row)} cells for {len(head)} columns")
        cells = {name: row[place].strip() for name, place in places.items()}
        for name in cells.keys() - {"score"}:
            if not cells[name] or len(cells[name]) > MAX_NAME or one_line(cells[name]) != cells[name]:
                fail(f"line {line}, {name}: {one_line(cells[name][:40])!r} is no name of 1 to {MAX_NAME} letters")
        if not _NUMBER.fullmatch(cells["score"]) or not math.isfinite(float(cells["score"])):
            shown = one_line(cells["score"][:40])
            fail(f"line {line}: the score {shown!r} is no finite number; leave out the line of a missing opinion")
        key = tuple(cells[name] for name in ("image", "method", "subject") if name in cells)
        if key in seen:
            who = "one of a subject is enough" if "subject" in cells else "a column subject tells them apart"
            fail(f"line {line}: {some(key)} is there already, in line {seen[key]}; {who}")
        seen[key] = line
        single[cells["image"], cells["method"], cells.get("subject", "")] = float(cells["score"])
    if not single:
        fail("has no opinion in it")
    remarks: list[str] = []
    rejected: list[str] | None = None
    if screen:
        people = {subject for _, _, subject in single}
        rejected = screened(single)
        single = {key: score for key, score in single.items() if key[2] not in rejected}
        if rejected:
            remarks.append(
                f"{len(rejected)} of {len(people)} subjects left out by BT.500's screening: {some(rejected)}"
            )
        if len(people) >= FEW_SUBJECTS:
            remarks.append(f"BT.500 means its screening for fewer than {FEW_SUBJECTS} subjects; here are {len(people)}")
    if zscore:
        single, constant = zscores(single)
        if constant:
            count = counted(len(constant), "subject")
            remarks.append(f"{count} left out, whose opinions are all the same: {some(constant)}")
    if not single:
        fail("no subject is left: " + "; ".join(remarks))
    sums: dict[tuple[str, str], list[float]] = {}
    for (image, method, _), score in single.items():
        sums.setdefault((image, method), []).append(score)
    mean = {key: math.fsum(values) / len(values) for key, values in sums.items()}
    subjects = len({key[2] for key in single}) if "subject" in places else None
    sha256 = hashlib.sha256(content).hexdigest()
    left_out = None if rejected is None else tuple(rejected)
    return Opinions(mean, len(single), subjects, sha256, zscore, left_out, tuple(remarks))
