"""Options of the form ``--set KEY=VALUE``: parameters of a model, of training or of a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionbench.core.documents import parse_toml
from fusionbench.core.errors import DataError, UsageError


def parse_settings(settings: Sequence[str], option: str, example: str = "--option draws=20") -> dict[str, Any]:
    """``KEY=VALUE`` texts, the values read as TOML; what is no TOML is a bare word.

    Raises:
        UsageError: another form.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {setting!r}: write KEY=VALUE, for example {example}")
        try:
            found[key] = parse_toml(f"value = {text}", setting)["value"]
        except DataError:
            found[key] = text
    return found
