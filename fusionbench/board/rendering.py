"""From a template to a page: every value is text to the templates (autoescape), and a missing one is an error."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from fusionbench import __version__
from fusionbench.board.summary import called, listed
from fusionbench.core.text import printable
from fusionbench.results.comparison import title_of

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = Path(__file__).parent / "static"


def render(template: str, **values: object) -> bytes:
    """The page that a file of ``board/templates`` makes of ``values``, in UTF-8."""
    return _templates().get_template(template).render(**values).encode()


def compact(path: Path) -> bytes:
    """A style sheet or script of ours without its indentation and whole lines of comment, a fifth of its bytes."""
    lines = (line.strip() for line in path.read_text().splitlines())
    text = "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"
    if path.suffix == ".css":  # it has no text in which these would mean anything
        text = re.sub(r"\s*([{};,])\s*", r"\1", text)
    return text.encode()


@lru_cache
def _templates() -> Environment:
    """One environment for all pages: each template is compiled once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.globals.update(version=__version__, title_of=title_of, plain=_plain, listed=listed, called=called)
    return environment


def _printable(value: object) -> object:
    """What a page shows of a value: letters that turn the direction of the text around them are spelled out."""
    if not isinstance(value, str) or (shown := printable(value)) == value:
        return value
    return Markup(shown) if isinstance(value, Markup) else shown


def _plain(value: object) -> str:
    """Parameters and the like for a page: JSON, which keeps text, numbers and lists apart."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
