"""A package of another author, on disk: a model, a source and a metric that end their process in every way there is.

Worker processes find it as they find any plugin, by its entry points; ``environment`` puts it on their path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = '''
import os, signal, sys, threading, time
from pathlib import Path

import numpy as np

from fusionbench.core.types import LossTerms, Preset, Metric, Tolerance
from fusionbench.core.errors import DataError
from fusionbench.sources.digits import Digits

PLACE = Path(os.environ["PLACE"])  # where processes leave word


class Unpicklable(Exception):
    def __init__(self, *words):
        super().__init__(*words)
        self.lock = threading.Lock()


class Unloadable(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def leave_word(name):
    (PLACE / f"{name}-{os.getpid()}").touch()


def end(how):
    """End this process, or the task, or do nothing."""
    if "CURED" in os.environ:
        return
    if how.startswith("SIG"):
        name, _, once = how.partition("-")
        flag = PLACE / f"{name}-done"
        if not (once and flag.exists()):
            flag.touch()
            os.kill(os.getpid(), getattr(signal, name))
    elif how == "exit":
        os._exit(7)
    elif how == "leave":
        sys.exit(7)
    elif how == "memory":
        raise MemoryError
    elif how == "unpicklable":
        raise Unpicklable("it has a lock")
    elif how == "unloadable":
        raise Unloadable("one", "two")
    elif how == "data":
        raise DataError("that.png: damaged")
    elif how.startswith("patient"):  # until a signal comes, whether it raises or not
        heard = []
        if threading.current_thread() is threading.main_thread():
            old = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, lambda number, frame: (heard.append(number), old(number, frame)))
        leave_word("waiting")
        while not heard:
            time.sleep(0.02)
    elif how.startswith("deaf"):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        leave_word("waiting")
        time.sleep(10000)


try:
    import torch
except ImportError:
    torch = None


class Net(torch.nn.Module):
    title, reference, version = "A net", "nobody, nowhere", "1"
    PRESETS = {"tiny": Preset(training={"epochs": 1.0, "batch": 500})}

    def __init__(self, spec, how="nothing", when=1):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.how, self.when = how, when

    def fuse(self, batch):
        given = batch.present[..., None, None, None]
        total = torch.where(given, batch.views, 0.0).sum(1)
        return (self.scale * total / batch.present.sum(1).clamp(min=1)[:, None, None, None]).clamp(0, 1)

    def parameter_groups(self):
        return {"main": list(self.parameters())}

    def loss(self, batch, group, step):
        print("step", step)
        if step == self.when:
            end(self.how)
        total = (self.scale - 0.5) ** 2
        return LossTerms(total * float("nan") if self.how == "nan" else total)


class Source(Digits):
    """The embedded digits, whose images 700 and later cannot be read."""

    name = "crashing"

    def read(self, split, indices):
        if np.max(indices) >= 700:
            print("reading")
            end(os.environ.get("HOW", "nothing"))
        return super().read(split, indices)


def slow(fused, a, b):
    end(os.environ.get("HOW", "nothing"))
    return np.zeros(len(fused))


METRIC = Metric(
    "slow", "1", "slow", slow, "pair", "higher", "1", (0.0, 1.0), Tolerance(0.0, 0.0, "for the test"), "nobody, nowhere"
)
'''
ENTRY_POINTS = """
[fusionbench.models]
net = crashers:Net

[fusionbench.sources]
crashing = crashers:Source

[fusionbench.metrics]
slow = crashers:METRIC
"""


SUITE = """
format = "fusionbench.suite/1"
name = "small"
title = "Small"
dataset = "fusiondigits"
[protocol]
draws = 2
limit = 8
"""


def suite(folder: Path, *ends: str) -> Path:
    """A suite of a trivial row and of rows that end in these ways; rows are called like their ends, in lower case."""
    rows = ['[[models]]\nname = "mean-image"\n']
    for how in ends:
        label = how.lower()
        rows.append(f'[[models]]\nname = "net"\nlabel = "{label}"\npreset = "tiny"\nparams = {{how = "{how}"}}\n')
    path = folder / "small.toml"
    path.write_text(SUITE + "".join(rows))
    return path


def recipe(folder: Path) -> Path:
    """FusionDigits from the source that cannot be read everywhere, in five shards, of which the first can be made."""
    from tests.data.test_build import DIGITS

    text = DIGITS.partition("[expect]")[0].replace("shard_size = 1024", "shard_size = 400")
    path = folder / "small.toml"
    path.write_text(text.replace('name = "digits"', 'name = "crashing"'))
    return path


def fusionbench(folder: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, in ``folder``, with the package at hand."""
    command = [sys.executable, "-m", "fusionbench", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment(folder, **more), capture_output=True, text=True)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Variables for a process that has the package, which is written below ``folder``."""
    package = folder / "plugin"
    about = package / "crashers-1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (package / "crashers.py").write_text(MODULE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: crashers\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    paths = [str(package), str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    return {**os.environ, **threads, "PLACE": str(folder), "PYTHONPATH": os.pathsep.join(paths), **more}
