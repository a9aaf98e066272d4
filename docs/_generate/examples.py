"""Shows examples in docstrings as code: `Example:` with `>>>` is a section of examples, and nothing in it a link."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Names the section as the parser of Google's style knows it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename it in the docstring of ``obj``."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:(?=\n+ +>>>)", "Examples:", obj.docstring.value)
