"""Kills builds at random moments and checks that the same command finishes them with the same bytes.

    python benchmarks/perf/stress_build.py [--trials 25] [--seed 0]

Each trial starts ``fusionbench generate`` on FusionDigits in small shards with one or two workers, kills the whole
process group with SIGKILL up to three times at random moments, lets the command finish, and compares every byte with an
undisturbed build. Prints one line a trial; leaves with 1 when a trial ends differently.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fusionbench.core.io import shipped_folder
from fusionbench.data.recipes import load_recipe


def start(recipe: Path, out: Path, jobs: int) -> subprocess.Popen[bytes]:
    entry = "from fusionbench.cli import main; main()"
    command = [sys.executable, "-c", entry, "-q", "generate", "--recipe", str(recipe), "--out", str(out)]
    return subprocess.Popen([*command, "--jobs", str(jobs)], stdout=subprocess.DEVNULL, start_new_session=True)


def digest(folder: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def trial(
    recipe_file: Path, folder: Path, out: Path, jobs: int, longest: float, chance: random.Random
) -> tuple[int, int]:
    """Kills that hit a running build, and shards that the first of them left."""
    hits, left = 0, 0
    for _ in range(3):
        process = start(recipe_file, out, jobs)
        time.sleep(chance.uniform(0.2, 1) * longest)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            hits += 1
        process.wait()
        left = left or len(list(folder.glob("*.h5")))
        if (folder / "manifest.json").exists():
            break
    if start(recipe_file, out, jobs).wait() != 0:
        raise SystemExit("the build could not be finished")
    return hits, left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        recipe_file = root / "stress.toml"
        text = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text().partition("[expect]")[0]
        recipe_file.write_text(text.replace("shard_size = 1024", "shard_size = 8"))
        recipe = load_recipe(recipe_file)
        longest = {}
        for jobs in (1, 2):
            begin = time.perf_counter()
            start(recipe_file, root / f"reference{jobs}", jobs).wait()
            longest[jobs] = time.perf_counter() - begin
        expected = digest(recipe.folder(root / "reference1"))
        if digest(recipe.folder(root / "reference2")) != expected:
            raise SystemExit("one worker and two workers make different bytes")
        for number in range(1, arguments.trials + 1):
            jobs = 1 + number % 2
            out = root / f"trial{number}"
            hits, left = trial(recipe_file, recipe.folder(out), out, jobs, longest[jobs], chance)
            same = digest(recipe.folder(out)) == expected
            failures += not same
            verdict = "same bytes" if same else "DIFFERENT"
            print(f"trial {number:3}: {jobs} workers, {hits} kills, {left:3} shards left first: {verdict}", flush=True)
    print(f"{arguments.trials - failures} of {arguments.trials} builds ended with the same bytes")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
