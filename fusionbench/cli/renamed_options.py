"""Options that have another name than they had: the former spelling works, is in no help, and says what to write."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True)
class _Former:
    """What the parser stores for a former spelling."""

    spelling: str
    value: bool


class RenamedFlag(click.Option):
    """A flag ``--this/--no-this`` with former spellings.

    Args:
        former: former spelling -> the value that it gives.
    """

    def __init__(self, *args: Any, former: Mapping[str, bool], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.former = dict(former)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        for spelling, value in self.former.items():
            stored = _Former(spelling, value)
            parser.add_option(obj=self, opts=[spelling], dest=self.name, action="store_const", const=stored)

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        if isinstance(value, _Former):
            warn_renamed(value.spelling, (self.opts if value.value else self.secondary_opts)[0])
            value = value.value
        return super().type_cast_value(ctx, value)


def warn_renamed(former: str, now: str) -> None:
    """One line on stderr; the helper's own warning would name a line of our code."""
    from fusionbench.core.deprecation import deprecated
    from fusionbench.core.progress import say

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        deprecated(former, now, removed_in="0.3")
    for warning in caught:
        say(f"warning: {warning.message}")


def keep_images_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option ``--keep-images/--no-images``, which was ``--keep-pictures/--no-pictures``."""
    return click.option(
        "--keep-images/--no-images",
        cls=RenamedFlag,
        former={"--keep-pictures": True, "--no-pictures": False},
        default=None,
        help=text,
    )
