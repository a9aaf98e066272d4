"""The data card that a build leaves beside the shards: ``README.md`` and ``preview.png``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusionbench.core.images import encode_png
from fusionbench.core.io import write_bytes
from fusionbench.core.text import in_markdown
from fusionbench.data.shards import ragged
from fusionbench.data.shards.manifest import CutoutGate, Manifest, ShardEntry
from fusionbench.data.shards.reader import open_shard

FILE, PREVIEW = "README.md", "preview.png"
_ROWS, _COLUMNS, _SCALE = 4, 3, 2
_WIDEST = 256  # pixels of a pair side by side, before it is enlarged


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write card and preview of the finished shards in ``folder``, from the manifest that is about to be written."""
    shown = first_shard(manifest, shown_splits(manifest)[0])
    write_bytes(folder / PREVIEW, encode_png(preview_pixels(folder / shown.file)))
    write_bytes(folder / FILE, card_bytes(manifest))


def card_bytes(manifest: Manifest) -> bytes:
    """What ``README.md`` holds: it follows from the manifest, so that :mod:`fusionbench.data.verify` can tell an edit.

    A change of wording makes the cards of finished data sets differ; see docs/formats.md.
    """
    return _text(manifest).encode()


def shown_splits(manifest: Manifest) -> list[str]:
    """The splits that a preview may show: ``train``, or the first by name; earlier releases showed another one."""
    return ["train"] if "train" in manifest.splits else sorted(manifest.splits)


def first_shard(manifest: Manifest, split: str) -> ShardEntry:
    """The shard whose samples a preview of a split shows."""
    return manifest.splits[split].shards[0]


def preview_pixels(shard: Path) -> np.ndarray:
    """The first samples of a shard: target, where there is one, and views side by side, uint8 (H, W[, 3])."""
    arrays = open_shard(shard).arrays
    views = ragged.Ragged([arrays]) if ragged.PIXELS in arrays else arrays["views"]
    strips = [
        np.concatenate([*arrays["targets"][i : i + 1], *views[i]] if "targets" in arrays else [*views[i]], axis=1)
        for i in range(min(len(views), _ROWS * _COLUMNS))
    ]
    if "targets" not in arrays:  # whole pairs can be large and of any size
        strips = [_framed([_reduced(strip) for strip in strips], i) for i in range(len(strips))]
    strips += [np.full_like(strips[0], 128)] * (_ROWS * _COLUMNS - len(strips))
    # one grey line between samples, so that rows and columns can be distinguished
    framed = [np.pad(strip, ((1, 1), (1, 1), *[(0, 0)] * (strip.ndim - 2)), constant_values=128) for strip in strips]
    rows = [np.concatenate(framed[i : i + _COLUMNS], axis=1) for i in range(0, len(framed), _COLUMNS)]
    result: np.ndarray = np.concatenate(rows).repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
    return result


def _reduced(strip: np.ndarray) -> np.ndarray:
    """At most :data:`_WIDEST` pixels wide: every pixel the mean of a square."""
    factor = -(-strip.shape[1] // _WIDEST)
    height, width = (side // factor for side in strip.shape)
    squares = strip[: height * factor, : width * factor].reshape(height, factor, width, factor)
    result: np.ndarray = (squares.sum(axis=(1, 3), dtype=np.int64) // factor**2).astype(np.uint8)
    return result


def _framed(strips: list[np.ndarray], number: int) -> np.ndarray:
    """One of the strips in the middle of a grey one that holds any of them."""
    height, width = (max(strip.shape[axis] for strip in strips) for axis in (0, 1))
    frame, strip = np.full((height, width), 128, np.uint8), strips[number]
    top, left = (height - strip.shape[0]) // 2, (width - strip.shape[1]) // 2
    frame[top : top + strip.shape[0], left : left + strip.shape[1]] = strip
    return frame


def _text(manifest: Manifest) -> str:
    source = manifest.source
    pairs = "pairs" in manifest.recipe
    lines = [
        f"# {in_markdown(manifest.title)}",
        "",
        f"`{manifest.name}` {manifest.version}, id `{manifest.id}`",
        "",
        f"![{'both' if pairs else 'target and'} views of the first samples]({PREVIEW})",
        "",
        "| split | samples | shards |" + ("" if pairs else " pixels seen in the first 1, 2, … views |"),
        "|---|---|---|" + ("" if pairs else "---|"),
    ]
    for name, split in sorted(manifest.splits.items()):
        shares = "" if pairs else f" {', '.join(f'{100 * share:.1f} %' for share in split.coverage)} |"
        lines.append(f"| {name} | {split.n:,} | {len(split.shards)} |{shares}")
    agreements = [split.cutouts_iou for split in manifest.splits.values() if split.cutouts_iou is not None]
    if agreements:
        lines += ["", f"Cut-outs agree with the source's masks to an IoU of {min(agreements):.3f} or better by split."]
    for name, split in sorted(manifest.splits.items()):
        if isinstance(gate := split.cutouts_gate, CutoutGate):
            lines += [
                "",
                f"Cut-outs of {name}: {gate.kept:,} as cut, {gate.repaired:,} repaired, {len(gate.dropped):,} dropped.",
            ]
    if "degrade" in manifest.recipe and manifest.recipe["degrade"].get("when", "stored") == "stored":
        families = ", ".join(in_markdown(str(name)) for name in manifest.recipe["degrade"]["families"])
        lines += ["", f"The views are degraded ({families}); `clean` holds them as they were."]
    left_out = sum(map(len, manifest.left_out.values()))
    if left_out:
        noun = "pair" if pairs else "file"
        were = (
            f"{noun} of the source was refused and is"
            if left_out == 1
            else f"{noun}s of the source were refused and are"
        )
        lines += ["", f"{left_out:,} {were} left out: `refused` in `manifest.json` has all names, with reasons."]
    passing_on = "may be passed on under it" if source.redistributable else "may not be passed on, nor may these"
    lines += [
        "",
        "## Source and licence",
        "",
        f"Made from: {in_markdown(source.title)}. {in_markdown(source.homepage)}".rstrip(),
        "",
        f"Licence of the source: {in_markdown(source.licence)}. Its images {passing_on}.",
        "",
        "## How to cite",
        "",
        f"Name `{manifest.name}` {manifest.version} with its id, and the source: {in_markdown(source.citation)}",
        "",
        "## Limits",
        "",
        "Pairs are stored as luma, 8 bits; their colours are not, nor is anything that was beyond 8 bits."
        if pairs
        else "Noise, where there is some, ends at 4.33 standard deviations and is rounded to whole grey levels.",
        "",
        "Check a copy with `fusionbench verify FOLDER`; `manifest.json` and `croissant.json` describe the files.",
        "",
    ]
    return "\n".join(lines)
