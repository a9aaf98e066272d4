"""mkdocs hook: files outside docs/ that a page links to are copied into the site.

On a page, ``../benchmarks/results/x.png`` is right for a reader of the repository. The site has no such path, so the
file is added to it below ``files/`` and the link leads there. Pages of the root that are pages of the site, too
(``../CHANGELOG.md``), lead to these, and links to notebooks lead to the pages that are made of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
NOTEBOOK = re.compile(r"(\]\((?:\.\./)*notebooks/[\w-]+)\.ipynb\)")
LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add every file of the repository that some page links to."""
    docs = Path(config.docs_dir)
    for page in [file for file in files if file.is_documentation_page() and not file.generated_by]:
        for _, target in LINK.findall((docs / page.src_uri).read_text(encoding="utf-8")):
            path = normpath(f"docs/{page.src_uri}/../{target}")
            outside = not path.startswith(("docs/", "..")) and path not in PAGES and (ROOT / path).is_file()
            if outside and files.get_file_from_path(f"files/{path}") is None:
                files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links to files outside docs/ into links to what :func:`on_files` has added."""
    here = page.file.src_uri
    if not here.startswith("notebooks/"):  # whose pages link to the files
        markdown = NOTEBOOK.sub(r"\1.md)", markdown)

    def inside(match: re.Match[str]) -> str:
        path = normpath(f"docs/{here}/../{match[2]}")
        if path.startswith(("docs/", "..")):
            return match[0]
        return match[1] + relpath(PAGES.get(path, f"files/{path}"), normpath(f"{here}/.."))

    return LINK.sub(inside, markdown)
