"""A new leaderboard: the files of its repository, from templates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench import __version__
from fusionbench.board.community.rounds import ROUNDS
from fusionbench.board.community.settings import (
    ACCEPTED,
    INCOMING,
    LEDGER,
    REFERENCE,
    RESULTS,
    SETTINGS,
    SUITE,
    WITHDRAW,
    KindName,
    Leaderboard,
    Limits,
    parse_community,
)
from fusionbench.core.errors import UsageError
from fusionbench.core.io import shipped_folder, write_bytes
from fusionbench.evaluation.suites import load_suite

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
# file of the repository -> template; the workflows have no value of a user in them and are copied as they are
FILES = {
    "README.md": "README.md.jinja",
    SETTINGS: "community.toml.jinja",
    "Dockerfile": "Dockerfile",
    ".dockerignore": "dockerignore",
    ".gitignore": "gitignore",
    ".gitattributes": "gitattributes",
    ".github/CODEOWNERS": "CODEOWNERS.jinja",
    ".github/pull_request_template.md": "pull_request_template.md",
    ".github/workflows/check.yml": "check.yml",
    ".github/workflows/accept.yml": "accept.yml",
    ".github/workflows/pages.yml": "pages.yml",
    f"{INCOMING}/README.md": "incoming.md",
    f"{WITHDRAW}/README.md": "withdraw.md",
    f"{ACCEPTED}/README.md": "accepted.md",
    f"{RESULTS}/{REFERENCE}/README.md": "reference.md",
    f"{ROUNDS}/README.md": "rounds.md",
}
_REQUIREMENT = re.compile(r"[^\x00-\x1f\x7f]{1,300}")
_OWNER = re.compile(r"@[A-Za-z0-9][A-Za-z0-9-]{0,38}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99})?")


@dataclass(frozen=True)
class StartRequest:
    """What a new leaderboard is.

    Attributes:
        folder: where its repository is made; new or empty.
        title: that of the pages.
        suite: the name of a suite, or a ``.toml`` file, which is copied.
        data: what is scored; the suite's data set by default.
        owner: who reviews changes of everything but submissions, as ``@name`` or ``@organisation/team``.
        requirement: what pip installs as fusionbench; this release by default.
        git: whether a first commit is made.
    """

    folder: Path
    title: str
    suite: str
    data: str | None = None
    kinds: tuple[KindName, ...] = ("weights", "predictions", "published")
    limits: Limits = field(default_factory=Limits)
    owner: str | None = None
    requirement: str | None = None
    git: bool = False


def start_community(request: StartRequest) -> Path:
    """Write the repository of a new leaderboard; the settings are those that come back from reading them.

    Raises:
        UsageError: the folder is not empty, or a name or the suite cannot be used.
        DataError: the suite is damaged, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.board.community.start import StartRequest, start_community
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = start_community(StartRequest(Path(folder) / "board", "Ours", "pairs-demo"))
        ...     sorted(path.name for path in made.iterdir() if path.suffix == ".toml")
        ['community.toml', 'suite.toml']
    """
    folder = request.folder
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UsageError(f"{folder}: is not empty; name a new folder")
    suite = load_suite(request.suite)
    source = Path(request.suite)
    if source.suffix != ".toml":
        source = shipped_folder("benchmarks") / f"{request.suite}.toml"
    if request.owner is not None and not _OWNER.fullmatch(request.owner):
        raise UsageError(f"{request.owner!r} names nobody; give @name or @organisation/team")
    requirement = request.requirement or f"fusionbench=={__version__}"
    if not _REQUIREMENT.fullmatch(requirement):
        raise UsageError("the requirement has a line end or a control character; give one line of pip")
    values = {
        "title": request.title,
        "data": request.data or suite.dataset.partition("@")[0],
        "suite_title": suite.title,
        "protocol": suite.protocol.name,
        "kinds": list(request.kinds),
        "limits": request.limits,
        "owner": request.owner,
        "version": __version__,
    }
    made = {name: _rendered(template, values) for name, template in FILES.items()}
    settings = parse_community(made[SETTINGS], SETTINGS)  # refuses a title or a name before anything is written
    made[SUITE] = source.read_bytes()
    made[LEDGER] = b""
    made["requirements.txt"] = f"{requirement}\n".encode()
    made["constraints.txt"] = "".join(f"{line}\n" for line in constraints()).encode()
    for name, content in made.items():
        write_bytes(folder / name, content)
    if request.git:
        _first_commit(folder, settings.branch)
    return folder


def constraints() -> list[str]:
    """``name==version`` of every package that fusionbench needs here, without those of its extras."""
    found: dict[str, str] = {}
    for name in _required("fusionbench"):
        # an index of builds names them with a local part (2.11.0+cpu), which pip finds without
        found[name] = metadata.version(name).partition("+")[0]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _required(root: str) -> Iterator[str]:
    """The packages below ``root`` that are installed here, each once."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        waiting, seen = [*(metadata.requires(root) or ())], {canonicalize_name(root)}
    except metadata.PackageNotFoundError:  # a checkout that was never installed
        return
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            waiting += metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue
        yield name


def prepare_data(leaderboard: Leaderboard, source_dir: Path | None = None) -> Path | None:
    """Make the data that are scored, where they are missing and a recipe makes them; their folder, None if embedded.

    Raises:
        UsageError: nothing makes them; says where to put them.
        DataError: the build needs files of the source.
    """
    from fusionbench.data.build import build_dataset
    from fusionbench.data.recipes import list_recipes, load_recipe

    data = leaderboard.data
    if leaderboard.data_at_hand is not None:
        return data if data.is_dir() else None
    name = leaderboard.settings.data
    if name.partition("@")[0] not in list_recipes():
        raise UsageError(f"{data}: put the data there; no recipe that comes with fusionbench is called {name!r}")
    build_dataset(load_recipe(name), source_dir=source_dir, out=data.parent)
    return data


def _first_commit(folder: Path, branch: str) -> None:
    import subprocess

    from fusionbench.board.community.git import Repository

    done = subprocess.run(["git", "init", "--quiet", f"--initial-branch={branch}", str(folder)], capture_output=True)
    if done.returncode:
        raise UsageError(f"{folder}: git init failed: {' '.join(done.stderr.decode(errors='replace').split())[:300]}")
    repository = Repository(folder)
    repository.run("add", "--all")
    repository.run(*repository.author(), "commit", "--quiet", "--message", "Start the leaderboard")


def _rendered(template: str, values: dict[str, object]) -> bytes:
    if not template.endswith(".jinja"):
        return (TEMPLATES / template).read_bytes()
    return template_environment().get_template(template).render(**values).encode()


def template_environment() -> Environment:
    """Templates of text files, whose values are escaped by the filters ``toml`` and ``markdown``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from fusionbench.core.text import in_markdown

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(toml=lambda value: json.dumps(value, ensure_ascii=False), markdown=in_markdown)
    return environment
