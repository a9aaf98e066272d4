"""Size and speed of a benchmark's page: 200 models × 500 images, in headless Chromium.

Run: python benchmarks/perf/board.py [--track pairs] [--models 200] [--images 500] [--keep FOLDER]
Prints bytes of the first view (page, style, script) and of what is loaded later, seconds to build, and milliseconds
in the browser: until the first paint, until the script is ready, and for a sort of the whole table, layout included.
With --track pairs rows have the nine metrics of registered pairs in place of two metrics of masked sets, and with
--dialects 1 a column of another evaluator's definition for each of them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from fusionbench.board import build_board
from fusionbench.results import schema
from fusionbench.results.input_means import averages

PROBE = """
"use strict";
addEventListener("load", async () => {
  if (!sessionStorage.getItem("warm")) { // the first load of a browser that has just started times the browser
    sessionStorage.setItem("warm", "yes");
    location.reload();
    return;
  }
  await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted, 100)));
  const sorted = [];
  for (const head of document.querySelectorAll("th[data-sort] button")) {
    const begun = performance.now();
    head.click();
    document.querySelector("table.board").getBoundingClientRect();
    sorted.push(performance.now() - begun);
  }
  sorted.sort((a, b) => a - b);
  const loading = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null;
  const numbers = { paint, ready: loading.domContentLoadedEventEnd, median: sorted[sorted.length >> 1] };
  console.log(`PROBE ${JSON.stringify({ ...numbers, worst: sorted.at(-1) })} END`);
});
"""


PAIRS = {"en": "bits", "sd": "grey levels", "sf": "grey levels", "mi": "bits"} | dict.fromkeys(
    ("scd", "vif", "qabf", "ssim", "cc"), "1"
)


DIALECTS = ("cddfuse", "vifb", "mefb")


def make_pair_results(root: Path, models: int, images: int, dialects: int = 0) -> None:
    """Results of registered pairs with nine metrics, as an evaluation writes them, and each in so many dialects."""
    rng = np.random.default_rng(0)
    common = rng.gamma(4.0, 0.1, (len(PAIRS), images))
    for number in range(models):
        values = common + rng.normal(0, 0.02, common.shape) + 0.002 * number
        columns = dict(zip(PAIRS, values, strict=True))
        for dialect in DIALECTS[:dialects]:
            columns |= {f"{key}@{dialect}": 2 * columns[key] for key in PAIRS}
        units = {key: PAIRS[key.partition("@")[0]] for key in columns}
        scores = {key: schema.summarise(column, "higher", units[key]) for key, column in columns.items()}
        _save(root, number, images, "pairs", tuple(columns), {"id": list(range(images)), **columns}, scores)


def make_results(root: Path, models: int, images: int) -> None:
    """Results of masked sets with two metrics and four numbers of inputs, as an evaluation writes them."""
    rng = np.random.default_rng(0)
    common = rng.gamma(4.0, 0.1, (2, 4, images))
    for number in range(models):
        values = common + rng.normal(0, 0.02, common.shape) + 0.002 * number
        table: dict[str, object] = {"id": list(range(images))}
        scores = {}
        for m, (metric, unit) in enumerate({"nll_bpd": "bits/dim", "mse_min": "1"}.items()):
            columns = {f"{metric}@{n}": values[m, n] for n in range(4)}
            columns |= averages(columns, metric, 3, None)
            table |= columns
            scores |= {key: schema.summarise(value, "lower", unit) for key, value in columns.items()}
        _save(root, number, images, "masked", ("nll_bpd", "mse_min"), table, scores)


def _save(
    root: Path,
    number: int,
    images: int,
    protocol: str,
    metrics: tuple[str, ...],
    table: dict[str, object],
    scores: dict[str, schema.Score],
) -> None:
    identity = schema.Identity(
        model=schema.ModelIdentity(name=f"model-{number:03d}", version="1", weights_sha256=f"{number:064x}"),
        dataset=schema.DatasetIdentity(
            name="made-up", version="1.0.0", split="test", id="d" * 64, n=images, ids_sha256="e" * 64
        ),
        protocol=schema.ProtocolIdentity(name=protocol, version="1", seed=0),
        metrics=dict.fromkeys(metrics, "1"),
        training=schema.TrainingIdentity(preset="tiny", seed=0, steps=400, planned_steps=400),
    )
    made = schema.Result(
        id=schema.identity_id(identity),
        status="verified",
        title=f"Model {number}",
        identity=identity,
        scores=scores,
        cost={"parameters": 10_000 + 1_000 * number, "train_hours": 0.1, "ms_per_image": 1.0 + number / 100},
    )
    schema.save(made, root, table)


def main() -> None:
    """Print all numbers of this run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--track", choices=("masked", "pairs"), default="masked")
    parser.add_argument("--dialects", type=int, default=0, help="of registered pairs")
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="leave results and pages in this folder")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.keep or Path(scratch)
        if arguments.track == "pairs":
            make_pair_results(root / "results", arguments.models, arguments.images, arguments.dialects)
        else:
            make_results(root / "results", arguments.models, arguments.images)
        begun = time.perf_counter()
        page = build_board(root / "results", root / "site", resamples=arguments.resamples)
        print(f"build: {time.perf_counter() - begun:.1f} s with {arguments.resamples:,} resamples")
        text = page.read_text()
        linked = re.findall(r'(?:src|href)="(static/[^"]+)"', text)
        sizes = {name: (page.parent / name).stat().st_size for name in ("index.html", *linked)}
        print(
            f"first view: {sum(sizes.values()) / 1000:.0f} kB",
            {name: f"{size / 1000:.1f}" for name, size in sizes.items()},
        )
        later = sum(path.stat().st_size for path in (page.parent / "data").glob("**/*"))
        print(f"loaded on demand: {later / 1000:.0f} kB in data/")
        if chromium is None:
            print("no Chromium here: nothing was measured in a browser")
            return
        (page.parent / "static" / "probe.js").write_text(PROBE)
        probed = page.with_name("probe.html")
        probed.write_text(text.replace("</head>", '<script defer src="static/probe.js"></script></head>'))
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        command += [f"--user-data-dir={Path(scratch) / 'profile'}", "--remote-debugging-port=0", probed.as_uri()]
        for _ in range(arguments.loads):
            print("browser, ms:", _said(command) or "the probe did not run")


def _said(command: list[str]) -> str:
    """What the probe writes to the console; the browser is ended then, or after a minute."""
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    alarm = threading.Timer(60, browser.kill)
    alarm.start()
    assert browser.stderr is not None
    found = (re.search(r"PROBE (\{.*?\}) END", line) for line in browser.stderr)
    said = next((match[1].replace('\\"', "").replace('"', "") for match in found if match), "")
    alarm.cancel()
    browser.terminate()
    browser.wait()
    return said


if __name__ == "__main__":
    main()
