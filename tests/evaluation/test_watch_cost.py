"""What fusing costs: the seconds of every image, and the memory of the largest, whatever was fused before."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from fusionbench.evaluation.watch_cost import CostWatch

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is the kernel's high mark")

WATCH = """
import torch
from fusionbench.core.allocator import keep_freed_memory
from fusionbench.evaluation.watch_cost import CostWatch

def fuse(mib):
    torch.full((mib << 18,), 1.0)

{first}
fuse(240)
watch = CostWatch(torch.device("cpu"))
for mib in {images}:
    with watch.image(pixels=mib):
        fuse(mib)
print(len(watch.seconds), *(round(peak) for peak in watch.peaks))
"""


def peaks(images: list[int], first: str) -> list[int]:
    """MiB of images that need so many, in a process that has held 240 before; the first number counts seconds."""
    code = WATCH.format(images=images, first=first)
    # Dask leaves MALLOC_TRIM_THRESHOLD_ in the environment of a process that had a cluster
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    run = subprocess.run([sys.executable, "-c", code], env=clean, check=True, capture_output=True, text=True)
    return [int(word) for word in run.stdout.split()]


@linux
@pytest.mark.parametrize("first", ["", "keep_freed_memory()"])
def test_memory_that_was_freed_before_counts_for_an_image(first: str) -> None:
    seconds, *found = peaks([60, 200, 100, 200, 220], first)
    assert seconds == 5
    assert found == [pytest.approx(60, abs=8), pytest.approx(200, abs=8), pytest.approx(220, abs=8)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_the_wrong_way_is_seen_by_the_test_above() -> None:
    """Without giving back, what is kept hides what an image needs."""
    forget = "import fusionbench.evaluation.watch_cost as module; module.release_freed_memory = lambda: None"
    # where less than 4 GiB are free, nothing is kept
    enough = "import fusionbench.core.allocator as own; own.ENOUGH = 0"
    _, smallest, *_ = peaks([60], f"{enough}; assert keep_freed_memory(); {forget}")
    assert smallest < 30


def test_an_image_that_fails_costs_nothing() -> None:
    watch = CostWatch(torch.device("cpu"))
    with pytest.raises(ZeroDivisionError), watch.image(pixels=10):
        _ = 1 / 0
    assert watch.seconds == watch.peaks == []
    with pytest.raises(ValueError, match="median"):
        watch.cost()
