"""The protocol of the tutorial "Add a protocol", as an installed package: what readers are told to write is tested."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fusionbench.evaluation.protocols import PROTOCOLS

PAGE = Path(__file__).parents[2] / "docs/tutorials/add-a-protocol.md"
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """The files that the page writes, by name."""
    return dict(FILE.findall(PAGE.read_text(encoding="utf-8")))


@contextmanager
def installed(folder: Path, target: str = "my_focus:PROTOCOL") -> Iterator[None]:
    """The package on the path of this process, offered as ``soft-halves/1`` by an entry point that names ``target``."""
    about = folder / "my_focus-0.1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (folder / "my_focus.py").write_text(files()["my-focus/my_focus.py"], encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-focus\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[fusionbench.protocols]\nsoft-halves/1 = {target}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        _forget()
        try:
            yield
        finally:
            _forget()


def _forget() -> None:
    """Let the registry look for plugins again."""
    sys.modules.pop("my_focus", None)
    PROTOCOLS.__dict__.pop("_plugins", None)
    PROTOCOLS._objects.pop("soft-halves/1", None)
