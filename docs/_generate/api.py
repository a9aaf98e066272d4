"""The Python reference: one page for every public module, found by walking the package when the site is built.

Nothing is imported: names and first lines of docstrings are read from the syntax tree, and mkdocstrings reads the rest
from the same files. So the reference follows when a module moves.
"""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import mkdocs_gen_files

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fusionbench"
FOLDER = "reference/api"
# verbs and their options are in the command-line reference
OMITTED = ("fusionbench.cli.",)


def modules(folder: Path = PACKAGE, prefix: str = "fusionbench") -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every public module, packages before what is in them."""
    yield prefix, folder / "__init__.py"
    for found in sorted(pkgutil.iter_modules([str(folder)]), key=lambda module: module.name):
        name = f"{prefix}.{found.name}"
        if found.name.startswith("_") or name.startswith(OMITTED):
            continue
        if found.ispkg:
            yield from modules(folder / found.name, name)
        else:
            yield name, folder / f"{found.name}.py"


def first_line(tree: ast.AST) -> str:
    """First paragraph of a docstring on one line; empty without one."""
    text = ast.get_docstring(tree) if isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef) else None  # type: ignore[arg-type]
    return " ".join((text or "").split("\n\n")[0].split())


def table_text(text: str) -> str:
    """Text for a cell of a Markdown table; docstrings mark code as reStructuredText does."""
    import re

    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    return text.replace("|", "\\|")


def public_names() -> dict[str, str]:
    """``fusionbench.<name>`` and the module that it comes from: the table ``_PUBLIC`` of the package."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_PUBLIC":
            return ast.literal_eval(node.value)
    raise SystemExit("fusionbench/__init__.py has no table _PUBLIC any more; docs/_generate/api.py reads it")


def main() -> None:
    pages = dict(modules())
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in pages.items()}
    summary = ["* [Public names](index.md)\n"]
    for name, path in pages.items():
        if name == "fusionbench":
            continue
        package = path.name == "__init__.py"
        file = f"{name.removeprefix('fusionbench.').replace('.', '/')}{'/index' if package else ''}.md"
        depth = name.count(".") - 1
        summary.append(f"{'    ' * depth}* [{name.rsplit('.', 1)[1]}]({file})\n")
        with mkdocs_gen_files.open(f"{FOLDER}/{file}", "w") as page:
            page.write(f"::: {name}\n")
    with mkdocs_gen_files.open(f"{FOLDER}/SUMMARY.md", "w") as page:
        page.writelines(summary)
    with mkdocs_gen_files.open(f"{FOLDER}/index.md", "w") as page:
        page.write("# Python\n\nWhat `import fusionbench` offers; each name is loaded on first use.\n\n")
        page.write("| name | what it is |\n|---|---|\n")
        for name, module in sorted(public_names().items(), key=lambda item: item[0].lower()):
            definitions = {getattr(node, "name", ""): node for node in trees[module].body}
            text = first_line(definitions.get(name, trees[module]))  # another name of a function: what its module does
            target = f"{module}.{name}" if name in definitions else module
            page.write(f"| [`{name}`][{target}] | {table_text(text)} |\n")
        page.write("\n## Modules\n\n| module | what it does |\n|---|---|\n")
        for name, tree in trees.items():
            if name != "fusionbench":
                page.write(f"| [`{name.removeprefix('fusionbench.')}`][{name}] | {table_text(first_line(tree))} |\n")


main()
