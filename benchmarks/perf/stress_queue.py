"""Kills workers of a queue at random moments and checks that no submission is lost and none is scored twice.

    python benchmarks/perf/stress_queue.py [--items 200] [--workers 4] [--kills 30] [--seed 0] [--folder FOLDER]

Submissions are samples of FusionDigits that are made here, each other than the rest, and one in ten is damaged. Workers
are ``fusionbench accept --queue``, killed with SIGKILL while they have an item in work, and started again until the
queue is empty. With ``--folder`` an interrupted run goes on where it was. Prints what was checked; leaves with 1 when
anything is not as it should be.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.results import schema
from fusionbench.submissions.kinds.base import PackRequest, Scoring
from fusionbench.submissions.kinds.predictions import PREDICTIONS
from fusionbench.submissions.submit import accept_submission

STATES = ("incoming", "working", "done", "rejected", "failed")
SUITE = (
    'format = "fusionbench.suite/1"\nname = "stress"\ntitle = "Stress"\ndataset = "fusiondigits"\n'
    '[protocol]\ndraws = {draws}\nlimit = {images}\n[[models]]\nname = "mean-image"\n'
)


def items_in(folder: Path) -> list[Path]:
    """Submissions in a folder of the queue."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".zip") if folder.is_dir() else []


def make(root: Path, items: int, images: int, draws: int) -> None:
    """The data set, the suite, and a queue in which ``items`` submissions wait."""
    dataset = build_dataset(load_recipe("fusiondigits"), out=root / "data")
    (root / "stress.toml").write_text(SUITE.format(draws=draws, images=images))
    (root / "dataset.txt").write_text(str(dataset))
    views = open_dataset(dataset).arrays("test").views[:images, 0].astype(np.int16)
    draft = root / "draft"
    draft.mkdir()
    for number in range(items):
        noise = np.random.default_rng(number).integers(-9, 10, (images, 4, draws, *views.shape[1:]))
        np.save(draft / "s.npy", np.clip(views[:, None, None] + noise, 0, 255).astype(np.uint8))
        words = {"title": f"Entry {number}", "submitter": "Ada", "model": f"entry-{number}", "data": dataset}
        # as `pack` does, without the check that comes after it: accepting makes it again
        PREDICTIONS.write_draft(PackRequest(draft / "s.npy", draft / "s.zip", **words), draft / "s.zip")
        content = (draft / "s.zip").read_bytes()
        if number % 10 == 9:
            content = content[: len(content) // 2]
        (draft / f"{number:04}.zip").write_bytes(content)
    expected = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in draft.glob("0*.zip")}
    (root / "queue" / "incoming").mkdir(parents=True)
    for name in sorted(expected):
        (draft / name).rename(root / "queue" / "incoming" / name)
    (root / "expected.txt").write_text("".join(f"{digest} {name}\n" for name, digest in sorted(expected.items())))


