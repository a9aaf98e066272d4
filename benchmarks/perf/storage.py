"""Speed of writing and reading shards beside ``np.save`` and gzipped HDF5; building faces beside decoding them.

    python benchmarks/perf/storage.py [--celeba-half DIR] [--json FILE]

Everything runs on one core, in turns, from the page cache; the shortest of several turns counts. Batches over many
shards are compared in processor time with the same samples in one memory map, as bytes and as floats.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np

from fusionbench.core import progress
from fusionbench.core.io import shipped_folder
from fusionbench.data.arrays import ShardedArray
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe, parse_recipe
from fusionbench.data.shards.reader import open_shard
from fusionbench.data.shards.writer import write_shard

TURNS = 5
BATCH = 256


def best(
    functions: dict[str, Callable[[], object]], turns: int = TURNS, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Shortest run of each function in seconds; they take turns."""
    times: dict[str, float] = {}
    for turn in range(turns + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if turn:
                times[name] = min(times.get(name, 1e9), clock() - start)
    return times


def storage(root: Path) -> dict[str, float]:
    """Writing and random reading of 8192 samples of FusionMNIST's shape."""
    views = np.random.default_rng(0).integers(0, 256, (8192, 3, 32, 32), np.uint8)
    views[:, :, :, :16] = 0  # half of it compresses
    order = np.random.default_rng(1).permutation(len(views))
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]

    def gzipped() -> None:
        with h5py.File(root / "gzip.h5", "w") as file:
            file.create_dataset("views", data=views, chunks=(128, 3, 32, 32), compression="gzip", compression_opts=4)

    def save() -> None:
        (root / "a.npy").unlink(missing_ok=True)
        np.save(root / "a.npy", views)

    def save_hashed() -> None:
        save()
        with open(root / "a.npy", "rb") as file:
            os.fsync(file.fileno())
        hashlib.sha256(views.data).digest()
        hashlib.sha256(views.data).digest()

    def read_gzipped() -> None:
        with h5py.File(root / "gzip.h5") as file:
            for batch in batches[:2]:
                file["views"][np.sort(batch)]

    def read_shard() -> None:
        stored = open_shard(root / "a.h5").arrays["views"]
        for batch in batches:
            np.take(stored, batch, axis=0)

    writes = best(
        {
            "shard (hashed twice, fsync)": lambda: write_shard(root / "a.h5", {"views": views}, {}),
            "np.save, new file": save,
            "np.save, new file, hashed twice, fsync": save_hashed,
            "HDF5, chunks, gzip": gzipped,
        },
        3,
    )
    reads = best({"shard by memory map": read_shard, "HDF5, chunks, gzip": read_gzipped})
    rates = {f"write {name}": views.nbytes / seconds / 1e6 for name, seconds in writes.items()}
    samples = {"shard by memory map": len(views), "HDF5, chunks, gzip": 2 * BATCH}
    rates |= {f"read {name}": samples[name] / seconds for name, seconds in reads.items()}
    print(f"\n{'writing 25 MB':42}{'MB/s':>12}")
    for name in writes:
        print(f"  {name:40}{rates[f'write {name}']:12,.0f}")
    ours = writes["shard (hashed twice, fsync)"]
    print(
        f"  time of a shard by np.save's: {ours / writes['np.save, new file']:.2f}, by np.save's with the same "
        f"hashes and fsync: {ours / writes['np.save, new file, hashed twice, fsync']:.2f}"
    )
    print(f"\n{'random batches of 256 samples':42}{'samples/s':>12}")
    for name in reads:
        print(f"  {name:40}{rates[f'read {name}']:12,.0f}")
    print(f"  memory map by gzip: {rates['read shard by memory map'] / rates['read HDF5, chunks, gzip']:.0f}×")
    return rates


