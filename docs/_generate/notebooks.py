"""Pages of the site that are notebooks: text, code and stored outputs as Markdown, pictures as files beside them."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import mkdocs_gen_files

ROOT = Path(__file__).resolve().parents[2]


def text_of(value: Any) -> str:
    """Text of a notebook, which may be a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def output(found: dict[str, Any], name: str, number: int) -> str:
    """One output as Markdown: a picture, a table, or text."""
    data = found.get("data", {})
    if "image/png" in data:
        file = f"notebooks/{name}-{number}.png"
        with mkdocs_gen_files.open(file, "wb") as stream:
            stream.write(base64.b64decode(text_of(data["image/png"])))
        return f"![Output of the cell above]({name}-{number}.png)"
    if "text/html" in data:
        return '<div class="output" markdown="0">\n' + re.sub(r"\n\s*\n", "\n", text_of(data["text/html"])) + "\n</div>"
    text = text_of(found.get("text", data.get("text/plain", "")))
    return f'<pre class="output" markdown="0">{html.escape(text.rstrip())}</pre>' if text.strip() else ""


for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
    parts, number = [], 0
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = text_of(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            if number == 0 and source.startswith("# "):
                parts.append(f"*This page is the notebook [{path.name}]({path.name}), as it runs on a new machine.*")
            continue
        parts.append(f"```python\n{source}\n```")
        for found in cell["outputs"]:
            number += 1
            parts.append(output(found, path.stem, number))
    with mkdocs_gen_files.open(f"notebooks/{path.stem}.md", "w") as page:
        page.write("\n\n".join(filter(None, parts)) + "\n")
