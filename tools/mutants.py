"""Tests of the tests: change a file in small ways and see whether its tests notice.

    python tools/mutants.py                     # a fixed sample of every file in tools/mutants.toml
    python tools/mutants.py --full              # every mutant
    python tools/mutants.py --only bootstrap --sample 60
    python tools/mutants.py --minutes 15        # stop in time; files take turns, so that all of them are sampled

The operators are those of Cosmic Ray (arithmetic, comparisons, numbers, conditions, loops, exceptions, decorators), but
for annotations. A mutant runs in a copy of the tracked files, never in the working tree, and in a forked process, so
that the libraries are imported once. Survivors that change nothing that a test could see stand in tools/mutants.toml
with a reason; any other one makes the exit code 1.

The report goes to benchmarks/mutants.json.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "benchmarks" / "mutants.json"
SETTINGS = ROOT / "tools" / "mutants.toml"
SLACK_SECONDS, SLACK_FACTOR = 30, 8  # a mutant that runs longer than this many times the tests is taken for a hang
PRELOADED = ("numpy", "torch", "scipy.stats", "scipy.ndimage", "h5py", "hypothesis", "msgspec", "PIL.Image", "pytest")
# Not Cosmic Ray's VariableReplacer and VariableInserter: they need names given by hand.
LEFT_OUT = ("VariableReplacer", "VariableInserter")


@dataclass(frozen=True)
class Mutant:
    """One change: ``code`` is the whole file, ``old`` and ``new`` are the lines that differ."""

    operator: str
    line: int
    code: str
    old: str
    new: str


@dataclass
class File:
    """A file of the settings with what became of its mutants."""

    path: str
    tests: list[str]
    mutants: list[Mutant]
    possible: int
    seconds: float = 0.0
    outcomes: dict[Mutant, str] = field(default_factory=dict)

    @property
    def left(self) -> list[Mutant]:
        return [mutant for mutant in self.mutants if mutant not in self.outcomes]


@dataclass(frozen=True)
class Place:
    """Where an operator can change a file: its ``occurrence``-th place, which is at (line, column)."""

    operator: str
    occurrence: int
    start: tuple[int, int]


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Start and end of every annotation, as (line, column)."""
    found: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in found if n is not None]  # type: ignore[attr-defined]


def places_of(source: str) -> list[list[Place]]:
    """Everything that can be changed in a file but annotations, in groups by place and kind, in the file's order."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes, spans = list(ast_nodes(get_ast(source))), annotations(source)
    groups: dict[tuple[int, int, str], list[Place]] = {}
    for name in operator_names():
        if name.endswith(LEFT_OUT):
            continue
        operator, family = get_operator(name)(), name.partition("/")[2].partition("_")[0]
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for first, last in spans):
                groups.setdefault((*start, family), []).append(Place(name, occurrence, start))
    return [groups[key] for key in sorted(groups)]


def mutant_at(source: str, place: Place) -> Mutant | None:
    """The change at a place; None where the operator cannot make one that Python reads as other code."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    try:
        code = mutate_code(source, get_operator(place.operator)(), place.occurrence)
        if code is None or ast.dump(ast.parse(code)) == ast.dump(ast.parse(source)):
            return None
    except (SyntaxError, AttributeError):  # Cosmic Ray does not know exceptions with a dot in their names
        return None
    changes = [line for line in difflib.unified_diff(source.splitlines(), code.splitlines(), n=0)][2:]
    old, new = ("\n".join(line[1:].strip() for line in changes if line[0] == sign) for sign in "-+")
    return Mutant(place.operator, place.start[0], code, old, new)


def sample_of(source: str, groups: list[list[Place]], count: int | None, seed: str) -> list[Mutant]:
    """``count`` mutants, each from another group as long as there is one; None: all of them."""
    drawn = random.Random(seed)
    shuffled = [drawn.sample(group, len(group)) for group in groups]
    drawn.shuffle(shuffled)
    rounds = max((len(group) for group in shuffled), default=0)
    places = (group[turn] for turn in range(rounds) for group in shuffled if turn < len(group))
    made = (mutant for place in places if (mutant := mutant_at(source, place)) is not None)
    return list(itertools.islice(made, count))


@contextlib.contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of the tracked files as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="fusionbench-mutants-") as folder:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, Path(folder) / name)
        yield Path(folder)


def run_tests(tree: Path, tests: list[str], seconds: float) -> tuple[str, str]:
    """``passed``, ``failed`` or ``hung``, and what the tests printed; in a forked process with a time limit."""
    log = tree / "mutant.log"
    child = os.fork()
    if not child:
        code = 70
        try:
            os.setsid()
            with log.open("wb") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            os.chdir(tree)
            sys.path.insert(0, str(tree))
            os.environ["PYTHONPATH"] = str(tree)
            import pytest

            code = int(pytest.main(["-x", "-q", "--hypothesis-seed=0", "--basetemp", str(tree / "made"), *tests]))
        finally:
            sys.stdout.flush()
            os._exit(code)
    end, status = time.monotonic() + seconds, 0
    done = 0
    while not done and time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests started goes as well
    if not done:
        os.waitpid(child, 0)
        return "hung", log.read_text(errors="replace")
    return "passed" if status == 0 else "failed", log.read_text(errors="replace")


