"""``fusionbench new``: files of your own to start from, which work as they are written."""

from __future__ import annotations

import json
import keyword
import os
import re
from importlib.resources import files
from pathlib import Path

import click

from fusionbench.cli.options import json_option, out_option
from fusionbench.core.errors import UsageError

KINDS = ("model", "metric", "source", "recipe", "suite", "protocol")
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MOST = 40
# what to do next, once a file is there
_NEXT = {
    "model": "fusionbench check {file}:{cls}",
    "metric": "fusionbench check {file}:METRIC",
    "source": "fusionbench check {file}:{cls}",
    "protocol": "fusionbench check {file}:PROTOCOL",
    "recipe": "fusionbench recipe check {file} --source-dir IMAGES",
    "suite": "fusionbench run {file}",
}


@click.command("new", short_help="Write a model, metric, source, recipe, suite or protocol to start from.")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@out_option("Folder of the files [.].", default=Path("."))
@json_option("Print the files and the next command as JSON.")
def new_command(kind: str, name: str, out: Path, as_json: bool) -> None:
    """Write NAME, a commented file of a KIND that passes its checks as it is, and its test. Nothing is written over.

    A Python file works wherever a name does: `fusionbench train my_net.py:MyNet`, `score --metrics
    my_metric.py:METRIC`, `evaluate --data my_pairs.py:MyPairs --protocol my_protocol.py:PROTOCOL`.

    Example: fusionbench new model my-net
    """
    from fusionbench.core.progress import say

    texts = scaffold(kind, name)
    paths = [out / file for file in texts]
    if there := [path for path in paths if os.path.lexists(path)]:
        raise UsageError(f"{there[0]}: is there already; nothing is written over, choose another name or folder")
    for path, text in zip(paths, texts.values(), strict=True):
        _write(path, text)
    step = _NEXT[kind].format(file=paths[0], cls=class_name(name))
    if as_json:
        click.echo(json.dumps({"kind": kind, "files": [str(path) for path in paths], "next": step}))
        return
    for path in paths:
        click.echo(str(path))
    say(f"next: {step}")


def scaffold(kind: str, name: str) -> dict[str, str]:
    """File name -> text of what ``new`` writes.

    Raises:
        UsageError: a name that a file, a class and an option cannot have.
    """
    if not _NAME.fullmatch(name) or len(name) > _MOST:
        raise UsageError(f"{name!r}: a name has small letters, digits and single hyphens, as my-{kind} has")
    if kind == "recipe":
        from fusionbench.core.io import shipped_folder

        text = (shipped_folder("datasets_recipes") / "template.toml.txt").read_text("utf-8")
        return {f"{_hyphens(name)}.toml": text.replace("@NAME@", _hyphens(name))}
    if kind == "suite":
        return {f"{_hyphens(name)}.toml": _filled(kind, name, f"{_hyphens(name)}.toml")}
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or _is_module(module):
        raise UsageError(f"{name}: {module}.py would hide Python's own or an installed {module}; choose another name")
    file = f"{module}.py"
    return {file: _filled(kind, name, file), f"test_{file}": _filled(f"test_{kind}", name, file)}


def _filled(template: str, name: str, file: str) -> str:
    suffix = "toml" if template == "suite" else "py"
    text = (files("fusionbench.cli") / "scaffolds" / f"{template}.{suffix}.txt").read_text("utf-8")
    values = {"NAME": _hyphens(name), "FILE": file, "MODULE": name.replace("-", "_"), "CLASS": class_name(name)}
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def class_name(name: str) -> str:
    """``my-net`` as a class: MyNet."""
    return "".join(part.capitalize() for part in re.split("[-_]", name))


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


def _is_module(module: str) -> bool:
    """Whether Python or an installed package has a module of this name."""
    import sys
    from importlib.machinery import PathFinder

    here = {"", ".", os.getcwd()}
    elsewhere = [place for place in sys.path if place not in here]
    return module in sys.builtin_module_names or PathFinder.find_spec(module, elsewhere) is not None


def _write(path: Path, text: str) -> None:
    """Write a new file whole or not at all, and never over another one."""
    from fusionbench.core.io import write_bytes

    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    write_bytes(draft, text.encode())
    try:
        os.link(draft, path)  # fails where somebody was faster, which renaming does not
    except FileExistsError as error:
        raise UsageError(f"{path}: is there already; nothing is written over, choose another name or folder") from error
    except OSError:  # a file system without hard links
        with open(path, "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    finally:
        draft.unlink(missing_ok=True)
