"""What a command has of a protocol: every option once, with the form that its type and default say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.base import BaseProtocol, Options, flag
from fusionbench.evaluation.protocols.flags import Flag, command_flags


class FormOptions(Options, kw_only=True, frozen=True):
    switch: bool = False
    toggle: bool = True
    either: bool | Literal["both"] = False
    whole: Annotated[int, msgspec.Meta(ge=4)] = 5
    below: int = -1
    number: float = 1.0
    text_or_none: str | None = None
    number_or_none: int | None = None
    words: tuple[str, ...] = ()
    choice: Literal["a", "b"] = "a"


class Forms(BaseProtocol):
    name, version, title, about, columns = "forms", "1", "forms", "Nothing is scored.", ("x",)
    Options = FormOptions
    takes = frozenset({"source_dir", "strict", "colour", "sharp", "unknown"})
    flags = {"toggle": Flag("Off?", ("--tog",)), "sharp": Flag("Sharp.")}  # noqa: RUF012

    def open(self, data: str, options: Any, *, source_dir: Any = None, strict: bool = False, **_: Any) -> None: ...

    def spec(self, data: Any) -> Any: ...

    def evaluate(self, *_: Any, colour: str = "grey", sharp: bool = False, **__: Any) -> Any: ...


@pytest.mark.parametrize(
    ("option", "form", "default", "least"),
    [
        ("switch", "switch", False, None),
        ("toggle", "toggle", True, None),
        ("either", "switch", False, None),
        ("whole", "integer", 5, 4),
        ("below", "integer", -1, None),
        ("number", "number", 1.0, None),
        ("text_or_none", "text", None, None),
        ("number_or_none", "integer", None, None),
        ("words", "value", (), None),
        ("choice", "text", "a", None),
        ("source_dir", "folder", None, None),
        ("strict", "switch", False, None),
        ("colour", "text", "grey", None),
        ("sharp", "switch", False, None),
        ("unknown", "text", None, None),
    ],
)
def test_forms(option: str, form: str, default: Any, least: int | None) -> None:
    found = command_flags(Forms())[option]
    assert (found.option, found.form, found.default, found.least) == (option, form, default, least)


def test_spellings() -> None:
    found = command_flags(Forms())
    assert found["toggle"].spellings == ("--tog/--no-tog",) and found["toggle"].name == "--tog"
    assert found["text_or_none"].spellings == ("--text-or-none",) and found["sharp"].about == "Sharp."


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_every_option_of_a_protocol_of_ours_is_there_once_and_explained(name: str) -> None:
    protocol = PROTOCOLS.get(name)
    found = command_flags(protocol)
    assert list(found)[: len(protocol.own_options)] == list(protocol.own_options)
    assert found.keys() == protocol.own_options.keys() | protocol.takes
    spellings = [text for one in found.values() for text in one.spellings]
    assert len(spellings) == len(set(spellings)) and all(text.startswith("-") for text in spellings)
    assert all(one.about.endswith((".", "]")) and "\n" not in one.about for one in found.values())
    assert protocol.flags.keys() <= found.keys(), "an option is described that it does not have"
    assert [flag(option) for option in found] == [one.name for one in found.values()]
