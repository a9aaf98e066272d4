"""``fusionbench check FILE.py:NAME``: the contract's checks on a model, metric, source or protocol of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.names import registry_of
from fusionbench.core.errors import Rejected, UsageError, some
from fusionbench.core.plugin_files import PluginFile, load_module, objects_in, use_plugin

if TYPE_CHECKING:
    from fusionbench.core.contract_report import ContractReport

_KINDS = ("metrics", "sources", "protocols", "models")


def check_plugin(file: PluginFile, text: str, data: Path | None, source_dir: Path | None, as_json: bool) -> None:
    """Run the checks and print the report.

    Args:
        text: as the user wrote it.
        data: what a protocol opens; None: the embedded pairs.
        source_dir: the files of a source; None: small ones that are written.

    Raises:
        UsageError: nothing in the file can be checked, or it is not clear what.
        RejectedError: a check fails.
    """
    use_plugin(file)
    if file.path.is_file():
        load_module(file.path)
    kind, name, found = _meant(file, text)
    report: ContractReport
    if kind == "metrics":
        from fusionbench.metrics.checks import check_metric

        report = check_metric(found)
    elif kind == "sources":
        from fusionbench.sources.checks import check_source

        report = check_source(found, source_dir)
    elif kind == "protocols":
        from fusionbench.evaluation.protocols.checks import check_own_protocol

        report = check_own_protocol(found, "pairs-demo" if data is None else str(data))
    else:
        from fusionbench.models.checks import check_class, load_class
        from fusionbench.training.gradient_check import gradient_row

        where = f"{file.path}:{name}"
        cls = load_class(where)
        report = check_class(cls)
        report.rows.append(gradient_row(where, cls))
    click.echo(json.dumps(report.as_json(), indent=1, ensure_ascii=False) if as_json else report.as_markdown())
    if not report.ok:
        bad = [row.check for row in report.rows if row.verdict == "fails"]
        raise Rejected(f"{text}: {len(bad)} of {len(report.rows)} checks fail: {', '.join(bad)}")


def _meant(file: PluginFile, text: str) -> tuple[str, str, Any]:
    """Kind, attribute and object that a text means; a name that is of no kind is left to the checks of models."""
    found: list[tuple[str, str, Any]] = []
    if file.path.is_file() and (file.attribute is None or hasattr(load_module(file.path), file.attribute)):
        for kind in _KINDS:
            accepts = registry_of(kind).accepts
            assert accepts is not None
            found += [(kind, name, value) for name, value in objects_in(file, kind, accepts).items()]
    if len(found) == 1:
        return found[0]
    if file.attribute is not None:
        return "models", file.attribute, None
    if not found and file.path.is_file():
        raise UsageError(f"{text}: has no model, metric, source or protocol; `fusionbench new` writes files that have")
    names = [f"{file.path}:{name}" for _, name, _ in found]
    raise UsageError(f"{text}: name what to check, such as {some(names, ' or ', 3) or 'my_model.py:Net'}")
