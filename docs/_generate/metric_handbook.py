"""The metric handbook: one page for every registered metric, from its record.

Formula, reference, choices, edge cases and known exploits are the record's fields; dialects come from their table. The
scores of trivial rows, the answers to worse images and the output of the example are computed while the site is built,
on embedded data.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import mkdocs_gen_files
import numpy as np
import torch

from fusionbench.board.charts import Point, Series, chart
from fusionbench.core.errors import FusionbenchError
from fusionbench.core.types import ImageSpec, Metric
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.pair_sets import open_pairs
from fusionbench.evaluation.pairs import fuse_pair
from fusionbench.evaluation.responses import DISTORTIONS, Response, respond
from fusionbench.metrics import METRICS
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.models import MODELS, create_model

FOLDER = "reference/metrics"
IMAGES = 200  # of FusionDigits' test split
GOOD = "laplacian-pyramid"  # the method whose image is made worse
NEEDS = {
    "pair": "fused image and both sources",
    "fused": "fused image",
    "target": "fused image and its target",
    "samples": "draws from the model and the target",
    "log_weights": "log importance weights of the model",
}
PAIR_EXAMPLE = """\
import numpy as np
from fusionbench.metrics import get_metric
from fusionbench.evaluation.pair_sets import open_pairs

a, b = open_pairs("pairs-demo", None, None).pair(0)[:, None]  # two uint8 stacks (1, 256, 256)
fused = np.rint((a.astype(float) + b) / 2).astype(np.uint8)
"""
EXAMPLES = {
    "pair": PAIR_EXAMPLE + 'print(get_metric("{name}").function(fused, a, b).round(4))',
    "fused": PAIR_EXAMPLE + 'print(get_metric("{name}").function(fused).round(4))',
    "target": PAIR_EXAMPLE + 'print(get_metric("{name}").function(fused, b).round(4))  # b as a known target',
    "samples": """\
import numpy as np
from fusionbench.metrics import get_metric

target = np.full((1, 1, 4, 4), 0.5)  # (N, C, H, W)
draws = np.stack([target + 0.3, target - 0.1])  # (K, N, C, H, W)
# the second draw is the better one: 0.1²
print(get_metric("{name}").function(draws, target).round(4))""",
    "log_weights": """\
import numpy as np
from fusionbench.metrics import get_metric

log_weights = np.log([[0.1], [0.3]])  # (K, N): two draws for one image
# −ln of the mean weight, 0.2
print(get_metric("{name}").function(log_weights).round(4))""",
}


def trivial_models() -> dict[str, Any]:
    """Registered rows that do not learn to fuse, by name."""
    return {name: MODELS.get(name) for name in MODELS.names() if getattr(MODELS.get(name), "family", "") == "trivial"}


@cache
def fused_pairs() -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Row -> (fused, pair) for every pair of the demo, uint8; two images that ignore the sources among the rows."""
    pairs = list(open_pairs("pairs-demo", None, None))
    rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, cls in trivial_models().items():
        if not hasattr(cls, "fit"):  # those with `fit` need targets
            model = create_model(name, ImageSpec(1, *pairs[0].shape[1:], 2)).eval()
            rows[f"`{name}`"] = [(fuse_pair(model, pair, index), pair) for index, pair in enumerate(pairs)]
    words = np.random.Philox(0)
    noise = [words.random_raw(pair[0].size).astype(np.uint8).reshape(pair[0].shape) for pair in pairs]
    rows["larger of both pixels"] = [(pair.max(axis=0), pair) for pair in pairs]
    rows["flat grey, 128"] = [(np.full_like(pair[0], 128), pair) for pair in pairs]
    rows["uniform noise"] = list(zip(noise, pairs, strict=True))
    return rows


@cache
def good_image() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A fused image of the demo's first pair, and its sources, uint8 (H, W)."""
    pair = next(iter(open_pairs("pairs-demo", None, None)))
    model = create_model(GOOD, ImageSpec(1, *pair.shape[1:], 2)).eval()
    middle = slice(32, -32)  # 192×192 pixels are enough for every metric, and half the work
    fused, a, b = (image[middle, middle] for image in (fuse_pair(model, pair, 0), pair[0], pair[1]))
    return fused, a, b


@cache
def responses(name: str) -> list[Response]:
    """How a registered metric answers worse images."""
    return respond(METRICS.get(name), *good_image())


