"""A suite as a competition bundle of Codabench (version 2 of its YAML): predictions in, the suite's scores out.

What ``competition.yaml`` may have is in ``templates/competition.schema.json``. The scoring program is a few lines that
call fusionbench, which the competition's Docker image has; no program of a participant is run.
"""

from __future__ import annotations

import datetime
import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from fusionbench import __version__
from fusionbench.board.community.settings import SUITE, Limits
from fusionbench.board.community.start import TEMPLATES, constraints, template_environment
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import read_bounded, shipped_folder, write_bytes
from fusionbench.evaluation.suites import Suite, load_suite
from fusionbench.submissions.archive import archive_entry
from fusionbench.submissions.prediction_kinds import predictions_under

YAML, LOGO = "competition.yaml", "logo.png"
PAGES = {"Overview": "overview", "Submit": "submit", "Terms": "terms"}
IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,199}")


@dataclass(frozen=True)
class BundleRequest:
    """What is exported.

    Attributes:
        suite: the name of a suite, or a ``.toml`` file.
        out: a new or empty folder, or a ``.zip``.
        data: folder of the data set or the pairs; it is copied where the licence of the source allows it.
        title: of the competition; the suite's by default.
        image: the Docker image that has fusionbench.
        start: when the only phase begins.
    """

    suite: str
    out: Path
    start: datetime.datetime
    data: Path | None = None
    title: str | None = None
    image: str = f"fusionbench-scorer:{__version__}"
    limits: Limits = field(default_factory=Limits)
    seconds: int = 3600


@dataclass(frozen=True)
class Bundle:
    """What was written. ``reference``: whether the data are embedded, included, or missing (a text says what to do)."""

    path: Path
    reference: str


def column_key(score: str) -> str:
    """The key of a score on Codabench, whose keys are letters, digits and underscores.

    Example:
        >>> from fusionbench.board.community.codabench import column_key
        >>> column_key("mse_min@mean")
        'mse_min_mean'
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", score)


def export_bundle(request: BundleRequest) -> Bundle:
    """Write the bundle of a suite.

    Raises:
        UsageError: an unknown suite, a place that is taken, the name of no image, or a protocol of a plugin.
        DataError: a damaged suite or data set, or a place that cannot be written.
    """
    suite = load_suite(request.suite)
    out, zipped = request.out, request.out.suffix == ".zip"
    if out.exists() and (zipped or out.is_file() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already; name a new place")
    if not IMAGE.fullmatch(request.image):
        raise UsageError(f"{request.image!r} is not the name of a Docker image")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reference = _write_reference(suite, request.data, folder / "reference_data")
        for name, content in _files(suite, request, reference).items():
            write_bytes(folder / name, content)
        if zipped:
            _zip(folder, out)
        else:
            shutil.copytree(folder, out, dirs_exist_ok=True)
    return Bundle(out, reference)


def competition(suite: Suite, request: BundleRequest) -> dict[str, Any]:
    """The content of ``competition.yaml``.

    Raises:
        UsageError: predictions cannot be scored under the suite's protocol.
    """
    title = request.title or suite.title
    return {
        "version": 2,
        "title": title,
        "description": suite.description or suite.title,
        "image": LOGO,
        "terms": "pages/terms.md",
        "registration_auto_approve": False,
        "docker_image": request.image,
        "make_programs_available": True,
        "make_input_data_available": False,
        "enable_detailed_results": False,
        "auto_run_submissions": True,
        "pages": [{"title": shown, "file": f"pages/{name}.md"} for shown, name in PAGES.items()],
        "phases": [
            {
                "index": 0,
                "name": "Submissions",
                "description": f"Predictions for {suite.dataset}, split {suite.split}",
                "start": request.start.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S"),
                "max_submissions": request.limits.total,
                "max_submissions_per_day": request.limits.per_day,
                "execution_time_limit": request.seconds,
                "accepts_only_result_submissions": True,
                "tasks": [0],
            }
        ],
        "tasks": [
            {
                "index": 0,
                "name": suite.title,
                "description": f"Scored by fusionbench {__version__} under {suite.protocol.name}",
                "scoring_program": "scoring_program",
                "reference_data": "reference_data",
            }
        ],
        "leaderboards": [
            {"title": "Results", "key": "main", "submission_rule": "Force_Last", "columns": columns_of(suite)}
        ],
    }


def columns_of(suite: Suite) -> list[dict[str, Any]]:
    """The columns of the leaderboard: the scores that predictions get under the suite's protocol.

    Raises:
        UsageError: predictions cannot be scored under it.
    """
    return [
        {
            "title": title,
            "key": column_key(score),
            "index": index,
            "sorting": "desc" if better == "higher" else "asc",
            "precision": 5,
            "hidden": False,
        }
        for index, (score, title, better) in enumerate(predictions_under(suite).in_suite.columns(suite))
    ]


def _files(suite: Suite, request: BundleRequest, reference: str) -> dict[str, bytes]:
    """Every file of the bundle but the data."""
    made = competition(suite, request)
    licence, _ = _licence(suite)
    values = {
        "title": made["title"],
        "suite_title": suite.title,
        "description": suite.description,
        "dataset": suite.dataset.partition("@")[0],
        "split": suite.split,
        "licence": licence,
        "version": __version__,
        "protocol": suite.protocol.name,
        "draws": getattr(suite.protocol, "draws", 1),
        "columns": made["leaderboards"][0]["columns"],
        "state": reference,
    }
    source = Path(request.suite)
    if source.suffix != ".toml":
        source = shipped_folder("benchmarks") / f"{request.suite}.toml"
    files = {
        YAML: as_yaml(made).encode(),
        LOGO: _logo(),
        "scoring_program/metadata.yaml": as_yaml(
            {"command": "python3 /app/program/score.py /app/input/ /app/output/"}
        ).encode(),
        "scoring_program/score.py": (TEMPLATES / "codabench_score.txt").read_bytes(),
        f"scoring_program/{SUITE}": source.read_bytes(),
        "docker/Dockerfile": (TEMPLATES / "Dockerfile").read_bytes(),
        "docker/requirements.txt": f"fusionbench=={__version__}\n".encode(),
        "docker/constraints.txt": "".join(f"{line}\n" for line in constraints()).encode(),
    }
    for name, target in {**dict.fromkeys(PAGES.values()), "reference": "reference_data/README.md"}.items():
        template = template_environment().get_template(f"codabench_{name}.md.jinja")
        files[target or f"pages/{name}.md"] = template.render(**values).encode()
    return files


def _licence(suite: Suite) -> tuple[str, bool]:
    """What the source of the suite's data states, and whether its images may be passed on."""
    from fusionbench.data.recipes import list_recipes, load_recipe
    from fusionbench.sources import SOURCES

    name = suite.dataset
    if name.partition("@")[0] in list_recipes():
        name = load_recipe(name).source.name
    if name not in SOURCES.names():
        return "as the owner of the images states", False
    source = cast(Any, SOURCES.get(name))
    return str(source.licence), bool(source.redistributable)


