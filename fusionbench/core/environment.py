"""What ran here, for the provenance of results: code, packages, system, processor and command; no names, no secrets.

No environment variable is recorded. Folders of homes, user names and passwords in URLs are left out of commands.

Example:
    >>> from fusionbench.core.environment import describe_code, anonymous_command, describe_environment
    >>> sorted(describe_environment())
    ['code', 'cpu', 'machine', 'os', 'packages', 'python']
    >>> any(line.startswith("numpy==") for line in describe_environment()["packages"].split())
    True
    >>> anonymous_command(["/home/ada/bin/fusionbench", "evaluate", "--out=/home/ada/results"])
    ['fusionbench', 'evaluate', '--out=~/results']
    >>> from fusionbench.core import environment
    >>> print(describe_code(environment.__file__))  # part of fusionbench, whose commit the environment has
    None
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fusionbench.core.io import escaped, file_sha256, utf8

MAX_PACKAGES = 1000
MAX_WORDS = 200  # of a command
MAX_WORD = 500
MAX_SOURCES = 2000
_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]{0,100})-([0-9][0-9A-Za-z.!+_]{0,60})(?:-.*)?\.(?:dist|egg)-info")
_HOME = re.compile(r"(?<![\w.~-])(?:[A-Za-z]:)?[/\\](?:home|Users)[/\\][^/\\=:,;\s]+|(?<![\w.~-])/root(?=/|$)")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(?<=\S)\?\S+")
_SOURCES = ("fusionbench", "datasets_recipes", ":(glob)benchmarks/*.toml")  # what of a checkout decides a result
_SECONDS = 10  # most that git may take
_INSTALLED = {"site-packages", "dist-packages", "node_modules", "__pycache__"}


@lru_cache
def describe_environment() -> dict[str, Any]:
    """Code, packages, system and processor of this process; worked out once. Not to be changed.

    ``code``: commit of the checkout that fusionbench is imported from, and whether its files differ from it
    (``dirty``); None where it is installed. ``packages``: every installed distribution,
    ``name==version``, in one text.
    """
    return {
        "code": _repository(Path(__file__).resolve().parents[2], _SOURCES),
        "packages": " ".join(_packages()),
        "os": f"{platform.system()} {platform.release()}"[:200],
        "machine": platform.machine(),
        "cpu": _cpu(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def describe_code(file: str | Path) -> dict[str, Any] | None:
    """Name, sha256, commit and ``dirty`` of a file of code that is not part of fusionbench; None for one that is.

    The repository is the nearest folder above the file with a ``.git``; None where there is none.
    """
    path = Path(file).resolve()
    if Path(__file__).resolve().parents[1] in path.parents or not path.is_file():
        return None
    found: dict[str, Any] = {"file": escaped(path.name), "sha256": file_sha256(path), "code": None}
    if not {"site-packages", "dist-packages"} & set(path.parts):  # a repository around an environment is not its code
        top = next((folder for folder in path.parents if (folder / ".git").exists()), None)
        found["code"] = None if top is None else _repository(top, (".",))
    return found


def folder_of_own_code(file: str | Path) -> Path | None:
    """The folder of a file of code that somebody may edit: None for one of fusionbench's, or of an installed package.

    Example:
        >>> from fusionbench.core.environment import folder_of_own_code
        >>> import numpy
        >>> folder_of_own_code(numpy.__file__) is None, folder_of_own_code("/home/me/net.py").name
        (True, 'me')
    """
    path = Path(file).resolve()
    fusionbench = Path(__file__).resolve().parents[1]
    return None if fusionbench in path.parents or _INSTALLED & set(path.parts) else path.parent


def source_digest(folder: str | Path) -> str | None:
    """Hex sha256 over names and contents of the Python files below a folder, hidden and installed ones left out; None
    where there are more than :data:`MAX_SOURCES`, or ten times as many files in all, or one cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.core.environment import source_digest
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     before = source_digest(folder)
        ...     _ = Path(folder, "mine.py").write_text("answer = 42")
        ...     before == source_digest(folder), source_digest(folder) == source_digest(folder)
        (False, True)
    """
    total, count, seen, top = hashlib.sha256(), 0, 0, os.fspath(folder)
    try:
        for place, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _INSTALLED)
            sources = sorted(name for name in files if name.endswith(".py"))
            count, seen = count + len(sources), seen + len(files) + len(folders)
            if count > MAX_SOURCES or seen > 10 * MAX_SOURCES:
                return None
            for name in sources:
                path = os.path.join(place, name)
                total.update(f"{os.path.relpath(path, top)!a} {file_sha256(Path(path))}\n".encode())
    except OSError:
        return None
    return total.hexdigest()


def anonymous_command(words: Sequence[str] | None = None) -> list[str]:
    """The command of this process, or ``words``, without what only says whose machine it was.

    The program is its name alone; folders of homes become ``~``; user and password, and what follows ``?``, are removed
    from URLs. At most 200 words of 500 letters.
    """
    given = list(sys.argv if words is None else words)
    if not given:
        return []
    found = [Path(given[0]).name, *(_anonymous(word) for word in given[1:MAX_WORDS])]
    return found + ([f"and {len(given) - MAX_WORDS} more"] if len(given) > MAX_WORDS else [])


def _anonymous(word: str) -> str:
    word = _PASSWORD.sub("", word)
    if "://" in word:
        word = _QUERY.sub("", word)
    with contextlib.suppress(RuntimeError):
        home = str(Path.home())
        if len(Path(home).parts) > 1:
            word = re.sub(rf"(?<![\w.~-]){re.escape(home)}(?=[/\\]|$)", "~", word)
    return utf8(_HOME.sub("~", word))[:MAX_WORD]


def _packages() -> list[str]:
    """``name==version`` of what is installed, sorted; the names of its folders say it, none is opened."""
    found: dict[str, str] = {}
    for place in sys.path:
        with contextlib.suppress(OSError), os.scandir(place or ".") as entries:
            for entry in entries:
                if (match := _PACKAGE.fullmatch(entry.name)) is not None:
                    found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    return [f"{name}=={version}" for name, version in sorted(found.items())][:MAX_PACKAGES]


def _cpu() -> str:
    """What the processor calls itself; what the system says of it where that is not known."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return " ".join(line.partition(":")[2].split())[:200]
    return platform.processor()[:200]


def _repository(top: Path, paths: Sequence[str]) -> dict[str, Any] | None:
    """Commit and ``dirty`` of a checkout; None where there is none, or git cannot say."""
    if not (top / ".git").exists():
        return None
    commit = _git(top, "rev-parse", "--verify", "HEAD")
    if commit is None or re.fullmatch(r"[0-9a-f]{40,64}", commit.strip()) is None:
        return None
    changes = _git(top, "status", "--porcelain", "--untracked-files=normal", "--", *paths)
    return {"commit": commit.strip(), "dirty": None if changes is None else bool(changes.strip())}


def _git(top: Path, *words: str) -> str | None:
    """What git prints; its configuration cannot make it start programs, nor variables point it elsewhere."""
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", f"safe.directory={top}"]
    kept = ("PATH", "SYSTEMROOT", "HOME", "TMPDIR", "TEMP", "TMP")  # without GIT_DIR and the like
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *safe, *words],
            cwd=top,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