def response_section(metric: Metric) -> str:
    """A chart of what raises and what lowers a metric, and its numbers; nothing for metrics of other things."""
    found = responses(metric.name)
    if not found:
        return ""
    against = "it was itself before" if metric.needs == "target" else "its sources, which stay"
    text = (
        f"The `{GOOD}` image of the middle of the demo's first pair made worse in five ways, step by step"
        + ("" if metric.needs == "fused" else f", against {against}")
        + f"; {metric.better} is better. "
    )
    fooled = [one.distortion for one in found if one.fools]
    if fooled:
        text += (
            f"**Fooled by {', '.join(fooled)}:** at some strength the metric is better than for the image as it was."
        )
    else:
        text += "None of them makes the metric better."
    unit = "" if metric.unit == "1" else f" [{metric.unit}]"
    series = [
        Series(one.distortion, [Point(step, value) for step, value in enumerate(one.values)], f"c{place}")
        for place, one in enumerate(found)
    ]
    title = f"{metric.name} of a fused image that is made worse"
    drawn = chart(title, series, x="step of strength", y=f"{metric.label or metric.name}{unit}", ticks=range(6))
    lines = ["| | strength | " + " | ".join(f"step {step}" for step in range(6)) + " |", "|---|---|" + "--:|" * 6]
    for one in found:
        kind = DISTORTIONS[one.distortion]
        strengths = ", ".join(f"{strength:g}" for strength in kind.strengths)
        cells = " | ".join(map(number, one.values))
        lines.append(f"| {one.arrow}\u00a0{one.distortion} | {kind.unit}: {strengths} | {cells} |")
    figure = f'<div class="response">{drawn}</div>\n\n' if drawn else ""
    return f"{text}\n\n{figure}" + "\n".join(lines) + "\n"


@cache
def fused_digits() -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Row -> (fused, target) of the first test images of FusionDigits for each number of views, float32 in [0,1]."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(build_dataset(load_recipe("fusiondigits"), source_dir=None, out=Path(folder), jobs=1))
        train, test = (dataset.stream(split, device="cpu") for split in ("train", "test"))
        seen = [train.batch(torch.arange(dataset.size("train")), epoch=0)]
        batch = test.batch(torch.arange(IMAGES), epoch=0)
        rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for name, cls in trivial_models().items():
            if not hasattr(cls, "fit"):
                continue
            model = create_model(name, dataset.spec)
            model.fit(seen)
            counts = range(dataset.spec.views + 1)
            fused = [model.eval().fuse(batch.with_inputs(count)).numpy() for count in counts]
            assert batch.target is not None
            rows[f"`{name}`"] = [(image, batch.target.numpy()) for image in fused]
        return rows


def number(value: float) -> str:
    """Four significant digits; a dash for what is not defined."""
    if not np.isfinite(value):
        return "–" if np.isnan(value) else ("∞" if value > 0 else "−∞")
    return f"{value:.4g}"


def pair_rows(metric: Metric) -> list[str]:
    """A table row for each trivial row: the mean over the demo's pairs, and why there is none."""
    lines = []
    for name, images in fused_pairs().items():
        values = []
        for fused, pair in images:
            stacks = (fused[None],) if metric.needs == "fused" else (fused[None], pair[:1], pair[1:])
            with np.errstate(all="ignore"):
                values.append(float(metric.function(*stacks)[0]))
        lines.append(f"| {name} | {number(float(np.mean(values)))} | {', '.join(map(number, values))} |")
    return lines


def digit_rows(metric: Metric) -> list[str]:
    """A table row for each trivial row: the mean over the digits at every number of views."""
    lines = []
    for name, columns in fused_digits().items():
        cells = []
        for fused, target in columns:
            if metric.needs == "samples":
                values = metric.function(fused[None], target)
            else:  # images on 0..255, rounded as the harness does
                values = metric.function(*(np.rint(255 * image[:, 0]).astype(np.uint8) for image in (fused, target)))
            cells.append(number(float(np.mean(values))))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def trivial_section(metric: Metric) -> str:
    """What images score that took no method to make."""
    if metric.needs == "log_weights":
        return "Trivial rows have no likelihood, so that they have no value.\n"
    if metric.needs in ("pair", "fused"):
        table = "| row | mean | astronaut, chelsea, coffee |\n|---|--:|--:|\n" + "\n".join(pair_rows(metric))
        return (
            f"Means over the three pairs of `pairs-demo`{in_unit(metric)}; {metric.better} is better. "
            f"A dash: not defined there.\n\n{table}\n"
        )
    if metric.needs not in ("target", "samples"):
        return f"Trivial rows have no value of a metric that needs {metric.needs}.\n"
    rows = digit_rows(metric)
    columns = rows[0].count("|") - 2
    head = " | ".join(f"N = {count}" for count in range(columns))
    table = f"| row | {head} |\n|---|{'--:|' * columns}\n" + "\n".join(rows)
    return (
        f"Means over the first {IMAGES} test images of FusionDigits by number of views N{in_unit(metric)}; "
        f"{metric.better} is better.\n\n{table}\n"
    )


def in_unit(metric: Metric) -> str:
    """The unit as part of a sentence; nothing for pure numbers."""
    return "" if metric.unit == "1" else f", in {metric.unit}"


