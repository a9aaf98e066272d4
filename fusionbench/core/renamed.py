"""Modules of the first release under the names that they had then.

A plugin or script that imports one of them gets the new module's contents and one warning with the new name. The names
are listed here and nowhere else; the whole file goes with version 0.3.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from fusionbench.core.deprecation import deprecated

# Below ``fusionbench``. Not here: modules with a leading underscore, which were never public.
RENAMED = {
    "archive": "submissions.archive",
    "build": "data.build",
    "calibrate": "evaluation.calibrate",
    "card": "data.card",
    "catalogue": "evaluation.catalogue",
    "checkpoints": "training.checkpoints",
    "comparison": "results.comparison",
    "contract_checks": "models.checks",
    "contracts": "core.types",
    "curves": "evaluation.curves",
    "dataset_pairs": "evaluation.stored_pairs",
    "difference": "data.diff",
    "doctor": "cli.diagnostics",
    "engines": "core.parallel",
    "errors": "core.errors",
    "evaluate_pairs": "evaluation.pairs",
    "explain": "evaluation.explain",
    "export": "data.export",
    "files": "core.io",
    "gate": "results.gate",
    "gate_report": "results.gate_report",
    "imread": "core.images",
    "inbox": "submissions.queue",
    "lint": "submissions.remarks",
    "making": "data.sample_builders",
    "models.cbf": "models.classical.cbf",
    "models.cvae": "models.vae.cvae",
    "models.dae_fuse": "models.pairs.dae_fuse",
    "models.fcn": "models.vae.fcn",
    "models.fusionvae": "models.vae.fusionvae",
    "models.fusionvae_plus": "models.vae.fusionvae_plus",
    "models.gtf": "models.classical.gtf",
    "models.jsr_sd": "models.classical.jsr_sd",
    "models.mfeif": "models.pairs.mfeif",
    "models.wavelet": "models.classical.wavelet",
    "pair_data": "data.pair_stream",
    "pair_making": "data.pair_patches",
    "pair_outputs": "evaluation.external",
    "pair_pictures": "evaluation.pair_images",
    "pair_recipes": "data.pair_recipes",
    "pair_suites": "evaluation.run_suite",
    "pairsets": "evaluation.pair_sets",
    "pictures": "core.figures",
    "plaintext": "core.text",
    "plan": "data.build_plan",
    "prediction_scores": "submissions.prediction_scores",
    "predictions": "submissions.predictions",
    "prepare": "data.preprocessing",
    "preview": "data.preview",
    "progress": "core.progress",
    "published": "results.published",
    "pytest_plugin": "results.pytest_plugin",
    "quickstart": "cli.quickstart_steps",
    "recipe_parts": "data.recipe_base",
    "recipes": "data.recipes",
    "refine": "training.averaging",
    "registry": "core.registry",
    "result": "results.schema",
    "run": "training.run",
    "runlog": "training.log",
    "runtime": "training.runtime",
    "sandbox": "submissions.sandbox",
    "schedule": "training.schedule",
    "selftest": "data.self_test",
    "shard_plans": "data.shard_layout",
    "shards": "data.shards",
    "shards.croissant": "data.shards.croissant",
    "shards.manifest": "data.shards.manifest",
    "shards.ragged": "data.shards.ragged",
    "shards.reader": "data.shards.reader",
    "shards.writer": "data.shards.writer",
    "sheets": "evaluation.sheets",
    "sources.images": "core.images",
    "stats": "results.bootstrap",
    "submit": "submissions.submit",
    "suite_rows": "evaluation.jobs",
    "suites": "evaluation.suites",
    "tables": "results.tables",
    "upload": "data.upload",
    "verify": "data.verify",
}
# Modules whose names are those of public functions: they cannot be both, so these get one line instead.
FUNCTIONS = {"train": "training.loop", "evaluate": "evaluation.masked", "score": "evaluation.image_files"}
# Names of the first release in modules that call them otherwise now.
NAMES = {"read_picture": "read_image", "pictures_in": "images_in", "Picture": "DecodedImage"}


class _Loader(Loader):
    """Makes a module that looks every name up in the new one, so that classes are the same objects."""

    def __init__(self, new: str) -> None:
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        found = importlib.import_module(self.new)

        def look_up(name: str) -> Any:
            if name.startswith("__"):  # __path__ would let submodules be found, and loaded, a second time
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            return getattr(found, NAMES.get(name, name))

        module.__dict__["__getattr__"] = look_up
        module.__doc__ = found.__doc__


class _Finder(MetaPathFinder):
    """Asked last of all, so that no other import is slower for it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, old = name.partition(".")
        if package == "fusionbench" and old in FUNCTIONS:
            new = f"fusionbench.{FUNCTIONS[old]}"
            raise ModuleNotFoundError(f"{name} is a function now; what the module had is in {new}", name=name)
        if package != "fusionbench" or old not in RENAMED:
            return None
        new = f"fusionbench.{RENAMED[old]}"
        deprecated(name, new, removed_in="0.3")
        return ModuleSpec(name, _Loader(new), is_package=any(other.startswith(f"{old}.") for other in RENAMED))


def install() -> None:
    """Let the names of the first release be imported; a second call does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