def start(root: Path) -> subprocess.Popen[bytes]:
    """One worker, which serves the queue once."""
    words = ["accept", "--queue", root / "queue", "--suite", root / "stress.toml", "--out", root / "results"]
    words += ["--data", (root / "dataset.txt").read_text()]
    command = [sys.executable, "-c", "from fusionbench.cli import main; main()", "-q", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def serve(root: Path, workers: int, kills: int, chance: random.Random) -> tuple[int, int, list[str]]:
    """Serve the queue until it is empty; kills that hit a worker with an item in work, starts, and unexpected ends."""
    queue, running, starts, strange = root / "queue", [], 0, []
    counted = root / "kills.txt"
    done = int(counted.read_text()) if counted.exists() else 0
    waiting = len(items_in(queue / "incoming")) + len(items_in(queue / "working"))
    gap = max(1, waiting // max(1, kills - done + 1))  # a kill for so many items, so that they are spread
    next_at = waiting - gap
    while True:
        for process in [process for process in running if process.poll() is not None]:
            running.remove(process)
            _, err = process.communicate()
            if process.returncode not in (0, -9):
                strange.append(f"exit code {process.returncode}: {err.decode(errors='replace').strip()[-300:]}")
        left = len(items_in(queue / "incoming")) + len(items_in(queue / "working"))
        if not left and not running:
            return done, starts, strange
        while left and len(running) < workers:
            running.append(start(root))
            starts += 1
        if done < kills and left <= next_at and items_in(queue / "working"):
            time.sleep(chance.uniform(0, 3))  # anywhere in an item's way
            busy = [process for process in running if process.poll() is None and children(process.pid)]
            if busy:
                chance.choice(busy).kill()
                done, next_at = done + 1, left - gap
                counted.write_text(str(done))
        time.sleep(0.1)


def children(process: int) -> list[int]:
    """Processes that a process has started: a worker that scores has some."""
    import psutil

    try:
        return [child.pid for child in psutil.Process(process).children(recursive=True)]
    except psutil.Error:
        return []


def left_over() -> list[str]:
    """Processes that read submissions and belong to nobody any more."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        if "fusionbench.submissions.supervisor" in words and process.info["ppid"] == 1:
            found.append(str(process.pid))
    return found


def checks(root: Path) -> Iterator[tuple[str, bool]]:
    """What has to hold after the queue was served."""
    queue = root / "queue"
    expected = dict(line.split()[::-1] for line in (root / "expected.txt").read_text().splitlines())
    found = {state: items_in(queue / state) for state in STATES}
    where = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for paths in found.values() for path in paths)
    good = {name for name in expected if int(name[:4]) % 10 != 9}
    yield f"{len(expected)} submissions are there, each once", where == Counter(expected.values())
    yield f"{len(good)} are in done", {path.name for path in found["done"]} == good
    yield (
        f"{len(expected) - len(good)} are in rejected",
        {path.name for path in found["rejected"]} == set(expected) - good,
    )
    yield "none waits and none failed", not (found["incoming"] or found["working"] or found["failed"])
    yield "nothing is left in working", not any((queue / "working").iterdir())
    logs = {path.stem: path.read_text() for state in ("done", "rejected") for path in (queue / state).glob("*.log")}
    yield "each has one log", sorted(logs) == sorted(Path(name).stem for name in expected)
    ends = [len(re.findall(r"^\S+ (?:accepted|rejected): ", text, re.MULTILINE)) for text in logs.values()]
    yield "each log has one end", ends == [1] * len(expected)
    results = schema.load_folder(root / "results")
    titles = Counter(result.title for result in results)
    yield f"{len(good)} results, one for each", titles == Counter(f"Entry {int(name[:4])}" for name in good)
    again = sum("taken up again" in text for text in logs.values())
    yield f"{again} items were taken up again after a kill", again > 0 or not (root / "kills.txt").exists()
    yield "no process is left over", not left_over()
    by_title = {result.title: result for result in results}
    with tempfile.TemporaryDirectory() as other:
        scoring = Scoring(Path(other), Path((root / "dataset.txt").read_text()), str(root / "stress.toml"))
        picked = sorted(good)[:: max(1, len(good) // 3)][:3]
        same = [
            schema.load(accept_submission(queue / "done" / name, scoring)).scores
            == by_title[f"Entry {int(name[:4])}"].scores
            for name in picked
        ]
    yield f"{len(picked)} of them scored again without kills have the same scores", all(same)


def stress(root: Path, items: int, workers: int, kills: int, seed: int, images: int = 100, draws: int = 20) -> bool:
    """Make a queue in ``root`` unless there is one, serve it with kills, print and return whether all is well."""
    if not (root / "expected.txt").exists():
        make(root, items, images, draws)
    begin = time.perf_counter()
    done, starts, strange = serve(root, workers, kills, random.Random(seed))
    print(f"{workers} workers, {starts} starts, {done} of {kills} kills hit a worker with an item in work")
    print(f"samples of a submission: {images} images x 4 numbers of inputs x {draws} draws of 32x32 pixels")
    print(f"this part of the run took {time.perf_counter() - begin:.0f} s")
    well = (done > 0 or kills == 0) and not strange  # on a fast machine a queue may be empty before the last kill
    for line in strange:
        print(f"NOT EXPECTED: {line}")
    for text, holds in checks(root):
        print(f"{'holds' if holds else 'FAILS'}: {text}")
        well = well and holds
    return well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.folder or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        well = stress(root, arguments.items, arguments.workers, arguments.kills, arguments.seed)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