def run(code: str) -> str:
    """What the code prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<example>", "exec"), {"__name__": "example"})
    return printed.getvalue().rstrip()


def dialect_section(name: str) -> str:
    """How other evaluators compute this metric; nothing for one that they do not have."""
    found = [(dialect, dialect.metrics[name]) for dialect in DIALECTS.values() if name in dialect.metrics]
    if not found:
        return "No other evaluator's definition is known here.\n"
    lines = ["| dialect | evaluator | difference from `standard/1` | parameters |", "|---|---|---|---|"]
    for dialect, variant in found:
        parameters = ", ".join(f"`{key}={value!r}`" for key, value in variant.parameters.items())
        if variant.swap != (0, 1, 2):
            order = ", ".join(("fused", "a", "b")[place] for place in variant.swap)
            parameters = ", ".join(filter(None, [parameters, f"called with ({order})"]))
        same = "none" if not parameters else ""
        lines.append(f"| `{dialect.id}` | {dialect.title} | {variant.note or same} | {parameters} |")
    return "\n".join(lines) + "\n"


def page_of(metric: Metric) -> str:
    code = EXAMPLES.get(metric.needs, "").replace("{name}", metric.name)
    module = getattr(metric.function, "__module__", "")
    function = getattr(metric.function, "__name__", "")
    facts: Mapping[str, str] = {
        "better": metric.better,
        "unit": "none, a pure number" if metric.unit == "1" else metric.unit,
        "range": " to ".join(map(number, metric.range)),
        "needs": NEEDS.get(metric.needs, metric.needs) + (", or any number of sources" if metric.many else ""),
        "shortest side": f"{metric.min_side} pixels" if metric.min_side > 1 else "any",
        "version": metric.version,
        "tolerance of the gate": f"{metric.tolerance.atol:g} + {metric.tolerance.rtol:g}·\\|baseline\\|: "
        + metric.tolerance.reason,
        "reference": metric.reference,
        "tested against": metric.oracle,
        "gradient": " ".join(filter(None, ["yes." if metric.differentiable else "no.", metric.gradient])),
        "Python": f"[`{module}.{function}`][{module}.{function}]" if module.startswith("fusionbench.") else "",
    }
    lines = [f"# {metric.name}: {metric.title}\n", f"``` {{.text .formula}}\n{metric.formula}\n```\n"]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items() if value), ""]
    if metric.exploits:
        lines += ["## Known exploits\n", f"{metric.exploits}\n"]
    lines += ["## What trivial rows score\n", trivial_section(metric)]
    if section := response_section(metric):
        lines += ["## What raises and what lowers it\n", section]
    if code:
        lines += ["## Example\n", f"```python\n{code}\n```\n", f"```text\n{run(code)}\n```\n"]
    lines += ["## Dialects\n", dialect_section(metric.name)]
    if metric.choices:
        lines += ["## Choices\n", *(f"* {choice}" for choice in metric.choices), ""]
    if metric.edge_cases:
        lines += ["## Edge cases\n", f"{metric.edge_cases}\n"]
    if metric.invariances:
        lines += ["## Invariances\n", *(f"* {invariance}" for invariance in metric.invariances), ""]
    return "\n".join(lines)


def main() -> None:
    torch.set_num_threads(1)
    metrics = [METRICS.get(name) for name in METRICS.names() if not METRICS.is_plugin(name)]
    index = [
        "# Metric handbook\n",
        "Every metric as its record has it: formula, reference, known exploits, the definitions of other evaluators,",
        "what trivial rows score, and an example that was executed when these pages were built. What all metrics",
        "share is in [metrics and dialects](../../metrics.md).\n",
        "| metric | title | better | unit | needs |\n|---|---|---|---|---|",
    ]
    answers = [
        "\n## What raises and what lowers them\n",
        f"The `{GOOD}` image of the middle of the demo's first pair made worse at five strengths: ↑ raised, ↓ lowered, "
        "↑↓ first",
        "raised and then lowered, – neither. **Bold**: better than for the image as it was: the metric is fooled.",
        "The strengths, the values and a chart are on each metric's page.\n",
        "| metric | " + " | ".join(DISTORTIONS) + " |\n|---|" + "---|" * len(DISTORTIONS),
    ]
    summary = ["* [All metrics](index.md)\n"]
    for metric in metrics:
        try:
            text = page_of(metric)
        except FusionbenchError as error:
            raise SystemExit(f"docs/_generate/metric_handbook.py: {metric.name}: {error}") from error
        with mkdocs_gen_files.open(f"{FOLDER}/{metric.name}.md", "w") as page:
            page.write(text)
        index.append(
            f"| [`{metric.name}`]({metric.name}.md) | {metric.title} | {metric.better} | {metric.unit} "
            f"| {NEEDS.get(metric.needs, metric.needs)} |"
        )
        if found := responses(metric.name):
            cells = " | ".join(f"**{one.arrow}**" if one.fools else one.arrow for one in found)
            answers.append(f"| [`{metric.name}`]({metric.name}.md#what-raises-and-what-lowers-it) | {cells} |")
        summary.append(f"* [{metric.name}]({metric.name}.md)\n")
    with mkdocs_gen_files.open(f"{FOLDER}/index.md", "w") as page:
        page.write("\n".join([*index, *answers]) + "\n")
    with mkdocs_gen_files.open(f"{FOLDER}/SUMMARY.md", "w") as page:
        page.writelines(summary)


main()
