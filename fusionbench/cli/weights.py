"""``fusionbench weights``: weights that authors published, imported from the user's own files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fusionbench.cli.names import Names
from fusionbench.cli.options import json_option, out_option, setting


@click.group("weights", short_help="Import weights that authors published, from your own files.")
def weights_command() -> None:
    """Import weights that the authors of a network published, from your own files. None is shipped or downloaded.

    Example: fusionbench weights list
    """


@weights_command.command("list")
@json_option("Print an array with everything that is known of each.")
def list_weights(as_json: bool) -> None:
    """List the networks whose published weights can be imported, with their files, licence and homepage.

    Example: fusionbench weights list
    """
    from fusionbench.models import MODELS
    from fusionbench.models.published_weights import networks_with_published_weights

    known = networks_with_published_weights()
    if as_json:
        click.echo(json.dumps([_facts(name) for name in known], indent=1, ensure_ascii=False))
        return
    from rich.table import Table

    from fusionbench.cli.console import console

    table = Table(box=None, pad_edge=False)
    for title in ("network", "title", "files", "licence", "homepage"):
        table.add_column(title, overflow="fold")
    for name, published in known.items():
        files = " ".join(part.upper() for part in published.files)
        table.add_row(name, MODELS.get(name).title, files, published.licence, published.homepage)
    console(140).print(table)


@weights_command.command("show")
@click.argument("what", type=Names("models", files=True))
@json_option("Print an object.")
def show_weights(what: str, as_json: bool) -> None:
    """Show what is known of the published weights of a network, or where the weights in a run folder are from.

    Example: fusionbench weights show seafusion
    """
    facts = _provenance(Path(what)) if Path(what).is_dir() else _facts(what)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for key, value in facts.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            shown = ", ".join(f"{name} {inner}" for name, inner in one.items()) if isinstance(one, dict) else str(one)
            click.echo(f"{key.replace('_', ' ')}: {shown}")


@weights_command.command("import")
@click.argument("network", type=Names("models"))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option("Run folder [runs/published/NETWORK].")
@json_option("Print what was imported as JSON.")
def import_weights(network: str, files: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Import the weights of NETWORK from FILES (.pth, .pt, .pkl or .safetensors), and print the run folder.

    Evaluate, pack and reproduce take it like that of a training run.

    Nothing in the files is run: a process with limits reads tensors alone, and checks their names, shapes and values.

    Example: fusionbench weights import seafusion SeAFusion.pth -o runs/seafusion
    """
    from fusionbench.core.progress import say
    from fusionbench.submissions.published_weights_import import ImportRequest, import_published_weights

    folder = out if out is not None else Path(setting("runs_root")) / "published" / network
    run = import_published_weights(ImportRequest(network, files, folder))
    facts = _provenance(run.folder)
    if not facts["checked_release"]:
        say(f"note: not the release that was checked here; `fusionbench weights show {network}` has its digests")
    click.echo(json.dumps({"folder": str(run.folder), **facts}) if as_json else str(run.folder))


def _facts(network: str) -> dict[str, object]:
    """What is known of the published weights of a network."""
    from fusionbench.models import MODELS
    from fusionbench.models.published_weights import published_weights_of

    published = published_weights_of(network)
    files = [{"part": part, "sha256": digest} for part, digest in zip(published.files, published.sha256, strict=True)]
    return {
        "network": network,
        "title": MODELS.get(network).title,
        "files": files,
        "homepage": published.homepage,
        "licence": published.licence,
        "params": dict(published.params),
        "checked": published.checked,
        "state_sha256": published.state_sha256 or None,
    }


def _provenance(folder: Path) -> dict[str, object]:
    """Where the weights in a run folder are from."""
    import msgspec

    from fusionbench.core.errors import UsageError
    from fusionbench.training.run import read_run

    run = read_run(folder)
    info = run.info
    if info.imported is msgspec.UNSET:
        raise UsageError(f"{folder}: these weights were trained here, on {info.dataset_name}; none were imported")
    run.check_imported()
    return {"network": info.model, "parameters": info.parameters, **msgspec.to_builtins(info.imported)}
