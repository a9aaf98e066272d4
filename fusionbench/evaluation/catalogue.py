"""What there is by name: models, metrics, sources, recipes, suites, protocols, degradations, and data sets on disk.

A listing is never lost to one bad plugin or one damaged folder: its line carries the error instead.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fusionbench import __version__
from fusionbench.core.errors import FusionbenchError, UsageError, unknown_name
from fusionbench.core.registry import Registry

Card = dict[str, Any]


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").strip().partition("\n\n")[0].split())


def _where(thing: Any) -> str:
    """``module:line`` of a class or function, for people who want to read on."""
    try:
        return f"{thing.__module__}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return str(getattr(thing, "__module__", ""))


def model_card(name: str) -> Card:
    """A model: title, abilities, parameters with their defaults, presets, reference."""
    from fusionbench.models import MODELS, defaults_of

    model = MODELS.get(name)
    abilities = [
        what
        for method, what in {
            "loss": "trains by gradients",
            "fit": "fits statistics in one pass",
            "fuse": "fuses",
            "sample": "samples",
            "log_weights": "has a likelihood",
        }.items()
        if callable(getattr(model, method, None))
    ]
    presets = {
        key: {"model": dict(preset.model), "training": dict(preset.training), "note": preset.note}
        for key, preset in getattr(model, "PRESETS", {}).items()
    }
    return {
        "title": getattr(model, "title", name),
        "about": _first_paragraph(inspect.getdoc(model)),
        "abilities": abilities,
        "parameters": {key: _plain(value) for key, value in defaults_of(model).items()},
        "presets": presets,
        "reference": getattr(model, "reference", ""),
        "version": getattr(model, "version", ""),
        "where": _where(model),
    }


def _plain(value: Any) -> Any:
    """The default of a parameter as JSON has it; of what JSON has not (a plugin's function, infinity) its text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
    return value


def metric_card(name: str) -> Card:
    """A metric: formula, unit, direction, tolerance, known exploits."""
    from fusionbench.metrics import get_metric

    metric = get_metric(name)
    card = {field: getattr(metric, field) for field in metric.__dataclass_fields__ if field not in ("name", "function")}
    tolerance = metric.tolerance
    card["tolerance"] = {"atol": tolerance.atol, "rtol": tolerance.rtol, "reason": tolerance.reason}
    # JSON has no infinity: an open end of the range is null
    card["range"] = [None if abs(end) == float("inf") else end for end in metric.range]
    card["where"] = _where(inspect.unwrap(metric.function))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in card.items()}


def source_card(name: str) -> Card:
    """A source: where the images come from and under which licence."""
    from fusionbench.sources import SOURCES

    source = SOURCES.get(name)
    fields = ("title", "licence", "citation", "homepage", "redistributable")
    return {**{field: getattr(source, field, "") for field in fields}, "where": _where(source)}


def recipe_card(name: str) -> Card:
    """A recipe: what its data set consists of and the identity that a correct build has."""
    from fusionbench.data.recipes import load_recipe, recipe_versions

    recipe = load_recipe(name)
    spec = recipe.image_spec
    whole = hasattr(recipe, "pairs") and recipe.whole  # pairs of their own sizes, of which training takes crops
    return {
        "title": recipe.title,
        "about": " ".join(recipe.description.split()),
        "version": recipe.version,
        "versions": recipe_versions(recipe.name),  # NAME@VERSION asks for one
        "source": recipe.source.name,
        "splits": list(recipe.splits),
        "image": None if whole else [spec.height, spec.width, spec.channels],
        "sizes": f"each pair has its own; training takes crops of {spec.height}×{spec.width}" if whole else "",
        "views": spec.views,
        "hash": recipe.hash,
        "id": recipe.expect.id,
        "reference": recipe.reference,
    }


def suite_card(name: str) -> Card:
    """A suite: data set, models and protocol."""
    import msgspec

    from fusionbench.evaluation.suites import load_suite

    suite = load_suite(name)
    rows = [row.key + (f" ({row.preset})" if row.preset else "") for row in suite.models]
    about = " ".join(suite.description.split())
    where = {"dataset": suite.dataset, "split": suite.split, "seeds": list(suite.seeds)}
    protocol = msgspec.to_builtins(suite.protocol)
    protocol = {key: value for key, value in protocol.items() if value is not None or not key.startswith("range_")}
    return {"title": suite.title, "about": about, **where, "models": rows, "protocol": protocol}


def protocol_card(name: str) -> Card:
    """A protocol: what is given and scored, its options with their defaults, and its scores in the order of tables."""
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.protocols.flags import command_flags

    protocol = PROTOCOLS.get(name)
    return {
        "title": protocol.title,
        "about": " ".join(protocol.about.split()),
        "options": {"limit": None, **protocol.own_options},
        "takes": sorted(protocol.takes),
        "evaluate": {", ".join(flag.spellings): flag.about for flag in command_flags(protocol).values()},
        "columns": list(protocol.columns),
        "version": protocol.version,
        "where": _where(type(protocol)),
    }


