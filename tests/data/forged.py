"""Edits of a data set by somebody who knows the formats: everything that is written beside the manifest is redone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.core.io import write_bytes
from fusionbench.data.card import card_bytes
from fusionbench.data.shards.croissant import croissant_bytes
from fusionbench.data.shards.manifest import Manifest, SplitEntry, identity, write_manifest


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of the data set in ``folder``, and its id, digest, card and Croissant with it."""
    raw = json.loads((folder / "manifest.json").read_bytes())
    change(raw)
    splits = msgspec.convert(raw["splits"], dict[str, SplitEntry])
    raw["id"] = identity(splits, raw.get("refused"))
    manifest = msgspec.convert(raw, Manifest)
    write_manifest(folder, manifest)
    write_bytes(folder / "croissant.json", croissant_bytes(manifest))
    write_bytes(folder / "README.md", card_bytes(manifest))
