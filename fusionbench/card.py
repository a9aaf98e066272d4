"""The data card that a build leaves beside the shards: ``README.md`` and ``preview.png``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusionbench.files import write_bytes
from fusionbench.shards.manifest import Manifest
from fusionbench.shards.reader import open_shard

FILE, PICTURE = "README.md", "preview.png"
_ROWS, _COLUMNS, _SCALE = 4, 3, 2


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write card and picture of the finished shards in ``folder``, from the manifest that is about to be written."""
    write_bytes(folder / PICTURE, _picture(folder, manifest))
    write_bytes(folder / FILE, _text(manifest).encode())


def _picture(folder: Path, manifest: Manifest) -> bytes:
    """The first samples of the first split: target and views side by side, as PNG."""
    import cv2

    split = manifest.splits.get("train") or next(iter(manifest.splits.values()))
    arrays = open_shard(folder / split.shards[0].file).arrays
    targets, views = arrays["targets"], arrays["views"]
    blank = np.full_like(np.concatenate([targets[0], *views[0]], axis=1), 128)
    strips = [
        np.concatenate([targets[i], *views[i]], axis=1) if i < len(targets) else blank for i in range(_ROWS * _COLUMNS)
    ]
    # one grey line between samples, so that rows and columns can be told apart
    framed = [np.pad(strip, ((1, 1), (1, 1), *[(0, 0)] * (strip.ndim - 2)), constant_values=128) for strip in strips]
    rows = [np.concatenate(framed[i : i + _COLUMNS], axis=1) for i in range(0, len(framed), _COLUMNS)]
    sheet = np.concatenate(rows).repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
    sheet = sheet[..., ::-1] if sheet.ndim == 3 else sheet
    return cv2.imencode(".png", np.ascontiguousarray(sheet))[1].tobytes()


def _text(manifest: Manifest) -> str:
    source = manifest.source
    lines = [
        f"# {manifest.title}",
        "",
        f"`{manifest.name}` {manifest.version}, id `{manifest.id}`",
        "",
        f"![target and views of the first samples]({PICTURE})",
        "",
        "| split | samples | shards | pixels seen in the first 1, 2, … views |",
        "|---|---|---|---|",
    ]
    for name, split in sorted(manifest.splits.items()):
        shares = ", ".join(f"{100 * share:.1f} %" for share in split.coverage)
        lines.append(f"| {name} | {split.n:,} | {len(split.shards)} | {shares} |")
    agreements = [split.cutouts_iou for split in manifest.splits.values() if split.cutouts_iou is not None]
    if agreements:
        lines += ["", f"Cut-outs agree with the source's masks to an IoU of {min(agreements):.3f} or better by split."]
    passing_on = "may be passed on under it" if source.redistributable else "may not be passed on, nor may these"
    lines += [
        "",
        "## Source and licence",
        "",
        f"Made from: {source.title}. {source.homepage}".rstrip(),
        "",
        f"Licence of the source: {source.licence}. Its images {passing_on}.",
        "",
        "## How to cite",
        "",
        f"Name `{manifest.name}` {manifest.version} with its id, and the source: {source.citation}",
        "",
        "## Limits",
        "",
        "Noise, where there is some, ends at 4.33 standard deviations and is rounded to whole grey levels.",
        "",
        "Check a copy with `fusionbench verify FOLDER`; `manifest.json` and `croissant.json` describe the files.",
        "",
    ]
    return "\n".join(lines)