def degradation_card(name: str) -> Card:
    """A family of degradations: what it does to which views, and the integers of its severities."""
    from fusionbench.synth.degradations import DEGRADATIONS

    family = DEGRADATIONS.get(name)
    return {
        "title": family.title,
        "about": family.about,
        "views": {"a": "a (thermal)", "b": "b (visible)", "both": "both"}[family.views],
        "levels": {f"severity {number}": list(level) for number, level in enumerate(family.levels, 1)},
        "fields": list(family.fields),
        "where": _where(type(family)),
    }


def dataset_folders(root: Path) -> list[Path]:
    """Version folders of finished data sets below ``root``."""
    return sorted(path.parent for path in Path(root).glob("*/*/*/manifest.json"))


def dataset_card(folder: Path) -> Card:
    """A data set on disk, from its manifest."""
    from fusionbench.data.shards.manifest import read_manifest

    manifest = read_manifest(folder)
    return {
        "title": manifest.title,
        "version": manifest.version,
        "id": manifest.id,
        "splits": {name: split.n for name, split in manifest.splits.items()},
        "licence": manifest.source.licence,
        "citation": manifest.source.citation,
        "folder": str(folder),
    }


def _registry(kind: str) -> Registry[Any]:
    if kind == "models":
        from fusionbench.models import MODELS

        return MODELS
    if kind == "metrics":
        from fusionbench.metrics import METRICS

        return METRICS
    if kind == "protocols":
        from fusionbench.evaluation.protocols import PROTOCOLS

        return PROTOCOLS
    if kind == "degradations":
        from fusionbench.synth.degradations import DEGRADATIONS

        return DEGRADATIONS
    from fusionbench.sources import SOURCES

    return SOURCES


_CARDS: dict[str, Callable[[str], Card]] = {
    "models": model_card,
    "metrics": metric_card,
    "sources": source_card,
    "recipes": recipe_card,
    "suites": suite_card,
    "protocols": protocol_card,
    "degradations": degradation_card,
}
_REGISTERED = ("models", "metrics", "sources", "protocols", "degradations")
KINDS = (*_CARDS, "datasets")


def list_names(kind: str, root: Path = Path("data")) -> list[str]:
    """Names of one kind; for ``datasets`` those below ``root``."""
    if kind == "datasets":
        return list(dict.fromkeys(folder.parent.parent.name for folder in dataset_folders(root)))
    if kind == "metrics":
        from fusionbench.metrics import LIBRARY_NAMES

        return sorted({*_registry(kind).names(), *LIBRARY_NAMES})
    if kind in _REGISTERED:
        return _registry(kind).names()
    if kind == "suites":
        from fusionbench.evaluation.suites import list_suites

        return list_suites()
    from fusionbench.data.recipes import list_recipes

    return list_recipes()


def list_cards(kind: str, root: Path = Path("data")) -> list[Card]:
    """One card a name, in order; what cannot be read has ``error`` instead of its fields."""
    if kind == "datasets":
        return [_safely(folder.parent.parent.name, partial(dataset_card, folder)) for folder in dataset_folders(root)]
    return [_card(kind, name) for name in list_names(kind)]


def _card(kind: str, name: str) -> Card:
    card = _safely(name, partial(_CARDS[kind], name))
    if kind in _REGISTERED:
        known = name in _registry(kind).names()
        card["origin"] = _registry(kind).origin(name) if known else f"fusionbench {__version__}, by another library"
    return card


def _safely(name: str, make: Callable[[], Card]) -> Card:
    try:
        return {"name": name, **make()}
    except (FusionbenchError, ImportError) as error:
        return {"name": name, "title": "", "error": str(error)}


def find_cards(name: str, kind: str | None = None, root: Path = Path("data")) -> list[Card]:
    """Every card that has this name, each with its ``kind``; ``NAME@VERSION`` is one version of a recipe.

    Raises:
        UsageError: no such name, with a suggestion from all kinds.
    """
    kinds = KINDS if kind is None else (kind,)
    if "@" in name and "recipes" in kinds:  # a version of a recipe; an unknown one is told with those that are known
        return [{"kind": "recipe", "name": name, **recipe_card(name)}]
    cards = [
        {"kind": found.removesuffix("s"), **card}
        for found in kinds
        if name in list_names(found, root)
        for card in (list_cards(found, root) if found == "datasets" else [_card(found, name)])
        if card["name"] == name
    ]
    if not cards:
        known = {known for found in kinds for known in list_names(found, root)}
        raise unknown_name(kind.removesuffix("s") if kind else "name", name, known, "fusionbench list")
    broken = next((card for card in cards if "error" in card), None)
    if broken is not None and len(cards) == 1:
        raise UsageError(broken["error"])
    return cards
