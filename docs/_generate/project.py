"""Pages of the site that are files in the root of the repository: changes, contributing, security."""

from __future__ import annotations

import re
from pathlib import Path

import mkdocs_gen_files

ROOT = Path(__file__).resolve().parents[2]

for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY"):
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    # seen from docs/ the files of docs/ are here, and everything else is one folder up
    text = re.sub(r"\]\((?!https?:|#|docs/)([^)]+)\)", r"](../\1)", text)
    text = text.replace("](docs/", "](")
    with mkdocs_gen_files.open(f"{name.lower()}.md", "w") as page:
        page.write(text)