def _write_reference(suite: Suite, data: Path | None, folder: Path) -> str:
    """Put the data beside the scoring program where the licence allows it; what became of them."""
    rules = predictions_under(suite).in_suite
    if rules.is_embedded(suite):
        return "embedded"
    if data is not None:
        rules.check_data(suite, data)
    _, may_be_passed_on = _licence(suite)
    if not may_be_passed_on:
        return "missing"
    if data is not None:
        if any(path.is_symlink() for path in data.rglob("*")):
            raise DataError(f"{data}: has links, which a bundle cannot have; copy the files themselves there")
        shutil.copytree(data, folder / suite.dataset.partition("@")[0])
        return "included"
    return "included" if rules.build_data(suite, folder) else "missing"


def as_yaml(value: Any, indent: int = 0) -> str:
    """Plain values as YAML that people can edit: blocks, with every text in quotes, as JSON writes it.

    Example:
        >>> from fusionbench.board.community.codabench import as_yaml
        >>> print(as_yaml({"a": [{"b": "yes", "c": 1}]}), end="")
        a:
          - b: "yes"
            c: 1
    """
    space = "  " * indent
    if isinstance(value, Mapping):
        lines = []
        for key, item in value.items():
            nested = isinstance(item, Mapping | list) and len(item) > 0
            text = f"\n{as_yaml(item, indent + 1)}" if nested else f" {_scalar(item)}\n"
            lines.append(f"{space}{key}:{text}")
        return "".join(lines)
    if isinstance(value, Sequence) and not isinstance(value, str):
        lines = []
        for item in value:
            text = as_yaml(item, indent + 1) if isinstance(item, Mapping) else f"{space}  {_scalar(item)}\n"
            lines.append(f"{space}- {text[len(space) + 2 :]}")
        return "".join(lines)
    return f"{space}{_scalar(value)}\n"


def _scalar(value: Any) -> str:
    """A scalar as JSON, without what YAML takes for the end of a line or refuses."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _logo() -> bytes:
    """Two overlapping squares: two images of one scene."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((32, 32, 160, 160), fill=(69, 90, 100))
    draw.rectangle((96, 96, 224, 224), fill=(0, 150, 136))
    draw.rectangle((96, 96, 160, 160), fill=(255, 193, 7))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _zip(folder: Path, out: Path) -> None:
    """The same files always give the same archive."""
    from fusionbench.core.io import atomic_write

    with atomic_write(out) as stream, zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = archive_entry(path.relative_to(folder).as_posix())
                archive.writestr(entry, read_bounded(path, 8 << 30, "file of the bundle"))
