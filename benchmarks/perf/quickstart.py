"""Where the time of ``fusionbench quickstart`` goes: seconds on the clock and of the processor, step by step.

The floor is training: the optimiser's steps of the three networks, which a quick start with the same story cannot leave
out. Each instruction set (``tools/with_isa.py``) is a row of its own, measured one after the other.

Run: python benchmarks/perf/quickstart.py [--isa default AVX2]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

TOOL = Path(__file__).parents[2] / "tools" / "with_isa.py"
FIRST = "import and start"


def processor_seconds(process: psutil.Process) -> float:
    """Of a process, its children that have ended, and all that are alive below it."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(isa: str) -> list[tuple[str, float, float]]:
    """Step, seconds on the clock and of the processor.

    Raises:
        RuntimeError: the quick start failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fusionbench", "quickstart", "--out", f"{folder}/quickstart"]
        command = [sys.executable, str(TOOL), isa, "--", *command]
        child = psutil.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        marks = [(FIRST, time.monotonic(), 0.0)]
        last, spent = [], 0.0
        assert child.stderr is not None
        for line in child.stderr:
            last = [*last[-20:], line]
            spent = max(spent, processor_seconds(child))
            if line[1:3] == "/6":
                marks.append((line.strip().split(" ", 1)[1].strip()[:60], time.monotonic(), spent))
            elif line.startswith(("quickstart: ", "train and score: ")) and marks[-1][0] != "of it: train and score":
                marks.append(("of it: train and score", time.monotonic(), spent))
        if child.wait():
            raise RuntimeError("".join(last))
        marks.append(("", time.monotonic(), spent))
    return [(what, then - now, after - before) for (what, now, before), (_, then, after) in itertools.pairwise(marks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isa", nargs="+", default=["default", "AVX2"])
    for isa in parser.parse_args().isa:
        rows = measure(isa)
        clock, processor = sum(row[1] for row in rows), sum(row[2] for row in rows)
        print(f"instruction set {isa}: {clock:.0f} s on the clock, {processor:.0f} s of the processor")
        for what, seconds, spent in rows:
            print(f"  {what:62}{seconds:7.1f}{spent:8.1f}   {spent / processor:4.0%}")


if __name__ == "__main__":
    main()