def batches(root: Path) -> dict[str, float]:
    """Random batches of 256 samples over 8 shards beside one memory map of them; as floats, beside steps by hand."""
    import torch

    torch.set_num_threads(1)
    views = np.random.default_rng(0).integers(0, 256, (8192, 3, 32, 32), np.uint8)
    parts = []
    for number in range(8):
        write_shard(root / f"{number}.h5", {"views": views[1024 * number : 1024 * (number + 1)]}, {})
        parts.append(open_shard(root / f"{number}.h5").arrays["views"])
    np.save(root / "one.npy", views)
    sharded, one = ShardedArray(parts), np.load(root / "one.npy", mmap_mode="r")
    order = np.random.default_rng(1).permutation(len(views))

    text = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text().partition("[expect]")[0]
    recipe = parse_recipe(text.replace("shard_size = 1024", "shard_size = 188").encode())
    dataset = open_dataset(build_dataset(recipe, None, root / "digits", 1))
    stream, stored, by_hand = dataset.stream("train", live=False), dataset.arrays("train"), {}
    for name in ("targets", "views"):
        np.save(root / f"{name}.npy", np.asarray(getattr(stored, name)))
        by_hand[name] = np.load(root / f"{name}.npy", mmap_mode="r")
    digits = np.random.default_rng(2).permutation(dataset.size("train"))

    def over(take: Callable[[np.ndarray], object], indices: np.ndarray, times: int = 1) -> Callable[[], None]:
        def run() -> None:
            for _ in range(times):
                for at in range(0, len(indices) - BATCH + 1, BATCH):
                    take(indices[at : at + BATCH])

        return run

    def floats_in_place(index: np.ndarray) -> object:
        return [torch.from_numpy(by_hand[name][index]).to(torch.float32).div_(255) for name in by_hand]

    def floats(index: np.ndarray) -> object:
        return [torch.from_numpy(by_hand[name][index]).to(torch.float32) / 255 for name in by_hand]

    jobs = {
        "bytes, 8 shards": over(lambda index: sharded[index], order),
        "bytes, one memory map": over(lambda index: one[index], order),
        f"floats, {len(dataset.split('train').shards)} shards": over(stream.batch, digits, 6),
        "floats, by hand": over(floats, digits, 6),
        "floats, by hand, in place": over(floats_in_place, digits, 6),
    }
    seconds = best(jobs, 25, time.process_time)
    counts = {name: (len(order) if "bytes" in name else 6 * (len(digits) // BATCH * BATCH)) for name in jobs}
    rates = {name: counts[name] / value for name, value in seconds.items()}
    print(f"\n{'random batches of 256, processor time':42}{'samples/s':>12}")
    for name, rate in rates.items():
        print(f"  {name:40}{rate:12,.0f}")
    many, one_map, ours, plain, in_place = rates.values()
    print(f"  8 shards by one memory map: {many / one_map:.2f}")
    print(f"  floats by the same work by hand: {ours / plain:.2f}, by hand in place: {ours / in_place:.2f}")
    return rates


def faces(root: Path, source_dir: Path) -> dict[str, float]:
    """Building FusionCelebA at half size beside decoding the same JPEGs and nothing else."""
    recipe = load_recipe("fusionceleba-half")
    files = sorted((source_dir / "half_89x109").glob("*.jpg"))

    def decode() -> None:
        for path in files:
            cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)

    pictures = [cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) for path in files]
    rule = recipe.image
    top, left, height, width = rule.crop or (0, 0, *pictures[0].shape[:2])
    shard = np.random.default_rng(0).integers(0, 256, (recipe.shard_size, 4, rule.height, rule.width, 3), np.uint8)
    shards = -(-len(files) // recipe.shard_size)

    def resize() -> None:
        for picture in pictures:
            part = np.ascontiguousarray(picture[top : top + height, left : left + width])
            cv2.resize(part, (rule.width, rule.height), interpolation=cv2.INTER_AREA)

    def hash_all() -> None:  # what the format asks for: source images, each array, the whole file
        for picture in pictures:
            hashlib.sha256(picture.data).digest()
        for _ in range(2 * shards):
            hashlib.sha256(shard.data).digest()

    def write_all() -> None:
        for number in range(shards):
            (root / f"{number}.bytes").unlink(missing_ok=True)
            with open(root / f"{number}.bytes", "wb") as file:
                file.write(shard.data)
                os.fsync(file.fileno())

    jobs: dict[str, Callable[[], object]] = {"decode": decode, "resize": resize, "hash": hash_all, "write": write_all}
    jobs |= {f"build, {n} jobs": lambda n=n: build_dataset(recipe, source_dir, root, n, force=True) for n in (1, 2)}
    seconds = best(jobs, 2)
    floor = sum(seconds[name] for name in ("decode", "resize", "hash", "write"))
    each = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
    print(f"\n{len(files):,} JPEGs of 89×109, seconds: {each}")
    for n in (1, 2):
        build = seconds[f"build, {n} jobs"]
        print(
            f"  --jobs {n}: {build / seconds['decode']:.2f} times decoding; {build / floor:.2f} times the floor of "
            f"decoding, resizing, hashing and writing ({floor:.2f} s)"
        )
    return seconds


def memory(root: Path) -> dict[str, int]:
    """Peak of what Python and NumPy allocate while 1 and 10 shards of one size are built."""
    import tracemalloc

    os.environ["FUSIONBENCH_KERNEL"] = "numpy"  # importing numba is a matter of the process, not of the build
    text = (shipped_folder("datasets_recipes") / "fusiondigits.toml").read_text()
    text = text.partition("[expect]")[0].replace("shard_size = 1024", "shard_size = 150")
    peaks = {}
    for shards in (1, 10):
        limited = text.replace('source = "all"\n', f'source = "all"\nfirst = {150 * shards}\n', 1)
        head, _, tail = limited.partition("[splits.test]")
        recipe = parse_recipe((head + "[image]" + tail.partition("[image]")[2]).encode())
        build_dataset(recipe, None, root / "warm", 1)
        tracemalloc.start()
        build_dataset(recipe, None, root / "memory", 1)
        peaks[f"{shards} shards"] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    print("\npeak allocation of a build: " + ", ".join(f"{name} {peak / 1e6:.1f} MB" for name, peak in peaks.items()))
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--celeba-half", type=Path, help="folder with half_89x109/ and list_eval_partition.txt")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    progress.QUIET = True
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        result: dict[str, object] = {"storage": storage(root), "batches": batches(root), "memory": memory(root)}
        if arguments.celeba_half:
            result["faces"] = faces(root, arguments.celeba_half)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
