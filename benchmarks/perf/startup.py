"""What it costs to start: the package and verbs in fresh interpreters, beside Python with click alone, and torch.

Run: python benchmarks/perf/startup.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time

FLOOR = "import click"
CODES = {
    "python -c pass": "pass",
    "python -c 'import click' (floor)": FLOOR,
    "import fusionbench": "import fusionbench",
    "fusionbench --version": ["--version"],
    "fusionbench --help": ["--help"],
    "fusionbench score --help": ["score", "--help"],
    "fusionbench list": ["list"],
    "fusionbench describe vif": ["describe", "vif"],
    "fusionbench list metrics": ["list", "metrics"],
    "fusionbench verify --self-test": ["verify", "--self-test"],
    "fusionbench plan fusiondigits": ["plan", "fusiondigits"],
    "import numpy": "import numpy",
    "import torch": "import torch",
}
SHOWN = 6  # imports of a row that cost most


def code_of(what: str | list[str]) -> str:
    """The program of a row: code, or a command line of fusionbench."""
    return what if isinstance(what, str) else f"from fusionbench.cli import main; main({what!r})"


def measure(code: str) -> tuple[float, float]:
    """Seconds on the clock and of the processor for one fresh interpreter.

    Raises:
        RuntimeError: the program failed, and its time means nothing.
    """
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{code}: {errors.decode(errors='replace')}")
    return seconds, usage.ru_utime + usage.ru_stime


def dominating(code: str) -> list[tuple[str, float]]:
    """The packages whose imports cost most, with all that they import, in milliseconds."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    found: dict[str, float] = {}
    for line in lines:
        match = re.match(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)$", line)
        if match and (name := match[2].partition(".")[0]) not in ("site", "encodings"):
            found[name] = max(found.get(name, 0.0), int(match[1]) / 1000)
    return sorted(found.items(), key=lambda row: -row[1])[:SHOWN]


def main() -> None:
    """Print milliseconds (the fastest of all rounds) and ratios to the floor, measured in turn in this run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    best: dict[str, tuple[float, float]] = {}
    for number in range(arguments.rounds + 1):
        for title, what in CODES.items():
            found = measure(code_of(what))
            if number:  # the round before only fills the disk's cache and writes bytecode
                wall, cpu = best.get(title, found)
                best[title] = min(wall, found[0]), min(cpu, found[1])
    floor = best["python -c 'import click' (floor)"]
    print(f"the fastest of {arguments.rounds} fresh interpreters, milliseconds and ratio to the floor")
    print(f"{'':36}{'clock':>8}{'ratio':>8}{'processor':>12}{'ratio':>8}")
    for title, (wall, cpu) in best.items():
        print(f"{title:36}{1000 * wall:8.0f}{wall / floor[0]:8.2f}{1000 * cpu:12.0f}{cpu / floor[1]:8.2f}")
    for title in ("import fusionbench", "fusionbench score --help", "fusionbench --help"):
        rows = ", ".join(f"{name} {cost:.0f}" for name, cost in dominating(code_of(CODES[title])))
        print(f"imports of `{title}` that cost most, with what they import, in ms: {rows}")


if __name__ == "__main__":
    main()