def try_one(tree: Path, file: File, mutant: Mutant) -> str:
    """``killed``, ``hung`` (which is noticed, too) or ``survived``."""
    path = tree / file.path
    original = path.read_text()
    path.write_text(mutant.code)
    try:
        outcome, _ = run_tests(tree, file.tests, SLACK_SECONDS + SLACK_FACTOR * file.seconds)
    finally:
        path.write_text(original)
    return {"passed": "survived", "failed": "killed"}.get(outcome, outcome)


def explained(settings: dict[str, Any], file: File, mutant: Mutant) -> str | None:
    """Why a survivor changes nothing that a test could see; None where nobody has said so."""
    for known in settings.get("equivalent", []):
        same = known["path"] in (file.path, "*") and known["old"] == mutant.old.strip()
        if same and known.get("new") in (None, mutant.new):  # without "new": whatever the line becomes
            return str(known["why"])
    return None


def state_of(files: list[File]) -> str:
    """The commit, and whether the files or their tests differ from it."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    names = [name for file in files for name in (file.path, *file.tests)]
    clean = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *names], check=False).returncode == 0
    return commit + ("" if clean else " and changes")


def report(settings: dict[str, Any], files: list[File], state: str) -> dict[str, Any]:
    """What is kept: the commit, numbers of each file and the survivors."""
    rows = {}
    for file in files:
        survivors = [mutant for mutant in file.mutants if file.outcomes.get(mutant) == "survived"]
        listed: list[dict[str, Any]] = []
        for mutant in survivors:
            why = explained(settings, file, mutant)
            listed.append(
                {"operator": mutant.operator, "line": mutant.line, "old": mutant.old, "new": mutant.new}
                | ({} if why is None else {"equivalent": why})
            )
        rows[file.path] = {
            "tests": file.tests,
            "possible": file.possible,
            "tried": len(file.outcomes),
            "noticed": len(file.outcomes) - len(survivors),
            "equivalent": sum("equivalent" in row for row in listed),
            "survivors": listed,
        }
    from importlib.metadata import version

    return {
        "commit": state,
        "seed": settings["seed"],
        "cosmic_ray": version("cosmic-ray"),
        "tried": sum(row["tried"] for row in rows.values()),
        "noticed": sum(row["noticed"] for row in rows.values()),
        "equivalent": sum(row["equivalent"] for row in rows.values()),
        "files": rows,
    }


def main(arguments: list[str]) -> int:
    """0: every mutant was noticed or is explained; 1: one was not; 2: a wrong call; 3: tests that fail anyway."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="files whose path contains this text")
    parser.add_argument("--sample", type=int, help="mutants of a file")
    parser.add_argument("--full", action="store_true", help="all mutants")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no mutant after this time")
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    settings = tomllib.loads(SETTINGS.read_text())
    count = None if given.full else given.sample or settings["sample"]
    files = []
    for entry in settings["file"]:
        if given.only in entry["path"]:
            source = (ROOT / entry["path"]).read_text()
            groups = places_of(source)
            chosen = sample_of(source, groups, count, f"{settings['seed']} {entry['path']}")
            files.append(File(entry["path"], entry["tests"], chosen, sum(map(len, groups))))
    if not files:
        parser.error(f"no file of {SETTINGS.name} contains {given.only!r}")
    for name in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # two mutants of a second would share a cached file
    sys.dont_write_bytecode = True
    for name in PRELOADED:
        importlib.import_module(name)
    state = state_of(files)  # now: people go on working while this runs
    with copied_tree() as tree:
        for file in files:
            start = time.monotonic()
            outcome, text = run_tests(tree, file.tests, 1200)
            file.seconds = time.monotonic() - start
            if outcome != "passed":
                print(f"{text}\nmutants: {', '.join(file.tests)} {outcome} without a mutant", file=sys.stderr)
                return 3
        while (left := [file for file in files if file.left]) and time.monotonic() - begun < given.minutes * 60:
            for file in left:
                mutant = file.left[0]
                file.outcomes[mutant] = try_one(tree, file, mutant)
                if file.outcomes[mutant] == "survived":
                    why = explained(settings, file, mutant)
                    note = "" if why is None else f"   ({why})"
                    print(f"{file.path}:{mutant.line}: {mutant.old}  ->  {mutant.new}{note}", flush=True)
    made = report(settings, files, state)
    given.out.write_text(json.dumps(made, indent=1) + "\n")
    for path, row in made["files"].items():
        print(f"{path}: {row['noticed']} of {row['tried']} noticed, {row['equivalent']} equivalent", file=sys.stderr)
    return int(made["noticed"] + made["equivalent"] < made["tried"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
